//! The bar at the bottom: how far indexing is, how fast, how long still, on what; and how it ended.

use eframe::egui::{self, Align, Layout, ProgressBar, RichText, Ui};
use tr::tr;

use super::state::training::Phase;
use super::state::{Action, OpenLibrary, State};
use super::{command_button, count, duration, photos_of, problems_of, theme, train};
use crate::command::Command;
use crate::job::{Outcome, Progress};
use crate::language::translate;
use crate::library::Obstacle;
use crate::worker::Request;

/// Whether there is anything to say.
pub(crate) fn is_needed(state: &State, library: &OpenLibrary) -> bool {
    (state.train.is_running() && !state.train.open)
        || library.progress.is_some()
        || !library.writable
        || matches!(library.outcome, Some(Outcome::Cancelled { .. } | Outcome::Failed { .. }))
}

/// The bar under the grid.
pub(crate) fn indexing_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        if let Some(progress) = &library.progress {
            progress_ui(ui, state, progress, actions);
        } else if let (Phase::Running(run), false) = (&state.train.phase, state.train.open) {
            train::progress::line_ui(ui, run, actions);
        } else if let Some(obstacle) = library.obstacle {
            obstacle_ui(ui, obstacle, library, actions);
        } else if !library.writable {
            ui.label(tr!(
                "Another Florascope window has this folder open; this one is read-only: new files are not picked up"
            ));
            if ui.button(tr!("Try again")).on_hover_text(tr!("Open the folder again")).clicked() {
                actions.push(Action::Request(Request::Open(library.library.root.clone())));
            }
        } else {
            outcome_ui(ui, library.outcome.as_ref(), actions);
        }
    });
}

/// That the program's data cannot be written, what follows from that, and what to do.
fn obstacle_ui(ui: &mut Ui, obstacle: Obstacle, library: &OpenLibrary, actions: &mut Vec<Action>) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        if ui.button(tr!("Try again")).on_hover_text(tr!("Open the folder again")).clicked() {
            actions.push(Action::Request(Request::Open(library.library.root.clone())));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let text = tr!("{}: you can search, but new photos, models and settings are not kept", reason(obstacle));
            let text = RichText::new(text).color(theme::palette(ui).warning);
            let place = library.library.folder.display().to_string();
            ui.add(egui::Label::new(text).truncate()).on_hover_text(place);
        });
    });
}

/// Why the program's data cannot be written.
pub(crate) fn reason(obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::ReadOnly => tr!("The program's data folder is read-only"),
        Obstacle::NotPermitted => tr!("The program's data folder may not be written"),
        Obstacle::DiskFull => tr!("The disk with the program's data is full"),
    }
}

fn progress_ui(ui: &mut Ui, state: &State, progress: &Progress, actions: &mut Vec<Action>) {
    let stage = translate(progress.stage.text());
    ui.label(RichText::new(&stage).strong());
    match progress.fraction() {
        Some(fraction) => {
            let bar = ProgressBar::new(fraction).desired_width(220.0).desired_height(10.0);
            ui.add(bar.fill(theme::palette(ui).accent)).accessible_name(stage);
        }
        None => {
            ui.spinner();
        }
    }
    ui.label(summary(progress));
    if let Some(model) = &state.model {
        ui.weak(translate(&model.device));
    }
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        command_button(ui, Command::StopIndexing, actions);
        if progress.problems > 0 {
            let text = problems_of(progress.problems as usize);
            ui.label(RichText::new(text).color(theme::palette(ui).warning));
        }
    });
}

fn outcome_ui(ui: &mut Ui, outcome: Option<&Outcome>, actions: &mut Vec<Action>) {
    let (text, resume) = match outcome {
        Some(Outcome::Cancelled { .. }) => {
            (RichText::new(tr!("Indexing was stopped; you can search what is finished")), tr!("Resume"))
        }
        Some(Outcome::Failed { message }) => {
            (RichText::new(translate(message)).color(theme::palette(ui).error), tr!("Try again"))
        }
        Some(Outcome::Done { .. }) | None => return,
    };
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let tooltip = Command::CheckFolder.info().tooltip;
        if ui.button(resume).on_hover_text(tooltip).clicked() {
            actions.push(Action::Command(Command::CheckFolder));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.add(egui::Label::new(text).truncate()));
    });
}

/// "1 234 of 6 552, 120 photos/s, 45 s left".
fn summary(progress: &Progress) -> String {
    let mut text = match progress.total {
        Some(total) => tr!("{} of {}", count(progress.done as usize), count(total as usize)),
        None if progress.done > 0 => tr!("{} found", count(progress.done as usize)),
        None => String::new(),
    };
    if let Some(rate) = progress.rate {
        text += &tr!(", {}/s", photos_of(rate.round() as usize));
    }
    if let Some(left) = progress.time_left().filter(|left| !left.is_zero()) {
        text += &tr!(", {} left", duration(left));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_reads_like_a_sentence() {
        let mut progress = Progress::begin(crate::job::Stage::Indexing, Some(6552));
        progress.done = 552;
        progress.rate = Some(120.0);
        assert_eq!(summary(&progress), "552 of 6\u{2009}552, 120 photos/s, 50 s left");
        progress.rate = Some(1.0);
        assert_eq!(summary(&progress), "552 of 6\u{2009}552, 1 photo/s, 1 h 40 min left");
    }
}

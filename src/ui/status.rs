//! The bar at the bottom, which is always there: the photos and what else is in the folder; the job that goes on, or how it
//! ended; and what answers.

use std::path::Path;

use eframe::egui::{Align, Button, Label, Layout, ProgressBar, RichText, Ui};
use tr::tr;

use super::state::training::Phase;
use super::state::{Action, OpenLibrary, RightPanel, State};
use super::{add_command, command_button, count, duration, photos_of, problems_of, theme, train};
use crate::command::Command;
use crate::job::{Outcome, Progress};
use crate::language::translate;
use crate::library::Obstacle;
use crate::scan::{Account, OtherKind};
use crate::text::escape;
use crate::worker::Request;

/// Its height, in points.
pub(crate) const STATUS_BAR: f32 = 28.0;
/// Folders that a tooltip names.
const MOST_NAMED: usize = 20;
/// Width of a bar of progress, in points.
const BAR: f32 = 140.0;
/// From this width on there is room for the model beside the progress of a job.
const WIDE: f32 = 900.0;

/// The bar under everything else.
pub(crate) fn status_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let is_wide = ui.available_width() >= WIDE;
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        if is_wide || !is_busy(state, library) {
            model_ui(ui, state, actions);
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            if is_wide || !is_busy(state, library) {
                photos_ui(ui, state, library, actions);
            }
            job_ui(ui, state, library, actions);
        });
    });
}

/// Whether there is a job, or something to be said about one.
fn is_busy(state: &State, library: &OpenLibrary) -> bool {
    (state.train.is_running() && state.right != RightPanel::Train)
        || library.progress.is_some()
        || !library.writable
        || matches!(library.outcome, Some(Outcome::Cancelled { .. } | Outcome::Failed { .. }))
}

/// Which model answers, and on what it computes.
fn model_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(model) = &state.model else { return };
    let text = tr!("Model: {} · {}", translate(&model.title), translate(&model.device));
    let button = Button::new(RichText::new(&text).small().weak()).frame(false).truncate();
    let room = (ui.available_width() * 0.5).min(320.0);
    ui.scope(|ui| {
        ui.set_max_width(room);
        add_command(ui, Command::ShowModels, button, true, actions);
    });
}

/// How many photos there are, and what else is in the folder, so that the numbers add up.
fn photos_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let photos = if library.loading { tr!("loading…") } else { photos_of(library.photos) };
    ui.label(RichText::new(photos).small());
    if !library.problems.is_empty() {
        let text = RichText::new(problems_of(library.problems.len())).small();
        let button = Button::new(text.color(theme::palette(ui).warning)).frame(false);
        add_command(ui, Command::ShowProblems, button, true, actions);
    }
    reading_dates_ui(ui, library, actions);
    let account = &state.account;
    let away: u64 = account.away().map(|(_, photos)| photos).sum();
    if away > 0 {
        let text = tr!(
            "{} photo is on a drive that is away" | "{} photos are on a drive that is away" % away,
            count(away as usize)
        );
        let places: Vec<String> = account.away().take(MOST_NAMED).map(|(path, _)| shown(path)).collect();
        let text = RichText::new(text).small().color(theme::palette(ui).warning);
        ui.add(Label::new(text).truncate()).on_hover_text(places.join("\n"));
    }
    let text = account_text(account);
    if !text.is_empty() && !is_busy(state, library) {
        let passed_over = account.passed_over.iter().take(MOST_NAMED).map(|path| shown(&path.0));
        let named: Vec<String> = std::iter::once(text.clone()).chain(passed_over).collect();
        ui.add(Label::new(RichText::new(text).small().weak()).truncate()).on_hover_text(named.join("\n"));
    }
}

/// "12 videos, 30 other files, 2 folders passed over".
fn account_text(account: &Account) -> String {
    let part = |kind: OtherKind| {
        let number = account.number_of(kind);
        let shown = count(number as usize);
        let text = match kind {
            OtherKind::Videos => tr!("{} video" | "{} videos" % number, shown),
            OtherKind::Sidecars => tr!("{} sidecar file" | "{} sidecar files" % number, shown),
            OtherKind::Documents => tr!("{} document" | "{} documents" % number, shown),
            OtherKind::Sounds => tr!("{} sound" | "{} sounds" % number, shown),
            OtherKind::Other => tr!("{} other file" | "{} other files" % number, shown),
            OtherKind::Hidden => tr!("{} hidden file" | "{} hidden files" % number, shown),
            OtherKind::Links => {
                tr!("{} link to what is here already" | "{} links to what is here already" % number, shown)
            }
        };
        (number > 0).then_some(text)
    };
    let passed_over = account.passed_over.len();
    let folders = tr!("{} folder passed over" | "{} folders passed over" % passed_over, count(passed_over));
    let folders = (passed_over > 0).then_some(folders);
    OtherKind::ALL.into_iter().filter_map(part).chain(folders).collect::<Vec<_>>().join(", ")
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// How far the dates of older photos are known.
fn reading_dates_ui(ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let Some(done) = library.dates.as_ref().and_then(Progress::fraction) else { return };
    ui.label(RichText::new(tr!("Reading dates: {} %", (done * 100.0) as u32)).small().weak());
    let stop = ui.add(Button::new("×").frame(false)).on_hover_text(tr!("Stop until the next start"));
    if stop.accessible_name(tr!("Stop reading dates")).clicked() {
        actions.push(Action::Request(Request::StopReadingDates));
    }
}

/// The job that goes on, how the last one ended, or what stands in the way of one.
fn job_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    if let Some(progress) = &library.progress {
        progress_ui(ui, progress, actions);
    } else if let (Phase::Running(run), false) = (&state.train.phase, state.right == RightPanel::Train) {
        train::progress::line_ui(ui, run, actions);
    } else if let Some(obstacle) = library.obstacle {
        obstacle_ui(ui, obstacle, library, actions);
    } else if !library.writable {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            try_again_ui(ui, library, actions);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let text = tr!(
                    "Another Florascope window has this folder open; this one is read-only: new files are not picked up"
                );
                ui.add(Label::new(&text).truncate()).on_hover_text(text);
            });
        });
    } else {
        outcome_ui(ui, library.outcome.as_ref(), actions);
    }
}

fn try_again_ui(ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
    if ui.button(tr!("Try again")).on_hover_text(tr!("Open the folder again")).clicked() {
        actions.push(Action::Request(Request::Open(library.library.root.clone())));
    }
}

/// That the program's data cannot be written, what follows from that, and what to do.
fn obstacle_ui(ui: &mut Ui, obstacle: Obstacle, library: &OpenLibrary, actions: &mut Vec<Action>) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        try_again_ui(ui, library, actions);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            let text = tr!("{}: you can search, but new photos, models and settings are not kept", reason(obstacle));
            let text = RichText::new(text).color(theme::palette(ui).warning);
            let place = library.library.folder.display().to_string();
            ui.add(Label::new(text).truncate()).on_hover_text(place);
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

fn progress_ui(ui: &mut Ui, progress: &Progress, actions: &mut Vec<Action>) {
    let stage = translate(progress.stage.text());
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        command_button(ui, Command::StopIndexing, actions);
        if progress.problems > 0 {
            let text = problems_of(progress.problems as usize);
            ui.label(RichText::new(text).color(theme::palette(ui).warning));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.label(RichText::new(&stage).strong());
            match progress.fraction() {
                Some(fraction) => {
                    let bar = ProgressBar::new(fraction).desired_width(BAR).desired_height(8.0);
                    ui.add(bar.fill(theme::palette(ui).accent)).accessible_name(stage);
                }
                None => {
                    ui.spinner();
                }
            }
            ui.add(Label::new(summary(progress)).truncate());
        });
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
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.add(Label::new(text).truncate()));
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

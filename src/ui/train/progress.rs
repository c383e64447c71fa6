//! While it trains: how far the whole is, its steps, and what had to be answered.

use eframe::egui::{self, Align, Label, Layout, ProgressBar, RichText, Sense, Stroke, Ui, Vec2};
use tr::tr;

use super::details::details_ui;
use super::time::time_left;
use super::{notice_ui, secondary};
use crate::command::Command;
use crate::job::Progress;
use crate::language::translate;
use crate::train::progress::{Overall, Step, TrainProgress};
use crate::ui::icons::{self, Icon};
use crate::ui::state::training::Run;
use crate::ui::state::{Action, OpenLibrary};
use crate::ui::{count, theme};
use crate::worker::Request;

/// Heights of the bar and of a step, and the room for what stands before a step, in points.
const BAR: f32 = 8.0;
const ROW: f32 = 28.0;
const MARK: f32 = 16.0;

/// How far a training is.
pub(crate) fn progress_ui(ui: &mut Ui, library: &OpenLibrary, run: &Run) {
    let overall = overall(run);
    bar_ui(ui, overall.done, ui.available_width());
    ui.label(RichText::new(time_left(overall.time_left)).weak());
    ui.add_space(theme::GAP);
    for (place, step) in run.steps.iter().enumerate() {
        let state = match place.cmp(&overall.step) {
            std::cmp::Ordering::Less => StepState::Done,
            std::cmp::Ordering::Equal => StepState::Running,
            std::cmp::Ordering::Greater => StepState::ToCome,
        };
        let now = if state == StepState::Running { detail(library, run.progress.as_ref()) } else { String::new() };
        step_ui(ui, *step, state, &now);
    }
    for text in &run.notices {
        ui.add_space(theme::GAP);
        notice_ui(ui, &translate(text), theme::palette(ui).warning);
    }
    ui.add_space(theme::GAP);
    ui.collapsing(tr!("Details"), |ui| details_ui(ui, run));
}

/// The step that follows the training, while the library changes to the new model: the same bar comes to its end.
pub(super) fn changing_ui(ui: &mut Ui, library: &OpenLibrary, run: &Run) {
    let changed = library.progress.as_ref().and_then(Progress::fraction).unwrap_or(0.0);
    let before = overall(run).done;
    bar_ui(ui, before + (1.0 - before) * changed, ui.available_width());
    let now = library.progress.as_ref().map(of_total).unwrap_or_default();
    step_ui(ui, Step::Use, StepState::Running, &now);
}

fn overall(run: &Run) -> Overall {
    run.progress.as_ref().map(|progress| progress.overall).unwrap_or_default()
}

/// The share of the whole that is done, from 0 to 1; `None` where no training runs yet.
pub(crate) fn fraction(run: &Run) -> Option<f32> {
    run.progress.as_ref().map(|progress| progress.overall.done)
}

fn bar_ui(ui: &mut Ui, done: f32, width: f32) {
    let bar = ProgressBar::new(done).desired_width(width).desired_height(BAR).fill(theme::palette(ui).accent);
    ui.add(bar).accessible_name(tr!("Training"));
}

#[derive(Clone, Copy, PartialEq)]
enum StepState {
    Done,
    Running,
    ToCome,
}

/// A line of the checklist: a tick, a ring or a dot, the step, and under it how far the step itself is.
fn step_ui(ui: &mut Ui, step: Step, state: StepState, now: &str) {
    let text = translate(step.text());
    let spoken = match state {
        StepState::Done => tr!("{}: done", text),
        StepState::Running => tr!("{}: goes on", text),
        StepState::ToCome => tr!("{}: to come", text),
    };
    ui.horizontal_top(|ui| {
        ui.set_min_height(ROW);
        let (place, _) = ui.allocate_exact_size(Vec2::splat(MARK), Sense::hover());
        let (accent, weak) = (theme::palette(ui).accent, ui.visuals().weak_text_color());
        match state {
            StepState::Done => icons::paint(ui.painter(), Icon::Tick, place.shrink(2.0), accent),
            // At rest: what turns is drawn all the time, by the processor that trains.
            StepState::Running => _ = ui.painter().circle_stroke(place.center(), 5.0, Stroke::new(3.0, accent)),
            StepState::ToCome => _ = ui.painter().circle_filled(place.center(), 2.5, weak),
        }
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            let text = RichText::new(&text);
            let text = match state {
                StepState::Running => text.strong(),
                StepState::Done => text,
                StepState::ToCome => text.weak(),
            };
            let label = ui.add(Label::new(text).wrap());
            label.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, &spoken));
            if !now.is_empty() {
                ui.add(Label::new(RichText::new(now).small().weak()).wrap());
                ui.add_space(theme::GAP);
            }
        });
    });
}

/// How far the running step itself is: "Time 2 of 5 · Epoch 3 of 20".
fn detail(library: &OpenLibrary, progress: Option<&TrainProgress>) -> String {
    let mut parts = Vec::new();
    match (&library.progress, progress) {
        // What has to end before the training can begin.
        (Some(before), _) => parts.extend([translate(before.stage.text()), of_total(before)]),
        (None, Some(progress)) => {
            let Overall { round, rounds, .. } = progress.overall;
            if rounds > 1 {
                parts.push(tr!("Time {} of {}", round.max(1), rounds));
            }
            if progress.epochs > 0 {
                parts.push(tr!("Epoch {} of {}", progress.epoch, progress.epochs));
            } else if progress.steps > 0 {
                parts.push(tr!("{} of {}", count(progress.step as usize), count(progress.steps as usize)));
            }
        }
        (None, None) => {}
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

fn of_total(progress: &Progress) -> String {
    let of = progress.total.map(|total| tr!("{} of {}", count(progress.done as usize), count(total as usize)));
    of.unwrap_or_default()
}

/// The ways to end it.
pub(crate) fn foot_ui(ui: &mut Ui, run: &Run, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let cancel =
            ui.add(secondary(tr!("Cancel"))).on_hover_text(tr!("Stop at once; the current model stays in use"));
        if cancel.clicked() {
            actions.push(Action::Request(Request::CancelJob));
        }
        let text = if run.stopping { tr!("Stopping…") } else { tr!("Stop and keep the best so far") };
        let stop = ui.add_enabled(!run.stopping, secondary(text));
        if stop.on_hover_text(tr!("What has been learnt is measured, and used where it is better")).clicked() {
            actions.push(Action::Request(Request::StopTraining));
        }
    });
}

/// The line at the window's foot, while the panel is closed.
pub(crate) fn line_ui(ui: &mut Ui, run: &Run, actions: &mut Vec<Action>) {
    let overall = overall(run);
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        if ui.button(tr!("Show")).on_hover_text(tr!("Open the training panel")).clicked() {
            actions.push(Action::Command(Command::Train));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.label(RichText::new(tr!("Training")).strong());
            bar_ui(ui, overall.done, 220.0);
            ui.add(Label::new(RichText::new(time_left(overall.time_left)).weak()).truncate());
        });
    });
}

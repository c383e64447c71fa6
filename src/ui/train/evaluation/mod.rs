//! When it is over: whether the new model is better and how that is known, in words, as a plot, as a table and by a few
//! searches before and after; and the choice between the two models.

mod examples;
mod mark;
mod measures;

use eframe::egui::{self, Label, RichText, Ui};
use tr::tr;

use super::{FOOT, explain, notice_ui, primary, secondary};
use crate::artefact::EvaluationReport;
use crate::job::Progress;
use crate::language::translate;
use crate::train::wording;
use crate::ui::state::training::Run;
use crate::ui::state::{Action, OpenLibrary, State};
use crate::ui::textures::Textures;
use crate::ui::theme;
use crate::worker::{Request, TrainingEnd};
use examples::examples_ui;
use mark::{Mark, verdict_ui};
use measures::task_ui;

/// What came of a training.
pub(crate) fn result_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    run: &Run,
    end: &TrainingEnd,
    textures: &mut Textures,
) {
    match end {
        TrainingEnd::Stopped => {
            verdict_ui(ui, Mark::Neutral, tr!("Stopped"));
            explain(ui, tr!("There is no new model; the current model stays in use."));
            if state.train.resumable.is_some() {
                explain(ui, tr!("The training can be resumed."));
            }
        }
        TrainingEnd::Failed { message } => {
            verdict_ui(ui, Mark::Bad, tr!("The training failed"));
            notice_ui(ui, &translate(message), theme::palette(ui).error);
            ui.add_space(theme::GAP);
            explain(
                ui,
                tr!(
                    "The model in use is as it was, and so are your photos. Try again; if it fails again, choose the quick \
                     recipe, or another device under \"Advanced\"."
                ),
            );
        }
        TrainingEnd::Done { id, stopped_early, .. } => {
            let Some(report) = &run.evaluation else { return };
            let mark = if report.better { Mark::Good } else { Mark::Neutral };
            verdict_ui(ui, mark, translate(&wording::headline(report)));
            for row in &report.rows {
                ui.add(Label::new(translate(&wording::sentence(row))).wrap());
            }
            if *stopped_early {
                explain(ui, tr!("Stopped early: this is the best of what it had learnt until then."));
            }
            use_ui(ui, state, library, id);
            for row in &report.rows {
                task_ui(ui, row);
            }
            if !report.rows.is_empty() {
                explain(ui, how(report));
                examples_ui(ui, report, library, textures);
            }
        }
    }
    for text in &run.notices {
        ui.add_space(theme::GAP);
        notice_ui(ui, &translate(text), theme::palette(ui).warning);
    }
}

/// Which of the two models answers now.
fn use_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, id: &str) {
    if state.train.changing {
        explain(ui, tr!("Changing the model; the current one answers until that is done."));
        let done = library.progress.as_ref().and_then(Progress::fraction).unwrap_or(0.0);
        let bar = egui::ProgressBar::new(done).desired_height(10.0).fill(theme::palette(ui).accent);
        ui.add(bar).accessible_name(tr!("Changing the model"));
    } else if state.is_in_use(id) {
        explain(ui, tr!("The new model is in use."));
    } else {
        explain(ui, tr!("The current model is in use."));
    }
}

/// How it was measured.
fn how(report: &EvaluationReport) -> String {
    let split = match report.folds {
        _ if report.without_labels() => {
            tr!("Measured on augmented copies of your photos, which it has not learnt from.")
        }
        0 | 1 => tr!("Measured on held-out photos, which it has not learnt from."),
        folds => {
            tr!("Measured {folds} times, each time on other held-out photos, which it has not learnt from.", folds)
        }
    };
    let mut sentences = vec![split];
    if report.before_is_flattered {
        sentences
            .push(tr!("The model before has learnt from some of these photos, so that its figures may be too high."));
    }
    sentences.push(if report.without_labels() {
        tr!("Ranges are 95\u{a0}% confidence intervals, by resampling photos.")
    } else {
        tr!("Ranges are 95\u{a0}% confidence intervals, by resampling species and their photos.")
    });
    sentences.join(" ")
}

/// What can be done now.
pub(crate) fn foot_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    run: &Run,
    end: &TrainingEnd,
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
        ui.set_min_height(FOOT);
        let again = |ui: &mut Ui, is_primary: bool, text: String, actions: &mut Vec<Action>| {
            if ui.add(if is_primary { primary(ui, text) } else { secondary(text) }).clicked() {
                actions.push(Action::TrainAgain);
            }
        };
        match end {
            TrainingEnd::Stopped | TrainingEnd::Failed { .. } => {
                if let Some(options) = &state.train.resumable {
                    if ui.add_enabled(library.writable, primary(ui, tr!("Resume"))).clicked() {
                        actions.push(Action::Request(Request::Train { options: options.clone(), resume: true }));
                    }
                    again(ui, false, tr!("Back"), actions);
                } else {
                    again(ui, true, tr!("Back"), actions);
                }
            }
            TrainingEnd::Done { id, .. } => {
                let is_better = run.evaluation.as_ref().is_some_and(|report| report.better);
                if state.train.changing {
                    ui.label(RichText::new(tr!("Please wait…")).weak());
                } else if state.is_in_use(id) {
                    again(ui, true, tr!("Done"), actions);
                    if let Some(before) = run.before.as_deref().filter(|before| *before != id.as_str()) {
                        use_button_ui(ui, secondary(tr!("Revert to previous model")), before, actions);
                    }
                } else if is_better {
                    use_button_ui(ui, primary(ui, tr!("Use the new model")), id, actions);
                    again(ui, false, tr!("Keep current model"), actions);
                } else {
                    again(ui, true, tr!("Keep current model"), actions);
                    use_button_ui(ui, secondary(tr!("Use it anyway")), id, actions);
                }
            }
        }
    });
}

fn use_button_ui(ui: &mut Ui, button: egui::Button<'_>, id: &str, actions: &mut Vec<Action>) {
    if ui.add(button).clicked() {
        actions.push(Action::Request(Request::UseModel(id.into())));
    }
}

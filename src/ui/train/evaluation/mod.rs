//! When it is over: whether the new model is better and how that is known, in words, by a few searches before and after,
//! as a table and as a plot; and the choice between the two models.

mod decision;
mod examples;
mod mark;
pub(in crate::ui) mod measures;
mod plot;
mod verdict;

use eframe::egui::Ui;
use tr::tr;

use super::{explain, notice_ui};
use crate::artefact::EvaluationReport;
use crate::language::translate;
use crate::ui::state::training::Run;
use crate::ui::state::{OpenLibrary, State};
use crate::ui::textures::Textures;
use crate::ui::theme;
use crate::worker::TrainingEnd;
pub(crate) use decision::foot_ui;
use examples::examples_ui;
use mark::{Mark, card_ui};
use measures::task_ui;
use plot::plot_ui;

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
            let mut words = vec![tr!("There is no new model; the current model stays in use.")];
            if state.train.resumable.is_some() {
                words.push(tr!("The training can be resumed."));
            }
            card_ui(ui, Mark::Neutral, &tr!("Stopped"), &words);
        }
        TrainingEnd::Failed { message } => {
            card_ui(ui, Mark::Bad, &tr!("The training failed"), &[]);
            ui.add_space(theme::GAP);
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
            verdict::verdict_ui(ui, state, library, run, id, report);
            if *stopped_early {
                explain(ui, tr!("Stopped early: this is the best of what it had learnt until then."));
            }
            examples_ui(ui, report, library, textures);
            for row in &report.rows {
                task_ui(ui, row);
            }
            for row in &report.rows {
                plot_ui(ui, row);
            }
            if !report.rows.is_empty() {
                ui.add_space(theme::GAP);
                ui.collapsing(tr!("How this was measured"), |ui| explain(ui, how(report, &library.library.name())));
            }
        }
    }
    for text in &run.notices {
        ui.add_space(theme::GAP);
        notice_ui(ui, &translate(text), theme::palette(ui).warning);
    }
}

/// How it was measured.
fn how(report: &EvaluationReport, folder: &str) -> String {
    let split = match report.folds {
        _ if report.without_labels() => {
            tr!("Measured on {}: cropped and recoloured copies of photos each had to find their original.", folder)
        }
        0 | 1 => tr!("Measured on {}, with photos that were kept back: it has not learnt from them.", folder),
        folds => {
            tr!(
                "Measured on {} {folds} times, each time with other photos that were kept back: it had not learnt from them.",
                folder,
                folds
            )
        }
    };
    let mut sentences = vec![split];
    if report.before_is_flattered {
        sentences
            .push(tr!("The model before has learnt from some of these photos, so that its figures may be too high."));
    }
    sentences.push(if report.without_labels() {
        tr!("Range: where the true value lies, 95\u{a0}% sure, by resampling photos.")
    } else {
        tr!("Range: where the true value lies, 95\u{a0}% sure, by resampling species and their photos.")
    });
    sentences.push(tr!("A figure is green or red only where the difference is more than chance."));
    sentences.join(" ")
}

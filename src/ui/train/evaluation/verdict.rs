//! The verdict: what was measured, or what has been decided since, as a heading; and the numbers that carry it.

use eframe::egui::{RichText, Ui};
use tr::tr;

use super::super::progress::changing_ui;
use super::mark::{Mark, card_ui};
use crate::artefact::{EvaluationReport, Verdict};
use crate::job::Progress;
use crate::language::translate;
use crate::train::{title_of as title_of_new, wording};
use crate::ui::models::title_of;
use crate::ui::state::training::Run;
use crate::ui::state::{OpenLibrary, State};
use crate::ui::theme;

/// The card with the verdict, and while the library changes to another model, how far that is.
pub(super) fn verdict_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    run: &Run,
    id: &str,
    report: &EvaluationReport,
) {
    let measured = translate(&wording::headline(report, run.options.focus));
    let decided = decided(state, library, run, id, report);
    let is_used = state.is_in_use(id);
    let agrees = report.better && !run.kept && (is_used || state.train.changing);
    let mut words = Vec::new();
    // Where a heading says what was decided, what was measured stands under it.
    if decided.is_some() && !agrees {
        words.push(format!("{measured}."));
    }
    words.extend(wording::sentences(report, run.options.focus).iter().map(|sentence| translate(sentence)));
    let mut paragraphs = vec![words.join(" ")];
    if decided.is_none() && report.verdict != Verdict::SameModel {
        paragraphs.push(tr!("Not put in use: \"{}\" goes on answering.", title_before(state, run)));
    }
    let mark = match report.verdict {
        Verdict::Better if agrees => Mark::Good,
        Verdict::Worse if decided.is_none() => Mark::Bad,
        _ => Mark::Neutral,
    };
    card_ui(ui, mark, &decided.unwrap_or(measured), &paragraphs);
    ui.add_space(theme::GAP);
    if state.train.changing && agrees && !is_used {
        changing_ui(ui, library, run);
    } else if state.train.changing {
        let done = library.progress.as_ref().and_then(Progress::fraction).unwrap_or(0.0);
        let bar = eframe::egui::ProgressBar::new(done).desired_height(8.0).fill(theme::palette(ui).accent);
        ui.add(bar).accessible_name(tr!("Changing the model"));
        ui.label(RichText::new(tr!("Changing the model; the current one answers until that is done.")).weak());
    }
}

/// What has been decided, by the measurement or by the user; `None` where nothing has been yet.
fn decided(state: &State, library: &OpenLibrary, run: &Run, id: &str, report: &EvaluationReport) -> Option<String> {
    let is_better = report.better;
    if report.verdict == Verdict::SameModel {
        return None;
    }
    if state.train.changing {
        return Some(match () {
            () if state.is_in_use(id) || run.kept => tr!("Changing the model"),
            () if is_better => tr!("Better: being put in use"),
            () => tr!("Being put in use, at your wish"),
        });
    }
    if state.is_in_use(id) {
        return Some(if is_better { tr!("Better: now in use") } else { tr!("In use, at your wish") });
    }
    if !run.before.as_deref().is_none_or(|before| state.is_in_use(before)) {
        let title = state.model.as_ref().map(|model| translate(&model.title)).unwrap_or_default();
        return Some(tr!("In use: {}", title));
    }
    if run.kept {
        return Some(tr!("Kept: {}", title_before(state, run)));
    }
    is_better.then(|| tr!("Better, but not in use: {}", title_after(state, library, run, id)))
}

/// What the model of before is called.
pub(super) fn title_before(state: &State, run: &Run) -> String {
    let id = run.before.as_deref().unwrap_or_default();
    known_title(state, id).unwrap_or_else(|| id.to_owned())
}

/// What the new model is called.
pub(super) fn title_after(state: &State, library: &OpenLibrary, run: &Run, id: &str) -> String {
    known_title(state, id).unwrap_or_else(|| title_of_new(run.options.recipe, &library.library))
}

fn known_title(state: &State, id: &str) -> Option<String> {
    let listed = state.models.iter().find(|model| model.id == id).map(title_of);
    listed.or_else(|| state.model.as_ref().filter(|model| model.name == id).map(|model| translate(&model.title)))
}

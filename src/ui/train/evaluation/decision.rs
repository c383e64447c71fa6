//! The foot of a result: what can be done now. The buttons name the models that they are about.

use eframe::egui::{self, Button, RichText, Ui};
use tr::tr;

use super::super::{FOOT, primary, secondary};
use super::verdict::{title_after, title_before};
use crate::artefact::{Focus, Task, Verdict};
use crate::train::wording;
use crate::ui::shortened;
use crate::ui::state::training::Run;
use crate::ui::state::{Action, OpenLibrary, State};
use crate::ui::theme;
use crate::worker::{Request, TrainingEnd};

/// Letters of a model's name that a button has room for.
const LETTERS: usize = 24;

/// What can be done now.
pub(crate) fn foot_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    run: &Run,
    end: &TrainingEnd,
    actions: &mut Vec<Action>,
) {
    match end {
        TrainingEnd::Stopped | TrainingEnd::Failed { .. } => ended_ui(ui, state, library, actions),
        TrainingEnd::Done { .. } if state.train.changing => {
            ui.set_min_height(FOOT);
            ui.label(RichText::new(tr!("Please wait…")).weak());
        }
        TrainingEnd::Done { id, .. } => done_ui(ui, &Choice::new(state, library, run, id), actions),
    }
}

fn ended_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let is_only = state.train.resumable.is_none();
        if let Some(options) = &state.train.resumable
            && ui.add_enabled(library.writable, primary(ui, tr!("Resume"))).clicked()
        {
            actions.push(Action::Request(Request::Train { options: options.clone(), resume: true }));
        }
        let back = if is_only { primary(ui, tr!("Back")) } else { secondary(tr!("Back")) };
        if ui.add(back).clicked() {
            actions.push(Action::TrainAgain);
        }
    });
}

/// Two models, and how matters stand between them.
struct Choice<'a> {
    id: &'a str,
    before: Option<&'a str>,
    /// What the buttons say.
    use_it: String,
    keep: String,
    undo: String,
    is_used: bool,
    is_kept: bool,
    verdict: Verdict,
    /// The new one is better for the species of the folders alone, and not trained for only these yet.
    is_for_these: bool,
}

impl<'a> Choice<'a> {
    fn new(state: &State, library: &OpenLibrary, run: &'a Run, id: &'a str) -> Self {
        let before = run.before.as_deref().filter(|before| *before != id);
        let [old, new] = [title_before(state, run), title_after(state, library, run, id)];
        let texts = if old == new {
            [tr!("Use the new model"), tr!("Keep the present model"), tr!("Undo: use the model before")]
        } else {
            let [old, new] = [old, new].map(|title| shortened(&title, LETTERS));
            [tr!("Use \"{}\"", new), tr!("Keep \"{}\"", old), tr!("Undo: use \"{}\"", old)]
        };
        let [use_it, keep, undo] = texts;
        let report = run.evaluation.as_deref();
        let verdict = report.map(|report| report.verdict).unwrap_or_default();
        let traded = report.and_then(|report| wording::traded(&report.rows, run.options.focus));
        let better_on = traded.filter(|_| verdict == Verdict::Trade).map(|(better, _)| better.task);
        let is_for_these = better_on == Some(Task::SeenSpecies) && run.options.focus != Focus::OnlyThese;
        Self { id, before, use_it, keep, undo, is_used: state.is_in_use(id), is_kept: run.kept, verdict, is_for_these }
    }
}

fn done_ui(ui: &mut Ui, choice: &Choice, actions: &mut Vec<Action>) {
    let use_new = || Action::Request(Request::UseModel(choice.id.into()));
    if choice.verdict == Verdict::Trade && !choice.is_used && !choice.is_kept {
        let use_it = if choice.is_for_these { tr!("Use it for my species") } else { choice.use_it.clone() };
        // Neither is proposed: both are as large, and none is green.
        let width = (ui.available_width() - theme::GAP) / 2.0;
        ui.horizontal(|ui| {
            for (text, action) in [(use_it, use_new()), (choice.keep.clone(), Action::KeepModel)] {
                let button = Button::new(&text).min_size(egui::vec2(width, FOOT)).truncate();
                if ui.add_sized([width, FOOT], button).on_hover_text(text).clicked() {
                    actions.push(action);
                }
            }
        });
        if choice.is_for_these {
            let only = ui.add(secondary(tr!("Train for only these species")));
            if only.on_hover_text(tr!("Back to the choice, to be trained for the species of your folders")).clicked() {
                actions.push(Action::TrainOnlyThese);
            }
        }
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let mut button = |ui: &mut Ui, is_primary: bool, text: String, wanted: Vec<Action>| {
            if ui.add(if is_primary { primary(ui, text) } else { secondary(text) }).clicked() {
                actions.extend(wanted);
            }
        };
        if choice.is_used {
            button(ui, true, tr!("Done"), vec![Action::TrainAgain]);
            if let Some(before) = choice.before {
                let undo = vec![Action::KeepModel, Action::Request(Request::UseModel(before.into()))];
                button(ui, false, choice.undo.clone(), undo);
            }
        } else if choice.is_kept {
            button(ui, true, tr!("Done"), vec![Action::TrainAgain]);
            button(ui, false, choice.use_it.clone(), vec![use_new()]);
        } else if choice.verdict == Verdict::Better {
            button(ui, true, choice.use_it.clone(), vec![use_new()]);
            button(ui, false, choice.keep.clone(), vec![Action::KeepModel]);
        } else {
            button(ui, true, choice.keep.clone(), vec![Action::KeepModel]);
            button(ui, false, choice.use_it.clone(), vec![use_new()]);
        }
    });
}

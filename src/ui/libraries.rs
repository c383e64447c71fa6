//! The libraries on this computer: what the program keeps of each folder, and what of that nothing uses any more.

use eframe::egui::{self, Align, Button, Context, Frame, Label, Layout, RichText, ScrollArea, Ui};
use tr::tr;

use super::models::date;
use super::state::{Action, State};
use super::{megabytes, photos_of, theme, window_over_grid};
use crate::artefact::ModelId;
use crate::language::translate;
use crate::libraries::{CleanUp, Contents, LibrarySummary, Unused};
use crate::library::Library;
use crate::system::now;
use crate::worker::Request;

/// Width of the window and of its columns, in points.
const WIDTH: f32 = 760.0;
const FACTS_WIDTH: f32 = 190.0;
const ACTIONS_WIDTH: f32 = 92.0;
/// Names of models that are listed; the rest is counted.
const MODELS_NAMED: usize = 5;

/// What the panel has in hand.
#[derive(Default)]
pub(crate) struct Libraries {
    pub(crate) open: bool,
    question: Option<Question>,
}

impl Libraries {
    /// Opens the list with the question whether this one is to be deleted.
    pub(crate) fn ask_to_forget(&mut self, library: Library) {
        (self.open, self.question) = (true, Some(Question::Forget(library)));
    }
}

/// What waits for a yes.
enum Question {
    Forget(Library),
    CleanUp { models: bool, embeddings: bool },
}

/// A window over the grid.
pub(crate) fn libraries_ui(ctx: &Context, panel: &mut Libraries, state: &State, actions: &mut Vec<Action>) {
    let mut open = panel.open;
    let foot = if matches!(panel.question, Some(Question::CleanUp { .. })) { 340.0 } else { 240.0 };
    let height = (ctx.content_rect().height() - foot).clamp(80.0, 520.0);
    window_over_grid(tr!("Libraries"), &mut open).show(ctx, |ui| {
        ui.set_width(WIDTH.min(ctx.content_rect().width() - 80.0));
        let about = tr!("What is kept of each folder, to search in it. Your photos are not part of it.");
        ui.add(Label::new(RichText::new(about).weak()).wrap());
        ui.add_space(theme::GAP);
        let Some(libraries) = &state.libraries else {
            ui.spinner();
            return;
        };
        if libraries.is_empty() {
            ui.label(tr!("No folder has been opened yet"));
        }
        ScrollArea::vertical().min_scrolled_height(height).max_height(height).show(ui, |ui| {
            for library in libraries.iter() {
                library_ui(ui, library, panel, state, actions);
            }
        });
        unused_ui(ui, &state.unused, panel, actions);
    });
    // A button in it may have closed it, too.
    panel.open &= open;
    if !panel.open {
        panel.question = None;
    }
}

fn library_ui(ui: &mut Ui, summary: &LibrarySummary, panel: &mut Libraries, state: &State, actions: &mut Vec<Action>) {
    let is_open = state.library.as_ref().is_some_and(|open| open.library.folder == summary.library.folder);
    let accent = theme::palette(ui).accent;
    let border = ui.visuals().widgets.noninteractive.bg_stroke.color;
    let stroke = (1.5, if is_open { accent } else { border.gamma_multiply(0.5) });
    let frame = Frame::new().fill(ui.visuals().faint_bg_color).stroke(stroke).corner_radius(theme::ROUNDING);
    let drawn = frame.inner_margin(theme::MARGIN).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            let width = ui.available_width() - FACTS_WIDTH - ACTIONS_WIDTH - 2.0 * theme::WIDE_GAP;
            column(ui, width, |ui| name_ui(ui, summary, is_open));
            ui.add_space(theme::GAP);
            column(ui, FACTS_WIDTH, |ui| facts_ui(ui, summary));
            ui.add_space(theme::GAP);
            let size = egui::vec2(ACTIONS_WIDTH, 0.0);
            ui.allocate_ui_with_layout(size, Layout::top_down_justified(Align::Center), |ui| {
                buttons_ui(ui, summary, is_open, panel, actions);
            });
        });
        if matches!(&panel.question, Some(Question::Forget(library)) if *library == summary.library) {
            ui.add_space(theme::GAP);
            forget_ui(ui, summary, panel, actions);
        }
    });
    let spoken = tr!("Library {}", summary.library.name());
    drawn.response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Group, true, &spoken));
}

fn column(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(egui::vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        ui.spacing_mut().item_spacing.y = 3.0;
        contents(ui);
    });
}

fn name_ui(ui: &mut Ui, summary: &LibrarySummary, is_open: bool) {
    let name = RichText::new(summary.library.name()).strong().size(theme::TITLE_SIZE);
    ui.add(Label::new(name).truncate());
    let path = summary.library.root.display().to_string();
    ui.add(Label::new(RichText::new(&path).weak()).truncate()).on_hover_text(path);
    let palette = theme::palette(ui);
    if !summary.is_here {
        let hint =
            tr!("Was it renamed, or is its drive not connected? Open it where it is now, and this goes on there");
        let text = RichText::new(tr!("The folder is not there")).color(palette.warning);
        ui.add(Label::new(text).truncate()).on_hover_text(hint);
    } else if is_open {
        ui.label(RichText::new(tr!("Open now")).strong().color(palette.accent));
    } else if summary.is_in_use {
        ui.weak(tr!("Open in another Florascope"));
    }
}

fn facts_ui(ui: &mut Ui, summary: &LibrarySummary) {
    let size = megabytes(summary.size);
    match &summary.contents {
        Some(Contents { photos, model_title, .. }) => {
            ui.label(format!("{}, {size}", photos_of(*photos as usize)));
            let model = tr!("Model: {}", translate(model_title));
            ui.add(Label::new(RichText::new(&model).weak()).truncate()).on_hover_text(model);
        }
        None => {
            ui.label(size);
            ui.label(RichText::new(tr!("Its index cannot be read")).color(theme::palette(ui).warning));
        }
    }
    ui.weak(tr!("Used {}", date(summary.opened, now())));
}

fn buttons_ui(ui: &mut Ui, summary: &LibrarySummary, is_open: bool, panel: &mut Libraries, actions: &mut Vec<Action>) {
    let name = summary.library.name();
    let open = ui.add_enabled(summary.is_here && !is_open, Button::new(tr!("Open")));
    let hint = if is_open { tr!("It is open now") } else { tr!("The folder is not there") };
    let open = open.on_hover_text(tr!("Open this folder")).on_disabled_hover_text(hint);
    if open.accessible_name(tr!("Open {name}", name)).clicked() {
        panel.open = false;
        actions.push(Action::Request(Request::Open(summary.library.root.clone())));
    }
    let elsewhere = summary.is_in_use && !is_open;
    let forget = ui.add_enabled(!elsewhere, Button::new(tr!("Forget…")));
    let forget = forget
        .on_hover_text(tr!("Delete what is kept of this folder; the photos are not touched"))
        .on_disabled_hover_text(tr!("Another Florascope has it open"));
    if forget.accessible_name(tr!("Forget {name}…", name)).clicked() {
        panel.question = Some(Question::Forget(summary.library.clone()));
    }
}

fn forget_ui(ui: &mut Ui, summary: &LibrarySummary, panel: &mut Libraries, actions: &mut Vec<Action>) {
    let freed = megabytes(summary.size);
    let text = tr!(
        "Forget this library? That frees {freed}. The photos stay; to search them again, they are read anew.",
        freed
    );
    let answer = question_ui(ui, &text, tr!("Forget"), tr!("Forget {}", summary.library.name()), true);
    if answer == Some(true) {
        actions.push(Action::Request(Request::ForgetLibrary(summary.library.clone())));
    }
    if answer.is_some() {
        panel.question = None;
    }
}

/// A text, and beneath it a yes and a no; what was answered.
fn question_ui(ui: &mut Ui, text: &str, yes: String, spoken: String, enabled: bool) -> Option<bool> {
    let color = theme::palette(ui).error;
    ui.add(Label::new(RichText::new(text).color(color)).wrap());
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let keep = ui.button(tr!("Keep")).clicked();
        let done = ui.add_enabled(enabled, Button::new(RichText::new(yes).color(color)));
        if done.accessible_name(spoken).clicked() { Some(true) } else { keep.then_some(false) }
    })
    .inner
}

/// What nothing uses any more, and the way to be rid of it.
fn unused_ui(ui: &mut Ui, unused: &Unused, panel: &mut Libraries, actions: &mut Vec<Action>) {
    ui.separator();
    let (has_models, has_embeddings) = (!unused.models.is_empty(), !unused.embeddings.is_empty());
    if !has_models && !has_embeddings {
        panel.question.take_if(|question| matches!(question, Question::CleanUp { .. }));
        ui.weak(tr!("Nothing is kept that no folder uses"));
        return;
    }
    if let Some(Question::CleanUp { models, embeddings }) = &mut panel.question {
        if has_embeddings {
            let (folders, size) = (unused.embeddings.len(), megabytes(unused.embedding_bytes()));
            let text = tr!(
                "Embeddings of other models than the one in use, in {n} folder: {size}"
                    | "Embeddings of other models than the one in use, in {n} folders: {size}" % folders,
                size
            );
            ui.checkbox(embeddings, text);
        }
        if has_models {
            ui.checkbox(models, models_text(unused)).on_hover_text(tr!("They cannot be made again as they were"));
        }
        let (models, embeddings) = (*models && has_models, *embeddings && has_embeddings);
        let of = |chosen: bool, bytes: u64| if chosen { bytes } else { 0 };
        let bytes = of(models, unused.model_bytes()) + of(embeddings, unused.embedding_bytes());
        let text = tr!("This frees about {} for good.", megabytes(bytes));
        let answer = question_ui(ui, &text, tr!("Clean up"), tr!("Clean up"), models || embeddings);
        if answer == Some(true) {
            let ids: Vec<ModelId> = unused.models.iter().filter(|_| models).map(|model| model.id.clone()).collect();
            actions.push(Action::Request(Request::CleanUp(CleanUp { models: ids, embeddings })));
        }
        if answer.is_some() {
            panel.question = None;
        }
        return;
    }
    ui.horizontal(|ui| {
        let size = megabytes(unused.model_bytes() + unused.embedding_bytes());
        ui.label(tr!("Models and embeddings that no folder uses: {size}", size));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button(tr!("Clean up…")).on_hover_text(tr!("Choose what to delete")).clicked() {
                panel.question = Some(Question::CleanUp { models: false, embeddings: true });
            }
        });
    });
}

/// "2 models that no folder uses (Roses, Lilies): 48 MB".
fn models_text(unused: &Unused) -> String {
    let titles = unused.models.iter().take(MODELS_NAMED).map(|model| model.card.title.as_str());
    let mut names = titles.collect::<Vec<_>>().join(", ");
    if unused.models.len() > MODELS_NAMED {
        names += ", …";
    }
    let (models, size) = (unused.models.len(), megabytes(unused.model_bytes()));
    tr!(
        "{n} model that no folder uses ({names}): {size}" | "{n} models that no folder uses ({names}): {size}" % models,
        names,
        size
    )
}

//! A field for a path: on request, and where the system's file dialog does not open.

use eframe::egui::{self, Align, Button, Context, Id, Key, Label, Layout, Modal, RichText, TextEdit, Ui};
use tr::tr;

use super::state::Action;
use super::theme;
use crate::desktop::Purpose;
use crate::language::translate;

/// Widest, in points.
const WIDTH: f32 = 560.0;

/// What the prompt has in hand.
#[derive(Default)]
pub(crate) struct PathPrompt(Option<Prompt>);

struct Prompt {
    purpose: Purpose,
    text: String,
    /// Why it is there, where nobody asked for it.
    reason: Option<String>,
    /// What is wrong with the text.
    error: Option<String>,
    /// What the text leads to is being found out.
    checking: bool,
    begun: bool,
}

impl PathPrompt {
    /// Opens the prompt. One for the same purpose keeps its text.
    pub(crate) fn show(&mut self, purpose: Purpose, reason: Option<String>) {
        let text = self.0.take().filter(|prompt| prompt.purpose == purpose).map_or(String::new(), |prompt| prompt.text);
        self.0 = Some(Prompt { purpose, text, reason, error: None, checking: false, begun: false });
    }

    /// Closes the prompt.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }

    /// Closes the prompt if nobody asked for it and nothing has been typed.
    pub(crate) fn withdraw(&mut self) {
        self.0.take_if(|prompt| prompt.reason.is_some() && prompt.text.is_empty());
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Says what is wrong with the text.
    pub(crate) fn refuse(&mut self, error: String) {
        if let Some(prompt) = &mut self.0 {
            (prompt.error, prompt.checking) = (Some(error), false);
        }
    }
}

/// Draws the prompt over everything else, where it is open.
pub(crate) fn path_prompt_ui(ctx: &Context, path_prompt: &mut PathPrompt, actions: &mut Vec<Action>) {
    let Some(prompt) = &mut path_prompt.0 else { return };
    let frame = egui::Frame::window(&ctx.global_style()).inner_margin(theme::DIALOG_MARGIN);
    let modal = Modal::new(Id::unique("path prompt")).frame(frame).show(ctx, |ui| {
        ui.set_width(WIDTH.min(ctx.content_rect().width() - 80.0));
        ui.label(RichText::new(title(&prompt.purpose)).heading());
        if let Some(reason) = &prompt.reason {
            ui.add(Label::new(reason).wrap());
        }
        ui.add_space(theme::GAP);
        let submitted = field_ui(ui, prompt);
        error_ui(ui, prompt);
        let (pressed, cancelled) = buttons_ui(ui, prompt);
        if submitted || pressed {
            prompt.checking = true;
            actions.push(Action::CheckPath { text: prompt.text.clone(), purpose: prompt.purpose.clone() });
        }
        cancelled
    });
    if modal.inner || ctx.input_mut(|input| input.consume_key(egui::Modifiers::NONE, Key::Escape)) {
        path_prompt.close();
    }
}

fn title(purpose: &Purpose) -> String {
    match purpose {
        Purpose::Folder | Purpose::Photo => tr!("Open a folder or photo"),
        Purpose::Model => tr!("Import a model"),
        Purpose::Weights => tr!("Load a network's weights"),
        Purpose::Export { .. } => tr!("Export the model"),
    }
}

/// The field and its name; tells whether Enter was pressed in it.
fn field_ui(ui: &mut Ui, prompt: &mut Prompt) -> bool {
    let name = ui.weak(tr!("Type or paste a path"));
    let field = TextEdit::singleline(&mut prompt.text).desired_width(f32::INFINITY).hint_text("~/Pictures");
    let response = ui.add(field.margin(theme::FIELD_MARGIN)).labelled_by(name.id);
    if response.changed() {
        prompt.error = None;
    }
    let submitted = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    if submitted || !std::mem::replace(&mut prompt.begun, true) {
        response.request_focus();
    }
    submitted && can_submit(prompt)
}

fn can_submit(prompt: &Prompt) -> bool {
    !prompt.checking && !prompt.text.trim().is_empty()
}

/// Its line is there even when it is empty, so that the buttons stay where they are.
fn error_ui(ui: &mut Ui, prompt: &Prompt) {
    let error = RichText::new(translate(prompt.error.as_deref().unwrap_or_default())).color(theme::palette(ui).error);
    ui.add(Label::new(error).wrap());
    ui.add_space(theme::GAP);
}

/// Whether the one that goes on was pressed, and whether the other.
fn buttons_ui(ui: &mut Ui, prompt: &Prompt) -> (bool, bool) {
    let text = match prompt.purpose {
        Purpose::Folder | Purpose::Photo => tr!("Open"),
        Purpose::Model => tr!("Import"),
        Purpose::Weights => tr!("Load"),
        Purpose::Export { .. } => tr!("Export"),
    };
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let palette = theme::palette(ui);
        let size = egui::vec2(84.0, ui.spacing().interact_size.y);
        let go_on = if can_submit(prompt) {
            Button::new(RichText::new(text).color(palette.on_accent)).fill(palette.accent)
        } else {
            Button::new(text)
        };
        let pressed = ui.add_enabled(can_submit(prompt), go_on.min_size(size)).clicked();
        (pressed, ui.add(Button::new(tr!("Cancel")).min_size(size)).clicked())
    })
    .inner
}

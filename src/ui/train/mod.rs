//! The panel for training, at the right: before the start what it will learn from and how, then how far it is, at last
//! what came of it. The library stays in the middle of the window, so searching goes on meanwhile.

mod details;
pub(super) mod evaluation;
pub(crate) mod progress;
mod setup;
mod time;

use eframe::egui::{self, Align, Button, CentralPanel, Frame, Layout, Panel, RichText, ScrollArea, Ui};
use egui_plot::Plot;
use tr::tr;

use super::state::training::Phase;
use super::state::{Action, OpenLibrary, State};
use super::textures::Textures;
use super::{add_command, theme};
use crate::artefact::{Loss, Recipe};
use crate::command::Command;

/// Height of the buttons at the foot, in points.
const FOOT: f32 = 34.0;

/// What a recipe is called.
pub(crate) fn recipe_name(recipe: Recipe) -> String {
    match recipe {
        Recipe::Quick => tr!("Quick"),
        Recipe::Full => tr!("Full"),
        Recipe::Tutorial => tr!("Tutorial"),
    }
}

/// What a loss is called.
pub(crate) fn loss_name(loss: Loss) -> String {
    match loss {
        Loss::RandomTriplet => tr!("Random triplets"),
        Loss::BatchHardTriplet => tr!("Batch-hard triplets"),
        Loss::SemiHardTriplet => tr!("Semi-hard triplets"),
        Loss::MultiSimilarity => tr!("Multi-Similarity"),
        Loss::ProxyAnchor => tr!("Proxy-Anchor"),
        Loss::NormalisedSoftmax => tr!("Normalised softmax"),
    }
}

/// The panel: its title, what the phase has to say, and the buttons at its foot.
pub fn train_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, textures: &mut Textures, actions: &mut Vec<Action>) {
    let title = match &state.train.phase {
        Phase::Setup => tr!("Train"),
        Phase::Running(run) => tr!("Training – {}", recipe_name(run.options.recipe)),
        Phase::Ended(run, _) => tr!("Result – {}", recipe_name(run.options.recipe)),
    };
    ui.horizontal(|ui| {
        ui.label(RichText::new(title).heading());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            add_command(
                ui,
                Command::Train,
                Button::new("×").min_size(egui::Vec2::splat(28.0)).frame_when_inactive(false),
                true,
                actions,
            )
            .accessible_name(tr!("Close the training panel"));
        });
    });
    ui.add_space(theme::GAP);
    Panel::bottom("train-foot").frame(Frame::new()).resizable(false).show_separator_line(false).show(ui, |ui| {
        ui.add_space(theme::GAP);
        ui.separator();
        ui.add_space(theme::GAP);
        match &state.train.phase {
            Phase::Setup => setup::foot_ui(ui, state, library, actions),
            Phase::Running(run) => progress::foot_ui(ui, run, actions),
            Phase::Ended(run, end) => evaluation::foot_ui(ui, state, library, run, end, actions),
        }
    });
    CentralPanel::default().frame(Frame::new()).show(ui, |ui| {
        let phase = std::mem::discriminant(&state.train.phase);
        ScrollArea::vertical().id_salt(("train", format!("{phase:?}"))).auto_shrink(false).show(ui, |ui| {
            // Room for the scroll bar.
            ui.set_width(ui.available_width() - theme::GAP);
            match &state.train.phase {
                Phase::Setup => setup::setup_ui(ui, state, library, actions),
                Phase::Running(run) => progress::progress_ui(ui, library, run),
                Phase::Ended(run, end) => evaluation::result_ui(ui, state, library, run, end, textures),
            }
        });
    });
}

/// A plot to look at: nothing in it moves by hand.
fn still_plot<'a>(ui: &Ui, id: impl egui::AsIdSalt) -> Plot<'a> {
    Plot::new(id)
        .show_background(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .allow_axis_zoom_drag(false)
        .show_crosshair(false)
        .grid_color(ui.visuals().weak_text_color().gamma_multiply(0.35))
}

/// A title over a part of the panel.
fn section(ui: &mut Ui, text: impl Into<String>) {
    ui.add_space(theme::GAP);
    ui.label(RichText::new(text).strong());
}

/// Text that may take several lines, less prominent than the rest.
fn explain(ui: &mut Ui, text: impl Into<String>) {
    ui.add(egui::Label::new(RichText::new(text).weak()).wrap());
}

/// A box with a message that must not be overlooked.
fn notice_ui(ui: &mut Ui, text: &str, color: egui::Color32) {
    let frame = Frame::new().inner_margin(theme::GAP as i8).corner_radius(theme::ROUNDING);
    frame.fill(ui.visuals().faint_bg_color).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(egui::Label::new(RichText::new(text).color(color)).wrap());
    });
}

/// The one button to press next.
fn primary(ui: &Ui, text: impl Into<String>) -> Button<'static> {
    let palette = theme::palette(ui);
    let text = RichText::new(text).color(palette.on_accent).strong();
    Button::new(text).fill(palette.accent).min_size(egui::vec2(96.0, FOOT))
}

/// The others beside it, of the same height.
fn secondary(text: impl Into<String>) -> Button<'static> {
    Button::new(text.into()).min_size(egui::vec2(0.0, FOOT))
}

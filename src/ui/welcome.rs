//! What a newcomer sees: what the program does, and the two ways to begin.

use eframe::egui::{Align, Layout, RichText, Ui};

use super::state::{Action, State};
use super::{command_button, primary_button, theme};
use crate::command::Command;

/// Fills the window while no library is open.
pub fn welcome_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let content = 330.0 + 30.0 * state.recent.len().min(6) as f32;
    ui.add_space(((ui.available_height() - content) / 2.0).max(theme::WIDE_GAP));
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.label(RichText::new("Florascope").size(44.0).strong().color(theme::palette(ui).accent));
        ui.add_space(theme::GAP);
        ui.label(
            RichText::new("Drop a photo of a flower, and see the most similar photos in your own folder").size(18.0),
        );
        ui.add_space(2.0 * theme::WIDE_GAP);
        if state.opening {
            ui.spinner();
            ui.label("Opening…");
            return;
        }
        primary_button(ui, Command::OpenFolder, actions);
        ui.add_space(2.0);
        command_button(ui, Command::OpenGarden, actions);
        ui.add_space(theme::WIDE_GAP);
        ui.weak("or drop a folder here");
        if !state.recent.is_empty() {
            ui.add_space(theme::WIDE_GAP);
            ui.label(RichText::new("Recent folders").strong());
            for path in state.recent.iter().take(6) {
                if ui.link(path.display().to_string()).on_hover_text("Open this folder").clicked() {
                    actions.push(Action::OpenFolder(path.clone()));
                }
            }
        }
        ui.add_space(2.0 * theme::WIDE_GAP);
        ui.weak("Your photos stay on this computer, and are never changed");
    });
}

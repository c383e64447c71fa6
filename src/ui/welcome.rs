//! What a newcomer sees: what the program does, and the two ways to begin.

use eframe::egui::{Align, Button, Label, Layout, RichText, ScrollArea, Ui};
use tr::tr;

use super::header::language_menu_ui;
use super::state::{Action, State};
use super::{add_command, command_button, primary_button, theme};
use crate::command::Command;
use crate::settings::Settings;
use crate::worker::Request;

/// Fills the window while no library is open. Where it is small, what does not fit is scrolled to.
pub(crate) fn welcome_ui(ui: &mut Ui, state: &State, settings: &Settings, actions: &mut Vec<Action>) {
    let content = 396.0 + 30.0 * (state.recent.len() + 1).min(7) as f32;
    let above = ((ui.available_height() - content) / 2.0).max(theme::WIDE_GAP);
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.add_space(above);
        content_ui(ui, state, settings, actions);
    });
}

fn content_ui(ui: &mut Ui, state: &State, settings: &Settings, actions: &mut Vec<Action>) {
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.label(RichText::new("Florascope").size(theme::NAME_SIZE).strong().color(theme::palette(ui).accent));
        ui.add_space(theme::GAP);
        let lead = tr!("Drop a photo of a flower, and see the most similar photos in your own folder");
        ui.add(Label::new(RichText::new(lead).size(theme::LEAD_SIZE)).wrap());
        ui.add_space(2.0 * theme::WIDE_GAP);
        if state.opening {
            ui.spinner();
            ui.label(tr!("Opening…"));
            return;
        }
        primary_button(ui, Command::OpenFolder, actions);
        ui.add_space(2.0);
        command_button(ui, Command::OpenGarden, actions);
        ui.add_space(theme::WIDE_GAP);
        ui.weak(tr!("or drop a folder here"));
        let path =
            Button::new(RichText::new(Command::OpenPath.info().text).color(ui.visuals().hyperlink_color)).frame(false);
        add_command(ui, Command::OpenPath, path, true, actions);
        if !state.recent.is_empty() {
            ui.add_space(theme::WIDE_GAP);
            ui.label(RichText::new(tr!("Recent folders")).strong());
            for path in state.recent.iter().take(6) {
                if ui.link(path.display().to_string()).on_hover_text(tr!("Open this folder")).clicked() {
                    actions.push(Action::Request(Request::Open(path.clone())));
                }
            }
            let all = Command::ShowLibraries;
            let text = RichText::new(all.info().text).color(ui.visuals().hyperlink_color);
            add_command(ui, all, Button::new(text).frame(false), true, actions);
        }
        ui.add_space(2.0 * theme::WIDE_GAP);
        ui.weak(tr!("Your photos stay on this computer, and are never changed"));
        ui.add_space(theme::GAP);
        let text = RichText::new(Command::ShowAbout.info().text).color(ui.visuals().hyperlink_color);
        add_command(ui, Command::ShowAbout, Button::new(text).frame(false), true, actions);
        language_menu_ui(ui, settings, actions);
    });
}

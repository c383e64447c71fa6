//! The query over the photos, where the window is too narrow for a panel beside them.

use eframe::egui::{RichText, Ui};
use tr::tr;

use super::sidebar::picture_ui;
use super::state::{Action, State};
use super::{command_button, theme};
use crate::command::Command;

/// Height of the picture, in points.
const PICTURE: f32 = 72.0;
/// The height from which on there is room for it and the photos, in points.
pub(crate) const FROM_HEIGHT: f32 = 400.0;

/// The strip, where there is a query.
pub(crate) fn strip_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(visit) = state.visit().filter(|visit| visit.query.is_some()) else { return };
    ui.horizontal(|ui| {
        picture_ui(ui, visit, state.query_picture(), PICTURE * 1.5, PICTURE);
        ui.vertical(|ui| {
            ui.label(RichText::new(tr!("Photos similar to")).strong());
            ui.add(eframe::egui::Label::new(visit.name()).truncate());
            command_button(ui, Command::ClearQuery, actions);
        });
    });
    ui.add_space(theme::GAP);
}

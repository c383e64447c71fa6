//! Short messages at the bottom of the window, clear of the buttons at the foot of the panels at its sides: what has just happened, or gone wrong.

use std::time::Instant;

use eframe::egui::{self, Align2, Area, Context, Frame, Id};
use tr::tr;

use super::state::{Action, State};
use super::theme;
use crate::language::translate;
use crate::ui::status::STATUS_BAR;

/// Draws the messages, and asks for a frame when the next one is to go.
pub(crate) fn toasts_ui(ctx: &Context, state: &State, actions: &mut Vec<Action>) {
    let now = Instant::now();
    if let Some(next) = state.toasts.iter().map(|toast| toast.until).min() {
        ctx.request_repaint_after(next.saturating_duration_since(now));
    }
    let mut above = 0.0;
    for (number, toast) in state.toasts.iter().enumerate() {
        let area = Area::new(Id::unique("toast").with(number))
            .anchor(Align2::CENTER_BOTTOM, [0.0, -STATUS_BAR - theme::WIDE_GAP - above]);
        let drawn = area.order(egui::Order::Foreground).show(ctx, |ui| {
            Frame::popup(ui.style()).inner_margin(theme::MARGIN).show(ui, |ui| {
                ui.set_max_width(480.0);
                ui.horizontal(|ui| {
                    let palette = theme::palette(ui);
                    let color = if toast.is_error { palette.error } else { ui.visuals().text_color() };
                    ui.add(egui::Label::new(egui::RichText::new(translate(&toast.text)).color(color)).wrap());
                    if ui.button("×").on_hover_text(tr!("Dismiss")).accessible_name(tr!("Dismiss")).clicked() {
                        actions.push(Action::DismissToast(number));
                    }
                });
            });
        });
        above += drawn.response.rect.height() + theme::GAP;
    }
}

//! Short messages at the lower right of the photos, clear of the buttons at the foot of the panels at their sides: what has
//! just happened, or gone wrong.

use std::time::Instant;

use eframe::egui::{self, Align2, Area, Context, Frame, Id, Rect};
use tr::tr;

use super::state::{Action, State};
use super::theme;
use crate::language::translate;

/// Draws the messages over what lies at `over`, and asks for a frame when the next one is to go.
pub(crate) fn toasts_ui(ctx: &Context, state: &State, over: Rect, actions: &mut Vec<Action>) {
    let now = Instant::now();
    if let Some(next) = state.toasts.iter().map(|toast| toast.until).min() {
        ctx.request_repaint_after(next.saturating_duration_since(now));
    }
    let mut above = 0.0;
    for (number, toast) in state.toasts.iter().enumerate() {
        let area = Area::new(Id::unique("toast").with(number))
            .pivot(Align2::RIGHT_BOTTOM)
            .fixed_pos(over.right_bottom() - egui::vec2(theme::WIDE_GAP, theme::WIDE_GAP + above));
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

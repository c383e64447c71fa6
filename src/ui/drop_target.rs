//! What is laid over the window while files hover above it.

use eframe::egui::text::LayoutJob;
use eframe::egui::{self, Context, CornerRadius, FontId, Id, LayerId, Order, StrokeKind, Ui};
use tr::tr;

use super::state::State;
use super::theme;

/// Draws the target over everything else while something hovers.
pub(crate) fn drop_target_ui(ctx: &Context, ui: &Ui, state: &State) {
    if !state.hovering && ctx.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    // Without a library there is nothing to search.
    let text = if state.library.is_some() {
        tr!("Drop a photo to find the ones most similar to it,\nor a folder to open it")
    } else {
        tr!("Drop a folder of photos to open it")
    };
    let palette = theme::palette(ui);
    // Above tooltips, too.
    let painter = ctx.layer_painter(LayerId::new(Order::Debug, Id::unique("drop target")));
    let window = ctx.content_rect();
    painter.rect_filled(window, CornerRadius::ZERO, palette.veil);
    let target = window.shrink(28.0);
    painter.rect_stroke(target, CornerRadius::same(16), (3.0, palette.accent), StrokeKind::Inside);
    let color = ui.visuals().text_color();
    let mut job = LayoutJob::simple(text.clone(), FontId::proportional(theme::DROP_SIZE), color, target.width());
    job.halign = egui::Align::Center;
    let galley = painter.layout_job(job);
    painter.galley(target.center() - egui::vec2(0.0, galley.size().y / 2.0), galley, color);
    let response = ui.interact(target, Id::unique("drop target"), egui::Sense::empty());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, text.as_str()));
}

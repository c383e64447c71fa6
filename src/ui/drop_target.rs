//! What is laid over the window while files hover above it.

use eframe::egui::{self, Align2, Context, CornerRadius, FontId, Id, LayerId, Order, StrokeKind, Ui};

use super::theme;

/// Draws the target over everything else while files hover; `has_library` says whether a photo can be searched with.
pub fn drop_target_ui(ctx: &Context, ui: &Ui, has_library: bool) {
    if ctx.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let text = if has_library {
        "Drop a photo to find the ones most similar to it,\nor a folder to open it"
    } else {
        "Drop a folder of photos to open it"
    };
    let palette = theme::palette(ui);
    let painter = ctx.layer_painter(LayerId::unique(Order::Foreground, Id::unique("drop target")));
    let window = ctx.content_rect();
    painter.rect_filled(window, CornerRadius::ZERO, palette.veil);
    let target = window.shrink(28.0);
    painter.rect_stroke(target, CornerRadius::same(16), (3.0, palette.accent), StrokeKind::Inside);
    let color = ui.visuals().text_color();
    painter.text(target.center(), Align2::CENTER_CENTER, text, FontId::proportional(24.0), color);
    let response = ui.interact(target, Id::unique("drop target"), egui::Sense::empty());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, text));
}

//! Marks that say good or bad without words, and the card with a heading beside one.

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Frame, Label, Pos2, RichText, Sense, Stroke, Ui, WidgetInfo};

use crate::ui::theme;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mark {
    Good,
    Bad,
    Neutral,
}

/// A card with a heading beside its mark, and paragraphs of what there is to be said.
pub(super) fn card_ui(ui: &mut Ui, mark: Mark, heading: &str, paragraphs: &[String]) {
    let frame = Frame::new().inner_margin(theme::MARGIN).corner_radius(theme::ROUNDING);
    frame.fill(ui.visuals().faint_bg_color).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_top(|ui| {
            let (place, _) = ui.allocate_exact_size(egui::Vec2::splat(24.0), Sense::hover());
            paint_mark(ui, place.center(), 11.0, mark);
            let label = ui.add(Label::new(RichText::new(heading).size(theme::PRIMARY_SIZE).strong()).wrap());
            label.widget_info(|| WidgetInfo::labeled(Role::Heading, true, heading));
        });
        for text in paragraphs.iter().filter(|text| !text.is_empty()) {
            ui.add(Label::new(text).wrap());
        }
    });
}

/// A tick, a cross or a dash: told apart by shape as well as by colour.
pub(super) fn paint_mark(ui: &Ui, centre: Pos2, radius: f32, mark: Mark) {
    let palette = theme::palette(ui);
    let fill = match mark {
        Mark::Good => palette.accent,
        Mark::Bad => palette.error,
        Mark::Neutral => ui.visuals().weak_text_color(),
    };
    let at = |x: f32, y: f32| centre + egui::vec2(x, y) * radius;
    let lines: &[&[Pos2]] = match mark {
        Mark::Good => &[&[at(-0.45, 0.05), at(-0.1, 0.4), at(0.5, -0.35)]],
        Mark::Bad => &[&[at(-0.35, -0.35), at(0.35, 0.35)], &[at(-0.35, 0.35), at(0.35, -0.35)]],
        Mark::Neutral => &[&[at(-0.45, 0.0), at(0.45, 0.0)]],
    };
    ui.painter().circle_filled(centre, radius, fill);
    for line in lines {
        ui.painter().line(line.to_vec(), Stroke::new((radius * 0.2).max(1.5), palette.on_accent));
    }
}

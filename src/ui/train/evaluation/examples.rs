//! A few searches with each model.

use std::sync::Arc;

use eframe::egui::{self, Label, Rect, RichText, Sense, Ui};
use tr::tr;

use super::super::section;
use super::mark::{Mark, paint_mark};
use crate::artefact::{EvaluationReport, Example};
use crate::photo::Photo;
use crate::pictures::PictureRequest;
use crate::ui::grid::paint_cover;
use crate::ui::state::OpenLibrary;
use crate::ui::textures::{Picture, Textures};
use crate::ui::theme;

pub(super) fn examples_ui(ui: &mut Ui, report: &EvaluationReport, library: &OpenLibrary, textures: &mut Textures) {
    if report.examples.is_empty() {
        return;
    }
    ui.add_space(theme::GAP);
    section(ui, tr!("Searches before and after"));
    for example in &report.examples {
        example_ui(ui, example, report.without_labels(), library, textures);
        ui.add_space(theme::WIDE_GAP);
    }
}

fn example_ui(ui: &mut Ui, example: &Example, finds_itself: bool, library: &OpenLibrary, textures: &mut Textures) {
    const LABEL: f32 = 44.0;
    const GAP: f32 = 6.0;
    let results = example.before.len().max(example.after.len()).max(1) as f32;
    let width = ui.available_width();
    // The query is as high as the two rows beside it.
    let side = ((width - LABEL - (results + 2.0) * GAP) / (results + 2.0)).clamp(28.0, 72.0);
    let query = &example.query;
    let is_right = |found: &Photo| if finds_itself { found.id == query.id } else { found.label() == query.label() };
    ui.spacing_mut().item_spacing = egui::vec2(GAP, GAP);
    ui.horizontal(|ui| {
        thumbnail_ui(ui, 2.0 * side + GAP, query, &tr!("Query: {}", name(query)), None, library, textures);
        ui.vertical(|ui| {
            for (word, found) in [(tr!("Before"), &example.before), (tr!("After"), &example.after)] {
                ui.horizontal(|ui| {
                    let place = ui.allocate_exact_size(egui::vec2(LABEL, side), Sense::hover()).0;
                    let font = egui::TextStyle::Small.resolve(ui.style());
                    let color = ui.visuals().weak_text_color();
                    ui.painter().text(place.right_center(), egui::Align2::RIGHT_CENTER, &word, font, color);
                    for (number, photo) in found.iter().enumerate() {
                        let right = is_right(photo);
                        let said = if right { tr!("right") } else { tr!("wrong") };
                        let spoken = format!("{word} {}: {}, {said}", number + 1, name(photo));
                        thumbnail_ui(ui, side, photo, &spoken, Some(right), library, textures);
                    }
                });
            }
        });
    });
    ui.add(Label::new(RichText::new(name(query)).small().weak()).truncate());
}

/// A photo's label and file name.
fn name(photo: &Photo) -> String {
    match photo.label() {
        Some(label) => format!("{}, {}", label.to_string_lossy(), photo.file_name()),
        None => photo.file_name(),
    }
}

fn thumbnail_ui(
    ui: &mut Ui,
    side: f32,
    photo: &Arc<Photo>,
    spoken: &str,
    right: Option<bool>,
    library: &OpenLibrary,
    textures: &mut Textures,
) {
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(side), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, spoken));
    if !ui.is_rect_visible(rect) {
        return;
    }
    ui.painter().rect_filled(rect, theme::ROUNDING, theme::palette(ui).empty);
    let wish = PictureRequest::Thumbnail { photo: Arc::clone(photo), library: Arc::clone(&library.library) };
    if let Picture::Ready(texture) = textures.get(wish) {
        paint_cover(ui, &texture, rect);
    }
    if let Some(right) = right {
        let badge = Rect::from_min_max(rect.max - egui::Vec2::splat(16.0), rect.max).center();
        ui.painter().circle_filled(badge, 8.5, ui.visuals().window_fill);
        paint_mark(ui, badge, 7.0, if right { Mark::Good } else { Mark::Bad });
    }
    response.on_hover_text(spoken);
}

//! A few searches with each model.

use std::sync::Arc;

use eframe::egui::accesskit::Role;
use eframe::egui::{self, FontId, Label, Rect, RichText, Sense, Ui, WidgetInfo, vec2};
use tr::tr;

use super::super::section;
use super::mark::{Mark, paint_mark};
use crate::artefact::{EvaluationReport, Example};
use crate::photo::Photo;
use crate::ui::grid::paint_thumbnail;
use crate::ui::state::OpenLibrary;
use crate::ui::textures::Textures;
use crate::ui::{one_line, theme};

/// Sides of the query's picture and of a result's, and the height of a name under one, in points.
const QUERY: f32 = 88.0;
const RESULT: f32 = 56.0;
const NAME: f32 = 14.0;
const GAP: f32 = 6.0;

/// What a mark on a result says.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    Right,
    Wrong,
    /// The very photo that was searched with.
    Itself,
    /// Without labels nobody knows what a look-alike is.
    LookAlike,
}

/// The best gain and the worst loss, or another gain; the others are folded.
pub(super) fn examples_ui(ui: &mut Ui, report: &EvaluationReport, library: &OpenLibrary, textures: &mut Textures) {
    let [first, others @ ..] = report.examples.as_slice() else { return };
    section(ui, tr!("Searches before and after"));
    let finds_itself = report.without_labels();
    let (middle, last) = others.split_last().map_or((others, None), |(last, middle)| (middle, Some(last)));
    for example in std::iter::once(first).chain(last) {
        example_ui(ui, example, finds_itself, library, textures);
    }
    if !middle.is_empty() {
        ui.collapsing(tr!("More searches"), |ui| {
            for example in middle {
                example_ui(ui, example, finds_itself, library, textures);
            }
        });
    }
}

fn example_ui(ui: &mut Ui, example: &Example, finds_itself: bool, library: &OpenLibrary, textures: &mut Textures) {
    let query = &example.query;
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing = vec2(GAP, 2.0);
        ui.horizontal(|ui| {
            picture_ui(ui, QUERY, query, &tr!("Query: {}", name(query)), library, textures);
            ui.vertical(|ui| {
                if let Some(label) = query.label() {
                    ui.add(Label::new(RichText::new(label.to_string_lossy()).strong()).truncate());
                }
                ui.add(Label::new(RichText::new(query.file_name()).small().weak()).truncate());
            });
        });
        for (word, found) in [(tr!("Before"), &example.before), (tr!("After"), &example.after)] {
            let mut line = word.clone();
            if finds_itself {
                let place = found.iter().position(|photo| photo.id == query.id);
                line = match place {
                    Some(place) => tr!("{}: found at {}", word, place + 1),
                    None => tr!("{}: not among the first {}", word, found.len()),
                };
            }
            ui.add_space(4.0);
            ui.label(RichText::new(line).small().weak());
            ui.horizontal(|ui| {
                for (number, photo) in found.iter().enumerate() {
                    let kind = match finds_itself {
                        true if photo.id == query.id => Found::Itself,
                        true => Found::LookAlike,
                        false if photo.label() == query.label() => Found::Right,
                        false => Found::Wrong,
                    };
                    result_ui(ui, &format!("{word} {}", number + 1), photo, kind, library, textures);
                }
            });
        }
    });
    ui.add_space(theme::WIDE_GAP);
}

/// A photo's label and file name.
fn name(photo: &Photo) -> String {
    match photo.label() {
        Some(label) => format!("{}, {}", label.to_string_lossy(), photo.file_name()),
        None => photo.file_name(),
    }
}

/// A result with its mark, and under it the name of its species.
fn result_ui(
    ui: &mut Ui,
    place: &str,
    photo: &Arc<Photo>,
    kind: Found,
    library: &OpenLibrary,
    textures: &mut Textures,
) {
    let said = match kind {
        Found::Right => tr!("right"),
        Found::Wrong => tr!("wrong"),
        Found::Itself => tr!("the photo itself"),
        Found::LookAlike => String::new(),
    };
    let spoken: Vec<_> = [format!("{place}: {}", name(photo)), said].into_iter().filter(|t| !t.is_empty()).collect();
    let spoken = spoken.join(", ");
    ui.vertical(|ui| {
        ui.set_width(RESULT);
        let rect = picture_ui(ui, RESULT, photo, &spoken, library, textures);
        let mark = match kind {
            Found::Right | Found::Itself => Some(Mark::Good),
            Found::Wrong => Some(Mark::Bad),
            Found::LookAlike => None,
        };
        if let Some(mark) = mark {
            let badge = Rect::from_min_max(rect.max - egui::Vec2::splat(16.0), rect.max).center();
            ui.painter().circle_filled(badge, 8.5, ui.visuals().window_fill);
            paint_mark(ui, badge, 7.0, mark);
        }
        if let (Some(label), false) = (photo.label(), kind == Found::LookAlike) {
            let (place, _) = ui.allocate_exact_size(vec2(RESULT, NAME), Sense::hover());
            let color = ui.visuals().weak_text_color();
            let text =
                one_line(ui, label.into_owned().to_string_lossy().into(), FontId::proportional(11.0), color, RESULT);
            ui.painter().galley(place.min, text, color);
        }
    });
}

/// A thumbnail that a screen reader can name; gives its place.
fn picture_ui(
    ui: &mut Ui,
    side: f32,
    photo: &Arc<Photo>,
    spoken: &str,
    library: &OpenLibrary,
    textures: &mut Textures,
) -> Rect {
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(side), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, spoken));
    if ui.is_rect_visible(rect) {
        paint_thumbnail(ui, photo, &library.library, rect, textures);
        response.on_hover_text(spoken);
    }
    rect
}

//! One photo large, beside the query.

use std::sync::Arc;

use eframe::egui::{self, Align, Layout, Rect, RichText, Sense, TextureHandle, Ui};
use tr::tr;

use super::dates::{place_text, taken_text};
use super::grid::{likeness_text, photo_menu_ui};
use super::state::{Action, OpenLibrary, State};
use super::textures::{Picture, Textures};
use super::{command_button, count, theme};
use crate::command::Command;
use crate::language::translate;
use crate::metadata::Metadata;
use crate::pictures::PictureRequest;
use crate::query::Hit;

/// Height of the bar under the pictures, in points.
const BAR: f32 = 84.0;
/// From this width on all that can be done has a button of its own there.
const WIDE: f32 = 560.0;

/// Fills the middle of the window with the selected photo.
pub(crate) fn large_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    hit: &Hit,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    let area = ui.available_rect_before_wrap();
    let (pictures, bar) = area.split_top_bottom_at_y(area.bottom() - BAR);
    let query = state.visit().filter(|visit| visit.query.is_some());
    let mut right = pictures;
    if let Some((visit, preview)) = query.and_then(|visit| Some((visit, state.query_picture()?))) {
        let (left, rest) = pictures.split_left_right_at_fraction(0.5);
        right = rest;
        picture_ui(ui, left.shrink(theme::GAP), Some(preview), &tr!("Query: {}", visit.name()));
    }
    let name = hit.photo.file_name();
    let file = library.library.root.join(&hit.photo.path);
    let thumbnail = PictureRequest::Thumbnail { photo: Arc::clone(&hit.photo), library: Arc::clone(&library.library) };
    match (textures.get(PictureRequest::Large(file)), textures.get(thumbnail)) {
        // Until the file is decoded the thumbnail stands in for it.
        (Picture::Ready(texture), _) | (Picture::Loading, Picture::Ready(texture)) => {
            picture_ui(ui, right.shrink(theme::GAP), Some(&texture), &tr!("Photo: {}", name));
        }
        (Picture::Failed(reason), _) => {
            let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(right));
            super::grid::empty_ui(&ui, &format!("{name}: {}", translate(&reason)));
            ui.advance_cursor_after_rect(right);
        }
        (Picture::Loading, _) => picture_ui(ui, right.shrink(theme::GAP), None, &tr!("Photo: {}", name)),
    }
    ui.advance_cursor_after_rect(pictures);
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(bar.shrink2(egui::vec2(theme::GAP, 0.0))));
    bar_ui(&mut ui, state, hit, actions);
}

fn picture_ui(ui: &Ui, rect: Rect, texture: Option<&TextureHandle>, name: &str) {
    let response = ui.interact(rect, ui.scope_id().with(name), Sense::empty());
    let enabled = ui.is_enabled();
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, enabled, name));
    let Some(texture) = texture else {
        ui.painter().rect_filled(rect, theme::ROUNDING, theme::palette(ui).empty);
        return;
    };
    let size = texture.size_vec2();
    let scale = (rect.width() / size.x).min(rect.height() / size.y);
    let place = Rect::from_center_size(rect.center(), size * scale);
    egui::Image::from_texture(texture).corner_radius(theme::ROUNDING).paint_at(ui, place);
}

/// When, with what and where the photo was taken, and how large it is.
fn known_text(metadata: &Metadata) -> String {
    let parts = [
        metadata.taken.map(taken_text),
        metadata.camera.as_deref().map(ToOwned::to_owned),
        metadata.size.map(|(width, height)| format!("{width} × {height}")),
        metadata.place.map(place_text),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ·  ")
}

fn bar_ui(ui: &mut Ui, state: &State, hit: &Hit, actions: &mut Vec<Action>) {
    let is_wide = ui.available_width() >= WIDE;
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        if ui.button(tr!("Close")).on_hover_text(tr!("Back to the grid (Esc)")).clicked() {
            actions.push(Action::CloseLarge);
        }
        if is_wide {
            for command in [Command::ShowInFileManager, Command::OpenPhoto, Command::FindSimilar] {
                command_button(ui, command, actions);
            }
        } else {
            ui.menu_button(tr!("More"), |ui| photo_menu_ui(ui, 1, actions));
        }
        ui.with_layout(Layout::top_down(Align::Min), |ui| {
            ui.add_space(theme::GAP);
            let place = state.selection.current().map_or(0, |number| number + 1);
            let mut facts = vec![tr!("{} of {}", count(place), count(state.hits().len()))];
            facts.extend(likeness_text(hit));
            facts.extend(hit.photo.label().map(|label| label.to_string_lossy().into_owned()));
            facts.extend(hit.raw.as_ref().map(|_| tr!("+ raw")));
            ui.add(egui::Label::new(RichText::new(facts.join("  ·  ")).strong()).truncate());
            let known = known_text(&hit.photo.metadata);
            if !known.is_empty() {
                ui.add(egui::Label::new(known).truncate());
            }
            ui.add(egui::Label::new(RichText::new(hit.photo.path.display().to_string()).weak()).truncate());
        });
    });
}

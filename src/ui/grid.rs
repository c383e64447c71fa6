//! The grid of thumbnails. Only the rows in view are laid out and drawn, so its cost does not depend on the number of
//! photos; thumbnails arrive when they are loaded.

use std::sync::Arc;

use eframe::egui::{self, Align2, Color32, Rect, ScrollArea, Sense, TextStyle, TextureHandle, Ui};
use tr::tr;

use super::state::{Action, OpenLibrary, State};
use super::textures::{Picture, Textures};
use super::{menu_item, theme};
use crate::command::Command;
use crate::pictures::PictureRequest;
use crate::query::Hit;

/// Height of the texts under a thumbnail, in points.
const CAPTION: f32 = 40.0;
const TILE_GAP: f32 = 10.0;

/// How the grid is laid out in a given width; also what the keyboard needs to move in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Layout {
    pub columns: usize,
    /// Rows that fit on the screen.
    pub rows_in_view: usize,
}

/// What the grid has to know besides the state.
pub struct Grid<'a> {
    pub tile_side: f32,
    pub textures: &'a mut Textures,
    /// A photo that has to come into view.
    pub reveal: Option<usize>,
    /// The view is a new one: begin at the top.
    pub to_top: bool,
}

impl Grid<'_> {
    /// Draws the grid and tells how it was laid out.
    pub fn ui(self, ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) -> Layout {
        let hits = state.hits();
        let width = ui.available_width() - ui.spacing().scroll.allocated_width() - 2.0;
        let columns = (((width + TILE_GAP) / (self.tile_side + TILE_GAP)).floor() as usize).max(1);
        // What is left over is shared out, so that the grid ends flush at both sides.
        let side = ((width + TILE_GAP) / columns as f32 - TILE_GAP).min(self.tile_side * 1.5).max(16.0);
        let row_height = side + CAPTION;
        let rows = hits.len().div_ceil(columns);
        ui.spacing_mut().item_spacing.y = TILE_GAP;
        let mut area = ScrollArea::vertical().id_salt("grid").auto_shrink(false);
        if self.to_top {
            area = area.vertical_scroll_offset(0.0);
        }
        let textures = self.textures;
        let reveal = self.reveal;
        let output = area.show_viewport(ui, |ui, viewport| {
            let step = row_height + TILE_GAP;
            ui.set_height((step * rows as f32 - TILE_GAP).max(0.0));
            let origin = ui.max_rect().min;
            let tile = |number: usize| {
                let (row, column) = (number / columns, number % columns);
                let corner = egui::vec2(column as f32 * (side + TILE_GAP), row as f32 * step);
                Rect::from_min_size(origin + corner, egui::vec2(side, row_height))
            };
            if let Some(number) = reveal.filter(|number| *number < hits.len()) {
                ui.scroll_to_rect_animation(tile(number), None, egui::style::ScrollAnimation::none());
            }
            let first = (viewport.min.y / step).floor().max(0.0) as usize * columns;
            let last = (((viewport.max.y / step).ceil().max(0.0) as usize + 1) * columns).min(hits.len());
            for (number, hit) in hits.iter().enumerate().take(last).skip(first) {
                let is_selected = state.selected == Some(number);
                let is_away = state.account.is_away(&hit.photo.path);
                tile_ui(ui, tile(number), side, number, hit, (is_selected, is_away), library, textures, actions);
            }
        });
        Layout { columns, rows_in_view: ((output.inner_rect.height() / (row_height + TILE_GAP)) as usize).max(1) }
    }
}

#[expect(clippy::too_many_arguments, reason = "one call, from the loop above")]
fn tile_ui(
    ui: &mut Ui,
    rect: Rect,
    side: f32,
    number: usize,
    hit: &Hit,
    (is_selected, is_away): (bool, bool),
    library: &OpenLibrary,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    // Not focusable by Tab: the arrows walk among photos, Tab among the parts of the window.
    let response = ui.interact(rect, ui.scope_id().with(number), Sense::CLICK);
    let picture_rect = Rect::from_min_size(rect.min, egui::Vec2::splat(side));
    let palette = theme::palette(ui);
    ui.painter().rect_filled(picture_rect, theme::ROUNDING, palette.empty);
    let request = PictureRequest::Thumbnail { photo: Arc::clone(&hit.photo), library: Arc::clone(&library.library) };
    match textures.get(request) {
        Picture::Ready(texture) => paint_cover(ui, &texture, picture_rect),
        Picture::Loading => {}
        Picture::Failed(reason) => {
            let font = TextStyle::Small.resolve(ui.style());
            let text = ui.painter().layout(reason, font, ui.visuals().weak_text_color(), side - 16.0);
            let corner = picture_rect.center() - text.size() / 2.0;
            ui.painter().with_clip_rect(picture_rect).galley(corner, text, ui.visuals().weak_text_color());
        }
    }
    if is_selected || response.hovered() {
        let stroke = if is_selected { (4.0, palette.accent) } else { (1.5, ui.visuals().weak_text_color()) };
        ui.painter().rect_stroke(picture_rect, theme::ROUNDING, stroke, egui::StrokeKind::Outside);
    }
    if hit.raw.is_some() {
        raw_mark_ui(ui, picture_rect);
    }
    caption_ui(ui, rect, picture_rect.bottom() + 4.0, number, hit);

    let mut spoken = spoken(number, hit);
    if is_away {
        let away = tr!("away");
        let font = TextStyle::Small.resolve(ui.style());
        let text = ui.painter().layout_no_wrap(away.clone(), font, palette.on_accent);
        let corner = picture_rect.left_top() + egui::vec2(6.0, 6.0);
        let frame = Rect::from_min_size(corner, text.size()).expand(3.0);
        ui.painter().rect_filled(frame, theme::ROUNDING, palette.warning);
        ui.painter().galley(corner, text, palette.on_accent);
        spoken = format!("{spoken}, {away}");
    }
    let enabled = ui.is_enabled();
    response.widget_info(|| {
        egui::WidgetInfo::selected(egui::accesskit::Role::ListBoxOption, enabled, is_selected, &spoken)
    });
    if response.double_clicked() {
        actions.push(Action::SearchPhoto(Arc::clone(&hit.photo)));
    } else if response.clicked() || response.secondary_clicked() {
        actions.push(Action::Select(number));
    }
    response.context_menu(|ui| photo_menu_ui(ui, actions));
}

/// What can be done with the selected photo.
pub(crate) fn photo_menu_ui(ui: &mut Ui, actions: &mut Vec<Action>) {
    ui.set_min_width(220.0);
    menu_item(ui, Command::FindSimilar, true, actions);
    menu_item(ui, Command::ViewLarge, true, actions);
    ui.separator();
    menu_item(ui, Command::OpenPhoto, true, actions);
    menu_item(ui, Command::ShowInFileManager, true, actions);
    menu_item(ui, Command::CopyPath, true, actions);
}

/// In the corner of a picture that has a raw file of the same shot.
fn raw_mark_ui(ui: &Ui, picture: Rect) {
    let font = TextStyle::Small.resolve(ui.style());
    let text = ui.painter().layout_no_wrap(tr!("+ raw"), font, Color32::WHITE);
    let size = text.size() + egui::vec2(12.0, 4.0);
    let mark = Rect::from_min_size(picture.right_bottom() - size - egui::Vec2::splat(6.0), size);
    ui.painter().rect_filled(mark, theme::ROUNDING, Color32::from_black_alpha(150));
    ui.painter().galley(mark.min + egui::vec2(6.0, 2.0), text, Color32::WHITE);
}

/// Two lines: rank, label and similarity; the file's name.
fn caption_ui(ui: &Ui, tile: Rect, top: f32, number: usize, hit: &Hit) {
    let strong = ui.visuals().text_color();
    let weak = ui.visuals().weak_text_color();
    let small = TextStyle::Small.resolve(ui.style());
    let body = egui::FontId::proportional(theme::CAPTION_SIZE);
    let label = hit.photo.label().map(|label| label.to_string_lossy().into_owned());
    let mut room = tile.width();
    let mut first_line = label.unwrap_or_default();
    if let Some(similarity) = hit.similarity {
        room -= likeness_ui(ui, egui::pos2(tile.right(), top), hit.same_species, similarity) + 6.0;
        first_line = format!("{}  {first_line}", number + 1);
    }
    let line = |text: String, font: egui::FontId, color: Color32, room: f32, y: f32| {
        let mut job = egui::text::LayoutJob::simple_singleline(text, font, color);
        job.wrap = egui::text::TextWrapping::truncate_at_width(room.max(0.0));
        ui.painter().galley(egui::pos2(tile.left(), y), ui.painter().layout_job(job), color);
    };
    line(first_line, body, strong, room, top);
    line(hit.photo.file_name(), small, weak, tile.width(), top + 18.0);
}

/// How likely a photo is of the query's species, where that was measured; else a bar as long as it is similar, which
/// nobody takes for a probability. Ends at `right_top`; gives its width.
fn likeness_ui(ui: &Ui, right_top: egui::Pos2, same_species: Option<f64>, similarity: f32) -> f32 {
    const BAR: egui::Vec2 = egui::vec2(36.0, 5.0);
    let weak = ui.visuals().weak_text_color();
    if let Some(probability) = same_species {
        let font = egui::FontId::proportional(theme::CAPTION_SIZE);
        let text = ui.painter().layout_no_wrap(probable(probability), font, weak);
        let width = text.size().x;
        ui.painter().galley(right_top - egui::vec2(width, 0.0), text, weak);
        return width;
    }
    let bar = Rect::from_min_size(right_top + egui::vec2(-BAR.x, 7.0), BAR);
    let filled = Rect::from_min_size(bar.min, egui::vec2(BAR.x * similarity.clamp(0.0, 1.0), BAR.y));
    ui.painter().rect_filled(bar, BAR.y / 2.0, theme::palette(ui).empty);
    ui.painter().rect_filled(filled, BAR.y / 2.0, weak);
    BAR.x
}

/// A probability for people: nothing is certain.
pub(crate) fn probable(probability: f64) -> String {
    format!("{:.0} %", (probability * 100.0).clamp(1.0, 99.0))
}

/// A similarity for people.
pub(crate) fn percent(similarity: f32) -> String {
    format!("{:.0} %", (similarity * 100.0).clamp(-100.0, 100.0))
}

/// A photo in words: for screen readers, and for tests.
pub(crate) fn spoken(number: usize, hit: &Hit) -> String {
    let label = hit.photo.label().map(|label| format!("{}, ", label.to_string_lossy())).unwrap_or_default();
    let similarity = hit.similarity.map(|s| tr!(", similarity {}", percent(s))).unwrap_or_default();
    let same = hit.same_species.map(|p| tr!(", the same species with {}", probable(p))).unwrap_or_default();
    let raw = if hit.raw.is_some() { format!(" {}", tr!("+ raw")) } else { String::new() };
    format!("{}: {label}{}{raw}{similarity}{same}", number + 1, hit.photo.file_name())
}

/// Paints a picture so that it fills a rectangle; what is too much at two sides is cut off.
pub(crate) fn paint_cover(ui: &Ui, texture: &TextureHandle, rect: Rect) {
    let size = texture.size_vec2();
    let scale = (rect.width() / size.x).max(rect.height() / size.y);
    let shown = rect.size() / (size * scale);
    let uv = Rect::from_center_size(egui::pos2(0.5, 0.5), shown);
    egui::Image::from_texture((texture.id(), rect.size())).uv(uv).corner_radius(theme::ROUNDING).paint_at(ui, rect);
}

/// What is said in the middle of a grid that has no photos.
pub(crate) fn empty_ui(ui: &Ui, text: &str) {
    let rect = ui.available_rect_before_wrap();
    let font = TextStyle::Body.resolve(ui.style());
    let response = ui.interact(rect, ui.scope_id().with("empty"), Sense::empty());
    let enabled = ui.is_enabled();
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, enabled, text));
    let galley =
        ui.painter().layout(text.to_owned(), font, ui.visuals().weak_text_color(), (rect.width() * 0.7).min(520.0));
    let corner = Align2::CENTER_CENTER.anchor_size(rect.center(), galley.size()).min;
    ui.painter().galley(corner, galley, ui.visuals().weak_text_color());
}

//! One photo large, beside the query: to be looked at whole or pixel by pixel, and to walk on from.

use std::path::PathBuf;
use std::sync::Arc;

use eframe::egui::accesskit::Role;
use eframe::egui::{
    self, Align, Align2, Color32, CursorIcon, Layout, Pos2, Rect, RichText, Sense, TextureHandle, Ui, Vec2, pos2, vec2,
};
use tr::tr;

use super::dates::{place_text, taken_text};
use super::grid::{copy_text, likeness_text, paint_thumbnail, photo_menu_ui};
use super::icons::{self, Icon};
use super::state::{Action, OpenLibrary, State};
use super::textures::{Picture, Textures};
use super::zoom::{Fitting, Zoom};
use super::{command_button, count, theme, tooltip_of};
use crate::command::Command;
use crate::language::translate;
use crate::metadata::Metadata;
use crate::pictures::{PictureRequest, TILE_SIDE, Tile};
use crate::query::{Hit, Query};

/// Height of the bar under the pictures, in points.
pub(crate) const BAR: f32 = 66.0;
/// From this width on all that can be done has a button of its own there.
const WIDE: f32 = 760.0;
/// Side of the pictures of the photos before and after, and from which height of the view on they are shown.
const FILM: f32 = 64.0;
const FILM_FROM: f32 = 400.0;
/// Of the buttons that lead to these photos.
const STEP: f32 = 44.0;
/// Between two pictures.
const DIVIDER: f32 = 8.0;
/// How much larger a picture becomes by a point of scrolling, and by a key.
const BY_SCROLLING: f32 = 0.004;
const BY_KEY: f32 = 1.25;

/// All of a texture.
const WHOLE: Rect = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));

/// How the pictures are looked at.
pub(crate) struct LargeView {
    /// Of the query, and of the photo beside it.
    zooms: [Zoom; 2],
    /// Both move together.
    is_linked: bool,
    /// The share of the query's picture in the width.
    split: f32,
    /// What a key has asked for.
    wish: Option<Wish>,
}

impl Default for LargeView {
    fn default() -> Self {
        Self { zooms: [Zoom::FIT; 2], is_linked: true, split: 0.5, wish: None }
    }
}

/// What a key asks of the pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wish {
    /// To and from the picture's own size.
    Toggle,
    Larger,
    Smaller,
}

/// A picture of the view.
struct Shown {
    /// Which of the two it is.
    number: usize,
    area: Rect,
    texture: Option<TextureHandle>,
    /// Its file, and how large the picture in that is, where it can be looked at pixel by pixel.
    whole: Option<(PathBuf, Vec2)>,
    name: String,
}

impl LargeView {
    /// Does what a key asks for when the pictures are drawn next.
    pub(crate) fn ask(&mut self, wish: Wish) {
        self.wish = Some(wish);
    }

    /// Lets the pictures move together, or each by itself.
    pub(crate) fn link(&mut self) {
        self.is_linked = !self.is_linked;
    }

    /// Shows the pictures whole again.
    pub(crate) fn fit(&mut self) {
        self.zooms = [Zoom::FIT; 2];
    }

    /// Fills the middle of the window with the selected photo.
    pub(crate) fn ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        library: &OpenLibrary,
        hit: &Hit,
        textures: &mut Textures,
        actions: &mut Vec<Action>,
    ) {
        let area = ui.available_rect_before_wrap();
        let (mut pictures, bar) = area.split_top_bottom_at_y(area.bottom() - BAR);
        if area.height() >= FILM_FROM && state.hits().len() > 1 {
            let (above, film) = pictures.split_top_bottom_at_y(pictures.bottom() - FILM - theme::GAP);
            pictures = above;
            film_ui(ui, film.with_min_y(film.top() + theme::GAP), state, library, textures, actions);
        }
        let mut right = pictures;
        if let Some((visit, preview)) =
            state.visit().and_then(|visit| Some((visit.query.as_ref()?, state.query_picture()?)))
        {
            let left = self.divider_ui(ui, pictures);
            right.min.x = left.right() + DIVIDER;
            let query = Shown {
                number: 0,
                area: left,
                texture: Some(preview.clone()),
                whole: whole_query(visit, state, library),
                name: tr!("Query: {}", super::state::query_name(visit)),
            };
            self.picture_ui(ui, query, textures);
        }
        let percent = self.photo_ui(ui, right, library, hit, textures);
        self.wish = None;
        steps_ui(ui, right, state, actions);
        ui.advance_cursor_after_rect(pictures);
        let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(bar));
        self.bar_ui(&mut ui, state, hit, percent, actions);
    }

    /// The part of the query's picture; what is between it and the other can be dragged.
    fn divider_ui(&mut self, ui: &Ui, pictures: Rect) -> Rect {
        let at = |split: f32| pictures.left() + pictures.width() * split - DIVIDER / 2.0;
        let strip = Rect::from_min_size(pos2(at(self.split), pictures.top()), vec2(DIVIDER, pictures.height()));
        let response = ui.interact(strip, ui.scope_id().with("divider"), Sense::DRAG);
        let enabled = ui.is_enabled();
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Splitter, enabled, tr!("Between the pictures")));
        if response.hovered() || response.dragged() {
            ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
            let line = Rect::from_center_size(strip.center(), vec2(2.0, strip.height()));
            ui.painter().rect_filled(line, 1, ui.visuals().weak_text_color());
        }
        self.split = (self.split + response.drag_delta().x / pictures.width()).clamp(0.2, 0.8);
        pictures.with_max_x(at(self.split))
    }

    /// The photo; gives how large a pixel of it is on the screen, in per cent.
    fn photo_ui(
        &mut self,
        ui: &mut Ui,
        area: Rect,
        library: &OpenLibrary,
        hit: &Hit,
        textures: &mut Textures,
    ) -> Option<f32> {
        let file = library.library.root.join(&hit.photo.path);
        let (photo, of) = (Arc::clone(&hit.photo), Arc::clone(&library.library));
        let thumbnail = PictureRequest::Thumbnail { photo, library: of };
        let name = hit.photo.file_name();
        let texture = match (textures.get(PictureRequest::Large(file.clone())), textures.get(thumbnail)) {
            // Until the file is decoded the thumbnail stands in for it.
            (Picture::Ready(texture), _) | (Picture::Loading, Picture::Ready(texture)) => Some(texture),
            (Picture::Failed(reason), _) => {
                let ui = ui.new_child(egui::UiBuilder::new().max_rect(area));
                super::grid::empty_ui(&ui, &format!("{name}: {}", translate(&reason)));
                return None;
            }
            (Picture::Loading, _) => None,
        };
        let whole = hit.photo.metadata.size.map(|size| (file, size_of(size)));
        self.picture_ui(ui, Shown { number: 1, area, texture, whole, name: tr!("Photo: {}", name) }, textures)
    }

    /// Draws a picture, and follows the mouse on it.
    fn picture_ui(&mut self, ui: &Ui, shown: Shown, textures: &mut Textures) -> Option<f32> {
        let Shown { number, area, texture, whole, name } = shown;
        // Not focusable by Tab: keys zoom whatever has the focus.
        let response = ui.interact(area, ui.scope_id().with(("large", number)), Sense::CLICK | Sense::DRAG);
        let enabled = ui.is_enabled();
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Image, enabled, &name));
        let Some(texture) = texture else {
            ui.painter().rect_filled(area, theme::ROUNDING, theme::palette(ui).empty);
            return None;
        };
        let pixels_per_point = ui.pixels_per_point();
        let picture = whole.as_ref().map_or_else(|| texture.size_vec2(), |(_, size)| *size);
        let fitting = Fitting { picture, area, pixels_per_point };
        let zoom = self.followed(ui, &response, number, fitting);
        let place = zoom.place(fitting);
        let painter = ui.painter().with_clip_rect(area.intersect(ui.clip_rect()));
        if zoom.is_fit() {
            egui::Image::from_texture(&texture).corner_radius(theme::ROUNDING).paint_at(ui, place);
        } else {
            painter.image(texture.id(), place, WHOLE, Color32::WHITE);
        }
        if let Some((path, size)) = whole {
            let has = texture.size_vec2().max_elem();
            for tile in tiles(path, size, place, area, pixels_per_point, has) {
                let part = part_of(&tile, place, pixels_per_point);
                if let Picture::Ready(texture) = textures.get(PictureRequest::Tile(tile)) {
                    painter.image(texture.id(), part, WHOLE, Color32::WHITE);
                }
            }
        }
        Some(zoom.factor / fitting.actual() * 100.0)
    }

    /// The zoom of a picture after what mouse and keys did.
    fn followed(&mut self, ui: &Ui, response: &egui::Response, number: usize, fitting: Fitting) -> Zoom {
        let before = self.zooms[number];
        let mut zoom = before;
        let middle = fitting.area.center();
        let pointer = response.hover_pos().unwrap_or(middle);
        if response.contains_pointer() {
            let (scrolled, pinched) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
            let by = (scrolled * BY_SCROLLING).exp() * pinched;
            if by != 1.0 {
                zoom = zoom.times(by, pointer, fitting);
            }
        }
        if response.double_clicked() {
            zoom = zoom.toggled(pointer, fitting);
        }
        if response.dragged() {
            zoom = zoom.moved(response.drag_delta(), fitting);
        }
        // Keys are for the photo; the query follows where it is linked.
        if let Some(wish) = self.wish.filter(|_| number == 1) {
            zoom = match wish {
                Wish::Toggle => zoom.toggled(pointer, fitting),
                Wish::Larger => zoom.times(BY_KEY, middle, fitting),
                Wish::Smaller => zoom.times(1.0 / BY_KEY, middle, fitting),
            };
        }
        if zoom != before {
            self.zooms[number] = zoom;
            if self.is_linked {
                self.zooms[1 - number] = zoom;
                ui.ctx().request_repaint();
            }
        }
        if zoom.factor > 1.0 && response.hovered() {
            let icon = if response.dragged() { CursorIcon::Grabbing } else { CursorIcon::Grab };
            ui.ctx().set_cursor_icon(icon);
        }
        // The other picture, with other sides, may have moved further than this one can.
        self.zooms[number].within(fitting)
    }

    fn bar_ui(&self, ui: &mut Ui, state: &State, hit: &Hit, percent: Option<f32>, actions: &mut Vec<Action>) {
        let is_wide = ui.available_width() >= WIDE;
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button(tr!("Close")).on_hover_text(tr!("Back to the grid (Esc)")).clicked() {
                actions.push(Action::CloseLarge);
            }
            if is_wide {
                for command in [Command::OpenPhoto, Command::ShowDetails, Command::FindSimilar] {
                    command_button(ui, command, actions);
                }
            } else {
                ui.menu_button(tr!("More"), |ui| photo_menu_ui(ui, 1, actions));
            }
            if let Some(percent) = percent {
                let zoom = ui.button(format!("{percent:.0} %")).on_hover_text(tooltip_of(ui, Command::ActualSize));
                if zoom.accessible_name(tr!("Zoom: {} %", format!("{percent:.0}"))).clicked() {
                    actions.push(Action::Command(Command::ActualSize));
                }
            }
            if state.is_search() && is_wide {
                let link = ui.selectable_label(self.is_linked, tr!("Linked"));
                if link.on_hover_text(tooltip_of(ui, Command::LinkPictures)).clicked() {
                    actions.push(Action::Command(Command::LinkPictures));
                }
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| facts_ui(ui, state, hit));
        });
    }
}

/// The file of what is searched with, and how large its picture is.
fn whole_query(query: &Query, state: &State, library: &OpenLibrary) -> Option<(PathBuf, Vec2)> {
    match query {
        Query::File(path) => Some((path.clone(), size_of(state.query_size?))),
        Query::Photo(photo) => Some((library.library.root.join(&photo.path), size_of(photo.metadata.size?))),
        Query::Files(_) | Query::Picture(_) => None,
    }
}

fn size_of((width, height): (u32, u32)) -> Vec2 {
    vec2(width as f32, height as f32)
}

/// The tiles that are in view of a picture of this size that is drawn at `place`, as large as the screen has use for; none
/// where a picture with `has` pixels at its longer side is as good.
fn tiles(path: PathBuf, size: Vec2, place: Rect, area: Rect, pixels_per_point: f32, has: f32) -> Vec<Tile> {
    let wanted = (place.size().max_elem() * pixels_per_point).min(size.max_elem());
    let seen = place.intersect(area);
    if wanted <= has * 1.01 || !seen.is_positive() {
        return Vec::new();
    }
    let level = (wanted / TILE_SIDE as f32).log2().ceil().max(0.0) as u32;
    let count = 1_u32 << level;
    let range = |from: f32, to: f32, start: f32, length: f32| {
        let number = |at: f32| (at - start) / length * count as f32;
        number(from).floor().max(0.0) as u32..(number(to).ceil() as u32).min(count)
    };
    let columns = range(seen.left(), seen.right(), place.left(), place.width());
    let rows = range(seen.top(), seen.bottom(), place.top(), place.height());
    rows.flat_map(|row| {
        let path = &path;
        columns.clone().map(move |column| Tile { path: path.clone(), level, column, row })
    })
    .collect()
}

/// Where a tile of a picture lies that is drawn at `place`: from pixel to pixel of the screen, so that no line is seen
/// between two.
fn part_of(tile: &Tile, place: Rect, pixels_per_point: f32) -> Rect {
    let at = |column: u32, row: u32| {
        let share = vec2(column as f32, row as f32) / (1_u32 << tile.level) as f32;
        let corner = place.min + place.size() * share;
        ((corner.to_vec2() * pixels_per_point).round() / pixels_per_point).to_pos2()
    };
    Rect::from_min_max(at(tile.column, tile.row), at(tile.column + 1, tile.row + 1))
}

/// The photos before and after, small.
fn film_ui(
    ui: &Ui,
    film: Rect,
    state: &State,
    library: &OpenLibrary,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    const STEP: f32 = FILM + 4.0;
    let (hits, selected) = (state.hits(), state.selection.current().unwrap_or(0));
    let fit = ((film.width() / STEP) as usize).clamp(1, hits.len());
    let first = selected.saturating_sub(fit / 2).min(hits.len() - fit);
    let left = film.center().x - (fit as f32 * STEP - 4.0) / 2.0;
    for (place, number) in (first..first + fit).enumerate() {
        let rect = Rect::from_min_size(pos2(left + place as f32 * STEP, film.top()), Vec2::splat(FILM));
        paint_thumbnail(ui, &hits[number].photo, &library.library, rect, textures);
        let response = ui.interact(rect, ui.scope_id().with(("film", number)), Sense::CLICK);
        let spoken = super::grid::spoken(number, &hits[number]);
        let is_selected = number == selected;
        response.widget_info(|| egui::WidgetInfo::selected(Role::RadioButton, true, is_selected, &spoken));
        if is_selected || response.hovered() {
            let weak = (1.5, ui.visuals().weak_text_color());
            let stroke = if is_selected { (3.0, theme::palette(ui).accent) } else { weak };
            ui.painter().rect_stroke(rect, theme::ROUNDING, stroke, egui::StrokeKind::Inside);
        }
        if response.clicked() {
            actions.push(Action::Select(number));
        }
    }
}

/// The buttons to the photo before and the one after, at the edges of this one.
fn steps_ui(ui: &Ui, area: Rect, state: &State, actions: &mut Vec<Action>) {
    let Some(selected) = state.selection.current() else { return };
    let last = state.hits().len().saturating_sub(1);
    let steps = [
        (Icon::Back, Align2::LEFT_CENTER, tr!("Previous photo"), selected.checked_sub(1)),
        (Icon::Forward, Align2::RIGHT_CENTER, tr!("Next photo"), Some(selected + 1).filter(|next| *next <= last)),
    ];
    for (icon, edge, name, to) in steps {
        let Some(to) = to else { continue };
        let button = edge.align_size_within_rect(Vec2::splat(STEP), area.shrink(theme::GAP));
        let response = ui.interact(button, ui.scope_id().with(("step", &name)), Sense::click());
        response.widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, &name));
        let shade = if response.hovered() { 200 } else { 110 };
        ui.painter().circle_filled(button.center(), STEP / 2.0, Color32::from_black_alpha(shade));
        icons::paint(ui.painter(), icon, button.shrink(14.0), Color32::WHITE);
        if response.has_focus() {
            ui.painter().circle_stroke(button.center(), STEP / 2.0, theme::focus_stroke(ui));
        }
        if response.clicked() {
            actions.push(Action::Select(to));
        }
    }
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

fn facts_ui(ui: &mut Ui, state: &State, hit: &Hit) {
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.add_space(4.0);
    let place = state.selection.current().map_or(0, |number| number + 1);
    let mut facts = vec![tr!("{} of {}", count(place), count(state.hits().len()))];
    facts.extend(likeness_text(hit));
    facts.extend(state.copies.get(&hit.photo.id).map(|copy| copy_text(*copy)));
    facts.extend(hit.photo.label().map(|label| label.to_string_lossy().into_owned()));
    facts.extend(hit.raw.as_ref().map(|_| tr!("+ raw")));
    ui.add(egui::Label::new(RichText::new(facts.join("  ·  ")).strong()).truncate());
    let known = known_text(&hit.photo.metadata);
    if !known.is_empty() {
        ui.add(egui::Label::new(RichText::new(known).small()).truncate());
    }
    ui.add(egui::Label::new(RichText::new(hit.photo.path.display().to_string()).small().weak()).truncate());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tiles_in_view_are_wanted_and_no_finer_than_the_screen_or_the_photo() {
        let area = Rect::from_min_size(pos2(0.0, 0.0), vec2(1000.0, 800.0));
        let size = vec2(8000.0, 6000.0);
        let wanted = |place: Rect, has: f32| tiles("a.jpg".into(), size, place, area, 1.0, has);
        // As large as it fits a picture of 2048 pixels is enough.
        let fitted = Rect::from_min_size(pos2(0.0, 25.0), vec2(1000.0, 750.0));
        assert_eq!(wanted(fitted, 2048.0), []);
        // At its own size: a piece of 1000 x 800 pixels out of tiles of 500 x 375.
        let actual = Rect::from_min_size(pos2(-3000.0, -2000.0), size);
        let found = wanted(actual, 2048.0);
        assert!(found.iter().all(|tile| tile.level == 4));
        assert_eq!(found.len(), 2 * 3);
        assert!(found.iter().all(|tile| part_of(tile, actual, 1.0).intersects(area)));
        // Larger than its own size there is no more to be seen of it.
        let larger = Rect::from_min_size(pos2(0.0, 0.0), size * 4.0);
        assert!(wanted(larger, 2048.0).iter().all(|tile| tile.level == 4));
        assert_eq!(wanted(larger, 8000.0), []);
    }
}

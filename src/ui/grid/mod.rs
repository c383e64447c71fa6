//! The grid of thumbnails. Only the rows in view are laid out and drawn, so its cost does not depend on the number of
//! photos; thumbnails arrive when they are loaded.

mod layout;

use std::sync::Arc;

use eframe::egui::{self, Align2, Color32, Pos2, Rect, ScrollArea, Sense, TextStyle, TextureHandle, Ui};
use tr::tr;

pub use self::layout::Layout;
use self::layout::{HEADING, on_screen};
use super::icons::{self, Icon};
use super::state::{Action, OpenLibrary, State};
use super::textures::{Picture, Textures};
use super::{count, menu_item, one_line, photos_of, theme};
use crate::command::Command;
use crate::library::Library;
use crate::photo::Photo;
use crate::pictures::PictureRequest;
use crate::query::{Copy, Hit};

/// The round buttons on a photo under the pointer, and the mark of one of several that are selected: their sides, in points.
const BUTTON: f32 = 28.0;
const TICK: f32 = 20.0;
/// How fast the grid is scrolled while a rectangle is drawn beyond its edge, in points a frame for each point beyond.
const EDGE_SPEED: f32 = 0.2;
/// How much is seen of a photo that is not close to the query, 0 to 1.
const FAINT: f32 = 0.75;

/// What the grid has to know besides the state.
pub struct Grid<'a> {
    pub tile_side: f32,
    pub textures: &'a mut Textures,
    /// A photo that has to come into view.
    pub reveal: Option<usize>,
    /// Where to scroll to.
    pub offset: Option<f32>,
}

impl Grid<'_> {
    /// Draws the grid; tells how it was laid out and how far it is scrolled.
    pub fn ui(self, ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) -> (Layout, f32) {
        let Self { tile_side, textures, reveal, offset } = self;
        let hits = state.hits();
        let width = ui.available_width() - ui.spacing().scroll.allocated_width() - 2.0;
        // Without a query, and in a folder without others in it, there is nothing but the name to say.
        let lines = if state.is_search() || !library.facets.labels.is_empty() { 2 } else { 1 };
        let size = egui::vec2(width, ui.available_height());
        let layout = Layout::new(size, tile_side, lines, hits.len(), &state.sections);
        let mut area = ScrollArea::vertical().id_salt("grid").auto_shrink(false);
        if let Some(offset) = offset {
            area = area.vertical_scroll_offset(offset);
        }
        let output = area.show_viewport(ui, |ui, viewport| {
            ui.set_height(layout.height());
            let origin = ui.max_rect().min;
            if let Some(number) = reveal.filter(|number| *number < hits.len()) {
                // With room for the heading that lies over the first row.
                let above = if state.sections.is_empty() { 0.0 } else { HEADING };
                let mut tile = on_screen(layout.tile(number), origin);
                tile.min.y -= above;
                ui.scroll_to_rect_animation(tile, None, egui::style::ScrollAnimation::none());
            }
            let banded = band_ui(ui, &layout, origin, viewport, actions);
            for number in layout.in_rows(viewport.y_range()) {
                let Some(hit) = hits.get(number) else { break };
                let tile = Tile {
                    number,
                    hit,
                    rect: on_screen(layout.tile(number), origin),
                    side: layout.side(),
                    is_selected: state.selection.has(number) || banded.contains(&number),
                    is_one_of_many: state.selection.len() > 1 && state.selection.has(number),
                    is_away: state.account.is_away(&hit.photo.path),
                    is_faint: state.sections.last().is_some_and(|last| last.is_faint && number >= last.first),
                    copy: state.copies.get(&hit.photo.id).copied(),
                };
                tile.ui(ui, state, library, textures, actions);
            }
            for (number, top) in layout.headings(viewport.y_range()) {
                if let Some(section) = state.sections.get(number) {
                    let place = Rect::from_min_size(origin + egui::vec2(0.0, top), egui::vec2(width, HEADING));
                    heading_ui(ui, place, &section.title, section.count);
                }
            }
        });
        (layout, output.state.clamped_offset().y)
    }
}

/// The title of a section, over whatever is scrolled beneath it.
fn heading_ui(ui: &Ui, place: Rect, title: &str, photos: usize) {
    ui.painter().rect_filled(place, 0, ui.visuals().panel_fill);
    let font = egui::FontId::proportional(theme::TITLE_SIZE);
    let (strong, weak) = (ui.visuals().text_color(), ui.visuals().weak_text_color());
    let title_place = ui.painter().text(place.left_center(), Align2::LEFT_CENTER, title, font, strong);
    let small = TextStyle::Small.resolve(ui.style());
    let beside = title_place.right_center() + egui::vec2(theme::GAP, 1.0);
    ui.painter().text(beside, Align2::LEFT_CENTER, count(photos), small, weak);
    let response = ui.interact(place, ui.scope_id().with(("heading", title)), Sense::empty());
    let spoken = format!("{title}, {}", photos_of(photos));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Heading, true, &spoken));
}

/// A rectangle that is drawn with the pointer: the photos that it meets, which are selected when it is let go.
fn band_ui(ui: &Ui, layout: &Layout, origin: Pos2, viewport: Rect, actions: &mut Vec<Action>) -> Vec<usize> {
    let id = ui.scope_id().with("band");
    let area = Rect::from_min_size(origin + viewport.min.to_vec2(), viewport.size());
    let response = ui.interact(area, id, Sense::DRAG);
    if response.drag_started()
        && let Some(start) = ui.input(|input| input.pointer.press_origin())
    {
        ui.data_mut(|data| data.insert_temp(id, start - origin));
    }
    // What may still become a click selects nothing yet.
    let is_drawn = ui.input(|input| input.pointer.is_decidedly_dragging());
    let start = ui.data(|data| data.get_temp::<egui::Vec2>(id)).filter(|_| is_drawn);
    let (Some(start), Some(now)) = (start, response.interact_pointer_pos()) else { return Vec::new() };
    let place = Rect::from_two_pos(start.to_pos2(), (now - origin).to_pos2());
    let met = layout.within(place);
    if response.dragged() {
        let beyond = (now.y - area.bottom()).max(0.0) - (area.top() - now.y).max(0.0);
        if beyond != 0.0 {
            ui.scroll_with_delta(egui::vec2(0.0, -beyond * EDGE_SPEED));
            ui.ctx().request_repaint();
        }
        let accent = theme::palette(ui).accent;
        let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Middle, id)).with_clip_rect(area);
        let place = on_screen(place, origin);
        painter.rect(place, 2, accent.gamma_multiply(0.15), (1.0, accent), egui::StrokeKind::Inside);
    } else if response.drag_stopped() {
        let add = ui.input(|input| input.modifiers.command || input.modifiers.shift);
        actions.push(Action::SelectMany { photos: met, add });
        ui.data_mut(|data| data.remove::<egui::Vec2>(id));
        return Vec::new();
    }
    met
}

/// One photo of the grid.
struct Tile<'a> {
    number: usize,
    hit: &'a Hit,
    rect: Rect,
    side: f32,
    is_selected: bool,
    is_one_of_many: bool,
    is_away: bool,
    is_faint: bool,
    copy: Option<Copy>,
}

impl Tile<'_> {
    fn ui(&self, ui: &Ui, state: &State, library: &OpenLibrary, textures: &mut Textures, actions: &mut Vec<Action>) {
        let Self { number, hit, rect, side, is_selected, is_one_of_many, is_away, is_faint, copy } = *self;
        // Not focusable by Tab: the arrows walk among photos, Tab among the parts of the window.
        let response = ui.interact(rect, ui.scope_id().with(number), Sense::CLICK);
        let picture_rect = Rect::from_min_size(rect.min, egui::Vec2::splat(side));
        let palette = theme::palette(ui);
        ui.painter().rect_filled(picture_rect, theme::ROUNDING, palette.empty);
        let request =
            PictureRequest::Thumbnail { photo: Arc::clone(&hit.photo), library: Arc::clone(&library.library) };
        match textures.get(request) {
            Picture::Ready(texture) => {
                paint_cover(ui, &texture, picture_rect);
                if is_faint {
                    let veil = ui.visuals().panel_fill.gamma_multiply(1.0 - FAINT);
                    ui.painter().rect_filled(picture_rect, theme::ROUNDING, veil);
                }
            }
            Picture::Loading => {}
            Picture::Failed(reason) => {
                let font = TextStyle::Small.resolve(ui.style());
                let text = ui.painter().layout(reason, font, ui.visuals().weak_text_color(), side - 16.0);
                let corner = picture_rect.center() - text.size() / 2.0;
                ui.painter().with_clip_rect(picture_rect).galley(corner, text, ui.visuals().weak_text_color());
            }
        }
        let is_pointed_at = response.contains_pointer();
        if is_selected || is_pointed_at {
            let stroke = if is_selected { (3.0, palette.accent) } else { (1.5, ui.visuals().weak_text_color()) };
            ui.painter().rect_stroke(picture_rect, theme::ROUNDING, stroke, egui::StrokeKind::Outside);
        }
        if hit.raw.is_some() {
            mark_ui(ui, picture_rect, Align2::RIGHT_BOTTOM, tr!("+ raw"));
        }
        if let Some(copy) = copy {
            mark_ui(ui, picture_rect, Align2::LEFT_BOTTOM, copy_text(copy));
        }
        if is_one_of_many {
            let center = picture_rect.left_top() + egui::Vec2::splat(TICK / 2.0 + 6.0);
            ui.painter().circle_filled(center, TICK / 2.0, palette.accent);
            icons::paint(
                ui.painter(),
                Icon::Tick,
                Rect::from_center_size(center, egui::Vec2::splat(12.0)),
                palette.on_accent,
            );
        }
        caption_ui(ui, rect, picture_rect.bottom() + 4.0, number, hit);

        let mut spoken = spoken(number, hit);
        if let Some(copy) = copy {
            spoken = format!("{spoken}, {}", copy_text(copy));
        }
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
        // After the tile, or it would take their clicks.
        if is_pointed_at && side > 2.5 * BUTTON {
            self.buttons_ui(ui, picture_rect, actions);
        }
        let modifiers = ui.input(|input| input.modifiers);
        if response.double_clicked() && modifiers.is_none() {
            actions.push(Action::SearchPhoto(Arc::clone(&hit.photo)));
        } else if response.clicked() {
            actions.push(match (modifiers.shift, modifiers.command) {
                (true, _) => Action::SelectTo(number),
                (false, true) => Action::ToggleSelected(number),
                (false, false) => Action::Select(number),
            });
        } else if response.secondary_clicked() && !state.selection.has(number) {
            actions.push(Action::Select(number));
        }
        response.context_menu(|ui| photo_menu_ui(ui, state.selection.len(), actions));
    }

    /// What a photo is for, on the photo that is pointed at.
    fn buttons_ui(&self, ui: &Ui, picture: Rect, actions: &mut Vec<Action>) {
        let search = Action::SearchPhoto(Arc::clone(&self.hit.photo));
        let buttons = [
            (Icon::Enlarge, Command::ViewLarge, Action::ViewLarge(self.number)),
            (Icon::Similar, Command::FindSimilar, search),
        ];
        for (place, (icon, command, action)) in buttons.into_iter().enumerate() {
            let right = (BUTTON + 4.0) * place as f32 + 6.0;
            let corner = picture.right_top() + egui::vec2(-right - BUTTON, 6.0);
            let rect = Rect::from_min_size(corner, egui::Vec2::splat(BUTTON));
            let response = ui.interact(rect, ui.scope_id().with((self.number, place)), Sense::CLICK);
            let shade = if response.hovered() { 220 } else { 150 };
            ui.painter().circle_filled(rect.center(), BUTTON / 2.0, Color32::from_black_alpha(shade));
            icons::paint(ui.painter(), icon, rect.shrink(7.0), Color32::WHITE);
            let text = command.info().text;
            response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Button, true, &text));
            if response.on_hover_text(&text).clicked() {
                actions.push(action);
            }
        }
    }
}

/// What can be done with the selected photo, or with so many.
pub(crate) fn photo_menu_ui(ui: &mut Ui, selected: usize, actions: &mut Vec<Action>) {
    ui.set_min_width(220.0);
    if selected > 1 {
        ui.weak(tr!("{} selected", photos_of(selected)));
    }
    menu_item(ui, Command::FindSimilar, true, actions);
    menu_item(ui, Command::ViewLarge, true, actions);
    menu_item(ui, Command::ShowDetails, true, actions);
    ui.separator();
    menu_item(ui, Command::OpenPhoto, true, actions);
    menu_item(ui, Command::ShowInFileManager, true, actions);
    menu_item(ui, Command::CopyPath, true, actions);
}

/// What makes a result more than similar.
pub(crate) fn copy_text(copy: Copy) -> String {
    match copy {
        Copy::File => tr!("This photo"),
        Copy::Picture => tr!("Same picture"),
    }
}

/// A word in a corner of a picture.
fn mark_ui(ui: &Ui, picture: Rect, corner: Align2, text: String) {
    let font = TextStyle::Small.resolve(ui.style());
    let text = ui.painter().layout_no_wrap(text, font, Color32::WHITE);
    let size = text.size() + egui::vec2(12.0, 4.0);
    let mark = corner.align_size_within_rect(size, picture.shrink(6.0));
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
        ui.painter().galley(egui::pos2(tile.left(), y), one_line(ui, text, font, color, room), color);
    };
    let mut below = top;
    if tile.bottom() - top > 2.0 * small.size {
        line(first_line, body, strong, room, top);
        below += 18.0;
    }
    line(hit.photo.file_name(), small, weak, tile.width(), below);
}

/// How likely a photo is of the query's species, where that was measured; else a bar as long as it is similar, which
/// nobody takes for a probability. Ends at `right_top`; gives its width.
fn likeness_ui(ui: &Ui, right_top: Pos2, same_species: Option<f64>, similarity: f32) -> f32 {
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
fn percent(similarity: f32) -> String {
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

/// The same of a picture that may not be there yet.
pub(crate) fn paint_cover_or_empty(ui: &Ui, texture: Option<&TextureHandle>, rect: Rect) {
    match texture {
        Some(texture) => paint_cover(ui, texture, rect),
        None => _ = ui.painter().rect_filled(rect, theme::ROUNDING, theme::palette(ui).empty),
    }
}

/// The same of a photo's thumbnail, which is asked for where it is not there.
pub(crate) fn paint_thumbnail(
    ui: &Ui,
    photo: &Arc<Photo>,
    library: &Arc<Library>,
    rect: Rect,
    textures: &mut Textures,
) {
    let request = PictureRequest::Thumbnail { photo: Arc::clone(photo), library: Arc::clone(library) };
    let texture = match textures.get(request) {
        Picture::Ready(texture) => Some(texture),
        Picture::Loading | Picture::Failed(_) => None,
    };
    paint_cover_or_empty(ui, texture.as_ref(), rect);
}

/// How alike a result is to the query, in words; `None` with no query.
pub(crate) fn likeness_text(hit: &Hit) -> Option<String> {
    let similarity = hit.similarity?;
    Some(match hit.same_species {
        Some(probability) => tr!("the same species with {}", probable(probability)),
        None => tr!("similarity {}", percent(similarity)),
    })
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

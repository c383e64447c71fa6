//! The panel at the left: the query and earlier ones, and the library by folder, label or date.

use std::path::Path;
use std::sync::Arc;

use eframe::egui::{self, RichText, ScrollArea, Sense, TextEdit, TextureHandle, Ui};
use tr::tr;

use super::dates::taken_text;
use super::header::choice_text;
use super::icons::Icon;
use super::state::{Action, EarlierSearch, OpenLibrary, State, Visit, query_name};
use super::{count, icon_command, one_line, theme};
use crate::command::Command;
use crate::filter::{Choice, Counts, Facet, Filter, folded};
use crate::metadata::Days;
use crate::query::{Facets, Query};

/// Rows from which on there is a field to find one of them.
const MANY_ROWS: usize = 15;
/// Height of a row and side of an earlier search's picture, in points.
const ROW: f32 = 28.0;
const EARLIER: f32 = 48.0;
/// Most of the panel's height that the query's picture takes.
const QUERY_SHARE: f32 = 0.4;

/// What the panel has in hand.
#[derive(Default)]
pub(crate) struct Sidebar {
    /// What it lists the library by.
    facet: Facet,
    /// Only rows with these words in their names.
    words: String,
    listed: Option<Listed>,
}

/// The side panel.
pub(crate) fn sidebar_ui(
    ui: &mut Ui,
    panel: &mut Sidebar,
    state: &State,
    library: &OpenLibrary,
    actions: &mut Vec<Action>,
) {
    if let Some(visit) = state.visit().filter(|visit| visit.query.is_some()) {
        query_ui(ui, visit, state.query_picture(), actions);
    }
    history_ui(ui, state, actions);
    browse_ui(ui, panel, state, library, actions);
}

/// The photo that is searched with, as wide as the panel.
fn query_ui(ui: &mut Ui, visit: &Visit, picture: Option<&TextureHandle>, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(tr!("Photos similar to")).strong());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            icon_command(ui, Icon::Close, Command::ClearQuery, true, 24.0, actions);
        });
    });
    picture_ui(ui, visit, picture, ui.available_width(), ui.available_height() * QUERY_SHARE);
    ui.add(egui::Label::new(visit.name()).truncate()).on_hover_text(visit.name());
    let known = known_text(visit);
    if !known.is_empty() {
        ui.add(egui::Label::new(RichText::new(known).small().weak()).truncate());
    }
    ui.add_space(theme::GAP);
}

/// The query's picture, no larger than this.
pub(crate) fn picture_ui(ui: &mut Ui, visit: &Visit, picture: Option<&TextureHandle>, width: f32, height: f32) {
    match picture {
        Some(texture) => {
            let size = texture.size_vec2();
            let size = size * (width / size.x).min(height / size.y);
            let image = egui::Image::from_texture((texture.id(), size)).corner_radius(theme::ROUNDING);
            ui.add(image.alt_text(tr!("Query: {}", visit.name())));
        }
        None => {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(width, height.min(140.0)), Sense::hover());
            ui.painter().rect_filled(rect, theme::ROUNDING, theme::palette(ui).empty);
        }
    }
}

/// "1600 × 1200 · 2 May 2024", as far as it is known.
fn known_text(visit: &Visit) -> String {
    let Some(Query::Photo(photo)) = &visit.query else { return String::new() };
    let size = photo.metadata.size.map(|(width, height)| format!("{width} × {height}"));
    size.into_iter().chain(photo.metadata.taken.map(taken_text)).collect::<Vec<_>>().join("  ·  ")
}

/// Earlier searches in one row.
fn history_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    if state.searches.len() < 1 + usize::from(state.is_search()) {
        return;
    }
    ui.label(RichText::new(tr!("Earlier searches")).strong());
    ScrollArea::horizontal().id_salt("earlier searches").auto_shrink([false, true]).show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            let present = state.visit().and_then(|visit| visit.query.as_ref());
            for search in &state.searches {
                earlier_ui(ui, search, present == Some(&search.query), actions);
            }
        });
    });
    ui.add_space(theme::GAP);
}

fn earlier_ui(ui: &mut Ui, search: &EarlierSearch, is_shown: bool, actions: &mut Vec<Action>) {
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(EARLIER), Sense::click());
    if ui.is_rect_visible(rect) {
        super::grid::paint_cover(ui, &search.thumbnail, rect);
        if is_shown || response.has_focus() || response.hovered() {
            let stroke = (2.0, theme::palette(ui).accent);
            ui.painter().rect_stroke(rect, theme::ROUNDING, stroke, egui::StrokeKind::Inside);
        }
    }
    let name = query_name(&search.query);
    let label = tr!("Earlier search: {}", name);
    let enabled = ui.is_enabled();
    let info = || egui::WidgetInfo::selected(egui::accesskit::Role::Button, enabled, is_shown, &label);
    response.widget_info(info);
    if response.on_hover_text(name).clicked() {
        actions.push(Action::SearchAgain(search.query.clone()));
    }
}

/// Whether labels say nothing that folders do not say: each is one folder right in the library's.
fn are_labels_folders(facets: &Facets) -> bool {
    facets.folders.iter().all(|(folder, _)| folder.components().count() == 1)
}

/// One row: what it chooses, how deep it lies, and its photos.
struct Row {
    /// `None` for the whole library.
    choice: Option<Choice>,
    depth: usize,
    photos: usize,
}

impl Row {
    fn name(&self) -> String {
        self.choice.as_ref().map_or_else(|| tr!("All photos"), choice_text)
    }
}

/// The rows of a list, and what they were made from: a library may have thousands, and a window has many frames.
struct Listed {
    facet: Facet,
    facets: Arc<Facets>,
    counts: Option<Arc<Counts>>,
    words: String,
    /// How many there would be without the words.
    total: usize,
    rows: Vec<Row>,
}

impl Sidebar {
    /// The rows as they are now.
    fn listed(&mut self, state: &State, library: &OpenLibrary) -> &Listed {
        let listed = self.listed.take().filter(|listed| {
            let is_same = |counts: &Option<Arc<Counts>>| counts.as_ref().map(Arc::as_ptr);
            Arc::ptr_eq(&listed.facets, &library.facets)
                && is_same(&listed.counts) == is_same(&state.counts)
                && (listed.facet, &listed.words) == (self.facet, &self.words)
        });
        self.listed.insert(listed.unwrap_or_else(|| {
            let mut rows = match &state.counts {
                Some(counts) => rows(self.facet, &counts.among(&library.facets)),
                None => rows(self.facet, &library.facets),
            };
            let total = rows.len();
            if total >= MANY_ROWS {
                let words = folded(&self.words);
                rows.retain(|row| {
                    let name = folded(&row.name());
                    words.split_whitespace().all(|word| name.contains(word))
                });
            }
            let (facets, counts) = (Arc::clone(&library.facets), state.counts.clone());
            Listed { facet: self.facet, facets, counts, words: self.words.clone(), total, rows }
        }))
    }
}

fn browse_ui(ui: &mut Ui, panel: &mut Sidebar, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let has_labels = !are_labels_folders(&library.facets);
    if !has_labels && panel.facet == Facet::Labels {
        panel.facet = Facet::Folders;
    }
    ui.horizontal_wrapped(|ui| {
        ui.selectable_value(&mut panel.facet, Facet::Folders, tr!("Folders"));
        if has_labels {
            ui.selectable_value(&mut panel.facet, Facet::Labels, tr!("Labels"));
        }
        ui.selectable_value(&mut panel.facet, Facet::Dates, tr!("Dates"));
    });
    if panel.listed(state, library).total >= MANY_ROWS {
        let field = TextEdit::singleline(&mut panel.words).hint_text(tr!("Find in this list"));
        let field = field.desired_width(f32::INFINITY).margin(theme::FIELD_MARGIN);
        ui.add(field).accessible_name(tr!("Find in this list"));
    }
    ui.separator();
    let Listed { facet, words, rows, .. } = panel.listed(state, library);
    if rows.is_empty() && words.is_empty() && *facet != Facet::Dates {
        ui.weak(tr!("All photos lie in one folder. Sort them into folders named after their plants, and they can be chosen here."));
        return;
    }
    let everything = Row { choice: None, depth: 0, photos: library.photos };
    ui.spacing_mut().item_spacing.y = 2.0;
    let area = ScrollArea::vertical().id_salt(("browse", facet)).auto_shrink(false);
    area.show_rows(ui, ROW, rows.len() + 1, |ui, range| {
        for row in std::iter::once(&everything).chain(rows).skip(range.start).take(range.len()) {
            row_ui(ui, row, state, actions);
        }
    });
}

fn rows(facet: Facet, facets: &Facets) -> Vec<Row> {
    let row = |choice, depth, photos| Row { choice: Some(choice), depth, photos };
    match facet {
        Facet::Folders => {
            let depth = |folder: &Path| folder.components().count() - 1;
            let folders = facets.folders.iter();
            folders.map(|(folder, photos)| row(Choice::Folder(folder.clone()), depth(folder), *photos)).collect()
        }
        Facet::Labels => {
            facets.labels.iter().map(|(label, photos)| row(Choice::Label(label.clone()), 0, *photos)).collect()
        }
        Facet::Dates => date_rows(facets),
    }
}

/// Years with their months, the latest first; at last what has no date.
fn date_rows(facets: &Facets) -> Vec<Row> {
    let mut rows = Vec::new();
    for months in facets.months.chunk_by(|(one, ..), (next, ..)| one == next) {
        let days = |month| Days::of(months[0].0, month).map(Choice::Days);
        rows.push(Row { choice: days(None), depth: 0, photos: months.iter().map(|(.., photos)| photos).sum() });
        rows.extend(months.iter().map(|(_, month, photos)| Row {
            choice: days(Some(*month)),
            depth: 1,
            photos: *photos,
        }));
    }
    if facets.undated > 0 {
        rows.push(Row { choice: Some(Choice::Undated), depth: 0, photos: facets.undated });
    }
    rows
}

fn row_ui(ui: &mut Ui, row: &Row, state: &State, actions: &mut Vec<Action>) {
    let name = row.name();
    let is_chosen = match &row.choice {
        Some(choice) => state.filter.choices.contains(choice),
        None => state.filter.is_all(),
    };
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), ROW), Sense::click());
    let visuals = ui.visuals();
    let fill = match (is_chosen, response.hovered()) {
        (true, _) => visuals.selection.bg_fill,
        (false, true) => visuals.widgets.hovered.weak_bg_fill,
        (false, false) => egui::Color32::TRANSPARENT,
    };
    ui.painter().rect_filled(rect, theme::ROUNDING, fill);
    if response.has_focus() {
        ui.painter().rect_stroke(rect, theme::ROUNDING, theme::focus_stroke(ui), egui::StrokeKind::Inside);
    }
    let weak = visuals.weak_text_color();
    // What would show nothing steps back.
    let strong = if row.photos == 0 { weak } else { visuals.text_color() };
    let inside = rect.shrink2(egui::vec2(8.0, 0.0));
    let small = egui::TextStyle::Small.resolve(ui.style());
    let number = ui.painter().layout_no_wrap(count(row.photos), small, weak);
    let left = inside.left() + 14.0 * row.depth as f32;
    let room = inside.right() - number.size().x - theme::GAP - left;
    let body = egui::TextStyle::Body.resolve(ui.style());
    let text = one_line(ui, name.clone(), body, strong, room);
    let middle = |size: egui::Vec2| rect.center().y - size.y / 2.0;
    let right = egui::pos2(inside.right() - number.size().x, middle(number.size()));
    ui.painter().galley(right, number, weak);
    ui.painter().galley(egui::pos2(left, middle(text.size())), text, strong);
    let enabled = ui.is_enabled();
    let label = format!("{name}, {}", row.photos);
    response.widget_info(|| egui::WidgetInfo::selected(egui::accesskit::Role::Button, enabled, is_chosen, &label));
    if response.clicked() {
        let adds = ui.input(|input| input.modifiers.command || input.modifiers.shift);
        actions.push(match &row.choice {
            None => Action::Filter(Filter::default()),
            Some(choice) if adds => Action::ToggleChoice(choice.clone()),
            Some(choice) => Action::Choose(choice.clone()),
        });
    }
}

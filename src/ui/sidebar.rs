//! The panel at the left: the query and the way back to earlier ones, and the library by folder, label or date.

use std::path::Path;

use eframe::egui::{self, Button, RichText, ScrollArea, Sense, TextureHandle, Ui};
use tr::tr;

use super::dates::{month_text, year_text};
use super::state::{Action, Facet, OpenLibrary, State, Visit};
use super::{add_command, count, theme};
use crate::command::Command;
use crate::job::Progress;
use crate::language::translate;
use crate::metadata::Days;
use crate::query::{Facets, Filter};
use crate::scan::{Account, OtherKind};
use crate::text::escape;
use crate::worker::Request;

/// Earlier queries shown as small pictures.
const HISTORY_SHOWN: usize = 12;
/// Folders that a tooltip names.
const MOST_NAMED: usize = 20;
/// Most of the height that the query's picture takes, in points; and of the room that there is.
const QUERY_HEIGHT: f32 = 240.0;
const QUERY_SHARE: f32 = 0.4;

/// The side panel.
pub(crate) fn sidebar_ui(ui: &mut Ui, state: &mut State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    model_ui(ui, state, actions);
    account_ui(ui, &state.account);
    reading_dates_ui(ui, library, actions);
    if let Some(visit) = state.visit().filter(|visit| visit.query.is_some()) {
        query_ui(ui, visit, state.query_picture(), actions);
    }
    history_ui(ui, state, actions);
    browse_ui(ui, state, library, actions);
}

/// At the foot: which model answers.
fn model_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(model) = &state.model else { return };
    let frame = egui::Frame::new();
    egui::Panel::bottom("model").frame(frame).resizable(false).show_separator_line(false).show(ui, |ui| {
        ui.add_space(theme::GAP);
        let text = tr!("Model: {}", translate(&model.title));
        let button = Button::new(RichText::new(text).small().weak()).frame(false).truncate();
        add_command(ui, Command::ShowModels, button, true, actions);
    });
}

/// Above that: what else is in the folder, so that the numbers add up.
fn account_ui(ui: &mut Ui, account: &Account) {
    if account.is_empty() {
        return;
    }
    let frame = egui::Frame::new();
    egui::Panel::bottom("account").frame(frame).resizable(false).show_separator_line(false).show(ui, |ui| {
        ui.add_space(theme::GAP);
        let away: u64 = account.away().map(|(_, photos)| photos).sum();
        if away > 0 {
            let text = tr!(
                "{} photo is on a drive that is away" | "{} photos are on a drive that is away" % away,
                count(away as usize)
            );
            let places: Vec<String> = account.away().take(MOST_NAMED).map(|(path, _)| shown(path)).collect();
            let label =
                ui.add(egui::Label::new(RichText::new(text).small().color(theme::palette(ui).warning)).truncate());
            label.on_hover_text(places.join("\n"));
        }
        let text = account_text(account);
        if !text.is_empty() {
            let passed_over = account.passed_over.iter().take(MOST_NAMED).map(|path| shown(&path.0));
            let named: Vec<String> = std::iter::once(text.clone()).chain(passed_over).collect();
            let label = ui.add(egui::Label::new(RichText::new(text).small().weak()).truncate());
            label.on_hover_text(named.join("\n"));
        }
    });
}

/// "12 videos, 30 other files, 2 folders passed over".
fn account_text(account: &Account) -> String {
    let part = |kind: OtherKind| {
        let number = account.number_of(kind);
        let shown = count(number as usize);
        let text = match kind {
            OtherKind::Videos => tr!("{} video" | "{} videos" % number, shown),
            OtherKind::Sidecars => tr!("{} sidecar file" | "{} sidecar files" % number, shown),
            OtherKind::Documents => tr!("{} document" | "{} documents" % number, shown),
            OtherKind::Sounds => tr!("{} sound" | "{} sounds" % number, shown),
            OtherKind::Other => tr!("{} other file" | "{} other files" % number, shown),
            OtherKind::Hidden => tr!("{} hidden file" | "{} hidden files" % number, shown),
            OtherKind::Links => {
                tr!("{} link to what is here already" | "{} links to what is here already" % number, shown)
            }
        };
        (number > 0).then_some(text)
    };
    let passed_over = account.passed_over.len();
    let folders = tr!("{} folder passed over" | "{} folders passed over" % passed_over, count(passed_over));
    let folders = (passed_over > 0).then_some(folders);
    OtherKind::ALL.into_iter().filter_map(part).chain(folders).collect::<Vec<_>>().join(", ")
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// Above that: how far the dates of older photos are known.
fn reading_dates_ui(ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let Some(done) = library.dates.as_ref().and_then(Progress::fraction) else { return };
    let panel = egui::Panel::bottom("reading dates").frame(egui::Frame::new()).resizable(false);
    panel.show_separator_line(false).show(ui, |ui| {
        ui.horizontal(|ui| {
            let text = tr!("Reading dates: {} %", (done * 100.0) as u32);
            let stop = ui.add(Button::new("×").frame(false)).on_hover_text(tr!("Stop until the next start"));
            if stop.accessible_name(tr!("Stop reading dates")).clicked() {
                actions.push(Action::Request(Request::StopReadingDates));
            }
            ui.add(egui::Label::new(RichText::new(text).small().weak()).truncate());
        });
    });
}

fn query_ui(ui: &mut Ui, visit: &Visit, picture: Option<&TextureHandle>, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(tr!("Photos similar to")).strong());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            add_command(ui, Command::ClearQuery, Button::new("×").frame(false), true, actions)
                .accessible_name(tr!("Clear search"));
        });
    });
    let width = ui.available_width();
    match picture {
        Some(texture) => {
            let image = egui::Image::from_texture(texture).corner_radius(theme::ROUNDING);
            let height = QUERY_HEIGHT.min(ui.available_height() * QUERY_SHARE);
            let image = image.fit_to_exact_size(egui::vec2(width, height));
            ui.add(image.alt_text(tr!("Query: {}", visit.name())));
        }
        None => {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(width, 140.0), Sense::hover());
            ui.painter().rect_filled(rect, theme::ROUNDING, theme::palette(ui).empty);
        }
    }
    ui.add(egui::Label::new(visit.name()).truncate());
    ui.add_space(theme::GAP);
}

fn history_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let earlier: Vec<(usize, &Visit)> =
        state.history.iter().enumerate().rev().filter(|(_, visit)| visit.query.is_some()).take(HISTORY_SHOWN).collect();
    if earlier.len() < 2 {
        return;
    }
    ui.label(RichText::new(tr!("Earlier searches")).strong());
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = egui::vec2(6.0, 6.0);
        for (number, visit) in earlier {
            history_entry_ui(ui, visit, number, number == state.at, actions);
        }
    });
    ui.add_space(theme::GAP);
}

fn history_entry_ui(ui: &mut Ui, visit: &Visit, number: usize, is_shown: bool, actions: &mut Vec<Action>) {
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(44.0), Sense::click());
    let palette = theme::palette(ui);
    ui.painter().rect_filled(rect, theme::ROUNDING, palette.empty);
    if let Some(texture) = &visit.thumbnail {
        super::grid::paint_cover(ui, texture, rect);
    }
    if is_shown || response.has_focus() {
        ui.painter().rect_stroke(rect, theme::ROUNDING, (2.0, palette.accent), egui::StrokeKind::Inside);
    }
    let label = tr!("Earlier search: {}", visit.name());
    let enabled = ui.is_enabled();
    let info = || egui::WidgetInfo::selected(egui::accesskit::Role::Button, enabled, is_shown, &label);
    response.widget_info(info);
    if response.on_hover_text(visit.name()).clicked() {
        actions.push(Action::Visit(number));
    }
}

fn browse_ui(ui: &mut Ui, state: &mut State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let facets = &library.facets;
    ui.horizontal_wrapped(|ui| {
        ui.selectable_value(&mut state.facet, Facet::Folders, tr!("Folders"));
        ui.selectable_value(&mut state.facet, Facet::Labels, tr!("Labels"));
        ui.selectable_value(&mut state.facet, Facet::Dates, tr!("Dates"));
    });
    ui.separator();
    let dates = if state.facet == Facet::Dates { date_rows(facets) } else { Vec::new() };
    let everything = [(Filter::All, tr!("All photos"), 0, library.photos)];
    let rows = match state.facet {
        Facet::Folders => facets.folders.len(),
        Facet::Labels => facets.labels.len(),
        Facet::Dates => dates.len(),
    };
    let row = |number: usize| match (number.checked_sub(1), state.facet) {
        (None, _) => everything[0].clone(),
        (Some(number), Facet::Labels) => {
            let (label, photos) = &facets.labels[number];
            (Filter::Label(label.clone()), label.to_string_lossy().into_owned(), 0, *photos)
        }
        (Some(number), Facet::Folders) => {
            let (folder, photos) = &facets.folders[number];
            let depth = folder.components().count() - 1;
            (Filter::Folder(folder.clone()), folder_name(folder), depth, *photos)
        }
        (Some(number), Facet::Dates) => dates[number].clone(),
    };
    let height = 26.0;
    ui.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::vertical().id_salt(("browse", state.facet)).auto_shrink(false).show_rows(
        ui,
        height,
        rows + 1,
        |ui, range| {
            for number in range {
                let (filter, name, depth, photos) = row(number);
                let is_chosen = state.filter == filter;
                if browse_row_ui(ui, height, &name, depth, photos, is_chosen) {
                    actions.push(Action::Filter(filter));
                }
            }
        },
    );
}

/// What a row chooses, its name, how deep it lies, and its photos.
type BrowseRow = (Filter, String, usize, usize);

/// Years with their months, the latest first; at last what has no date.
fn date_rows(facets: &Facets) -> Vec<BrowseRow> {
    let mut rows = Vec::new();
    for months in facets.months.chunk_by(|(one, ..), (next, ..)| one == next) {
        let year = months[0].0;
        let photos = months.iter().map(|(.., photos)| photos).sum();
        rows.extend(Days::of(year, None).map(|days| (Filter::Days(days), year_text(year), 0, photos)));
        for (_, month, photos) in months {
            let days = Days::of(year, Some(*month));
            rows.extend(days.map(|days| (Filter::Days(days), month_text(year, *month), 1, *photos)));
        }
    }
    if facets.undated > 0 {
        rows.push((Filter::Undated, tr!("Without a date"), 0, facets.undated));
    }
    rows
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

fn browse_row_ui(ui: &mut Ui, height: f32, name: &str, depth: usize, photos: usize, is_chosen: bool) -> bool {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), height), Sense::click());
    let visuals = ui.visuals();
    let fill = match (is_chosen, response.hovered()) {
        (true, _) => visuals.selection.bg_fill,
        (false, true) => visuals.widgets.hovered.weak_bg_fill,
        (false, false) => egui::Color32::TRANSPARENT,
    };
    ui.painter().rect_filled(rect, theme::ROUNDING, fill);
    if response.has_focus() {
        let stroke = (1.5, theme::palette(ui).accent);
        ui.painter().rect_stroke(rect, theme::ROUNDING, stroke, egui::StrokeKind::Inside);
    }
    let inside = rect.shrink2(egui::vec2(8.0, 0.0));
    let number = ui.painter().layout_no_wrap(
        count(photos),
        egui::TextStyle::Small.resolve(ui.style()),
        visuals.weak_text_color(),
    );
    let left = inside.left() + 14.0 * depth as f32;
    let room = (inside.right() - number.size().x - theme::GAP - left).max(0.0);
    let mut job = egui::text::LayoutJob::simple_singleline(
        name.to_owned(),
        egui::TextStyle::Body.resolve(ui.style()),
        visuals.text_color(),
    );
    job.wrap = egui::text::TextWrapping::truncate_at_width(room);
    let text = ui.painter().layout_job(job);
    let middle = |size: egui::Vec2| rect.center().y - size.y / 2.0;
    ui.painter().galley(
        egui::pos2(inside.right() - number.size().x, middle(number.size())),
        number,
        visuals.weak_text_color(),
    );
    ui.painter().galley(egui::pos2(left, middle(text.size())), text, visuals.text_color());
    let enabled = ui.is_enabled();
    let label = format!("{name}, {photos}");
    response.widget_info(|| egui::WidgetInfo::selected(egui::accesskit::Role::Button, enabled, is_chosen, &label));
    response.clicked()
}

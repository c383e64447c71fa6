//! What stands in the window while no library is open: a place to drop a folder, other ways to one, the libraries of before,
//! and the photo that is to be searched with as soon as there is one.

use std::sync::Arc;

use eframe::egui::{
    self, Align, Button, Frame, Label, Layout, Rect, RichText, ScrollArea, Sense, Stroke, Ui, Vec2, vec2,
};
use tr::tr;

use super::grid::{paint_cover_or_empty, paint_thumbnail};
use super::icons::{self, Icon, icon_button};
use super::models::date;
use super::state::{Action, State, WaitingPhoto, query_name};
use super::textures::Textures;
use super::top_bar::language_menu_ui;
use super::{add_command, command_button, one_line, photos_of, primary_button, theme};
use crate::command::Command;
use crate::language::translate;
use crate::libraries::LibrarySummary;
use crate::settings::Settings;
use crate::system::now;
use crate::worker::Request;

/// Width of what there is, in points, and the height of the place to drop a folder.
const WIDTH: f32 = 640.0;
const DROP_HEIGHT: f32 = 200.0;
/// A card of a library, and of it the height of its pictures.
const CARD: Vec2 = vec2(200.0, 148.0);
const MOSAIC: f32 = 96.0;
/// Cards in two rows.
const MOST_CARDS: usize = 6;
/// Height of the photo that waits.
const WAITING: f32 = 112.0;

/// Fills the window while no library is open. Where it is small, what does not fit is scrolled to.
pub(crate) fn welcome_ui(
    ui: &mut Ui,
    state: &State,
    settings: &Settings,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    let cards = state.libraries.as_ref().map_or(0, |libraries| libraries.len().min(MOST_CARDS));
    let waiting = if state.waiting_photo.is_some() { WAITING + theme::WIDE_GAP } else { 0.0 };
    let content = 380.0 + waiting + (CARD.y + theme::GAP) * cards.div_ceil(3) as f32;
    let above = ((ui.available_height() - content) * 0.42).max(theme::WIDE_GAP);
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.add_space(above);
        let width = WIDTH.min(ui.available_width() - 2.0 * theme::GAP);
        ui.with_layout(Layout::top_down(Align::Center), |ui| {
            title_ui(ui);
            ui.allocate_ui_with_layout(vec2(width, 0.0), Layout::top_down(Align::Center), |ui| {
                ui.set_width(width);
                if let Some(waiting) = &state.waiting_photo {
                    waiting_ui(ui, waiting, actions);
                }
                if state.opening {
                    ui.add_space(2.0 * theme::WIDE_GAP);
                    ui.spinner();
                    ui.label(tr!("Opening…"));
                    return;
                }
                drop_ui(ui, actions);
                libraries_ui(ui, state, textures, actions);
            });
            foot_ui(ui, state, settings, actions);
        });
    });
}

fn title_ui(ui: &mut Ui) {
    ui.label(RichText::new("Florascope").size(theme::NAME_SIZE).strong().color(theme::palette(ui).accent));
    let lead = tr!("Drop a photo of a flower, and see the most similar photos in your own folder");
    ui.add(Label::new(RichText::new(lead).size(theme::PRIMARY_SIZE)).wrap());
    ui.add_space(theme::WIDE_GAP);
}

/// The photo that is searched with as soon as there is a folder to search in.
fn waiting_ui(ui: &mut Ui, waiting: &WaitingPhoto, actions: &mut Vec<Action>) {
    let frame = Frame::new().fill(ui.visuals().faint_bg_color).corner_radius(theme::ROUNDING);
    frame.inner_margin(theme::GAP).show(ui, |ui| {
        ui.horizontal(|ui| {
            let (rect, response) = ui.allocate_exact_size(Vec2::splat(WAITING - 2.0 * theme::GAP), Sense::hover());
            paint_cover_or_empty(ui, waiting.picture.as_ref(), rect);
            let name = query_name(&waiting.query);
            let spoken = tr!("Query: {}", &name);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, &spoken));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if icon_button(ui, Icon::Close, &tr!("Do not search with it"), true).clicked() {
                    actions.push(Action::ForgetWaiting);
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let text = tr!("{} is ready. Open the folder to search in", name);
                    ui.add(Label::new(RichText::new(text).size(theme::PRIMARY_SIZE)).wrap());
                });
            });
        });
    });
    ui.add_space(theme::WIDE_GAP);
}

/// Where a folder is dropped, and the other ways to one.
fn drop_ui(ui: &mut Ui, actions: &mut Vec<Action>) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), DROP_HEIGHT), Sense::hover());
    let accent = theme::palette(ui).accent;
    dashed_frame(ui, rect, Stroke::new(2.0, accent));
    let inside = rect.shrink(theme::WIDE_GAP);
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(inside).layout(Layout::top_down(Align::Center)));
    ui.add_space(theme::GAP);
    ui.label(RichText::new(tr!("Drop a folder of photos here")).size(theme::LEAD_SIZE));
    ui.add_space(theme::GAP);
    primary_button(&mut ui, Command::OpenFolder, actions);
    ui.add_space(4.0);
    command_button(&mut ui, Command::OpenGarden, actions);
    ui.add_space(4.0);
    let text = RichText::new(Command::OpenPath.info().text).color(ui.visuals().hyperlink_color);
    add_command(&mut ui, Command::OpenPath, Button::new(text).frame(false), true, actions);
}

/// Rounded, of dashes.
fn dashed_frame(ui: &Ui, rect: Rect, stroke: Stroke) {
    let mut path = Vec::new();
    let rounded = egui::epaint::RoundedRect::new(rect, 16.0);
    egui::epaint::tessellator::path::rounded_rectangle(&mut path, rounded);
    path.extend(path.first().copied());
    ui.painter().extend(egui::Shape::dashed_line(&path, stroke, 8.0, 6.0));
}

fn libraries_ui(ui: &mut Ui, state: &State, textures: &mut Textures, actions: &mut Vec<Action>) {
    let Some(libraries) = state.libraries.as_ref().filter(|libraries| !libraries.is_empty()) else { return };
    ui.add_space(theme::WIDE_GAP);
    ui.horizontal(|ui| {
        ui.label(RichText::new(tr!("Your libraries")).strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let all = Command::ShowLibraries;
            let text = RichText::new(tr!("All…")).color(ui.visuals().hyperlink_color);
            add_command(ui, all, Button::new(text).frame(false), true, actions);
        });
    });
    ui.with_layout(Layout::left_to_right(Align::Min).with_main_wrap(true), |ui| {
        ui.spacing_mut().item_spacing = vec2((ui.available_width() - 3.0 * CARD.x).max(24.0) / 2.0 - 0.5, theme::GAP);
        for summary in libraries.iter().take(MOST_CARDS) {
            card_ui(ui, summary, textures, actions);
        }
    });
}

/// A library: some of its photos, its name, how many it has and when it was open; opens it.
fn card_ui(ui: &mut Ui, summary: &LibrarySummary, textures: &mut Textures, actions: &mut Vec<Action>) {
    let (rect, response) = ui.allocate_exact_size(CARD, Sense::click());
    if !ui.is_rect_visible(rect) {
        return;
    }
    let visuals = ui.visuals();
    let fill = if response.hovered() { visuals.widgets.hovered.weak_bg_fill } else { visuals.faint_bg_color };
    ui.painter().rect_filled(rect, theme::ROUNDING, fill);
    let (mosaic, text) = rect.split_top_bottom_at_y(rect.top() + MOSAIC);
    mosaic_ui(ui, mosaic, summary, textures);
    let name = summary.library.name();
    let state = match &summary.contents {
        _ if !summary.is_here => tr!("Not connected"),
        Some(contents) => format!("{}, {}", photos_of(contents.photos as usize), date(summary.opened, now())),
        None => date(summary.opened, now()),
    };
    let (strong, weak) = (visuals.text_color(), visuals.weak_text_color());
    let weak = if summary.is_here { weak } else { theme::palette(ui).warning };
    let line = |text: &str, font: egui::FontId, color, y: f32| {
        let galley = one_line(ui, text.to_owned(), font, color, CARD.x - 44.0);
        ui.painter().galley(egui::pos2(rect.left() + theme::GAP, y), galley, color);
    };
    line(&name, egui::TextStyle::Body.resolve(ui.style()), strong, text.top() + 6.0);
    line(&state, egui::TextStyle::Small.resolve(ui.style()), weak, text.top() + 28.0);
    if response.has_focus() {
        ui.painter().rect_stroke(rect, theme::ROUNDING, theme::focus_stroke(ui), egui::StrokeKind::Inside);
    }
    let spoken = tr!("Open {name}, {}", state, name);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Button, true, &spoken));
    more_ui(ui, rect, summary, actions);
    let path = summary.library.root.display().to_string();
    if response.on_hover_text(path).clicked() {
        actions.push(Action::Request(Request::Open(summary.library.root.clone())));
    }
}

/// Up to four photos side by side.
fn mosaic_ui(ui: &Ui, place: Rect, summary: &LibrarySummary, textures: &mut Textures) {
    ui.painter().rect_filled(place, theme::ROUNDING, theme::palette(ui).empty);
    let samples = summary.contents.as_ref().map_or(&[][..], |contents| &contents.samples);
    let library = Arc::new(summary.library.clone());
    let width = place.width() / samples.len().max(1) as f32;
    for (number, photo) in samples.iter().enumerate() {
        let corner = place.min + vec2(width * number as f32, 0.0);
        let own = Rect::from_min_size(corner, vec2(width - 1.0, place.height()));
        paint_thumbnail(ui, photo, &library, own, textures);
    }
}

/// What else can be done with a library.
fn more_ui(ui: &mut Ui, card: Rect, summary: &LibrarySummary, actions: &mut Vec<Action>) {
    let place = Rect::from_min_size(card.right_bottom() - vec2(36.0, 40.0), Vec2::splat(28.0));
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(place).id_salt(&summary.library.folder));
    let button = Button::new("").frame(false).min_size(place.size());
    let menu = egui::containers::menu::MenuButton::from_button(button).ui(&mut ui, |ui| {
        if ui.button(tr!("Show in file manager")).clicked() {
            actions.push(Action::ShowInFileManager(summary.library.root.clone()));
        }
        if ui.button(tr!("Remove from Florascope…")).clicked() {
            actions.push(Action::AskToForget(summary.library.clone()));
        }
    });
    let square = Rect::from_center_size(menu.0.rect.center(), Vec2::splat(14.0));
    icons::paint(ui.painter(), Icon::More, square, ui.visuals().text_color());
    menu.0.accessible_name(tr!("More about {}", summary.library.name()));
}

fn foot_ui(ui: &mut Ui, state: &State, settings: &Settings, actions: &mut Vec<Action>) {
    ui.add_space(theme::WIDE_GAP);
    let mut text = tr!("Your photos stay on this computer, and are never changed");
    if let Some(model) = &state.model {
        text += &format!(" · {}", tr!("Computes on {}", translate(&model.device)));
    }
    ui.label(RichText::new(text).small().weak());
    ui.add_space(4.0);
    let text = RichText::new(Command::ShowAbout.info().text).color(ui.visuals().hyperlink_color);
    // Side by side, with the middle of the window between them.
    ui.columns(2, |columns| {
        columns[0].with_layout(Layout::right_to_left(Align::Min), |ui| {
            add_command(ui, Command::ShowAbout, Button::new(text).frame(false), true, actions);
        });
        columns[1].with_layout(Layout::left_to_right(Align::Min), |ui| language_menu_ui(ui, settings, actions));
    });
}

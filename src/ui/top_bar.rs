//! The bar at the top: which library, the way back, one field for all searches, training, and a menu of the rest.

use eframe::egui::{self, Align, Button, FontId, Frame, Id, Key, Layout, Margin, RichText, TextEdit, TextStyle, Ui};
use tr::tr;

use super::grid::paint_cover_or_empty;
use super::icons::{self, Icon, sized_icon_button};
use super::state::{Action, OpenLibrary, RightPanel, State};
use super::{add_command, icon_command, menu_item, one_line, shortened, theme};
use crate::command::Command;
use crate::language::LanguageChoice;
use crate::settings::{Settings, ThemeChoice};
use crate::worker::Request;

/// The search field's width, in points, and its height.
const FIELD: std::ops::RangeInclusive<f32> = 150.0..=560.0;
const FIELD_HEIGHT: f32 = 34.0;
/// From this width of the window on there is room for words on the buttons.
const WITH_WORDS: f32 = 760.0;
/// Points of the window's width for each letter of a library's name.
const NAME_SHARE: f32 = 40.0;
/// Widest name of the query in the field.
const QUERY_NAME: f32 = 130.0;

/// What the search field has in hand.
#[derive(Default)]
pub(crate) struct SearchField {
    text: String,
    /// It is to have the keyboard's focus from the next frame on.
    pub(crate) wants_focus: bool,
}

/// Of the field for text in it.
pub(crate) fn search_field_id() -> Id {
    Id::unique("search field")
}

/// The bar over everything else.
pub(crate) fn top_bar_ui(
    ui: &mut Ui,
    state: &State,
    field: &mut SearchField,
    library: &OpenLibrary,
    settings: &Settings,
    actions: &mut Vec<Action>,
) {
    let window = ui.available_width();
    ui.horizontal(|ui| {
        ui.set_height(FIELD_HEIGHT);
        let side = ui.spacing().interact_size.y;
        if state.narrow {
            icon_command(ui, Icon::Menu, Command::ToggleSidebar, true, side, actions);
        }
        library_menu_ui(ui, state, library, actions);
        let ways = [(Command::Back, Icon::Back, state.at > 0), (Command::Forward, Icon::Forward, state.has_forward())];
        for (command, icon, is_possible) in ways {
            icon_command(ui, icon, command, is_possible, side, actions);
        }
        let train = Command::Train.info().text;
        let with_words = window >= WITH_WORDS;
        let right = side + theme::GAP + if with_words { width_of(ui, &train) + 22.0 } else { 28.0 } + theme::GAP;
        let room = ui.available_width() - right - theme::GAP;
        let width = room.min(*FIELD.end()).max(*FIELD.start());
        // In the middle of the window, as far as there is room for that.
        let left = ui.cursor().left() - ui.max_rect().left();
        ui.add_space(((window - width) / 2.0 - left).clamp(0.0, (room - width).max(0.0)));
        field_ui(ui, width, state, field, actions);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            menu_ui(ui, settings, actions);
            train_button_ui(ui, state, with_words, actions);
        });
    });
}

/// How wide a button of this text is, with the space on both its sides.
fn width_of(ui: &Ui, text: &str) -> f32 {
    let font = TextStyle::Button.resolve(ui.style());
    let text = ui.painter().layout_no_wrap(text.to_owned(), font, egui::Color32::PLACEHOLDER);
    text.size().x + ui.spacing().button_padding.x * 2.0
}

fn train_button_ui(ui: &mut Ui, state: &State, with_words: bool, actions: &mut Vec<Action>) {
    let text = Command::Train.info().text;
    // The sprout stands where spaces leave room for it.
    let label = if with_words { format!("       {text}") } else { "     ".to_owned() };
    let button = Button::new(label).selected(state.right == RightPanel::Train);
    let response = add_command(ui, Command::Train, button, true, actions);
    let center =
        response.rect.left_center() + egui::vec2(if with_words { 19.0 } else { response.rect.width() / 2.0 }, 0.0);
    let color = ui.visuals().text_color();
    icons::paint(ui.painter(), Icon::Train, egui::Rect::from_center_size(center, egui::Vec2::splat(15.0)), color);
    response.accessible_name(text);
}

/// What is searched with, and words of names: drop, paste, choose or type.
fn field_ui(ui: &mut Ui, width: f32, state: &State, field: &mut SearchField, actions: &mut Vec<Action>) {
    let id = search_field_id();
    let has_focus = ui.memory(|memory| memory.has_focus(id));
    // What clears the words elsewhere clears them here.
    if !has_focus {
        field.text.clone_from(&state.filter.words);
    }
    let outline = ui.visuals().widgets.noninteractive.bg_stroke;
    let frame = Frame::new().fill(ui.visuals().extreme_bg_color).stroke(outline).corner_radius(theme::FIELD_ROUNDING);
    let inside = egui::vec2(width - 8.0, FIELD_HEIGHT - 4.0);
    let shown = frame.inner_margin(Margin::symmetric(3, 1)).show(ui, |ui| {
        ui.allocate_ui_with_layout(inside, Layout::left_to_right(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.set_min_size(inside);
            let side = ui.spacing().interact_size.y;
            icon_command(ui, Icon::Camera, Command::ChoosePhoto, true, side, actions);
            query_ui(ui, state, actions);
            let clear = if field.text.is_empty() { 0.0 } else { 26.0 };
            let hint = if state.is_search() {
                tr!("Narrow down by name")
            } else {
                tr!("Drop, paste or choose a photo, or type a name")
            };
            let edit = TextEdit::singleline(&mut field.text).id(id).frame(Frame::NONE).hint_text(hint);
            let edit = edit.desired_width((ui.available_width() - clear - 4.0).max(24.0)).clip_text(true);
            let response = ui.add(edit.align(egui::Align2::LEFT_CENTER)).accessible_name(tr!("Find by name"));
            if std::mem::take(&mut field.wants_focus) {
                response.request_focus();
            }
            if response.changed() {
                actions.push(Action::SetWords(field.text.clone()));
            }
            // On to what was found.
            let leaves = ui.input(|input| input.key_pressed(Key::ArrowDown)) && response.has_focus();
            let is_entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            if (leaves || is_entered) && !state.hits().is_empty() {
                response.surrender_focus();
                actions.push(Action::Select(0));
            }
            if !field.text.is_empty()
                && sized_icon_button(ui, Icon::Close, &tr!("Clear the words"), true, 22.0).clicked()
            {
                field.text.clear();
                actions.push(Action::SetWords(String::new()));
            }
        });
    });
    if has_focus {
        let stroke = theme::focus_stroke(ui);
        ui.painter().rect_stroke(shown.response.rect, theme::FIELD_ROUNDING, stroke, egui::StrokeKind::Inside);
    }
}

/// The photo that is searched with, small, and the way out.
fn query_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(visit) = state.visit().filter(|visit| visit.query.is_some()) else { return };
    let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(26.0), egui::Sense::hover());
    paint_cover_or_empty(ui, state.query_picture(), rect);
    if ui.available_width() > 2.2 * QUERY_NAME {
        let font = FontId::proportional(theme::CAPTION_SIZE);
        let color = ui.visuals().text_color();
        ui.label(one_line(ui, visit.name(), font, color, QUERY_NAME));
    }
    icon_command(ui, Icon::Close, Command::ClearQuery, true, 22.0, actions);
}

fn library_menu_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    // The space at the end is for the arrow, which no font of egui's has.
    // A name that leaves room for others; the tooltip has the whole.
    let letters = (ui.ctx().content_rect().width() / NAME_SHARE) as usize;
    let name = shortened(&library.library.name(), letters.clamp(8, 24));
    let menu = ui.menu_button(RichText::new(format!("{name}      ")).strong(), |ui| {
        ui.set_min_width(240.0);
        menu_item(ui, Command::OpenFolder, true, actions);
        menu_item(ui, Command::OpenPath, true, actions);
        menu_item(ui, Command::OpenGarden, true, actions);
        ui.menu_button(tr!("Recent folders"), |ui| {
            for path in &state.recent {
                let is_open = *path == library.library.root;
                if ui.selectable_label(is_open, path.display().to_string()).clicked() {
                    actions.push(Action::Request(Request::Open(path.clone())));
                    ui.close();
                }
            }
        });
        menu_item(ui, Command::ShowLibraries, true, actions);
        ui.separator();
        menu_item(ui, Command::CheckFolder, library.writable && library.progress.is_none(), actions);
        menu_item(ui, Command::ReadAgain, library.writable && library.progress.is_none(), actions);
        menu_item(ui, Command::ShowProblems, true, actions);
        ui.separator();
        menu_item(ui, Command::ChoosePhoto, true, actions);
        menu_item(ui, Command::Paste, true, actions);
        menu_item(ui, Command::FindByName, true, actions);
    });
    let tip = menu.response.rect.right_center() - egui::vec2(16.0, 0.0);
    let square = egui::Rect::from_center_size(tip, egui::Vec2::splat(11.0));
    icons::paint(ui.painter(), Icon::Down, square, ui.visuals().text_color());
    menu.response.on_hover_text(library.library.root.display().to_string());
}

/// All that has no button of its own.
fn menu_ui(ui: &mut Ui, settings: &Settings, actions: &mut Vec<Action>) {
    let side = ui.spacing().interact_size.y;
    let button = Button::new("").min_size(egui::Vec2::splat(side));
    let menu = egui::containers::menu::MenuButton::from_button(button).ui(ui, |ui| {
        ui.set_min_width(220.0);
        menu_item(ui, Command::ShowModels, true, actions);
        menu_item(ui, Command::Train, true, actions);
        ui.separator();
        menu_item(ui, Command::ToggleSidebar, true, actions);
        menu_item(ui, Command::ShowDetails, true, actions);
        menu_item(ui, Command::FullScreen, true, actions);
        ui.menu_button(tr!("Appearance"), |ui| {
            let choices = [
                (ThemeChoice::System, tr!("Same as system")),
                (ThemeChoice::Light, tr!("Light")),
                (ThemeChoice::Dark, tr!("Dark")),
            ];
            for (choice, text) in choices {
                if ui.selectable_label(settings.theme == choice, text).clicked() {
                    actions.push(Action::SetTheme(choice));
                    ui.close();
                }
            }
        });
        language_menu_ui(ui, settings, actions);
        ui.separator();
        menu_item(ui, Command::ShowShortcuts, true, actions);
        menu_item(ui, Command::ShowAbout, true, actions);
        menu_item(ui, Command::Quit, true, actions);
    });
    let square = egui::Rect::from_center_size(menu.0.rect.center(), egui::Vec2::splat(16.0));
    icons::paint(ui.painter(), Icon::More, square, ui.visuals().text_color());
    menu.0.accessible_name(tr!("Menu"));
}

/// Each language by its own name, and the menu by its English name as well: who does not read the window's finds it.
pub(crate) fn language_menu_ui(ui: &mut Ui, settings: &Settings, actions: &mut Vec<Action>) {
    let (english, name) = ("Language", tr!("Language"));
    let title = if name == english { name } else { format!("{name} ({english})") };
    ui.menu_button(title, |ui| {
        for choice in LanguageChoice::ALL {
            if ui.selectable_label(settings.language == choice, choice.name()).clicked() {
                actions.push(Action::SetLanguage(choice));
                ui.close();
            }
        }
    });
}

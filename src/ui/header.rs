//! The bar at the top: which library, what to search with, how the results look.

use eframe::egui::{self, Align, Button, ComboBox, Layout, RichText, Slider, Ui};
use tr::tr;

use super::state::{Action, OpenLibrary, State};
use super::{add_command, command_button, count, menu_item, photos_of, problems_of, theme};
use crate::command::Command;
use crate::language::LanguageChoice;
use crate::query::Order;
use crate::settings::{Settings, TILE_SIDES, ThemeChoice};
use crate::worker::Request;

const RESULTS: [Option<usize>; 6] = [Some(5), Some(20), Some(100), Some(500), Some(2000), None];

/// From this width of the window on, in points, there is room for the thumbnails' size; keys change it anyway.
const SLIDER_FROM: f32 = 600.0;
/// Points of the window's width for each letter of a library's name.
const NAME_SHARE: f32 = 40.0;

/// The bar over the grid.
pub(crate) fn header_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    settings: &Settings,
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
        library_menu_ui(ui, state, library, settings, actions);
        // What the right end took in the last frame: a few numbers and menus change its width.
        let id = ui.scope_id().with("right end");
        let right: f32 = ui.data(|data| data.get_temp(id)).unwrap_or(0.0);
        let left = |ui: &Ui| ui.available_width() - right;
        let photos = if library.loading { tr!("loading…") } else { photos_of(library.photos) };
        let back = width_of(ui, &Command::Back.info().text) + ui.spacing().button_padding.x * 2.0;
        if left(ui) >= width_of(ui, &photos) + back {
            ui.weak(photos);
            ui.separator();
        }
        add_command(ui, Command::Back, Button::new(Command::Back.info().text), state.at > 0, actions);
        // Those that find no place are in the library's menu as well.
        for command in [Command::ChoosePhoto, Command::Train] {
            if left(ui) >= width_of(ui, &command.info().text) {
                command_button(ui, command, actions);
            }
        }
        let end = ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let help = Button::new("?").min_size(egui::vec2(28.0, 28.0));
            add_command(ui, Command::ShowShortcuts, help, true, actions);
            problems_button_ui(ui, library, actions);
            if ui.ctx().content_rect().width() >= SLIDER_FROM {
                size_ui(ui, settings.tile_side, actions);
            }
            if state.is_search() {
                results_ui(ui, settings.results, actions);
            } else {
                order_ui(ui, settings.order, actions);
            }
            ui.min_rect().width()
        });
        if (end.inner - right).abs() > 0.5 {
            ui.data_mut(|data| data.insert_temp(id, end.inner));
            ui.ctx().request_repaint();
        }
    });
}

/// How wide a button of this text is, with the space on both its sides.
fn width_of(ui: &Ui, text: &str) -> f32 {
    let font = egui::TextStyle::Button.resolve(ui.style());
    let text = ui.painter().layout_no_wrap(text.to_owned(), font, egui::Color32::PLACEHOLDER);
    text.size().x + ui.spacing().button_padding.x * 2.0 + ui.spacing().item_spacing.x * 2.0
}

/// How large the thumbnails are.
fn size_ui(ui: &mut Ui, mut side: f32, actions: &mut Vec<Action>) {
    ui.spacing_mut().slider_width = 110.0;
    let slider = ui.add(Slider::new(&mut side, TILE_SIDES).show_value(false));
    if slider.on_hover_text(tr!("Size of the thumbnails (+ and −)")).accessible_name(tr!("Thumbnail size")).changed()
    {
        actions.push(Action::SetTileSide(side));
    }
}

fn results_ui(ui: &mut Ui, results: Option<usize>, actions: &mut Vec<Action>) {
    let text = |results: Option<usize>| results.map_or_else(|| tr!("Show all"), |n| tr!("Show {}", count(n)));
    let combo = ComboBox::from_id_salt("results").selected_text(text(results)).show_ui(ui, |ui| {
        for choice in RESULTS {
            if ui.selectable_label(results == choice, text(choice)).clicked() {
                actions.push(Action::SetResults(choice));
            }
        }
    });
    combo.response.on_hover_text(tr!("How many results a search shows"));
}

fn order_ui(ui: &mut Ui, order: Order, actions: &mut Vec<Action>) {
    let text = |order: Order| match order {
        Order::Name => tr!("By name"),
        Order::NewestFirst => tr!("Newest first"),
        Order::OldestFirst => tr!("Oldest first"),
    };
    let combo = ComboBox::from_id_salt("order").selected_text(text(order)).show_ui(ui, |ui| {
        for choice in [Order::Name, Order::NewestFirst, Order::OldestFirst] {
            if ui.selectable_label(order == choice, text(choice)).clicked() {
                actions.push(Action::SetOrder(choice));
            }
        }
    });
    let order =
        combo.response.on_hover_text(tr!("In which order photos are shown; dates are those on which they were taken"));
    order.accessible_name(tr!("Order of the photos"));
}

fn problems_button_ui(ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
    if library.problems.is_empty() {
        return;
    }
    let text = RichText::new(problems_of(library.problems.len()));
    let button = Button::new(text.color(theme::palette(ui).warning));
    add_command(ui, Command::ShowProblems, button, true, actions);
}

fn library_menu_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, settings: &Settings, actions: &mut Vec<Action>) {
    // The space at the end is for the arrow, which no font of egui's has.
    let name = RichText::new(format!("{}      ", shortened(&library.library.name(), ui.ctx().content_rect().width())))
        .strong();
    let menu = ui.menu_button(name, |ui| {
        ui.set_min_width(240.0);
        menu_item(ui, Command::OpenFolder, true, actions);
        menu_item(ui, Command::OpenPath, true, actions);
        menu_item(ui, Command::OpenGarden, true, actions);
        ui.menu_button(tr!("Recent folders"), |ui| {
            for path in &state.recent {
                if ui.button(path.display().to_string()).clicked() {
                    actions.push(Action::Request(Request::Open(path.clone())));
                    ui.close();
                }
            }
        });
        menu_item(ui, Command::CheckFolder, library.writable && library.progress.is_none(), actions);
        menu_item(ui, Command::ReadAgain, library.writable && library.progress.is_none(), actions);
        ui.separator();
        menu_item(ui, Command::ChoosePhoto, true, actions);
        menu_item(ui, Command::Paste, true, actions);
        ui.separator();
        menu_item(ui, Command::Train, true, actions);
        menu_item(ui, Command::ShowModels, true, actions);
        menu_item(ui, Command::ShowLibraries, true, actions);
        ui.separator();
        menu_item(ui, Command::ToggleSidebar, true, actions);
        menu_item(ui, Command::ShowProblems, true, actions);
        ui.menu_button(tr!("Appearance"), |ui| {
            let choices = [
                (ThemeChoice::System, tr!("Follow system")),
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
        menu_item(ui, Command::ShowShortcuts, true, actions);
        menu_item(ui, Command::ShowAbout, true, actions);
        menu_item(ui, Command::Quit, true, actions);
    });
    let tip = menu.response.rect.right_center() - egui::vec2(16.0, -3.0);
    let arrow = [egui::vec2(-5.0, -6.0), egui::vec2(5.0, -6.0), egui::Vec2::ZERO].map(|corner| tip + corner);
    ui.painter().add(egui::Shape::convex_polygon(arrow.to_vec(), ui.visuals().text_color(), egui::Stroke::NONE));
    menu.response.on_hover_text(library.library.root.display().to_string());
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

/// A name that leaves room for others; the tooltip has the whole.
fn shortened(name: &str, width: f32) -> String {
    let letters = ((width / NAME_SHARE) as usize).clamp(8, 28);
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    name.chars().take(letters - 1).chain(['…']).collect()
}

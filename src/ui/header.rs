//! The line over the photos: which ones they are, what limits them, in which order and how large they are shown.

use std::path::Path;

use eframe::egui::{self, Align, ComboBox, Frame, Layout, Margin, RichText, Slider, Ui};
use tr::tr;

use super::dates::days_text;
use super::icons::{Icon, sized_icon_button};
use super::state::{Action, OpenLibrary, State};
use super::{count, photos_of, shortened, theme};
use crate::filter::{Choice, Filter};
use crate::query::Order;
use crate::settings::{Settings, TILE_SIDES};

const RESULTS: [Option<usize>; 6] = [Some(5), Some(20), Some(100), Some(500), Some(2000), None];
/// From this width on, in points, there is room for the thumbnails' size; keys change it anyway.
const SLIDER_FROM: f32 = 480.0;
/// The longest text of a chip, in letters.
const CHIP_LETTERS: usize = 28;

/// The line over the photos.
pub(crate) fn header_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    settings: &Settings,
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.available_width() >= SLIDER_FROM {
                size_ui(ui, settings.tile_side, actions);
            }
            if state.is_search() {
                results_ui(ui, settings.results, actions);
            } else {
                order_ui(ui, settings.order, actions);
            }
            ui.with_layout(Layout::left_to_right(Align::Center).with_main_wrap(true), |ui| {
                what_ui(ui, state, library);
                chips_ui(ui, state, actions);
            });
        });
    });
}

/// How many photos are shown, and of how many.
fn what_ui(ui: &mut Ui, state: &State, library: &OpenLibrary) {
    let (shown, all) = (state.hits().len(), library.photos);
    ui.spacing_mut().interact_size.y = 28.0;
    if library.loading && shown == 0 {
        ui.label(tr!("Loading…"));
    } else if state.waiting && state.is_search() {
        ui.label(tr!("Searching…"));
    } else if state.is_search() {
        ui.label(RichText::new(tr!("{} nearest of {}", count(shown), photos_of(all))));
    } else if state.filter.is_all() {
        ui.label(RichText::new(tr!("All photos")).strong());
        ui.weak(count(shown));
    } else {
        ui.label(RichText::new(tr!("{} of {}", count(shown), photos_of(all))));
    }
    if state.selection.len() > 1 {
        ui.label(RichText::new(tr!("{} selected", photos_of(state.selection.len()))).strong());
    }
}

/// What limits them, each of which can be taken away; and what limited the search before.
fn chips_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    for choice in &state.filter.choices {
        if chip_ui(ui, &choice_text(choice)) {
            actions.push(Action::ToggleChoice(choice.clone()));
        }
    }
    let words = state.filter.words.trim();
    if !words.is_empty() && chip_ui(ui, &tr!("\"{}\"", words)) {
        actions.push(Action::SetWords(String::new()));
    }
    if let Some(left) = state.left_filter.as_ref().filter(|_| state.filter.is_all()) {
        let text = tr!("Search only in: {}", filter_text(left));
        let tooltip = tr!("What you looked at before this search");
        if ui.button(shortened(&text, CHIP_LETTERS)).on_hover_text(tooltip).clicked() {
            actions.push(Action::Filter(left.clone()));
        }
    }
}

/// A text with a cross that takes away what it says; tells whether that was clicked.
fn chip_ui(ui: &mut Ui, text: &str) -> bool {
    let fill = ui.visuals().selection.bg_fill;
    let frame = Frame::new().fill(fill).corner_radius(theme::CHIP_ROUNDING).inner_margin(Margin::symmetric(8, 1));
    let shown = frame.show(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        ui.label(RichText::new(shortened(text, CHIP_LETTERS)).color(ui.visuals().selection.stroke.color))
            .on_hover_text(text);
        sized_icon_button(ui, Icon::Close, &tr!("No longer only: {}", text), true, 20.0).clicked()
    });
    shown.inner
}

/// What a choice is called.
pub(crate) fn choice_text(choice: &Choice) -> String {
    match choice {
        Choice::Folder(folder) => folder_name(folder),
        Choice::Label(label) => label.to_string_lossy().into_owned(),
        Choice::Days(days) => days_text(*days),
        Choice::Undated => tr!("Without a date"),
    }
}

fn filter_text(filter: &Filter) -> String {
    let words = filter.words.trim();
    let words = (!words.is_empty()).then(|| tr!("\"{}\"", words));
    filter.choices.iter().map(choice_text).chain(words).collect::<Vec<_>>().join(", ")
}

/// What a folder is called.
fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

/// How large the thumbnails are.
fn size_ui(ui: &mut Ui, mut side: f32, actions: &mut Vec<Action>) {
    ui.spacing_mut().slider_width = 90.0;
    let square = |ui: &mut Ui, side: f32| {
        let (rect, _) = ui.allocate_exact_size(egui::vec2(14.0, 28.0), egui::Sense::hover());
        let square = egui::Rect::from_center_size(rect.center(), egui::Vec2::splat(side));
        ui.painter().rect_filled(square, 2, ui.visuals().weak_text_color());
    };
    ui.spacing_mut().item_spacing.x = 4.0;
    square(ui, 13.0);
    let slider = ui.add(Slider::new(&mut side, TILE_SIDES).show_value(false));
    if slider.on_hover_text(tr!("Size of the thumbnails (+ and −)")).accessible_name(tr!("Thumbnail size")).changed()
    {
        actions.push(Action::SetTileSide(side));
    }
    square(ui, 7.0);
    ui.spacing_mut().item_spacing.x = theme::GAP;
    ui.add_space(theme::GAP);
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
        Order::Folder => tr!("By folder"),
        Order::Name => tr!("By name"),
        Order::NewestFirst => tr!("Newest first"),
        Order::OldestFirst => tr!("Oldest first"),
        Order::ChangedLast => tr!("Last changed first"),
    };
    let combo = ComboBox::from_id_salt("order").selected_text(text(order)).show_ui(ui, |ui| {
        for choice in Order::ALL {
            if ui.selectable_label(order == choice, text(choice)).clicked() {
                actions.push(Action::SetOrder(choice));
            }
        }
    });
    let order =
        combo.response.on_hover_text(tr!("In which order photos are shown; dates are those on which they were taken"));
    order.accessible_name(tr!("Order of the photos"));
}

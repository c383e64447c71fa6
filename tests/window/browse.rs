//! Finding, filtering and selecting photos without a query, and the way back to where one was.

use std::path::Path;

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, vec2};

use egui_kittest::kittest::NodeT;

use super::common::Photos;
use super::opening::enter;
use super::{Window, text_of};

fn type_text(window: &mut Window, text: &str) {
    window.wait_for_field();
    window.harness.event(Event::Text(text.into()));
    window.harness.step();
}

#[test]
fn photos_are_found_by_words_of_their_names_as_one_types() {
    let photos = Photos::plain("Garden", &[("2024/rose", 3), ("2024/lily", 2), ("Gänseblümchen", 4)]);
    let mut window = Window::on(&photos, 9);
    window.key(Key::Slash);
    type_text(&mut window, "ganse");
    let tiles = window.wait_for_tiles(4);
    assert!(tiles.iter().all(|tile| tile.contains("Gänseblümchen")), "{tiles:?}");
    window.wait_for_text("4 of 9 photos");
    // What another folder would bring.
    assert!(window.button("rose, 0").is_some(), "{:?}", window.texts());
    window.key(Key::Escape);
    window.wait_for_tiles(9);
    window.key(Key::Slash);
    type_text(&mut window, "2024 01");
    window.wait_for_tiles(2);
    window.key(Key::Enter);
    window.wait_until_selected(1);
    window.press("No longer only: \"2024 01\"");
    window.wait_for_tiles(9);
    window.key(Key::Slash);
    type_text(&mut window, "tulip");
    window.wait_for_text("No photo has \"tulip\" in its name");
    window.harness.check_accessibility();
}

#[test]
fn a_new_search_is_not_limited_by_what_was_looked_at_and_back_leads_to_the_very_place() {
    let photos = Photos::plain("Garden", &[("lily", 3), ("rose", 4)]);
    let mut window = Window::on(&photos, 7);
    window.press("rose, 4");
    window.wait_for_tiles(4);
    window.key(Key::End);
    window.wait_until_selected(4);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    assert_eq!(window.wait_for_search().len(), 6);
    window.press("Search only in: rose");
    window.wait_for_tiles(3);
    window.press("No longer only: rose");
    window.wait_for_tiles(6);
    window.press("Back");
    window.wait_for_tiles(4);
    window.wait_until_selected(4);
    // And forward again.
    window.press("Forward");
    window.wait_for_search();
    window.key(Key::Escape);
    window.wait_for_tiles(4);
    assert!(window.button("Forward").is_some_and(|button| !button.accesskit_node().is_disabled()));
}

#[test]
fn several_photos_are_selected_and_their_paths_copied() {
    let photos = Photos::plain("Garden", &[("rose", 8)]);
    let mut window = Window::on(&photos, 8);
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.key_with(Modifiers::SHIFT, Key::ArrowRight);
    window.key_with(Modifiers::SHIFT, Key::ArrowRight);
    window.wait_for_text("3 photos selected");
    assert_eq!(window.selected().len(), 3);
    window.harness.event(Event::Copy);
    window.harness.step();
    assert_eq!(window.copied().unwrap().lines().count(), 3);
    window.wait_for_text("3 paths copied");
    window.key_with(Modifiers::COMMAND, Key::A);
    window.wait_for_text("8 photos selected");
    window.key(Key::Escape);
    window.wait_until_gone("photos selected");
    assert_eq!(window.selected().len(), 1);
    // The button of the mouse held down is neither a click nor a rectangle yet.
    let press = |window: &mut Window, at: Pos2, pressed: bool| {
        window.harness.hover_at(at);
        let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
        window.harness.event(Event::PointerButton { pos: at, button, pressed, modifiers });
        window.harness.step();
        window.harness.step();
    };
    let fifth = window.tile_rects()[4].center();
    press(&mut window, fifth, true);
    assert!(matches!(&window.selected()[..], [one] if one.starts_with("3: ")), "{:?}", window.selected());
    press(&mut window, fifth, false);
    window.wait_until_selected(5);
    // With a rectangle, from beside the last photo to within the first row.
    let rects = window.tile_rects();
    let (from, to) = (rects[7].right_bottom() + vec2(30.0, 20.0), rects[6].center());
    window.harness.drag_at(from);
    window.harness.step();
    window.harness.hover_at(to);
    window.harness.step();
    window.harness.drop_at(to);
    window.harness.step();
    window.wait_for_text("2 photos selected");
}

#[test]
fn details_tell_what_is_known_of_the_selected_photo() {
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    let mut window = Window::on(&photos, 2);
    window.key(Key::I);
    window.wait_for_text("Select a photo to see what is known of it");
    window.key(Key::Home);
    let path = photos.path().join("rose/rose 01.jpg").display().to_string();
    window.wait_for_text(&path);
    window.wait_for_text(" KB");
    window.harness.check_accessibility();
    // Esc acts although a button has the focus.
    window.button("Dates").unwrap().focus();
    window.harness.step();
    window.key(Key::Escape);
    window.wait_until_gone(&path);
}

#[test]
fn a_photo_from_before_there_is_a_folder_is_searched_with_as_soon_as_there_is_one() {
    let photos = Photos::plain("Garden", &[("rose", 4)]);
    let elsewhere = tempfile::tempdir().unwrap();
    let query = elsewhere.path().join("query.jpg");
    std::fs::copy(photos.path().join("rose/rose 02.jpg"), &query).unwrap();
    let mut window = Window::open(Some(&query));
    window.wait_for_text("query.jpg is ready. Open the folder to search in");
    window.wait_for_text("Query: query.jpg");
    window.harness.check_accessibility();
    window.key_with(Modifiers::COMMAND, Key::L);
    enter(&mut window, &photos.path().display().to_string());
    let tiles = window.wait_for_search();
    assert!(tiles[0].contains("rose 02.jpg"), "{tiles:?}");
    window.wait_for_text("Query: query.jpg");
    // It is offered again after a restart.
    let Window { harness, data } = window;
    drop(harness);
    let mut window = Window::with(data, Some(photos.path()), florascope::settings::Settings::default());
    window.press("Earlier search: query.jpg");
    window.wait_for_text("Query: query.jpg");
    window.wait_for_search();
}

#[test]
fn libraries_of_before_are_offered_at_the_start() {
    let photos = Photos::plain("Garden", &[("rose", 4)]);
    let window = Window::on(&photos, 4);
    let Window { harness, data } = window;
    drop(harness);
    let settings = florascope::settings::Settings::default();
    let mut window = Window::with(data, Some(Path::new("/nowhere")), settings);
    window.wait_for_text("Your libraries");
    let card = window.wait_for("the card", |window| {
        window.all(Role::Button).map(|node| text_of(&node)).find(|text| text.starts_with("Open Garden, 4 photos"))
    });
    window.harness.check_accessibility();
    window.press(&card);
    window.wait_for_tiles(4);
}

#[test]
fn in_a_narrow_window_the_side_panel_lies_over_the_photos() {
    let photos = Photos::plain("Garden", &[("lily", 3), ("rose", 4)]);
    let mut window = Window::on(&photos, 7);
    window.harness.set_size(vec2(800.0, 1000.0));
    window.wait_for("a narrow window", |window| window.button("rose, 4").is_none().then_some(()));
    window.press("Side panel");
    window.press("rose, 4");
    window.wait_for_tiles(4);
    window.key(Key::Escape);
    window.wait_for("the photos alone", |window| window.button("rose, 4").is_none().then_some(()));
    assert_eq!(window.tiles().len(), 4, "only the panel was closed");
    // Details take the place of the photos.
    window.key(Key::I);
    window.wait_for_text("Select a photo to see what is known of it");
    assert!(window.tiles().is_empty());
}

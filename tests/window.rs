//! The window's parts by role and label, without a screen: the app in egui_kittest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "window/about.rs"] // without it the file would be looked for beside this one
mod about;
#[path = "window/browse.rs"]
mod browse;
#[path = "window/closeness.rs"]
mod closeness;
mod common;
#[path = "window/identify.rs"]
mod identify;
#[path = "window/large.rs"]
mod large;
#[path = "window/libraries.rs"]
mod libraries;
#[path = "window/models.rs"]
mod models;
#[path = "window/opening.rs"]
mod opening;
#[cfg(target_os = "linux")]
#[path = "window/stalls.rs"]
mod stalls;
#[path = "window/training.rs"]
mod training;
#[cfg(target_os = "linux")]
#[path = "window/unwritable.rs"]
mod unwritable;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Photos, encode};
use eframe::egui::accesskit::{Role, Toggled};
use eframe::egui::{self, Event, Key, Modifiers, OutputCommand, Rect, Theme};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, Node};
use florascope::app::App;
use florascope::device::DeviceChoice;
use florascope::library::{DataFolder, Library};
use florascope::metadata::Metadata;
use florascope::photo::{ContentHash, Photo, PhotoId};
use florascope::query::{Hit, Order};
use florascope::settings::{Settings, ThemeChoice};
use florascope::ui::grid::{Grid, Layout};
use florascope::ui::state::{Answer, OpenLibrary, State};
use florascope::ui::textures::Textures;
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: egui::Vec2 = egui::vec2(1400.0, 1100.0);

/// The app without a screen, with a data folder of its own.
struct Window {
    harness: Harness<'static, Option<App>>,
    data: TempDir,
}

impl Window {
    fn open(folder: Option<&Path>) -> Self {
        Self::with_settings(folder, Settings::default())
    }

    fn with_settings(folder: Option<&Path>, settings: Settings) -> Self {
        Self::with(tempfile::tempdir().unwrap(), folder, settings)
    }

    fn with(data: TempDir, folder: Option<&Path>, settings: Settings) -> Self {
        Self::with_device(data, folder, settings, Some(DeviceChoice::Cpu))
    }

    fn with_device(data: TempDir, folder: Option<&Path>, settings: Settings, device: Option<DeviceChoice>) -> Self {
        let mut start =
            Some((DataFolder::open(Some(data.path().into())).unwrap(), settings, folder.map(Path::to_owned)));
        let harness = Harness::builder().with_size(SIZE).with_step_dt(0.02).build_ui_state(
            move |ui, app| {
                let ctx = ui.ctx().clone();
                if let Some((data, settings, folder)) = start.take() {
                    *app = Some(App::new(&ctx, data, settings, device, folder).unwrap());
                }
                let app = app.as_mut().unwrap();
                app.logic(&ctx);
                app.draw(ui, 0.0);
            },
            None,
        );
        Self { harness, data }
    }

    /// With a folder, indexed to the end.
    fn on(photos: &Photos, count: usize) -> Self {
        let mut window = Self::open(Some(photos.path()));
        window.wait_until_indexed(count);
        window
    }

    /// Draws frames until the closure finds what it looks for.
    fn wait_for<T>(&mut self, what: &str, mut find: impl FnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            self.harness.step();
            if let Some(found) = find(self) {
                return found;
            }
            if Instant::now() > end {
                panic!("waiting for {what}: it did not come; the window shows:\n{}", self.texts().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for_text(&mut self, text: &str) {
        self.wait_for(text, |window| window.says(text).then_some(()));
    }

    fn wait_until_gone(&mut self, text: &str) {
        self.wait_for(&format!("the end of {text:?}"), |window| (!window.says(text)).then_some(()));
    }

    fn wait_until_indexed(&mut self, count: usize) {
        self.wait_for("the end of indexing", |window| {
            let done = window.says(&format!("{count} photo")) && window.button("Stop").is_none();
            (done && window.tiles().len() == count).then_some(())
        });
    }

    /// Waits until the grid shows so many tiles, and gives their labels.
    fn wait_for_tiles(&mut self, count: usize) -> Vec<String> {
        self.wait_for(&format!("{count} tiles"), |window| Some(window.tiles()).filter(|tiles| tiles.len() == count))
    }

    fn wait_for_search(&mut self) -> Vec<String> {
        self.wait_for("results", |window| {
            let tiles = window.tiles();
            (!tiles.is_empty() && tiles.iter().all(|tile| tile.contains(", similarity "))).then_some(tiles)
        })
    }

    /// Searches with the first photo, and selects the first result.
    fn search_with_first(&mut self) {
        self.key(Key::Home);
        self.wait_until_selected(1);
        self.key_with(Modifiers::COMMAND, Key::Enter);
        self.wait_for_search();
        self.key(Key::Home);
        self.wait_until_selected(1);
    }

    /// Waits until a field for text has the focus.
    fn wait_for_field(&mut self) {
        self.wait_for("the field", |window| window.all(Role::TextInput).find(|node| node.is_focused()).map(drop));
    }

    /// The tiles that are selected.
    fn selected(&self) -> Vec<String> {
        let is_selected = |node: &Node<'_>| node.accesskit_node().toggled() == Some(Toggled::True);
        self.all(Role::ListBoxOption).filter(is_selected).map(|node| text_of(&node)).collect()
    }

    /// Waits until this tile, counted from 1, is the selected one.
    fn wait_until_selected(&mut self, number: usize) {
        self.wait_for(&format!("tile {number} selected"), |window| {
            let selected = window.selected();
            (selected.len() == 1 && selected[0].starts_with(&format!("{number}: "))).then_some(())
        });
    }

    fn all(&self, role: Role) -> impl Iterator<Item = Node<'_>> {
        self.harness.root().children_recursive().filter(move |node| node.accesskit_node().role() == role)
    }

    fn texts(&self) -> Vec<String> {
        self.harness.root().children_recursive().map(|node| text_of(&node)).filter(|text| !text.is_empty()).collect()
    }

    fn says(&self, part: &str) -> bool {
        self.texts().iter().any(|text| text.contains(part))
    }

    fn tiles(&self) -> Vec<String> {
        self.all(Role::ListBoxOption).map(|node| text_of(&node)).collect()
    }

    fn tile_rects(&self) -> Vec<Rect> {
        self.all(Role::ListBoxOption).map(|node| node.rect()).collect()
    }

    fn button(&self, label: &str) -> Option<Node<'_>> {
        self.all(Role::Button).find(|node| text_of(node).trim() == label)
    }

    /// Clicks on a button once it is there and stays where it is.
    fn press(&mut self, label: &str) {
        let mut before = None;
        self.wait_for(label, |window| {
            let button = window.button(label)?;
            (before.replace(button.rect()) == Some(button.rect())).then(|| button.click())
        });
        self.harness.step();
    }

    /// Clicks on a button until it has done this: what arrives from other threads may move it away from under a click.
    fn press_until(&mut self, label: &str, text: &str) {
        self.wait_for(text, |window| {
            let done = window.says(text);
            window.button(label).filter(|_| !done).into_iter().for_each(|button| button.click());
            done.then_some(())
        });
    }

    /// Chooses from a menu once it is open. The entry's shortcut is part of its name.
    fn choose(&mut self, entry: &str) {
        self.wait_for(entry, |window| {
            let begins = |node: &Node<'_>| text_of(node).starts_with(&format!("{entry} "));
            window.all(Role::Button).find(begins).map(|button| button.click())
        });
        self.harness.step();
    }

    fn key(&mut self, key: Key) {
        self.key_with(Modifiers::NONE, key);
    }

    fn key_with(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.step();
    }

    /// The settings as they are on disk.
    fn saved(&self) -> Settings {
        Settings::load(&self.data.path().join("settings.json")).unwrap()
    }

    /// What the last frame put into the clipboard.
    fn copied(&self) -> Option<String> {
        self.harness.output().platform_output.commands.iter().find_map(|command| match command {
            OutputCommand::CopyText(text) => Some(text.clone()),
            _ => None,
        })
    }
}

/// A node's name, or the text of a label.
fn text_of(node: &Node<'_>) -> String {
    let node = node.accesskit_node();
    node.label().or_else(|| node.value()).unwrap_or_default()
}

#[test]
fn at_its_smallest_nothing_lies_on_top_of_anything_else() {
    let photos = Photos::plain("A garden with a very long name indeed", &[("rose", 8), ("lily", 8)]);
    photos.write("broken.jpg", b"no photo");
    let mut window = Window::on(&photos, 16);
    assert_bar_fits(&mut window);
    window.key(Key::Home);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    window.wait_for_text("Photos similar to");
    assert_bar_fits(&mut window);
}

#[track_caller]
fn assert_bar_fits(window: &mut Window) {
    for (width, height) in [(640.0, 420.0), (512.0, 420.0), (800.0, 600.0), (1280.0, 800.0)] {
        window.harness.set_size(egui::vec2(width, height));
        (0..5).for_each(|_| window.harness.step());
        let bar: Vec<(String, Rect)> = [Role::Button, Role::ComboBox, Role::Slider]
            .into_iter()
            .flat_map(|role| window.all(role))
            .map(|node| (node.accesskit_node().label().unwrap_or_default(), node.rect()))
            .filter(|(_, rect)| rect.center().y < 45.0)
            .collect();
        assert!(bar.len() >= 4, "{bar:?}");
        for (at, (name, rect)) in bar.iter().enumerate() {
            assert!(rect.left() >= 0.0 && rect.right() <= width, "{name} is cut off at {width}: {rect:?}");
            for (other, beside) in &bar[at + 1..] {
                assert!(!rect.shrink(0.5).intersects(*beside), "{name} and {other} at {width}: {rect:?} {beside:?}");
            }
        }
    }
}

#[test]
fn a_newcomer_is_told_what_to_do() {
    let mut window = Window::open(None);
    // Once it is known that there is no library of the last time.
    window.wait_for_text("Open folder…");
    assert!(window.says("Drop a photo of a flower, and see the most similar photos in your own folder"));
    assert!(window.button("Try the sample garden").is_some());
    assert!(window.says("Your photos stay on this computer"));
    assert!(!window.says("Recent folders"));
    assert!(window.tiles().is_empty());
    window.harness.check_accessibility();
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let mut window = Window::open(Some(Path::new("/nowhere/at/all")));
    window.wait_for_text("The folder is not there. Was it renamed, or is its drive not connected?");
    assert!(window.says("/nowhere/at/all"));
    assert!(window.button("Open folder…").is_some(), "the welcome is back");
    window.press("Dismiss");
    window.wait_until_gone("/nowhere/at/all");
}

#[test]
fn browses_by_folder_and_by_label() {
    let photos = Photos::plain("Garden", &[("2024/rose", 3), ("2025/rose", 2), ("2025/lily", 4)]);
    let mut window = Window::on(&photos, 9);
    window.press("2025, 6");
    window.wait_for_tiles(6);
    window.press("lily, 4");
    let tiles = window.wait_for_tiles(4);
    assert_eq!(tiles[0], "1: lily, lily 01.jpg");
    // A label limits what a folder has left, whose number says what it would bring.
    window.press("Labels");
    window.press("rose, 0");
    window.wait_for_text("No photos in this part of the library");
    window.press("No longer only: lily");
    assert!(window.wait_for_tiles(5).iter().all(|tile| tile.contains(": rose, ")));
    window.press("Folders");
    window.press("2024, 3");
    window.wait_for_tiles(3);
    window.press("All photos, 9");
    window.wait_for_tiles(9);
    window.harness.check_accessibility();
}

#[test]
fn a_search_goes_into_the_history_and_comes_back() {
    let photos = Photos::plain("Garden", &[("rose", 4), ("lily", 4)]);
    let mut window = Window::on(&photos, 8);
    // By the menu of the third photo.
    window.all(Role::ListBoxOption).nth(2).unwrap().click_secondary();
    window.choose("Find similar");
    assert_eq!(window.wait_for_search().len(), 7);
    window.wait_for_text("Query: lily 03.jpg");
    window.wait_until_gone("Show in file manager");

    // By a double click on the best result; egui would take a click just before for a part of it.
    window.harness.run_steps(50);
    let best = window.tiles()[0].clone();
    let best = best.split(", ").nth(1).unwrap();
    let tile = window.all(Role::ListBoxOption).next().unwrap();
    tile.click();
    tile.click();
    window.wait_for_text(&format!("Query: {best}"));
    window.wait_for_text("Earlier searches");
    window.wait_for_search();

    window.press("Back");
    window.wait_for_text("Query: lily 03.jpg");
    window.key_with(Modifiers::ALT, Key::ArrowRight);
    window.wait_for_text(&format!("Query: {best}"));
    window.press("Earlier search: lily 03.jpg");
    window.wait_for_text("Query: lily 03.jpg");
    window.wait_for_search();

    window.press("Clear search");
    assert!(!window.wait_for_tiles(8)[0].contains("similarity"));
}

#[test]
fn shows_as_many_results_as_chosen() {
    let photos = Photos::plain("Garden", &[("rose", 5), ("lily", 4)]);
    let mut window = Window::on(&photos, 9);
    window.key(Key::ArrowRight);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    assert_eq!(window.wait_for_search().len(), 8);
    window.all(Role::ComboBox).next().unwrap().click();
    window.press("Show 5");
    window.wait_for_tiles(5);
    window.all(Role::ComboBox).next().unwrap().click();
    window.press("Show all");
    window.wait_for_tiles(8);
}

#[test]
fn thumbnails_grow_and_shrink() {
    let photos = Photos::plain("Garden", &[("rose", 8)]);
    let mut window = Window::on(&photos, 8);
    let width = |window: &Window| window.tile_rects()[0].width();
    let before = width(&window);
    window.key(Key::Plus);
    window.wait_for("larger thumbnails", |window| (width(window) > before * 1.05).then_some(()));
    window.all(Role::Slider).next().unwrap().set_value_accesskit(80.0);
    window.wait_for("small thumbnails", |window| (width(window) < before * 0.8).then_some(()));
    window.all(Role::Slider).next().unwrap().set_value_accesskit(300.0);
    window.wait_for("large thumbnails", |window| (width(window) > before * 1.3).then_some(()));
    window.wait_for("the size on disk", |window| ((window.saved().tile_side - 300.0).abs() < 1.0).then_some(()));
}

#[test]
fn the_arrows_walk_among_photos() {
    let photos = Photos::plain("Garden", &[("rose", 12)]);
    let mut window = Window::on(&photos, 12);
    let rects = window.tile_rects();
    let columns = rects.iter().filter(|rect| rect.top() == rects[0].top()).count();
    assert!((2..12).contains(&columns));
    for (key, selected) in [
        (Key::ArrowRight, 1),
        (Key::ArrowRight, 2),
        (Key::ArrowDown, 2 + columns),
        (Key::ArrowLeft, 1 + columns),
        (Key::ArrowUp, 1),
        (Key::ArrowUp, 1),
        (Key::End, 12),
        (Key::ArrowRight, 12),
        (Key::Home, 1),
    ] {
        window.key(key);
        window.wait_until_selected(selected);
    }
    // And on in the large view.
    window.key(Key::Space);
    window.wait_for_text("Photo: rose 01.jpg");
    window.key(Key::ArrowDown);
    window.wait_for_text("Photo: rose 02.jpg");
    assert!(window.says("2 of 12"));
    window.press("Close");
    window.wait_until_selected(2);
}

#[test]
fn keys_belong_to_the_button_that_has_the_focus() {
    let photos = Photos::plain("Garden", &[("rose", 4)]);
    let mut window = Window::on(&photos, 4);
    window.search_with_first();

    window.button("Dates").unwrap().focus();
    window.harness.step();
    window.harness.step();
    window.key(Key::Space);
    let is_on = |button: &Node<'_>| button.accesskit_node().toggled() == Some(Toggled::True);
    window.wait_for("the dates", |window| window.button("Dates").filter(is_on).map(drop));
    assert!(!window.says("Photo: "), "Space was the button's, not the photo's");
    window.key(Key::Escape);
    window.harness.step();
    window.wait_until_gone("Photos similar to");
}

#[test]
fn a_photos_menu_copies_its_path() {
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    let mut window = Window::on(&photos, 2);
    window.all(Role::ListBoxOption).nth(1).unwrap().click_secondary();
    window.wait_for_text("Copy path");
    for entry in ["Find similar", "Open", "Show in file manager", "Copy path"] {
        assert!(window.all(Role::Button).any(|node| text_of(&node).starts_with(entry)), "{entry}");
    }
    window.choose("Copy path");
    let path = photos.path().join("rose/rose 02.jpg").display().to_string();
    assert_eq!(window.copied().as_ref(), Some(&path));
    window.wait_for_text("Path copied");
    // The shortcut does the same.
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.harness.event(Event::Copy);
    window.harness.step();
    assert_eq!(window.copied(), Some(photos.path().join("rose/rose 01.jpg").display().to_string()));
}

#[test]
fn problems_are_listed_and_copied() {
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    photos.write("rose/empty.jpg", b"");
    photos.write("rose/notes.jpg", b"not a picture");
    let mut window = Window::on(&photos, 2);
    window.press("2 problems");
    window.wait_for_text("2 files could not be read");
    assert!(window.says("rose/notes.jpg"));
    window.press("Copy list");
    let copied = window.copied().unwrap();
    let lines: Vec<&str> = copied.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("rose/empty.jpg\tThe file is empty"), "{copied}");
    assert!(lines[1].starts_with("rose/notes.jpg\tNot a picture"), "{copied}");
    window.key(Key::Escape);
    window.wait_until_gone("could not be read");
}

#[test]
fn problems_are_grouped_filtered_and_tried_again() {
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    photos.write("rose/empty.jpg", b"");
    photos.write("rose/none.jpg", b"");
    photos.write("rose/notes.jpg", b"not a picture");
    let mut window = Window::on(&photos, 2);
    window.press("3 problems");
    window.press("The file is empty, 2");
    window.wait_until_gone("rose/empty.jpg");
    window.press("The file is empty, 2");
    window.wait_for_text("rose/empty.jpg");
    window.all(Role::TextInput).find(|node| text_of(node) != "Find by name").unwrap().focus();
    window.harness.step();
    window.harness.event(Event::Text("notes".into()));
    window.wait_until_gone("rose/empty.jpg");
    window.wait_for_text("1 of 3");
    window.harness.check_accessibility();
    // Mended meanwhile.
    photos.write("rose/notes.jpg", &encode(&RgbImage::new(48, 36), ImageFormat::Jpeg));
    window.press("Try again: rose/notes.jpg");
    window.wait_until_indexed(3);
    window.wait_for_text("2 problems");
}

#[test]
fn photos_are_sorted_and_listed_by_date() {
    let photos = Photos::plain("Garden", &[("rose", 1)]);
    let write = |name: &str, shade: u8| {
        photos.write(name, &encode(&RgbImage::from_pixel(48, 36, Rgb([shade, 9, 9])), ImageFormat::Jpeg));
    };
    write("rose/IMG_20240512_101530.jpg", 10);
    write("lily/IMG_20240512_090000.jpg", 20);
    write("rose/IMG-20231231-WA0001.jpg", 30);
    let mut window = Window::on(&photos, 4);
    let names = |tiles: Vec<String>| -> Vec<String> {
        tiles.iter().map(|tile| tile.rsplit(", ").next().unwrap().to_owned()).collect()
    };
    let newest = ["IMG_20240512_101530.jpg", "IMG_20240512_090000.jpg", "IMG-20231231-WA0001.jpg", "rose 01.jpg"];
    window.wait_for("the order", |window| {
        window.all(Role::ComboBox).find(|node| text_of(node) == "Order of the photos").map(|combo| combo.click())
    });
    window.press("Newest first");
    window.wait_for("the newest first", |window| (names(window.tiles()) == newest).then_some(()));
    window.wait_for("the order on disk", |window| (window.saved().order == Order::NewestFirst).then_some(()));

    window.press("Dates");
    window.press("May 2024, 2");
    assert_eq!(names(window.wait_for_tiles(2)), newest[..2]);
    window.press("2023, 1");
    window.wait_for_tiles(1);
    window.press("Without a date, 1");
    window.wait_for("the photo without a date", |window| (names(window.tiles()) == newest[3..]).then_some(()));
    window.press("All photos, 4");
    window.wait_for_tiles(4);
    window.key(Key::Home);
    window.key(Key::Space);
    window.wait_for_text("12 May 2024, 10:15  ·  48 × 36");
    window.harness.check_accessibility();
}

#[test]
fn dates_of_a_library_of_before_are_read_after_it_is_opened() {
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    let mut window = Window::on(&photos, 2);
    let Window { harness, data } = window;
    drop(harness);
    let library = DataFolder::open(Some(data.path().into())).unwrap().library(photos.path()).unwrap();
    let sql = rusqlite::Connection::open(library.folder.join("catalog.sqlite")).unwrap();
    sql.execute_batch("DELETE FROM metadata").unwrap();
    drop(sql);
    window = Window::with(data, Some(photos.path()), Settings::default());
    window.wait_until_indexed(2);
    window.key(Key::Home);
    window.key(Key::Space);
    window.wait_for_text("48 × 36");
}

#[test]
fn light_and_dark() {
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    let settings = Settings { theme: ThemeChoice::Dark, ..Settings::default() };
    let mut window = Window::with_settings(Some(photos.path()), settings);
    window.wait_until_indexed(2);
    assert_eq!(window.harness.ctx.theme(), Theme::Dark);
    assert!(window.harness.ctx.global_style().visuals.dark_mode);
    window.press("Menu");
    window.press("Appearance");
    window.press("Light");
    window.wait_for("the light theme", |window| (window.harness.ctx.theme() == Theme::Light).then_some(()));
    assert!(!window.harness.ctx.global_style().visuals.dark_mode);
    assert_eq!(window.wait_for_tiles(2).len(), 2);
    window.wait_for("the theme on disk", |window| (window.saved().theme == ThemeChoice::Light).then_some(()));
}

#[test]
fn trains_while_the_library_can_be_searched() {
    // Sixteen searches say nothing about a model, so that it is never used by itself.
    let photos = Photos::drawn("Garden", 4, 4);
    let mut window = Window::on(&photos, 16);
    window.key_with(Modifiers::COMMAND, Key::T);
    window.wait_for_text("4 species, 16 photos");
    window.wait_for_text(
        "Too few photos to measure whether the new model is better. It will be used only if you choose it",
    );
    window.press("Train");
    window.wait_for_text("Training – Quick");
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    assert!(!window.wait_for_search().is_empty());
    window.wait_for_text("Result – Quick");
    assert!(window.says("\"Flowers\" goes on answering"), "{:#?}", window.texts());
    window.press("Use \"Quick – Garden\"");
    window.wait_for_text("In use now: Quick");
    window.wait_for_text("In use, at your wish");
    window.press_until("Undo: use \"Flowers\"", "In use now: Flowers");
    assert!(!window.wait_for_search().is_empty());
    // By key: what the change of the model brings may move the button from under a click.
    window.key_with(Modifiers::COMMAND, Key::T);
    window.wait_until_gone("Result – Quick");
}

#[test]
fn a_device_that_is_not_there_is_refused_and_the_one_before_stays() {
    // Fewer bring a notice that moves the settings out of sight.
    let photos = Photos::plain("Garden", &[("rose", 24)]);
    let mut window = Window::on(&photos, 24);
    window.key_with(Modifiers::COMMAND, Key::T);
    window.wait_for_text("24 photos, without labels");
    window.all(Role::DisclosureTriangle).find(|node| text_of(node) == "Advanced").unwrap().click();
    window.wait_for_text("In use: CPU");
    window.harness.run_steps(20);
    window.all(Role::ComboBox).find(|node| text_of(node) == "Device").unwrap().click();
    // No computer has both of them.
    let absent = if cfg!(target_os = "macos") { "NVIDIA GPU (CUDA)" } else { "Apple GPU (Metal)" };
    window.press(absent);
    window.wait_for_text("choose another device");
    window.wait_for("the device on disk", |window| (window.saved().device == DeviceChoice::Cpu).then_some(()));
}

#[test]
fn of_a_hundred_thousand_photos_only_those_in_view_are_laid_out() {
    const PHOTOS: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let hit = |number: usize| Hit {
        photo: Arc::new(Photo::new(
            PhotoId(number as i64),
            PathBuf::from(format!("rose/{number:06}.jpg")),
            ContentHash((number as u128).to_le_bytes()),
            Metadata::default(),
        )),
        raw: None,
        same_species: None,
        similarity: Some(1.0 - number as f32 / PHOTOS as f32),
    };
    let state = State { answer: Answer::Hits((1..=PHOTOS).map(hit).collect()), ..State::default() };
    let library = OpenLibrary {
        library: Arc::new(Library { root: folder.path().into(), folder: folder.path().into() }),
        writable: true,
        obstacle: None,
        photos: PHOTOS,
        loading: false,
        facets: Arc::default(),
        problems: Arc::default(),
        progress: None,
        dates: None,
        outcome: None,
    };
    let mut textures = Textures::start(|| {}).unwrap();
    let reveal: Rc<RefCell<Option<usize>>> = Rc::default();
    let layout: Rc<RefCell<Layout>> = Rc::default();
    let (asked, told) = (Rc::clone(&reveal), Rc::clone(&layout));
    let mut harness = Harness::builder().with_size(SIZE).build_ui(move |ui| {
        textures.begin_frame(&ui.ctx().clone(), 0.0);
        let grid = Grid { tile_side: 168.0, textures: &mut textures, reveal: asked.take(), offset: None };
        *told.borrow_mut() = grid.ui(ui, &state, &library, &mut Vec::new()).0;
        textures.end_frame();
    });
    let tiles = |harness: &Harness<'_>| -> Vec<String> {
        harness.get_all_by_role(Role::ListBoxOption).map(|node| text_of(&node)).collect()
    };
    let in_view = {
        let Layout { columns, rows_in_view, .. } = *layout.borrow();
        // The rows cut off above and below, and one to spare.
        columns * (rows_in_view + 3)
    };
    for (number, last) in [(0, false), (PHOTOS / 2, false), (PHOTOS - 1, true)] {
        reveal.replace(Some(number));
        harness.run_steps(3);
        let tiles = tiles(&harness);
        assert!(tiles.len() <= in_view, "{} tiles", tiles.len());
        assert!(tiles.iter().any(|tile| tile.starts_with(&format!("{}: ", number + 1))), "{tiles:?}");
        assert_eq!(tiles.iter().any(|tile| tile.starts_with(&format!("{PHOTOS}: "))), last);
    }
}

//! The panel of libraries, and the question whether a folder was elsewhere before.

use std::path::{Path, PathBuf};

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::NodeT;
use florascope::artefact::Recipe;
use florascope::catalog::Catalog;
use florascope::library::DataFolder;

use super::common::{Photos, listing};
use super::models::trained;
use super::opening::enter;
use super::{Settings, Window, text_of};

impl Window {
    fn data_folder(&self) -> DataFolder {
        DataFolder::open(Some(self.data.path().into())).unwrap()
    }

    fn libraries_on_disk(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.data.path().join("libraries")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn open_libraries(&mut self) {
        self.key_with(Modifiers::COMMAND, Key::B);
        self.wait_for_text("What is kept of each folder");
    }
}

#[test]
fn each_library_says_what_it_is_and_the_open_one_is_forgotten() {
    let photos = Photos::plain("My garden", &[("rose", 3), ("lily", 3)]);
    let other = Photos::plain("Other", &[("rose", 2)]);
    let mut first = Window::on(&other, 2);
    let data = std::mem::replace(&mut first.data, tempfile::tempdir().unwrap());
    drop(first);
    let mut window = Window::with(data, Some(photos.path()), Settings::default());
    window.wait_until_indexed(6);
    window.open_libraries();
    window.wait_for("the list", |window| window.button("Open Other").map(drop));
    for text in ["My garden", "Open now", "6 photos, ", "2 photos, ", "Model: Flowers", "Used just now"] {
        assert!(window.says(text), "{text}: {:?}", window.texts());
    }
    assert!(window.says("Nothing is kept that no folder uses"));
    assert!(window.button("Open My garden").unwrap().accesskit_node().is_disabled());
    window.harness.check_accessibility();

    let before = listing(photos.path());
    window.press_until("Forget My garden…", "The photos stay");
    window.press("Keep");
    window.wait_until_gone("The photos stay");
    window.press_until("Forget My garden…", "The photos stay");
    window.press("Forget My garden");
    window.wait_for_text("Forgotten; the photos are untouched");
    window.wait_for("the welcome", |window| window.button("Open folder…").map(drop));
    window.wait_for("one library", |window| (window.libraries_on_disk().len() == 1).then_some(()));
    window.wait_for("the shorter list", |window| window.button("Forget My garden…").is_none().then_some(()));
    assert_eq!(listing(photos.path()), before);
    // And from here on to the other one.
    window.press("Open Other");
    window.wait_until_indexed(2);
    assert!(!window.says("What is kept of each folder"));
}

#[test]
fn what_no_folder_uses_is_cleaned_up_on_request() {
    let data = tempfile::tempdir().unwrap();
    let models = DataFolder::open(Some(data.path().into())).unwrap().models();
    models.save(&trained("Roses", Recipe::Quick, 0.5)).unwrap();
    let photos = Photos::plain("Garden", &[("rose", 3), ("lily", 3)]);
    let mut window = Window::with(data, Some(photos.path()), Settings::default());
    window.wait_until_indexed(6);
    window.key_with(Modifiers::COMMAND, Key::M);
    window.press("Use Roses");
    window.press("Use Flowers");
    window.wait_for("the change back", |window| window.button("Use Roses").map(drop));
    window.key(Key::Escape);
    window.open_libraries();
    window.press_until("Clean up…", "Embeddings of other models than the one in use, in 1 folder");
    // A model is deleted only where that was chosen.
    window.press("Clean up");
    window.wait_for_text("are free again");
    let library = window.data_folder().library(photos.path()).unwrap();
    let embedded = || Catalog::open_read_only(&library.folder).unwrap().unwrap().models().unwrap();
    assert_eq!((embedded().len(), models.list().len()), (2, 3));
    window.press_until("Clean up…", "1 model that no folder uses");
    // What was cleaned up is no longer listed.
    window.wait_until_gone("Embeddings of other models");
    window.wait_for("the models", |window| {
        let mut boxes = window.all(Role::CheckBox);
        boxes.find(|node| text_of(node).starts_with("1 model that no folder uses (Roses)")).map(|node| node.click())
    });
    window.wait_for_text("This frees about 0.2 MB");
    window.press("Clean up");
    window.wait_for_text("Nothing is kept that no folder uses");
    assert_eq!(models.list().len(), 2);
}

/// Waits until the folder is open under its new name, and up to date.
fn wait_until_open(window: &mut Window) {
    window.wait_for("the folder", |window| window.button("Old garden").map(drop));
    window.wait_until_indexed(6);
}

fn open_path(window: &mut Window, path: &Path) {
    window.key_with(Modifiers::COMMAND, Key::L);
    enter(window, &path.display().to_string());
}

/// A window in which a folder that was known as "Garden" is opened under another name.
fn moved() -> (Window, tempfile::TempDir, PathBuf) {
    let photos = Photos::plain("Garden", &[("rose", 3), ("lily", 3)]);
    let mut window = Window::on(&photos, 6);
    window.wait_until_gone("photos read");
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().canonicalize().unwrap().join("Old garden");
    std::fs::rename(photos.path(), &path).unwrap();
    open_path(&mut window, &path);
    window.wait_for_text("This looks like Garden");
    assert!(window.says(&photos.path().display().to_string()) && window.says(&path.display().to_string()));
    window.harness.check_accessibility();
    (window, elsewhere, path)
}

#[test]
fn a_folder_that_was_moved_goes_on_with_its_library() {
    let (mut window, _elsewhere, path) = moved();
    let library = window.libraries_on_disk();
    window.press("Cancel");
    window.wait_until_gone("This looks like Garden");
    open_path(&mut window, &path);
    window.press("Go on with it");
    wait_until_open(&mut window);
    assert_eq!(window.libraries_on_disk(), library);
    assert_eq!(window.data_folder().library(&path).unwrap().folder, library[0]);
    assert!(!window.says("photos read"), "nothing was read again");
    window.key(Key::Home);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    window.wait_for_search();
}

#[test]
fn a_folder_that_was_moved_may_begin_anew() {
    let (mut window, _elsewhere, path) = moved();
    window.press("Start anew");
    window.wait_for_text("6 photos read");
    wait_until_open(&mut window);
    assert_eq!(window.libraries_on_disk().len(), 2);
    let library = window.data_folder().library(&path).unwrap();
    assert!(window.libraries_on_disk().contains(&library.folder));
}

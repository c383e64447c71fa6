//! The window on a data folder that cannot be written.

use std::path::Path;

use eframe::egui::{Key, Modifiers};

use super::common::Photos;
use super::common::mount::{make_full, make_read_only, own_mounts};
use super::{Settings, Window};

/// The window on a folder that was indexed before, whose data cannot be written any more.
fn on_unwritable(make: fn(&Path), work: impl FnOnce(&mut Window) + Send) {
    let photos = Photos::plain("Garden", &[("rose", 3), ("lily", 3)]);
    let mut first = Window::on(&photos, 6);
    let data = std::mem::replace(&mut first.data, tempfile::tempdir().unwrap());
    drop(first);
    let folder = data.path().to_owned();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if own_mounts() {
                make(data.path());
                work(&mut Window::with(data, Some(photos.path()), Settings::default()));
            }
        });
        thread.join().unwrap();
    });
    // From there it could not be deleted.
    let _ = std::fs::remove_dir_all(folder);
}

fn searches(window: &mut Window) {
    window.wait_for_tiles(6);
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    window.wait_for_search();
    window.key(Key::Escape);
}

#[test]
fn a_read_only_data_folder_is_searched_and_said_to_be_read_only() {
    on_unwritable(make_read_only, |window| {
        window.wait_for_text("The program's data folder is read-only: you can search, but");
        searches(window);
        window.key(Key::F5);
        window.wait_for_text("new photos cannot be kept");
        window.key(Key::Plus);
        window.wait_for_text("Settings and searches cannot be kept (Read-only file system");
        window.key_with(Modifiers::COMMAND, Key::T);
        window.wait_for_text("so a new model cannot be kept");
        window.harness.check_accessibility();
    });
}

#[test]
fn a_full_disk_is_searched_and_said_to_be_full() {
    on_unwritable(make_full, |window| {
        window.wait_for_text("The disk with the program's data is full: you can search, but");
        searches(window);
    });
}

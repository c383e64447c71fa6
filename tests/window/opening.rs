//! Ways in: a path that is typed, what the last time left behind, and what Esc leads back from.

use std::path::Path;

use eframe::egui::accesskit::Role;
use eframe::egui::{Event as Input, Key, Modifiers};
use florascope::desktop::file_uri;
use florascope::device::DeviceChoice;
use florascope::settings::Settings;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

use super::Window;
use super::common::Photos;

/// Types into the field that has the focus, in place of what it holds, and presses Enter.
pub(super) fn enter(window: &mut Window, text: &str) {
    window.wait_for_field();
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.harness.event(Input::Text(text.into()));
    window.key(Key::Enter);
}

#[test]
fn a_path_that_is_typed_opens_a_folder_and_searches_with_a_photo() {
    let photos = Photos::plain("My garden", &[("rose", 3), ("lily", 3)]);
    let query = photos.path().join("rose/rose 02.jpg");
    let mut window = Window::open(None);
    window.press("Open path…");
    window.wait_for_text("Open a folder or photo");
    enter(&mut window, &photos.path().join("none").display().to_string());
    window.wait_for_text("There is nothing at this path");
    enter(&mut window, "my roses");
    window.wait_for_text("Type the whole path");
    assert!(!window.says("There is nothing at this path"));
    enter(&mut window, &query.display().to_string());
    window.wait_for_text("Open a folder of photos first");
    enter(&mut window, &file_uri(photos.path()));
    window.wait_until_indexed(6);
    window.wait_until_gone("Open a folder or photo");

    window.key_with(Modifiers::COMMAND, Key::L);
    window.harness.check_accessibility();
    enter(&mut window, &format!(" \"{}\"  ", query.display()));
    window.wait_for_text("Query: rose 02.jpg");
    window.wait_for_search();
}

#[test]
fn what_is_typed_as_a_path_does_nothing_else() {
    let photos = Photos::plain("Garden", &[("rose", 3)]);
    let mut window = Window::on(&photos, 3);
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.key_with(Modifiers::COMMAND, Key::L);
    window.wait_for_field();
    for (key, text) in [(Key::Space, " "), (Key::Questionmark, "?"), (Key::Plus, "+")] {
        window.harness.key_press(key);
        window.harness.event(Input::Text(text.into()));
    }
    window.harness.event(Input::Paste("/a/rose.jpg".into()));
    window.wait_for("the text", |window| {
        window.all(Role::TextInput).find(|node| node.value().as_deref() == Some(" ?+/a/rose.jpg")).map(drop)
    });
    // Nor with the focus elsewhere.
    window.button("Cancel").unwrap().focus();
    window.harness.step();
    window.key(Key::Questionmark);
    assert!(!window.says("Photo: ") && !window.says("Keyboard shortcuts") && !window.says("Query: "));
    window.key(Key::Escape);
    window.key(Key::Escape);
    window.wait_until_gone("Type or paste a path");
    window.wait_until_selected(1);
}

#[test]
fn escape_closes_the_training_panel_before_it_clears_a_search() {
    let photos = Photos::plain("Garden", &[("rose", 3)]);
    let mut window = Window::on(&photos, 3);
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.key_with(Modifiers::COMMAND, Key::Enter);
    window.wait_for_search();
    window.key_with(Modifiers::COMMAND, Key::T);
    window.wait_for_text("Learn from the photos in this folder");
    window.key(Key::Escape);
    window.wait_until_gone("Learn from the photos in this folder");
    assert!(window.says("Photos similar to"));
    window.key(Key::Escape);
    window.wait_until_gone("Photos similar to");
}

#[test]
fn a_device_on_the_command_line_goes_before_the_one_of_the_last_time() {
    // No computer has both of them.
    let absent = if cfg!(target_os = "macos") { DeviceChoice::Cuda } else { DeviceChoice::Mps };
    let settings = || Settings { device: absent, ..Settings::default() };
    let photos = Photos::plain("Garden", &[("rose", 2)]);
    let start = |device| Window::with_device(tempfile::tempdir().unwrap(), Some(photos.path()), settings(), device);
    let mut window = start(None);
    window.wait_for_text("choose another device");
    let mut window = start(Some(DeviceChoice::Auto));
    window.wait_until_indexed(2);
    assert!(!window.says("choose another device"));
}

#[test]
fn a_disk_that_does_not_answer_does_not_hold_up_the_window() {
    let photos = Photos::plain("Garden", &[("rose", 8)]);
    let mut window = Window::on(&photos, 8);
    // Whoever writes a file first looks for what a kill left beside it, and who opens a pipe waits for its other end.
    let pipe = window.data.path().join(".florascope-stalled.partial");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let width = |window: &Window| window.tile_rects()[0].width();
    for _ in 0..2 {
        let before = width(&window);
        window.key(Key::Plus);
        window.wait_for("larger thumbnails", |window| (width(window) > before).then_some(()));
    }
    let file = window.data.path().join("settings.json");
    let is_saved = || Settings::load(&file).unwrap().tile_side != Settings::default().tile_side;
    assert!(!is_saved());
    window.wait_for("the disk", |_| is_waited_at(&pipe).then_some(()));
    window.wait_for("the settings on it", |_| is_saved().then_some(()));
}

/// Lets go whoever waits for this pipe's other end, if somebody does.
fn is_waited_at(pipe: &Path) -> bool {
    open(pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).is_ok()
}

#[test]
fn a_photo_that_is_copied_in_appears_by_itself_and_the_rest_is_counted() {
    let photos = Photos::plain("Garden", &[("rose", 3)]);
    photos.write("walk.mp4", b"a video");
    photos.write("#recycle/deleted.jpg", b"a photo once");
    let mut window = Window::on(&photos, 3);
    window.wait_for_text("1 video, 1 folder passed over");
    let copy = std::fs::read(photos.path().join("rose/rose 01.jpg")).unwrap();
    photos.write("lily/lily 01.jpg", &super::common::commented(&copy, "another"));
    window.wait_for_tiles(4);
    assert!(!window.says("1 photo read"), "nobody has asked for it");
}

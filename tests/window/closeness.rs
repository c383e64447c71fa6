//! What is close to a query and what is not, and which results are copies of it.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use florascope::garden::{self, SPECIES};
use image::imageops::{FilterType, resize};
use image::{ImageFormat, Rgb, RgbImage};

use super::common::{Photos, encode};
use super::opening::enter;
use super::{Window, text_of};

/// Drawings of two species in one folder, so that no names are known.
fn flat() -> Photos {
    let photos = Photos::empty("Unsorted");
    for number in 0..24 {
        let drawing = garden::draw(&SPECIES[number % 2], number / 2 + 1);
        photos.write(&format!("IMG_{number:02}.jpg"), &encode(&drawing, ImageFormat::Jpeg));
    }
    photos
}

fn search(window: &mut Window, photo: &std::path::Path) {
    window.key_with(Modifiers::COMMAND, Key::L);
    enter(window, &photo.display().to_string());
    let name = photo.file_name().unwrap().to_string_lossy().into_owned();
    window.wait_for_text(&format!("Query: {name}"));
    window.wait_for_search();
}

fn headings(window: &Window) -> Vec<String> {
    window.all(Role::Heading).map(|node| text_of(&node)).collect()
}

#[test]
fn without_names_it_is_said_what_is_close_and_which_photos_are_copies() {
    let photos = flat();
    let elsewhere = tempfile::tempdir().unwrap();
    let [copy, smaller, stranger] = ["copy.jpg", "smaller.jpg", "stranger.png"].map(|name| elsewhere.path().join(name));
    std::fs::copy(photos.path().join("IMG_06.jpg"), &copy).unwrap();
    let drawing = garden::draw(&SPECIES[0], 4);
    let half = resize(&drawing, drawing.width() / 2, drawing.height() / 2, FilterType::Triangle);
    std::fs::write(&smaller, encode(&half, ImageFormat::Jpeg)).unwrap();
    let lines = RgbImage::from_fn(600, 400, |x, y| Rgb([if (x / 7 + y / 11) % 2 == 0 { 255 } else { 0 }; 3]));
    std::fs::write(&stranger, encode(&lines, ImageFormat::Png)).unwrap();

    let mut window = Window::on(&photos, 24);
    search(&mut window, &copy);
    window.wait_for("the very photo", |window| {
        let found = window.tiles().into_iter().find(|tile| tile.ends_with("This photo"))?;
        found.contains("IMG_06.jpg").then_some(())
    });
    window.wait_for_text("photos much like it");
    let less = window.wait_for("what is less similar", |window| {
        headings(window).into_iter().find(|heading| heading.starts_with("Less similar, "))
    });
    let count: usize = less.trim_start_matches("Less similar, ").trim_end_matches(" photos").parse().unwrap();
    assert!((8..23).contains(&count), "{less}");
    window.harness.check_accessibility();

    search(&mut window, &smaller);
    window.wait_for("the same picture", |window| {
        let found = window.tiles().into_iter().find(|tile| tile.ends_with("Same picture"))?;
        found.contains("IMG_06.jpg").then_some(())
    });
    search(&mut window, &stranger);
    window.wait_for_text("No close match in this folder. These are the nearest.");
    assert!(!headings(&window).iter().any(|heading| heading.starts_with("Less similar")), "{:?}", headings(&window));
}

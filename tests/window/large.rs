//! One photo large: zoomed, beside the query, and the way to the next one.

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, TouchPhase, vec2};
use egui_kittest::kittest::NodeT;
use image::{ImageFormat, Rgb, RgbImage};

use super::common::{Photos, encode};
use super::{Window, text_of};

/// A photo that is larger than the window, and some that are not.
fn photos() -> Photos {
    let photos = Photos::plain("Garden", &[("rose", 3)]);
    let large = RgbImage::from_fn(3000, 2000, |x, y| Rgb([(x / 12) as u8, (y / 8) as u8, ((x ^ y) & 255) as u8]));
    photos.write("aster.jpg", &encode(&large, ImageFormat::Jpeg));
    photos
}

/// How large a pixel of the photo is on the screen, in per cent.
fn zoom(window: &Window) -> Option<u32> {
    let name = window.all(Role::Button).map(|node| text_of(&node)).find(|name| name.starts_with("Zoom: "))?;
    name.trim_start_matches("Zoom: ").trim_end_matches(" %").parse().ok()
}

fn wait_for_zoom(window: &mut Window, wanted: u32) {
    window.wait_for(&format!("{wanted} %"), |window| (zoom(window) == Some(wanted)).then_some(()));
}

fn picture(window: &Window, name: &str) -> eframe::egui::Rect {
    let node = window.all(Role::Image).find(|node| text_of(node) == name);
    node.unwrap_or_else(|| panic!("no {name}: {:?}", window.texts())).rect()
}

#[test]
fn a_photo_is_looked_at_whole_and_pixel_by_pixel() {
    let photos = photos();
    let mut window = Window::on(&photos, 4);
    window.key(Key::Home);
    window.wait_until_selected(1);
    window.key(Key::Space);
    window.wait_for_text("Photo: aster.jpg");
    let fitted = window.wait_for("how large it is shown", zoom);
    assert!((20..50).contains(&fitted), "{fitted}");
    window.key(Key::Z);
    wait_for_zoom(&mut window, 100);
    window.key(Key::Plus);
    wait_for_zoom(&mut window, 125);
    window.key(Key::Minus);
    wait_for_zoom(&mut window, 100);
    // The button does the same, and shows the whole photo again.
    window.press("Zoom: 100 %");
    wait_for_zoom(&mut window, fitted);
    // The wheel zooms where the pointer is.
    window.harness.hover_at(picture(&window, "Photo: aster.jpg").center());
    window.harness.step();
    let (unit, phase, modifiers) = (MouseWheelUnit::Point, TouchPhase::Move, Modifiers::NONE);
    let source = MouseWheelSource::Wheel;
    window.harness.event(Event::MouseWheel { unit, delta: vec2(0.0, 120.0), phase, modifiers, source });
    window.wait_for("a larger picture", |window| zoom(window).filter(|now| *now > fitted));
    window.harness.check_accessibility();
    // The next photo, by the button and by the small pictures.
    window.press("Next photo");
    window.wait_for_text("Photo: rose 01.jpg");
    assert!(window.button("Previous photo").is_some());
    let small = |window: &Window| {
        window.all(Role::RadioButton).find(|node| text_of(node).contains("rose 03.jpg")).map(|node| node.click())
    };
    window.wait_for("the small pictures", small);
    window.wait_for_text("Photo: rose 03.jpg");
    assert!(window.button("Next photo").is_none(), "it is the last one");
    window.key(Key::Escape);
    window.wait_for_tiles(4);
}

#[test]
fn query_and_photo_are_zoomed_together_or_each_by_itself() {
    let photos = photos();
    let mut window = Window::on(&photos, 4);
    window.search_with_first();
    window.key(Key::Space);
    window.wait_for_text("Query: aster.jpg");
    window.wait_for("how large it is shown", zoom);
    let is_linked = |window: &Window| {
        let link = window.all(Role::Button).find(|node| text_of(node) == "Linked").unwrap();
        link.accesskit_node().toggled() == Some(eframe::egui::accesskit::Toggled::True)
    };
    assert!(is_linked(&window));
    window.key(Key::L);
    window.wait_for("each by itself", |window| (!is_linked(window)).then_some(()));
    // What is between them can be dragged.
    let (before, between) = (picture(&window, "Query: aster.jpg"), {
        let node = window.all(Role::Splitter).next().unwrap();
        node.rect().center()
    });
    window.harness.drag_at(between);
    window.harness.step();
    window.harness.hover_at(between + vec2(-120.0, 0.0));
    window.harness.step();
    window.harness.drop_at(between + vec2(-120.0, 0.0));
    (0..3).for_each(|_| window.harness.step());
    assert!(picture(&window, "Query: aster.jpg").width() < before.width() - 60.0);
    window.harness.check_accessibility();
}

//! What is it: the answer above the results.

use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers};
use florascope::desktop::file_uri;
use image::ImageFormat;

use super::common::{FLOWERS, Photos, another_of, encode, many_drawings};
use super::opening::enter;
use super::{Window, text_of};

#[test]
fn a_search_is_answered_with_a_name_by_which_the_results_can_be_filtered() {
    let photos = Photos::empty("Named");
    let drawings = many_drawings();
    for (number, (species, jpeg)) in drawings.iter().enumerate() {
        photos.write(&format!("{species}/{number}.jpg"), jpeg);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let query = elsewhere.path().join("query.png");
    std::fs::write(&query, encode(&another_of(0), ImageFormat::Png)).unwrap();
    let species = FLOWERS[0].species;

    let mut window = Window::open(Some(photos.path()));
    window.wait_for_text(&format!("{} photos", drawings.len()));
    window.wait_until_gone("Stop");
    window.key_with(Modifiers::COMMAND, Key::L);
    enter(&mut window, &query.display().to_string());
    window.wait_for_search();
    // How far to trust it is measured meanwhile.
    window.wait_for_text("such cases");
    let heading = |window: &Window| window.all(Role::Heading).map(|node| text_of(&node)).collect::<Vec<_>>();
    assert!(heading(&window).iter().any(|text| text.contains(species)), "{:?}", heading(&window));
    assert!(window.tiles()[0].contains(", the same species with "), "{:?}", window.tiles());
    window.harness.check_accessibility();

    let label = window.wait_for("the name", |window| {
        let mut buttons = window.all(Role::Button).map(|node| text_of(&node));
        buttons.find(|text| text.starts_with(species) && text.contains("of the votes"))
    });
    window.press(&label);
    let tiles = window.wait_for_tiles(10);
    assert!(tiles.iter().all(|tile| tile.contains(species)), "{tiles:?}");
    // Still there, and leads back.
    window.press(&label);
    window.wait_for("all names", |window| window.tiles().iter().any(|tile| !tile.contains(species)).then_some(()));
    // What is unlikely can be hidden, and stays so for this library and model.
    let all = window.tiles().len();
    window.all(Role::Slider).find(|node| text_of(node) == "Least likeness").unwrap().focus();
    for _ in 0..4 {
        window.key(Key::ArrowRight);
    }
    window.wait_for_text(" hidden");
    let left = window.tiles();
    assert!(left.len() < all && left.iter().all(|tile| tile.contains(species)), "{left:?}");
    window.wait_for("the settings", |window| (window.saved().thresholds.values().eq([&0.2])).then_some(()));
    for _ in 0..4 {
        window.key(Key::ArrowLeft);
    }
    window.wait_until_gone(" hidden");
    // Without a query there is no answer.
    window.press("Clear search");
    window.wait_until_gone("such cases");
    // Several photos of one plant have one answer.
    let other = elsewhere.path().join("other.png");
    std::fs::copy(&query, &other).unwrap();
    window.harness.event(Event::Paste([&query, &other].map(|path| file_uri(path)).join("\n")));
    window.wait_for_text("Query: 2 photos of one plant");
    window.wait_for_text("such cases");
    assert!(heading(&window).iter().any(|text| text.contains(species)), "{:?}", heading(&window));
}

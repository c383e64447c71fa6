//! What the program says of itself.

use eframe::egui::Key;

use super::Window;
use super::common::Photos;

#[test]
fn about_tells_versions_and_licences_and_copies_them_for_a_report() {
    let photos = Photos::plain("Garden", &[("rose", 3)]);
    let mut window = Window::on(&photos, 3);
    window.press("Menu");
    window.press("About");
    window.wait_for_text("Nothing leaves this computer");
    let version = format!("Florascope {}", env!("CARGO_PKG_VERSION"));
    for text in [&version, "Computes on", "CPU", "libtorch", "SQLite", "Apache-2.0", "MIT licence"] {
        assert!(window.says(text), "{text}: {:?}", window.texts());
    }
    window.harness.check_accessibility();
    window.press("Copy details");
    let details = window.copied().unwrap();
    for text in [&version, "Computes on: CPU", "System: linux", "SQLite: 3.", "egui: 0."] {
        assert!(details.contains(text), "{text}: {details}");
    }
    assert!(!details.contains("Garden"), "{details}");
    window.key(Key::Escape);
    window.wait_until_gone("Nothing leaves this computer");
}

//! The window beside a drive that does not answer.

use std::time::{Duration, Instant};

use eframe::egui::{Key, Modifiers};

use super::Window;
use super::common::Photos;
use super::common::mount::own_mounts;
use super::common::stalled::mount_stalled;
use super::opening::enter;

#[test]
fn a_drive_that_does_not_answer_keeps_neither_searches_nor_a_stop_waiting() {
    let photos = Photos::plain("Garden", &[("rose", 3), ("lily", 3)]);
    let drive = photos.path().join("drive");
    std::fs::create_dir(&drive).unwrap();
    std::thread::scope(|scope| {
        let work = || {
            if !own_mounts() {
                return;
            }
            let Some(_stalled) = mount_stalled(&drive) else { return };
            let mut window = Window::open(Some(photos.path()));
            // The rest is there while the job waits for the one file.
            window.wait_for_tiles(6);
            let began = Instant::now();
            window.key_with(Modifiers::COMMAND, Key::L);
            enter(&mut window, &drive.join("stalled.jpg").display().to_string());
            window.wait_for_text("Searching…");
            window.key_with(Modifiers::COMMAND, Key::L);
            enter(&mut window, &photos.path().join("rose/rose 02.jpg").display().to_string());
            window.wait_for_text("Query: rose 02.jpg");
            window.wait_for_search();
            window.press_until("Stop", "Indexing was stopped");
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        };
        scope.spawn(work).join().unwrap();
    });
}

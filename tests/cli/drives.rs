//! Drives that vanish, and drives that do not answer.

use florascope::cli::exit;
use serde_json::json;

use super::common::mount::own_mounts;
use super::common::{FLOWERS, PHOTOS, Place};
use super::{index_again, indexed};

#[test]
fn a_drive_that_is_away_keeps_its_photos() {
    let place = indexed();
    let (drive, stick) = (place.photos().join("stick"), place.data().join("what is on it"));
    let write = |folder: &std::path::Path, name: &str, number: usize| {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(name), super::commented(&FLOWERS[number].jpeg, "on it")).unwrap();
    };
    write(&stick, "1.jpg", 0);
    write(&stick, "2.jpg", 1);
    std::fs::create_dir(&drive).unwrap();
    // Mounts are this thread's own, and those of the programs that it starts.
    if !own_mounts() {
        return;
    }
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let plug = || mount(&stick, &drive, "", MountFlags::BIND, None).unwrap();
    plug();
    assert_eq!(index_again(&place), (PHOTOS as u64 + 2, 2));
    unmount(&drive, UnmountFlags::empty()).unwrap();
    let away = place.index().expect_code(exit::DONE).json();
    assert_eq!((&away["photos"], &away["read"]), (&json!(PHOTOS + 2), &json!(0)), "{away:#}");
    assert_eq!(away["away"], json!([{ "path": "stick", "photos": 2 }]));
    // Also where its place is gone, and the next time.
    std::fs::remove_dir(&drive).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64 + 2, 0));
    let found = place.run(["search", "--json", "-k99"], [place.photos(), stick.join("1.jpg")]).json();
    let results = found[0]["results"].as_array().unwrap();
    assert_eq!(results.iter().filter(|result| result["away"] == true).count(), 2, "{found:#}");
    std::fs::create_dir(&drive).unwrap();
    plug();
    let back = place.index().expect_code(exit::DONE).json();
    assert_eq!((&back["photos"], &back["read"], &back["away"]), (&json!(PHOTOS + 2), &json!(0), &json!([])));
    // What is deleted on it is deleted.
    std::fs::remove_file(stick.join("1.jpg")).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64 + 1, 0));
}

#[test]
fn a_folder_that_vanishes_while_it_is_indexed_is_asked_for() {
    let place = Place::empty();
    for number in 0..600 {
        place.write(format!("{number}.jpg"), &super::commented(&FLOWERS[0].jpeg, &number.to_string()));
    }
    let mut command = std::process::Command::new(super::common::BINARY);
    command.arg("index").arg(place.photos()).arg("--data-dir").arg(place.data());
    let program = super::common::plain(&mut command).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // Some of it is in the catalog by then.
    while place.photos().exists() {
        let photos = std::fs::exists(place.data()).unwrap().then(|| place.catalog()).flatten();
        if photos.is_some_and(|catalog| catalog.photo_count().unwrap() > 0) {
            std::fs::rename(place.photos(), place.photos().with_file_name("away")).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ended = program.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(i32::from(exit::FAILED)), "{told}");
    assert!(told.lines().next().unwrap().contains("Is the drive connected?"), "{told}");
    std::fs::rename(place.photos().with_file_name("away"), place.photos()).unwrap();
    assert_eq!(place.index().expect_code(exit::DONE).json()["photos"], 600);
}

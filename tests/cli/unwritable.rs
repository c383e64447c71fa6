//! A data folder that is read-only or on a full disk still answers, and what cannot be done is said.

use std::path::Path;

use florascope::cli::exit;

use super::common::mount::{make_full, make_read_only, own_mounts};
use super::common::{PHOTOS, Place, commented, listing};
use super::{FLOWERS, first_photo, indexed};

/// Does something where the data folder of an indexed place has been made unwritable.
fn on_unwritable(make: fn(&Path), work: impl FnOnce(&Place) + Send) {
    let place = indexed();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if own_mounts() {
                make(&place.data());
                work(&place);
            }
        });
        thread.join().unwrap();
    });
}

fn searches(place: &Place) {
    let photo = first_photo(place);
    let answers = place.run(["search", "--json", "-k", "3"], [place.photos(), photo.clone()]).expect_code(exit::DONE);
    assert_eq!(answers.json()[0]["results"][0]["path"], photo.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(place.run(["status", "--json"], [place.photos()]).expect_code(exit::DONE).json()["photos"], PHOTOS);
    let listed = place.run(["libraries", "list", "--json"], super::NONE).expect_code(exit::DONE).json();
    assert_eq!(listed[0]["photos"], PHOTOS);
}

#[test]
fn a_read_only_data_folder_answers_and_says_what_it_cannot_do() {
    on_unwritable(make_read_only, |place| {
        let before = listing(&place.data());
        searches(place);
        let refused = place.index().expect_code(exit::FAILED);
        assert!(refused.stderr.starts_with("The library cannot be written; what is indexed can be searched"));
        assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
        for arguments in [&["libraries", "forget"][..], &["train", "--recipe", "quick"]] {
            let refused = place.run(arguments, [place.photos()]).expect_code(exit::FAILED);
            assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
        }
        assert_eq!(listing(&place.data()), before);
    });
}

#[test]
fn a_data_folder_on_a_full_disk_answers_and_says_what_it_cannot_do() {
    on_unwritable(make_full, |place| {
        searches(place);
        place.write("new.jpg", &commented(&FLOWERS[0].jpeg, "another"));
        let refused = place.index().expect_code(exit::FAILED);
        assert!(refused.stderr.contains("The disk is full"), "{}", refused.stderr);
        searches(place);
        // With room again it goes on.
        std::fs::remove_file(place.data().join("the rest")).unwrap();
        assert_eq!(place.index().expect_code(exit::DONE).json()["photos"], PHOTOS + 1);
    });
}

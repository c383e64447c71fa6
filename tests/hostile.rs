//! A folder with everything that can be wrong with a file: indexed around, and each bad file named with its reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{FLOWERS, PHOTOS, Place};
use florascope::catalog::ModelKey;
use florascope::cli::exit;
use florascope::photo::PhotoId;

/// The size of a picture of 200 megapixels, and nothing of it.
const HUGE_PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x4e\x20\0\0\x27\x10\x08\x02\0\0\0\x76\x46\xdf\xf5";

/// Names that no text can hold.
fn odd(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// What the list of problems says of each bad file; the names as JSON shows them.
fn hostile(place: &Place) -> BTreeMap<String, String> {
    let jpeg = &FLOWERS[0].jpeg;
    let mut reasons = BTreeMap::new();
    let mut bad = |name: &str, reason: &str| reasons.insert(name.to_owned(), reason.to_owned());

    place.write("empty.jpg", b"");
    bad("empty.jpg", "The file is empty");
    place.write("text.jpg", b"Dear diary, today I saw a rose.\n");
    bad("text.jpg", "Not a picture, whatever its name says");
    place.write("roses/cut.jpg", &jpeg[..jpeg.len() / 2]);
    bad("roses/cut.jpg", "The file is cut short");
    place.write("huge.png", HUGE_PNG);
    bad("huge.png", "20000 x 10000 pixels are more than the limit of 160 megapixels");
    place.write("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    // By the system's library, where there is one.
    bad("phone.heic", "");
    place.write("phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    bad("phone.jpg", "");
    place.write(odd(b"caf\xe9.jpg"), b"text again");
    bad("caf\u{fffd}.jpg", "Not a picture");
    symlink("/proc/self/mem", place.photos().join("memory.jpg")).unwrap();
    bad("memory.jpg", "The drive could not read the file");
    symlink("nowhere.jpg", place.photos().join("dangling.jpg")).unwrap();
    bad("dangling.jpg", "Broken link");
    symlink("..", place.photos().join("roses/loop")).unwrap();
    bad("roses/loop", "A link that leads back to the folder itself; not followed");
    symlink("self.jpg", place.photos().join("self.jpg")).unwrap();
    bad("self.jpg", "Could not be opened: ");

    let secret = place.write("secret.jpg", jpeg);
    std::fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&secret).is_err() {
        bad("secret.jpg", "You may not read this file; change its permissions (Permission denied");
    } else {
        println!("skipped: a file without permissions, since this user (root?) may read every file");
        std::fs::remove_file(secret).unwrap();
    }
    // Never a photo, and not to be waited for.
    let pipe = place.photos().join("pipe.jpg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    symlink(&pipe, place.photos().join("pipe link.jpg")).unwrap();
    symlink("/dev/zero", place.photos().join("endless.jpg")).unwrap();
    reasons
}

#[track_caller]
fn assert_problems(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, reason) in wanted {
        assert!(found[name].starts_with(reason), "{name}: {:?} instead of {reason:?}", found[name]);
    }
}

#[test]
fn good_photos_are_indexed_and_each_bad_file_is_named() {
    let place = Place::with_flowers();
    let good = place.write(odd(b"ros\xe9/\xff\xfe.jpg"), &common::commented(&FLOWERS[0].jpeg, "odd name"));
    let mut reasons = hostile(&place);
    let photos = PHOTOS + 1;

    let ended = place.index().expect_code(exit::WITH_PROBLEMS);
    assert_eq!(ended.json()["photos"], photos);
    assert_problems(&ended.problems(), &reasons);
    let status = place.run(["status", "--json"], [place.photos()]).expect_code(exit::DONE);
    assert_problems(&status.problems(), &reasons);
    let people = place.run(["status"], [place.photos()]).expect_code(exit::DONE).stderr;
    let as_text = |name: &str| name.replace('\u{fffd}', "\\xe9");
    assert!(reasons.iter().all(|(name, reason)| people.contains(&format!("{}: {reason}", as_text(name)))), "{people}");

    // The photo whose name is no text is found, and its path is whole.
    let found = place.run(["search", "--json", "-k", "2"], [&place.photos(), &good]).expect_code(exit::DONE).json();
    let first_two = found[0]["results"].as_array().unwrap();
    assert!(first_two.iter().any(|r| r["path"].as_str().unwrap().ends_with("\u{fffd}\u{fffd}.jpg")), "{found:#}");
    let model = place.sql().query_row("SELECT name FROM models", [], |row| row.get::<_, String>(0)).unwrap();
    let stored = place.catalog().unwrap().photos_after(PhotoId(0), 100, ModelKey::features(&model)).unwrap();
    assert_eq!(stored.len(), photos);
    assert!(stored.iter().any(|(photo, _)| place.photos().join(&photo.path) == good));
    assert!(stored.iter().all(|(_, embedding)| embedding.is_some()));

    // Nothing changes by looking again; then one is mended and another taken away.
    assert_problems(&place.index().expect_code(exit::WITH_PROBLEMS).problems(), &reasons);
    place.write("roses/cut.jpg", &FLOWERS[0].jpeg);
    std::fs::remove_file(place.photos().join("dangling.jpg")).unwrap();
    reasons.remove("roses/cut.jpg");
    reasons.remove("dangling.jpg");
    let ended = place.index().expect_code(exit::WITH_PROBLEMS);
    assert_eq!(ended.json()["photos"], photos + 1);
    assert_problems(&ended.problems(), &reasons);
}

#[test]
fn a_photo_that_turns_bad_leaves_the_results() {
    let place = Place::with_flowers();
    place.index().expect_code(exit::DONE);
    let name = format!("{}/{}", FLOWERS[0].species, FLOWERS[0].name);
    place.write(&name, b"");
    let ended = place.index().expect_code(exit::WITH_PROBLEMS);
    assert_eq!(ended.json()["photos"], PHOTOS - 1);
    assert_eq!(ended.problems().keys().collect::<Vec<_>>(), [&name]);
    place.write(&name, &FLOWERS[0].jpeg);
    assert_eq!(place.index().expect_code(exit::DONE).json()["photos"], PHOTOS);
}

#[test]
fn a_pipe_is_no_query() {
    let place = Place::with_flowers();
    place.index().expect_code(exit::DONE);
    let pipe = place.data().join("pipe.jpg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let ended = place.run(["search"], [&place.photos(), &pipe]).expect_code(exit::FAILED);
    assert!(ended.stderr.contains("Not a file"), "{}", ended.stderr);
}

//! Every file of a folder is a photo, a problem, or counted.

use std::os::unix::fs::symlink;

use florascope::cli::exit;
use serde_json::json;

use super::common::{FLOWERS, PHOTOS, Place, commented};
use super::{first_photo, index_again, indexed, paths_found};

#[test]
fn the_numbers_add_up_to_what_the_folder_holds() {
    let place = Place::empty();
    let jpeg = |number: usize| FLOWERS[number].jpeg.as_slice();
    for (number, name) in ["a.mpo", "a.pjpeg", "a.jfif", "IMG_1", "b.qqq"].into_iter().enumerate() {
        place.write(name, jpeg(number));
    }
    for ending in "pef srw nrw 3fr x3f crw hif iiq erf kdc mrw sr2 rwl dib".split_whitespace() {
        place.write(format!("raws/a.{ending}"), b"raw");
    }
    for name in ["a.psd", "a.jp2"] {
        place.write(name, b"picture");
    }
    let others = ["v.MP4", "a.xmp", "a.AAE", "list.pdf", "note.wav", "script.sh", "a.part", "BMW notes", ".hidden.jpg"];
    for name in others {
        place.write(name, b"BM and whatever else there is in a file of text");
    }
    let deleted =
        ["#recycle", "$RECYCLE.BIN/S-1", "@Recycle", "lost+found", "Pictures.photoslibrary/resources", ".zfs"];
    for folder in deleted {
        place.write(format!("{folder}/deleted.jpg"), jpeg(5));
    }
    let report = place.index().expect_code(exit::WITH_PROBLEMS).json();
    assert_eq!((&report["photos"], report["problems"].as_array().unwrap().len()), (&json!(5), 16), "{report:#}");
    let counted = json!({ "videos": 1, "sidecars": 2, "documents": 1, "sounds": 1, "other": 3, "hidden": 1 });
    assert_eq!(report["others"], counted);
    let mut passed_over: Vec<_> =
        report["passed_over"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    passed_over.sort_unstable();
    let named = ["#recycle", "$RECYCLE.BIN", ".zfs", "@Recycle", "Pictures.photoslibrary", "lost+found"];
    assert_eq!(passed_over, named);
    // The same for people, and from what is kept.
    let told = place.run(["status"], [place.photos()]).expect_code(exit::DONE).stdout;
    assert!(told.contains("Besides: 1 video, 2 sidecar files, 1 document, 1 sound, 3 other files, 1 hidden file\n"));
    assert!(told.contains("Passed over: 6 folders: "), "{told}");
    let again = place.index().expect_code(exit::WITH_PROBLEMS).json();
    assert_eq!((&again["photos"], &again["others"]), (&json!(5), &counted));
}

#[test]
fn what_links_lead_to_is_found_once() {
    let place = indexed();
    symlink(&FLOWERS[0].name, first_photo(&place).with_file_name("same.jpg")).unwrap();
    symlink(FLOWERS[0].species, place.photos().join("same folder")).unwrap();
    let elsewhere = place.data().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("new.jpg"), commented(&FLOWERS[0].jpeg, "new")).unwrap();
    symlink(&elsewhere, place.photos().join("linked")).unwrap();
    symlink(&elsewhere, place.photos().join("linked again")).unwrap();
    symlink(elsewhere.join("new.jpg"), place.photos().join("again.jpg")).unwrap();
    let report = place.index().expect_code(exit::DONE).json();
    assert_eq!((&report["photos"], &report["others"]), (&json!(PHOTOS + 1), &json!({ "links": 4 })), "{report:#}");
    let found = paths_found(&place, &elsewhere.join("new.jpg"));
    assert_eq!(found.iter().filter(|path| path.ends_with("new.jpg")).count(), 1, "{found:?}");
    // Whose drive is away is not deleted, and comes back without being read.
    std::fs::rename(&elsewhere, place.data().join("away")).unwrap();
    let report = place.index().expect_code(exit::WITH_PROBLEMS).json();
    assert_eq!(report["photos"], PHOTOS + 1, "{report:#}");
    assert_eq!(report["problems"].as_array().unwrap().len(), 2, "the links without photos of their own: {report:#}");
    assert_eq!(report["away"], json!([{ "path": "linked", "photos": 1 }]), "{report:#}");
    std::fs::rename(place.data().join("away"), &elsewhere).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64 + 1, 0));
    // But a link that is deleted is no drive.
    std::fs::remove_file(place.photos().join("linked")).unwrap();
    std::fs::remove_file(place.photos().join("linked again")).unwrap();
    std::fs::remove_file(place.photos().join("again.jpg")).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64, 0));
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let place = indexed();
    let first = first_photo(&place);
    let time = first.metadata().unwrap().modified().unwrap();
    let mut bytes = FLOWERS[0].jpeg.clone();
    let end = bytes.len() - 3;
    bytes[end] ^= 1;
    std::thread::sleep(std::time::Duration::from_millis(20));
    let file = std::fs::File::options().write(true).open(&first).unwrap();
    std::io::Write::write_all(&mut &file, &bytes).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64, 1));
    assert_eq!(index_again(&place), (PHOTOS as u64, 0));
    // Of a library from before that was known, nothing is read.
    place.sql().execute("UPDATE photos SET changed = NULL", []).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64, 0));
    let missing = "SELECT count(*) FROM photos WHERE changed IS NULL";
    assert_eq!(place.sql().query_row(missing, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let again = place.run(["index", "--json", "--read-again"], [place.photos()]).expect_code(exit::DONE).json();
    assert_eq!((&again["photos"], &again["read"]), (&json!(PHOTOS), &json!(PHOTOS)));
}

#[test]
fn a_problem_that_lasts_is_read_again_only_where_that_is_asked_for() {
    let place = Place::with_flowers();
    place.write("bad.jpg", b"text");
    place.index().expect_code(exit::WITH_PROBLEMS);
    let read = |options: &[&str]| {
        let report = place.run(options, [place.photos()]).expect_code(exit::WITH_PROBLEMS).json();
        assert_eq!(report["problems"].as_array().unwrap().len(), 1);
        report["read"].as_u64().unwrap()
    };
    assert_eq!(read(&["index", "--json"]), 1);
    place.sql().execute("UPDATE problems SET lasting = 1", []).unwrap();
    assert_eq!(read(&["index", "--json"]), 0);
    assert_eq!(read(&["index", "--json", "--retry"]), 1);
    assert_eq!(read(&["index", "--json"]), 1);
}

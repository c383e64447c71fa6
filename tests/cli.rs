//! The command line from outside: the real binary on small folders.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/account.rs"] // without it the file would be looked for beside this one
mod account;
mod common;
#[cfg(target_os = "linux")]
#[path = "cli/drives.rs"]
mod drives;
#[path = "cli/identify.rs"]
mod identify;
#[path = "cli/libraries.rs"]
mod libraries;
#[path = "cli/month.rs"]
mod month;
#[cfg(target_os = "linux")]
#[path = "cli/stalls.rs"]
mod stalls;
#[cfg(target_os = "linux")]
#[path = "cli/unwritable.rs"]
mod unwritable;

use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64, Encoding};
use common::{BINARY, FLOWERS, PHOTOS, PHOTOS_EACH, Place, SPECIES, commented, described, finish, listing, plain};
use exif::{Field, In, Rational, Tag, Value as ExifValue};
use florascope::artefact::BUILT_IN;
use florascope::cli::exit;
use florascope::photo::{ContentHash, bytes_to_path, path_to_bytes};
use serde_json::{Value, json};

const NONE: [&str; 0] = [];

fn indexed() -> Place {
    let place = Place::with_flowers();
    let report = place.index().expect_code(exit::DONE).json();
    assert_eq!((&report["photos"], &report["read"]), (&json!(PHOTOS), &json!(PHOTOS)));
    place
}

/// Photos in the catalog and files read by a run of `index`.
fn index_again(place: &Place) -> (u64, u64) {
    let report = place.index().expect_code(exit::DONE).json();
    (report["photos"].as_u64().unwrap(), report["read"].as_u64().unwrap())
}

fn paths_found(place: &Place, query: &Path) -> Vec<PathBuf> {
    let answers = place.run(["search", "--json", "-k100"], [&place.photos(), query]).expect_code(exit::DONE).json();
    let results = answers[0]["results"].as_array().unwrap().iter();
    results.map(|result| PathBuf::from(result["path"].as_str().unwrap())).collect()
}

fn first_photo(place: &Place) -> PathBuf {
    place.photos().join(FLOWERS[0].species).join(&FLOWERS[0].name)
}

/// The row of a photo's embedding: another one where it was embedded anew.
fn embedding_rows(place: &Place) -> Vec<(i64, Vec<u8>)> {
    let sql = place.sql();
    let of_model = "SELECT rowid, content FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)
        ORDER BY rowid";
    let mut statement = sql.prepare(of_model).unwrap();
    statement.query_map([BUILT_IN], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_photo_finds_itself_first_and_its_species_next() {
    let place = indexed();
    let queries: Vec<PathBuf> =
        FLOWERS.iter().step_by(PHOTOS_EACH).map(|f| place.photos().join(f.species).join(&f.name)).collect();
    let paths = std::iter::once(place.photos()).chain(queries.clone());
    let answers = place.run(["search", "--json", "-k", "3"], paths).expect_code(exit::DONE).json();
    assert_eq!(answers.as_array().unwrap().len(), SPECIES);
    let mut same_species = 0;
    for (answer, query) in answers.as_array().unwrap().iter().zip(&queries) {
        assert_eq!(answer["query"], query.to_str().unwrap());
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.iter().map(|r| r["rank"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(results[0]["path"], query.canonicalize().unwrap().to_str().unwrap());
        let similarity: Vec<f64> = results.iter().map(|r| r["similarity"].as_f64().unwrap()).collect();
        assert!((similarity[0] - 1.0).abs() < 1e-3, "{similarity:?}");
        assert!(similarity.is_sorted_by(|a, b| a >= b), "{similarity:?}");
        let label = query.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(results[0]["label"], label);
        same_species += results[1..].iter().filter(|result| result["label"] == label).count();
    }
    assert!(same_species >= SPECIES * 2 - 2, "{same_species} of {}: {answers:#}", SPECIES * 2);
}

#[test]
fn results_for_people_are_one_a_line() {
    let place = indexed();
    let query = first_photo(&place);
    let ended = place.run(["search", "-k", "2"], [&place.photos(), &query]).expect_code(exit::DONE);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], query.to_str().unwrap());
    assert_eq!(lines[1], format!("   1  1.000  {}", query.canonicalize().unwrap().display()));
    assert!(lines[2].starts_with("   2  0."), "{lines:?}");
    // Ten where nothing is said, and never more than there are.
    let count = |options: &[&str]| place.run(options, [&place.photos(), &query]).stdout.lines().count() - 1;
    assert_eq!(count(&["search"]), 10);
    assert_eq!(count(&["search", "--results", "999"]), PHOTOS);
}

#[test]
fn a_query_that_cannot_be_read_is_named() {
    let place = indexed();
    let good = first_photo(&place);
    let bad = place.data().join("no picture.jpg");
    std::fs::write(&bad, "text").unwrap();
    let ended = place.run(["search", "--json"], [&place.photos(), &bad]).expect_code(exit::FAILED);
    assert!(ended.stderr.contains("Not a picture") && ended.stderr.contains("no picture.jpg"), "{}", ended.stderr);
    assert!(ended.json()[0]["error"].as_str().unwrap().contains("Not a picture"));
    // Beside a good one.
    let ended = place.run(["search", "--json"], [&place.photos(), &bad, &good]).expect_code(exit::WITH_PROBLEMS);
    assert!(ended.json()[0]["error"].is_string() && ended.json()[1]["results"].is_array());
    let ended = place.run(["search"], [&place.photos(), &bad, &good]).expect_code(exit::WITH_PROBLEMS);
    assert!(ended.stdout.contains("1.000") && ended.stderr.contains("Not a picture"));
}

#[test]
fn what_has_not_been_indexed_is_said() {
    let place = Place::with_flowers();
    let photo = first_photo(&place);
    for (options, paths) in [
        (vec!["search", "--json"], vec![place.photos(), photo.clone()]),
        (vec!["identify", "--json"], vec![place.photos(), photo]),
        (vec!["status", "--json"], vec![place.photos()]),
        (vec!["evaluate", "--json", "--leave-one-out"], vec![place.photos()]),
    ] {
        let ended = place.run(&options, paths).expect_code(exit::NOT_INDEXED);
        assert!(ended.stderr.starts_with("Not indexed yet"), "{options:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{options:?}");
    }
    let all = place.run(["status"], NONE).expect_code(exit::DONE);
    assert_eq!(all.stdout, "No folder has been indexed yet\n");
    assert_eq!(place.run(["status", "--json"], NONE).expect_code(exit::DONE).json(), json!([]));
    assert_eq!(listing(&place.data()).len(), 1, "asking writes nothing");
}

#[test]
fn wrong_use_and_wrong_folders_are_refused() {
    let place = Place::with_flowers();
    for options in [
        &["index"][..],
        &["search", "folder"],
        &["search", "folder", "photo", "-k", "few"],
        &["evaluate", "folder"],
        &["evaluate", "folder", "--leave-one-out", "--queries", "q"],
        &["status", "--device", "abacus"],
        &["index", "folder", "--no-such-option"],
    ] {
        let ended = place.run(options, NONE).expect_code(exit::USAGE);
        assert!(ended.stderr.contains("try '--help'") && ended.stdout.is_empty(), "{options:?}: {}", ended.stderr);
    }
    for folder in [place.photos().join("none"), first_photo(&place)] {
        let ended = place.run(["index", "--json"], [&folder]).expect_code(exit::FAILED);
        let named =
            ended.stderr.starts_with("The folder cannot be opened") && ended.stderr.contains(folder.to_str().unwrap());
        assert!(named && ended.stdout.is_empty(), "{}", ended.stderr);
    }
    let help = finish(Command::new(BINARY).arg("--help")).expect_code(exit::DONE).stdout;
    for documented in ["3 done, but some files could not be read", "4 another Florascope", "130 stopped"] {
        assert!(help.contains(documented), "{help}");
    }
}

#[test]
fn status_of_one_folder_and_of_all() {
    let place = indexed();
    place.write("bad.jpg", b"");
    place.index().expect_code(exit::WITH_PROBLEMS);
    let other = place.photos().join(FLOWERS[0].species);
    place.run(["index"], [&other]).expect_code(exit::DONE);

    let one = place.run(["status", "--json"], [place.photos()]).expect_code(exit::DONE).json();
    let root = place.library().root;
    assert_eq!(one["folder"], root.to_str().unwrap());
    assert_eq!((&one["photos"], &one["complete"], &one["in_use"]), (&json!(PHOTOS), &json!(true), &json!(false)));
    assert_eq!(one["problems"], json!([{ "path": "bad.jpg", "reason": "The file is empty" }]));
    assert!(Path::new(one["data"].as_str().unwrap()).join("catalog.sqlite").is_file());

    let all = place.run(["status", "--json"], NONE).expect_code(exit::DONE).json();
    let folders: Vec<&Value> = all.as_array().unwrap().iter().map(|library| &library["folder"]).collect();
    assert_eq!(
        folders,
        [other.canonicalize().unwrap().to_str().unwrap(), root.to_str().unwrap()],
        "the last one first"
    );

    let ended = place.run(["status"], [place.photos()]).expect_code(exit::DONE);
    assert_eq!(ended.stdout, format!("{PHOTOS} photos, 1 problem: {}\n", root.display()));
    assert_eq!(ended.stderr, "bad.jpg: The file is empty\n");
    assert_eq!(place.run(["status"], NONE).expect_code(exit::DONE).stdout.lines().count(), 2);
}

#[test]
fn quality_is_measured_with_other_photos_and_with_its_own() {
    let place = indexed();
    let keys = ["recall_at_1", "recall_at_5", "r_precision", "map_at_r"];
    let own = place.run(["evaluate", "--json", "--leave-one-out"], [place.photos()]).expect_code(exit::DONE).json();
    assert_eq!((&own["queries"], &own["errors"]), (&json!(PHOTOS), &json!(0)));
    assert!(keys.iter().all(|key| (0.0..=1.0).contains(&own[key].as_f64().unwrap())), "{own}");
    assert!(own["recall_at_1"].as_f64().unwrap() >= 0.75, "{own}");

    // The library's own photos, each of which finds itself, and one that cannot be read.
    let queries = place.data().join("queries");
    for flower in FLOWERS.iter() {
        std::fs::create_dir_all(queries.join(flower.species)).unwrap();
        std::fs::write(queries.join(flower.species).join(&flower.name), &flower.jpeg).unwrap();
    }
    std::fs::write(queries.join("bad.png"), "text").unwrap();
    let options = ["evaluate", "--json", "--queries", queries.to_str().unwrap()];
    let ended = place.run(options, [place.photos()]).expect_code(exit::DONE);
    let other = ended.json();
    assert_eq!((&other["queries"], &other["errors"]), (&json!(PHOTOS), &json!(1)));
    assert_eq!((&other["recall_at_1"], &other["recall_at_5"]), (&json!(1.0), &json!(1.0)));
    assert!(keys.iter().all(|key| other[key].is_number()), "{other}");
    assert!(ended.stderr.contains("bad.png"), "{}", ended.stderr);

    let people = place.run(["evaluate", "--leave-one-out"], [place.photos()]).expect_code(exit::DONE).stdout;
    assert!(
        people.starts_with("R@1 ") && people.ends_with(&format!("({PHOTOS} queries, 0 errors, {PHOTOS} photos)\n"))
    );

    std::fs::remove_dir_all(&queries).unwrap();
    std::fs::create_dir(&queries).unwrap();
    let ended = place.run(options, [place.photos()]).expect_code(exit::FAILED);
    assert!(ended.stderr.contains("No labelled photo") && ended.stdout.is_empty(), "{}", ended.stderr);
}

#[test]
fn the_data_folder_may_come_from_the_environment() {
    let place = Place::with_flowers();
    let run = |command: &str| {
        let mut program = Command::new("timeout");
        program.args(["120", BINARY, command, "--json"]).arg(place.photos());
        finish(plain(&mut program).env("FLORASCOPE_DATA_DIR", place.data())).expect_code(exit::DONE).json()
    };
    assert_eq!(run("index")["photos"], PHOTOS);
    assert_eq!(run("status")["photos"], PHOTOS);
    assert!(place.library().folder.join("catalog.sqlite").is_file());
    // An option counts more.
    let elsewhere = place.photos().with_file_name("elsewhere");
    let mut status = Command::new(BINARY);
    status.arg("status").arg(place.photos()).arg("--data-dir").arg(&elsewhere);
    finish(plain(&mut status).env("FLORASCOPE_DATA_DIR", place.data())).expect_code(exit::NOT_INDEXED);
}

#[test]
fn a_second_writer_is_turned_away_and_reading_goes_on() {
    let place = indexed();
    let lock = place.library().lock().unwrap();
    assert!(lock.is_some());
    let ended = place.index().expect_code(exit::IN_USE);
    assert!(ended.stderr.starts_with("Another Florascope") && ended.stdout.is_empty(), "{}", ended.stderr);
    assert_eq!(paths_found(&place, &first_photo(&place)).len(), PHOTOS);
    let status = place.run(["status", "--json"], [place.photos()]).expect_code(exit::DONE).json();
    assert_eq!(status["in_use"], true);
    drop(lock);
    assert_eq!(index_again(&place), (PHOTOS as u64, 0));
}

#[test]
fn only_new_and_changed_files_are_read_again() {
    let place = indexed();
    let rows = embedding_rows(&place);
    assert_eq!(rows.len(), PHOTOS);
    assert_eq!(index_again(&place), (PHOTOS as u64, 0));
    assert_eq!(embedding_rows(&place), rows);

    place.write("new/one.jpg", &commented(&FLOWERS[0].jpeg, "new"));
    assert_eq!(index_again(&place), (PHOTOS as u64 + 1, 1));
    assert_eq!(embedding_rows(&place).len(), PHOTOS + 1);

    // The daisy's file now shows the last flower.
    let changed = place.write(first_photo(&place), &FLOWERS[PHOTOS - 1].jpeg);
    assert_eq!(index_again(&place), (PHOTOS as u64 + 1, 1));
    let last = place.photos().join(FLOWERS[PHOTOS - 1].species).join(&FLOWERS[PHOTOS - 1].name);
    let found = paths_found(&place, &last);
    assert!(found[..2].contains(&changed.canonicalize().unwrap()), "{found:?}");
}

#[test]
fn renamed_and_moved_files_are_known_by_their_content() {
    let place = indexed();
    let rows = embedding_rows(&place);
    let renamed = first_photo(&place).with_file_name("renamed.jpg");
    std::fs::rename(first_photo(&place), &renamed).unwrap();
    let (from, to) = (place.photos().join(FLOWERS[PHOTOS - 1].species), place.photos().join("deep/down/moved"));
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(from, &to).unwrap();

    assert_eq!(index_again(&place), (PHOTOS as u64, 1 + PHOTOS_EACH as u64));
    assert_eq!(embedding_rows(&place), rows);
    let found = paths_found(&place, &renamed);
    assert_eq!(found[0], renamed.canonicalize().unwrap());
    assert_eq!(found.iter().filter(|path| path.starts_with(to.canonicalize().unwrap())).count(), PHOTOS_EACH);
    assert!(found.iter().all(|path| path.exists()), "{found:?}");
}

/// The catalog is told that a content which no decoder could read was embedded before: a file of that content is a
/// photo exactly if it is neither decoded nor embedded again.
#[test]
fn a_known_content_is_not_decoded_again() {
    let place = indexed();
    let (known, unreadable) = (ContentHash::of(&FLOWERS[0].jpeg), b"no decoder could read this");
    let sql = place.sql();
    let thumbnails = path_to_bytes(&place.library().folder.join("thumbnails.sqlite"));
    sql.execute("ATTACH DATABASE CAST(? AS TEXT) AS thumbnails", [thumbnails]).unwrap();
    for table in ["photos", "embeddings", "thumbnails.thumbnails"] {
        let update = format!("UPDATE {table} SET content = ? WHERE content = ?");
        // The embedding, and the features that it was made of.
        let rows = if table == "embeddings" { 2 } else { 1 };
        assert_eq!(sql.execute(&update, [ContentHash::of(unreadable).0, known.0]).unwrap(), rows);
    }
    drop(sql);
    std::fs::remove_file(first_photo(&place)).unwrap();
    place.write("moved.jpg", unreadable);
    assert_eq!(index_again(&place), (PHOTOS as u64, 1));
}

#[test]
fn a_deleted_file_leaves_the_results() {
    let place = indexed();
    let query = place.data().join("query.jpg");
    std::fs::rename(first_photo(&place), &query).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64 - 1, 0));
    let found = paths_found(&place, &query);
    assert_eq!(found.len(), PHOTOS - 1);
    assert!(found.iter().all(|path| path.exists()), "{found:?}");
    assert_eq!(embedding_rows(&place).len(), PHOTOS - 1, "its embedding is forgotten");
}

#[test]
fn the_users_folder_is_left_as_it_was() {
    let place = Place::with_flowers();
    place.write("bad.jpg", b"text");
    let before = listing(&place.photos());
    place.index().expect_code(exit::WITH_PROBLEMS);
    place.index().expect_code(exit::WITH_PROBLEMS);
    paths_found(&place, &first_photo(&place));
    place.run(["evaluate", "--leave-one-out"], [place.photos()]).expect_code(exit::DONE);
    assert_eq!(listing(&place.photos()), before);
}

#[test]
fn sub_folders_belong_to_it_and_hidden_files_do_not() {
    let place = Place::empty();
    for (number, name) in ["top.jpg", "a/one.JPG", "a/b/c/deep.jpeg"].into_iter().enumerate() {
        place.write(name, &FLOWERS[number].jpeg);
    }
    for (number, name) in
        [".hidden.jpg", ".folder/inside.jpg", "a/@eaDir/thumb.jpg", "._top.jpg"].into_iter().enumerate()
    {
        place.write(name, &FLOWERS[number + 3].jpeg);
    }
    place.write("notes.txt", b"not a photo by its name");
    assert_eq!(index_again(&place), (3, 3));
    let found = place.run(["search", "--json"], [place.photos(), place.photos().join("top.jpg")]).json();
    let mut labels: Vec<_> = found[0]["results"].as_array().unwrap().iter().map(|r| r["label"].as_str()).collect();
    labels.sort();
    assert_eq!(labels, [None, Some("a"), Some("c")]);
}

#[test]
fn an_emptied_folder_keeps_its_photos() {
    let place = indexed();
    let away = place.data().join("away");
    std::fs::rename(place.photos(), &away).unwrap();
    // The whole folder is away, then only what was in it: an unplugged drive often leaves its empty folder behind.
    let ended = place.index().expect_code(exit::FAILED);
    assert!(ended.stderr.contains("The folder cannot be opened"), "{}", ended.stderr);
    std::fs::create_dir(place.photos()).unwrap();
    let ended = place.index().expect_code(exit::FAILED);
    let explained = ended.stderr.contains("Is the drive connected?") && ended.stderr.contains("Nothing was changed");
    assert!(explained && ended.stdout.is_empty(), "{}", ended.stderr);
    assert_eq!(place.catalog().unwrap().photo_count().unwrap(), PHOTOS as u64);

    std::fs::remove_dir(place.photos()).unwrap();
    std::fs::rename(&away, place.photos()).unwrap();
    assert_eq!(index_again(&place), (PHOTOS as u64, 0));
}

/// File names that no text can hold, and that a terminal would obey: each of them can be found, and none breaks a line.
#[cfg(unix)]
#[test]
fn any_file_name_is_told_whole_and_moves_no_cursor() {
    let place = Place::empty();
    let names = [&b"bl\xfcte/\xff.jpg"[..], b"esc\x1b[31mred\x07.jpg", b"line\nbreak.jpg"].map(bytes_to_path);
    for (name, flower) in names.iter().zip(FLOWERS.iter()) {
        place.write(name, &flower.jpeg);
    }
    place.write(bytes_to_path(b"\x1b]0;title\xfe.jpg"), b"");
    let told = place.run(["index"], [place.photos()]).expect_code(exit::WITH_PROBLEMS);
    assert!(told.stderr.contains("\\u{1b}]0;title\\xfe.jpg: The file is empty"), "{}", told.stderr);

    let query = place.photos().join(&names[0]);
    let ended = place.run(["search"], [&place.photos(), &query]).expect_code(exit::DONE);
    assert_eq!(ended.stdout.lines().count(), 1 + names.len(), "{}", ended.stdout);
    for name in ["bl\\xfcte/\\xff.jpg", "esc\\u{1b}[31mred\\u{7}.jpg", "line\\nbreak.jpg"] {
        assert!(ended.stdout.contains(name), "{name}: {}", ended.stdout);
    }
    assert!(!(ended.stdout + &told.stderr).contains(|c: char| c.is_control() && c != '\n'));

    let answers = place.run(["search", "--json"], [&place.photos(), &query]).expect_code(exit::DONE).json();
    let bytes = |value: &Value, name: &str| match &value[format!("{name}_bytes")] {
        Value::String(base64) => bytes_to_path(Base64::decode(base64, &mut vec![0; base64.len()]).unwrap()),
        _ => PathBuf::from(value[name].as_str().unwrap()),
    };
    assert_eq!(bytes(&answers[0], "query"), query);
    let first = &answers[0]["results"][0];
    assert_eq!(bytes(first, "path"), place.photos().canonicalize().unwrap().join(&names[0]));
    assert_eq!(bytes(first, "label"), bytes_to_path(b"bl\xfcte"));
    assert!(answers[0]["results"][1].get("path_bytes").is_none(), "{answers}");
    let status = place.run(["status", "--json"], [place.photos()]).expect_code(exit::DONE).json();
    assert_eq!(bytes(&status["problems"][0], "path"), bytes_to_path(b"\x1b]0;title\xfe.jpg"));
}

/// While another process holds the catalog, a change of the model waits for it and hears no stop.
#[cfg(target_os = "linux")]
#[test]
fn a_second_interrupt_ends_what_does_not_hear_the_first() {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{Pid, Signal, kill_process};

    let place = indexed();
    let held = place.sql();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut command = Command::new(BINARY);
    command.args(["models", "use", BUILT_IN]).arg(place.photos()).arg("--data-dir").arg(place.data());
    let mut program = plain(&mut command).stderr(std::process::Stdio::null()).spawn().unwrap();
    let ended = loop {
        // Before it catches interrupts the first one would end it.
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & 1 << (Signal::INT.as_raw() - 1) != 0 {
            kill_process(Pid::from_child(&program), Signal::INT).unwrap();
        }
        if let Some(ended) = program.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    drop(held);
    assert_eq!(ended.signal(), Some(Signal::TERM.as_raw()), "{ended}");
}

#[test]
fn a_search_tells_when_and_where_a_photo_was_taken_also_of_a_library_of_before() {
    let place = Place::empty();
    let field = |tag, value| Field { tag, ifd_num: In::PRIMARY, value };
    let text = |text: &str| ExifValue::Ascii(vec![text.as_bytes().to_vec()]);
    let angle = |numbers: [u32; 3]| ExifValue::Rational(numbers.map(|num| Rational { num, denom: 1 }).to_vec());
    let fields = [
        field(Tag::Make, text("Canon")),
        field(Tag::Model, text("Canon EOS R5")),
        field(Tag::DateTimeOriginal, text("2023:07:01 18:30:00")),
        field(Tag::OffsetTimeOriginal, text("+02:00")),
        field(Tag::GPSLatitudeRef, text("N")),
        field(Tag::GPSLatitude, angle([51, 30, 0])),
        field(Tag::GPSLongitudeRef, text("W")),
        field(Tag::GPSLongitude, angle([0, 15, 0])),
    ];
    let camera = place.write("rose/IMG_20200101_000000.jpg", &described(&FLOWERS[0].jpeg, &fields, true));
    place.write("rose/IMG-20240512-WA0001.jpg", &FLOWERS[1].jpeg);
    place.write("rose/rose.jpg", &FLOWERS[2].jpeg);
    place.index().expect_code(exit::DONE);

    let found = |options: &[&str]| -> Vec<Value> {
        let options = [&["search", "--json"], options].concat();
        let answers = place.run(options, [&place.photos(), &camera]).expect_code(exit::DONE).json();
        answers[0]["results"].as_array().unwrap().clone()
    };
    let check = || {
        let all = found(&[]);
        assert_eq!(all.len(), 3);
        let first = &all[0];
        assert_eq!(first["taken"], "2023-07-01T18:30:00+02:00");
        assert_eq!(first["camera"], "Canon EOS R5");
        assert_eq!((&first["latitude"], &first["longitude"]), (&json!(51.5), &json!(-0.25)));
        assert!(first["width"].as_u64().unwrap() > 100 && first["height"].as_u64().unwrap() > 100);
        let taken = |name: &str| {
            let one = all.iter().find(|one| one["path"].as_str().unwrap().ends_with(name)).unwrap();
            one["taken"].clone()
        };
        assert_eq!([taken("WA0001.jpg"), taken("rose.jpg")], [json!("2024-05-12"), json!(null)]);
        assert_eq!(found(&["--from", "2024"]).len(), 1);
        assert_eq!(found(&["--to", "2023-07-01"]).len(), 1);
        assert_eq!(found(&["--from", "2023-07-02", "--to", "2024-04"]).len(), 0);
        assert_eq!(found(&["--from", "2023-07", "--to", "2024-05"]).len(), 2);
    };
    check();
    place.run(["search", "--from", "May"], [&place.photos(), &camera]).expect_code(exit::USAGE);

    // As a version left it that did not ask: nothing is embedded anew.
    let rows = embedding_rows(&place);
    place.sql().execute_batch("DELETE FROM metadata").unwrap();
    assert_eq!(index_again(&place), (3, 0));
    assert_eq!(embedding_rows(&place), rows);
    check();
}

//! Quick training from the command line, by the real binary on small folders.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, encode};
use florascope::cli::exit;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

/// A picture of stripes: their colour and width belong to the class; where they run, the paper and a stain to the number.
fn picture(class: usize, number: usize) -> Vec<u8> {
    let colours = [[200, 40, 40], [40, 40, 200], [220, 200, 40], [40, 160, 60]];
    let (colour, width) = (colours[class % 4], 4 + 5 * (class as u32 / 2));
    let (shift, stain) = (number as u32 * 3, (number as u32 * 17 % 50, number as u32 * 29 % 50));
    let (across, down) = [(2, 1), (1, 2), (2, 0), (0, 2), (1, 1)][number % 5];
    let paper = [[235, 235, 230], [30, 30, 40], [140, 90, 160], [90, 140, 130]][number % 4];
    let picture = RgbImage::from_fn(64, 64, |x, y| {
        if x.abs_diff(stain.0) + y.abs_diff(stain.1) < 9 {
            Rgb([number as u8 * 10, 120, 255 - number as u8 * 10])
        } else if (x * across + y * down + shift) / (width * 2) % 2 == 0 {
            Rgb(colour)
        } else {
            Rgb(paper)
        }
    });
    encode(&picture, ImageFormat::Jpeg)
}

/// So many photos in a folder for each class.
fn folders(photos: &[usize]) -> Place {
    let place = Place::empty();
    for (class, count) in photos.iter().enumerate() {
        for number in 0..*count {
            place.write(format!("class {class}/{number:02}.jpg"), &picture(class, number));
        }
    }
    place
}

/// Trains with `--json`: the events, the last of which is the result.
fn train(place: &Place, more: &[&str]) -> Vec<Value> {
    let options = ["train", "--json"].into_iter().chain(more.iter().copied());
    let ended = place.run(options, [place.photos()]).expect_code(exit::DONE);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn the_same_seed_gives_the_same_model_and_every_event_is_well_formed() {
    let place = folders(&[8, 8, 8]);
    let events = train(&place, &["--seed", "7"]);
    let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert!(of_kind("progress") > 3 && of_kind("curve") > 3, "{events:?}");
    assert_eq!(of_kind("proof"), 1);
    // One bar for all of the steps that it told.
    let steps = events.iter().rfind(|event| event["event"] == "steps").unwrap();
    assert_eq!(steps["steps"], serde_json::json!(["update", "cross_validate", "learn_from_all", "use"]));
    let done: Vec<f64> = events.iter().filter_map(|event| event["progress"]["overall"]["done"].as_f64()).collect();
    assert!(done.is_sorted() && done.last().is_some_and(|done| *done > 0.9), "{done:?}");
    // What it took is remembered for the next one.
    let taken: Value = serde_json::from_slice(&std::fs::read(place.data().join("trainings.json")).unwrap()).unwrap();
    let taken = taken.as_object().unwrap().values().next().unwrap();
    assert!(taken["photos"] == 24 && taken["steps"]["cross_validate"].as_f64().unwrap() > 0.0, "{taken}");
    let result = events.last().unwrap();
    let rows = result["proof"]["rows"].as_array().unwrap();
    assert_eq!(rows[0]["task"], "seen_species");
    assert!(rows[0]["queries"].as_u64().unwrap() >= 20);
    let id = |events: &[Value]| events.last().unwrap()["model"].as_str().unwrap().to_owned();
    assert!(id(&events).starts_with("quick-"));
    assert_eq!(id(&train(&place, &["--seed", "7"])), id(&events));
    assert_ne!(id(&train(&place, &["--seed", "8"])), id(&events));
}

#[test]
fn an_earlier_evaluation_counts_only_for_the_same_photos() {
    let place = folders(&[10, 10]);
    let evaluated =
        |options: &[&str]| train(&place, &[options, &["--epochs", "1"]].concat()).pop().unwrap()["proof"].clone();
    let first = evaluated(&["--use-anyway"]);
    // The model in use has learnt from all photos: what it reached before it had is what a new one is compared with.
    let again = evaluated(&["--seed", "1"]);
    assert_eq!(again["rows"][0]["before"], first["rows"][0]["after"]);
    assert_eq!((&again["dataset"], &again["before_is_flattered"]), (&first["dataset"], &Value::Bool(false)));
    place.write("class 0/new.jpg", &picture(0, 10));
    let changed = evaluated(&["--seed", "2"]);
    assert_ne!(changed["dataset"], first["dataset"]);
    assert_eq!(changed["before_is_flattered"], true);
}

#[test]
fn five_photos_are_too_few_and_it_says_so() {
    let place = folders(&[3, 2]);
    let ended = place.run(["train"], [place.photos()]).expect_code(exit::FAILED);
    assert!(ended.stderr.contains("Too few photos to learn from: 5"), "{}", ended.stderr);
}

/// What was told before the learning began.
fn notice(events: &[Value]) -> &str {
    let learns = |event: &Value| event["progress"]["stage"].as_str().is_some_and(|stage| stage.starts_with("training"));
    let first = events.iter().position(learns).unwrap_or(events.len());
    let notice = events[..first].iter().find(|event| event["event"] == "notice");
    notice.and_then(|event| event["text"].as_str()).unwrap_or_default()
}

#[test]
fn networks_train_on_the_smallest_folders_or_it_says_what_is_missing() {
    // The fewest photos that the window lets a training start on, and a species that is nearly all.
    for (recipe, photos) in [("full", vec![2; 5]), ("tutorial", vec![2; 5]), ("full", vec![9, 2])] {
        let events = train(&folders(&photos), &["--recipe", recipe, "--epochs", "1"]);
        let result = events.last().unwrap();
        assert!(result["model"].is_string(), "{recipe} on {photos:?}: {result}");
        assert_eq!(result["proof"]["rows"], Value::Array(Vec::new()), "{recipe} on {photos:?}: {result}");
        assert!(notice(&events).contains("used only if you choose it"), "{recipe} on {photos:?}: {events:?}");
    }
    let one_species = folders(&[12]);
    let refused = one_species.run(["train", "--recipe", "full"], [one_species.photos()]).expect_code(exit::FAILED);
    assert!(refused.stderr.contains("two photos or more in at least two of them"), "{}", refused.stderr);
}

#[test]
fn bursts_are_named_as_the_reason_why_nothing_is_measured() {
    let place = Place::empty();
    for (class, number) in (0..24).map(|photo| (photo % 2, photo / 2)) {
        let mut burst = image::load_from_memory(&picture(class, 0)).unwrap().into_rgb8();
        burst.put_pixel(number as u32, 0, Rgb([255, 255, 255]));
        place.write(format!("class {class}/{number:02}.jpg"), &encode(&burst, ImageFormat::Jpeg));
    }
    let ended = place.run(["train"], [place.photos()]).expect_code(exit::DONE);
    let words = "All photos of each species are one shot (more than 0.95 alike)";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(ended.stdout.starts_with(words), "{}", ended.stdout);
}

#[test]
fn two_classes_one_with_a_single_photo_beside_them_and_a_damaged_file_train() {
    let place = folders(&[7, 7, 1]);
    place.write("class 0/damaged.jpg", b"no picture");
    let events = train(&place, &[]);
    let result = events.last().unwrap();
    assert!(result["model"].as_str().unwrap().starts_with("quick-"));
    // Fourteen queries say nothing.
    assert_eq!(result["used"], false);
    assert_eq!(result["proof"]["verdict"], "too_few_photos", "{result}");
}

#[test]
fn a_photo_without_another_of_its_species_is_left_out_of_the_averages() {
    let place = folders(&[6, 6, 1]);
    place.index().expect_code(exit::DONE);
    let evaluated = |options: &[&str]| {
        place.run([&["evaluate", "--leave-one-out"], options].concat(), [place.photos()]).expect_code(exit::DONE)
    };
    let quality = evaluated(&["--json"]).json();
    assert_eq!((quality["queries"].as_u64(), quality["lone"].as_u64()), (Some(12), Some(1)), "{quality}");
    let people = evaluated(&[]).stdout;
    assert!(
        people.contains("(12 queries, 1 left out, whose label no other photo has, 0 errors, 13 photos)"),
        "{people}"
    );
}

#[test]
fn a_folder_without_labels_and_one_with_a_single_class_are_measured_by_altered_views() {
    let flat = Place::empty();
    for number in 0..24 {
        flat.write(format!("{number:02}.jpg"), &picture(number % 4, number));
    }
    for place in [flat, folders(&[24])] {
        let events = train(&place, &[]);
        let rows = &events.last().unwrap()["proof"]["rows"];
        assert_eq!(rows[0]["task"], "altered_views", "{rows}");
    }
}

#[test]
fn every_loss_can_be_chosen() {
    let place = folders(&[6, 6]);
    let losses = [
        "random-triplet",
        "batch-hard-triplet",
        "semi-hard-triplet",
        "multi-similarity",
        "proxy-anchor",
        "normalised-softmax",
    ];
    let mut ids = Vec::new();
    for loss in losses {
        let events = train(&place, &["--loss", loss, "--epochs", "3"]);
        ids.push(events.last().unwrap()["model"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), losses.len());
}

#[test]
fn the_model_in_use_that_comes_out_once_more_keeps_what_was_measured_first() {
    let place = Place::empty();
    for number in 0..24 {
        place.write(format!("{number:02}.jpg"), &picture(number % 4, number));
    }
    train(&place, &["--use-anyway"]);
    let models = || place.run(["models", "list", "--json"], [""; 0]).expect_code(exit::DONE).json();
    let before = models();
    let again = train(&place, &[]);
    let result = again.last().unwrap();
    assert_eq!(result["proof"]["verdict"], "same_model", "{result}");
    assert_eq!(result["used"], false);
    assert_eq!(models(), before);
}

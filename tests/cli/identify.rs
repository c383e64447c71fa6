//! What is it: names by the nearest photos, and how far they can be trusted.

use std::sync::LazyLock;

use florascope::cli::exit;
use image::{ImageFormat, Rgb, RgbImage};

use super::common::{FLOWERS, Place, SPECIES, another_of, encode, many_drawings};

static DRAWINGS: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(many_drawings);

/// Enough photos of each species to measure how often a name is right.
fn named_library() -> Place {
    let place = Place::empty();
    for (number, (species, jpeg)) in DRAWINGS.iter().enumerate() {
        place.write(format!("{species}/{number}.jpg"), jpeg);
    }
    place.index().expect_code(exit::DONE);
    place
}

/// No flower.
fn test_card(number: u32) -> RgbImage {
    RgbImage::from_fn(400, 300, |x, y| Rgb([(x / (10 * number) * 36) as u8, 0, (y / 40 * 30) as u8]))
}

#[test]
fn a_photo_gets_its_name_and_a_stranger_none() {
    let place = named_library();
    let species = |number: usize| FLOWERS[number * FLOWERS.len() / SPECIES].species;
    let query = |name: &str, picture: &RgbImage| {
        let path = place.data().join(name);
        std::fs::write(&path, encode(picture, ImageFormat::Png)).unwrap();
        path
    };
    let flowers = [query("0.png", &another_of(0)), query("1.png", &another_of(1))];
    let identify = |options: &[&str], photos: &[&std::path::PathBuf]| {
        let options = [&["identify", "--json"], options].concat();
        let photos = photos.iter().map(|path| path.as_path());
        place.run(options, std::iter::once(place.photos().as_path()).chain(photos))
    };
    let answers = identify(&[], &[&flowers[0], &flowers[1]]).expect_code(exit::DONE).json();
    for number in 0..2 {
        let answer = &answers[number];
        assert_eq!(answer["names"][0]["name"], species(number), "{answer:#}");
        assert!(answer["names"][0]["photo"].as_str().unwrap().contains(species(number)), "{answer:#}");
        assert!(answer["measured"]["queries"].as_u64().unwrap() >= 40, "{answer:#}");
        assert!((0.0..1.0).contains(&answer["probability"].as_f64().unwrap()), "{answer:#}");
    }
    // It is measured once.
    let kept = "SELECT count(*) FROM facts WHERE name = 'calibration'";
    assert_eq!(place.sql().query_row(kept, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    // A test card is no flower.
    let card = query("card.png", &test_card(5));
    let answer = identify(&[], &[&card]).expect_code(exit::NOTHING_LIKE_IT).json();
    assert_eq!(answer[0]["verdict"], "nothing like it", "{answer:#}");
    // Photos of one plant have one answer.
    let together = identify(&["--together"], &[&flowers[0], &flowers[0]]).expect_code(exit::DONE).json();
    assert_eq!(together.as_array().unwrap().len(), 1);
    assert_eq!(together[0]["names"][0]["name"], species(0), "{together:#}");
    assert_eq!(together[0]["queries"].as_array().unwrap().len(), 2);
    // In words, with a file that is no photo.
    let paths = [place.photos(), flowers[0].clone(), place.data().join("none.jpg")];
    let told = place.run(["identify"], paths).expect_code(exit::WITH_PROBLEMS);
    assert!(told.stdout.contains(species(0)) && told.stdout.contains("right in"), "{}", told.stdout);
}

#[test]
fn answers_are_measured() {
    let place = named_library();
    let strangers = place.data().join("strangers");
    std::fs::create_dir(&strangers).unwrap();
    for number in 1..=5 {
        std::fs::write(strangers.join(format!("{number}.png")), encode(&test_card(number), ImageFormat::Png)).unwrap();
    }
    let options = ["evaluate", "--identify", "--leave-one-out", "--json", "--strangers", strangers.to_str().unwrap()];
    let measured = place.run(options, [place.photos()]);
    let measured = measured.expect_code(exit::DONE).json();
    assert_eq!(measured["queries"], DRAWINGS.len());
    let number = |name: &str| measured[name].as_f64().unwrap();
    assert!(number("accuracy") > 0.9 && number("coverage") > 0.9, "{measured:#}");
    assert!(number("auroc_strangers") > 0.9 && number("strangers_refused") > 0.9, "{measured:#}");
    // Half of these species are too few photos.
    assert!(measured["auroc_unknown_species"].is_null());
    assert!(number("calibration_error") < 0.1, "{measured:#}");
    let told =
        place.run(["evaluate", "--identify", "--leave-one-out"], [place.photos()]).expect_code(exit::DONE).stdout;
    assert!(told.contains("Named rightly") && told.contains("(40 queries, 0 errors)"), "{told}");
}

#[test]
fn without_names_or_enough_photos_it_says_so() {
    let place = Place::empty();
    place.write("2024-05-12/1.jpg", &FLOWERS[0].jpeg);
    place.index().expect_code(exit::DONE);
    let query = place.photos().join("2024-05-12/1.jpg");
    let none = place.run(["identify"], [&place.photos(), &query]).expect_code(exit::FAILED);
    assert!(none.stderr.contains("No photo of this folder has a name"), "{}", none.stderr);
    let few = super::indexed();
    let answer =
        few.run(["identify", "--json"], [&few.photos(), &super::first_photo(&few)]).expect_code(exit::DONE).json();
    assert_eq!(
        (&answer[0]["verdict"], &answer[0]["names"][0]["name"]),
        (&"unmeasured".into(), &FLOWERS[0].species.into())
    );
    assert!(answer[0]["probability"].is_null());
}

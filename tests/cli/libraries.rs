//! Libraries as a whole: listed, forgotten, cleaned up; and folders that are elsewhere now.

use std::path::{Path, PathBuf};

use florascope::artefact::BUILT_IN;
use florascope::catalog::Catalog;
use florascope::cli::exit;
use florascope::library::DataFolder;
use serde_json::{Value, json};

use super::common::{PHOTOS, Place, listing};
use super::{NONE, embedding_rows, first_photo, indexed};

fn libraries(place: &Place, arguments: &[&str]) -> Value {
    place.run([&["libraries"], arguments, &["--json"]].concat(), NONE).expect_code(exit::DONE).json()
}

fn beside(place: &Place, name: &str) -> PathBuf {
    place.photos().parent().unwrap().canonicalize().unwrap().join(name)
}

/// Gives the user's folder another name.
fn rename(place: &Place, name: &str) -> PathBuf {
    std::fs::rename(place.photos(), beside(place, name)).unwrap();
    beside(place, name)
}

#[test]
fn libraries_are_listed_and_one_is_forgotten_while_its_photos_stay() {
    let place = indexed();
    let [root, second] = ["photos", "second"].map(|name| beside(&place, name));
    std::fs::create_dir(&second).unwrap();
    place.run(["index"], [&second]).expect_code(exit::DONE);
    let listed = libraries(&place, &["list"]);
    let of = |key: &str| listed.as_array().unwrap().iter().map(|one| one[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("folder"), [&second, &root].map(|path| json!(path)), "the last one first");
    assert_eq!(of("photos"), [0, PHOTOS]);
    assert_eq!(of("model"), [BUILT_IN; 2]);
    assert_eq!((of("folder_exists"), of("in_use")), (vec![json!(true); 2], vec![json!(false); 2]));
    assert!(of("bytes")[1].as_u64().unwrap() > 10_000 && of("opened")[1].as_u64().unwrap() > 1_700_000_000);
    let text = place.run(["libraries", "list"], NONE).expect_code(exit::DONE).stdout;
    let line = text.lines().nth(1).unwrap();
    assert!(line.starts_with(&format!("{PHOTOS} photos, ")) && line.contains("Flowers, used 20"), "{line}");
    assert!(line.ends_with(root.to_str().unwrap()), "{line}");

    let before = listing(&root);
    let lock = place.library().lock().unwrap();
    let refused = place.run(["libraries", "forget"], [&root]).expect_code(exit::IN_USE);
    assert!(refused.stderr.starts_with("Another Florascope"), "{}", refused.stderr);
    drop(lock);
    let forgotten = place.run(["libraries", "forget", "--json"], [&root]).expect_code(exit::DONE).json();
    assert_eq!(forgotten["forgotten"], json!(root));
    assert_eq!(forgotten["bytes"], of("bytes")[1]);
    assert_eq!(listing(&root), before);
    assert_eq!(libraries(&place, &["list"]).as_array().unwrap().len(), 1);
    place.run(["status"], [&root]).expect_code(exit::NOT_INDEXED);
    // Also where the folder is gone.
    std::fs::remove_dir(&second).unwrap();
    assert_eq!(libraries(&place, &["list"])[0]["folder_exists"], false);
    place.run(["libraries", "forget"], [&second]).expect_code(exit::DONE);
    let again = place.run(["libraries", "forget"], [&second]).expect_code(exit::NOT_INDEXED);
    assert!(again.stderr.starts_with("No library belongs to this folder"), "{}", again.stderr);
    assert_eq!(std::fs::read_dir(place.data().join("libraries")).unwrap().count(), 0);
    assert_eq!(place.run(["libraries", "list"], NONE).stdout, "No folder has been indexed yet\n");
}

#[test]
fn what_no_library_uses_is_cleaned_up_and_what_one_uses_stays() {
    let place = Place::with_flowers();
    let ended = place.run(["train", "--json", "--recipe", "quick", "--use-anyway"], [place.photos()]);
    let last = ended.expect_code(exit::DONE).stdout.lines().last().unwrap().to_owned();
    let id = serde_json::from_str::<Value>(&last).unwrap()["model"].as_str().unwrap().to_owned();
    let embedded = || place.catalog().unwrap().models().unwrap();
    // Besides the head's embeddings and the features of its backbone, those of the built-in model.
    assert_eq!(embedded().len(), 3);
    assert!(libraries(&place, &["clean", "--models"])["bytes"].as_u64().unwrap() > 0);
    assert_eq!(libraries(&place, &["clean", "--models"])["bytes"], 0);
    assert_eq!(embedded().len(), 2);

    place.run(["models", "use", BUILT_IN], [place.photos()]).expect_code(exit::DONE);
    let told = libraries(&place, &["clean", "--models", "--dry-run"]);
    assert_eq!(
        (&told["models"][0]["id"], &told["embeddings"][0]["folder"]),
        (&json!(id), &json!(place.library().root))
    );
    assert_eq!(embedded().len(), 3, "told, not done");
    // Another writes the library: its embeddings stay.
    let lock = place.library().lock().unwrap();
    assert_eq!(libraries(&place, &["clean"])["embeddings"], json!([]));
    drop(lock);
    let cleaned = libraries(&place, &["clean"]);
    assert_eq!((&cleaned["models"], embedded().len()), (&json!([]), 2));
    assert!(cleaned["bytes"].as_u64().unwrap() > 0, "{cleaned}");
    // A library that cannot be read may use any model.
    let broken = place.data().join("libraries/broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("root"), b"/broken").unwrap();
    std::fs::write(broken.join("catalog.sqlite"), [7; 5000]).unwrap();
    assert_eq!(libraries(&place, &["clean", "--models"])["models"], json!([]));
    std::fs::remove_dir_all(&broken).unwrap();

    let cleaned = libraries(&place, &["clean", "--models"]);
    assert_eq!(cleaned["models"][0]["id"], id);
    assert_eq!(cleaned["bytes"], cleaned["models"][0]["bytes"]);
    assert!(!place.data().join("models").join(format!("{id}.safetensors")).exists());
    assert_eq!(place.index().expect_code(exit::DONE).json()["photos"], PHOTOS);
}

#[test]
fn a_renamed_folder_goes_on_with_its_index_and_nothing_is_computed_again() {
    let place = indexed();
    let (rows, library) = (embedding_rows(&place), place.library());
    let old = beside(&place, "photos");
    let moved = rename(&place, "Garden 花园");
    // Asking changes nothing, but says what to do.
    let search = place.run(["search"], [&moved, &moved.join("none")]).expect_code(exit::NOT_INDEXED);
    let hint = format!("(This looks like photos, which was at {})", old.display());
    assert!(search.stderr.starts_with("Not indexed yet") && search.stderr.contains(&hint), "{}", search.stderr);

    let ended = place.run(["index", "--json"], [&moved]).expect_code(exit::DONE);
    assert!(ended.stderr.starts_with("This looks like photos, which was at"), "{}", ended.stderr);
    assert_eq!((&ended.json()["photos"], &ended.json()["read"]), (&json!(PHOTOS), &json!(0)));
    let data = DataFolder::open(Some(place.data())).unwrap();
    let now = data.library(&moved).unwrap();
    assert_eq!(now.folder, library.folder);
    assert_eq!(std::fs::read_dir(place.data().join("libraries")).unwrap().count(), 1);
    assert_eq!(Catalog::open_read_only(&now.folder).unwrap().unwrap().photo_count().unwrap(), PHOTOS as u64);
    // The second time there is nothing to say.
    let ended = place.run(["index", "--json"], [&moved]).expect_code(exit::DONE);
    assert_eq!((ended.json()["read"].clone(), ended.stderr.as_str()), (json!(0), ""));
    // And back again.
    std::fs::rename(&moved, &old).unwrap();
    assert_eq!(place.index().expect_code(exit::DONE).json()["read"], 0);
    assert_eq!(embedding_rows(&place), rows);
}

#[test]
fn a_copy_and_a_folder_that_is_to_begin_anew_get_libraries_of_their_own() {
    let place = indexed();
    let copy = beside(&place, "copy");
    let copied = std::process::Command::new("cp").arg("-a").args([&place.photos(), &copy]).status().unwrap();
    assert!(copied.success());
    assert_eq!(place.run(["index", "--json"], [&copy]).expect_code(exit::DONE).json()["read"], PHOTOS);
    let moved = rename(&place, "moved");
    let ended = place.run(["index", "--json", "--anew"], [&moved]).expect_code(exit::DONE);
    assert_eq!((ended.json()["read"].clone(), ended.stderr.as_str()), (json!(PHOTOS), ""));
    let listed = libraries(&place, &["list"]);
    let here: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["folder_exists"].as_bool().unwrap()).collect();
    assert_eq!(here, [true, true, false]);
}

#[test]
fn a_moved_library_that_another_writes_is_left_to_it() {
    let place = indexed();
    let lock = place.library().lock().unwrap();
    let moved = rename(&place, "moved");
    let refused = place.run(["index"], [&moved]).expect_code(exit::IN_USE);
    assert!(refused.stderr.contains(beside(&place, "photos").to_str().unwrap()), "{}", refused.stderr);
    drop(lock);
    let photo = Path::new("moved").join(first_photo(&place).strip_prefix(place.photos()).unwrap());
    place.run(["index"], [&moved]).expect_code(exit::DONE);
    place.run(["search"], [&moved, &beside(&place, "").join(photo)]).expect_code(exit::DONE);
}

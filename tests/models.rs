//! Models from outside: trained, listed, exported, deleted, imported and used by the real binary on a small folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};

use common::{Ended, PHOTOS, Place};
use florascope::artefact::{BUILT_IN, GENERAL, Model};
use florascope::cli::exit;
use serde_json::{Value, json};

const NONE: [&str; 0] = [];
/// A state dict as PyTorch writes it, but of no network that is known.
const STATE_DICT: &[u8] = include_bytes!("data/state_dict.pt");

/// Trains quickly on the folder; the lines of JSON that it tells, the last of which names the model.
fn train(place: &Place, options: &[&str]) -> Vec<Value> {
    let options = [&["train", "--json", "--recipe", "quick"], options].concat();
    let ended = place.run(options, [place.photos()]).expect_code(exit::DONE);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn trained_id(place: &Place, options: &[&str]) -> String {
    train(place, options).pop().unwrap()["model"].as_str().unwrap().to_owned()
}

fn models(place: &Place, arguments: &[&str]) -> Ended {
    place.run([&["models"], arguments].concat(), NONE)
}

fn ids(place: &Place) -> Vec<String> {
    let listed = models(place, &["list", "--json"]).expect_code(exit::DONE).json();
    listed.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

fn file(place: &Place, name: &str) -> (PathBuf, String) {
    let path = place.photos().parent().unwrap().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

fn use_model(place: &Place, id: &str) -> Ended {
    place.run(["models", "use", id], [place.photos()])
}

/// The most similar photos to the first one, with their similarities.
fn search(place: &Place) -> Value {
    let photo = place.photos().join(common::FLOWERS[0].species).join(&common::FLOWERS[0].name);
    place.run(["search", "--json"], [place.photos(), photo]).expect_code(exit::DONE).json()
}

#[test]
fn a_model_is_trained_listed_exported_deleted_imported_and_used() {
    let place = Place::with_flowers();
    assert_eq!(ids(&place), [BUILT_IN, GENERAL]);
    let lines = train(&place, &["--use-anyway"]);
    let (last, events) = lines.split_last().unwrap();
    let id = last["model"].as_str().unwrap();
    assert!(id.starts_with("quick-") && last["used"] == true && last["seconds"].is_f64(), "{last}");
    for kind in ["progress", "proof"] {
        assert!(events.iter().any(|event| event["event"] == kind), "{kind}: {events:?}");
    }
    assert_eq!(ids(&place), [BUILT_IN, GENERAL, id]);
    let listed = models(&place, &["list", "--json"]).json()[2].clone();
    assert_eq!(listed["card"]["trained"]["photos"], PHOTOS);
    assert!(listed["bytes"].as_u64().unwrap() > 1000);
    let for_people = models(&place, &["list"]).stdout;
    assert!(for_people.lines().nth(2).unwrap().starts_with(id), "{for_people}");

    // Renamed, and with that on its way.
    models(&place, &["rename", id, "Roses\nof Ann"]).expect_code(exit::DONE);
    let (path, text) = file(&place, "roses.safetensors");
    models(&place, &["export", id, &text]).expect_code(exit::DONE);

    // In use, it is not deleted.
    let refused = models(&place, &["delete", id]).expect_code(exit::FAILED);
    assert!(refused.stderr.starts_with("This model is in use"), "{}", refused.stderr);
    assert!(refused.stderr.contains(place.photos().canonicalize().unwrap().to_str().unwrap()), "{}", refused.stderr);
    let with_model = search(&place);
    use_model(&place, BUILT_IN).expect_code(exit::DONE);
    assert_ne!(search(&place), with_model);
    models(&place, &["delete", id]).expect_code(exit::DONE);
    assert_eq!(ids(&place), [BUILT_IN, GENERAL]);

    let imported = models(&place, &["import", "--json", &text]).expect_code(exit::DONE).json();
    assert_eq!((&imported["id"], &imported["card"]["title"]), (&json!(id), &json!("Roses of Ann")));
    use_model(&place, id).expect_code(exit::DONE);
    let found = |answer: &Value| {
        let results = answer[0]["results"].as_array().unwrap().clone();
        results
            .into_iter()
            .map(|hit| (hit["path"].clone(), (hit["similarity"].as_f64().unwrap() * 1e5).round()))
            .collect()
    };
    let [before, after]: [Vec<(Value, f64)>; 2] = [found(&with_model), found(&search(&place))];
    assert_eq!(after, before, "the same numbers, the same results");

    // Elsewhere, too.
    let elsewhere = Place::with_flowers();
    models(&elsewhere, &["import", &text]).expect_code(exit::DONE);
    use_model(&elsewhere, id).expect_code(exit::DONE);
    let similarity = |answer: &Value| answer[0]["results"][1]["similarity"].as_f64().unwrap();
    let (there, here) = (similarity(&search(&elsewhere)), similarity(&with_model));
    assert!((there - here).abs() < 1e-3, "{there} {here}");
    assert!(path.exists());
}

#[test]
fn models_are_compared_on_the_photos_of_a_folder() {
    let place = Place::with_flowers();
    let id = trained_id(&place, &["--use-anyway"]);
    let compare = |ids: &[&str], json: bool| {
        let folder = place.photos().to_str().unwrap().to_owned();
        let mut arguments = vec!["compare", &folder];
        arguments.extend(ids);
        arguments.extend(json.then_some("--json"));
        models(&place, &arguments)
    };
    let rows = compare(&[BUILT_IN, &id], true).expect_code(exit::DONE).json();
    assert_eq!([&rows[0]["model"], &rows[1]["model"]], [BUILT_IN, &id]);
    assert_eq!([&rows[0]["has_learnt_these"], &rows[1]["has_learnt_these"]], [false, true]);
    for row in rows.as_array().unwrap() {
        assert_eq!(row["queries"], PHOTOS);
        assert!(row["photos_a_second"].as_f64().unwrap() > 0.1, "{row}");
        let recall = row["score"]["recall_at_1"].clone();
        let [low, value, high] = ["low", "value", "high"].map(|part| recall[part].as_f64().unwrap());
        assert!(0.0 <= low && low <= value && value <= high && high <= 1.0 && value > 0.0, "{row}");
    }
    let for_people = compare(&[&id], false).expect_code(exit::DONE).stdout;
    assert!(for_people.contains("MAP@R") && for_people.contains("trained on these photos"), "{for_people}");
    // Nothing was changed: the model in use answers as before.
    assert_eq!(ids(&place), [BUILT_IN, GENERAL, &id]);
    let unknown = compare(&["no-such-model"], false).expect_code(exit::FAILED);
    assert!(unknown.stderr.contains("no-such-model"), "{}", unknown.stderr);
}

#[test]
fn the_same_seed_gives_the_same_model() {
    let (one, two) = (Place::with_flowers(), Place::with_flowers());
    let id = trained_id(&one, &["--seed", "7"]);
    assert_eq!(trained_id(&two, &["--seed", "7"]), id);
    assert_ne!(trained_id(&two, &["--seed", "8"]), id);
}

#[test]
fn wrong_files_and_names_are_told_apart() {
    let place = Place::with_flowers();
    let import = |name: &str, bytes: &[u8]| {
        let (path, text) = file(&place, name);
        std::fs::write(path, bytes).unwrap();
        let ended = models(&place, &["import", &text]).expect_code(exit::FAILED);
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
        ended.stderr
    };
    let expected = "Florascope reads .safetensors files and PyTorch's state dicts (.pt, .pth)";
    for (name, bytes, what) in [
        ("page.pth", &b"<html>"[..], "a web page; the download may have failed"),
        ("empty.pt", b"", "an empty file"),
        ("notes.txt", b"roses are red", "something else"),
    ] {
        let found = import(name, bytes);
        assert!(found.contains(what) && found.contains(expected), "{found}");
    }
    let unknown = import("mine.pt", STATE_DICT);
    assert!(unknown.contains("unknown network (first names: turned, part, half)"), "{unknown}");
    assert!(unknown.contains("ResNet18, 34 and 50"), "{unknown}");
    // What another program would run.
    let ran = file(&place, "ran").0;
    let shell = format!("cos\nsystem\n(S'touch {}'\ntR.", ran.display());
    assert!(import("shell.pt", &in_zip(shell.as_bytes())).contains("wants to call os.system"));
    assert!(!ran.exists());
    let cut = import("cut.pt", &STATE_DICT[..STATE_DICT.len() / 2]);
    assert!(cut.contains("damaged"), "{cut}");
    // A model of ours that is damaged is not taken for another program's weights.
    let id = trained_id(&place, &[]);
    let (path, text) = file(&place, "own.safetensors");
    models(&place, &["export", &id, &text]).expect_code(exit::DONE);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(import("own.safetensors", &bytes).contains("its numbers are not those that were saved"));
    assert_eq!(ids(&place), [BUILT_IN, GENERAL, &id]);

    for arguments in [
        &["use", "quick-0", place.photos().to_str().unwrap()][..],
        &["rename", "quick-0", "x"],
        &["delete", "../../settings"],
        &["export", "quick-0", "/tmp/x"],
    ] {
        let ended = models(&place, arguments).expect_code(exit::FAILED);
        assert!(ended.stderr.starts_with("There is no model "), "{arguments:?}: {}", ended.stderr);
    }
    for arguments in [&["delete", BUILT_IN][..], &["rename", BUILT_IN, "x"], &["export", BUILT_IN, "/tmp/x"]] {
        let ended = models(&place, arguments).expect_code(exit::FAILED);
        assert!(ended.stderr.starts_with("The built-in model is part of"), "{arguments:?}: {}", ended.stderr);
    }
    let ended = models(&place, &["export", &id, "/nowhere/x"]).expect_code(exit::FAILED);
    assert!(ended.stderr.contains("/nowhere/x"), "{}", ended.stderr);
    models(&place, &["rename", &id, " "]).expect_code(exit::FAILED);
    models(&place, &["polish"]).expect_code(exit::USAGE);
    for options in [["--epochs", "0"], ["--loss", "guess"], ["--recipe", "slow"], ["--seed", "-1"]] {
        place.run([&["train"], &options[..]].concat(), [place.photos()]).expect_code(exit::USAGE);
    }
}

#[test]
fn a_folder_that_is_open_elsewhere_is_left_alone() {
    let place = Place::with_flowers();
    let id = trained_id(&place, &[]);
    let lock = place.library().lock().unwrap();
    assert!(lock.is_some());
    let ended = use_model(&place, &id).expect_code(exit::IN_USE);
    assert!(ended.stderr.contains("choose the model there"), "{}", ended.stderr);
    let ended = place.run(["train", "--recipe", "quick"], [place.photos()]).expect_code(exit::IN_USE);
    assert!(ended.stderr.contains("train there"), "{}", ended.stderr);
}

/// Rows of embeddings by model, and the bytes of the catalog's file.
fn kept(place: &Place) -> (Vec<(String, i64)>, u64) {
    let sql = place.sql();
    let count =
        "SELECT name, count(content) FROM models LEFT JOIN embeddings ON model = id GROUP BY name ORDER BY name";
    let mut statement = sql.prepare(count).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    (rows, std::fs::metadata(place.library().folder.join("catalog.sqlite")).unwrap().len())
}

#[test]
fn what_no_model_needs_any_more_goes_and_the_file_shrinks() {
    let place = Place::with_flowers();
    let id = trained_id(&place, &["--use-anyway"]);
    use_model(&place, BUILT_IN).expect_code(exit::DONE);
    let photos = PHOTOS as i64;
    let (rows, with_head) = kept(&place);
    let with = |name: &str| (name.to_owned(), photos);
    let backbone = Model::built_in().card.backbone.clone();
    assert_eq!(rows, [with(&backbone), with(BUILT_IN), with(&id)], "the model is still there to be used");

    // While the folder of models cannot be read, nothing is taken for gone.
    let (models_folder, hidden) = (place.data().join("models"), place.data().join("hidden"));
    std::fs::rename(&models_folder, &hidden).unwrap();
    place.index().expect_code(exit::DONE);
    assert_eq!(kept(&place).0, rows);
    std::fs::rename(&hidden, &models_folder).unwrap();

    models(&place, &["delete", &id]).expect_code(exit::DONE);
    let (rows, without) = kept(&place);
    assert_eq!(rows, [with(&backbone), with(BUILT_IN)], "the backbone is another model's, too");
    assert!(without < with_head, "{with_head} -> {without} bytes");

    // A model that was deleted while somebody else had the folder open goes when it is next indexed.
    let id = trained_id(&place, &["--use-anyway"]);
    use_model(&place, BUILT_IN).expect_code(exit::DONE);
    let lock = place.library().lock().unwrap();
    models(&place, &["delete", &id]).expect_code(exit::DONE);
    assert_eq!(kept(&place).0.len(), 3);
    drop(lock);
    place.index().expect_code(exit::DONE);
    assert_eq!(kept(&place).0, [with(&backbone), with(BUILT_IN)]);
}

/// A library as the versions left it in which the general network was the built-in model.
fn with_older_default() -> Place {
    let place = Place::with_flowers();
    place.index().expect_code(exit::DONE);
    use_model(&place, GENERAL).expect_code(exit::DONE);
    let forget = "DELETE FROM facts WHERE name IN ('model in use', 'model wanted');
        DELETE FROM embeddings WHERE model <> (SELECT id FROM models WHERE name = 'GENERAL');
        DELETE FROM models WHERE name <> 'GENERAL'";
    place.sql().execute_batch(&forget.replace("GENERAL", GENERAL)).unwrap();
    place
}

#[test]
fn a_library_of_an_older_version_is_embedded_anew_with_what_is_built_in_now() {
    let place = with_older_default();
    let before = search(&place);
    assert_eq!(kept(&place).0, [(GENERAL.to_owned(), PHOTOS as i64)], "a search writes nothing");
    place.index().expect_code(exit::DONE);
    let with_built_in = search(&place);
    assert_ne!(with_built_in, before);
    let rows = kept(&place).0;
    assert_eq!(
        rows.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        [Model::built_in().card.backbone.as_str(), BUILT_IN]
    );
    // The general one stays where somebody chooses it.
    use_model(&place, GENERAL).expect_code(exit::DONE);
    assert_eq!(search(&place), before);
    place.index().expect_code(exit::DONE);
    assert_eq!(search(&place), before);
}

#[test]
fn a_model_in_half_the_bits_is_another_one_that_finds_the_same() {
    let place = Place::with_flowers();
    let id = trained_id(&place, &["--use-anyway"]);
    let (whole, half) = (file(&place, "whole.safetensors"), file(&place, "half.safetensors"));
    models(&place, &["export", &id, &whole.1]).expect_code(exit::DONE);
    let told = models(&place, &["export", "--half", "--json", &id, &half.1]).expect_code(exit::DONE).json();
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&half.0) < size(&whole.0) * 6 / 10, "{} {}", size(&half.0), size(&whole.0));
    let imported = models(&place, &["import", "--json", &half.1]).expect_code(exit::DONE).json();
    assert_eq!(imported["id"], told["id"]);
    assert_ne!(imported["id"], json!(id));
    let before = search(&place);
    use_model(&place, imported["id"].as_str().unwrap()).expect_code(exit::DONE);
    let similarity = |answer: &Value| answer[0]["results"][1]["similarity"].as_f64().unwrap();
    let (whole, half) = (similarity(&before), similarity(&search(&place)));
    assert!((whole - half).abs() < 0.01, "{whole} {half}");
}

#[test]
fn a_folder_that_is_gone_keeps_no_model() {
    let place = Place::with_flowers();
    let id = trained_id(&place, &["--use-anyway"]);
    let away = file(&place, "away").0;
    std::fs::rename(place.photos(), &away).unwrap();
    let ended = models(&place, &["delete", &id]).expect_code(exit::DONE);
    assert!(ended.stderr.contains("The built-in model will be used for"), "{}", ended.stderr);
    // It comes back to the built-in model.
    std::fs::rename(&away, place.photos()).unwrap();
    assert_eq!(place.index().expect_code(exit::DONE).json()["photos"], PHOTOS);
    assert_eq!(search(&place)[0]["results"].as_array().unwrap().len(), 10);
}

/// An archive as `torch.save` makes it, of this pickle alone.
fn in_zip(pickle: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"archive/data.pkl";
    let checksum = !pickle.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    });
    let length = (pickle.len() as u32).to_le_bytes();
    let name_length = (NAME.len() as u16).to_le_bytes();
    // Version, flags, stored, time, date; then what both headers share.
    let shared = [&[0; 10][..], &checksum.to_le_bytes(), &length, &length, &name_length, &[0; 2]].concat();
    let local = [&b"PK\x03\x04"[..], &shared, NAME, pickle].concat();
    let central = [&b"PK\x01\x02\0\0"[..], &shared, &[0; 14], NAME].concat();
    let (start, size) = ((local.len() as u32).to_le_bytes(), (central.len() as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &size, &start, &[0; 2]].concat();
    [local, central, end].concat()
}

/// `FLORASCOPE_WEIGHTS=FILE cargo test --test models -- --ignored`: a published file of weights, end to end.
#[test]
#[ignore = "needs a file of weights"]
fn published_weights_are_taken_in_and_answer() {
    let weights = PathBuf::from(std::env::var_os("FLORASCOPE_WEIGHTS").unwrap());
    let place = Place::with_flowers();
    let imported = place.run(["models", "import", "--json"], [&weights]).expect_code(exit::DONE).json();
    let id = imported["id"].as_str().unwrap();
    use_model(&place, id).expect_code(exit::DONE);
    assert_eq!(
        search(&place)[0]["results"][0]["path"],
        place.photos().canonicalize().unwrap().join(first()).to_str().unwrap()
    );
}

fn first() -> PathBuf {
    Path::new(common::FLOWERS[0].species).join(&common::FLOWERS[0].name)
}

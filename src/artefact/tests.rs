use std::collections::HashMap;
use std::path::Path;

use super::card::{DESCRIPTION, Description, FORMAT};
use super::pack::Ids;
use super::*;
use crate::model::HeadPart;

/// A head on the general network.
pub(super) fn head(weight: f32) -> Head {
    let inputs = Architecture::EfficientNetLite0.dimension();
    let matrix = (0..2 * inputs).map(|i| i as f32 / 1000.0).collect();
    Head { parts: vec![HeadPart { weight, power: 1.0, centre: vec![0.5; inputs], matrix }] }
}

pub(super) fn card(title: &str) -> Card {
    Card { title: title.into(), made: 7, ..Card::clone(&Model::general().card) }
}

pub(super) fn model(weight: f32) -> Model {
    Model::pack(card("Roses"), Vec::new(), Some(&head(weight))).unwrap()
}

pub(super) fn models() -> (tempfile::TempDir, ModelFolder) {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::new(folder.path().join("models"));
    (folder, models)
}

/// A file as another program might make it: these tensors under a description with true ids.
fn forged(format: u32, card: Card, tensors: &[NamedTensor]) -> Vec<u8> {
    let named = || tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let Ids { model, backbone } = Ids::of(&card, named());
    let description = Description { format, id: model, card: Card { backbone, ..card } };
    let metadata = HashMap::from([(DESCRIPTION.to_owned(), serde_json::to_string(&description).unwrap())]);
    safetensors::serialize(named(), Some(metadata)).unwrap()
}

fn tensors_of(model: &Model) -> Vec<NamedTensor> {
    let file = model.file.clone().unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let tensor = |(name, view): (&str, safetensors::tensor::TensorView)| NamedTensor {
        name: name.into(),
        shape: view.shape().to_vec(),
        values: floats(view.data()).collect(),
    };
    tensors.iter().map(tensor).collect()
}

#[test]
fn the_model_for_every_library_is_whole_and_small_and_says_how_it_was_made() {
    let model = Model::built_in();
    assert_eq!(model.id, BUILT_IN);
    assert!(include_bytes!("../../assets/flowers.safetensors").len() <= 14_000_000);
    model.check_backbone().unwrap();
    assert_eq!(model.dimension, 512);
    let trained = model.card.trained.as_ref().unwrap();
    assert_eq!((trained.options.recipe, trained.options.focus), (Recipe::Full, Focus::OtherSpecies));
    assert!(trained.options.learn_from_all);
    // Nothing of the computer that it was made on.
    assert_eq!(trained.folder, Path::new("/oxford102"));
    assert_eq!((trained.photos, trained.classes), (7370, 102));
}

#[test]
fn the_ids_follow_from_the_numbers() {
    assert_eq!(model(0.5).id, model(0.5).id);
    assert_ne!(model(0.5).id, model(0.25).id);
    let titled = Model::pack(card("Other"), Vec::new(), Some(&head(0.5))).unwrap();
    assert_eq!((&titled.id, titled.card.backbone.as_str()), (&model(0.5).id, GENERAL));
    let trained = TrainedBy { options: TrainOptions::default(), ..TrainedBy::default() };
    let trained = Card { trained: Some(trained), ..card("Trained") };
    assert!(Model::pack(trained, Vec::new(), Some(&head(0.5))).unwrap().id.starts_with("quick-"));
    // A network by itself goes by its backbone, with a head on it by both, and keeps the backbone's name.
    let weights = |value| vec![NamedTensor { name: "a".into(), shape: vec![1], values: vec![value] }];
    let bare = Model::pack(card("Bare"), weights(1.0), None).unwrap();
    assert!(bare.id.starts_with("efficientnet-lite0-"), "{}", bare.id);
    let with_head = |value| Model::pack(card("Whole"), weights(value), Some(&head(0.5))).unwrap();
    assert_eq!((&bare.card.backbone, &with_head(1.0).card.backbone), (&bare.id, &bare.id));
    assert_ne!(with_head(1.0).id, with_head(2.0).id);
    assert_eq!(with_head(1.0).backbone_tensors().unwrap(), weights(1.0));
    assert_eq!(model(0.5).backbone_tensors().unwrap(), []);
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let (folder, models) = models();
    let file = folder.path().join("x.safetensors");
    let import = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        models.import(&file).unwrap_err()
    };
    let error = import(b"no model").to_string();
    assert!(error.contains("not a safetensors file"), "{error}");
    let tensor = NamedTensor { name: "a".into(), shape: vec![1], values: vec![1.0] };
    let error = import(&safetensors::serialize([("a", &tensor)], None).unwrap());
    assert!(matches!(error, ArtefactError::NotOurs { .. }), "{error}");
    assert!(error.to_string().contains("it lacks Florascope's description"), "{error}");
    let newer = forged(FORMAT + 1, card("From tomorrow"), &tensors_of(&model(0.5)));
    assert!(matches!(import(&newer), ArtefactError::TooNew(_)));
    assert!(!folder.path().join("models").exists());
    for id in ["../x", "x", "", "a\0b"] {
        assert!(matches!(models.load(id), Err(ArtefactError::Unknown(_))), "{id}");
        assert!(matches!(models.delete(id), Err(ArtefactError::Unknown(_))), "{id}");
    }
}

#[test]
fn damage_is_seen_wherever_it_is() {
    let (folder, models) = models();
    let file = folder.path().join("x.safetensors");
    let whole = model(0.5).file.unwrap().to_vec();
    let refuses = |bytes: &[u8], what: &str| {
        std::fs::write(&file, bytes).unwrap();
        assert!(models.import(&file).is_err(), "{what}");
    };
    for at in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        // A changed letter of the title is no damage that could be seen, and does none.
        std::fs::write(&file, &flipped).unwrap();
        if let Ok(model) = models.import(&file) {
            assert_eq!(model.head().unwrap(), Some(head(0.5)), "byte {at}");
        }
    }
    for length in (0..whole.len()).step_by(101) {
        refuses(&whole[..length], &format!("cut off at {length}"));
    }
    refuses(&[&whole[..], b"x"].concat(), "something after its end");
    // In the folder, too.
    let saved = model(0.25);
    models.save(&saved).unwrap();
    let path = models.path(&saved.id);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = models.load(&saved.id).unwrap_err().to_string();
    assert!(error.contains("its numbers are not those that were saved"), "{error}");
    assert!(models.rename(&saved.id, "New").is_err());
    models.delete(&saved.id).unwrap();
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (folder, models) = models();
    let file = folder.path().join("x.safetensors");
    let message = |card: Card, tensors: &[NamedTensor]| {
        std::fs::write(&file, forged(FORMAT, card, tensors)).unwrap();
        let error = models.import(&file).unwrap_err();
        assert!(matches!(error, ArtefactError::Damaged { .. }), "{error}");
        error.to_string()
    };
    let good = tensors_of(&model(0.5));
    let position = |name: &str| good.iter().position(|tensor| tensor.name == name).unwrap();
    let changed = |name: &str, shape: &[usize]| {
        let mut tensors = good.clone();
        let values = vec![0.5; shape.iter().product()];
        tensors[position(name)] = NamedTensor { name: name.into(), shape: shape.to_vec(), values };
        tensors
    };
    let narrow = [changed("head.0.centre", &[512])[position("head.0.centre")].clone()];
    let mut narrow = [changed("head.0.matrix", &[2, 512]), narrow.to_vec()].concat();
    narrow.remove(position("head.0.centre"));
    let found = message(card("Narrow"), &narrow);
    assert!(found.contains("its head takes 512 numbers, but EfficientNet-Lite0 gives 1280"), "{found}");
    for (tensors, expected) in [
        (changed("head.0.matrix", &[2, 1281]), "do not fit each other"),
        (changed("head.0.matrix", &[0, 1280]), "do not fit each other"),
        (changed("head.0.matrix", &[2560]), "head.0.matrix has the shape [2560]"),
        (changed("head.0.weight", &[2]), "do not fit each other"),
        (good[1..].to_vec(), "the head lacks head.0."),
        (Vec::new(), "it holds no weights"),
    ] {
        let found = message(card("Wrong"), &tensors);
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let mut infinite = good.clone();
    infinite[position("head.0.matrix")].values[3] = f32::INFINITY;
    let found = message(card("Infinite"), &infinite);
    assert!(found.contains("head.0.matrix holds infinite or undefined numbers"), "{found}");
    let other = Card { architecture: Architecture::ResNet18, ..card("Other") };
    assert!(message(other.clone(), &good).contains("it lacks the weights of ResNet18"));
    let metric = Card { metric: Metric::Euclidean, ..card("Other") };
    assert!(message(metric, &good).contains("Euclidean"));
    // A backbone is opened to see whether it is whole.
    let weight = NamedTensor { name: "backbone.conv1.weight".into(), shape: vec![1], values: vec![1.0] };
    let found = message(other, &[weight]);
    assert!(found.contains("conv1.weight has the shape [1]; [64, 3, 7, 7] was expected"), "{found}");
    assert!(Model::pack(card("Bare"), Vec::new(), None).is_err(), "the built-in model by another name");
    assert!(!folder.path().join("models").exists());
}

#[test]
fn titles_are_short_lines_that_can_be_seen() {
    let packed = Model::pack(card("\u{1b}[31m\n"), Vec::new(), Some(&head(0.5))).unwrap();
    assert_eq!(packed.card.title, "[31m");
    let unnamed = Model::pack(card("\u{200b}"), Vec::new(), Some(&head(0.5))).unwrap();
    assert_eq!(unnamed.card.title, "EfficientNet-Lite0");
    let (_folder, models) = models();
    models.save(&packed).unwrap();
    assert!(matches!(models.rename(&packed.id, " \n"), Err(ArtefactError::NoTitle)));
    assert_eq!(models.rename(&packed.id, &"a".repeat(999)).unwrap().card.title.chars().count(), 60);
    // Nor does a file from elsewhere bring more.
    let foreign = forged(FORMAT, card("a\r\nb\u{202e}"), &tensors_of(&packed));
    assert_eq!(Model::from_bytes(foreign, Path::new("x")).unwrap().card.title, "a b");
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_no_text_is_told_as_near_as_possible() {
    let folder = crate::photo::bytes_to_path(b"/photos/r\xf6schen");
    let trained = TrainedBy { folder, ..TrainedBy::default() };
    let packed = Model::pack(Card { trained: Some(trained), ..card("Roses") }, Vec::new(), Some(&head(0.5))).unwrap();
    assert_eq!(packed.card.trained.as_ref().unwrap().folder, Path::new("/photos/r\u{fffd}schen"));
}

/// A file that version 0.1.0 wrote, of which every name in it is a promise.
#[test]
fn a_model_of_the_first_version_keeps_its_id_and_all_that_its_card_says() {
    let file = include_bytes!("../../tests/data/quick_model.safetensors");
    let model = Model::from_bytes(file.to_vec(), Path::new("x")).unwrap();
    assert_eq!(model.id, "quick-3b5c0f3a95ac");
    assert_eq!(model.card.title, format!("{} – Herbarium", Recipe::Quick.name()));
    let trained = model.card.trained.as_ref().unwrap();
    let options = TrainOptions {
        recipe: Recipe::Quick,
        loss: Some(Loss::MultiSimilarity),
        epochs: Some(3),
        seed: 7,
        focus: Focus::OnlyThese,
        start: Some(GENERAL.into()),
        learn_from_all: false,
    };
    assert_eq!(trained.options, options);
    let rows = &trained.evaluation.as_ref().unwrap().rows;
    let tasks = [Task::SeenSpecies, Task::UnseenSpecies, Task::AlteredViews];
    assert_eq!(rows.iter().map(|row| row.task).collect::<Vec<_>>(), tasks);
    assert_eq!(rows[0].after.recall_at_1, Interval { value: 0.875, low: 0.75, high: 0.9375 });
    // The other recipes give the same numbers other ids.
    for (recipe, id) in [(Recipe::Full, "full-3b5c0f3a95ac"), (Recipe::Tutorial, "tutorial-3b5c0f3a95ac")] {
        let trained = TrainedBy { options: TrainOptions { recipe, ..options.clone() }, ..trained.clone() };
        let card = Card { trained: Some(trained), ..Card::clone(&model.card) };
        assert_eq!(Model::pack(card, Vec::new(), model.head().unwrap().as_ref()).unwrap().id, id);
    }
}

/// What files, settings and checkpoints say does not follow a variant that is renamed.
#[test]
fn stored_names_stay() {
    let stored = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for recipe in [Recipe::Quick, Recipe::Full, Recipe::Tutorial] {
        assert_eq!(stored(serde_json::to_value(recipe).unwrap()), recipe.id());
    }
    let losses = [
        (Loss::RandomTriplet, "random-triplet"),
        (Loss::BatchHardTriplet, "batch-hard-triplet"),
        (Loss::SemiHardTriplet, "semi-hard-triplet"),
        (Loss::MultiSimilarity, "multi-similarity"),
        (Loss::ProxyAnchor, "proxy-anchor"),
        (Loss::NormalisedSoftmax, "normalised-softmax"),
    ];
    for (loss, name) in losses {
        assert_eq!(stored(serde_json::to_value(loss).unwrap()), name);
    }
    for (focus, name) in [
        (Focus::NewSpeciesToo, "new-species-too"),
        (Focus::OnlyThese, "only-these"),
        (Focus::OtherSpecies, "other-species"),
    ] {
        assert_eq!(stored(serde_json::to_value(focus).unwrap()), name);
    }
    for (metric, name) in [(Metric::Cosine, "cosine"), (Metric::Euclidean, "euclidean")] {
        assert_eq!(stored(serde_json::to_value(metric).unwrap()), name);
    }
}

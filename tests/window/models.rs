//! The panel of models, by role and label.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::{Event as Input, Key, Modifiers};
use egui_kittest::kittest::NodeT;
use florascope::active_model::active_model;
use florascope::artefact::{
    BUILT_IN, Card, EvaluationReport, GENERAL, Interval, Model, ModelId, Recipe, Score, Task, TaskResult, TrainOptions,
    TrainedBy,
};
use florascope::catalog::Catalog;
use florascope::device::DeviceChoice;
use florascope::job::Outcome;
use florascope::library::{DataFolder, Library};
use florascope::model::{Architecture, Head, HeadPart};
use florascope::photo::Photo;
use florascope::query::Query;
use florascope::settings::Settings;
use florascope::worker::{Event, Listing, Request, TrainingEnd, Worker};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

use super::common::{Photos, another_backbone, encode};
use super::{PATIENCE, Window};

/// A head on the built-in backbone with a history.
pub(super) fn trained(title: &str, recipe: Recipe, weight: f32) -> Model {
    let inputs = Architecture::EfficientNetLite0.dimension();
    let matrix = (0..32 * inputs).map(|i| ((i * i % 97) as f32 - 48.0) / 50.0).collect();
    let head = Head { parts: vec![HeadPart { weight, power: 1.0, centre: vec![0.0; inputs], matrix }] };
    let score = |value: f64| {
        let interval = Interval { value, low: value - 0.02, high: value + 0.02 };
        Score { recall_at_1: interval, recall_at_5: interval, map_at_r: interval }
    };
    let row = |task, before, after| TaskResult {
        task,
        queries: 100,
        gallery: 500,
        before: score(before),
        after: score(after),
        gain: Score::default(),
    };
    let rows = vec![row(Task::SeenSpecies, 0.871, 0.932), row(Task::UnseenSpecies, 0.927, 0.921)];
    let trained = TrainedBy {
        options: TrainOptions { recipe, ..TrainOptions::default() },
        folder: PathBuf::from("/home/ann/Roses\n2026"),
        photos: 1234,
        classes: 12,
        seconds: 9.0,
        evaluation: Some(EvaluationReport { rows, folds: 1, better: true, ..EvaluationReport::default() }),
    };
    let made = Card {
        title: title.into(),
        made: 1_700_000_000,
        trained: Some(trained),
        ..Card::clone(&Model::general().card)
    };
    Model::pack(made, Vec::new(), Some(&head)).unwrap()
}

/// The app on a small folder, with two models beside the one in the program; the panel is open.
struct Panel {
    window: Window,
    photos: Photos,
}

impl Panel {
    fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let models = DataFolder::open(Some(data.path().into())).unwrap().models();
        for model in [trained("Roses", Recipe::Quick, 0.5), trained("Lilies", Recipe::Full, 0.25)] {
            models.save(&model).unwrap();
        }
        let photos = Photos::plain("Garden", &[("rose", 3), ("lily", 3)]);
        let mut window = Window::with(data, Some(photos.path()), Settings::default());
        window.wait_until_indexed(6);
        window.key_with(Modifiers::COMMAND, Key::M);
        window.wait_for("the list", |window| window.button("Use Lilies").map(drop));
        Self { window, photos }
    }

    /// Opens a model's menu and chooses from it.
    fn choose(&mut self, model: &str, entry: &str) {
        self.press(&format!("More for {model}"));
        self.press(entry);
    }

    fn data(&self) -> DataFolder {
        DataFolder::open(Some(self.window.data.path().into())).unwrap()
    }

    fn titles(&self) -> Vec<String> {
        self.data().models().list().into_iter().map(|model| model.card.title.clone()).collect()
    }

    fn in_use(&self) -> ModelId {
        let library = self.data().library(self.photos.path()).unwrap();
        let catalog = Catalog::open_read_only(&library.folder).unwrap().unwrap();
        active_model(&catalog, &self.data().models()).unwrap().id
    }
}

impl Deref for Panel {
    type Target = Window;

    fn deref(&self) -> &Window {
        &self.window
    }
}

impl DerefMut for Panel {
    fn deref_mut(&mut self) -> &mut Window {
        &mut self.window
    }
}

#[test]
fn each_model_says_where_it_comes_from_and_what_it_is_worth() {
    let window = Panel::open();
    for text in [
        "Flowers",
        "EfficientNet-Lite0, taught 102 species of flowers",
        "General",
        "EfficientNet-Lite0, trained on ImageNet",
        "Built-in",
        "Quick training, 14 Nov 2023, 0.2 MB",
        "Full training, 14 Nov 2023, 0.2 MB",
        // On one line, whatever the file says.
        "On 1\u{2009}234 photos in /home/ann/Roses 2026",
        "Your species",
        "87.1 %",
        "93.2 %",
        "Unseen species",
        "92.1 %",
        "Not measured",
    ] {
        assert!(window.says(text), "{text}: {:?}", window.texts());
    }
    // The one in use and the one in the program.
    assert_eq!(window.texts().iter().filter(|text| *text == "In use").count(), 1);
    assert!(window.button("Use Flowers").is_none() && window.button("More for Flowers").is_none());
    assert!(window.button("Import…").is_some() && window.button("Import a network…").is_some());
    window.harness.check_accessibility();
}

#[test]
fn models_are_ticked_and_compared_side_by_side() {
    let mut window = Panel::open();
    window.wait_for_text("photos/s here");
    let is_disabled = |window: &Window| window.button("Compare models").unwrap().accesskit_node().is_disabled();
    assert!(is_disabled(&window), "nothing is ticked");
    for model in ["Compare Flowers", "Compare Roses"] {
        let tick = window.all(Role::CheckBox).find(|node| node.accesskit_node().label().as_deref() == Some(model));
        tick.unwrap().click();
        window.harness.step();
    }
    window.wait_for("ticks", |window| (!is_disabled(window)).then_some(()));
    window.press("Compare models");
    window.wait_for_text("6 photos of this folder, each searched among the others");
    window.wait_for("the end", |window| (!is_disabled(window)).then_some(()));
    for text in ["On this folder", "MAP@R", "Photos a second"] {
        assert!(window.says(text), "{text}: {:?}", window.texts());
    }
    // R@1 and MAP@R of two models, with their intervals.
    assert_eq!(window.texts().iter().filter(|text| text.contains(" % ± ")).count(), 4, "{:?}", window.texts());
    assert_eq!(window.in_use(), BUILT_IN);
}

#[test]
fn another_model_is_taken_into_use() {
    let mut window = Panel::open();
    assert_eq!(window.in_use(), BUILT_IN);
    window.press("Use Roses");
    window.wait_for("the change", |window| window.button("Use Flowers").map(drop));
    assert!(window.button("Use Roses").is_none() && window.button("Use Lilies").is_some());
    assert_eq!(window.in_use(), trained("Roses", Recipe::Quick, 0.5).id);
    // Nobody deletes it now.
    window.press("More for Roses");
    let delete =
        window.wait_for("the menu", |window| window.button("Delete…").map(|node| node.accesskit_node().is_disabled()));
    assert!(delete);
    window.key(Key::Escape);
    // And back, quickly: what it gave before is kept.
    window.press("Use Flowers");
    window.wait_for("the change back", |window| window.button("Use Roses").map(drop));
    assert_eq!(window.in_use(), BUILT_IN);
    let library = window.data().library(window.photos.path()).unwrap();
    assert_eq!(embedded_by(&library).len(), 4, "of each, embeddings and features");
    window.choose("Roses", "Delete…");
    window.press("Delete Roses");
    window.wait_for("its end", |window| window.button("Use Roses").is_none().then_some(()));
    // What the other model that begins with the general network needs, stays.
    assert_eq!(embedded_by(&library), [&[GENERAL.to_owned()][..], &names_of_built_in()].concat());
}

/// The models and backbones that have embeddings in a catalog.
fn embedded_by(library: &Library) -> Vec<String> {
    let mut names = Catalog::open_read_only(&library.folder).unwrap().unwrap().models().unwrap();
    names.sort();
    names
}

/// Those of the built-in model, whose head has features of its own.
fn names_of_built_in() -> Vec<String> {
    let model = Model::built_in();
    vec![model.card.backbone.to_string(), model.id.to_string()]
}

#[test]
fn a_model_is_renamed_in_its_place() {
    let mut window = Panel::open();
    window.choose("Roses", "Rename");
    let typed = |window: &mut Panel, text: &str| {
        window.wait_for_field();
        window.harness.key_press_modifiers(Modifiers::COMMAND, Key::A);
        // As a keyboard sends them, keys that are shortcuts elsewhere among them.
        for (key, text) in [(Key::Minus, "-"), (Key::Questionmark, "?"), (Key::Space, " ")] {
            window.harness.key_press(key);
            window.harness.event(Input::Text(text.into()));
        }
        window.harness.key_press(Key::Backspace);
        window.harness.event(Input::Text(text.into()));
        window.harness.step();
    };
    typed(&mut window, " not this");
    window.key(Key::Escape);
    window.wait_for("the title", |window| window.button("Use Roses").map(drop));
    assert!(!window.says("Keyboard shortcuts"), "the question mark was typed");
    window.choose("Roses", "Rename");
    typed(&mut window, " by Ann");
    window.key(Key::Enter);
    window.wait_for("the new title", |window| window.button("Use -? by Ann").map(drop));
    window.wait_for("word of it", |window| window.says("Renamed to -? by Ann").then_some(()));
    assert!(window.titles().contains(&"-? by Ann".to_owned()), "{:?}", window.titles());
}

#[test]
fn a_model_is_deleted_only_after_a_yes() {
    let mut window = Panel::open();
    window.choose("Lilies", "Delete…");
    window.wait_for("the question", |window| window.says("Delete this model for good?").then_some(()));
    window.press("Keep");
    window.wait_for("its end", |window| (!window.says("Delete this model for good?")).then_some(()));
    assert_eq!(window.titles().len(), 4);
    window.choose("Lilies", "Delete…");
    window.press("Delete Lilies");
    window.wait_for("its end", |window| window.button("Use Lilies").is_none().then_some(()));
    assert_eq!(window.titles(), ["Flowers", "General", "Roses"]);
    window.key(Key::Escape);
    window.wait_for("the grid", |window| (!window.says("A model decides")).then_some(()));
}

/// The worker on a folder, all that it has said of the number of photos that can be found, and the photos' ids.
struct Open {
    worker: Worker,
    /// Said, but not looked at yet.
    events: VecDeque<Event>,
    counts: Vec<usize>,
    questions: u64,
}

impl Open {
    fn on(data: &DataFolder, photos: &Photos, count: usize) -> Self {
        let worker = Worker::start(data.clone(), DeviceChoice::Cpu, || {}).unwrap();
        worker.send(Request::Open(photos.path().into()));
        let mut open = Self { worker, events: VecDeque::new(), counts: Vec::new(), questions: 0 };
        open.until(|event| matches!(event, Event::JobEnded(_)));
        assert_eq!(open.photos().len(), count);
        open.counts.clear();
        open
    }

    /// Takes events until one is the wanted; gives that one.
    fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let end = Instant::now() + 2 * PATIENCE;
        let mut seen = Vec::new();
        loop {
            self.events.extend(self.worker.take_events());
            while let Some(event) = self.events.pop_front() {
                if let Event::Gallery { photos, loading: false, .. } = event {
                    self.counts.push(photos);
                }
                if wanted(&event) {
                    return event;
                }
                seen.push(event);
            }
            assert!(Instant::now() < end, "{seen:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn show(&mut self, query: Option<Query>) -> Vec<Photo> {
        self.questions += 1;
        let asked = self.questions;
        self.worker.send(Request::Show { number: asked, listing: Listing { query, ..Listing::default() } });
        match self.until(|event| matches!(event, Event::Answer { number, .. } if *number == asked)) {
            Event::Answer { hits, .. } => hits.iter().map(|hit| Photo::clone(&hit.photo)).collect(),
            event => panic!("{event:?}"),
        }
    }

    /// What browsing shows.
    fn photos(&mut self) -> Vec<Photo> {
        self.show(None)
    }

    /// The same photos are there as before, could be found all the time, and can be searched with.
    #[track_caller]
    fn expect_all(&mut self, before: &[Photo]) {
        assert_eq!(self.photos(), before);
        assert!(self.counts.iter().all(|count| *count == before.len()), "{:?}", self.counts);
        let query = Query::Photo(Arc::new(before[0].clone()));
        assert_eq!(self.show(Some(query)).len(), before.len() - 1);
    }
}

/// A folder with 84 photos, which take another network longer than a stop does; and two untrained models.
fn with_another_backbone() -> (TempDir, DataFolder, Photos, Model) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(Some(folder.path().into())).unwrap();
    let model = another_backbone(1.0);
    data.models().save(&model).unwrap();
    let folders: Vec<(&str, usize)> =
        ["rose", "lily", "tulip", "iris", "daisy", "violet", "poppy"].into_iter().map(|name| (name, 12)).collect();
    (folder, data, Photos::plain("Garden", &folders), model)
}

#[test]
fn every_photo_stays_while_a_model_on_another_backbone_is_prepared_and_after_a_stop() {
    let (_folder, data, photos, model) = with_another_backbone();
    let mut open = Open::on(&data, &photos, 84);
    let before = open.photos();
    // Something is new on disk, too: it is not forgotten over the change.
    photos.write("rose/new.jpg", &encode(&RgbImage::from_pixel(48, 36, Rgb([9, 9, 9])), ImageFormat::Jpeg));
    open.worker.send(Request::UseModel(model.id.clone()));
    open.until(|event| matches!(event, Event::Progress(progress) if progress.total.is_some() && progress.done > 0));
    open.worker.send(Request::CancelJob);
    open.until(|event| matches!(event, Event::ModelDone(text) if text.contains("stays")));
    open.expect_all(&before);
    drop(open);
    // On a busy computer a thread of the one before may hold the lock for a moment more.
    let library = data.library(photos.path()).unwrap();
    let end = Instant::now() + PATIENCE;
    while library.lock().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }

    // The next time, too, and from there it is indexed and changed to the end.
    let mut open = Open::on(&data, &photos, 85);
    let before = open.photos();
    open.worker.send(Request::UseModel(model.id.clone()));
    open.until(|event| matches!(event, Event::ModelDone(text) if text.contains("Untrained")));
    open.expect_all(&before);
}

#[test]
fn every_photo_stays_when_a_model_on_another_backbone_fails() {
    let (_folder, data, photos, model) = with_another_backbone();
    let useless = another_backbone(0.0);
    data.models().save(&useless).unwrap();
    let mut open = Open::on(&data, &photos, 84);
    let before = open.photos();
    let failed = |event: &Event| matches!(event, Event::JobEnded(Outcome::Failed { .. }));
    open.worker.send(Request::UseModel(useless.id.clone()));
    open.until(failed);
    open.expect_all(&before);
    let away = photos.path().with_file_name("away");
    std::fs::rename(photos.path(), &away).unwrap();
    open.worker.send(Request::UseModel(model.id.clone()));
    open.until(failed);
    open.expect_all(&before);
}

#[test]
fn a_comparison_makes_way_for_the_change_to_another_model() {
    let (_folder, data, photos, model) = with_another_backbone();
    let mut open = Open::on(&data, &photos, 84);
    let before = open.photos();
    open.worker.send(Request::CompareModels(vec![BUILT_IN.into(), GENERAL.into()]));
    open.until(|event| matches!(event, Event::CompareStarted));
    open.worker.send(Request::UseModel(model.id.clone()));
    open.until(|event| matches!(event, Event::CompareEnded));
    open.until(|event| matches!(event, Event::ModelDone(text) if text.contains("In use now")));
    open.expect_all(&before);
    // One that waits, too; and a folder that is gone is said.
    open.until(|event| matches!(event, Event::JobEnded(Outcome::Done { .. })));
    std::fs::rename(photos.path(), photos.path().with_file_name("away")).unwrap();
    open.worker.send(Request::CompareModels(vec![BUILT_IN.into()]));
    open.until(|event| matches!(event, Event::ModelFailed(_)));
    open.until(|event| matches!(event, Event::CompareEnded));
}

#[test]
fn photos_that_are_new_on_disk_follow_a_change_of_the_model() {
    let (_folder, data, photos, model) = with_another_backbone();
    let mut open = Open::on(&data, &photos, 84);
    photos.write("rose/new.jpg", &encode(&RgbImage::from_pixel(48, 36, Rgb([9, 9, 9])), ImageFormat::Jpeg));
    open.worker.send(Request::UseModel(model.id.clone()));
    open.until(|event| matches!(event, Event::JobEnded(Outcome::Done { completed: 1 })));
    assert_eq!(open.photos().len(), 85);
}

#[test]
fn every_photo_stays_after_a_training_whose_model_is_not_used() {
    for recipe in [Recipe::Tutorial, Recipe::Full] {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(Some(folder.path().into())).unwrap();
        let photos = Photos::plain("Garden", &[("rose", 6), ("lily", 6)]);
        let mut open = Open::on(&data, &photos, 12);
        let before = open.photos();
        let library = data.library(photos.path()).unwrap();
        assert_eq!(embedded_by(&library), names_of_built_in());
        let options = TrainOptions { recipe, epochs: Some(1), ..TrainOptions::default() };
        open.worker.send(Request::Train { options, resume: false });
        let end = open.until(|event| matches!(event, Event::TrainingEnded(_)));
        assert!(matches!(end, Event::TrainingEnded(TrainingEnd::Done { used: false, .. })), "{end:?}");
        open.until(|event| matches!(event, Event::JobEnded(_)));
        open.expect_all(&before);
        assert_eq!(embedded_by(&library), names_of_built_in(), "nothing is kept of the model that is not used");
        // What the gallery calls its photos is what the catalog calls them.
        std::fs::remove_file(photos.path().join(&before[0].path)).unwrap();
        open.worker.send(Request::Index);
        // The first end may be that of a check which the watched folder asked for, of a time before.
        while open.photos() != before[1..] {
            open.until(|event| matches!(event, Event::JobEnded(_)));
        }
    }
}

/// What the worker says to a request about models.
fn answer(worker: &Worker, request: Request) -> Result<String, String> {
    worker.send(request);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for event in worker.take_events() {
            match event {
                Event::ModelDone(text) => return Ok(text),
                Event::ModelFailed(message) => return Err(message),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no answer");
}

#[test]
fn a_wrong_file_is_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(Some(folder.path().join("data"))).unwrap();
    let worker = Worker::start(data.clone(), DeviceChoice::Cpu, || {}).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let refuses = |request: Request, path: &Path, words: &[&str]| {
        let message = answer(&worker, request).unwrap_err();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(message.contains(&path.display().to_string()), "{message}");
    };
    let page = file("model.safetensors", b"<html>Not found</html>");
    refuses(Request::ImportModel(page.clone()), &page, &["no Florascope model", "Import a network…"]);
    let expected = ["a web page; the download may have failed", ".safetensors files and PyTorch's state dicts"];
    refuses(Request::LoadWeights(page.clone()), &page, &expected);
    let model = trained("Roses", Recipe::Quick, 0.5);
    let exported = folder.path().join("roses.safetensors");
    data.models().export(&model, &exported).unwrap();
    refuses(Request::LoadWeights(exported.clone()), &exported, &["a Florascope model", "Import…"]);
    assert_eq!(data.models().list().len(), 2);
    assert_eq!(answer(&worker, Request::ImportModel(exported)).unwrap(), "Imported: Roses");
    assert_eq!(data.models().list().len(), 3);
}

//! The panel for training before the start and while it runs: what it says and what its buttons ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eframe::egui::accesskit::Role;
use egui_kittest::kittest::NodeT;
use egui_kittest::{Harness, Node};
use florascope::artefact::{Card, Focus, Model, ModelSummary, NotMeasured, Recipe, TrainOptions};
use florascope::embed::ModelInfo;
use florascope::job;
use florascope::library::Library;
use florascope::photo::Metric;
use florascope::train::progress::{CurvePoint, LabelPreview, Overall, Step, TimeRange, TrainEvent, TrainProgress};
use florascope::ui::state::{Action, OpenLibrary, RightPanel, State};
use florascope::ui::textures::Textures;
use florascope::ui::train::train_ui;
use florascope::worker::{Request, TrainingEnd};

use super::text_of;

#[path = "training_result.rs"]
mod result;

const PRESENT: &str = "efficientnet-lite0-imagenet-1";
const NEW: &str = "quick-0123456789ab";

/// The panel with a state of its own, and what it has asked for.
struct Stage {
    state: State,
    library: OpenLibrary,
    textures: Textures,
    actions: Vec<Action>,
}

struct Panel(Harness<'static, Stage>);

impl Panel {
    /// On a folder with these labels.
    fn on(labels: LabelPreview) -> Self {
        let folder = PathBuf::from("/photos");
        let photos = labels.unlabelled + labels.classes.iter().map(|(_, photos)| photos).sum::<usize>();
        let library = OpenLibrary {
            library: Arc::new(Library { root: folder.clone(), folder }),
            writable: true,
            obstacle: None,
            photos,
            loading: false,
            facets: Arc::default(),
            problems: Arc::default(),
            progress: None,
            dates: None,
            outcome: None,
        };
        let mut state = State { model: Some(present()), ..State::default() };
        state.models = [titled(PRESENT, "General"), titled(NEW, "Quick – photos")].into();
        state.right = RightPanel::Train;
        state.train.take_labels(Arc::new(labels));
        let textures = Textures::start(|| {}).unwrap();
        let stage = Stage { state, library, textures, actions: Vec::new() };
        let builder = Harness::builder().with_size(eframe::egui::vec2(420.0, 1600.0));
        Self(builder.build_ui_state(
            |ui, stage: &mut Stage| {
                let Stage { state, library, textures, actions } = stage;
                textures.begin_frame(&ui.ctx().clone(), 0.0);
                train_ui(ui, state, library, textures, actions);
                textures.end_frame();
                // What the window does with a choice.
                for action in actions.iter() {
                    match action {
                        Action::SetTrainOptions(options) => state.train.options = options.clone(),
                        Action::KeepModel => state.train.keep(),
                        Action::TrainOnlyThese => state.train.choose_only_these(),
                        _ => {}
                    }
                }
            },
            stage,
        ))
    }

    fn on_species() -> Self {
        Self::on(LabelPreview { classes: classes(&[12, 9, 1]), unlabelled: 3, problems: 2, ..LabelPreview::default() })
    }

    /// While it trains so.
    fn training(options: &TrainOptions, events: Vec<TrainEvent>) -> Self {
        let mut panel = Self::on_species();
        let train = &mut panel.0.state_mut().state.train;
        train.begin(options.clone(), Some(PRESENT.into()));
        events.into_iter().for_each(|event| train.hear(event));
        panel.step();
        panel
    }

    /// When it has ended so.
    fn ended(events: Vec<TrainEvent>, end: TrainingEnd) -> Self {
        let mut panel = Self::training(&TrainOptions::default(), events);
        panel.0.state_mut().state.train.end(end);
        panel.step();
        panel
    }

    /// The library has come to use this model.
    fn use_model(&mut self, id: &str) {
        let state = &mut self.0.state_mut().state;
        let title = if id == NEW { "Quick – photos" } else { "General" };
        state.model = Some(ModelInfo { name: id.into(), title: title.into(), ..present() });
        state.train.changing = false;
        self.step();
    }

    fn step(&mut self) {
        self.0.run_steps(4);
    }

    fn texts(&self) -> Vec<String> {
        self.0.root().children_recursive().map(|node| text_of(&node)).filter(|text| !text.is_empty()).collect()
    }

    #[track_caller]
    fn expect(&self, parts: &[&str]) {
        let texts = self.texts();
        for part in parts {
            assert!(texts.iter().any(|text| text.contains(part)), "{part:?} is missing in {texts:#?}");
        }
    }

    #[track_caller]
    fn expect_not(&self, part: &str) {
        let texts = self.texts();
        assert!(!texts.iter().any(|text| text.contains(part)), "{part:?} is there: {texts:#?}");
    }

    fn node(&self, role: Role, label: &str) -> Option<Node<'_>> {
        self.0.root().children_recursive().find(|node| node.accesskit_node().role() == role && text_of(node) == label)
    }

    fn is_disabled(&self, role: Role, label: &str) -> bool {
        self.node(role, label).unwrap().accesskit_node().is_disabled()
    }

    /// Opens what is folded away.
    fn unfold(&mut self, title: &str) {
        self.node(Role::DisclosureTriangle, title).unwrap().click();
        self.0.run_steps(20);
    }

    /// Clicks on a button, and gives what that asks for.
    #[track_caller]
    fn press(&mut self, label: &str) -> Vec<Action> {
        self.0.state_mut().actions.clear();
        self.node(Role::Button, label).unwrap_or_else(|| panic!("no button {label}: {:#?}", self.texts())).click();
        self.step();
        std::mem::take(&mut self.0.state_mut().actions)
    }
}

fn titled(id: &str, title: &str) -> ModelSummary {
    let card = Arc::new(Card { title: title.into(), ..Card::clone(&Model::built_in().card) });
    ModelSummary { id: id.into(), card, size: 1 }
}

fn present() -> ModelInfo {
    ModelInfo {
        name: PRESENT.into(),
        title: "General".into(),
        backbone: PRESENT.into(),
        dimension: 1280,
        architecture: florascope::model::Architecture::EfficientNetLite0,
        metric: Metric::Cosine,
        head: None,
        device: "CPU, 2 threads".into(),
        batch: 4,
        parallel: 2,
    }
}

fn classes(counts: &[usize]) -> Vec<(String, usize)> {
    counts.iter().enumerate().map(|(number, photos)| (format!("Species {number}"), *photos)).collect()
}

#[test]
fn before_the_start_it_says_what_is_learnt_from_and_how_long_that_takes() {
    let mut panel = Panel::on_species();
    panel.expect(&["Teaches the last step only", "Best results; minutes to half an hour"]);
    let times = [(Recipe::Quick, 12, 20), (Recipe::Full, 310, 530)];
    panel.0.state_mut().state.train.estimates = times
        .map(|(recipe, low, high)| {
            let [low, high] = [low, high].map(Duration::from_secs);
            (TrainOptions { recipe, ..TrainOptions::default() }, Some(TimeRange { low, high }))
        })
        .into();
    panel.step();
    panel.expect(&[
        "2 species, 21 photos",
        "Species 0",
        "1 species has a single photo",
        "3 photos are not in a sub-folder, skipped",
        "2 files unreadable, skipped",
        "12–20 s",
        "5–9 min",
    ]);
    panel.expect_not("Resume");
    let asked = panel.press("Train");
    assert!(
        matches!(&asked[..], [Action::Request(Request::Train { options, resume: false })] if *options == TrainOptions::default()),
        "{asked:?}"
    );
    panel.node(Role::RadioButton, "Full").unwrap().click();
    panel.step();
    let asked = panel.press("Train");
    assert!(
        matches!(&asked[..], [Action::Request(Request::Train { options, .. })] if options.recipe == Recipe::Full),
        "{asked:?}"
    );
    panel.0.check_accessibility();
}

#[test]
fn what_will_be_searched_is_asked_in_the_open() {
    let mut panel = Panel::on_species();
    panel.expect(&["What will you search?", "Also new species", "Species that have no folder here are found well"]);
    panel.node(Role::RadioButton, "Only these species").unwrap().click();
    panel.step();
    panel.expect(&["other species may be found less well"]);
    assert_eq!(panel.0.state().state.train.options.focus, Focus::OnlyThese);
    // The tutorial has no such choice, and is not for who only wants better results.
    panel.expect_not("For learning how it works");
    panel.unfold("More");
    panel.node(Role::RadioButton, "Tutorial").unwrap().click();
    panel.step();
    panel.expect_not("What will you search?");
}

#[test]
fn what_can_be_chosen_is_under_advanced() {
    let mut panel = Panel::on_species();
    panel.expect_not("Epochs");
    panel.unfold("Advanced");
    panel.expect(&["Loss", "Epochs", "Seed", "Start from", "Device"]);
}

#[test]
fn without_labels_only_the_quick_recipe_is_offered() {
    for labels in [
        LabelPreview { unlabelled: 40, ..LabelPreview::default() },
        LabelPreview { classes: classes(&[30, 1, 1]), ..LabelPreview::default() },
    ] {
        let mut panel = Panel::on(labels);
        panel.step();
        panel.expect(&["without labels", "Needs sub-folders named after species", "photos that look alike"]);
        panel.expect_not("What will you search?");
        panel.unfold("More");
        assert!(panel.is_disabled(Role::RadioButton, "Full"));
        assert!(panel.is_disabled(Role::RadioButton, "Tutorial"));
        assert!(!panel.is_disabled(Role::RadioButton, "Quick"));
        let asked = panel.press("Train");
        assert!(
            matches!(&asked[..], [Action::Request(Request::Train { options, .. })] if options.recipe == Recipe::Quick)
        );
    }
}

#[test]
fn too_few_photos_or_another_window_are_told_before() {
    let mut panel = Panel::on(LabelPreview { classes: classes(&[3, 2]), ..LabelPreview::default() });
    panel.step();
    panel.expect(&["Too few photos to learn from: 5 photos here, at least 10 are needed"]);
    assert!(panel.is_disabled(Role::Button, "Train"));
    let mut panel = Panel::on_species();
    panel.0.state_mut().library.writable = false;
    panel.step();
    panel.expect(&["Another Florascope window has this folder open"]);
    assert!(panel.is_disabled(Role::Button, "Train"));
}

#[test]
fn an_interrupted_training_can_go_on() {
    let mut panel = Panel::on_species();
    let options = TrainOptions { recipe: Recipe::Full, seed: 7, ..TrainOptions::default() };
    panel.0.state_mut().state.train.resumable = Some(options.clone());
    panel.step();
    panel.expect(&["A training was interrupted", "Full; it can be resumed"]);
    let asked = panel.press("Resume");
    assert!(
        matches!(&asked[..], [Action::Request(Request::Train { options: asked, resume: true })] if *asked == options),
        "{asked:?}"
    );
}

const STEPS: [Step; 4] = [Step::Update, Step::CrossValidate, Step::LearnFromAll, Step::Use];

fn progress(step: usize, done: f32, left: Option<u64>) -> TrainProgress {
    let time_left = left.map(Duration::from_secs);
    let overall = Overall { step, round: 2, rounds: 5, done, time_left };
    TrainProgress { overall, stage: job::Stage::TrainingWithoutHeldOut, epoch: 3, epochs: 20, ..Default::default() }
}

#[test]
fn while_it_trains_there_is_one_bar_and_a_list_of_steps() {
    let events = vec![TrainEvent::Steps(STEPS.into()), TrainEvent::Progress(progress(1, 0.35, Some(20)))];
    let mut panel = Panel::training(&TrainOptions::default(), events);
    panel.expect(&[
        "Training – Quick",
        "about 20 s left",
        "Bring the folder up to date: done",
        "Learn and measure, each time with other photos kept back: goes on",
        "Time 2 of 5 · Epoch 3 of 20",
        "Learn from all photos: to come",
        "Put in use, if it is better: to come",
    ]);
    let bars = panel.0.root().children_recursive().filter(|node| {
        let node = node.accesskit_node();
        node.role() == Role::ProgressIndicator
            && node.numeric_value().is_some_and(|value| (30.0..40.0).contains(&value))
    });
    assert_eq!(bars.count(), 1, "{:#?}", panel.texts());
    assert!(matches!(panel.press("Cancel")[..], [Action::Request(Request::CancelJob)]));
    assert!(matches!(panel.press("Stop and keep the best so far")[..], [Action::Request(Request::StopTraining)]));
    panel.0.state_mut().state.train.hear(TrainEvent::Progress(progress(2, 0.5, None)));
    panel.step();
    panel.expect(&["each time with other photos kept back: done", "The time left is not known yet"]);
    panel.0.check_accessibility();
}

#[test]
fn the_steps_are_there_before_the_job_tells_them() {
    let panel = Panel::training(&TrainOptions { recipe: Recipe::Full, ..TrainOptions::default() }, Vec::new());
    panel.expect(&["Bring the folder up to date: goes on", "Teach the network", "Embed all photos with it: to come"]);
}

#[test]
fn details_are_folded() {
    let options = TrainOptions { recipe: Recipe::Full, ..TrainOptions::default() };
    let progress = TrainProgress {
        stage: job::Stage::Training,
        step: 120,
        steps: 1400,
        rate: Some(231.4),
        device: "NVIDIA GPU".into(),
        memory: Some(2_300_000_000),
        busy: Some(0.87),
        ..progress(1, 0.1, Some(840))
    };
    let point = |epoch: u32| CurvePoint {
        epoch: f64::from(epoch),
        loss: Some(2.0 / f64::from(epoch)),
        validation: Some(0.8 + 0.02 * f64::from(epoch)),
    };
    let mut events =
        vec![TrainEvent::Progress(progress), TrainEvent::Notice("Out of memory; batch size reduced to 16".into())];
    events.extend((1..=3).map(|epoch| TrainEvent::Curve(point(epoch))));
    let mut panel = Panel::training(&options, events);
    panel.expect(&["about 14 min left", "batch size reduced to 16"]);
    panel.expect_not("NVIDIA GPU");
    panel.unfold("Details");
    panel.expect(&["120 of 1\u{2009}400", "231 photos/s", "NVIDIA GPU", "87\u{a0}%", "2.3 GB"]);
    assert!(panel.node(Role::Image, "Loss: 0.667 after 3 values").is_some(), "{:#?}", panel.texts());
    assert!(panel.node(Role::Image, "Top-1 accuracy: 86.0 % after 3 values").is_some());
    panel.0.check_accessibility();
}

#[test]
fn what_cannot_be_measured_is_told_before() {
    let labels = LabelPreview {
        quick: Some(NotMeasured::OneShotPerSpecies),
        network: Some(NotMeasured::TooFewPhotos),
        classes: classes(&[15, 15]),
        ..LabelPreview::default()
    };
    let mut panel = Panel::on(labels);
    panel.step();
    panel.expect(&["All photos of each species are one shot", "only if you choose it"]);
    assert!(!panel.is_disabled(Role::Button, "Train"));
    panel.node(Role::RadioButton, "Full").unwrap().click();
    panel.step();
    panel.expect(&["Too few photos to measure"]);
    panel.expect_not("one shot");
}

#[test]
fn a_model_to_start_from_is_chosen_by_its_title() {
    let mut panel = Panel::on_species();
    panel.0.state_mut().state.models = [titled(NEW, "Roses of May")].into();
    panel.unfold("Advanced");
    fn combo(panel: &Panel) -> Node<'_> {
        let nodes = panel.0.root().children_recursive();
        nodes.filter(|node| node.accesskit_node().role() == Role::ComboBox).nth(1).unwrap()
    }
    let shown = |panel: &Panel| combo(panel).accesskit_node().value().unwrap_or_default();
    assert_eq!(shown(&panel), "Recipe default");
    combo(&panel).click();
    panel.step();
    panel.0.root().children_recursive().find(|node| text_of(node) == "Roses of May").unwrap().click();
    panel.step();
    assert_eq!(panel.0.state().state.train.options.start.as_deref(), Some(NEW));
    assert_eq!(shown(&panel), "Roses of May");
}

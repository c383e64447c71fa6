//! The panel for training in each of its states: what it says and what its buttons ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eframe::egui::accesskit::Role;
use egui_kittest::kittest::NodeT;
use egui_kittest::{Harness, Node};
use florascope::artefact::{
    Card, EvaluationReport, Example, Focus, Interval, Model, ModelSummary, NotMeasured, Recipe, Score, Task,
    TaskResult, TrainOptions, Verdict,
};
use florascope::embed::ModelInfo;
use florascope::job;
use florascope::library::Library;
use florascope::metadata::Metadata;
use florascope::photo::{ContentHash, Metric, Photo, PhotoId};
use florascope::train::progress::{CurvePoint, LabelPreview, TrainEvent, TrainProgress};
use florascope::ui::state::{Action, OpenLibrary, RightPanel, State};
use florascope::ui::textures::Textures;
use florascope::ui::train::train_ui;
use florascope::worker::{Request, TrainingEnd};

use super::text_of;

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
                    if let Action::SetTrainOptions(options) = action {
                        state.train.options = options.clone();
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
    fn unfold(&mut self) {
        self.node(Role::DisclosureTriangle, "Advanced").unwrap().click();
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

fn present() -> ModelInfo {
    ModelInfo {
        name: PRESENT.into(),
        title: "Flowers".into(),
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

fn photo(id: i64, label: &str) -> Arc<Photo> {
    let (path, content) = (format!("{label}/{id}.jpg").into(), ContentHash((id as u128).to_le_bytes()));
    Arc::new(Photo::new(PhotoId(id), path, content, Metadata::default()))
}

fn score(recall: f64) -> Score {
    let interval = |value: f64| Interval { value, low: value - 0.05, high: (value + 0.05).min(1.0) };
    Score { recall_at_1: interval(recall), recall_at_5: interval(recall + 0.02), map_at_r: interval(recall - 0.3) }
}

fn proof(better: bool) -> Arc<EvaluationReport> {
    let row = |task, before, after| TaskResult {
        task,
        queries: 134,
        gallery: 1536,
        before: score(before),
        after: score(after),
        gain: Score::default(),
    };
    let verdict = if better { Verdict::Better } else { Verdict::Worse };
    let (rose, lily) = (photo(1, "Rose"), photo(2, "Lily"));
    Arc::new(EvaluationReport {
        rows: vec![row(Task::SeenSpecies, 0.8, 0.92), row(Task::UnseenSpecies, 0.7, 0.75)],
        folds: 5,
        better,
        verdict,
        examples: vec![Example {
            query: photo(9, "Rose"),
            before: vec![Arc::clone(&lily), Arc::clone(&rose)],
            after: vec![rose, lily],
        }],
        ..EvaluationReport::default()
    })
}

fn done(used: bool) -> TrainingEnd {
    TrainingEnd::Done { id: NEW.into(), used, stopped_early: false }
}

#[test]
fn before_the_start_it_says_what_is_learnt_from_and_how_long_that_takes() {
    let mut panel = Panel::on_species();
    let times = [(Recipe::Quick, 12), (Recipe::Full, 2400)];
    panel.0.state_mut().state.train.estimates = times
        .map(|(recipe, seconds)| {
            (TrainOptions { recipe, ..TrainOptions::default() }, Some(Duration::from_secs(seconds)))
        })
        .into();
    panel.step();
    panel.expect(&[
        "2 species, 21 photos",
        "Species 0",
        "1 species has a single photo",
        "3 photos are not in a sub-folder, skipped",
        "2 files unreadable, skipped",
        "about 12 s",
        "about 40 min",
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
fn what_can_be_chosen_is_under_advanced() {
    let mut panel = Panel::on_species();
    panel.expect_not("Only these species");
    panel.unfold();
    panel.expect(&[
        "Loss",
        "Epochs",
        "Seed",
        "Start from",
        "Device",
        "Species that have no folder here are found well",
    ]);
    panel.node(Role::RadioButton, "Only these species").unwrap().click();
    panel.step();
    panel.expect(&["other species may be found less well"]);
    assert_eq!(panel.0.state().state.train.options.focus, Focus::OnlyThese);
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

#[test]
fn while_it_trains_it_shows_how_far_it_is_and_what_happened() {
    let options = TrainOptions { recipe: Recipe::Full, ..TrainOptions::default() };
    let progress = TrainProgress {
        stage: job::Stage::Training,
        epoch: 3,
        epochs: 20,
        step: 120,
        steps: 1400,
        rate: Some(231.4),
        time_left: Some(Duration::from_secs(840)),
        device: "NVIDIA GPU".into(),
        memory: Some(2_300_000_000),
        busy: Some(0.87),
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
    panel.expect(&[
        "Training – Full",
        "Epoch 3 of 20 · step 120 of 1\u{2009}400 · 14 min left",
        "231 photos/s",
        "NVIDIA GPU",
        "87\u{a0}%",
        "2.3 GB",
        "batch size reduced to 16",
    ]);
    assert!(panel.node(Role::ProgressIndicator, "Training").is_some(), "{:#?}", panel.texts());
    assert!(panel.node(Role::Image, "Loss: 0.667 after 3 values").is_some(), "{:#?}", panel.texts());
    assert!(panel.node(Role::Image, "Top-1 accuracy: 86.0 % after 3 values").is_some());
    assert!(matches!(panel.press("Cancel")[..], [Action::Request(Request::CancelJob)]));
    assert!(matches!(panel.press("Stop and keep the best so far")[..], [Action::Request(Request::StopTraining)]));
    panel.0.check_accessibility();
}

#[test]
fn a_better_model_is_shown_with_its_proof() {
    let mut panel = Panel::ended(vec![TrainEvent::Evaluated(proof(true))], done(true));
    panel.expect(&["Changing the model", "Please wait"]);
    panel.0.state_mut().state.model = Some(ModelInfo { name: NEW.into(), ..present() });
    panel.0.state_mut().state.train.changing = false;
    panel.step();
    panel.expect(&[
        "The new model is better",
        "The new model is in use",
        "Your species",
        "Unseen species",
        "134 searches among 1\u{2009}536 photos",
        "92.0 %",
        "87.0 to 97.0",
        "80.0 %",
        "MAP@R",
        "Measured 5 times",
        "95\u{a0}% confidence intervals, by resampling species",
        "Query: Rose, 9.jpg",
        "Before 1: Lily, 2.jpg, wrong",
        "After 1: Rose, 1.jpg, right",
    ]);
    let asked = panel.press("Revert to previous model");
    assert!(matches!(&asked[..], [Action::Request(Request::UseModel(id))] if id == PRESENT), "{asked:?}");
    assert!(matches!(panel.press("Done")[..], [Action::TrainAgain]));
    panel.0.check_accessibility();
}

#[test]
fn a_model_that_is_not_better_is_not_used_unless_the_user_says_so() {
    let mut panel = Panel::ended(vec![TrainEvent::Evaluated(proof(false))], done(false));
    panel.expect(&["The new model is worse", "The current model is in use"]);
    let asked = panel.press("Use it anyway");
    assert!(matches!(&asked[..], [Action::Request(Request::UseModel(id))] if id == NEW), "{asked:?}");
    assert!(matches!(panel.press("Keep current model")[..], [Action::TrainAgain]));
}

#[test]
fn too_few_photos_to_measure_is_said_without_a_table() {
    for (reason, words) in [
        (NotMeasured::TooFewPhotos, "Too few photos to measure"),
        (NotMeasured::OneShotPerSpecies, "All photos of each species are one shot (more than 0.95 alike)"),
        (NotMeasured::TooFewShots, "Most photos of a species are one shot"),
    ] {
        let proof = EvaluationReport { verdict: Verdict::NotMeasured(reason), folds: 5, ..EvaluationReport::default() };
        let panel = Panel::ended(vec![TrainEvent::Evaluated(Arc::new(proof))], done(false));
        panel.expect(&[words, "Use it anyway"]);
        panel.expect_not("MAP@R");
        panel.expect_not("Measured");
    }
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
fn a_failure_says_what_happened_and_what_to_do() {
    let end = TrainingEnd::Failed { message: "The model failed on a batch of photos: out of memory".into() };
    let mut panel = Panel::ended(Vec::new(), end);
    panel.expect(&["The training failed", "out of memory", "The model in use is as it was", "Try again"]);
    assert!(matches!(panel.press("Back")[..], [Action::TrainAgain]));
}

#[test]
fn a_stopped_training_that_can_go_on_offers_it() {
    let mut panel = Panel::ended(Vec::new(), TrainingEnd::Stopped);
    panel.expect(&["Stopped", "the current model stays in use"]);
    panel.expect_not("Resume");
    panel.0.state_mut().state.train.resumable = Some(TrainOptions::default());
    panel.step();
    assert!(matches!(panel.press("Resume")[..], [Action::Request(Request::Train { resume: true, .. })]));
}

#[test]
fn a_model_to_start_from_is_chosen_by_its_title() {
    let mut panel = Panel::on_species();
    let card = Arc::new(Card { title: "Roses of May".into(), ..Card::clone(&Model::built_in().card) });
    panel.0.state_mut().state.models = [ModelSummary { id: NEW.into(), card, size: 1 }].into();
    panel.unfold();
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

//! The panel for training when it is over: the verdict, its proof, and the choice between the two models.

use std::sync::Arc;

use florascope::artefact::{
    EvaluationReport, Example, Focus, Interval, NotMeasured, Score, Task, TaskResult, TrainOptions, Verdict,
};
use florascope::metadata::Metadata;
use florascope::photo::{ContentHash, Photo, PhotoId};
use florascope::train::progress::TrainEvent;
use florascope::ui::state::Action;
use florascope::worker::{Request, TrainingEnd};

use super::{NEW, PRESENT, Panel, Role};

fn photo(id: i64, label: &str) -> Arc<Photo> {
    let (path, content) = (format!("{label}/{id}.jpg").into(), ContentHash((id as u128).to_le_bytes()));
    Arc::new(Photo::new(PhotoId(id), path, content, Metadata::default()))
}

/// What a model reaches: the first result, and the whole ranking.
fn score(recall: f64) -> Score {
    let interval = |value: f64| Interval { value, low: value - 0.05, high: (value + 0.05).min(1.0) };
    Score { recall_at_1: interval(recall), recall_at_5: interval(recall + 0.02), map_at_r: interval(recall - 0.3) }
}

/// A task, with so much either way of the difference as chance could bring.
fn row(task: Task, before: f64, after: f64, chance: f64) -> TaskResult {
    let gain = Interval { value: after - before, low: after - before - chance, high: after - before + chance };
    let gain = Score { recall_at_1: gain, recall_at_5: gain, map_at_r: gain };
    TaskResult { task, queries: 134, gallery: 1536, before: score(before), after: score(after), gain }
}

fn report(verdict: Verdict, rows: Vec<TaskResult>) -> Arc<EvaluationReport> {
    let (rose, lily) = (photo(1, "Rose"), photo(2, "Lily"));
    Arc::new(EvaluationReport {
        rows,
        folds: 5,
        better: verdict == Verdict::Better,
        verdict,
        examples: vec![Example {
            query: photo(9, "Rose"),
            before: vec![Arc::clone(&lily), Arc::clone(&rose)],
            after: vec![rose, lily],
        }],
        ..EvaluationReport::default()
    })
}

fn better() -> Arc<EvaluationReport> {
    let rows = vec![row(Task::SeenSpecies, 0.8, 0.92, 0.05), row(Task::UnseenSpecies, 0.7, 0.75, 0.1)];
    report(Verdict::Better, rows)
}

fn trade() -> Arc<EvaluationReport> {
    let rows = vec![row(Task::SeenSpecies, 0.8, 0.92, 0.05), row(Task::UnseenSpecies, 0.9, 0.8, 0.05)];
    report(Verdict::Trade, rows)
}

fn done(used: bool) -> TrainingEnd {
    TrainingEnd::Done { id: NEW.into(), used, stopped_early: false }
}

#[test]
fn a_better_model_is_shown_with_its_proof() {
    let mut panel = Panel::ended(vec![TrainEvent::Evaluated(better())], done(true));
    panel.expect(&["Better: being put in use", "Put in use, if it is better: goes on", "Please wait"]);
    panel.use_model(NEW);
    panel.expect(&[
        "Better: now in use",
        "the first result is right in 92.0\u{a0}% (before: 80.0\u{a0}%)",
        "Your species",
        "Unseen species",
        "134 searches among 1\u{2009}536 photos",
        "92.0 %",
        "87.0 to 97.0",
        "80.0 %",
        "MAP@R",
        "Query: Rose, 9.jpg",
        "Before 1: Lily, 2.jpg, wrong",
        "After 1: Rose, 1.jpg, right",
    ]);
    // Examples first, then the table, then the plot.
    let texts = panel.texts();
    let place = |part: &str| texts.iter().position(|text| text.contains(part)).unwrap_or_else(|| panic!("{texts:#?}"));
    assert!(place("Query: Rose") < place("92.0 %") && place("92.0 %") < place("plot of the values"), "{texts:#?}");
    panel.expect_not("resampling");
    panel.unfold("How this was measured");
    panel.expect(&["Measured on photos 5 times", "where the true value lies, 95\u{a0}% sure, by resampling species"]);
    assert!(matches!(panel.press("Done")[..], [Action::TrainAgain]));
    let asked = panel.press("Undo: use \"General\"");
    let [Action::KeepModel, Action::Request(Request::UseModel(id))] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(id, PRESENT);
    // The heading follows.
    panel.use_model(PRESENT);
    panel.expect(&["Kept: General", "The new model is better."]);
    panel.expect_not("Better: now in use");
    assert!(
        matches!(&panel.press("Use \"Quick – photos\"")[..], [Action::Request(Request::UseModel(id))] if id == NEW)
    );
    panel.0.check_accessibility();
}

#[test]
fn a_model_that_is_worse_is_not_used_unless_the_user_says_so() {
    let worse = report(Verdict::Worse, vec![row(Task::SeenSpecies, 0.9, 0.8, 0.05)]);
    let mut panel = Panel::ended(vec![TrainEvent::Evaluated(worse)], done(false));
    panel.expect(&["Worse", "right in 80.0\u{a0}% (before: 90.0\u{a0}%)", "\"General\" goes on answering"]);
    let asked = panel.press("Use \"Quick – photos\"");
    assert!(matches!(&asked[..], [Action::Request(Request::UseModel(id))] if id == NEW), "{asked:?}");
    panel.use_model(NEW);
    panel.expect(&["In use, at your wish", "Undo: use \"General\""]);
    panel.use_model(PRESENT);
    assert!(matches!(panel.press("Keep \"General\"")[..], [Action::KeepModel]));
    panel.expect(&["Kept: General", "Worse."]);
    assert!(matches!(panel.press("Done")[..], [Action::TrainAgain]));
}

#[test]
fn a_trade_leaves_the_choice_to_the_user() {
    let mut panel = Panel::ended(vec![TrainEvent::Evaluated(trade())], done(false));
    panel.expect(&[
        "A trade: better on your species, worse on unseen ones",
        "right in 92.0\u{a0}% for your species (before: 80.0\u{a0}%), in 80.0\u{a0}% for unseen ones (before: 90.0\u{a0}%)",
    ]);
    let size = |label: &str| panel.node(Role::Button, label).unwrap().rect().size();
    assert_eq!(size("Use it for my species"), size("Keep \"General\""));
    let asked = panel.press("Use it for my species");
    assert!(matches!(&asked[..], [Action::Request(Request::UseModel(id))] if id == NEW), "{asked:?}");
    assert!(matches!(panel.press("Train for only these species")[..], [Action::TrainOnlyThese]));
    panel.expect(&["What will you search?"]);
    assert_eq!(panel.0.state().state.train.options.focus, Focus::OnlyThese);
}

#[test]
fn what_chance_alone_could_do_is_no_difference() {
    let same = report(Verdict::NoClearDifference, vec![row(Task::SeenSpecies, 0.883, 0.92, 0.05)]);
    let panel = Panel::ended(vec![TrainEvent::Evaluated(same)], done(false));
    panel.expect(&["No clear difference", "+3.7 points, but chance alone could do that."]);
    panel.expect_not("etter");
}

#[test]
fn in_a_flat_folder_no_look_alike_is_wrong() {
    let flat = |id: i64| {
        let content = ContentHash((id as u128).to_le_bytes());
        Arc::new(Photo::new(PhotoId(id), format!("{id}.jpg").into(), content, Metadata::default()))
    };
    let mut found = EvaluationReport::clone(&report(Verdict::Better, vec![row(Task::AlteredViews, 0.5, 0.7, 0.05)]));
    let photos = |ids: [i64; 5]| ids.map(flat).to_vec();
    found.examples = vec![Example { query: flat(9), before: photos([1, 2, 3, 4, 5]), after: photos([1, 2, 3, 9, 5]) }];
    let mut panel = Panel::ended(vec![TrainEvent::Evaluated(Arc::new(found))], done(true));
    panel.use_model(NEW);
    panel.expect(&[
        "Before: not among the first 5",
        "After: found at 4",
        "After 4: 9.jpg, the photo itself",
        "copies find their original first in 70.0\u{a0}% (before: 50.0\u{a0}%)",
    ]);
    panel.expect_not("wrong");
    panel.expect_not("right");
}

#[test]
fn the_same_model_is_no_decision() {
    let same = report(Verdict::SameModel, Vec::new());
    let mut panel = Panel::ended(
        vec![TrainEvent::Evaluated(same)],
        TrainingEnd::Done { id: PRESENT.into(), used: false, stopped_early: false },
    );
    panel.expect(&["The same model came out again"]);
    panel.expect_not("Undo");
    assert!(matches!(panel.press("Done")[..], [Action::TrainAgain]));
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
        panel.expect(&[words, "Use \"Quick – photos\"", "Keep \"General\""]);
        panel.expect_not("MAP@R");
        panel.expect_not("Measured");
    }
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

//! The panel for training when it is over: the verdict, its proof, and the choice between the two models.

use std::sync::Arc;

use florascope::artefact::{
    EvaluationReport, Example, Interval, NotMeasured, Score, Task, TaskResult, TrainOptions, Verdict,
};
use florascope::metadata::Metadata;
use florascope::photo::{ContentHash, Photo, PhotoId};
use florascope::train::progress::TrainEvent;
use florascope::ui::state::Action;
use florascope::worker::{Request, TrainingEnd};

use super::{NEW, PRESENT, Panel, present};
use florascope::embed::ModelInfo;

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

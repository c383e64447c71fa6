//! What training tells while it runs: plain data, for the window and the command line.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::artefact::{EvaluationReport, NotMeasured, Recipe};
use crate::job::Stage;

pub use super::steps::Step;

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainProgress {
    pub overall: Overall,
    pub stage: Stage,
    /// From 1; 0 where the stage has no epochs.
    pub epoch: u32,
    pub epochs: u32,
    pub step: u64,
    /// Of the whole stage, all epochs; 0 while it is not known.
    pub steps: u64,
    /// Photos a second.
    pub rate: Option<f64>,
    /// Of the stage; in JSON, seconds.
    #[serde(serialize_with = "as_seconds")]
    pub time_left: Option<Duration>,
    /// "CPU, 2 threads".
    pub device: String,
    /// Bytes that the process has in memory.
    pub memory: Option<u64>,
    /// Share of the time that the device computes rather than waits for photos, 0 to 1.
    pub busy: Option<f32>,
}

/// How far the whole of a training is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Overall {
    /// The place of the step that goes on among all steps, from 0.
    pub step: usize,
    /// Within a step that is done several times, from 1; 0 in all others.
    pub round: u32,
    pub rounds: u32,
    /// From 0 to 1; never becomes less.
    pub done: f32,
    /// To the very end; `None` while it cannot be told. In JSON, seconds.
    #[serde(serialize_with = "as_seconds")]
    pub time_left: Option<Duration>,
}

/// Between which times a training will end, most probably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub low: Duration,
    pub high: Duration,
}

/// A point of the curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// In epochs since the beginning, with fractions.
    pub epoch: f64,
    /// Mean loss since the point before; `None` where none was computed.
    pub loss: Option<f64>,
    /// R@1 of held-out photos, 0 to 1; only at the ends of epochs.
    pub validation: Option<f64>,
}

/// What the training job tells.
#[derive(Clone, Debug)]
pub enum TrainEvent {
    /// The steps that there will be; told once more where it turns out otherwise.
    Steps(Arc<[Step]>),
    Progress(TrainProgress),
    /// A further point.
    Curve(CurvePoint),
    /// The whole curve, where a training is resumed or goes back to an earlier state.
    CurveReplaced(Vec<CurvePoint>),
    /// Something the user should know, in plain words: "The loss became infinite; going on at half the rate".
    Notice(String),
    Evaluated(Arc<EvaluationReport>),
}

/// The classes that a training would learn from, for the preview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelPreview {
    /// Classes by name with their photos; those with one photo are too small to learn from.
    pub classes: Vec<(String, usize)>,
    /// Photos right in the folder, without a class.
    pub unlabelled: usize,
    /// Files that could not be read.
    pub problems: usize,
    /// Why the result of quick training could not be measured, as far as that is known before.
    pub quick: Option<NotMeasured>,
    /// And of the training of a whole network.
    pub network: Option<NotMeasured>,
}

impl LabelPreview {
    /// All photos, with labels and without.
    pub(crate) fn photos(&self) -> usize {
        self.unlabelled + self.classes.iter().map(|(_, photos)| photos).sum::<usize>()
    }

    /// Why a recipe's result could not be measured.
    pub(crate) fn not_measured(&self, recipe: Recipe) -> Option<NotMeasured> {
        match recipe {
            Recipe::Quick => self.quick,
            Recipe::Full | Recipe::Tutorial => self.network,
        }
    }
}

#[expect(clippy::ref_option, reason = "what serde hands over")]
fn as_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

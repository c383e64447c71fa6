//! What training tells while it runs and when it is done: plain data, for the window, the command line and the card of
//! the finished model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::job::Stage;
use crate::photo::Photo;

/// Which way a model is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// The backbone stays as it is; a projection head learns on its features. Seconds.
    #[default]
    Quick,
    /// The whole network learns. Minutes on a GPU, longer on a CPU.
    Full,
    /// The tutorial that the program grew out of: a siamese ResNet18 from scratch.
    Tutorial,
}

/// What a head or network is trained to make small. All work on embeddings of length 1, but for the tutorial's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Triplets drawn at random.
    RandomTriplet,
    /// For each anchor the farthest positive and the nearest negative of the batch.
    BatchHardTriplet,
    /// For each anchor and positive the nearest negative that is farther than the positive.
    SemiHardTriplet,
    /// Multi-Similarity with its miner.
    MultiSimilarity,
    /// Proxy-Anchor.
    ProxyAnchor,
    /// A classifier on normalised embeddings and class weights.
    #[default]
    NormalisedSoftmax,
}

/// Which species the model is meant for, where a setting trades the one for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Focus {
    /// Also species that no folder is named after.
    #[default]
    NewSpeciesToo,
    /// Only the species that the folders are named after.
    OnlyThese,
}

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainOptions {
    pub recipe: Recipe,
    /// `None` for the recipe's own.
    pub loss: Option<Loss>,
    /// `None` for the recipe's own.
    pub epochs: Option<u32>,
    pub seed: u64,
    pub focus: Focus,
    /// The model whose backbone is the starting point; `None` for the one in the program.
    pub start: Option<String>,
}

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainProgress {
    pub stage: Stage,
    /// From 1; 0 where the stage has no epochs.
    pub epoch: u32,
    pub epochs: u32,
    pub step: u64,
    /// Of the whole stage, all epochs; 0 while it is not known.
    pub steps: u64,
    /// Photos a second.
    pub rate: Option<f64>,
    /// In JSON, seconds.
    #[serde(serialize_with = "as_seconds")]
    pub time_left: Option<Duration>,
    /// "CPU, 2 threads".
    pub device: String,
    /// Bytes that the process has in memory.
    pub memory: Option<u64>,
    /// Share of the time that the device computes rather than waits for photos, 0 to 1.
    pub busy: Option<f32>,
}

/// A point of the curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// In epochs since the beginning, with fractions.
    pub epoch: f64,
    /// Mean loss since the point before; `None` where none was computed.
    pub loss: Option<f64>,
    /// R@1 of the photos set aside, 0 to 1; only at the ends of epochs.
    pub validation: Option<f64>,
}

/// What the training job tells.
#[derive(Clone, Debug)]
pub enum TrainEvent {
    Progress(TrainProgress),
    Curve(CurvePoint),
    /// Something the user should know, in plain words: "The loss became infinite; going on at half the rate".
    Notice(String),
    Proof(Arc<Proof>),
}

/// A share of queries with its 95 % interval (Wilson's, for recall; by the standard error for MAP@R); 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// What one model reaches at one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub recall_at_1: Interval,
    pub recall_at_5: Interval,
    pub map_at_r: Interval,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Photos kept back, of species that were trained on, against the photos that were trained on.
    SeenSpecies,
    /// Photos of species that were kept back whole, each against all others of these.
    UnseenSpecies,
    /// Without labels: strongly altered views of photos, each to find its own photo among all.
    AlteredViews,
}

impl Task {
    /// Whether one photo only is right for each query. MAP@R then equals R@1, and says nothing new.
    pub fn has_one_answer(self) -> bool {
        self == Self::AlteredViews
    }
}

/// One line of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofRow {
    pub task: Task,
    pub queries: u64,
    /// Photos that were searched among.
    pub gallery: u64,
    pub before: Score,
    pub after: Score,
}

/// Whether the new model is better, measured on photos that it has not learnt from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Empty where there were too few photos to measure.
    pub rows: Vec<ProofRow>,
    /// Folds of the cross-validation; 1 for a plain split.
    pub folds: u32,
    /// Whether the new model is used.
    pub better: bool,
    /// The verdict in one or two sentences for people.
    pub verdict: String,
    /// A few queries before and after; not kept with the model.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

impl Proof {
    /// Whether it was made without labels: a query has to find its own photo, not another one of its species.
    pub fn without_labels(&self) -> bool {
        self.rows.iter().any(|row| row.task.has_one_answer())
    }
}

/// One query and what each model finds first.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub query: Arc<Photo>,
    pub before: Vec<Arc<Photo>>,
    pub after: Vec<Arc<Photo>>,
}

/// The classes that a training would learn from, for the preview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelPreview {
    /// Classes by name with their photos; those with one photo are too small to learn from.
    pub classes: Vec<(String, usize)>,
    /// Photos right in the folder, without a class.
    pub unlabelled: usize,
    /// Sub-folders that the user's photos lie in but that could not be read as photos: problems.
    pub problems: usize,
}

/// Where a model came from and what it is worth: kept in the model's file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainedBy {
    pub options: TrainOptions,
    /// The folder that it was trained on, perhaps on another computer. In the file it is text, whatever its name.
    #[serde(serialize_with = "as_text")]
    pub folder: PathBuf,
    pub photos: u64,
    pub classes: u64,
    pub seconds: f64,
    pub proof: Option<Proof>,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn as_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

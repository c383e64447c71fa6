//! How a model was trained and what it is worth: plain data, kept in its file.
//!
//! What is stored goes by names that are written out here, so that a variant can be renamed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::photo::Photo;

/// Which way a model is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Recipe {
    /// The backbone stays as it is; a projection head learns on its features. Seconds.
    #[default]
    #[serde(rename = "quick")]
    Quick,
    /// The whole network learns. Minutes on a GPU, longer on a CPU.
    #[serde(rename = "full")]
    Full,
    /// The tutorial that the program grew out of: a siamese ResNet18 from scratch.
    #[serde(rename = "tutorial")]
    Tutorial,
}

impl Recipe {
    /// For the ids of models: the same as in a card.
    pub fn id(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Tutorial => "tutorial",
        }
    }

    /// For people, and for titles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "Quick",
            Self::Full => "Full",
            Self::Tutorial => "Tutorial",
        }
    }
}

/// What a head or network is trained to make small. All work on embeddings of length 1, but for the tutorial's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Loss {
    /// Triplets drawn at random.
    #[serde(rename = "random-triplet")]
    RandomTriplet,
    /// For each anchor the farthest positive and the nearest negative of the batch.
    #[serde(rename = "batch-hard-triplet")]
    BatchHardTriplet,
    /// For each anchor and positive the nearest negative that is farther than the positive.
    #[serde(rename = "semi-hard-triplet")]
    SemiHardTriplet,
    /// Multi-Similarity with its miner.
    #[serde(rename = "multi-similarity")]
    MultiSimilarity,
    /// Proxy-Anchor.
    #[serde(rename = "proxy-anchor")]
    ProxyAnchor,
    /// A classifier on normalised embeddings and class weights.
    #[default]
    #[serde(rename = "normalised-softmax")]
    NormalisedSoftmax,
}

/// Which species the model is meant for, where a setting trades the one for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Focus {
    /// Also species that no folder is named after.
    #[default]
    #[serde(rename = "new-species-too")]
    NewSpeciesToo,
    /// Only the species that the folders are named after.
    #[serde(rename = "only-these")]
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
    /// The model whose backbone is the starting point; `None` for the one in use or, where that one's whole network was
    /// trained, the one in the program.
    pub start: Option<String>,
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
pub enum Task {
    /// Photos kept back, of species that were trained on, against the photos that were trained on.
    #[serde(rename = "seen_species")]
    SeenSpecies,
    /// Photos of species that were kept back whole, each against all others of these.
    #[serde(rename = "unseen_species")]
    UnseenSpecies,
    /// Without labels: strongly altered views of photos, each to find its own photo among all.
    #[serde(rename = "altered_views")]
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

//! How a model was trained and what it is worth: plain data, kept in its file.
//!
//! What is stored goes by names that are written out here, so that a variant can be renamed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::ModelId;
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
    pub(crate) const ALL: [Self; 3] = [Self::Quick, Self::Full, Self::Tutorial];

    /// For the ids of models: the same as in a card.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Tutorial => "tutorial",
        }
    }

    /// For people, and for titles.
    pub(crate) fn name(self) -> &'static str {
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
    /// Species that no folder is named after, as for a model that others are to use on theirs.
    #[serde(rename = "other-species")]
    OtherSpecies,
}

impl Focus {
    /// Whether a model that is meant for these species has to be good at a task.
    pub(crate) fn asks_for(self, task: Task) -> bool {
        match self {
            Self::NewSpeciesToo => true,
            Self::OnlyThese => task != Task::UnseenSpecies,
            Self::OtherSpecies => task != Task::SeenSpecies,
        }
    }
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
    pub start: Option<ModelId>,
    /// Learn from all photos, and hold none out: then nothing is measured.
    #[serde(default)]
    pub learn_from_all: bool,
}

/// A share of queries, 0 to 1, with its 95 % interval by resampling species and their photos; or the difference of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// Whether this difference is a gain beyond chance.
    pub(crate) fn is_gain(&self) -> bool {
        self.low > 0.0
    }

    /// Whether this difference is a loss beyond chance.
    pub(crate) fn is_loss(&self) -> bool {
        self.high < 0.0
    }
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
    pub(crate) fn has_one_answer(self) -> bool {
        self == Self::AlteredViews
    }
}

/// What both models reach at one task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub task: Task,
    pub queries: u64,
    /// Photos that were searched among.
    pub gallery: u64,
    pub before: Score,
    pub after: Score,
    /// `after` less `before`. Zeros in the files of versions that did not keep it.
    #[serde(default)]
    pub gain: Score,
}

/// Why a model could not be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMeasured {
    /// Fewer can be held out than an average needs.
    TooFewPhotos,
    /// All photos of each species are one shot, of which none can be held out.
    OneShotPerSpecies,
    /// Most are, so that too few can be held out.
    TooFewShots,
    /// The user wanted all photos to be learnt from.
    NothingHeldOut,
}

/// What an evaluation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", from = "String")]
pub enum Verdict {
    /// Better at one task at least, by more than chance, and worse at none.
    Better,
    /// Better at one task by more than chance, and worse at another.
    Trade,
    /// Worse at one task at least, by more than chance, and better at none by more than chance.
    Worse,
    /// What differs may be chance, or is too little to matter.
    NoClearDifference,
    /// The numbers of the model in use came out once more.
    SameModel,
    NotMeasured(NotMeasured),
    /// What earlier versions of the program have written of every model that was not better.
    NotBetter,
}

impl Verdict {
    const ALL: [Self; 10] = [
        Self::Better,
        Self::Trade,
        Self::Worse,
        Self::NoClearDifference,
        Self::SameModel,
        Self::NotMeasured(NotMeasured::TooFewPhotos),
        Self::NotMeasured(NotMeasured::OneShotPerSpecies),
        Self::NotMeasured(NotMeasured::TooFewShots),
        Self::NotMeasured(NotMeasured::NothingHeldOut),
        Self::NotBetter,
    ];

    /// In files.
    fn id(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Trade => "trade",
            Self::Worse => "worse",
            Self::NoClearDifference => "no_clear_difference",
            Self::SameModel => "same_model",
            Self::NotMeasured(NotMeasured::TooFewPhotos) => "too_few_photos",
            Self::NotMeasured(NotMeasured::OneShotPerSpecies) => "one_shot_per_species",
            Self::NotMeasured(NotMeasured::TooFewShots) => "too_few_shots",
            Self::NotMeasured(NotMeasured::NothingHeldOut) => "nothing_held_out",
            Self::NotBetter => "not_better",
        }
    }
}

impl Default for Verdict {
    fn default() -> Self {
        Self::NotMeasured(NotMeasured::TooFewPhotos)
    }
}

impl From<Verdict> for &'static str {
    fn from(verdict: Verdict) -> Self {
        verdict.id()
    }
}

impl From<String> for Verdict {
    /// Of an id, or of the sentences that the first versions of the program wrote into model files.
    fn from(text: String) -> Self {
        let sentences = [
            ("The new model is better", Self::Better),
            ("Too few photos", Self::default()),
            ("The same model", Self::SameModel),
        ];
        let by_sentence = || sentences.iter().find(|(start, _)| text.starts_with(start)).map(|(_, verdict)| *verdict);
        Self::ALL.into_iter().find(|verdict| verdict.id() == text).or_else(by_sentence).unwrap_or(Self::NotBetter)
    }
}

/// Whether the new model is better, measured on photos that it has not learnt from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// Empty where nothing could be measured.
    pub rows: Vec<TaskResult>,
    /// Folds of the cross-validation; 1 for a plain split.
    pub folds: u32,
    /// Whether the new model is used.
    pub better: bool,
    pub verdict: Verdict,
    /// Names the photos and labels that it was made with; empty in the files of versions that did not keep it.
    #[serde(default)]
    pub dataset: String,
    /// Whether the model before has learnt from photos that it was asked about: it may look better than it is.
    #[serde(default)]
    pub before_is_flattered: bool,
    /// A few queries before and after; not kept with the model.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

impl EvaluationReport {
    /// Whether it was made without labels: a query has to find its own photo, not another one of its species.
    pub(crate) fn without_labels(&self) -> bool {
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
    #[serde(rename = "proof")]
    pub evaluation: Option<EvaluationReport>,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_as_they_were_written_by_every_version() {
        for verdict in Verdict::ALL {
            let text = serde_json::to_string(&verdict).unwrap();
            assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        }
        let old = |verdict: &str| {
            let json = format!(r#"{{"rows": [], "folds": 1, "better": false, "verdict": "{verdict}"}}"#);
            serde_json::from_str::<EvaluationReport>(&json).unwrap().verdict
        };
        assert_eq!(old("The new model is better. For photos of your species, the first"), Verdict::Better);
        assert_eq!(old("The new model is not better; the present one stays in use."), Verdict::NotBetter);
        assert_eq!(old("Too few photos to measure whether the new model is better"), Verdict::default());
        assert_eq!(old("The same model came out once more. It stays in use."), Verdict::SameModel);
    }
}

//! A model as a file: backbone weights, head and card in one safetensors file that can be carried to another computer.
//!
//! In the file, tensors named `backbone.…` are the backbone's weights, where they are not those in the program;
//! `head.N.matrix`, `.centre`, `.power` and `.weight` are the parts of the head. The file's metadata describes the
//! model as JSON: the format's version, the id and the card.

mod card;
mod error;
mod folder;
mod id;
mod load_weights;
mod pack;
#[cfg(test)]
mod tests;
mod trained;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use safetensors::tensor::SafeTensors;

pub use self::card::Card;
use self::card::is_model;
pub(crate) use self::error::ArtefactError;
use self::error::Flaw;
pub use self::folder::ModelFolder;
pub use self::id::ModelId;
pub(crate) use self::load_weights::load_weights;
use self::pack::head_in;
pub use self::trained::{
    EvaluationReport, Example, Focus, Interval, Loss, NotMeasured, Recipe, Score, Task, TaskResult, TrainOptions,
    TrainedBy, Verdict,
};
use crate::catalog::ModelKey;
pub use crate::model::NamedTensor;
use crate::model::{Architecture, Backbone, Head, ModelError, Weights, floats};
use crate::photo::Metric;

/// The id of the model that every library uses until another is chosen: the general network, taught flowers.
pub const BUILT_IN: &str = "full-ff15aba36192";
/// The id of the network that has learnt from ImageNet and never been taught a flower. It names its features in every
/// catalog.
pub const GENERAL: &str = "efficientnet-lite0-imagenet-1";
/// The same network with the features of several levels, to teach.
pub(crate) const MULTILEVEL: &str = "efficientnet-lite0-multilevel-imagenet-1";
/// What model files end in.
pub(crate) const EXTENSION: &str = "safetensors";
/// Comes before the names of the backbone's weights.
const BACKBONE: &str = "backbone.";
/// Characters of a title.
const MAX_TITLE: usize = 60;

/// A model, ready to be opened on any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Names the model in catalogs: embeddings of one id can be compared with each other.
    pub id: ModelId,
    pub card: Arc<Card>,
    /// Floats in an embedding.
    pub dimension: usize,
    /// The safetensors file; `None` for ImageNet's weights in the program.
    file: Option<Arc<[u8]>>,
}

/// A model in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSummary {
    /// [`Model::id`].
    pub id: ModelId,
    pub card: Arc<Card>,
    /// Bytes on disk; 0 for those in the program.
    pub size: u64,
}

impl ModelSummary {
    /// Whether it is in the program, and cannot be renamed, exported or deleted.
    pub(crate) fn is_built_in(&self) -> bool {
        is_built_in(&self.id)
    }
}

pub(crate) fn is_built_in(id: &str) -> bool {
    [BUILT_IN, GENERAL, MULTILEVEL].contains(&id)
}

impl Model {
    /// The model that every library uses until another is chosen, `assets/flowers.safetensors`: its card tells how it was
    /// made. The general network where that file is damaged, which a test looks after.
    pub fn built_in() -> Self {
        static FLOWERS: LazyLock<Model> = LazyLock::new(|| {
            let file = include_bytes!("../../assets/flowers.safetensors").to_vec();
            Model::from_bytes(file, Path::new("flowers.safetensors")).unwrap_or_else(|error| {
                log::error!("{error}");
                Model::general()
            })
        });
        FLOWERS.clone()
    }

    /// EfficientNet-Lite0 with ImageNet weights.
    pub fn general() -> Self {
        Self::with_imagenet_weights(GENERAL, "General", Architecture::EfficientNetLite0)
    }

    /// The same weights, but features of several levels: what a model for other species is taught from.
    pub(crate) fn multilevel() -> Self {
        Self::with_imagenet_weights(MULTILEVEL, "General, several levels", Architecture::EfficientNetLite0Multilevel)
    }

    fn with_imagenet_weights(id: &str, title: &str, architecture: Architecture) -> Self {
        let card = Card {
            title: title.into(),
            architecture,
            backbone: id.into(),
            metric: Metric::Cosine,
            made: 0,
            trained: None,
        };
        Self { id: id.into(), card: Arc::new(card), dimension: architecture.dimension(), file: None }
    }

    /// What its embeddings are called in the catalog.
    pub fn key(&self) -> ModelKey<'_> {
        ModelKey { name: &self.id, backbone: &self.card.backbone, metric: self.card.metric }
    }

    /// The backbone's weights, to open it with: the file's own, or those in the program.
    ///
    /// # Errors
    /// When they are damaged.
    pub(crate) fn weights(&self) -> Result<Weights<'_>, ModelError> {
        match self.file.as_ref().filter(|_| self.card.backbone != GENERAL) {
            Some(file) => Weights::from_bytes(file, BACKBONE),
            None => Weights::general(),
        }
    }

    /// The backbone's weights as tensors, to pack them into a further model; none where they are those in the program.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn backbone_tensors(&self) -> Result<Vec<NamedTensor>, ArtefactError> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let tensors = SafeTensors::deserialize(file)?;
        let own = tensors.iter().filter_map(|(name, view)| Some((name.strip_prefix(BACKBONE)?, view)));
        Ok(own
            .map(|(name, view)| NamedTensor {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values: floats(view.data()).collect(),
            })
            .collect())
    }

    /// Whether the backbone's weights are all there and are its architecture's, by opening it on the CPU.
    ///
    /// # Errors
    /// When they are not.
    fn check_backbone(&self) -> Result<(), ModelError> {
        if self.card.backbone == GENERAL { Ok(()) } else { Backbone::check(self.card.architecture, &self.weights()?) }
    }

    /// The head, where there is one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn head(&self) -> Result<Option<Head>, String> {
        let Some(file) = &self.file else { return Ok(None) };
        head_in(&SafeTensors::deserialize(file).map_err(|error| error.to_string())?)
    }

    /// Bytes of the file; 0 for the model in the program.
    pub(crate) fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.len() as u64)
    }

    /// As it stands in a list.
    pub fn summary(&self) -> ModelSummary {
        ModelSummary { id: self.id.clone(), card: Arc::clone(&self.card), size: self.size() }
    }
}

//! What may go wrong in a training.

use super::MIN_PHOTOS;
use super::crops::CropThreadDied;
use super::dataset::DatasetError;
use crate::artefact::ArtefactError;
use crate::catalog::CatalogError;
use crate::device::{NoSuchDevice, says_out_of_memory};
use crate::embed::EmbedError;
use crate::model::ModelError;

/// Why no model came of it.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("Too few photos to learn from: {found}; at least {MIN_PHOTOS} are needed")]
    TooFewPhotos { found: usize },
    #[error(
        "This recipe learns from sub-folders named after species, with two photos or more in at least two of them. There are no such two here; choose the quick recipe, which also learns without"
    )]
    NoClasses,
    #[error(
        "Training diverged again and again and was given up; the model in use stays. Try another loss under Advanced"
    )]
    Diverged,
    #[error("The memory is too small even for small batches; close other programs, or choose a smaller network")]
    OutOfMemory,
    #[error("The stopped training cannot be resumed, for its checkpoint is incomplete ({0}). Start it anew")]
    Checkpoint(ModelError),
    #[error(transparent)]
    CropLoader(#[from] CropThreadDied),
    #[error("{0}")]
    Index(String),
    #[error("A thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    NoSuchDevice(#[from] NoSuchDevice),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

impl TrainError {
    /// Whether a smaller batch might have fitted.
    pub(super) fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Model(ModelError::Torch(error)) if says_out_of_memory(&error.to_string()))
    }
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::Model(error.into())
    }
}

impl From<DatasetError> for TrainError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Catalog(error) => Self::Catalog(error),
            DatasetError::Model(error) => Self::Model(error),
        }
    }
}

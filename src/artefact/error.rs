//! Why a model file cannot be used or written.

use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;

/// Why a model file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    #[error("The file cannot be used ({error}): {path}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("Models cannot be kept: their folder could not be made ({error}). Move away what is in its place: {path}", path = .path.display())]
    NoFolder { path: PathBuf, error: io::Error },
    #[error("This is no Florascope model ({reason}). To use a network's weights, choose \"Import a network…\": {path}", path = .path.display())]
    NotOurs { path: PathBuf, reason: String },
    #[error("The model's file is damaged ({reason}): {path}", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("This model was made by a newer version of Florascope; update the program to use it: {path}", path = .0.display())]
    TooNew(PathBuf),
    #[error("There is no model {0} on this computer")]
    Unknown(String),
    #[error("The built-in model is part of every Florascope; it cannot be renamed, deleted or exported")]
    BuiltIn,
    #[error("A model needs a name")]
    NoTitle,
    #[error("The model could not be saved: {0}")]
    Pack(String),
}

impl From<SafeTensorError> for ArtefactError {
    fn from(error: SafeTensorError) -> Self {
        Self::Pack(error.to_string())
    }
}

/// Why bytes are no model; the path is added where one is known.
pub(super) enum Flaw {
    NotOurs(String),
    Damaged(String),
    TooNew,
}

impl From<String> for Flaw {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl Flaw {
    pub(super) fn at(self, path: &Path) -> ArtefactError {
        let path = path.to_owned();
        match self {
            Self::NotOurs(reason) => ArtefactError::NotOurs { path, reason },
            Self::Damaged(reason) => ArtefactError::Damaged { path, reason },
            Self::TooNew => ArtefactError::TooNew(path),
        }
    }
}

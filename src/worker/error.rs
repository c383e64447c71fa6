//! Why a library could not be opened.

use std::path::PathBuf;

use crate::catalog::CatalogError;
use crate::embed::EmbedError;
use crate::query::QueryError;

/// Why a library could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("The folder is not there. Was it renamed, or is its drive not connected? {}", .0.display())]
    Gone(PathBuf),
    #[error("The folder cannot be opened ({error}): {path}", path = .path.display())]
    Folder { path: PathBuf, error: std::io::Error },
    #[error("The program's data cannot be written ({error}). Make room there or choose another folder with --data-dir: {path}", path = .path.display())]
    Data { path: PathBuf, error: std::io::Error },
    #[error("Another Florascope has this library open; close it there first: {}", .0.display())]
    InUse(PathBuf),
    #[error("A thread could not be started: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

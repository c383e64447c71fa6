//! The model that a library uses, and the change to another one: the catalog is brought up to date with the new model
//! first, while the old one still answers, and the change counts only when that is complete.

use std::path::PathBuf;

use crate::artefact::{ArtefactError, Model, ModelFolder};
use crate::catalog::{Catalog, CatalogError};
use crate::embed::Embedder;
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome};
use crate::library::{DataFolder, Library};

/// Facts of a catalog: ids of models.
const IN_USE: &str = "model in use";
const WANTED: &str = "model wanted";

/// The model that a library uses; the one in the program where it has chosen none, or where that is gone.
///
/// # Errors
/// When the catalog cannot be read.
pub fn model_in_use(catalog: &Catalog, models: &ModelFolder) -> Result<Model, CatalogError> {
    Ok(load(catalog, models, IN_USE)?.unwrap_or_else(Model::built_in))
}

/// The model that a library was changing to when the program ended.
///
/// # Errors
/// When the catalog cannot be read.
pub fn model_wanted(catalog: &Catalog, models: &ModelFolder) -> Result<Option<Model>, CatalogError> {
    load(catalog, models, WANTED)
}

fn load(catalog: &Catalog, models: &ModelFolder, fact: &str) -> Result<Option<Model>, CatalogError> {
    let Some(id) = catalog.fact(fact)? else { return Ok(None) };
    let id = String::from_utf8_lossy(&id);
    Ok(models.load(&id).inspect_err(|error| log::warn!("{error}; the built-in model is used instead")).ok())
}

/// Changes a library to the model of `embedder`. After anything but [`Outcome::Done`] the old one is in use still; what
/// was embedded is kept for the next time. The caller holds the library's lock.
pub fn change_model(
    library: &Library,
    catalog: &mut Catalog,
    id: &str,
    embedder: &Embedder,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Outcome {
    let failed = |error: CatalogError| Outcome::Failed { message: error.to_string() };
    if let Err(error) = catalog.set_fact(WANTED, id.as_bytes()) {
        return failed(error);
    }
    let outcome = ingest(library, catalog, embedder, cancel, events);
    if !matches!(outcome, Outcome::Done { .. }) {
        return outcome;
    }
    match catalog.set_fact(IN_USE, id.as_bytes()).and_then(|()| catalog.forget_fact(WANTED)) {
        Ok(()) => outcome,
        Err(error) => failed(error),
    }
}

/// Gives up a change that was not completed.
///
/// # Errors
/// When nothing could be written.
pub fn keep_present(catalog: &mut Catalog) -> Result<(), CatalogError> {
    catalog.forget_fact(WANTED)
}

/// Why a model was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("This model is in use; first choose another one for {}", names(.0))]
    InUse(Vec<PathBuf>),
    #[error("The program's data cannot be listed: {0}")]
    Data(#[from] std::io::Error),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

/// Deletes a model that no folder uses or wants. A folder that is not there now does not count, for nobody could choose
/// another model for it; such ones are returned. When they come back they take the built-in model.
///
/// # Errors
/// When the model is in use, or its file cannot be deleted.
pub fn delete_model(data: &DataFolder, models: &ModelFolder, id: &str) -> Result<Vec<PathBuf>, DeleteError> {
    let uses = |library: &Library| {
        let catalog = Catalog::open_read_only(&library.folder);
        let uses = catalog.and_then(|catalog| catalog.map_or(Ok(false), |catalog| needs(&catalog, id)));
        // A catalog that cannot be read uses nothing.
        uses.inspect_err(|error| log::warn!("{error}")).unwrap_or(false)
    };
    let folders = data.libraries()?.into_iter().filter(uses).map(|library| library.root);
    let (here, away): (Vec<_>, Vec<_>) = folders.partition(|root| root.is_dir());
    if !here.is_empty() {
        return Err(DeleteError::InUse(here));
    }
    models.delete(id)?;
    Ok(away)
}

/// Folders in a row, for people.
pub fn names(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn needs(catalog: &Catalog, id: &str) -> Result<bool, CatalogError> {
    let is = |fact| Ok::<_, CatalogError>(catalog.fact(fact)?.is_some_and(|value| value == id.as_bytes()));
    Ok(is(IN_USE)? || is(WANTED)?)
}

//! The model that a library uses, and the change to another one: the catalog is brought up to date with the new model
//! first, while the old one still answers, and the change counts only when that is complete.

use crate::artefact::{BUILT_IN, Model, ModelFolder};
use crate::catalog::{Catalog, CatalogError};
use crate::embed::Embedder;
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome};
use crate::library::Library;

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

/// Whether a library uses or wants a model; nobody may delete it then.
///
/// # Errors
/// When the catalog cannot be read.
pub fn needs(catalog: &Catalog, id: &str) -> Result<bool, CatalogError> {
    let is = |fact| Ok::<_, CatalogError>(catalog.fact(fact)?.is_some_and(|value| value == id.as_bytes()));
    Ok(id == BUILT_IN || is(IN_USE)? || is(WANTED)?)
}

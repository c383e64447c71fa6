//! The model that a library uses, and the change to another one: the library is embedded with the new model first, while
//! the old one still answers, and the change counts only when that is complete. What no model needs any more is thrown
//! away here, too.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::artefact::{ArtefactError, BUILT_IN, GENERAL, Model, ModelFolder, ModelId, ModelSummary, is_built_in};
use crate::catalog::{Catalog, CatalogError};
use crate::embed::Embedder;
use crate::ingest::embed_library;
use crate::job::{Cancel, Outcome, Progress};
use crate::library::{DataFolder, Library};
use crate::train::checkpoint;

/// Facts of a catalog: ids of models.
const ACTIVE: &str = "model in use";
const WANTED: &str = "model wanted";

/// The model that a library uses; the built-in one where it has chosen none, or where that is gone.
///
/// # Errors
/// When the catalog cannot be read.
pub fn active_model(catalog: &Catalog, models: &ModelFolder) -> Result<Model, CatalogError> {
    match catalog.fact(ACTIVE)?.and_then(|id| load(&id, models)) {
        Some(model) => Ok(model),
        None => unchosen(catalog),
    }
}

/// The model of a library that has chosen none.
fn unchosen(catalog: &Catalog) -> Result<Model, CatalogError> {
    Ok(if has_older_default(catalog)? { Model::general() } else { Model::built_in() })
}

/// Whether only the general network has embedded the whole library, as in a version in which that was the built-in model:
/// it answers until the library is embedded with what is built in now.
fn has_older_default(catalog: &Catalog) -> Result<bool, CatalogError> {
    let has_general = catalog.models()?.iter().any(|name| name == GENERAL);
    Ok(has_general && catalog.lacks_embeddings(BUILT_IN)?)
}

/// The model that a library was changing to when the program ended; or that one of an older version has to change to: what
/// is built in now, unless the user has chosen another, or a stopped training goes on with the older one.
///
/// # Errors
/// When the catalog cannot be read.
pub(crate) fn model_wanted(
    library: &Library,
    catalog: &Catalog,
    models: &ModelFolder,
) -> Result<Option<Model>, CatalogError> {
    if let Some(id) = catalog.fact(WANTED)? {
        return Ok(load(&id, models));
    }
    let is_unchosen = catalog.fact(ACTIVE)?.is_none();
    let changes = is_unchosen && has_older_default(catalog)? && checkpoint::pending(&library.folder).is_none();
    Ok(changes.then(Model::built_in))
}

fn load(id: &[u8], models: &ModelFolder) -> Option<Model> {
    let id = String::from_utf8_lossy(id);
    models.load(&id).inspect_err(|error| log::warn!("{error}; the built-in model is used instead")).ok()
}

/// Changes a library to the model of `embedder`. After anything but [`Outcome::Done`] the old one is in use still; what
/// was embedded is kept for the next time. A change that failed is given up; one that was stopped, or leads to the built-in
/// model, goes on when the library is next opened, unless [`cancel_model_change`] is called. What is new in the folder is
/// not looked for: an [`crate::ingest::ingest`] with the new model has to follow. The caller holds the library's lock.
pub(crate) fn change_model(
    library: &Library,
    catalog: &mut Catalog,
    id: &str,
    embedder: &Embedder,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Progress),
) -> Outcome {
    let mut change = |catalog: &mut Catalog| -> Result<Outcome, CatalogError> {
        let before = needs(catalog)?.active;
        let had_chosen = catalog.fact(ACTIVE)?.is_some();
        // In this order: with both, a change that is stopped is known, and what answers until then by name.
        catalog.set_fact(WANTED, id.as_bytes())?;
        catalog.set_fact(ACTIVE, before.as_bytes())?;
        let outcome = embed_library(library, catalog, embedder, cancel, progress);
        match &outcome {
            Outcome::Done { .. } => catalog.set_fact(ACTIVE, id.as_bytes())?,
            Outcome::Cancelled { .. } => return Ok(outcome),
            // Not the model's fault: it is tried again.
            Outcome::Failed { .. } if id == BUILT_IN => return Ok(outcome),
            Outcome::Failed { .. } if !had_chosen => catalog.forget_fact(ACTIVE)?,
            Outcome::Failed { .. } => {}
        }
        catalog.forget_fact(WANTED)?;
        Ok(outcome)
    };
    change(catalog).unwrap_or_else(|error| Outcome::Failed { message: error.to_string() })
}

/// Gives up a change that was not completed.
///
/// # Errors
/// When nothing could be written.
pub(crate) fn cancel_model_change(catalog: &mut Catalog) -> Result<(), CatalogError> {
    catalog.forget_fact(WANTED)
}

/// The models that a library needs.
pub(crate) struct Needs {
    /// The one in use, whether it is there or not.
    pub(crate) active: ModelId,
    /// The one that it is changing to.
    pub(crate) wanted: Option<ModelId>,
}

/// The models that a library needs.
///
/// # Errors
/// When the catalog cannot be read.
pub(crate) fn needs(catalog: &Catalog) -> Result<Needs, CatalogError> {
    let id = |fact| Ok::<_, CatalogError>(catalog.fact(fact)?.map(|id| String::from_utf8_lossy(&id).as_ref().into()));
    let active = match id(ACTIVE)? {
        Some(active) => active,
        None => unchosen(catalog)?.id,
    };
    Ok(Needs { active, wanted: id(WANTED)? })
}

/// Why a model was not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
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
pub(crate) fn delete_model(data: &DataFolder, models: &ModelFolder, id: &str) -> Result<Vec<PathBuf>, DeleteError> {
    if is_built_in(id) {
        return Err(ArtefactError::BuiltIn.into());
    }
    let uses = |library: &Library| {
        let catalog = Catalog::open_read_only(&library.folder);
        let uses = catalog.and_then(|catalog| catalog.map_or(Ok(false), |catalog| is_needed(&catalog, id)));
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

/// Throws away the embeddings and features that no model needs any more: what is kept are those of every model on this
/// computer and of its backbone, but not of a model of the id `unused`, or of the general network, unless this library
/// uses it. Where the models cannot all be read, only what the general network gave is thrown away, in libraries that use
/// the built-in model; and nothing while a training can go on, which has features of its own. That it fails is only
/// logged: it is done when the library is next indexed. The caller holds the library's lock, and no job runs on the
/// library.
pub(crate) fn forget_unneeded(library: &Library, catalog: &mut Catalog, models: &ModelFolder, unused: Option<&str>) {
    if checkpoint::pending(&library.folder).is_none() {
        let forgotten = catalog.models().and_then(|names| forget(catalog, names, models, unused));
        log_failure(forgotten);
    }
}

/// [`forget_unneeded`] in all libraries that nobody has open.
pub(crate) fn forget_unneeded_everywhere(data: &DataFolder, models: &ModelFolder) {
    let forget = |library: &Library| -> Result<(), Box<dyn std::error::Error>> {
        let Some(_lock) = library.try_lock()? else { return Ok(()) };
        if Catalog::open_read_only(&library.folder)?.is_some() {
            forget_unneeded(library, &mut Catalog::open(&library.folder)?, models, None);
        }
        Ok(())
    };
    data.libraries().unwrap_or_default().iter().for_each(|library| log_failure(forget(library)));
}

/// Throws away the embeddings of a model that was deleted, and its backbone's features where no other model needs them.
/// That it fails is only logged, as in [`forget_unneeded`]. The caller holds the library's lock.
pub(crate) fn forget_deleted(library: &Library, models: &ModelFolder, deleted: &ModelSummary) {
    let names = vec![deleted.id.to_string(), deleted.card.backbone.to_string()];
    log_failure(Catalog::open(&library.folder).and_then(|mut catalog| forget(&mut catalog, names, models, None)));
}

fn log_failure<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        log::warn!("What no model needs any more could not be thrown away: {error}");
    }
}

fn forget(
    catalog: &mut Catalog,
    mut names: Vec<String>,
    models: &ModelFolder,
    unused: Option<&str>,
) -> Result<(), CatalogError> {
    let known = match models.list_all() {
        Ok(known) => known,
        Err(error) => {
            log::info!("Embeddings of models that are gone are kept, for not all models can be read: {error}");
            // But for those that a library with the built-in model has no use for, whatever models there are.
            let uses_built_in = needs(catalog)?.active == *BUILT_IN;
            names.retain(|name| uses_built_in && name == GENERAL);
            Vec::new()
        }
    };
    let uses_general = is_needed(catalog, GENERAL)?;
    let unused = match unused {
        Some(id) if is_needed(catalog, id)? => None,
        unused => unused,
    };
    // What the general network gave is soon there again; most libraries never ask for it.
    let is_kept = |model: &&ModelSummary| Some(model.id.as_str()) != unused && (model.id != *GENERAL || uses_general);
    let kept = known.iter().filter(is_kept);
    let kept: HashSet<&str> = kept.flat_map(|model| [model.id.as_str(), model.card.backbone.as_str()]).collect();
    names.retain(|name| !kept.contains(name.as_str()));
    if names.is_empty() { Ok(()) } else { catalog.forget_models(&names) }
}

/// Folders in a row, for people.
pub(crate) fn names(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn is_needed(catalog: &Catalog, id: &str) -> Result<bool, CatalogError> {
    let Needs { active, wanted } = needs(catalog)?;
    Ok(active == *id || wanted.is_some_and(|wanted| wanted == *id))
}

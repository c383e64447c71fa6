//! What a training is to do, and what it begins with: the same for the window and the command line.

use crate::artefact::{ArtefactError, Focus, GENERAL, Model, ModelFolder, Recipe, TrainOptions, is_built_in};
use crate::device::DeviceChoice;
use crate::embed::Embedder;
use crate::job::Cancel;
use crate::library::Library;
use crate::photo::Metric;

/// What the user wants, and what is there to do it with. The caller holds the library's lock.
pub struct TrainingPlan<'a> {
    pub library: &'a Library,
    pub models: &'a ModelFolder,
    pub device: DeviceChoice,
    /// The model in use, to compare with.
    pub active: &'a Model,
    /// Of that model.
    pub embedder: &'a Embedder,
    pub options: &'a TrainOptions,
    /// Go on from the last checkpoint, where there is one of the same options.
    pub resume: bool,
    /// Ends the learning and keeps the best so far.
    pub stop: &'a Cancel,
    /// Ends everything; a training of a whole network can be resumed.
    pub cancel: &'a Cancel,
}

/// The model that a training begins with: the one that the user chose; else the backbone in use, unless it has been trained
/// itself, on this folder perhaps: what is held out for the evaluation would not be new to it.
pub(super) fn start_model(
    models: &ModelFolder,
    active: &Model,
    options: &TrainOptions,
) -> Result<Model, ArtefactError> {
    let start = chosen_start(models, active, options)?;
    // What serves species that it was not trained on comes from more than the last layer.
    let can_give_more = options.focus == Focus::OtherSpecies && options.recipe == Recipe::Full;
    Ok(if can_give_more && start.card.backbone == GENERAL { Model::multilevel() } else { start })
}

fn chosen_start(models: &ModelFolder, active: &Model, options: &TrainOptions) -> Result<Model, ArtefactError> {
    if let Some(id) = &options.start {
        return models.load(id);
    }
    let trained = active.card.trained.as_ref();
    let is_fresh = trained.is_none_or(|trained| trained.options.recipe == Recipe::Quick) || is_built_in(&active.id);
    let fits = is_fresh && active.card.metric == Metric::Cosine;
    Ok(if fits { active.clone() } else { Model::built_in() })
}

//! A training from the user's wish to the finished model, for the window and the command line alike: the starting model
//! is chosen, the catalog brought up to date with it, and then learnt from.

use super::report::{Recipe, TrainEvent, TrainOptions};
use super::{TrainError, Trained, Training};
use crate::artefact::{ArtefactError, Model, ModelFolder};
use crate::catalog::Catalog;
use crate::device::DeviceChoice;
use crate::embed::Embedder;
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome};
use crate::library::Library;
use crate::photo::Metric;

/// What the user wants, and what is there to do it with. The caller holds the library's lock.
pub struct TrainingPlan<'a> {
    pub library: &'a Library,
    pub models: &'a ModelFolder,
    pub device: DeviceChoice,
    /// The model in use.
    pub present: &'a Model,
    /// Of that model.
    pub embedder: &'a Embedder,
    pub options: &'a TrainOptions,
    /// Go on from the last checkpoint.
    pub resume: bool,
    /// Ends the learning and keeps the best so far.
    pub stop: &'a Cancel,
    /// Ends everything; a training of a whole network can be resumed.
    pub cancel: &'a Cancel,
}

/// What is told meanwhile.
pub enum PlanEvent {
    /// Of the indexing that comes first, with the model in use.
    Ingest(IngestEvent),
    /// Of indexing with another model.
    OfAnotherModel(IngestEvent),
    Training(TrainEvent),
}

impl TrainingPlan<'_> {
    /// Indexes what is missing, trains, proves and saves; `None` where it was stopped before there was anything to keep.
    ///
    /// # Errors
    /// When there is too little to learn from, or something fails.
    pub fn run(&self, events: &mut dyn FnMut(PlanEvent)) -> Result<Option<Trained>, TrainError> {
        let start = start_model(self.models, self.present, self.options)?;
        let same_backbone = start.card.backbone == self.present.card.backbone;
        let embedder = if same_backbone { self.embedder.clone() } else { Embedder::start(self.device, start.clone())? };
        let mut catalog = Catalog::open(&self.library.folder)?;
        // The present model, too, has to know all photos: it is what the new one is compared with.
        let mut outcome = ingest(self.library, &mut catalog, self.embedder, self.cancel, &mut |event| {
            events(PlanEvent::Ingest(event));
        });
        if !same_backbone && matches!(outcome, Outcome::Done { .. }) {
            outcome = ingest(self.library, &mut catalog, &embedder, self.cancel, &mut |event| {
                events(PlanEvent::OfAnotherModel(event));
            });
        }
        match outcome {
            Outcome::Done { .. } => {}
            Outcome::Cancelled { .. } => return Ok(None),
            Outcome::Failed { message } => return Err(TrainError::Index(message)),
        }
        let training = Training {
            library: self.library,
            models: self.models,
            device: self.device,
            present: self.present,
            start: &start,
            embedder: &embedder,
            options: self.options,
            resume: self.resume,
            stop: self.stop,
            cancel: self.cancel,
        };
        training.run(&mut |event| events(PlanEvent::Training(event)))
    }
}

/// The model that a training begins with: the one that the user chose; else the backbone in use, unless it has been trained
/// itself, on this folder perhaps: what is set aside for the proof would not be new to it.
pub(super) fn start_model(
    models: &ModelFolder,
    present: &Model,
    options: &TrainOptions,
) -> Result<Model, ArtefactError> {
    if let Some(id) = &options.start {
        return models.load(id);
    }
    let trained = present.card.trained.as_ref();
    let is_fresh = trained.is_none_or(|trained| trained.options.recipe == Recipe::Quick);
    let fits = is_fresh && present.card.metric == Metric::Cosine;
    Ok(if fits { present.clone() } else { Model::built_in() })
}

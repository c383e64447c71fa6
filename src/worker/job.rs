//! A long work on the open library, on a thread of its own: indexing, training, the change to another model.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::OpenError;
use super::messages::TrainingEnd;
use crate::artefact::{Model, ModelFolder};
use crate::catalog::{Catalog, Changes};
use crate::device::DeviceChoice;
use crate::embed::{Embedder, ModelInfo};
use crate::garden;
use crate::in_use::{change_model, keep_present};
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome, Progress, give_way};
use crate::library::{Library, WriterLock};
use crate::query::Gallery;
use crate::train::Trained;
use crate::train::plan::{PlanEvent, TrainingPlan};
use crate::train::report::{TrainEvent, TrainOptions};

/// How far a job stands back for the worker's thread, which answers queries.
const NICE_OF_JOBS: i32 = 5;

/// A long work on the open library.
#[derive(Clone, Debug)]
pub(super) enum JobKind {
    Index,
    Train {
        options: TrainOptions,
        resume: bool,
    },
    /// Take the model of this id into use.
    Use(String),
}

pub(super) enum JobMessage {
    Event(IngestEvent),
    Training(TrainEvent),
    TrainingEnded(TrainingEnd),
    ModelFailed(String),
    Changed(Box<Changed>),
    Ended(Outcome),
}

/// A model that has been taken into use, and all that answers with it.
pub(super) struct Changed {
    pub(super) model: Model,
    pub(super) embedder: Embedder,
    pub(super) info: ModelInfo,
    pub(super) gallery: Gallery,
}

pub(super) struct RunningJob {
    pub(super) messages: Receiver<JobMessage>,
    pub(super) cancel: Cancel,
    /// Ends only the learning, and keeps the best so far.
    pub(super) stop: Cancel,
    pub(super) thread: JoinHandle<()>,
    pub(super) device: DeviceChoice,
    pub(super) is_training: bool,
    /// It ends, if all goes well, with another model in use.
    pub(super) changes_model: bool,
    /// The user has cancelled it, rather than closed the library.
    pub(super) given_up: bool,
    /// When the window was last told how far the training is, and of which stage.
    pub(super) told: Option<(Instant, &'static str)>,
}

impl RunningJob {
    /// Starts the work on a thread of its own, which holds the library's lock.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        number: u64,
        work: JobWork,
        messages: Receiver<JobMessage>,
        lock: Arc<WriterLock>,
    ) -> std::io::Result<Self> {
        let (cancel, stop, device) = (work.cancel.clone(), work.stop.clone(), work.device);
        let is_training = matches!(work.kind, JobKind::Train { .. });
        let changes_model = !matches!(work.kind, JobKind::Index);
        let thread = std::thread::Builder::new().name(format!("job-{number}")).spawn(move || {
            give_way(NICE_OF_JOBS);
            work.run();
            drop(lock);
        })?;
        let (given_up, told) = (false, None);
        Ok(Self { messages, cancel, stop, thread, device, is_training, changes_model, given_up, told })
    }
}

/// A job as it runs on its thread.
pub(super) struct JobWork {
    pub(super) kind: JobKind,
    pub(super) library: Arc<Library>,
    pub(super) draw_garden: bool,
    pub(super) models: ModelFolder,
    pub(super) device: DeviceChoice,
    /// The model in use.
    pub(super) present: Model,
    /// Of that model.
    pub(super) embedder: Embedder,
    pub(super) cancel: Cancel,
    pub(super) stop: Cancel,
    pub(super) messages: Sender<JobMessage>,
}

impl JobWork {
    fn run(&self) {
        let drawn = if self.draw_garden { self.draw() } else { None };
        let outcome = drawn.unwrap_or_else(|| match &self.kind {
            JobKind::Index => self.index(),
            JobKind::Use(id) => match self.models.load(id) {
                Ok(model) => self.use_model(model),
                Err(error) => {
                    self.send(JobMessage::ModelFailed(error.to_string()));
                    Outcome::Done { completed: 0 }
                }
            },
            JobKind::Train { options, resume } => self.train(options, *resume),
        });
        self.send(JobMessage::Ended(outcome));
    }

    fn send(&self, message: JobMessage) {
        // When nobody listens any more the library has been closed, and the job is being cancelled.
        let _ = self.messages.send(message);
    }

    fn index(&self) -> Outcome {
        match Catalog::open(&self.library.folder) {
            Ok(mut catalog) => ingest(&self.library, &mut catalog, &self.embedder, &self.cancel, &mut |event| {
                self.send(JobMessage::Event(event));
            }),
            Err(error) => Outcome::Failed { message: error.to_string() },
        }
    }

    /// Brings the catalog up to date with another model; the old one answers meanwhile.
    fn use_model(&self, model: Model) -> Outcome {
        let change = || -> Result<Outcome, OpenError> {
            let mut catalog = Catalog::open(&self.library.folder)?;
            let embedder = Embedder::start(self.device, model.clone()).map_err(OpenError::Thread)?;
            let outcome = change_model(&self.library, &mut catalog, &model.id, &embedder, &self.cancel, &mut |event| {
                self.send(JobMessage::Event(of_another_model(event)));
            });
            if matches!(outcome, Outcome::Done { .. }) {
                let info = embedder.info()?;
                let gallery = Gallery::load(&catalog, info.key(), info.dimension)?;
                self.send(JobMessage::Changed(Box::new(Changed { model, embedder, info, gallery })));
                // What has been embedded anew is no news of the folder.
                return Ok(Outcome::Done { completed: 0 });
            }
            if !matches!(outcome, Outcome::Cancelled { .. }) {
                keep_present(&mut catalog)?;
            }
            Ok(outcome)
        };
        change().unwrap_or_else(|error| Outcome::Failed { message: error.to_string() })
    }

    fn train(&self, options: &TrainOptions, resume: bool) -> Outcome {
        let plan = TrainingPlan {
            library: &self.library,
            models: &self.models,
            device: self.device,
            present: &self.present,
            embedder: &self.embedder,
            options,
            resume,
            stop: &self.stop,
            cancel: &self.cancel,
        };
        let result = plan.run(&mut |event| {
            self.send(match event {
                PlanEvent::Ingest(event) => JobMessage::Event(event),
                PlanEvent::OfAnotherModel(event) => JobMessage::Event(of_another_model(event)),
                PlanEvent::Training(event) => JobMessage::Training(event),
            });
        });
        let (end, model) = match result {
            Ok(Some(Trained { model, proof, stopped_early, .. })) => {
                let end = TrainingEnd::Done { id: model.id.clone(), used: proof.better, stopped_early };
                (end, Some(model).filter(|_| proof.better))
            }
            Ok(None) => (TrainingEnd::Stopped, None),
            Err(error) => (TrainingEnd::Failed { message: error.to_string() }, None),
        };
        self.send(JobMessage::TrainingEnded(end));
        model.map_or(Outcome::Done { completed: 0 }, |model| self.use_model(model))
    }

    /// Draws what is missing of the sample garden; an outcome where the job ends with it.
    fn draw(&self) -> Option<Outcome> {
        let mut drawn = 0;
        let result = garden::write(&self.library.root, &mut |done, total| {
            drawn = done as u64;
            let progress = Progress { done: drawn, ..Progress::begin("Drawing the sample garden", Some(total as u64)) };
            let _ = self.messages.send(JobMessage::Event(IngestEvent::Progress(progress)));
            !self.cancel.is_cancelled()
        });
        match result {
            Ok(true) => None,
            Ok(false) => Some(Outcome::Cancelled { completed: drawn }),
            Err(error) => Some(Outcome::Failed { message: format!("The sample garden could not be written: {error}") }),
        }
    }
}

/// What a job that works with another model than the one in use means to the gallery: photos may be gone, but new ones
/// have to wait for their embeddings.
pub(super) fn of_another_model(event: IngestEvent) -> IngestEvent {
    match event {
        IngestEvent::Committed(changes) => IngestEvent::Committed(Changes { added: Vec::new(), ..changes }),
        other => other,
    }
}

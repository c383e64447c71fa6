//! A long work on the open library, on a thread of its own: indexing, training, the change to another model, the comparison
//! of several.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::error::OpenError;
use super::messages::TrainingEnd;
use crate::active_model::{change_model, forget_unneeded};
use crate::artefact::{Model, ModelFolder, ModelId, TrainOptions};
use crate::catalog::Catalog;
use crate::compare::{CompareError, CompareEvent, Compared, compare};
use crate::device::DeviceChoice;
use crate::embed::{Embedder, ModelInfo};
use crate::garden;
use crate::ingest::{IngestEvent, ingest_again};
use crate::job::{Cancel, Outcome, Progress, Stage};
use crate::library::{Library, WriterLock};
use crate::query::Gallery;
use crate::scan::Again;
use crate::train::plan::TrainingPlan;
use crate::train::progress::TrainEvent;
use crate::train::{Trained, Training, TrainingEvent};

/// How often the pictures of the sample garden that are drawn so far are shown.
const SHOW_DRAWN_EVERY: Duration = Duration::from_millis(700);

/// What a check of the folder is to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    /// What is read again although it has not changed.
    pub(super) again: Again,
    /// Nobody has asked for it: it does not disturb.
    pub(super) is_quiet: bool,
}

impl Check {
    /// One in place of two.
    pub(super) fn and(self, other: Self) -> Self {
        Self { again: self.again.and(other.again), is_quiet: self.is_quiet && other.is_quiet }
    }
}

/// A long work on the open library.
#[derive(Clone, Debug)]
pub(super) enum JobKind {
    Index(Check),
    Train {
        options: TrainOptions,
        resume: bool,
    },
    /// Take the model of this id into use.
    Use(ModelId),
    /// Say what these models reach on the library's photos.
    Compare(Vec<ModelId>),
}

pub(super) enum JobMessage {
    /// What the open gallery has to follow: only [`crate::ingest::ingest`] with the model in use changes photos. Of whatever
    /// is done with another model there is nothing but progress.
    Event(IngestEvent),
    Training(TrainEvent),
    TrainingEnded(TrainingEnd),
    Compared(Compared),
    ModelFailed(String),
    Changed(Box<Changed>),
    /// The library as it is in the catalog now.
    Reloaded(Box<Gallery>),
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
    pub(super) is_comparison: bool,
    /// It ends, if all goes well, with another model in use.
    pub(super) changes_model: bool,
    /// The window says nothing of it.
    pub(super) is_quiet: bool,
    /// The user has cancelled it, rather than closed the library.
    pub(super) cancelled_by_user: bool,
    /// When the window was last told how far the training is, and of which stage.
    pub(super) last_reported: Option<(Instant, Stage)>,
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
        let is_comparison = matches!(work.kind, JobKind::Compare(_));
        let changes_model = matches!(work.kind, JobKind::Train { .. } | JobKind::Use(_));
        let is_quiet = matches!(work.kind, JobKind::Index(Check { is_quiet: true, .. }));
        let thread = std::thread::Builder::new().name(format!("job-{number}")).spawn(move || {
            work.run();
            drop(lock);
        })?;
        Ok(Self {
            messages,
            cancel,
            stop,
            thread,
            device,
            is_training,
            is_comparison,
            changes_model,
            is_quiet,
            cancelled_by_user: false,
            last_reported: None,
        })
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
    pub(super) active: Model,
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
            JobKind::Index(check) => self.index(&check.again),
            JobKind::Use(id) => match self.models.load(id) {
                Ok(model) => self.use_model(model),
                Err(error) => {
                    self.send(JobMessage::ModelFailed(error.to_string()));
                    // It may have taken the place of an indexing that was not finished.
                    self.index(&Again::Nothing)
                }
            },
            JobKind::Train { options, resume } => self.train(options, *resume),
            JobKind::Compare(models) => self.compare(models),
        });
        self.send(JobMessage::Ended(outcome));
    }

    fn send(&self, message: JobMessage) {
        // When nobody listens any more the library has been closed, and the job is being cancelled.
        let _ = self.messages.send(message);
    }

    fn index(&self, again: &Again) -> Outcome {
        let index = || -> Result<Outcome, OpenError> {
            let mut catalog = Catalog::open(&self.library.folder)?;
            let tell = &mut |event| self.send(JobMessage::Event(event));
            let outcome = ingest_again(&self.library, &mut catalog, &self.embedder, again, &self.cancel, tell);
            if matches!(outcome, Outcome::Done { .. }) {
                // A model may have been deleted while another library was open.
                forget_unneeded(&self.library, &mut catalog, &self.models, None);
            }
            if *again == Again::Everything {
                // Embeddings may be others now, of the same photos.
                let info = self.embedder.info()?;
                self.send(JobMessage::Reloaded(Box::new(Gallery::load(&catalog, info.key(), info.dimension)?)));
            }
            Ok(outcome)
        };
        index().unwrap_or_else(|error| Outcome::Failed { message: error.to_string() })
    }

    /// Embeds the library with another model and takes that into use; the old one answers meanwhile.
    fn use_model(&self, model: Model) -> Outcome {
        let change = || -> Result<Outcome, OpenError> {
            let mut catalog = Catalog::open(&self.library.folder)?;
            let embedder = Embedder::start(self.device, model.clone()).map_err(OpenError::Thread)?;
            let outcome =
                change_model(&self.library, &mut catalog, &model.id, &embedder, &self.cancel, &mut |progress| {
                    self.send(JobMessage::Event(IngestEvent::Progress(progress)));
                });
            if matches!(outcome, Outcome::Done { .. }) {
                let info = embedder.info()?;
                let gallery = Gallery::load(&catalog, info.key(), info.dimension)?;
                self.send(JobMessage::Changed(Box::new(Changed { model, embedder, info, gallery })));
                // What has been embedded anew is no news of the folder.
                return Ok(Outcome::Done { completed: 0 });
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
            active: &self.active,
            embedder: &self.embedder,
            options,
            resume,
            stop: &self.stop,
            cancel: &self.cancel,
        };
        let trained = Training::new(plan).and_then(|training| {
            training.run(&mut |event| {
                self.send(match event {
                    TrainingEvent::Ingest(event) => JobMessage::Event(event),
                    TrainingEvent::Train(event) => JobMessage::Training(event),
                });
            })
        });
        let (end, better, unused) = match trained {
            Ok(Some(Trained { model, evaluation, stopped_early, .. })) => {
                let end = TrainingEnd::Done { id: model.id.clone(), used: evaluation.better, stopped_early };
                if evaluation.better { (end, Some(model), None) } else { (end, None, Some(model.id)) }
            }
            Ok(None) => (TrainingEnd::Stopped, None, None),
            Err(error) => (TrainingEnd::Failed { message: error.to_string() }, None, None),
        };
        self.send(JobMessage::TrainingEnded(end));
        match better {
            Some(model) => self.use_model(model),
            None => self.forget_training(unused.as_deref()),
        }
    }

    /// Compares models; whatever comes of it, the library stays as it is.
    fn compare(&self, ids: &[ModelId]) -> Outcome {
        let compare = || -> Result<bool, CompareError> {
            let catalog = Catalog::open(&self.library.folder)?;
            compare(&self.library, &catalog, &self.models, ids, self.device, &self.cancel, &mut |event| {
                self.send(match event {
                    CompareEvent::Progress(progress) => JobMessage::Event(IngestEvent::Progress(progress)),
                    CompareEvent::Compared(compared) => JobMessage::Compared(compared),
                });
            })
        };
        match compare() {
            Ok(true) => Outcome::Done { completed: 0 },
            Ok(false) => Outcome::Cancelled { completed: 0 },
            Err(error) => Outcome::Failed { message: error.to_string() },
        }
    }

    /// Throws away what a training has embedded for a model that is not used.
    fn forget_training(&self, unused: Option<&str>) -> Outcome {
        match Catalog::open(&self.library.folder) {
            Ok(mut catalog) => {
                forget_unneeded(&self.library, &mut catalog, &self.models, unused);
                Outcome::Done { completed: 0 }
            }
            Err(error) => Outcome::Failed { message: error.to_string() },
        }
    }

    /// Has what is drawn so far seen and found. What goes wrong with it is told when all of it is indexed.
    fn show_drawn(&self) {
        let Ok(mut catalog) = Catalog::open(&self.library.folder) else { return };
        ingest_again(&self.library, &mut catalog, &self.embedder, &Again::Nothing, &self.cancel, &mut |event| {
            if matches!(event, IngestEvent::Committed(_)) {
                self.send(JobMessage::Event(event));
            }
        });
    }

    /// Draws what is missing of the sample garden; an outcome where the job ends with it.
    fn draw(&self) -> Option<Outcome> {
        let mut drawn = 0;
        let mut shown = Instant::now();
        let result = garden::write(&self.library.root, &mut |done, total| {
            drawn = done as u64;
            if shown.elapsed() > SHOW_DRAWN_EVERY {
                self.show_drawn();
                shown = Instant::now();
            }
            let progress = Progress { done: drawn, ..Progress::begin(Stage::DrawingGarden, Some(total as u64)) };
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

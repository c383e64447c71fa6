//! What the window asks of the worker, and what it is told.

use std::mem::Discriminant;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image::RgbImage;

use crate::artefact::{ModelSummary, TrainOptions};
use crate::catalog::Problem;
use crate::device::DeviceChoice;
use crate::embed::ModelInfo;
use crate::job::{Outcome, Progress};
use crate::library::Library;
use crate::query::{Facets, Filter, Hit, Query};
use crate::train::progress::{LabelPreview, TrainEvent};

/// What the grid shows.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub query: Option<Query>,
    pub filter: Filter,
    /// Results at most; `None` for all. Without a query all photos are shown.
    pub limit: Option<usize>,
}

/// What the window asks for.
#[derive(Debug)]
pub enum Request {
    /// Open a folder's library, and bring it up to date.
    Open(PathBuf),
    /// Draw the sample garden where it is missing, and open it.
    OpenGarden,
    /// Bring the open library up to date.
    Index,
    /// Stop whatever is running, and keep what is finished.
    CancelJob,
    /// Compute on another device from now on.
    SetDevice(DeviceChoice),
    /// Say which classes a training would learn from, and whether a stopped training can go on.
    PreviewTraining,
    /// Say how long a training would take.
    EstimateTraining(TrainOptions),
    /// Train a model on the open library; with `resume`, go on from the last checkpoint of the same options.
    Train {
        options: TrainOptions,
        resume: bool,
    },
    /// Stop the training and keep the best so far.
    StopTraining,
    /// Use a model for the open library.
    UseModel(String),
    /// List the models on this computer.
    ListModels,
    RenameModel {
        id: String,
        title: String,
    },
    DeleteModel(String),
    ExportModel {
        id: String,
        path: PathBuf,
    },
    ImportModel(PathBuf),
    /// Take in a network's weights from a file of another program.
    LoadWeights(PathBuf),
    /// Show this from now on. An answer carries the number back, so that a late one cannot replace a newer one.
    Show {
        number: u64,
        view: View,
    },
}

/// What the window is told.
#[derive(Debug)]
pub enum Event {
    ModelReady(ModelInfo),
    Opened {
        library: Arc<Library>,
        writable: bool,
    },
    OpenFailed {
        message: String,
    },
    /// How many photos can be found, whether more are being loaded, and their folders and labels.
    Gallery {
        photos: usize,
        loading: bool,
        facets: Arc<Facets>,
    },
    Answer {
        number: u64,
        hits: Arc<[Hit]>,
    },
    /// The query's own picture, sent once: before its first answer, or, where the search does not need it, after that.
    Preview {
        number: u64,
        picture: Arc<RgbImage>,
    },
    QueryFailed {
        number: u64,
        message: String,
    },
    Problems(Arc<[Problem]>),
    Progress(Progress),
    JobEnded(Outcome),
    /// The device that was asked for cannot be used; this one is instead.
    DeviceRefused {
        device: DeviceChoice,
        message: String,
    },
    /// The answer to [`Request::PreviewTraining`].
    TrainingPreview {
        labels: Arc<LabelPreview>,
        /// What a stopped or killed training was doing, where it can go on.
        resumable: Option<TrainOptions>,
    },
    /// The answer to [`Request::EstimateTraining`]; `None` where it cannot be said.
    TrainingEstimate {
        options: TrainOptions,
        time: Option<Duration>,
    },
    Training(TrainEvent),
    /// The training is over, and the model that it made; the job goes on with [`Event::Progress`] where the library
    /// takes the new model into use.
    TrainingEnded(TrainingEnd),
    /// All models, and the one that the open library uses.
    Models {
        models: Arc<[ModelSummary]>,
        in_use: Option<String>,
    },
    /// Something about a model went well, in words.
    ModelDone(String),
    /// Or wrong.
    ModelFailed(String),
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainingEnd {
    /// There is a new model; `used` tells whether the library takes it into use.
    Done {
        id: String,
        used: bool,
        stopped_early: bool,
    },
    /// Stopped before there was anything to keep.
    Stopped,
    Failed {
        message: String,
    },
}

/// Events on their way to the window. What describes a state replaces its older version, so the queue stays short even
/// while the window is hidden and draws nothing.
#[derive(Clone, Default)]
pub(super) struct Mailbox(Arc<Mutex<Vec<Event>>>);

impl Mailbox {
    /// All events since the last call.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        let mut events = self.lock();
        if let Some(kind) = state_of(&event) {
            events.retain(|older| state_of(older) != Some(kind));
        }
        events.push(event);
    }
}

/// Which state an event describes; `None` where it tells of something that has happened.
fn state_of(event: &Event) -> Option<(Discriminant<Event>, Option<Discriminant<TrainEvent>>)> {
    let part = match event {
        Event::Gallery { .. }
        | Event::Answer { .. }
        | Event::Problems(_)
        | Event::Progress(_)
        | Event::Models { .. }
        | Event::TrainingPreview { .. } => None,
        Event::Training(training @ TrainEvent::Progress(_)) => Some(std::mem::discriminant(training)),
        _ => return None,
    };
    Some((std::mem::discriminant(event), part))
}

/// Where events go out: into the mailbox, and the window is woken.
#[derive(Clone)]
pub(super) struct Outbox {
    pub(super) mailbox: Mailbox,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Outbox {
    pub(super) fn send(&self, event: Event) {
        self.mailbox.push(event);
        (self.wake)();
    }
}

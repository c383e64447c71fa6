//! What the window asks of the worker, and what it is told.

use std::collections::HashMap;
use std::mem::Discriminant;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use crate::artefact::{ModelId, ModelSummary, TrainOptions};
use crate::catalog::Problem;
use crate::compare::Compared;
use crate::device::DeviceChoice;
use crate::embed::ModelInfo;
use crate::filter::{Counts, Filter};
use crate::identify::Identification;
use crate::job::{Outcome, Progress};
use crate::libraries::{CleanUp, Cleaned, LibrarySummary, Unused};
use crate::library::{Library, Obstacle};
use crate::model::Architecture;
use crate::photo::PhotoId;
use crate::query::{Copy, Facets, Hit, Order, Query};
use crate::scan::Account;
use crate::train::progress::{LabelPreview, TimeRange, TrainEvent};

/// Which photos the grid lists: those most similar to a query or, without one, those of a part of the library.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub query: Option<Query>,
    pub filter: Filter,
    /// Without a query; results are in the order of their similarity.
    pub order: Order,
    /// Results at most; `None` for all. Without a query all photos are shown.
    pub limit: Option<usize>,
}

/// What the window asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Open a folder's library, and bring it up to date.
    Open(PathBuf),
    /// The same, without asking whether it is one that was elsewhere before.
    OpenAnew(PathBuf),
    /// Open a folder with the library that belonged to another one before.
    OpenMoved {
        path: PathBuf,
        before: Library,
    },
    /// Draw the sample garden where it is missing, and open it.
    OpenGarden,
    /// Bring the open library up to date: now, or after the job that is running.
    Index,
    /// The same, and read these files again although their problems are known; all that have any, where none is named.
    Retry(Vec<PathBuf>),
    /// The same, and read all files again, and find out anew what is known of them.
    ReadAgain,
    /// Stop whatever is running, and keep what is finished.
    CancelJob,
    /// Do not read any more when the photos of an older catalog were taken, until the library is opened again.
    StopReadingDates,
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
    UseModel(ModelId),
    /// Say how fast these networks are on the device in use; not while a job needs the processor.
    MeasureSpeeds(Vec<Architecture>),
    /// Compare models on the photos of the open library.
    CompareModels(Vec<ModelId>),
    /// List the models on this computer.
    ListModels,
    RenameModel {
        id: ModelId,
        title: String,
    },
    DeleteModel(ModelId),
    ExportModel {
        id: ModelId,
        path: PathBuf,
    },
    ImportModel(PathBuf),
    /// Take in a network's weights from a file of another program.
    LoadWeights(PathBuf),
    /// List all libraries, and what nothing uses any more.
    ListLibraries,
    /// Delete all that the program has of a library. It is closed where it is the open one.
    ForgetLibrary(Library),
    /// Throw away what nothing uses.
    CleanUp(CleanUp),
    /// List this from now on. An answer carries the number back, so that a late one cannot replace a newer one.
    Show {
        number: u64,
        listing: Listing,
    },
}

/// What the window is told.
#[derive(Debug)]
pub enum Event {
    ModelReady(ModelInfo),
    /// The model in use cannot be loaded; photos can be browsed, but not searched.
    ModelLoadFailed {
        message: String,
    },
    Opened {
        library: Arc<Library>,
        writable: bool,
        /// Why it is not, where that is not because another process writes it.
        obstacle: Option<Obstacle>,
    },
    /// The folder that was to be opened looks like one that is no more where it was; it has not been opened yet.
    LooksMoved {
        root: PathBuf,
        before: Library,
    },
    /// A library could not be opened; the one that was open still is.
    OpenFailed {
        message: String,
    },
    /// Some photos of the open library could not be read from its catalog.
    GalleryFailed {
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
        /// What the query shows, where photos near to it have names.
        identification: Option<Arc<Identification>>,
        /// What is less similar is not close; `None` where that is not known, or nothing is searched with.
        close_from: Option<f32>,
        /// How many photos each choice of a filter has among these; `None` where they are the whole library.
        counts: Option<Arc<Counts>>,
    },
    /// Which of the answer's photos are copies of the query.
    Copies {
        number: u64,
        copies: HashMap<PhotoId, Copy>,
    },
    /// The query's own picture, sent once: before its first answer, or, where the search does not need it, after that.
    Preview {
        number: u64,
        picture: Arc<RgbImage>,
        /// Width and height of the file's picture, where that is known and no photo of the library.
        size: Option<(u32, u32)>,
    },
    QueryFailed {
        number: u64,
        message: String,
    },
    Problems(Arc<[Problem]>),
    /// What the folder holds beside photos.
    Account(Arc<Account>),
    Progress(Progress),
    /// The system allows no more folders to be watched: changes in some are seen later.
    WatchLimited,
    /// How far it is found out when the photos of an older catalog were taken; `None` when that is over.
    ReadingDates(Option<Progress>),
    /// The folder is being checked, for photos that are new, changed or gone.
    IndexStarted,
    /// It will be, when the job that is running has ended.
    IndexQueued,
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
        time: Option<TimeRange>,
    },
    Training(TrainEvent),
    /// The training is over, and the model that it made; the job goes on with [`Event::Progress`] where the library
    /// takes the new model into use.
    TrainingEnded(TrainingEnd),
    /// All models, and the one that the open library uses.
    Models {
        models: Arc<[ModelSummary]>,
        in_use: Option<ModelId>,
    },
    /// Photos a second that a network embeds on a device.
    Speed {
        architecture: Architecture,
        device: DeviceChoice,
        photos_a_second: f64,
    },
    /// Models are being compared.
    CompareStarted,
    /// What one of them reached.
    Compared(Compared),
    /// All of them have been compared, or it was stopped.
    CompareEnded,
    /// Something about a model went well, in words.
    ModelDone(String),
    /// Or wrong.
    ModelFailed(String),
    /// All libraries, the one opened last first, and what nothing uses any more.
    Libraries {
        libraries: Arc<[LibrarySummary]>,
        unused: Arc<Unused>,
    },
    /// What came of an operation on libraries.
    LibrariesDone(Result<LibraryNews, String>),
    /// The open library was closed: it was forgotten.
    Closed,
    /// Something in the background failed as it never should; what it was to bring does not come.
    TaskPanicked,
    /// The worker has ended as it never should: nothing is answered any more. What was indexed is kept. Sent once more
    /// for every later request.
    WorkerDied,
}

/// What was done with libraries.
#[derive(Debug)]
pub enum LibraryNews {
    /// The one of this folder was forgotten.
    Forgotten(PathBuf),
    Cleaned(Cleaned),
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainingEnd {
    /// There is a new model; `used` tells whether the library takes it into use.
    Done {
        id: ModelId,
        used: bool,
        stopped_early: bool,
    },
    /// Stopped before there was anything to keep.
    Stopped,
    Failed {
        message: String,
    },
}

/// A message of which some kinds are void once there is a newer one.
pub(super) trait Message {
    type State: PartialEq;

    /// Which state it describes or asks for; `None` where it tells of something that has happened or is to be done.
    fn state(&self) -> Option<Self::State>;
}

/// Messages on their way. What describes a state replaces its older version, so the queue stays short even while the
/// window is hidden and draws nothing, or the worker is busy.
pub(super) struct Mailbox<M>(Arc<Mutex<Vec<M>>>);

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M: Message> Mailbox<M> {
    /// All messages since the last call.
    pub(super) fn take(&self) -> Vec<M> {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn push(&self, message: M) {
        let mut messages = self.lock();
        if let Some(state) = message.state() {
            messages.retain(|older| older.state().as_ref() != Some(&state));
        }
        messages.push(message);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Message for Request {
    type State = Discriminant<Self>;

    fn state(&self) -> Option<Self::State> {
        let is_state = match self {
            Self::Show { .. }
            | Self::PreviewTraining
            | Self::EstimateTraining(_)
            | Self::MeasureSpeeds(_)
            | Self::ListModels
            | Self::ListLibraries => true,
            Self::Open(_)
            | Self::OpenGarden
            | Self::OpenAnew(_)
            | Self::OpenMoved { .. }
            | Self::Index
            | Self::Retry(_)
            | Self::ReadAgain
            | Self::CancelJob
            | Self::StopReadingDates
            | Self::SetDevice(_)
            | Self::Train { .. }
            | Self::StopTraining
            | Self::UseModel(_)
            | Self::CompareModels(_)
            | Self::RenameModel { .. }
            | Self::DeleteModel(_)
            | Self::ExportModel { .. }
            | Self::ImportModel(_)
            | Self::LoadWeights(_)
            | Self::ForgetLibrary(_)
            | Self::CleanUp(_) => false,
        };
        is_state.then(|| std::mem::discriminant(self))
    }
}

impl Message for Event {
    type State = (Discriminant<Self>, Option<Discriminant<TrainEvent>>);

    fn state(&self) -> Option<Self::State> {
        let part = match self {
            Self::Gallery { .. }
            | Self::Answer { .. }
            | Self::Copies { .. }
            | Self::Preview { .. }
            | Self::Problems(_)
            | Self::Account(_)
            | Self::Progress(_)
            | Self::ReadingDates(_)
            | Self::Models { .. }
            | Self::Libraries { .. }
            | Self::TrainingPreview { .. }
            | Self::WorkerDied => None,
            Self::Training(training @ TrainEvent::Progress(_)) => Some(std::mem::discriminant(training)),
            _ => return None,
        };
        Some((std::mem::discriminant(self), part))
    }
}

/// Where events go out: into the mailbox, and the window is woken.
#[derive(Clone)]
pub(super) struct Outbox {
    pub(super) mailbox: Mailbox<Event>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Outbox {
    pub(super) fn send(&self, event: Event) {
        self.mailbox.push(event);
        (self.wake)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(number: u64) -> Request {
        Request::Show { number, listing: Listing::default() }
    }

    #[test]
    fn the_newest_of_what_is_to_be_shown_is_asked_for_and_every_operation() {
        let requests = Mailbox::default();
        for number in 1..=3 {
            requests.push(show(number));
            requests.push(Request::EstimateTraining(TrainOptions { seed: number, ..TrainOptions::default() }));
            requests.push(Request::DeleteModel(number.to_string().into()));
        }
        let requests = requests.take();
        assert_eq!(requests.len(), 5, "{requests:?}");
        assert!(requests.iter().any(|request| matches!(request, Request::Show { number: 3, .. })));
        assert_eq!(requests.iter().filter(|request| matches!(request, Request::DeleteModel(_))).count(), 3);
    }

    #[test]
    fn a_window_that_does_not_look_finds_the_last_state_and_all_that_happened() {
        let events = Mailbox::default();
        for number in 0..100 {
            events.push(Event::Answer {
                number,
                hits: Arc::from([]),
                identification: None,
                close_from: None,
                counts: None,
            });
            events.push(Event::Training(TrainEvent::Progress(Default::default())));
            events.push(Event::Training(TrainEvent::Notice(number.to_string())));
        }
        let events = events.take();
        assert_eq!(events.len(), 102);
        assert!(events.iter().any(|event| matches!(event, Event::Answer { number: 99, .. })));
    }
}

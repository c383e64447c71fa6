//! Owns the open library on a thread of its own: loads it, runs its jobs (indexing, training, the change to another
//! model) one at a time, answers queries. The window sends
//! [`Request`]s, which never block, and picks up [`Event`]s when it is woken.

use std::mem::Discriminant;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use image::RgbImage;

use crate::artefact::{Model, ModelFolder, ModelSummary};
use crate::catalog::{Catalog, CatalogError, Changes, Problem};
use crate::decode::shrink_to_fit;
use crate::embed::{DeviceChoice, EmbedError, Embedder, ModelInfo};
use crate::garden;
use crate::in_use::{change_model, delete_model, keep_present, model_in_use, model_wanted, names};
use crate::index::{Approximate, Background, Plan};
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome, Progress, give_way};
use crate::library::{DataFolder, Library, WriterLock};
use crate::model::weight_file;
use crate::photo::{Embedding, PhotoId};
use crate::query::{Facets, Filter, Gallery, Hit, PREVIEW_SIDE, Query, QueryError, embed_picture, read_photo};
use crate::train::plan::{PlanEvent, TrainingPlan};
use crate::train::report::{LabelPreview, TrainEvent, TrainOptions};
use crate::train::{Trained, checkpoint, dataset};

/// While photos are being added, what is on the screen is brought up to date this often.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// How far a training is, is told this often at most: each time the window is drawn, which without a GPU takes the time
/// of the processor that trains.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How far a job stands back for this thread, which answers queries.
const NICE_OF_JOBS: i32 = 5;

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
struct Mailbox(Arc<Mutex<Vec<Event>>>);

impl Mailbox {
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

/// Work on files, or with a model that has to be loaded: too long for the worker's own thread, which has queries to
/// answer. One piece after the other, on a thread that is waited for in the end.
struct Errands {
    queue: Option<Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<JoinHandle<()>>,
}

impl Errands {
    fn start() -> std::io::Result<Self> {
        // Unbounded like the requests that it comes from.
        let (queue, errands) = unbounded::<Box<dyn FnOnce() + Send>>();
        let thread =
            std::thread::Builder::new().name("errands".into()).spawn(move || errands.iter().for_each(|run| run()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    fn run(&self, errand: impl FnOnce() + Send + 'static) {
        if self.queue.as_ref().is_none_or(|queue| queue.send(Box::new(errand)).is_err()) {
            log::error!("The thread for errands has ended; restart the program");
        }
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A handle to the worker. Dropping it stops the job, keeps what is finished, and waits for that.
pub struct Worker {
    requests: Option<Sender<Request>>,
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the worker; the model loads meanwhile. `wake` is called after every event.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        data: DataFolder,
        device: DeviceChoice,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let mailbox = Mailbox::default();
        let outbox = Outbox { mailbox: mailbox.clone(), wake: Arc::new(wake) };
        // Unbounded: it holds what one person can click before the worker looks, and the window must never wait.
        let (requests, inbox) = unbounded();
        let model = Model::built_in();
        let embedder = Embedder::start(device, model.clone())?;
        let errands = Errands::start()?;
        let thread = std::thread::Builder::new().name("worker".into()).spawn(move || {
            let models = data.models();
            let reopened = unbounded();
            let (open, jobs, next) = (None, 0, None);
            let mut worker =
                Loop { data, models, device, embedder, model, outbox, open, jobs, next, errands, reopened };
            worker.run(&inbox);
        })?;
        Ok(Self { requests: Some(requests), mailbox, thread: Some(thread) })
    }

    /// Sends a request. Never blocks.
    pub fn send(&self, request: Request) {
        if self.requests.as_ref().is_none_or(|requests| requests.send(request).is_err()) {
            log::error!("The worker has ended; restart the program");
        }
    }

    /// The events since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.mailbox.lock())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Outbox {
    mailbox: Mailbox,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Outbox {
    fn send(&self, event: Event) {
        self.mailbox.push(event);
        (self.wake)();
    }
}

/// Why a library could not be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("The folder cannot be opened ({error}): {path}", path = .path.display())]
    Folder { path: PathBuf, error: std::io::Error },
    #[error("The program's data cannot be written ({error}): {path}", path = .path.display())]
    Data { path: PathBuf, error: std::io::Error },
    #[error("A thread could not be started: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

struct Loop {
    data: DataFolder,
    models: ModelFolder,
    device: DeviceChoice,
    /// Of the open library's model, or of the one that was used last.
    embedder: Embedder,
    model: Model,
    outbox: Outbox,
    open: Option<OpenLibrary>,
    /// Jobs started so far; messages of an older one are not heard.
    jobs: u64,
    /// What to do when the job that is running has ended.
    next: Option<JobKind>,
    errands: Errands,
    /// What has come of changes of the device.
    reopened: (Sender<Reopened>, Receiver<Reopened>),
}

/// The model in use, opened on another device.
struct Reopened {
    /// The choice that it replaces, for when it failed.
    before: DeviceChoice,
    model: String,
    result: Result<(Embedder, ModelInfo), String>,
}

/// A long work on the open library.
#[derive(Clone, Debug)]
enum JobKind {
    Index,
    Train {
        options: TrainOptions,
        resume: bool,
    },
    /// Take the model of this id into use.
    Use(String),
}

impl Loop {
    fn run(&mut self, requests: &Receiver<Request>) {
        match self.embedder.info() {
            Ok(info) => self.outbox.send(Event::ModelReady(info)),
            Err(error @ EmbedError::NoSuchDevice(_)) => {
                self.refuse_device(DeviceChoice::Auto, error.to_string());
                self.reopen(DeviceChoice::Auto);
            }
            Err(error) => self.outbox.send(Event::OpenFailed { message: error.to_string() }),
        }
        let reopened = self.reopened.1.clone();
        loop {
            let job = self.open.as_ref().and_then(|open| open.job.as_ref());
            let job_messages = job.map_or_else(never, |job| job.messages.clone());
            let background = self.open.as_ref().and_then(|open| open.background.as_ref());
            let approximate = background.map_or_else(never, |background| background.result().clone());
            let pause = self.open.as_ref().and_then(OpenLibrary::pause).unwrap_or(Duration::from_secs(3600));
            select! {
                recv(requests) -> request => match request {
                    Ok(request) => self.handle(request),
                    Err(_) => return,
                },
                recv(job_messages) -> message => self.hear(message.ok()),
                recv(approximate) -> built => if let Some(open) = &mut self.open {
                    open.take_approximate(built.ok());
                },
                recv(reopened) -> reopened => reopened.into_iter().for_each(|reopened| self.take_reopened(reopened)),
                default(pause) => {}
            }
            if let Some(open) = &mut self.open {
                open.carry_on();
            }
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Open(path) => self.open(&path, false),
            Request::OpenGarden => self.open(&self.data.garden(), true),
            Request::Index => self.start(JobKind::Index),
            Request::CancelJob => {
                self.give_up_next();
                if let Some(open) = &mut self.open {
                    open.cancel_job();
                    if let Some(job) = &mut open.job {
                        job.given_up = true;
                    }
                }
            }
            Request::SetDevice(device) => self.reopen(device),
            Request::Show { number, view } => {
                if let Some(open) = &mut self.open {
                    open.show(number, view);
                }
            }
            Request::PreviewTraining => {
                if let Some(open) = &self.open {
                    open.preview_training(&self.errands);
                }
            }
            Request::EstimateTraining(options) => {
                let photos = self.open.as_ref().map_or(0, |open| open.gallery.len());
                let (outbox, device) = (self.outbox.clone(), self.device);
                self.errands.run(move || {
                    let time = crate::train::estimate(&options, photos, device);
                    outbox.send(Event::TrainingEstimate { options, time });
                });
            }
            Request::Train { options, resume } => self.start(JobKind::Train { options, resume }),
            Request::StopTraining => {
                self.give_up_next();
                if let Some(job) = self.open.as_ref().and_then(|open| open.job.as_ref()) {
                    // The second time, not even the best so far is waited for.
                    if job.stop.is_cancelled() {
                        job.cancel.cancel();
                    }
                    job.stop.cancel();
                }
            }
            Request::UseModel(id) => self.start(JobKind::Use(id)),
            Request::ListModels => self.list_models(),
            Request::RenameModel { id, title } => self.with_models(move |models| {
                let renamed = models.rename(&id, &title).map_err(|error| error.to_string())?;
                Ok(format!("Renamed to {}", renamed.card.title))
            }),
            Request::DeleteModel(id) => self.delete_model(id),
            Request::ExportModel { id, path } => self.with_models(move |models| {
                let result = models.load(&id).and_then(|model| models.export(&model, &path));
                result.map(|()| format!("Exported to {}", path.display())).map_err(|error| error.to_string())
            }),
            Request::ImportModel(path) => self.with_models(move |models| {
                let model = models.import(&path).map_err(|error| error.to_string())?;
                Ok(format!("Imported: {}", model.card.title))
            }),
            Request::LoadWeights(path) => self.with_models(move |models| {
                let model = weight_file::load(&path).map_err(|error| error.to_string())?;
                models.save(&model).map_err(|error| error.to_string())?;
                Ok(format!("Loaded: {}, {}", model.card.title, model.card.architecture.name()))
            }),
        }
    }

    /// What was to follow the job that is running does not any more.
    fn give_up_next(&mut self) {
        if matches!(self.next.take(), Some(JobKind::Train { .. })) {
            self.outbox.send(Event::TrainingEnded(TrainingEnd::Stopped));
        }
    }

    /// Opens the model in use on another device, while the present one goes on answering.
    fn reopen(&mut self, device: DeviceChoice) {
        let before = std::mem::replace(&mut self.device, device);
        let (sender, model) = (self.reopened.0.clone(), self.model.clone());
        self.errands.run(move || {
            let id = model.id.clone();
            let start = || -> Result<(Embedder, ModelInfo), String> {
                let embedder = Embedder::start(device, model).map_err(|error| error.to_string())?;
                let info = embedder.info().map_err(|error| error.to_string())?;
                Ok((embedder, info))
            };
            let _ = sender.send(Reopened { before, model: id, result: start() });
        });
    }

    fn take_reopened(&mut self, reopened: Reopened) {
        match reopened.result {
            // Another model has come into use meanwhile.
            Ok(_) if reopened.model != self.model.id => self.reopen(self.device),
            Ok((embedder, info)) => {
                self.embedder = embedder.clone();
                if let Some(open) = &mut self.open {
                    (open.embedder, open.model) = (embedder, info.clone());
                }
                self.outbox.send(Event::ModelReady(info));
            }
            Err(message) => self.refuse_device(reopened.before, message),
        }
    }

    fn refuse_device(&mut self, device: DeviceChoice, message: String) {
        self.device = device;
        self.outbox.send(Event::DeviceRefused { device, message });
    }

    fn list_models(&self) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.name.clone());
        self.errands.run(move || send_models(&models, in_use, &outbox));
    }

    /// Does something with the models, says what came of it, and lists them anew.
    fn with_models(&self, work: impl FnOnce(&ModelFolder) -> Result<String, String> + Send + 'static) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.name.clone());
        self.errands.run(move || {
            outbox.send(match work(&models) {
                Ok(text) => Event::ModelDone(text),
                Err(message) => Event::ModelFailed(message),
            });
            send_models(&models, in_use, &outbox);
        });
    }

    fn delete_model(&self, id: String) {
        let data = self.data.clone();
        let open = self.open.as_ref().and_then(|open| Some((open.library.folder.clone(), open.lock.clone()?)));
        self.with_models(move |models| {
            let away = delete_model(&data, models, &id).map_err(|error| error.to_string())?;
            // Features stay where there is another model on them.
            let is_backbone = models.list().iter().any(|model| model.card.backbone == id);
            if let Some((folder, _lock)) = open.filter(|_| !is_backbone)
                && let Err(error) = Catalog::open(&folder).and_then(|mut catalog| catalog.forget_model(&id))
            {
                log::warn!("{error}");
            }
            Ok(match away.as_slice() {
                [] => "The model was deleted".to_owned(),
                away => format!("The model was deleted; the built-in one will be used for {}", names(away)),
            })
        });
    }

    fn open(&mut self, path: &Path, garden: bool) {
        match self.try_open(path, garden) {
            // A change of the model that the end of the program interrupted goes on.
            Ok(wanted) => self.start(wanted.map_or(JobKind::Index, |model| JobKind::Use(model.id))),
            Err(error) => self.outbox.send(Event::OpenFailed { message: error.to_string() }),
        }
    }

    /// Takes another model into use for queries.
    fn change_embedder(&mut self, model: Model) -> Result<ModelInfo, OpenError> {
        if model.id != self.model.id {
            let embedder = Embedder::start(self.device, model.clone()).map_err(OpenError::Thread)?;
            embedder.info()?;
            (self.embedder, self.model) = (embedder, model);
        }
        let info = self.embedder.info()?;
        self.outbox.send(Event::ModelReady(info.clone()));
        Ok(info)
    }

    /// Opens a library; gives the model that it was changing to, if any.
    fn try_open(&mut self, path: &Path, garden: bool) -> Result<Option<Model>, OpenError> {
        let folder_error = |error| OpenError::Folder { path: path.to_owned(), error };
        if garden {
            std::fs::create_dir_all(path).map_err(folder_error)?;
        }
        let library = Arc::new(self.data.library(path).map_err(folder_error)?);
        let data_error = |error| OpenError::Data { path: library.folder.clone(), error };
        // The same folder again: let go of it first, or it would seem to be in use by somebody else.
        if let Some(open) = self.open.take_if(|open| open.library == library) {
            open.finish();
        }
        let lock = library.lock().map_err(data_error)?.map(Arc::new);
        let catalog = match &lock {
            Some(_) => Catalog::open(&library.folder)?,
            None => Catalog::open_read_only(&library.folder)?.ok_or_else(|| {
                data_error(std::io::Error::other("another Florascope is just making it; try again in a moment"))
            })?,
        };
        let wanted = model_wanted(&catalog, &self.models)?.filter(|_| lock.is_some());
        let model = self.change_embedder(model_in_use(&catalog, &self.models)?)?;
        let gallery = Gallery::new(model.dimension, model.metric);
        if let Some(before) = self.open.take() {
            before.finish();
        }
        self.outbox.send(Event::Opened { library: Arc::clone(&library), writable: lock.is_some() });
        self.outbox.send(Event::Problems(catalog.problems()?.into()));
        self.open = Some(OpenLibrary {
            is_garden: library.root == self.data.garden().canonicalize().unwrap_or_default(),
            library,
            catalog,
            gallery,
            model,
            lock,
            embedder: self.embedder.clone(),
            outbox: self.outbox.clone(),
            loaded_up_to: Some(PhotoId(0)),
            shown: None,
            changed: true,
            refreshed: None,
            background: None,
            exact_only: false,
            job: None,
        });
        self.next = None;
        self.list_models();
        Ok(wanted)
    }

    /// Starts a job, or has it wait until the one that is running has ended. Indexing gives way; training does not.
    fn start(&mut self, kind: JobKind) {
        let Some(open) = &mut self.open else { return };
        let Some(lock) = open.lock.clone() else { return };
        if let Some(running) = &open.job {
            match kind {
                JobKind::Index => {}
                JobKind::Train { .. } | JobKind::Use(_) if running.is_training => {
                    let message = "A training is running; stop it or wait for its end first";
                    self.outbox.send(Event::ModelFailed(message.into()));
                }
                JobKind::Train { .. } | JobKind::Use(_) => {
                    running.cancel.cancel();
                    self.next = Some(kind);
                }
            }
            return;
        }
        self.jobs += 1;
        let (sender, messages) = bounded(16);
        let (cancel, stop) = (Cancel::default(), Cancel::default());
        let is_training = matches!(kind, JobKind::Train { .. });
        let work = JobWork {
            kind,
            library: Arc::clone(&open.library),
            draw_garden: open.is_garden,
            models: self.models.clone(),
            device: self.device,
            present: self.model.clone(),
            embedder: self.embedder.clone(),
            cancel: cancel.clone(),
            stop: stop.clone(),
            messages: sender,
        };
        let changes_model = !matches!(work.kind, JobKind::Index);
        let started = std::thread::Builder::new().name(format!("job-{}", self.jobs)).spawn(move || {
            give_way(NICE_OF_JOBS);
            work.run();
            drop(lock);
        });
        match started {
            Ok(thread) => {
                let device = self.device;
                open.job = Some(RunningJob {
                    messages,
                    cancel,
                    stop,
                    thread,
                    device,
                    is_training,
                    changes_model,
                    given_up: false,
                    told: None,
                });
            }
            Err(error) => {
                let message = format!("A thread could not be started: {error}");
                if is_training {
                    self.outbox.send(Event::TrainingEnded(TrainingEnd::Failed { message: message.clone() }));
                }
                self.outbox.send(Event::JobEnded(Outcome::Failed { message }));
            }
        }
    }

    /// Takes a message of the job; `None` when it died without a word.
    fn hear(&mut self, message: Option<JobMessage>) {
        let Some(open) = &mut self.open else { return };
        match message {
            Some(JobMessage::Event(event)) => open.hear(event),
            Some(JobMessage::Training(TrainEvent::Progress(progress))) => {
                let told = open.job.as_mut().map(|job| &mut job.told);
                let is_news = |(at, stage): (Instant, &str)| at.elapsed() >= TELL_EVERY || stage != progress.stage;
                if let Some(told) = told.filter(|told| told.is_none_or(is_news)) {
                    *told = Some((Instant::now(), progress.stage));
                    self.outbox.send(Event::Training(TrainEvent::Progress(progress)));
                }
            }
            Some(JobMessage::Training(event)) => self.outbox.send(Event::Training(event)),
            Some(JobMessage::ModelFailed(message)) => self.outbox.send(Event::ModelFailed(message)),
            Some(JobMessage::TrainingEnded(end)) => {
                // The change of the model that may follow is none any more.
                open.job.iter_mut().for_each(|job| job.is_training = false);
                self.outbox.send(Event::TrainingEnded(end));
                self.list_models();
            }
            Some(JobMessage::Changed(changed)) => {
                let Changed { model, embedder, info, gallery } = *changed;
                (self.model, self.embedder) = (model, embedder.clone());
                self.outbox.send(Event::ModelReady(info.clone()));
                self.outbox.send(Event::ModelDone(format!("In use now: {}", info.title)));
                let device = open.job.as_ref().map(|job| job.device);
                open.change_model(embedder, info, gallery);
                self.list_models();
                if device.is_some_and(|device| device != self.device) {
                    self.reopen(self.device);
                }
            }
            Some(JobMessage::Ended(outcome)) => self.end_job(outcome),
            None => self.end_job(Outcome::Failed { message: "The job ended unexpectedly".into() }),
        }
    }

    fn end_job(&mut self, outcome: Outcome) {
        let Some(open) = &mut self.open else { return };
        let (mut outcome, job) = (outcome, open.job.take());
        open.refresh();
        if let Some(job) = job {
            if job.is_training {
                // It ended before the training began, or without a word.
                self.outbox.send(Event::TrainingEnded(match &outcome {
                    Outcome::Failed { message } => TrainingEnd::Failed { message: message.clone() },
                    Outcome::Done { .. } | Outcome::Cancelled { .. } => TrainingEnd::Stopped,
                }));
                outcome = Outcome::Done { completed: 0 };
            } else if job.changes_model && job.given_up && matches!(outcome, Outcome::Cancelled { .. }) {
                if let Err(error) = keep_present(&mut open.catalog) {
                    log::warn!("{error}");
                }
                self.outbox.send(Event::ModelDone("The model in use stays the one it was".into()));
                outcome = Outcome::Done { completed: 0 };
            }
        }
        self.outbox.send(Event::JobEnded(outcome));
        if let Some(next) = self.next.take() {
            self.start(next);
        }
    }
}

enum JobMessage {
    Event(IngestEvent),
    Training(TrainEvent),
    TrainingEnded(TrainingEnd),
    ModelFailed(String),
    Changed(Box<Changed>),
    Ended(Outcome),
}

/// A model that has been taken into use, and all that answers with it.
struct Changed {
    model: Model,
    embedder: Embedder,
    info: ModelInfo,
    gallery: Gallery,
}

struct RunningJob {
    messages: Receiver<JobMessage>,
    cancel: Cancel,
    /// Ends only the learning, and keeps the best so far.
    stop: Cancel,
    thread: JoinHandle<()>,
    device: DeviceChoice,
    is_training: bool,
    /// It ends, if all goes well, with another model in use.
    changes_model: bool,
    /// The user has cancelled it, rather than closed the library.
    given_up: bool,
    /// When the window was last told how far the training is, and of which stage.
    told: Option<(Instant, &'static str)>,
}

/// A job as it runs on its thread.
struct JobWork {
    kind: JobKind,
    library: Arc<Library>,
    draw_garden: bool,
    models: ModelFolder,
    device: DeviceChoice,
    /// The model in use.
    present: Model,
    /// Of that model.
    embedder: Embedder,
    cancel: Cancel,
    stop: Cancel,
    messages: Sender<JobMessage>,
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
            Ok(Some(Trained { model, proof, stopped_early })) => {
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
fn of_another_model(event: IngestEvent) -> IngestEvent {
    match event {
        IngestEvent::Committed(changes) => IngestEvent::Committed(Changes { added: Vec::new(), ..changes }),
        other => other,
    }
}

/// What the grid shows at present.
struct Shown {
    number: u64,
    view: View,
    /// The query's embedding, once it has been made.
    embedding: Option<Embedding>,
}

struct OpenLibrary {
    library: Arc<Library>,
    is_garden: bool,
    catalog: Catalog,
    gallery: Gallery,
    model: ModelInfo,
    /// Shared with the job. `None` where another process writes this library.
    lock: Option<Arc<WriterLock>>,
    embedder: Embedder,
    outbox: Outbox,
    /// Photos up to this id are in the gallery; `None` when all are.
    loaded_up_to: Option<PhotoId>,
    shown: Option<Shown>,
    /// Whether the gallery is another than what the window was last told.
    changed: bool,
    refreshed: Option<Instant>,
    /// Makes an approximate index.
    background: Option<Background>,
    /// None can be made of these embeddings.
    exact_only: bool,
    job: Option<RunningJob>,
}

impl OpenLibrary {
    /// How long to wait for a message before [`OpenLibrary::carry_on`]; `None` for as long as it takes.
    fn pause(&self) -> Option<Duration> {
        if self.loaded_up_to.is_some() {
            return Some(Duration::ZERO);
        }
        self.changed.then(|| self.refreshed.map_or(Duration::ZERO, |at| REFRESH_EVERY.saturating_sub(at.elapsed())))
    }

    /// Loads some more photos, and tells the window what has changed when it is time for that.
    fn carry_on(&mut self) {
        if let Some(after) = self.loaded_up_to {
            match self.gallery.load_more(&self.catalog, self.model.key(), after) {
                Ok(last) => self.loaded_up_to = last,
                Err(error) => {
                    self.loaded_up_to = None;
                    self.outbox.send(Event::OpenFailed { message: error.to_string() });
                }
            }
            self.changed = true;
            if self.loaded_up_to.is_none() {
                self.refresh();
            }
        }
        if self.changed && self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) {
            self.refresh();
        }
        if self.background.is_none() && !self.exact_only && self.loaded_up_to.is_none() {
            self.hasten();
        }
    }

    /// Has an approximate index made where exact searches have become slow.
    fn hasten(&mut self) {
        let index = self.gallery.index();
        if !index.wants_approximate() {
            return;
        }
        let plan = Plan {
            rows: index.rows(),
            folder: self.library.folder.clone(),
            model: self.model.name.clone(),
            anew: index.approximate().is_some(),
            writable: self.lock.is_some(),
        };
        match Background::start(plan) {
            Ok(background) => self.background = Some(background),
            Err(error) => log::warn!("A thread could not be started: {error}"),
        }
    }

    /// Takes the approximate index, or the news that there is none.
    fn take_approximate(&mut self, approximate: Option<Approximate>) {
        self.background = None;
        match approximate {
            Some(approximate) => self.gallery.use_approximate(approximate),
            None => self.exact_only = true,
        }
    }

    fn refresh(&mut self) {
        self.changed = false;
        self.refreshed = Some(Instant::now());
        self.outbox.send(Event::Gallery {
            photos: self.gallery.len(),
            loading: self.loaded_up_to.is_some(),
            facets: Arc::new(self.gallery.facets()),
        });
        self.answer();
    }

    fn show(&mut self, number: u64, view: View) {
        self.shown = Some(Shown { number, view, embedding: None });
        self.answer();
    }

    fn answer(&mut self) {
        let Some(mut shown) = self.shown.take() else { return };
        let number = shown.number;
        let is_new = shown.embedding.is_none();
        match self.hits(&mut shown) {
            Ok(hits) => {
                self.outbox.send(Event::Answer { number, hits: hits.into() });
                // The search does not need this picture; where its file is gone meanwhile, there is just no preview.
                if let Some(Query::Photo(photo)) = shown.view.query.as_ref().filter(|_| is_new)
                    && let Ok(picture) = read_photo(&self.library.root.join(&photo.path))
                    && let Err(error) = self.send_preview(number, &picture)
                {
                    log::warn!("{error}");
                }
            }
            Err(error) => self.outbox.send(Event::QueryFailed { number, message: error.to_string() }),
        }
        self.shown = Some(shown);
    }

    fn hits(&mut self, shown: &mut Shown) -> Result<Vec<Hit>, QueryError> {
        let View { query, filter, limit } = &shown.view;
        let Some(query) = query else { return Ok(self.gallery.browse(filter)) };
        let embedding = match shown.embedding.take() {
            Some(embedding) => embedding,
            None => self.embed_query(shown.number, query)?,
        };
        let itself = match query {
            Query::Photo(photo) => Some(photo.id),
            Query::File(_) | Query::Picture(_) => None,
        };
        let hits = self.gallery.rank(&embedding, itself, filter, *limit);
        shown.embedding = Some(embedding);
        Ok(hits)
    }

    fn embed_query(&self, number: u64, query: &Query) -> Result<Embedding, QueryError> {
        let picture = match query {
            Query::Photo(photo) => return self.gallery.embedding(photo.id),
            Query::File(path) => Arc::new(read_photo(path)?),
            Query::Picture(picture) => Arc::clone(picture),
        };
        self.send_preview(number, &picture)?;
        embed_picture(&self.embedder, &picture)
    }

    fn send_preview(&self, number: u64, picture: &RgbImage) -> Result<(), QueryError> {
        let picture = Arc::new(shrink_to_fit(picture, PREVIEW_SIDE).map_err(QueryError::Picture)?);
        self.outbox.send(Event::Preview { number, picture });
        Ok(())
    }

    fn hear(&mut self, event: IngestEvent) {
        match event {
            IngestEvent::Progress(progress) => self.outbox.send(Event::Progress(progress)),
            IngestEvent::Committed(changes) => {
                self.gallery.apply(changes);
                self.changed = true;
            }
            IngestEvent::ProblemsChanged => match self.catalog.problems() {
                Ok(problems) => self.outbox.send(Event::Problems(problems.into())),
                Err(error) => log::error!("{error}"),
            },
        }
    }

    /// Answers with another model from now on; the query on the screen is embedded anew.
    fn change_model(&mut self, embedder: Embedder, info: ModelInfo, gallery: Gallery) {
        (self.embedder, self.model, self.gallery) = (embedder, info, gallery);
        (self.background, self.exact_only) = (None, false);
        self.loaded_up_to = None;
        if let Some(shown) = &mut self.shown {
            shown.embedding = None;
        }
    }

    fn preview_training(&self, errands: &Errands) {
        let problems = self.catalog.problems().map_or(0, |problems| problems.len());
        let labels = Arc::new(dataset::preview(self.gallery.photos(), problems));
        let (outbox, folder) = (self.outbox.clone(), self.library.folder.clone());
        errands.run(move || {
            let resumable = checkpoint::pending(&folder);
            outbox.send(Event::TrainingPreview { labels, resumable });
        });
    }

    fn cancel_job(&self) {
        if let Some(job) = &self.job {
            job.stop.cancel();
            job.cancel.cancel();
        }
    }

    /// Stops the job and waits until what it had finished is committed.
    fn finish(mut self) {
        self.cancel_job();
        if let Some(RunningJob { messages, thread, .. }) = self.job.take() {
            // Nobody hears it any more; it must not wait for that.
            drop(messages);
            let _ = thread.join();
        }
    }
}

fn send_models(models: &ModelFolder, in_use: Option<String>, outbox: &Outbox) {
    outbox.send(Event::Models { models: models.list().into(), in_use });
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::{ContentHash, Photo};

    /// Takes events until one is the wanted, and that one too.
    fn events_until(worker: &Worker, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut events = Vec::new();
        while !events.iter().any(&wanted) {
            assert!(Instant::now() < end, "{events:?}");
            std::thread::sleep(Duration::from_millis(2));
            events.extend(worker.take_events());
        }
        events
    }

    #[test]
    fn a_search_with_a_photo_that_is_gone_from_the_index_reads_no_file() {
        let (data, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        RgbImage::new(8, 8).save(photos.path().join("there.png")).unwrap();
        let data = DataFolder::open(Some(data.path().into())).unwrap();
        let worker = Worker::start(data, DeviceChoice::Cpu, || {}).unwrap();
        worker.send(Request::Open(photos.path().into()));
        let gone = Photo { id: PhotoId(1 << 40), path: "there.png".into(), content: ContentHash([0; 16]) };
        let view = View { query: Some(Query::Photo(Arc::new(gone))), ..View::default() };
        worker.send(Request::Show { number: 1, view });
        worker.send(Request::Show { number: 2, view: View::default() });
        let events = events_until(&worker, |event| matches!(event, Event::Answer { number: 2, .. }));
        assert!(events.iter().any(|event| matches!(event, Event::QueryFailed { number: 1, .. })), "{events:?}");
        assert!(!events.iter().any(|event| matches!(event, Event::Preview { .. })), "{events:?}");
    }
}

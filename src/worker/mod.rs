//! Owns the open library on a thread of its own: loads it, runs its jobs (indexing, training, the change to another
//! model) one at a time, answers queries. The window sends [`Request`]s, which never block, and picks up [`Event`]s when
//! it is woken.

mod job;
mod messages;
mod open;
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender, TrySendError, bounded, never, select};

use self::job::{Changed, JobKind, JobMessage, JobWork, RunningJob};
pub use self::messages::{Event, Listing, Request, TrainingEnd};
use self::messages::{Mailbox, Outbox};
use self::open::Session;
use self::tasks::{BackgroundTasks, Slot};
use crate::active_model::{active_model, cancel_model_change, delete_model, forget_deleted, model_wanted, names};
use crate::artefact::{Model, ModelFolder, ModelId, Recipe, TrainOptions, load_weights};
use crate::catalog::{Catalog, CatalogError};
use crate::device::DeviceChoice;
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::{Cancel, Outcome, Stage};
use crate::library::{DataFolder, Library, WriterLock};
use crate::query::QueryError;
use crate::train::estimate::estimate;
use crate::train::progress::TrainEvent;

/// How far a training is, is told this often at most: each time the window is drawn, which without a GPU takes the time
/// of the processor that trains.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// So that a query does not wait for an older one whose picture takes long to decode.
const QUERY_THREADS: usize = 2;
/// How long a lock of our own may take to go.
const LOCK_GOES_WITHIN: Duration = Duration::from_millis(200);

/// A handle to the worker. Dropping it stops the job, keeps what is finished, and waits for that.
pub struct Worker {
    requests: Mailbox<Request>,
    /// Tells the thread that there are requests, and when it closes that there will be none any more.
    signal: Option<Sender<()>>,
    outbox: Outbox,
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
        let outbox = Outbox { mailbox: Mailbox::default(), wake: Arc::new(wake) };
        let requests = Mailbox::default();
        let (signal, signals) = bounded(1);
        let model = Model::built_in();
        let embedder = Embedder::start(device, model.clone())?;
        let tasks = |name, threads| {
            let outbox = outbox.clone();
            BackgroundTasks::start(name, threads, move || outbox.send(Event::TaskPanicked))
        };
        let mut worker = Loop {
            models: data.models(),
            data,
            device,
            device_in_use: device,
            embedder,
            model,
            outbox: outbox.clone(),
            open: None,
            locks: Vec::new(),
            jobs: 0,
            next: None,
            index_next: false,
            postponed_estimate: None,
            loading: None,
            device_change: None,
            file_tasks: tasks("files", 1)?,
            model_tasks: tasks("models", 1)?,
            training_tasks: tasks("training", 1)?,
            queries: Arc::new(tasks("query", QUERY_THREADS)?),
            builds: bounded(0),
        };
        let inbox = requests.clone();
        let dead = outbox.clone();
        let run = move || {
            if catch_unwind(AssertUnwindSafe(move || worker.run(&inbox, &signals))).is_err() {
                dead.send(Event::WorkerDied);
            }
        };
        let thread = std::thread::Builder::new().name("worker".into()).spawn(run)?;
        Ok(Self { requests, signal: Some(signal), outbox, thread: Some(thread) })
    }

    /// Sends a request. Never blocks.
    pub fn send(&self, request: Request) {
        self.requests.push(request);
        let sent = self.signal.as_ref().map(|signal| signal.try_send(()));
        // A signal that is still there is enough.
        if let Some(Err(TrySendError::Disconnected(()))) = sent {
            self.outbox.send(Event::WorkerDied);
        }
    }

    /// The events since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        self.outbox.mailbox.take()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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

/// A model that has been loaded, or why it cannot be.
type Loaded = Result<ModelInfo, EmbedError>;

/// A model by its id, opened on another device.
struct OnDevice {
    model: ModelId,
    result: Result<(Embedder, ModelInfo), String>,
}

struct Loop {
    data: DataFolder,
    models: ModelFolder,
    /// The newest choice.
    device: DeviceChoice,
    /// Where the embedder was opened: another than the choice until that has been found usable.
    device_in_use: DeviceChoice,
    /// Of the open library's model, or of the one that was used last.
    embedder: Embedder,
    model: Model,
    outbox: Outbox,
    open: Option<Session>,
    /// The locks of libraries that were opened; jobs and tasks may hold one after its library was closed.
    locks: Vec<(PathBuf, Weak<WriterLock>)>,
    /// Jobs started so far; messages of an older one are not heard.
    jobs: u64,
    /// What to do when the job that is running has ended.
    next: Option<JobKind>,
    /// Whether to check the folder then, where the next job does not do that anyway.
    index_next: bool,
    /// What the window would like to know the time of, when no job is running any more.
    postponed_estimate: Option<TrainOptions>,
    /// Gives the model in use, once it is loaded.
    loading: Option<Receiver<Loaded>>,
    /// Gives what has come of the newest choice of a device.
    device_change: Option<Receiver<OnDevice>>,
    /// Operations on files that the user asked for.
    file_tasks: BackgroundTasks,
    /// Load models.
    model_tasks: BackgroundTasks,
    /// Find out what a training would learn from, and how long it would take.
    training_tasks: BackgroundTasks,
    /// Decode and embed what is searched with.
    queries: Arc<BackgroundTasks>,
    /// The first is held by threads that build an approximate index, the second closes with the last of them.
    builds: (Sender<()>, Receiver<()>),
}

impl Loop {
    fn run(&mut self, requests: &Mailbox<Request>, signals: &Receiver<()>) {
        // A device that was asked for by its name may be gone. Otherwise nobody waits for the model but who needs it.
        if matches!(self.device, DeviceChoice::Cuda | DeviceChoice::Mps)
            && let Err(error @ EmbedError::NoSuchDevice(_)) = self.embedder.info()
        {
            self.device_in_use = DeviceChoice::Auto;
            self.refuse_device(error.to_string());
            match Embedder::start(self.device, self.model.clone()) {
                Ok(embedder) => self.embedder = embedder,
                Err(error) => {
                    self.outbox.send(Event::ModelLoadFailed { message: OpenError::Thread(error).to_string() });
                }
            }
        }
        self.announce_model();
        loop {
            let open = self.open.as_ref();
            let job = open.and_then(|open| open.job.as_ref());
            let job_messages = job.map_or_else(never, |job| job.messages.clone());
            let build = open.and_then(|open| open.build.as_ref());
            let approximate = build.map_or_else(never, |build| build.result().clone());
            let embedding = open.and_then(Session::awaited).map_or_else(never, Receiver::clone);
            let loaded = self.loading.clone().unwrap_or_else(never);
            let on_device = self.device_change.clone().unwrap_or_else(never);
            let pause = open.and_then(Session::pause).unwrap_or(Duration::from_secs(3600));
            select! {
                recv(signals) -> signal => match signal {
                    Ok(()) => requests.take().into_iter().for_each(|request| self.handle(request)),
                    Err(RecvError) => return,
                },
                recv(job_messages) -> message => self.handle_job_message(message.ok()),
                recv(approximate) -> built => if let Some(open) = &mut self.open {
                    open.take_approximate(built.ok());
                },
                recv(embedding) -> result => if let Some(open) = &mut self.open {
                    open.take_embedding(result);
                },
                recv(loaded) -> loaded => self.take_loaded(loaded),
                recv(on_device) -> opened => self.take_on_device(opened),
                default(pause) => {}
            }
            if let Some(open) = &mut self.open {
                open.carry_on(&self.builds.0);
            }
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Open(path) => self.open(&path, false),
            Request::OpenGarden => self.open(&self.data.garden(), true),
            Request::Index => self.start(JobKind::Index),
            Request::CancelJob => {
                self.cancel_next();
                self.index_next = false;
                if let Some(open) = &mut self.open {
                    open.cancel_job();
                    if let Some(job) = &mut open.job {
                        job.cancelled_by_user = true;
                    }
                }
            }
            Request::SetDevice(device) => self.change_device(device),
            Request::Show { number, listing } => {
                if let Some(open) = &mut self.open {
                    open.show(number, listing);
                }
            }
            Request::PreviewTraining => {
                if let Some(open) = &self.open {
                    open.preview_training(&self.training_tasks);
                }
            }
            Request::EstimateTraining(options) => self.estimate_training(options),
            Request::Train { options, resume } => self.start(JobKind::Train { options, resume }),
            Request::StopTraining => {
                self.cancel_next();
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
                let model = load_weights(&path).map_err(|error| error.to_string())?;
                models.save(&model).map_err(|error| error.to_string())?;
                Ok(format!("Loaded: {}, {}", model.card.title, model.card.architecture.name()))
            }),
        }
    }

    /// What was to follow the job that is running does not any more.
    fn cancel_next(&mut self) {
        if matches!(self.next.take(), Some(JobKind::Train { .. })) {
            self.outbox.send(Event::TrainingEnded(TrainingEnd::Stopped));
        }
    }

    /// Says how long a training would take. To know it of a network, some steps are tried out: not while a job needs the
    /// processor, but after it.
    fn estimate_training(&mut self, options: TrainOptions) {
        let is_busy = self.open.as_ref().is_some_and(|open| open.job.is_some());
        if is_busy && options.recipe != Recipe::Quick {
            self.postponed_estimate = Some(options);
            return;
        }
        self.postponed_estimate = None;
        let photos = self.open.as_ref().map_or(0, |open| open.gallery.len());
        let (outbox, device) = (self.outbox.clone(), self.device);
        let (models, present) = (self.models.clone(), self.model.clone());
        self.training_tasks.run_newest(Slot::TrainingEstimate, move || {
            let time = estimate(&options, &models, &present, photos, device);
            outbox.send(Event::TrainingEstimate { options, time });
        });
    }

    /// Opens the model in use on another device, while the present one goes on answering.
    fn change_device(&mut self, device: DeviceChoice) {
        self.device = device;
        let model = self.model.clone();
        // What comes of an earlier choice has no one to receive it any more.
        self.device_change = Some(self.model_tasks.ask(Slot::Device, move || {
            let id = model.id.clone();
            let open = || -> Result<(Embedder, ModelInfo), String> {
                let embedder = Embedder::start(device, model).map_err(|error| error.to_string())?;
                let info = embedder.info().map_err(|error| error.to_string())?;
                Ok((embedder, info))
            };
            OnDevice { model: id, result: open() }
        }));
    }

    fn take_on_device(&mut self, opened: Result<OnDevice, RecvError>) {
        self.device_change = None;
        match opened {
            // Another model has come into use meanwhile.
            Ok(OnDevice { model, result: Ok(_) }) if model != self.model.id => self.change_device(self.device),
            Ok(OnDevice { result: Ok((embedder, info)), .. }) => {
                self.device_in_use = self.device;
                self.embedder = embedder.clone();
                if let Some(open) = &mut self.open {
                    open.embedder = embedder;
                }
                self.outbox.send(Event::ModelReady(info));
            }
            Ok(OnDevice { result: Err(message), .. }) => self.refuse_device(message),
            Err(RecvError) => self.refuse_device("The device could not be used".into()),
        }
    }

    fn refuse_device(&mut self, message: String) {
        self.device = self.device_in_use;
        self.outbox.send(Event::DeviceRefused { device: self.device, message });
    }

    fn list_models(&self) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.id.clone());
        self.file_tasks.run_newest(Slot::ModelList, move || send_models(&models, in_use, &outbox));
    }

    /// Does something with the models, says what came of it, and lists them anew.
    fn with_models(&self, work: impl FnOnce(&ModelFolder) -> Result<String, String> + Send + 'static) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.id.clone());
        let is_taken = self.file_tasks.run(move || {
            outbox.send(match work(&models) {
                Ok(text) => Event::ModelDone(text),
                Err(message) => Event::ModelFailed(message),
            });
            send_models(&models, in_use, &outbox);
        });
        if !is_taken {
            let message = "Too much is waiting to be done with models; try again when some of it is done";
            self.outbox.send(Event::ModelFailed(message.into()));
        }
    }

    fn delete_model(&self, id: ModelId) {
        let data = self.data.clone();
        // A training may have begun with this model; the next indexing throws away what it leaves.
        let changes_model = |open: &Session| open.job.as_ref().is_some_and(|job| job.changes_model);
        let open = self.open.as_ref().filter(|open| !changes_model(open));
        let open = open.and_then(|open| Some((Arc::clone(&open.library), open.lock.clone()?)));
        self.with_models(move |models| {
            let deleted = models.list().into_iter().find(|model| model.id == id);
            let away = delete_model(&data, models, &id).map_err(|error| error.to_string())?;
            // Other libraries follow when they are next indexed.
            if let (Some((library, _lock)), Some(deleted)) = (open, deleted) {
                forget_deleted(&library, models, &deleted);
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

    /// Says when the model in use has been loaded, or why it cannot be.
    fn announce_model(&mut self) {
        let embedder = self.embedder.clone();
        self.loading = Some(self.model_tasks.ask(Slot::Model, move || embedder.info()));
    }

    fn take_loaded(&mut self, loaded: Result<Loaded, RecvError>) {
        self.loading = None;
        match loaded.unwrap_or(Err(EmbedError::Gone)) {
            Ok(info) if info.name == self.model.id => self.outbox.send(Event::ModelReady(info)),
            Ok(_) => {}
            Err(error) => self.outbox.send(Event::ModelLoadFailed { message: error.to_string() }),
        }
    }

    /// Opens a library; gives the model that it was changing to, if any. Where that fails, the one before stays open.
    fn try_open(&mut self, path: &Path, garden: bool) -> Result<Option<Model>, OpenError> {
        let folder_error = |error| OpenError::Folder { path: path.to_owned(), error };
        if garden {
            std::fs::create_dir_all(path).map_err(folder_error)?;
        }
        let library = Arc::new(self.data.library(path).map_err(folder_error)?);
        let data_error = |error| OpenError::Data { path: library.folder.clone(), error };
        let lock = self.lock(&library).map_err(data_error)?;
        let catalog = match &lock {
            Some(_) => Catalog::open(&library.folder)?,
            None => Catalog::open_read_only(&library.folder)?.ok_or_else(|| {
                data_error(std::io::Error::other("another Florascope is just making it; try again in a moment"))
            })?,
        };
        let wanted = model_wanted(&catalog, &self.models)?.filter(|_| lock.is_some());
        let model = active_model(&catalog, &self.models)?;
        let problems = catalog.problems()?;
        if model.id != self.model.id {
            let embedder = Embedder::start(self.device_in_use, model.clone()).map_err(OpenError::Thread)?;
            (self.embedder, self.model) = (embedder, model.clone());
            self.announce_model();
        }
        if let Some(before) = self.open.take() {
            before.finish();
        }
        self.outbox.send(Event::Opened { library: Arc::clone(&library), writable: lock.is_some() });
        self.outbox.send(Event::Problems(problems.into()));
        let is_garden = library.root == self.data.garden().canonicalize().unwrap_or_default();
        let (embedder, queries, outbox) = (self.embedder.clone(), Arc::clone(&self.queries), self.outbox.clone());
        let mut session = Session::new(library, catalog, lock, model, embedder, queries, outbox);
        session.is_garden = is_garden;
        self.open = Some(session);
        (self.next, self.index_next, self.postponed_estimate) = (None, false, None);
        self.list_models();
        Ok(wanted)
    }

    /// The right to write a library: the one that a part of this process has, or else a new one.
    fn lock(&mut self, library: &Library) -> std::io::Result<Option<Arc<WriterLock>>> {
        let ours = self.locks.iter().position(|(folder, _)| *folder == library.folder).map(|at| self.locks.remove(at));
        self.locks.retain(|(_, lock)| lock.strong_count() > 0);
        let mut lock = ours.as_ref().and_then(|(_, lock)| lock.upgrade());
        if lock.is_some()
            && let Err(error) = library.mark_opened()
        {
            log::warn!("The order of the recent folders could not be kept: {error}");
        }
        let until = Instant::now() + LOCK_GOES_WITHIN;
        while lock.is_none() {
            lock = library.lock()?.map(Arc::new);
            // It is another process's, unless a thread of ours is letting go of it at this very moment.
            if lock.is_some() || ours.is_none() || Instant::now() > until {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.locks.extend(lock.iter().map(|lock| (library.folder.clone(), Arc::downgrade(lock))));
        Ok(lock)
    }

    /// Starts a job, or has it wait until the one that is running has ended. Indexing makes way for a training or another
    /// model, which bring the library up to date themselves; a training makes way for nothing.
    fn start(&mut self, kind: JobKind) {
        let Some(open) = &mut self.open else { return };
        let Some(lock) = open.lock.clone() else { return };
        if let Some(running) = &open.job {
            match kind {
                JobKind::Index => {
                    self.index_next = true;
                    self.outbox.send(Event::IndexQueued);
                }
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
        let (is_training, is_index) = (matches!(kind, JobKind::Train { .. }), matches!(kind, JobKind::Index));
        let work = JobWork {
            kind,
            library: Arc::clone(&open.library),
            draw_garden: open.is_garden,
            models: self.models.clone(),
            device: self.device,
            active: self.model.clone(),
            embedder: self.embedder.clone(),
            cancel: Cancel::default(),
            stop: Cancel::default(),
            messages: sender,
        };
        match RunningJob::start(self.jobs, work, messages, lock) {
            Ok(job) => {
                open.job = Some(job);
                if is_index {
                    self.outbox.send(Event::IndexStarted);
                }
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
    fn handle_job_message(&mut self, message: Option<JobMessage>) {
        let Some(open) = &mut self.open else { return };
        match message {
            Some(JobMessage::Event(event)) => open.handle_event(event),
            Some(JobMessage::Training(TrainEvent::Progress(progress))) => {
                let last = open.job.as_mut().map(|job| &mut job.last_reported);
                let is_news = |(at, stage): (Instant, Stage)| at.elapsed() >= REPORT_EVERY || stage != progress.stage;
                if let Some(last) = last.filter(|last| last.is_none_or(is_news)) {
                    *last = Some((Instant::now(), progress.stage));
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
                (self.model, self.embedder) = (model.clone(), embedder.clone());
                self.outbox.send(Event::ModelReady(info.clone()));
                self.outbox.send(Event::ModelDone(format!("In use now: {}", info.title)));
                let device = open.job.as_ref().map(|job| job.device);
                open.change_model(embedder, model, gallery);
                open.job.iter_mut().for_each(|job| job.changes_model = false);
                // What is new in the folder was not looked for.
                self.next.get_or_insert(JobKind::Index);
                self.list_models();
                self.device_in_use = device.unwrap_or(self.device);
                if self.device_in_use != self.device {
                    self.change_device(self.device);
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
            } else if job.changes_model && job.cancelled_by_user && matches!(outcome, Outcome::Cancelled { .. }) {
                if let Err(error) = cancel_model_change(&mut open.catalog) {
                    log::warn!("{error}");
                }
                self.outbox.send(Event::ModelDone("The model in use stays the one it was".into()));
                outcome = Outcome::Done { completed: 0 };
            }
        }
        self.outbox.send(Event::JobEnded(outcome));
        let index = std::mem::take(&mut self.index_next).then_some(JobKind::Index);
        if let Some(next) = self.next.take().or(index) {
            self.start(next);
        }
        if let Some(options) = self.postponed_estimate.take() {
            self.estimate_training(options);
        }
    }
}

fn send_models(models: &ModelFolder, in_use: Option<ModelId>, outbox: &Outbox) {
    outbox.send(Event::Models { models: models.list().into(), in_use });
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.finish();
        }
        // A process that exits while Faiss computes crashes.
        self.builds.0 = bounded(0).0;
        let _ = self.builds.1.recv();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use image::RgbImage;
    use tempfile::TempDir;

    use super::*;
    use crate::photo::{ContentHash, Photo, PhotoId};
    use crate::query::Query;

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

    fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
        events.iter().filter(|event| wanted(event)).count()
    }

    /// Can hold the thread that sends the next event, after it has sent it.
    #[derive(Clone, Default)]
    struct Gate(Arc<Mutex<Option<Barrier>>>);

    struct Barrier {
        enter: Sender<()>,
        released: Receiver<()>,
    }

    /// A thread that is held, or will be, until this is dropped.
    struct Held {
        entered: Receiver<()>,
        _release: Sender<()>,
    }

    impl Gate {
        fn hold_next(&self) -> Held {
            let ((enter, entered), (release, released)) = (bounded(1), bounded(0));
            *self.0.lock().unwrap() = Some(Barrier { enter, released });
            Held { entered, _release: release }
        }

        fn pass(&self) {
            let barrier = self.0.lock().unwrap().take();
            if let Some(Barrier { enter, released }) = barrier {
                let _ = enter.send(());
                let _ = released.recv();
            }
        }
    }

    impl Held {
        fn wait(&self) {
            self.entered.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }

    /// A worker, and a folder with one photo.
    struct Rig {
        worker: Worker,
        gate: Gate,
        photos: TempDir,
        data: DataFolder,
        _data: TempDir,
    }

    impl Rig {
        fn start() -> Self {
            Self::behind(Gate::default())
        }

        fn behind(gate: Gate) -> Self {
            let (folder, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            RgbImage::new(8, 8).save(photos.path().join("there.png")).unwrap();
            let data = DataFolder::open(Some(folder.path().into())).unwrap();
            let wake = gate.clone();
            let worker = Worker::start(data.clone(), DeviceChoice::Cpu, move || wake.pass()).unwrap();
            Self { worker, gate, photos, data, _data: folder }
        }

        /// Its first event, of the model, holds it: what is asked meanwhile is found all at once.
        fn held() -> (Self, Held) {
            let gate = Gate::default();
            let held = gate.hold_next();
            let rig = Self::behind(gate);
            held.wait();
            rig.worker.take_events();
            (rig, held)
        }

        fn send(&self, request: Request) {
            self.worker.send(request);
        }

        fn open(&self) {
            self.send(Request::Open(self.photos.path().into()));
        }

        fn show(&self, number: u64, query: Option<Query>) {
            self.send(Request::Show { number, listing: Listing { query, ..Listing::default() } });
        }

        fn events_until(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
            events_until(&self.worker, wanted)
        }

        /// Opens the folder, and waits until nothing is being done any more.
        fn open_and_rest(&self) {
            self.events_until(|event| matches!(event, Event::ModelReady(_)));
            self.open();
            let mut open = true;
            let mut listed = false;
            while open || !listed {
                let is_news = |event: &Event| matches!(event, Event::JobEnded(_) | Event::Models { .. });
                let events = self.events_until(is_news);
                open &= count(&events, |event| matches!(event, Event::JobEnded(_))) == 0;
                listed |= count(&events, |event| matches!(event, Event::Models { .. })) > 0;
            }
        }
    }

    #[test]
    fn a_newer_choice_of_device_is_not_undone_by_the_answer_to_an_older_one() {
        let (rig, held) = Rig::held();
        let missing = if cfg!(target_os = "macos") { DeviceChoice::Cuda } else { DeviceChoice::Mps };
        rig.send(Request::SetDevice(missing));
        rig.send(Request::SetDevice(DeviceChoice::Auto));
        drop(held);
        let is_answer = |event: &Event| matches!(event, Event::ModelReady(_) | Event::DeviceRefused { .. });
        let events = rig.events_until(is_answer);
        assert_eq!(count(&events, |event| matches!(event, Event::ModelReady(_))), 1, "{events:?}");
        // And one that cannot be used gives way to the one that can.
        rig.send(Request::SetDevice(missing));
        let events = rig.events_until(is_answer);
        let refused = |event: &Event| matches!(event, Event::DeviceRefused { device: DeviceChoice::Auto, .. });
        assert_eq!(count(&events, refused), 1, "{events:?}");
    }

    #[test]
    fn a_library_that_cannot_be_opened_again_stays_open() {
        let rig = Rig::start();
        rig.open_and_rest();
        let catalog = rig.data.library(rig.photos.path()).unwrap().folder.join("catalog.sqlite");
        std::fs::rename(&catalog, catalog.with_extension("away")).unwrap();
        std::fs::create_dir(&catalog).unwrap();
        rig.open();
        rig.events_until(|event| matches!(event, Event::OpenFailed { .. }));
        rig.show(1, None);
        let events = rig.events_until(|event| matches!(event, Event::Answer { number: 1, .. }));
        let has_photo = |event: &Event| matches!(event, Event::Answer { number: 1, hits } if hits.len() == 1);
        assert_eq!(count(&events, has_photo), 1, "{events:?}");
    }

    #[test]
    fn a_task_that_holds_the_lock_is_not_taken_for_another_window() {
        let rig = Rig::start();
        rig.open_and_rest();
        let held = rig.gate.hold_next();
        rig.send(Request::ListModels);
        held.wait();
        // It waits for the one before, with the right to write the open library.
        rig.send(Request::DeleteModel("none".into()));
        rig.open();
        let events = rig.events_until(|event| matches!(event, Event::Opened { .. }));
        assert_eq!(count(&events, |event| matches!(event, Event::Opened { writable: true, .. })), 1, "{events:?}");
        drop(held);
    }

    #[test]
    fn a_window_is_told_that_the_worker_has_died() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(Some(folder.path().into())).unwrap();
        let dies = AtomicBool::new(true);
        let wake = move || {
            if std::thread::current().name() == Some("worker") && dies.swap(false, Ordering::Relaxed) {
                panic!("as a test");
            }
        };
        let worker = Worker::start(data, DeviceChoice::Cpu, wake).unwrap();
        let died = |event: &Event| matches!(event, Event::WorkerDied);
        events_until(&worker, died);
        worker.send(Request::ListModels);
        events_until(&worker, died);
    }

    #[test]
    fn a_check_that_is_asked_for_while_a_job_runs_follows_it_once() {
        let (rig, held) = Rig::held();
        rig.open();
        rig.send(Request::Index);
        rig.send(Request::Index);
        drop(held);
        let (mut events, mut ended) = (Vec::new(), 0);
        while ended < 2 {
            let more = rig.events_until(|event| matches!(event, Event::JobEnded(_)));
            ended += count(&more, |event| matches!(event, Event::JobEnded(_)));
            events.extend(more);
        }
        // A third one would have been begun by the time of this answer.
        rig.show(1, None);
        events.extend(rig.events_until(|event| matches!(event, Event::Answer { number: 1, .. })));
        assert_eq!(count(&events, |event| matches!(event, Event::IndexStarted)), 2, "{events:?}");
        assert_eq!(count(&events, |event| matches!(event, Event::IndexQueued)), 2, "{events:?}");
    }

    #[test]
    fn only_the_newest_estimate_is_made_and_not_while_a_job_runs() {
        let (rig, held) = Rig::held();
        rig.open();
        for seed in 0..20 {
            // Of a model that is gone it takes no time.
            let options = TrainOptions { recipe: Recipe::Full, seed, start: Some("gone".into()), ..Default::default() };
            rig.send(Request::EstimateTraining(options));
        }
        drop(held);
        let events = rig.events_until(|event| matches!(event, Event::TrainingEstimate { .. }));
        let is_newest = |event: &Event| matches!(event, Event::TrainingEstimate { options, .. } if options.seed == 19);
        let (estimate, ended) =
            (events.iter().position(is_newest), |event: &Event| matches!(event, Event::JobEnded(_)));
        assert!(events.iter().position(ended).is_some_and(|ended| Some(ended) < estimate), "{events:?}");
        assert_eq!(count(&events, |event| matches!(event, Event::TrainingEstimate { .. })), 1, "{events:?}");
    }

    #[test]
    fn the_grid_is_answered_while_a_query_is_being_made() {
        let rig = Rig::start();
        rig.open_and_rest();
        let query = Some(Query::File(rig.photos.path().join("there.png")));
        let held = rig.gate.hold_next();
        rig.show(1, query.clone());
        held.wait();
        rig.show(2, None);
        rig.events_until(|event| matches!(event, Event::Answer { number: 2, .. }));
        // Nor does a newer query wait for the older one.
        rig.show(3, query);
        let events = rig.events_until(|event| matches!(event, Event::Answer { number: 3, .. }));
        drop(held);
        assert_eq!(count(&events, |event| matches!(event, Event::Answer { number: 1, .. })), 0, "{events:?}");
    }

    #[test]
    fn a_search_with_a_photo_that_is_gone_from_the_index_reads_no_file() {
        let (data, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        RgbImage::new(8, 8).save(photos.path().join("there.png")).unwrap();
        let data = DataFolder::open(Some(data.path().into())).unwrap();
        let worker = Worker::start(data, DeviceChoice::Cpu, || {}).unwrap();
        worker.send(Request::Open(photos.path().into()));
        let gone = Photo { id: PhotoId(1 << 40), path: "there.png".into(), content: ContentHash([0; 16]) };
        let listing = Listing { query: Some(Query::Photo(Arc::new(gone))), ..Listing::default() };
        worker.send(Request::Show { number: 1, listing });
        let mut events = events_until(&worker, |event| matches!(event, Event::QueryFailed { number: 1, .. }));
        worker.send(Request::Show { number: 2, listing: Listing::default() });
        events.extend(events_until(&worker, |event| matches!(event, Event::Answer { number: 2, .. })));
        assert!(!events.iter().any(|event| matches!(event, Event::Preview { .. })), "{events:?}");
    }
}

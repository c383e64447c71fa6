//! Owns the open library on a thread of its own: loads it, runs its jobs (indexing, training, the change to another
//! model, the comparison of several) one at a time, answers queries. The window sends [`Request`]s, which never block, and
//! picks up [`Event`]s when it is woken.

mod answering;
mod calibrating;
mod dates;
mod error;
mod job;
mod libraries;
mod messages;
mod models;
mod open;
mod schedule;
mod session;
mod tasks;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError, Sender, TrySendError, bounded, never, select};

use self::error::OpenError;
use self::job::{Check, JobKind};
pub use self::messages::{Event, LibraryNews, Listing, Request, TrainingEnd};
use self::messages::{Mailbox, Outbox};
use self::open::Origin;
use self::session::Session;
use self::tasks::BackgroundTasks;
use crate::artefact::{Model, ModelFolder, ModelId, TrainOptions, load_weights};
use crate::device::DeviceChoice;
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::Cancel;
use crate::library::{DataFolder, WriterLock};
use crate::scan::Again;

/// So that a query does not wait for an older one whose picture takes long to decode.
const QUERY_THREADS: usize = 2;

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
            index_next: None,
            postponed_estimate: None,
            speeds: Cancel::default(),
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
    index_next: Option<Check>,
    /// What the window would like to know the time of, when no job is running any more.
    postponed_estimate: Option<TrainOptions>,
    /// Ends the measuring of speeds.
    speeds: Cancel,
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
            let news = open.and_then(|open| open.watch.as_ref()).map_or_else(never, |watch| watch.news.clone());
            let loaded = self.loading.clone().unwrap_or_else(never);
            let on_device = self.device_change.clone().unwrap_or_else(never);
            let dates = open.and_then(|open| open.dates.as_ref()).map_or_else(never, |dates| dates.told.clone());
            let calibrating = open.and_then(|open| open.calibrating.as_ref());
            let measured = calibrating.map_or_else(never, |calibrating| calibrating.result.clone());
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
                recv(news) -> news => if let Ok(news) = news { self.hear(news) },
                recv(dates) -> told => if let Some(open) = &mut self.open {
                    open.take_dates(told.ok());
                },
                recv(measured) -> measured => if let Some(open) = &mut self.open {
                    open.take_measured(measured.ok());
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
            Request::Open(path) => self.open(&path, Origin::Unknown),
            Request::OpenAnew(path) => self.open(&path, Origin::New),
            Request::OpenMoved { path, before } => self.open(&path, Origin::Moved(before)),
            Request::OpenGarden => self.open(&self.data.garden(), Origin::Garden),
            Request::Index => self.check(Again::Nothing),
            Request::Retry(problems) => self.check(Again::Problems(problems)),
            Request::ReadAgain => self.check(Again::Everything),
            Request::CancelJob => {
                self.cancel_next();
                self.index_next = None;
                if let Some(open) = &mut self.open {
                    open.cancel_job();
                    if let Some(job) = &mut open.job {
                        job.cancelled_by_user = true;
                    }
                }
            }
            Request::StopReadingDates => {
                if let Some(open) = &mut self.open {
                    open.stop_reading_dates();
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
            Request::CompareModels(models) => self.start(JobKind::Compare(models)),
            Request::MeasureSpeeds(networks) => self.measure_speeds(networks),
            Request::ListModels => self.list_models(),
            Request::ListLibraries => self.list_libraries(),
            Request::ForgetLibrary(library) => self.forget_library(library),
            Request::CleanUp(clean_up) => self.clean_up(clean_up),
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
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.speeds.cancel();
        if let Some(open) = self.open.take() {
            open.finish();
        }
        // A process that exits while Faiss computes crashes.
        self.builds.0 = bounded(0).0;
        let _ = self.builds.1.recv();
    }
}

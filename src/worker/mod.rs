//! Owns the open library on a thread of its own: loads it, runs its jobs (indexing, training, the change to another
//! model) one at a time, answers queries. The window sends [`Request`]s, which never block, and picks up [`Event`]s when
//! it is woken.

mod errands;
mod job;
mod messages;
mod open;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};

use self::errands::Errands;
use self::job::{Changed, JobKind, JobMessage, JobWork, RunningJob};
pub use self::messages::{Event, Request, TrainingEnd, View};
use self::messages::{Mailbox, Outbox};
use self::open::OpenLibrary;
use crate::active_model::{active_model, cancel_model_change, delete_model, forget_deleted, model_wanted, names};
use crate::artefact::{Model, ModelFolder, load_weights};
use crate::catalog::{Catalog, CatalogError};
use crate::device::DeviceChoice;
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::{Cancel, Outcome, Stage};
use crate::library::DataFolder;
use crate::query::QueryError;
use crate::train::estimate::estimate;
use crate::train::progress::TrainEvent;

/// How far a training is, is told this often at most: each time the window is drawn, which without a GPU takes the time
/// of the processor that trains.
const TELL_EVERY: Duration = Duration::from_millis(100);

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
            let (loaded, reopened) = (unbounded(), unbounded());
            let (open, jobs, next) = (None, 0, None);
            let mut worker =
                Loop { data, models, device, embedder, model, outbox, open, jobs, next, errands, loaded, reopened };
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
        self.mailbox.take()
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
    /// What has come of models that were being loaded.
    loaded: (Sender<Loaded>, Receiver<Loaded>),
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

impl Loop {
    fn run(&mut self, requests: &Receiver<Request>) {
        // A device that was asked for by its name may be gone. Otherwise nobody waits for the model but who needs it.
        if matches!(self.device, DeviceChoice::Cuda | DeviceChoice::Mps)
            && let Err(error @ EmbedError::NoSuchDevice(_)) = self.embedder.info()
        {
            self.refuse_device(DeviceChoice::Auto, error.to_string());
            match Embedder::start(self.device, self.model.clone()) {
                Ok(embedder) => self.embedder = embedder,
                Err(error) => self.outbox.send(Event::OpenFailed { message: OpenError::Thread(error).to_string() }),
            }
        }
        self.announce_model();
        let loaded = self.loaded.1.clone();
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
                recv(loaded) -> model => match model {
                    Ok(Ok(info)) if info.name == self.model.id => self.outbox.send(Event::ModelReady(info)),
                    Ok(Err(error)) => self.outbox.send(Event::OpenFailed { message: error.to_string() }),
                    Ok(Ok(_)) | Err(_) => {}
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
                let (models, present) = (self.models.clone(), self.model.clone());
                self.errands.run(move || {
                    let time = estimate(&options, &models, &present, photos, device);
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
                let model = load_weights(&path).map_err(|error| error.to_string())?;
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
                    open.embedder = embedder;
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
        let in_use = self.open.as_ref().map(|open| open.model.id.clone());
        self.errands.run(move || send_models(&models, in_use, &outbox));
    }

    /// Does something with the models, says what came of it, and lists them anew.
    fn with_models(&self, work: impl FnOnce(&ModelFolder) -> Result<String, String> + Send + 'static) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.id.clone());
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
        // A training may have begun with this model; the next indexing throws away what it leaves.
        let changes_model = |open: &OpenLibrary| open.job.as_ref().is_some_and(|job| job.changes_model);
        let open = self.open.as_ref().filter(|open| !changes_model(open));
        let open = open.and_then(|open| Some((open.library.folder.clone(), open.lock.clone()?)));
        self.with_models(move |models| {
            let deleted = models.list().into_iter().find(|model| model.id == id);
            let away = delete_model(&data, models, &id).map_err(|error| error.to_string())?;
            // Other libraries follow when they are next indexed.
            if let (Some((folder, _lock)), Some(deleted)) = (open, deleted)
                && let Err(error) =
                    Catalog::open(&folder).and_then(|mut catalog| forget_deleted(&mut catalog, models, &deleted))
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

    /// Says when the model in use has been loaded, or why it cannot be.
    fn announce_model(&self) {
        let (embedder, loaded) = (self.embedder.clone(), self.loaded.0.clone());
        self.errands.run(move || {
            let _ = loaded.send(embedder.info());
        });
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
        let model = active_model(&catalog, &self.models)?;
        if model.id != self.model.id {
            let embedder = Embedder::start(self.device, model.clone()).map_err(OpenError::Thread)?;
            (self.embedder, self.model) = (embedder, model.clone());
            self.announce_model();
        }
        if let Some(before) = self.open.take() {
            before.finish();
        }
        self.outbox.send(Event::Opened { library: Arc::clone(&library), writable: lock.is_some() });
        self.outbox.send(Event::Problems(catalog.problems()?.into()));
        let is_garden = library.root == self.data.garden().canonicalize().unwrap_or_default();
        let (embedder, outbox) = (self.embedder.clone(), self.outbox.clone());
        self.open = Some(OpenLibrary::new(library, is_garden, catalog, lock, model, embedder, outbox));
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
        let is_training = matches!(kind, JobKind::Train { .. });
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
            Ok(job) => open.job = Some(job),
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
                let is_news = |(at, stage): (Instant, Stage)| at.elapsed() >= TELL_EVERY || stage != progress.stage;
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
                (self.model, self.embedder) = (model.clone(), embedder.clone());
                self.outbox.send(Event::ModelReady(info.clone()));
                self.outbox.send(Event::ModelDone(format!("In use now: {}", info.title)));
                let device = open.job.as_ref().map(|job| job.device);
                open.change_model(embedder, model, gallery);
                open.job.iter_mut().for_each(|job| job.changes_model = false);
                // What is new in the folder was not looked for.
                self.next.get_or_insert(JobKind::Index);
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
                if let Err(error) = cancel_model_change(&mut open.catalog) {
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
    use image::RgbImage;

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

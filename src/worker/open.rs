//! How a library is opened, and the right to write it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Loop;
use super::error::OpenError;
use super::job::{Check, JobKind};
use super::messages::Event;
use super::session::Session;
use crate::active_model::{active_model, model_wanted};
use crate::catalog::Catalog;
use crate::embed::Embedder;
use crate::ingest::account;
use crate::library::{Library, Obstacle, WriterLock};
use crate::moved::recognise;

/// How long a lock of our own may take to go.
const LOCK_GOES_WITHIN: Duration = Duration::from_millis(200);

/// What is known of a folder that is to be opened.
pub(super) enum Origin {
    /// Perhaps its photos were elsewhere before: then the user is asked.
    Unknown,
    /// It is to have a library of its own.
    New,
    /// This library was that of another folder.
    Moved(Library),
    /// It is drawn by the program.
    Garden,
}

impl Loop {
    pub(super) fn open(&mut self, path: &Path, origin: Origin) {
        match self.try_open(path, origin) {
            Ok(Some(job)) => self.start(job),
            Ok(None) => {}
            Err(error) => self.outbox.send(Event::OpenFailed { message: error.to_string() }),
        }
    }

    /// Opens a library; gives what is to be done with it first, and nothing where the user has to be asked. Where it
    /// fails, the one before stays open.
    fn try_open(&mut self, path: &Path, origin: Origin) -> Result<Option<JobKind>, OpenError> {
        let folder_error = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => OpenError::Gone(path.to_owned()),
            _ => OpenError::Folder { path: path.to_owned(), error },
        };
        if matches!(origin, Origin::Garden) {
            std::fs::create_dir_all(path).map_err(folder_error)?;
        }
        let library = self.data.library(path).map_err(folder_error)?;
        let data_error = |error| OpenError::Data { path: library.folder.clone(), error };
        if matches!(origin, Origin::Unknown)
            && !library.is_known().map_err(data_error)?
            && let Some(before) = recognise(&self.data, &library.root)
        {
            self.outbox.send(Event::LooksMoved { root: library.root, before });
            return Ok(None);
        }
        let (library, lock) = match origin {
            Origin::Moved(before) => {
                let (library, lock) = self.take_over(&before, library.root)?;
                (library, Ok(Some(lock)))
            }
            _ => {
                let lock = self.lock(&library);
                (library, lock)
            }
        };
        let library = Arc::new(library);
        let Opened { catalog, lock, obstacle } = open_catalog(&library, lock)?;
        let wanted = model_wanted(&library, &catalog, &self.models)?.filter(|_| lock.is_some());
        let model = active_model(&catalog, &self.models)?;
        let (problems, account) = (catalog.problems()?, account(&catalog)?);
        if model.id != self.model.id {
            let embedder = Embedder::start(self.device_in_use, model.clone()).map_err(OpenError::Thread)?;
            (self.embedder, self.model) = (embedder, model.clone());
            self.announce_model();
        }
        if let Some(before) = self.open.take() {
            before.finish();
        }
        self.outbox.send(Event::Opened { library: Arc::clone(&library), writable: lock.is_some(), obstacle });
        self.outbox.send(Event::Problems(problems.into()));
        self.outbox.send(Event::Account(Arc::new(account)));
        let is_garden = library.root == self.data.garden().canonicalize().unwrap_or_default();
        let (embedder, queries, outbox) = (self.embedder.clone(), Arc::clone(&self.queries), self.outbox.clone());
        let mut session = Session::new(library, catalog, lock, model, embedder, queries, outbox);
        session.is_garden = is_garden;
        self.open = Some(session);
        (self.next, self.index_next, self.postponed_estimate) = (None, None, None);
        self.list_models();
        // First what is new in the folder; then a change of the model that the end of the program interrupted, or that this
        // version brings, for that may take hours.
        self.next = wanted.map(|model| JobKind::Use(model.id));
        Ok(Some(JobKind::Index(Check::default())))
    }

    /// Makes a library that of the folder its photos are in now. Where it is the open one, that is closed first: its
    /// folder is gone.
    fn take_over(&mut self, before: &Library, root: PathBuf) -> Result<(Library, Arc<WriterLock>), OpenError> {
        if let Some(open) = self.open.take_if(|open| open.library.folder == before.folder) {
            open.finish();
            self.outbox.send(Event::Closed);
        }
        let moved = before.move_to(root).map_err(|error| OpenError::Data { path: before.folder.clone(), error })?;
        let (library, lock) = moved.ok_or_else(|| OpenError::InUse(before.root.clone()))?;
        let lock = Arc::new(lock);
        self.locks.push((library.folder.clone(), Arc::downgrade(&lock)));
        Ok((library, lock))
    }

    /// The right to write a library: the one that a part of this process has, or else a new one.
    pub(super) fn lock(&mut self, library: &Library) -> std::io::Result<Option<Arc<WriterLock>>> {
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
}

/// A catalog, with the right to write it or the reason why not.
struct Opened {
    catalog: Catalog,
    lock: Option<Arc<WriterLock>>,
    obstacle: Option<Obstacle>,
}

/// Opens a catalog: for reading only where another process writes it, or where it cannot be written at all.
fn open_catalog(library: &Library, lock: std::io::Result<Option<Arc<WriterLock>>>) -> Result<Opened, OpenError> {
    let data_error = |error| OpenError::Data { path: library.folder.clone(), error };
    let read = |obstacle, error| {
        let catalog = Catalog::open_read_only(&library.folder)?.ok_or(error)?;
        Ok(Opened { catalog, lock: None, obstacle })
    };
    match lock {
        Ok(Some(lock)) => match Catalog::open(&library.folder) {
            Ok(catalog) => Ok(Opened { catalog, lock: Some(lock), obstacle: None }),
            Err(error) => match error.obstacle() {
                Some(obstacle) => read(Some(obstacle), error.into()),
                None => Err(error.into()),
            },
        },
        Ok(None) => {
            let making = std::io::Error::other("another Florascope is creating it; try again in a moment");
            read(None, data_error(making))
        }
        Err(error) => match Obstacle::of(&error) {
            Some(obstacle) => read(Some(obstacle), data_error(error)),
            None => Err(data_error(error)),
        },
    }
}

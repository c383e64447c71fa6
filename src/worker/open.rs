//! How a library is opened, and the right to write it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Loop;
use super::error::OpenError;
use super::job::JobKind;
use super::messages::Event;
use super::session::Session;
use crate::active_model::{active_model, model_wanted};
use crate::artefact::Model;
use crate::catalog::Catalog;
use crate::embed::Embedder;
use crate::library::{Library, WriterLock};

/// How long a lock of our own may take to go.
const LOCK_GOES_WITHIN: Duration = Duration::from_millis(200);

impl Loop {
    pub(super) fn open(&mut self, path: &Path, garden: bool) {
        match self.try_open(path, garden) {
            // A change of the model that the end of the program interrupted goes on.
            Ok(wanted) => self.start(wanted.map_or(JobKind::Index, |model| JobKind::Use(model.id))),
            Err(error) => self.outbox.send(Event::OpenFailed { message: error.to_string() }),
        }
    }

    /// Opens a library; gives the model that it was changing to, if any. Where that fails, the one before stays open.
    pub(super) fn try_open(&mut self, path: &Path, garden: bool) -> Result<Option<Model>, OpenError> {
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

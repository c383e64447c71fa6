//! What the user does with libraries as a whole.

use std::io;
use std::sync::Arc;

use super::Loop;
use super::messages::{Event, LibraryNews, Outbox};
use super::tasks::Slot;
use crate::libraries::{CleanUp, Held, clean_up, list, unused};
use crate::library::{DataFolder, Library};

impl Loop {
    /// The open library, where it may be written beside what runs: not while a job changes its models.
    pub(super) fn held(&self) -> Option<Held> {
        let open = self.open.as_ref()?;
        let is_busy = open.job.as_ref().is_some_and(|job| job.changes_model);
        open.lock.clone().filter(|_| !is_busy).map(|lock| (Arc::clone(&open.library), lock))
    }

    pub(super) fn list_libraries(&self) {
        let (data, held, outbox) = (self.data.clone(), self.held(), self.outbox.clone());
        self.file_tasks.run_newest(Slot::LibraryList, move || send_libraries(&data, held.as_ref(), &outbox));
    }

    /// Forgets a library. The open one is closed first, and its job waited for.
    pub(super) fn forget_library(&mut self, library: Library) {
        if let Some(open) = self.open.take_if(|open| open.library.folder == library.folder) {
            open.finish();
            (self.next, self.index_next, self.postponed_estimate) = (None, None, None);
            self.outbox.send(Event::Closed);
            self.list_models();
        }
        let lock = self.lock(&library);
        self.with_libraries(None, move |_, _| {
            let forget = || match lock? {
                Some(lock) => library.forget(&lock),
                None => Err(io::Error::other("another Florascope has it open; close that first")),
            };
            match forget() {
                Ok(()) => Ok(LibraryNews::Forgotten(library.root)),
                Err(error) => {
                    Err(format!("The library could not be forgotten ({error}): {}", library.folder.display()))
                }
            }
        });
    }

    pub(super) fn clean_up(&self, wanted: CleanUp) {
        self.with_libraries(self.held(), move |data, held| {
            clean_up(data, &wanted, held)
                .map(LibraryNews::Cleaned)
                .map_err(|error| format!("Not all of it could be cleaned up: {error}"))
        });
        self.list_models();
    }

    /// Does something with the libraries, says what came of it, and lists them anew.
    fn with_libraries(
        &self,
        held: Option<Held>,
        work: impl FnOnce(&DataFolder, Option<&Held>) -> Result<LibraryNews, String> + Send + 'static,
    ) {
        let (data, outbox) = (self.data.clone(), self.outbox.clone());
        let is_taken = self.file_tasks.run(move || {
            outbox.send(Event::LibrariesDone(work(&data, held.as_ref())));
            send_libraries(&data, held.as_ref(), &outbox);
        });
        if !is_taken {
            let message = "Too much is waiting to be done with files; try again when some of it is done";
            self.outbox.send(Event::LibrariesDone(Err(message.into())));
        }
    }
}

fn send_libraries(data: &DataFolder, held: Option<&Held>, outbox: &Outbox) {
    match list(data).and_then(|libraries| Ok((libraries, unused(data, held)?))) {
        Ok((libraries, unused)) => {
            outbox.send(Event::Libraries { libraries: libraries.into(), unused: Arc::new(unused) });
        }
        Err(error) => {
            outbox.send(Event::LibrariesDone(Err(format!("The libraries could not be listed: {error}"))));
        }
    }
}

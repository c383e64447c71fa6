//! Finds out when the photos of an older catalog were taken, on a thread of its own, while nothing else is to be done.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use crate::catalog::Catalog;
use crate::ingest::describe_library;
use crate::job::{Cancel, Progress, lower_priority};
use crate::library::{Library, WriterLock};
use crate::photo::Photo;

/// Steps of the system's "nice" value beyond those of the worker: after everything else.
const NICE: i32 = 10;

/// What has been found out.
pub(super) type Told = (Progress, Vec<Photo>);

/// The thread and what it tells. It is never waited for: a drive that answers no more may hold it.
pub(super) struct ReadingDates {
    /// Closed when it has ended.
    pub(super) told: Receiver<Told>,
    /// The window knows of it.
    pub(super) is_shown: bool,
    cancel: Cancel,
}

impl ReadingDates {
    /// Starts the thread, which holds the library's lock.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(library: Arc<Library>, lock: Arc<WriterLock>) -> std::io::Result<Self> {
        let (sender, told) = bounded(4);
        let cancel = Cancel::default();
        let flag = cancel.clone();
        std::thread::Builder::new().name("dates".into()).spawn(move || {
            lower_priority(NICE);
            let read = || {
                let mut catalog = Catalog::open(&library.folder)?;
                describe_library(&library, &mut catalog, &flag, &mut |progress, photos| {
                    // Whoever does not listen any more has closed the library, and reads it from the catalog again.
                    let _ = sender.send((progress, photos));
                })
            };
            if let Err(error) = read() {
                log::warn!("{error}");
            }
            drop(lock);
        })?;
        Ok(Self { told, is_shown: false, cancel })
    }

    /// Has it end soon; what it has found out by then is still told.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

impl Drop for ReadingDates {
    fn drop(&mut self) {
        self.cancel();
    }
}

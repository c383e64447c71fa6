//! Has an approximate index read from disk, or else built and written there, on a thread of its own, while exact searches
//! go on.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};

use super::{Approximate, Rows};
use crate::job::Cancel;

/// What is to be made, and of what.
pub struct Plan {
    pub rows: Rows,
    /// The library's folder among the program's data.
    pub folder: PathBuf,
    /// Names the embeddings.
    pub model: String,
    /// The one on disk does not hold enough of the photos any more.
    pub anew: bool,
    /// Whether this process may write to the folder.
    pub writable: bool,
}

/// The thread and what comes of it. Dropping it stops the thread, within about a second.
pub struct Background {
    cancel: Cancel,
    result: Receiver<Approximate>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(plan: Plan) -> std::io::Result<Self> {
        let (sender, result) = bounded(1);
        let cancel = Cancel::default();
        let flag = cancel.clone();
        let thread = std::thread::Builder::new().name("approximate".into()).spawn(move || {
            if let Some(approximate) = plan.run(&flag) {
                // Nobody may be waiting any more.
                let _ = sender.send(approximate);
            }
        })?;
        Ok(Self { cancel, result, thread: Some(thread) })
    }

    /// Gives the index; closed without one where none could be made.
    pub fn result(&self) -> &Receiver<Approximate> {
        &self.result
    }
}

impl Plan {
    fn run(&self, cancel: &Cancel) -> Option<Approximate> {
        let (began, dimension) = (Instant::now(), self.rows.dimension());
        let stored = (!self.anew).then(|| Approximate::load(&self.folder, &self.model, dimension)).flatten();
        let approximate = match stored {
            Some(stored) => stored,
            None => self.build(cancel)?,
        };
        let (photos, recall) = (approximate.photos(), approximate.recall);
        log::info!("Approximate index of {photos} photos after {:.1?}, recall@10 {recall:.3}", began.elapsed());
        Some(approximate)
    }

    fn build(&self, cancel: &Cancel) -> Option<Approximate> {
        let built = Approximate::build(&self.rows, cancel).unwrap_or_else(|error| {
            log::warn!("Searches compare every photo, since there is no approximate index: {error}");
            None
        })?;
        if self.writable
            && let Err(error) = built.save(&self.folder, &self.model)
        {
            log::warn!("The approximate index could not be kept, and will be built again next time: {error}");
        }
        Some(built)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported.
            let _ = thread.join();
        }
    }
}

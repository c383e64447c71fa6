//! Has an approximate index read from disk, or else built and written there, on a thread of its own, while exact searches
//! go on.

use std::path::PathBuf;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Approximate, Rows};
use crate::job::Cancel;

/// What is to be built, and of what.
pub(crate) struct BuildSpec {
    /// The photos that there are now; later ones are not in it.
    pub(crate) rows: Rows,
    /// The library's folder among the program's data.
    pub(crate) folder: PathBuf,
    /// Names the embeddings.
    pub(crate) model: String,
    /// The one on disk does not hold enough of the photos any more.
    pub(crate) anew: bool,
    /// Whether this process may write to the folder.
    pub(crate) writable: bool,
    /// Held until the thread has ended: a process must not exit while Faiss computes.
    #[expect(dead_code, reason = "held, not read: whoever waits has the other end")]
    pub(crate) running: Sender<()>,
}

/// The thread and what comes of it. Dropping it has the thread stop at its next step, but does not wait for that: the
/// step in which Faiss learns takes seconds and cannot be interrupted. Whoever has to wait has the other end of
/// [`BuildSpec::running`].
pub(crate) struct BackgroundBuild {
    cancel: Cancel,
    result: Receiver<Approximate>,
}

impl BackgroundBuild {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(spec: BuildSpec) -> std::io::Result<Self> {
        let (sender, result) = bounded(1);
        let cancel = Cancel::default();
        let flag = cancel.clone();
        std::thread::Builder::new().name("approximate".into()).spawn(move || {
            if let Some(approximate) = spec.run(&flag) {
                // Nobody may be waiting any more.
                let _ = sender.send(approximate);
            }
        })?;
        Ok(Self { cancel, result })
    }

    /// Gives the index; closed without one where none could be made.
    pub(crate) fn result(&self) -> &Receiver<Approximate> {
        &self.result
    }
}

impl Drop for BackgroundBuild {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl BuildSpec {
    fn run(&self, cancel: &Cancel) -> Option<Approximate> {
        let (began, dimension) = (Instant::now(), self.rows.dimension());
        let stored = (!self.anew).then(|| Approximate::load(&self.folder, &self.model, dimension, cancel)).flatten();
        let approximate = match stored {
            Some(stored) => stored,
            None if cancel.is_cancelled() => return None,
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

#[cfg(all(test, unix))]
mod tests {
    use crossbeam_channel::TryRecvError;

    use super::*;
    use crate::photo::Metric;

    #[test]
    fn dropping_it_does_not_wait_and_its_end_can_be_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        // Opening a pipe waits until somebody writes to it.
        let pipe = folder.path().join("approximate.safetensors");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (running, ended) = bounded(0);
        let spec = BuildSpec {
            rows: Rows::new(2, Metric::Cosine),
            folder: folder.path().into(),
            model: "m".into(),
            anew: false,
            writable: false,
            running,
        };
        let build = BackgroundBuild::start(spec).unwrap();
        drop(build);
        assert_eq!(ended.try_recv(), Err(TryRecvError::Empty));
        std::fs::write(&pipe, b"").unwrap();
        assert!(ended.recv().is_err());
    }
}

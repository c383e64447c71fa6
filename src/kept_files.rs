//! Small files of what the window remembers, written whole on a thread of their own as they change.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::atomic_file::{self, Survives};

type Content = Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>;

/// Keeps files as they were told last. What was told is on disk when this is dropped.
pub(crate) struct KeptFiles {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    files: BTreeMap<PathBuf, Content>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a file to write; `None` at the end.
    fn next(&self) -> Option<(PathBuf, Content)> {
        let mut waiting = self.lock();
        loop {
            if let Some(file) = waiting.files.pop_first() {
                return Some(file);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl KeptFiles {
    /// Starts the thread. `failed` is told the first time that a file cannot be written.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(failed: impl FnOnce(String) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let write = move || {
            let mut failed = Some(failed);
            while let Some((file, content)) = theirs.next() {
                let written = content().and_then(|content| atomic_file::write(&file, &content, Survives::Kill));
                if let Err(error) = written {
                    let message = format!("Settings and searches cannot be kept ({error}): {}", file.display());
                    log::warn!("{message}");
                    failed.take().into_iter().for_each(|failed| failed(message.clone()));
                }
            }
        };
        let thread = std::thread::Builder::new().name("settings".into()).spawn(write)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has a file written. Never waits; of several contents that come while the disk is busy, only the last is written.
    pub(crate) fn save(&self, file: PathBuf, content: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static) {
        self.shared.lock().files.insert(file, Box::new(content));
        self.shared.changed.notify_one();
    }
}

impl Drop for KeptFiles {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_content_of_each_file_is_on_disk_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one.json", "other.json"].map(|name| folder.path().join(name));
        let kept = KeptFiles::start(|_| unreachable!()).unwrap();
        for number in 0..40 {
            kept.save(one.clone(), move || Ok(format!("{number}").into_bytes()));
            kept.save(other.clone(), move || Ok(format!("-{number}").into_bytes()));
        }
        drop(kept);
        assert_eq!([one, other].map(|file| std::fs::read_to_string(file).unwrap()), ["39", "-39"]);
    }
}

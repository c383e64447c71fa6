//! Reads files from disks that may keep a thread waiting for ever, or be gone.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::catalog::FileStamp;
use crate::decode::{self, DecodeError};
use crate::job::Cancel;
use crate::patience::{Asker, NoAnswer, patience_for};

/// After so many files one after the other without an answer a drive is asked no more.
const MOST_STALLS: usize = 8;

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum Unread {
    Stopped,
    /// Its drive does not answer.
    NoAnswer,
    /// It is not there any more.
    Gone,
    /// What its drive says rather than what is in it.
    OfDrive(std::io::Error),
    Refused(DecodeError),
}

/// Asks for the files of one folder, for several threads.
pub(super) struct Reader {
    root: PathBuf,
    cancel: Cancel,
    /// The places of other drives within the folder.
    drives: Vec<PathBuf>,
    askers: Mutex<Vec<Asker>>,
    /// Files of each drive that were not answered one after the other.
    stalls: Mutex<HashMap<PathBuf, usize>>,
}

impl Reader {
    pub(super) fn new(root: &Path, drives: Vec<PathBuf>, cancel: &Cancel) -> Self {
        let (askers, stalls) = (Mutex::default(), Mutex::default());
        Self { root: root.to_owned(), cancel: cancel.clone(), drives, askers, stalls }
    }

    /// A file of about so many bytes, and its state after that. `late` is called where its disk keeps it waiting.
    pub(super) fn read(&self, path: &Path, bytes: u64, late: &dyn Fn()) -> Result<(Vec<u8>, FileStamp), Unread> {
        self.ask(path, bytes, late, |file| {
            let bytes = decode::read_file(file)?;
            Ok((bytes, FileStamp::from(&std::fs::metadata(file)?)))
        })
    }

    /// The answer to a question that takes reading about so many bytes of a file.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        path: &Path,
        bytes: u64,
        late: &dyn Fn(),
        question: impl FnOnce(&Path) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, Unread> {
        let holding = self.drives.iter().filter(|drive| path.starts_with(drive));
        let drive = holding.max_by_key(|drive| drive.components().count()).cloned().unwrap_or_default();
        if lock(&self.stalls).get(&drive).is_some_and(|stalls| *stalls >= MOST_STALLS) {
            return Err(Unread::NoAnswer);
        }
        let mut asker = lock(&self.askers).pop().unwrap_or_else(|| Asker::new("read".into()));
        let file = self.root.join(path);
        let answer = asker.ask(patience_for(bytes), &self.cancel, late, move || question(&file));
        lock(&self.askers).push(asker);
        match answer {
            Err(NoAnswer::Stopped) => Err(Unread::Stopped),
            Err(NoAnswer::TooLate) => {
                *lock(&self.stalls).entry(drive).or_default() += 1;
                Err(Unread::NoAnswer)
            }
            Ok(answer) => {
                lock(&self.stalls).remove(&drive);
                answer.map_err(|error: DecodeError| match error {
                    DecodeError::Io(error) if error.kind() == ErrorKind::NotFound => Unread::Gone,
                    DecodeError::Io(error) if is_of_drive(&error) => Unread::OfDrive(error),
                    error => Unread::Refused(error),
                })
            }
        }
    }

    /// Whether the folder's own drive has stopped answering.
    pub(super) fn is_silent(&self) -> bool {
        lock(&self.stalls).get(Path::new("")).is_some_and(|stalls| *stalls >= MOST_STALLS)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a drive that was unplugged, or a network that is gone, may be the reason.
fn is_of_drive(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    let codes = [
        libc::EIO,
        libc::ENXIO,
        libc::ENODEV,
        libc::ESTALE,
        libc::ENOTCONN,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::ETIMEDOUT,
        libc::ECONNABORTED,
        libc::ECONNRESET,
    ];
    #[cfg(not(unix))]
    let codes: [i32; 0] = [];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

//! Questions to drives that may never answer: asked by a thread that can be left behind, so that whoever waits can stop.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::job::Cancel;

/// How long a drive may take to answer, in milliseconds.
static PATIENCE: AtomicU64 = AtomicU64::new(30_000);
/// How often a stop is looked for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What is answered later than this is late.
const LATE: Duration = Duration::from_millis(500);
/// A slower drive counts as one that does not answer, in bytes a second.
const SLOWEST: u64 = 1 << 18;

/// Waits no longer than this for a drive, for tests.
pub fn set(patience: Duration) {
    PATIENCE.store(patience.as_millis() as u64, Ordering::Relaxed);
}

/// How long a drive may take to answer.
pub(crate) fn patience() -> Duration {
    Duration::from_millis(PATIENCE.load(Ordering::Relaxed))
}

/// How long a drive may take to give so many bytes.
pub(crate) fn patience_for(bytes: u64) -> Duration {
    patience() + Duration::from_secs(bytes / SLOWEST)
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    TooLate,
    Stopped,
}

/// Asks on behalf of one thread.
pub(crate) struct Asker {
    name: String,
    /// To the thread that asks; `None` until there is a question, and where the last one was given up.
    questions: Option<Sender<Box<dyn FnOnce() + Send>>>,
}

impl Asker {
    /// Threads that ask get this name.
    pub(crate) fn new(name: String) -> Self {
        Self { name, questions: None }
    }

    /// The answer to a question, if there is one in time and before a stop. A question that is given up is left to itself.
    /// `late` is called once where the answer takes longer than usual.
    pub(crate) fn ask<T: Send + 'static>(
        &mut self,
        limit: Duration,
        cancel: &Cancel,
        late: &dyn Fn(),
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (sender, answer) = bounded(1);
        let question: Box<dyn FnOnce() + Send> = Box::new(move || {
            // Whoever asked may have given up.
            let _ = sender.send(question());
        });
        let (asked, mut is_late) = (Instant::now(), false);
        if let Err(question) = self.pass_on(question) {
            // Without a thread for it there is no way but to wait.
            question();
        }
        loop {
            let no_answer = match answer.recv_timeout(LOOK_EVERY) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => NoAnswer::TooLate,
                Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => NoAnswer::Stopped,
                Err(RecvTimeoutError::Timeout) if asked.elapsed() >= limit => NoAnswer::TooLate,
                Err(RecvTimeoutError::Timeout) => {
                    if !is_late && asked.elapsed() >= LATE {
                        is_late = true;
                        late();
                    }
                    continue;
                }
            };
            self.questions = None;
            return Err(no_answer);
        }
    }

    fn pass_on(&mut self, question: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        if self.questions.is_none() {
            let (sender, questions) = bounded::<Box<dyn FnOnce() + Send>>(1);
            let thread = std::thread::Builder::new().name(self.name.clone());
            if thread.spawn(move || questions.iter().for_each(|question| question())).is_err() {
                return Err(question);
            }
            self.questions = Some(sender);
        }
        match &self.questions {
            Some(questions) => questions.send(question).map_err(|error| error.into_inner()),
            None => Err(question),
        }
    }
}

/// A folder's path without links; an error where it is none, or its drive does not answer.
pub(crate) fn real_folder(folder: &Path) -> std::io::Result<PathBuf> {
    let path = folder.to_owned();
    answer_in_time(&Cancel::default(), move || {
        let real = path.canonicalize()?;
        if real.is_dir() { Ok(real) } else { Err(std::io::Error::new(ErrorKind::NotADirectory, "not a folder")) }
    })
    .unwrap_or_else(|_| Err(no_answer()))
}

/// Whether a folder can be entered and has something in it; an error where its drive does not answer.
pub(crate) fn has_entries(folder: &Path, cancel: &Cancel) -> std::io::Result<bool> {
    let path = folder.to_owned();
    match answer_in_time(cancel, move || std::fs::read_dir(path)?.next().transpose().map(|entry| entry.is_some())) {
        Ok(answer) => answer,
        Err(NoAnswer::TooLate) => Err(no_answer()),
        // Whoever stops wants to know nothing.
        Err(NoAnswer::Stopped) => Ok(true),
    }
}

/// The answer to a single question, asked by a thread of its own.
pub(crate) fn answer_in_time<T: Send + 'static>(
    cancel: &Cancel,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    Asker::new("disk".into()).ask(patience(), cancel, &|| {}, question)
}

/// What is said of a drive that did not answer in time.
pub(crate) fn no_answer() -> std::io::Error {
    std::io::Error::new(ErrorKind::TimedOut, "the drive does not answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_is_given_up_and_the_next_one_is_answered() {
        let mut asker = Asker::new("test".into());
        let (release, never) = bounded::<()>(0);
        let waits = || {
            let never = never.clone();
            move || _ = never.recv()
        };
        let cancel = Cancel::default();
        let asked = Instant::now();
        assert_eq!(asker.ask(Duration::from_millis(100), &cancel, &|| {}, waits()), Err(NoAnswer::TooLate));
        assert_eq!(asker.ask(Duration::from_secs(60), &cancel, &|| {}, || 7), Ok(7));
        assert_eq!(asker.ask(Duration::from_secs(60), &cancel, &|| {}, || 8), Ok(8));
        cancel.cancel();
        assert_eq!(asker.ask(Duration::from_secs(60), &cancel, &|| {}, waits()), Err(NoAnswer::Stopped));
        assert!(asked.elapsed() < Duration::from_secs(10));
        drop(release);
    }
}

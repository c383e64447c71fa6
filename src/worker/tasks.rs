//! Work that would keep the worker from answering: on files, with a model that has to be loaded, with a photo to decode.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};

/// Operations that may wait; more than anybody asks for while one is done.
const MOST_OPERATIONS: usize = 64;

/// Work of which only the newest is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Query,
    Copies,
    Device,
    Model,
    ModelList,
    LibraryList,
    TrainingPreview,
    TrainingEstimate,
    Speeds,
}

type Work = Box<dyn FnOnce() + Send>;

struct Task {
    /// `None` for an operation.
    slot: Option<Slot>,
    work: Work,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a task; `None` when there will be none any more.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            match state.waiting.pop_front() {
                Some(task) => return Some(task),
                None if state.closed => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Threads that do one task after the other, in order. At the end, operations are still done, what waits in a slot is
/// dropped, and the threads are waited for: a process that exits while libtorch computes crashes.
pub(super) struct BackgroundTasks {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl BackgroundTasks {
    /// Starts the threads. `panicked` is called after a task has; the thread goes on with the next one.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        name: &str,
        threads: usize,
        panicked: impl Fn() + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut tasks = Self { queue: Arc::default(), threads: Vec::with_capacity(threads) };
        for number in 1..=threads {
            let (queue, panicked) = (Arc::clone(&tasks.queue), panicked.clone());
            let work = move || {
                while let Some(task) = queue.next() {
                    if catch_unwind(AssertUnwindSafe(task.work)).is_err() {
                        panicked();
                    }
                }
            };
            tasks.threads.push(std::thread::Builder::new().name(format!("{name}-{number}")).spawn(work)?);
        }
        Ok(tasks)
    }

    /// Has an operation done that the user asked for, in its turn. `false` where too many wait: then it is not.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.queue.lock();
        let has_room = state.waiting.iter().filter(|task| task.slot.is_none()).count() < MOST_OPERATIONS;
        if has_room {
            state.waiting.push_back(Task { slot: None, work: Box::new(work) });
            self.queue.changed.notify_one();
        }
        has_room
    }

    /// Has something done in its turn, in place of what waits in the same slot.
    pub(super) fn run_newest(&self, slot: Slot, work: impl FnOnce() + Send + 'static) {
        let mut state = self.queue.lock();
        state.waiting.retain(|task| task.slot != Some(slot));
        state.waiting.push_back(Task { slot: Some(slot), work: Box::new(work) });
        self.queue.changed.notify_one();
    }

    /// The same, with an answer. Each question has a channel of its own, so that an older answer is never taken for a
    /// newer one; it closes without an answer where the work panicked or made way.
    pub(super) fn ask<T: Send + 'static>(&self, slot: Slot, work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
        let (sender, answer) = bounded(1);
        self.run_newest(slot, move || {
            // Whoever asked may want something else by now.
            let _ = sender.send(work());
        });
        answer
    }

    /// Drops what waits in a slot.
    pub(super) fn forget(&self, slot: Slot) {
        self.queue.lock().waiting.retain(|task| task.slot != Some(slot));
    }
}

impl Drop for BackgroundTasks {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        state.waiting.retain(|task| task.slot.is_none());
        drop(state);
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(threads: usize) -> BackgroundTasks {
        BackgroundTasks::start("test", threads, || {}).unwrap()
    }

    /// Lets the tasks say what was done, in order.
    fn log() -> (impl Fn(&'static str) -> Work, Receiver<&'static str>) {
        let (sender, done) = bounded(16);
        let entry = move |name: &'static str| -> Work {
            let sender = sender.clone();
            Box::new(move || sender.send(name).unwrap())
        };
        (entry, done)
    }

    #[test]
    fn the_newest_of_a_slot_replaces_what_waits() {
        let (tasks, (log, done)) = (start(1), log());
        let (go, wait) = bounded::<()>(0);
        tasks.run(move || wait.recv().unwrap());
        tasks.run_newest(Slot::TrainingEstimate, log("old estimate"));
        tasks.run_newest(Slot::ModelList, log("list"));
        tasks.run_newest(Slot::TrainingEstimate, log("estimate"));
        tasks.run(log("rename"));
        tasks.run_newest(Slot::TrainingPreview, log("preview"));
        tasks.forget(Slot::TrainingPreview);
        go.send(()).unwrap();
        drop((tasks, log));
        let done: Vec<_> = done.iter().collect();
        assert!(!done.contains(&"old estimate") && !done.contains(&"preview"), "{done:?}");
        assert!(done.contains(&"rename"), "{done:?}");
    }

    #[test]
    fn at_the_end_operations_are_done_and_estimates_dropped() {
        let (tasks, (log, done)) = (start(1), log());
        let queue = Arc::clone(&tasks.queue);
        // Busy until the end has begun.
        tasks.run(move || {
            let state = queue.lock();
            drop(queue.changed.wait_while(state, |state| !state.closed).unwrap());
        });
        tasks.run_newest(Slot::TrainingEstimate, log("estimate"));
        tasks.run(log("delete"));
        tasks.run(log("export"));
        drop((tasks, log));
        assert_eq!(done.iter().collect::<Vec<_>>(), ["delete", "export"]);
    }

    #[test]
    fn a_newer_question_does_not_wait_for_an_older_one_nor_hear_its_answer() {
        let tasks = start(2);
        let (go, wait) = bounded::<()>(0);
        let older = tasks.ask(Slot::Query, move || {
            let _ = wait.recv();
            1
        });
        let newer = tasks.ask(Slot::Query, || 2);
        assert_eq!(newer.recv(), Ok(2));
        drop(go);
        // It had been begun, or else made way.
        assert_ne!(older.recv(), Ok(2));
    }

    #[test]
    fn a_panic_is_told_and_ends_neither_the_thread_nor_the_wait() {
        let (told, panics) = bounded(1);
        let tasks = BackgroundTasks::start("test", 1, move || told.send(()).unwrap()).unwrap();
        let answer = tasks.ask(Slot::Query, || -> u32 { panic!("as a test") });
        assert!(answer.recv().is_err());
        assert_eq!(panics.recv(), Ok(()));
        assert_eq!(tasks.ask(Slot::Query, || 3).recv(), Ok(3));
    }

    #[test]
    fn operations_that_wait_have_a_bound() {
        let tasks = start(1);
        let (go, wait) = bounded::<()>(0);
        let waits = (0..=MOST_OPERATIONS + 1).filter(|_| {
            let wait = wait.clone();
            tasks.run(move || _ = wait.recv())
        });
        let taken = waits.count();
        // The first may have been begun by now.
        assert!((MOST_OPERATIONS..=MOST_OPERATIONS + 1).contains(&taken), "{taken}");
        drop(go);
    }
}

//! Short work that must not keep the worker from answering.

use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};

/// Work on files, or with a model that has to be loaded: too long for the worker's own thread, which has queries to
/// answer. One piece after the other, on a thread that is waited for in the end.
pub(super) struct Errands {
    queue: Option<Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<JoinHandle<()>>,
}

impl Errands {
    pub(super) fn start() -> std::io::Result<Self> {
        // Unbounded like the requests that it comes from.
        let (queue, errands) = unbounded::<Box<dyn FnOnce() + Send>>();
        let thread =
            std::thread::Builder::new().name("errands".into()).spawn(move || errands.iter().for_each(|run| run()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) fn run(&self, errand: impl FnOnce() + Send + 'static) {
        if self.queue.as_ref().is_none_or(|queue| queue.send(Box::new(errand)).is_err()) {
            log::error!("The thread for errands has ended; restart the program");
        }
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

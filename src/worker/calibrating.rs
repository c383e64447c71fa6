//! Measures how far a library's answers can be trusted, and how similar its photos usually are, on a thread of its own,
//! while nothing else is to be done.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use crate::identify::{Calibration, Closeness, Reference};
use crate::index::Index;
use crate::job::{Cancel, lower_priority};
use crate::photo::Photo;

/// Steps of the system's "nice" value beyond those of the worker: after everything else.
const NICE: i32 = 10;

/// What was measured; nothing where there are too few photos for it.
pub(super) struct Measured {
    pub(super) calibration: Option<Calibration>,
    pub(super) closeness: Option<Closeness>,
}

/// The thread and what it measures. It is not waited for: it ends soon after this is dropped.
pub(super) struct Calibrating {
    pub(super) result: Receiver<Measured>,
    cancel: Cancel,
}

impl Calibrating {
    /// Starts the thread, on all photos and those with names.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(
        (index, photos): (Index, Vec<Arc<Photo>>),
        reference: Reference,
        model: String,
    ) -> std::io::Result<Self> {
        let (sender, result) = bounded(1);
        let cancel = Cancel::default();
        let flag = cancel.clone();
        std::thread::Builder::new().name("calibration".into()).spawn(move || {
            lower_priority(NICE);
            let closeness = Closeness::measure(&index, &photos, &model, &flag);
            let calibration = reference.calibrate(&model, &flag);
            // Whoever does not listen any more has opened another library.
            let _ = sender.send(Measured { calibration, closeness });
        })?;
        Ok(Self { result, cancel })
    }
}

impl Drop for Calibrating {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

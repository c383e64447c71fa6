//! Measures how far a library's answers can be trusted, on a thread of its own, while nothing else is to be done.

use crossbeam_channel::{Receiver, bounded};

use crate::identify::{Calibration, Reference};
use crate::job::{Cancel, lower_priority};

/// Steps of the system's "nice" value beyond those of the worker: after everything else.
const NICE: i32 = 10;

/// The thread and what it measures. It is not waited for: it ends soon after this is dropped.
pub(super) struct Calibrating {
    /// Closes without a result where there are too few photos.
    pub(super) result: Receiver<Calibration>,
    cancel: Cancel,
}

impl Calibrating {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(reference: Reference, model: String) -> std::io::Result<Self> {
        let (sender, result) = bounded(1);
        let cancel = Cancel::default();
        let flag = cancel.clone();
        std::thread::Builder::new().name("calibration".into()).spawn(move || {
            lower_priority(NICE);
            if let Some(calibration) = reference.calibrate(&model, &flag) {
                // Whoever does not listen any more has opened another library.
                let _ = sender.send(calibration);
            }
        })?;
        Ok(Self { result, cancel })
    }
}

impl Drop for Calibrating {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

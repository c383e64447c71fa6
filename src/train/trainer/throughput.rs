//! How fast a training is, and how much of the time the device computes rather than waits for photos.

use std::time::{Duration, Instant};

use super::super::memory;
use crate::train::progress::TrainProgress;

/// Counts since a training was begun or resumed.
pub(super) struct Throughput {
    began: Instant,
    computed: Duration,
    pictures: usize,
    steps: u64,
}

impl Throughput {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), computed: Duration::ZERO, pictures: 0, steps: 0 }
    }

    /// A step on so many pictures, which the device computed for so long.
    pub(super) fn count_step(&mut self, pictures: usize, computed: Duration) {
        self.pictures += pictures;
        self.computed += computed;
        self.steps += 1;
    }

    /// Writes what is known after step `step` of `steps`.
    pub(super) fn report(&self, progress: &mut TrainProgress, step: u64, steps: u64) {
        let seconds = self.began.elapsed().as_secs_f64();
        (progress.step, progress.steps) = (step, steps);
        progress.rate = (seconds > 0.5).then(|| self.pictures as f64 / seconds);
        progress.busy = Some((self.computed.as_secs_f64() / seconds.max(1e-9)) as f32);
        let left = seconds / self.steps.max(1) as f64 * steps.saturating_sub(step) as f64;
        progress.time_left = Duration::try_from_secs_f64(left).ok();
        progress.memory = memory();
    }
}

//! Passes on how far a training is.

use std::time::{Duration, Instant};

use super::head::HeadProgress;
use super::memory;
use crate::job::{Progress, Stage};
use crate::train::progress::{CurvePoint, TrainEvent, TrainProgress};

/// What a training tells while it runs.
pub(super) struct ProgressReporter<'a> {
    pub(crate) events: &'a mut dyn FnMut(TrainEvent),
    pub(crate) progress: TrainProgress,
    /// When the stage began.
    pub(crate) began: Instant,
}

impl<'a> ProgressReporter<'a> {
    pub(crate) fn new(events: &'a mut dyn FnMut(TrainEvent), device: String) -> Self {
        Self { events, progress: TrainProgress { device, ..TrainProgress::default() }, began: Instant::now() }
    }

    pub(crate) fn tell(&mut self, event: TrainEvent) {
        (self.events)(event);
    }

    /// A stage of so many steps begins; 0 where that is not known.
    pub(crate) fn stage(&mut self, stage: Stage, steps: u64) {
        let device = std::mem::take(&mut self.progress.device);
        self.progress = TrainProgress { stage, steps, device, memory: memory(), ..TrainProgress::default() };
        self.began = Instant::now();
        self.tell(TrainEvent::Progress(self.progress.clone()));
    }

    pub(crate) fn step(&mut self, head: &HeadProgress) {
        if let Some(notice) = &head.notice {
            return self.tell(TrainEvent::Notice(notice.clone()));
        }
        let progress = &mut self.progress;
        (progress.epoch, progress.epochs) = (head.epoch, head.epochs);
        (progress.step, progress.steps) = (head.step, head.steps);
        let seconds = self.began.elapsed().as_secs_f64();
        if seconds > 0.2 && head.step > 0 {
            progress.rate = Some(head.photos as f64 / seconds);
            let left = seconds * (head.steps - head.step.min(head.steps)) as f64 / head.step as f64;
            progress.time_left = Duration::try_from_secs_f64(left).ok();
        }
        let event = TrainEvent::Progress(progress.clone());
        self.tell(event);
    }

    /// How far the library is embedded with the new network.
    pub(crate) fn embedding(&mut self, embedding: &Progress) {
        let progress = &mut self.progress;
        (progress.stage, progress.epoch, progress.epochs) = (embedding.stage, 0, 0);
        (progress.step, progress.steps) = (embedding.done, embedding.total.unwrap_or(0));
        (progress.rate, progress.time_left, progress.memory) = (embedding.rate, embedding.time_left(), memory());
        let event = TrainEvent::Progress(progress.clone());
        self.tell(event);
    }

    pub(crate) fn curve(&mut self, head: &HeadProgress) {
        if head.loss.is_some() {
            let point = CurvePoint { epoch: f64::from(head.epoch), loss: head.loss, validation: None };
            self.tell(TrainEvent::Curve(point));
        }
    }
}

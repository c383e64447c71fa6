//! Passes on how far a training is.

use std::time::{Duration, Instant};

use super::TrainingEvent;
use super::head::HeadProgress;
use super::memory;
use super::overall::OverallMeter;
use crate::ingest::IngestEvent;
use crate::job::{Progress, Stage};
use crate::train::progress::{CurvePoint, TrainEvent, TrainProgress};

/// What a training tells while it runs.
pub(super) struct ProgressReporter<'a> {
    events: &'a mut dyn FnMut(TrainingEvent),
    pub(super) progress: TrainProgress,
    pub(super) overall: OverallMeter,
    /// When the stage began.
    began: Instant,
}

impl<'a> ProgressReporter<'a> {
    pub(super) fn new(events: &'a mut dyn FnMut(TrainingEvent), overall: OverallMeter) -> Self {
        let mut reporter = Self { events, progress: TrainProgress::default(), overall, began: Instant::now() };
        reporter.tell_steps();
        reporter
    }

    pub(super) fn tell(&mut self, event: TrainEvent) {
        (self.events)(TrainingEvent::Train(event));
    }

    /// Which steps there are, as far as it is known.
    pub(super) fn tell_steps(&mut self) {
        self.tell(TrainEvent::Steps(self.overall.steps()));
    }

    /// A stage of so many steps begins; 0 where that is not known.
    pub(super) fn stage(&mut self, stage: Stage, steps: u64) {
        let device = std::mem::take(&mut self.progress.device);
        self.progress = TrainProgress { stage, steps, device, memory: memory(), ..TrainProgress::default() };
        self.began = Instant::now();
        self.tell_progress();
    }

    /// Tells what has been written into `progress`.
    pub(super) fn tell_progress(&mut self) {
        let (progress, now) = (&mut self.progress, Instant::now());
        let part = if progress.steps > 0 { progress.step as f64 / progress.steps as f64 } else { 0.0 };
        self.overall.hear(progress.stage, part, now);
        progress.overall = self.overall.overall(now);
        let event = TrainEvent::Progress(progress.clone());
        self.tell(event);
    }

    pub(super) fn step(&mut self, head: &HeadProgress) {
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
        self.tell_progress();
    }

    /// What the indexing that comes first has to say.
    pub(super) fn ingest(&mut self, event: IngestEvent) {
        match event {
            IngestEvent::Progress(progress) => self.embedding(&progress),
            other => (self.events)(TrainingEvent::Ingest(other)),
        }
    }

    /// How far photos are embedded.
    pub(super) fn embedding(&mut self, embedding: &Progress) {
        let progress = &mut self.progress;
        (progress.stage, progress.epoch, progress.epochs) = (embedding.stage, 0, 0);
        (progress.step, progress.steps) = (embedding.done, embedding.total.unwrap_or(0));
        (progress.rate, progress.time_left, progress.memory) = (embedding.rate, embedding.time_left(), memory());
        self.tell_progress();
    }

    pub(super) fn curve(&mut self, head: &HeadProgress) {
        if head.loss.is_some() {
            let point = CurvePoint { epoch: f64::from(head.epoch), loss: head.loss, validation: None };
            self.tell(TrainEvent::Curve(point));
        }
    }
}

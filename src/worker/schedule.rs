//! Which job runs when, and what becomes of what it tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::Loop;
use super::job::{Changed, Check, JobKind, JobMessage, JobWork, RunningJob};
use super::messages::{Event, TrainingEnd};
use super::tasks::Slot;
use crate::active_model::cancel_model_change;
use crate::artefact::{Recipe, TrainOptions};
use crate::job::{Cancel, Outcome, Stage};
use crate::scan::Again;
use crate::train::estimate::{Folder, estimate, estimate_by_last};
use crate::train::progress::TrainEvent;
use crate::watch::News;

/// How far a training is, is told this often at most: each time the window is drawn, which without a GPU takes the time
/// of the processor that trains.
const REPORT_EVERY: Duration = Duration::from_millis(100);

impl Loop {
    /// Starts a job, or has it wait until the one that is running has ended. Indexing makes way for a training or another
    /// model, which bring the library up to date themselves; a training makes way for nothing.
    pub(super) fn start(&mut self, kind: JobKind) {
        let Some(open) = &mut self.open else { return };
        let Some(lock) = open.lock.clone() else { return };
        if let Some(running) = &open.job {
            match kind {
                JobKind::Index(check) => {
                    if !check.is_quiet {
                        self.outbox.send(Event::IndexQueued);
                    }
                    self.index_next = Some(self.index_next.take().map_or(check.clone(), |other| other.and(check)));
                }
                JobKind::Train { .. } | JobKind::Use(_) | JobKind::Compare(_) if running.is_training => {
                    if matches!(kind, JobKind::Compare(_)) {
                        self.outbox.send(Event::CompareEnded);
                    }
                    let message = "A training is running; stop it or wait for its end first";
                    self.outbox.send(Event::ModelFailed(message.into()));
                }
                JobKind::Train { .. } | JobKind::Use(_) => {
                    running.cancel.cancel();
                    if let Some(JobKind::Compare(_)) = self.next.replace(kind) {
                        self.outbox.send(Event::CompareEnded);
                    }
                }
                JobKind::Compare(_) if self.next.as_ref().is_none_or(|next| matches!(next, JobKind::Compare(_))) => {
                    self.next = Some(kind);
                }
                JobKind::Compare(_) => {
                    self.outbox.send(Event::CompareEnded);
                    self.outbox
                        .send(Event::ModelFailed("Something else is about to begin; compare the models then".into()));
                }
            }
            return;
        }
        open.pause_reading_dates();
        self.speeds.cancel();
        self.jobs += 1;
        let (sender, messages) = bounded(16);
        let is_training = matches!(kind, JobKind::Train { .. });
        let is_asked_for = matches!(kind, JobKind::Index(Check { is_quiet: false, .. }));
        if matches!(kind, JobKind::Compare(_)) {
            self.outbox.send(Event::CompareStarted);
        }
        let work = JobWork {
            kind,
            library: Arc::clone(&open.library),
            draw_garden: open.is_garden,
            models: self.models.clone(),
            device: self.device,
            active: self.model.clone(),
            embedder: self.embedder.clone(),
            cancel: Cancel::default(),
            stop: Cancel::default(),
            messages: sender,
        };
        match RunningJob::start(self.jobs, work, messages, lock) {
            Ok(job) => {
                open.job = Some(job);
                if is_asked_for {
                    self.outbox.send(Event::IndexStarted);
                }
            }
            Err(error) => {
                let message = format!("A thread could not be started: {error}");
                if is_training {
                    self.outbox.send(Event::TrainingEnded(TrainingEnd::Failed { message: message.clone() }));
                }
                self.outbox.send(Event::JobEnded(Outcome::Failed { message }));
            }
        }
    }

    /// Checks the folder because the user wants that.
    pub(super) fn check(&mut self, again: Again) {
        self.start(JobKind::Index(Check { again, is_quiet: false }));
    }

    /// Something has changed in the folder.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Changed => self.start(JobKind::Index(Check { again: Again::Nothing, is_quiet: true })),
            News::TooManyFolders => self.outbox.send(Event::WatchLimited),
        }
    }

    /// What was to follow the job that is running does not any more.
    pub(super) fn cancel_next(&mut self) {
        match self.next.take() {
            Some(JobKind::Train { .. }) => self.outbox.send(Event::TrainingEnded(TrainingEnd::Stopped)),
            Some(JobKind::Compare(_)) => self.outbox.send(Event::CompareEnded),
            Some(JobKind::Use(_) | JobKind::Index(_)) | None => {}
        }
    }

    /// Says how long a training would take. To know it of a network that was never trained here, some steps are tried out:
    /// not while a job needs the processor, but after it. The other recipes' times are told where they are known without.
    pub(super) fn estimate_training(&mut self, options: TrainOptions) {
        let Some(open) = &self.open else { return };
        if open.job.is_some() && options.recipe != Recipe::Quick {
            self.postponed_estimate = Some(options);
            return;
        }
        self.postponed_estimate = None;
        let photos: Vec<_> = open.gallery.photos().cloned().collect();
        let (library, outbox, device) = (Arc::clone(&open.library), self.outbox.clone(), self.device);
        let (models, present) = (self.models.clone(), self.model.clone());
        self.training_tasks.run_newest(Slot::TrainingEstimate, move || {
            let folder = Folder::new(&library, photos.iter().map(|photo| photo.path.as_path()));
            for recipe in Recipe::ALL.into_iter().filter(|recipe| *recipe != options.recipe) {
                let other = TrainOptions { recipe, ..options.clone() };
                let time = estimate_by_last(&other, &models, &present, &folder, device);
                if time.is_some() {
                    outbox.send(Event::TrainingEstimate { options: other, time });
                }
            }
            let time = estimate(&options, &models, &present, &folder, device);
            outbox.send(Event::TrainingEstimate { options, time });
        });
    }

    /// Takes a message of the job; `None` when it died without a word.
    pub(super) fn handle_job_message(&mut self, message: Option<JobMessage>) {
        let Some(open) = &mut self.open else { return };
        match message {
            Some(JobMessage::Event(event)) => open.handle_event(event),
            Some(JobMessage::Training(TrainEvent::Progress(progress))) => {
                let last = open.job.as_mut().map(|job| &mut job.last_reported);
                let is_news = |(at, stage): (Instant, Stage)| at.elapsed() >= REPORT_EVERY || stage != progress.stage;
                if let Some(last) = last.filter(|last| last.is_none_or(is_news)) {
                    *last = Some((Instant::now(), progress.stage));
                    self.outbox.send(Event::Training(TrainEvent::Progress(progress)));
                }
            }
            Some(JobMessage::Training(event)) => self.outbox.send(Event::Training(event)),
            Some(JobMessage::Compared(compared)) => self.outbox.send(Event::Compared(compared)),
            Some(JobMessage::ModelFailed(message)) => self.outbox.send(Event::ModelFailed(message)),
            Some(JobMessage::TrainingEnded(end)) => {
                // The change of the model that may follow is none any more.
                open.job.iter_mut().for_each(|job| job.is_training = false);
                self.outbox.send(Event::TrainingEnded(end));
                self.list_models();
            }
            Some(JobMessage::Changed(changed)) => {
                let Changed { model, embedder, info, gallery } = *changed;
                (self.model, self.embedder) = (model.clone(), embedder.clone());
                self.outbox.send(Event::ModelReady(info.clone()));
                self.outbox.send(Event::ModelDone(format!("In use now: {}", info.title)));
                let device = open.job.as_ref().map(|job| job.device);
                open.change_model(embedder, model, gallery);
                open.job.iter_mut().for_each(|job| job.changes_model = false);
                // What is new in the folder was not looked for.
                match &self.next {
                    None => self.next = Some(JobKind::Index(Check::default())),
                    // Which goes first, and then leaves the word to this.
                    Some(JobKind::Compare(_)) => drop(self.index_next.get_or_insert_default()),
                    // They bring the library up to date themselves.
                    Some(_) => {}
                }
                self.list_models();
                self.device_in_use = device.unwrap_or(self.device);
                if self.device_in_use != self.device {
                    self.change_device(self.device);
                }
            }
            Some(JobMessage::Reloaded(gallery)) => open.reload(*gallery),
            Some(JobMessage::Ended(outcome)) => self.end_job(outcome),
            None => self.end_job(Outcome::Failed { message: "The job ended unexpectedly".into() }),
        }
    }

    pub(super) fn end_job(&mut self, outcome: Outcome) {
        let Some(open) = &mut self.open else { return };
        let (mut outcome, job) = (outcome, open.job.take());
        open.refresh();
        let is_comparison = job.as_ref().is_some_and(|job| job.is_comparison);
        if let (Outcome::Failed { message }, true) = (&outcome, is_comparison) {
            self.outbox.send(Event::ModelFailed(message.clone()));
        }
        if let Some(job) = job {
            if job.is_quiet && matches!(outcome, Outcome::Done { .. }) {
                // The grid follows; there is nothing to be said.
                outcome = Outcome::Done { completed: 0 };
            }
            if job.is_training {
                // It ended before the training began, or without a word.
                self.outbox.send(Event::TrainingEnded(match &outcome {
                    Outcome::Failed { message } => TrainingEnd::Failed { message: message.clone() },
                    Outcome::Done { .. } | Outcome::Cancelled { .. } => TrainingEnd::Stopped,
                }));
                outcome = Outcome::Done { completed: 0 };
            } else if job.changes_model && job.cancelled_by_user && matches!(outcome, Outcome::Cancelled { .. }) {
                if let Err(error) = cancel_model_change(&mut open.catalog) {
                    log::warn!("{error}");
                }
                self.outbox.send(Event::ModelDone("The model in use stays the one it was".into()));
                outcome = Outcome::Done { completed: 0 };
            }
        }
        self.outbox.send(if is_comparison { Event::CompareEnded } else { Event::JobEnded(outcome) });
        let next = self.next.take();
        // But for a comparison, what comes next checks the folder itself, or is to do just that.
        let index = if matches!(next, Some(JobKind::Compare(_))) { None } else { self.index_next.take() };
        if let Some(next) = next.or(index.map(JobKind::Index)) {
            self.start(next);
        }
        if let Some(options) = self.postponed_estimate.take() {
            self.estimate_training(options);
        }
    }
}

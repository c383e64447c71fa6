//! The open library: its photos in memory, what the grid shows of them, and the job that runs on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::answering::Shown;
use super::calibrating::{Calibrating, Measured};
use super::dates::{ReadingDates, Told};
use super::job::RunningJob;
use super::messages::{Event, Outbox};
use super::tasks::{BackgroundTasks, Slot};
use crate::artefact::Model;
use crate::catalog::{Catalog, CatalogError};
use crate::embed::Embedder;
use crate::identify::{Calibration, Closeness};
use crate::index::{Approximate, BackgroundBuild, BuildSpec};
use crate::ingest::IngestEvent;
use crate::library::{Library, WriterLock};
use crate::photo::PhotoId;
use crate::query::Gallery;
use crate::train::progress::LabelPreview;
use crate::train::{checkpoint, holdout};
use crate::watch::Watch;

/// While photos are being added, what is on the screen is brought up to date this often.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Or more rarely, where it takes long: this part of the time at most goes into it, for queries wait meanwhile.
const REFRESH_SHARE: u32 = 20;

/// How far the reading of so many files is, is told even where nobody has asked for it.
const WORTH_TELLING: u64 = 100;

/// What the worker knows of the open library.
pub(super) struct Session {
    pub(super) library: Arc<Library>,
    pub(super) is_garden: bool,
    pub(super) catalog: Catalog,
    pub(super) gallery: Gallery,
    pub(super) model: Model,
    /// Shared with the job. `None` where another process writes this library.
    pub(super) lock: Option<Arc<WriterLock>>,
    pub(super) embedder: Embedder,
    /// Decode and embed what is searched with.
    pub(super) queries: Arc<BackgroundTasks>,
    pub(super) outbox: Outbox,
    /// Photos up to this id are in the gallery; `None` when all are.
    loaded_up_to: Option<PhotoId>,
    pub(super) shown: Option<Shown>,
    /// Whether the gallery is another than what the window was last told.
    changed: bool,
    /// When the window is told of changes again, at the earliest.
    next_refresh: Option<Instant>,
    /// Makes an approximate index.
    pub(super) build: Option<BackgroundBuild>,
    /// None can be made of these embeddings.
    exact_only: bool,
    pub(super) job: Option<RunningJob>,
    /// Tells of changes in the folder, once that has been looked through.
    pub(super) watch: Option<Watch>,
    /// Finds out when the photos of an older catalog were taken.
    pub(super) dates: Option<ReadingDates>,
    /// That has been done, or the user does not want it now.
    dates_done: bool,
    /// How far answers to "what is it?" can be trusted, once that is known.
    pub(super) calibration: Option<Calibration>,
    /// How similar its photos are to the ones nearest to them, once that is known.
    pub(super) closeness: Option<Closeness>,
    /// Measures both.
    pub(super) calibrating: Option<Calibrating>,
    /// Photos, those that had a name, and their names, when they were looked at last, whether or not they had to be
    /// measured.
    calibrated_with: Option<(usize, usize, usize)>,
}

impl Session {
    /// None of its photos are in memory yet: [`Session::carry_on`] loads them.
    pub(super) fn new(
        library: Arc<Library>,
        catalog: Catalog,
        lock: Option<Arc<WriterLock>>,
        model: Model,
        embedder: Embedder,
        queries: Arc<BackgroundTasks>,
        outbox: Outbox,
    ) -> Self {
        Self {
            library,
            is_garden: false,
            catalog,
            gallery: Gallery::new(model.dimension, model.card.metric),
            model,
            lock,
            embedder,
            queries,
            outbox,
            loaded_up_to: Some(PhotoId(0)),
            shown: None,
            changed: true,
            next_refresh: None,
            build: None,
            exact_only: false,
            job: None,
            watch: None,
            dates: None,
            dates_done: false,
            calibration: None,
            closeness: None,
            calibrating: None,
            calibrated_with: None,
        }
    }

    /// How long to wait for a message before [`Session::carry_on`]; `None` for as long as it takes.
    pub(super) fn pause(&self) -> Option<Duration> {
        if self.loaded_up_to.is_some() {
            return Some(Duration::ZERO);
        }
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        self.changed.then(|| self.next_refresh.map_or(Duration::ZERO, until))
    }

    /// Loads some more photos, and tells the window what has changed when it is time for that. What is abandoned of an
    /// approximate index holds `running` until it has ended.
    pub(super) fn carry_on(&mut self, running: &Sender<()>) {
        if let Some(after) = self.loaded_up_to {
            match self.gallery.load_more(&self.catalog, self.model.key(), after) {
                Ok(last) => self.loaded_up_to = last,
                Err(error) => {
                    self.loaded_up_to = None;
                    self.outbox.send(Event::GalleryFailed { message: error.to_string() });
                }
            }
            self.changed = true;
            if self.loaded_up_to.is_none() {
                self.refresh();
            }
        }
        if self.changed && self.next_refresh.is_none_or(|at| at <= Instant::now()) {
            self.refresh();
        }
        if self.build.is_none() && !self.exact_only && self.loaded_up_to.is_none() {
            self.start_approximate_index(running);
        }
        if self.dates.is_none() && !self.dates_done && self.job.is_none() && self.loaded_up_to.is_none() {
            self.read_dates();
        }
        if self.calibrating.is_none() && self.job.is_none() && self.loaded_up_to.is_none() {
            self.calibrate();
        }
    }

    /// Has it measured how far answers can be trusted, and how similar photos usually are, where nobody knows that of the
    /// photos as they are now.
    fn calibrate(&mut self) {
        let (photos, names) = (self.gallery.len(), Arc::clone(self.gallery.names()));
        let now = Some((photos, names.photos(), names.count()));
        if self.calibrated_with == now {
            return;
        }
        self.calibrated_with = now;
        let model = self.model.id.to_string();
        let fits = |calibration: &Calibration| calibration.fits(&names, &model);
        let still_close = |closeness: &Closeness| closeness.fits(photos, &model);
        if self.calibration.is_none() && self.closeness.is_none() {
            self.calibration = Calibration::load(&self.catalog).filter(fits);
            self.closeness = Closeness::load(&self.catalog).filter(still_close);
            if self.calibration.is_some() || self.closeness.is_some() {
                self.answer();
            }
        }
        let is_calibrated = names.count() < 2 || self.calibration.as_ref().is_some_and(fits);
        if photos == 0 || (is_calibrated && self.closeness.as_ref().is_some_and(still_close)) {
            return;
        }
        match Calibrating::start(self.gallery.snapshot(), self.gallery.reference(), model) {
            Ok(calibrating) => self.calibrating = Some(calibrating),
            Err(error) => log::warn!("A thread could not be started: {error}"),
        }
    }

    /// Takes what was measured, and keeps it where the library can be written.
    pub(super) fn take_measured(&mut self, measured: Option<Measured>) {
        self.calibrating = None;
        let Some(Measured { calibration, closeness }) = measured else { return };
        if self.lock.is_some() {
            let stored = calibration.as_ref().map_or(Ok(()), |calibration| calibration.store(&mut self.catalog));
            let stored =
                stored.and_then(|()| closeness.as_ref().map_or(Ok(()), |closeness| closeness.store(&mut self.catalog)));
            stored.unwrap_or_else(|error| log::warn!("{error}"));
        }
        (self.calibration, self.closeness) = (calibration, closeness);
        self.answer();
    }

    /// Has it found out when photos were taken that were indexed by a version that did not ask. It makes way for any job,
    /// and goes on after that.
    fn read_dates(&mut self) {
        let Some(lock) = &self.lock else { return };
        match ReadingDates::start(Arc::clone(&self.library), Arc::clone(lock)) {
            Ok(dates) => self.dates = Some(dates),
            Err(error) => {
                self.dates_done = true;
                log::warn!("A thread could not be started: {error}");
            }
        }
    }

    /// Takes what has been found out, or the news that there is nothing more.
    pub(super) fn take_dates(&mut self, told: Option<Told>) {
        if let Some((progress, photos)) = told {
            self.gallery.describe(photos);
            self.changed = true;
            self.dates.iter_mut().for_each(|dates| dates.is_shown = true);
            self.outbox.send(Event::ReadingDates(Some(progress)));
        } else if let Some(dates) = self.dates.take() {
            self.dates_done |= !dates.is_cancelled();
            if dates.is_shown {
                self.outbox.send(Event::ReadingDates(None));
            }
        }
    }

    /// As the user wishes, until the library is opened again.
    pub(super) fn stop_reading_dates(&mut self) {
        self.dates_done = true;
        self.pause_reading_dates();
    }

    /// Something else is to be done now.
    pub(super) fn pause_reading_dates(&self) {
        if let Some(dates) = &self.dates {
            dates.cancel();
        }
    }

    /// Has an approximate index made where exact searches have become slow.
    fn start_approximate_index(&mut self, running: &Sender<()>) {
        let index = self.gallery.index();
        if !index.wants_approximate() {
            return;
        }
        let spec = BuildSpec {
            rows: index.rows(),
            folder: self.library.folder.clone(),
            model: self.model.id.to_string(),
            anew: index.approximate().is_some(),
            writable: self.lock.is_some(),
            running: running.clone(),
        };
        match BackgroundBuild::start(spec) {
            Ok(build) => self.build = Some(build),
            Err(error) => log::warn!("A thread could not be started: {error}"),
        }
    }

    /// Takes the approximate index, or the news that there is none.
    pub(super) fn take_approximate(&mut self, approximate: Option<Approximate>) {
        self.build = None;
        match approximate {
            Some(approximate) => self.gallery.use_approximate(approximate),
            None => self.exact_only = true,
        }
    }

    pub(super) fn refresh(&mut self) {
        let began = Instant::now();
        self.changed = false;
        self.outbox.send(Event::Gallery {
            photos: self.gallery.len(),
            loading: self.loaded_up_to.is_some(),
            facets: Arc::new(self.gallery.facets()),
        });
        self.answer();
        self.next_refresh = Some(began + refresh_after(began.elapsed()));
    }

    /// Follows what a job does to the catalog.
    pub(super) fn handle_event(&mut self, event: IngestEvent) {
        match event {
            IngestEvent::Progress(progress) => {
                let is_quiet = self.job.as_ref().is_some_and(|job| job.is_quiet);
                if !is_quiet || progress.total.is_some_and(|total| total >= WORTH_TELLING) {
                    self.outbox.send(Event::Progress(progress));
                }
            }
            IngestEvent::Scanned(scanned) => {
                self.outbox.send(Event::Account(Arc::new(scanned.account)));
                self.watch(scanned.folders);
            }
            IngestEvent::Committed(changes) => {
                self.gallery.apply(changes);
                self.changed = true;
            }
            IngestEvent::ProblemsChanged => match self.catalog.problems() {
                Ok(problems) => self.outbox.send(Event::Problems(problems.into())),
                Err(error) => log::error!("{error}"),
            },
        }
    }

    /// Answers with another model from now on; the query on the screen is embedded anew.
    pub(super) fn change_model(&mut self, embedder: Embedder, model: Model, gallery: Gallery) {
        (self.embedder, self.model, self.gallery) = (embedder, model, gallery);
        (self.build, self.exact_only) = (None, false);
        (self.calibration, self.closeness) = (None, None);
        (self.calibrating, self.calibrated_with) = (None, None);
        self.loaded_up_to = None;
        self.shown.iter_mut().for_each(Shown::forget_embeddings);
        self.embed_query();
    }

    /// Watches these folders for changes.
    fn watch(&mut self, folders: Vec<PathBuf>) {
        if self.watch.is_none() {
            self.watch = Watch::start().inspect_err(|error| log::warn!("The folder cannot be watched: {error}")).ok();
        }
        self.watch.iter().for_each(|watch| watch.set_folders(folders.clone()));
    }

    /// Answers with the library as it was loaded anew.
    pub(super) fn reload(&mut self, gallery: Gallery) {
        self.gallery = gallery;
        (self.build, self.exact_only) = (None, false);
        self.loaded_up_to = None;
        self.changed = true;
    }

    /// Tells the window what a training would learn from, and whether one can go on; finds it out in the background.
    pub(super) fn preview_training(&self, tasks: &BackgroundTasks) {
        let photos: Vec<_> = self.gallery.photos().cloned().collect();
        let backbone = self.model.card.backbone.clone();
        let (outbox, folder) = (self.outbox.clone(), self.library.folder.clone());
        tasks.run_newest(Slot::TrainingPreview, move || {
            let preview = || -> Result<LabelPreview, CatalogError> {
                let Some(catalog) = Catalog::open_read_only(&folder)? else { return Ok(LabelPreview::default()) };
                holdout::preview(photos.iter().map(AsRef::as_ref), catalog.problem_count()?, &catalog, &backbone)
            };
            match preview() {
                Ok(labels) => {
                    let resumable = checkpoint::pending(&folder);
                    outbox.send(Event::TrainingPreview { labels: Arc::new(labels), resumable });
                }
                Err(error) => log::error!("{error}"),
            }
        });
    }

    pub(super) fn cancel_job(&self) {
        if let Some(job) = &self.job {
            job.stop.cancel();
            job.cancel.cancel();
        }
    }

    /// Stops the job and waits until what it had finished is committed.
    pub(super) fn finish(mut self) {
        self.cancel_job();
        if let Some(RunningJob { messages, thread, .. }) = self.job.take() {
            // Nobody hears it any more; it must not wait for that.
            drop(messages);
            let _ = thread.join();
        }
    }
}

/// How long after a refresh that took so long the next one is due.
fn refresh_after(cost: Duration) -> Duration {
    REFRESH_EVERY.max(cost * REFRESH_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshing_takes_a_twentieth_of_the_time_at_most() {
        assert_eq!(refresh_after(Duration::from_millis(5)), REFRESH_EVERY);
        assert_eq!(refresh_after(Duration::from_millis(300)), Duration::from_secs(6));
    }
}

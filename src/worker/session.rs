//! The open library: its photos in memory, what the grid shows of them, and the job that runs on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender};
use image::RgbImage;

use super::calibrating::Calibrating;
use super::dates::{ReadingDates, Told};
use super::job::RunningJob;
use super::messages::{Event, Listing, Outbox};
use super::tasks::{BackgroundTasks, Slot};
use crate::artefact::Model;
use crate::catalog::{Catalog, CatalogError};
use crate::decode::{decode, shrink_to_fit};
use crate::embed::Embedder;
use crate::identify::Calibration;
use crate::index::{Approximate, BackgroundBuild, BuildSpec};
use crate::ingest::IngestEvent;
use crate::job::Cancel;
use crate::library::{Library, WriterLock};
use crate::photo::{Embedding, PhotoId};
use crate::query::{Gallery, PREVIEW_SIDE, Query, QueryError, embed_picture, read_photo};
use crate::train::progress::LabelPreview;
use crate::train::{checkpoint, holdout};
use crate::watch::Watch;

/// While photos are being added, what is on the screen is brought up to date this often.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Or more rarely, where it takes long: this part of the time at most goes into it, for queries wait meanwhile.
const REFRESH_SHARE: u32 = 20;

/// How far the reading of so many files is, is told even where nobody has asked for it.
const WORTH_TELLING: u64 = 100;

/// The embeddings of a query's photos.
type Embedded = Result<Vec<Embedding>, QueryError>;

/// What the grid shows at present.
struct Shown {
    number: u64,
    listing: Listing,
    /// Those of the query's photos, once they have been made.
    embeddings: Vec<Embedding>,
    /// Gives them where pictures have to be decoded first.
    awaited: Option<Receiver<Embedded>>,
    /// Ends the wait for the drive of its photo.
    cancel: Cancel,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

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
    queries: Arc<BackgroundTasks>,
    outbox: Outbox,
    /// Photos up to this id are in the gallery; `None` when all are.
    loaded_up_to: Option<PhotoId>,
    shown: Option<Shown>,
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
    calibration: Option<Calibration>,
    /// Measures it.
    pub(super) calibrating: Option<Calibrating>,
    /// Photos that had a name, and their names, when it was looked at last, whether or not it had to be measured.
    calibrated_with: Option<(usize, usize)>,
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

    /// Has it measured how far answers can be trusted, where nobody knows that of the photos as they are now.
    fn calibrate(&mut self) {
        let names = Arc::clone(self.gallery.names());
        let now = Some((names.photos(), names.count()));
        if self.calibrated_with == now {
            return;
        }
        self.calibrated_with = now;
        let model = self.model.id.to_string();
        let fits = |calibration: &Calibration| calibration.fits(&names, &model);
        if self.calibration.is_none() {
            self.calibration = Calibration::load(&self.catalog).filter(fits);
            if self.calibration.is_some() {
                self.answer();
            }
        }
        if names.count() < 2 || self.calibration.as_ref().is_some_and(fits) {
            return;
        }
        match Calibrating::start(self.gallery.reference(), model) {
            Ok(calibrating) => self.calibrating = Some(calibrating),
            Err(error) => log::warn!("A thread could not be started: {error}"),
        }
    }

    /// Takes what was measured, and keeps it where the library can be written; nothing where there are too few photos.
    pub(super) fn take_calibration(&mut self, measured: Option<Calibration>) {
        self.calibrating = None;
        if let (Some(measured), Some(_)) = (&measured, &self.lock)
            && let Err(error) = measured.store(&mut self.catalog)
        {
            log::warn!("{error}");
        }
        self.calibration = measured;
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

    /// Lists something else from now on.
    pub(super) fn show(&mut self, number: u64, listing: Listing) {
        self.shown = Some(Shown { number, listing, embeddings: Vec::new(), awaited: None, cancel: Cancel::default() });
        self.queries.forget(Slot::Query);
        self.embed_query();
        self.answer();
    }

    /// Answers with what there is: not at all while the query has no embedding yet.
    fn answer(&mut self) {
        let Some(Shown { number, listing, embeddings, cancel, .. }) = &mut self.shown else { return };
        let (number, Listing { query, filter, order, limit }) = (*number, listing);
        let Some(query) = query else {
            let counts = (!filter.is_all()).then(|| Arc::new(self.gallery.counts(filter, None)));
            let hits = self.gallery.browse(filter, *order).into();
            return self.outbox.send(Event::Answer { number, hits, identification: None, counts });
        };
        let mut preview_of = None;
        if let (Query::Photo(photo), true) = (&*query, embeddings.is_empty()) {
            match self.gallery.embedding(photo.id) {
                Ok(there) => embeddings.push(there),
                Err(error) => {
                    return self.outbox.send(Event::QueryFailed { number, message: error.to_string() });
                }
            }
            let architecture = self.model.card.architecture;
            preview_of = Some((self.library.root.join(&photo.path), architecture, cancel.clone()));
        }
        let Some(mean) = Embedding::mean(embeddings, self.model.card.metric) else { return };
        let itself = match query {
            Query::Photo(photo) => Some(photo.id),
            Query::File(_) | Query::Files(_) | Query::Picture(_) => None,
        };
        let (mut hits, near) = self.gallery.rank_and_name(&mean, itself, filter, *limit);
        let near = match embeddings.as_slice() {
            [_] => vec![near],
            several => several.iter().map(|one| self.gallery.near(one, itself)).collect(),
        };
        let calibration = self.calibration.as_ref();
        let identification = self.gallery.identify(calibration, &near).map(Arc::new);
        if let Some((calibration, identification)) = calibration.zip(identification.as_ref()) {
            for hit in &mut hits {
                let similarity = hit.similarity.unwrap_or_default();
                hit.same_species = identification.same_species(calibration, &hit.photo, similarity);
            }
        }
        let counts = Some(Arc::new(self.gallery.counts(filter, Some(&hits))));
        self.outbox.send(Event::Answer { number, hits: hits.into(), identification, counts });
        // The search does not need this picture; where its file is gone meanwhile, there is just no preview.
        if let Some((path, architecture, cancel)) = preview_of {
            let outbox = self.outbox.clone();
            self.queries.run_newest(Slot::Query, move || {
                let sent = read_photo(&path, architecture, &cancel)
                    .and_then(|picture| send_preview(number, &picture, &outbox));
                if let Err(error) = sent {
                    log::warn!("{error}");
                }
            });
        }
    }

    /// Has the query's picture decoded and embedded, where it is not a photo of the library.
    fn embed_query(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        let (number, embedder, outbox) = (shown.number, self.embedder.clone(), self.outbox.clone());
        let (architecture, cancel) = (self.model.card.architecture, shown.cancel.clone());
        let Some(query) = shown.listing.query.clone().filter(|query| !matches!(query, Query::Photo(_))) else { return };
        shown.awaited = Some(self.queries.ask(Slot::Query, move || {
            // The first one stands beside the results.
            let mut is_first = true;
            let mut embed = |picture: Result<RgbImage, QueryError>| {
                let picture = picture?;
                if std::mem::take(&mut is_first) {
                    send_preview(number, &picture, &outbox)?;
                }
                embed_picture(&embedder, &picture)
            };
            match query {
                Query::File(path) => Ok(vec![embed(read_photo(&path, architecture, &cancel))?]),
                Query::Files(paths) => {
                    paths.iter().map(|path| embed(read_photo(path, architecture, &cancel))).collect()
                }
                Query::Picture(jpeg) => Ok(vec![embed(decode(&jpeg).map_err(QueryError::Picture))?]),
                // Not reached: its embedding is in the index.
                Query::Photo(_) => Ok(Vec::new()),
            }
        }));
    }

    /// Gives the embedding of the query on the screen, where it is being made.
    pub(super) fn awaited(&self) -> Option<&Receiver<Embedded>> {
        self.shown.as_ref()?.awaited.as_ref()
    }

    /// Takes that embedding.
    pub(super) fn take_embedding(&mut self, result: Result<Embedded, RecvError>) {
        let Some(shown) = &mut self.shown else { return };
        shown.awaited = None;
        let message = match result {
            Ok(Ok(embeddings)) => {
                shown.embeddings = embeddings;
                return self.answer();
            }
            Ok(Err(error)) => error.to_string(),
            Err(RecvError) => "The search failed unexpectedly; try another picture".into(),
        };
        self.outbox.send(Event::QueryFailed { number: shown.number, message });
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
        (self.calibration, self.calibrating, self.calibrated_with) = (None, None, None);
        self.loaded_up_to = None;
        if let Some(shown) = &mut self.shown {
            shown.embeddings.clear();
        }
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

fn send_preview(number: u64, picture: &RgbImage, outbox: &Outbox) -> Result<(), QueryError> {
    let picture = Arc::new(shrink_to_fit(picture, PREVIEW_SIDE).map_err(QueryError::Picture)?);
    outbox.send(Event::Preview { number, picture });
    Ok(())
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

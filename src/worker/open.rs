//! The open library: its photos in memory, what the grid shows of them, and the job that runs on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;

use super::errands::Errands;
use super::job::RunningJob;
use super::messages::{Event, Outbox, View};
use crate::artefact::Model;
use crate::catalog::Catalog;
use crate::decode::shrink_to_fit;
use crate::embed::Embedder;
use crate::index::{Approximate, Background, Plan};
use crate::ingest::IngestEvent;
use crate::library::{Library, WriterLock};
use crate::photo::{Embedding, PhotoId};
use crate::query::{Gallery, Hit, PREVIEW_SIDE, Query, QueryError, embed_picture, read_photo};
use crate::train::{checkpoint, holdout};

/// While photos are being added, what is on the screen is brought up to date this often.
const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// What the grid shows at present.
struct Shown {
    number: u64,
    view: View,
    /// The query's embedding, once it has been made.
    embedding: Option<Embedding>,
}

pub(super) struct OpenLibrary {
    pub(super) library: Arc<Library>,
    pub(super) is_garden: bool,
    pub(super) catalog: Catalog,
    pub(super) gallery: Gallery,
    pub(super) model: Model,
    /// Shared with the job. `None` where another process writes this library.
    pub(super) lock: Option<Arc<WriterLock>>,
    pub(super) embedder: Embedder,
    outbox: Outbox,
    /// Photos up to this id are in the gallery; `None` when all are.
    loaded_up_to: Option<PhotoId>,
    shown: Option<Shown>,
    /// Whether the gallery is another than what the window was last told.
    changed: bool,
    refreshed: Option<Instant>,
    /// Makes an approximate index.
    pub(super) background: Option<Background>,
    /// None can be made of these embeddings.
    exact_only: bool,
    pub(super) job: Option<RunningJob>,
}

impl OpenLibrary {
    /// None of its photos are in memory yet: [`OpenLibrary::carry_on`] loads them.
    pub(super) fn new(
        library: Arc<Library>,
        is_garden: bool,
        catalog: Catalog,
        lock: Option<Arc<WriterLock>>,
        model: Model,
        embedder: Embedder,
        outbox: Outbox,
    ) -> Self {
        Self {
            library,
            is_garden,
            catalog,
            gallery: Gallery::new(model.dimension, model.card.metric),
            model,
            lock,
            embedder,
            outbox,
            loaded_up_to: Some(PhotoId(0)),
            shown: None,
            changed: true,
            refreshed: None,
            background: None,
            exact_only: false,
            job: None,
        }
    }

    /// How long to wait for a message before [`OpenLibrary::carry_on`]; `None` for as long as it takes.
    pub(super) fn pause(&self) -> Option<Duration> {
        if self.loaded_up_to.is_some() {
            return Some(Duration::ZERO);
        }
        self.changed.then(|| self.refreshed.map_or(Duration::ZERO, |at| REFRESH_EVERY.saturating_sub(at.elapsed())))
    }

    /// Loads some more photos, and tells the window what has changed when it is time for that.
    pub(super) fn carry_on(&mut self) {
        if let Some(after) = self.loaded_up_to {
            match self.gallery.load_more(&self.catalog, self.model.key(), after) {
                Ok(last) => self.loaded_up_to = last,
                Err(error) => {
                    self.loaded_up_to = None;
                    self.outbox.send(Event::OpenFailed { message: error.to_string() });
                }
            }
            self.changed = true;
            if self.loaded_up_to.is_none() {
                self.refresh();
            }
        }
        if self.changed && self.refreshed.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) {
            self.refresh();
        }
        if self.background.is_none() && !self.exact_only && self.loaded_up_to.is_none() {
            self.hasten();
        }
    }

    /// Has an approximate index made where exact searches have become slow.
    fn hasten(&mut self) {
        let index = self.gallery.index();
        if !index.wants_approximate() {
            return;
        }
        let plan = Plan {
            rows: index.rows(),
            folder: self.library.folder.clone(),
            model: self.model.id.clone(),
            anew: index.approximate().is_some(),
            writable: self.lock.is_some(),
        };
        match Background::start(plan) {
            Ok(background) => self.background = Some(background),
            Err(error) => log::warn!("A thread could not be started: {error}"),
        }
    }

    /// Takes the approximate index, or the news that there is none.
    pub(super) fn take_approximate(&mut self, approximate: Option<Approximate>) {
        self.background = None;
        match approximate {
            Some(approximate) => self.gallery.use_approximate(approximate),
            None => self.exact_only = true,
        }
    }

    pub(super) fn refresh(&mut self) {
        self.changed = false;
        self.refreshed = Some(Instant::now());
        self.outbox.send(Event::Gallery {
            photos: self.gallery.len(),
            loading: self.loaded_up_to.is_some(),
            facets: Arc::new(self.gallery.facets()),
        });
        self.answer();
    }

    pub(super) fn show(&mut self, number: u64, view: View) {
        self.shown = Some(Shown { number, view, embedding: None });
        self.answer();
    }

    fn answer(&mut self) {
        let Some(mut shown) = self.shown.take() else { return };
        let number = shown.number;
        let is_new = shown.embedding.is_none();
        match self.hits(&mut shown) {
            Ok(hits) => {
                self.outbox.send(Event::Answer { number, hits: hits.into() });
                // The search does not need this picture; where its file is gone meanwhile, there is just no preview.
                if let Some(Query::Photo(photo)) = shown.view.query.as_ref().filter(|_| is_new)
                    && let Ok(picture) = read_photo(&self.library.root.join(&photo.path))
                    && let Err(error) = self.send_preview(number, &picture)
                {
                    log::warn!("{error}");
                }
            }
            Err(error) => self.outbox.send(Event::QueryFailed { number, message: error.to_string() }),
        }
        self.shown = Some(shown);
    }

    fn hits(&mut self, shown: &mut Shown) -> Result<Vec<Hit>, QueryError> {
        let View { query, filter, limit } = &shown.view;
        let Some(query) = query else { return Ok(self.gallery.browse(filter)) };
        let embedding = match shown.embedding.take() {
            Some(embedding) => embedding,
            None => self.embed_query(shown.number, query)?,
        };
        let itself = match query {
            Query::Photo(photo) => Some(photo.id),
            Query::File(_) | Query::Picture(_) => None,
        };
        let hits = self.gallery.rank(&embedding, itself, filter, *limit);
        shown.embedding = Some(embedding);
        Ok(hits)
    }

    fn embed_query(&self, number: u64, query: &Query) -> Result<Embedding, QueryError> {
        let picture = match query {
            Query::Photo(photo) => return self.gallery.embedding(photo.id),
            Query::File(path) => Arc::new(read_photo(path)?),
            Query::Picture(picture) => Arc::clone(picture),
        };
        self.send_preview(number, &picture)?;
        embed_picture(&self.embedder, &picture)
    }

    fn send_preview(&self, number: u64, picture: &RgbImage) -> Result<(), QueryError> {
        let picture = Arc::new(shrink_to_fit(picture, PREVIEW_SIDE).map_err(QueryError::Picture)?);
        self.outbox.send(Event::Preview { number, picture });
        Ok(())
    }

    pub(super) fn hear(&mut self, event: IngestEvent) {
        match event {
            IngestEvent::Progress(progress) => self.outbox.send(Event::Progress(progress)),
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
        (self.background, self.exact_only) = (None, false);
        self.loaded_up_to = None;
        if let Some(shown) = &mut self.shown {
            shown.embedding = None;
        }
    }

    pub(super) fn preview_training(&self, errands: &Errands) {
        let problems = self.catalog.problems().map_or(0, |problems| problems.len());
        let backbone = &self.model.card.backbone;
        let labels = match holdout::preview(self.gallery.photos(), problems, &self.catalog, backbone) {
            Ok(labels) => Arc::new(labels),
            Err(error) => return log::error!("{error}"),
        };
        let (outbox, folder) = (self.outbox.clone(), self.library.folder.clone());
        errands.run(move || {
            let resumable = checkpoint::pending(&folder);
            outbox.send(Event::TrainingPreview { labels, resumable });
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

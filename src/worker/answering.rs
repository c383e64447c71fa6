//! Answers to what the window shows: the query is embedded, its neighbours are ranked and named, its copies are marked.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, RecvError};
use image::RgbImage;

use super::messages::{Event, Listing, Outbox};
use super::session::Session;
use super::tasks::Slot;
use crate::catalog::Catalog;
use crate::decode::{decode, read_file, shrink_to_fit};
use crate::difference_hash::DifferenceHash;
use crate::job::Cancel;
use crate::metadata::Metadata;
use crate::patience::answer_in_time;
use crate::photo::{ContentHash, Embedding, Photo};
use crate::query::{Copy, Hit, PREVIEW_SIDE, Query, QueryError, embed_picture, read_photo};

/// Copies of a query are looked for among so many results: they are the most similar ones.
const LOOK_FOR_COPIES: usize = 24;

/// What a query's pictures give.
#[derive(Default)]
pub(super) struct Embedded {
    embeddings: Vec<Embedding>,
    /// How copies of it are known, where it is a single picture and no photo of the library.
    look: Option<DifferenceHash>,
}

/// What the grid shows at present.
pub(super) struct Shown {
    number: u64,
    listing: Listing,
    /// Once its pictures have been read.
    query: Embedded,
    /// Gives it where pictures have to be decoded first.
    awaited: Option<Receiver<Result<Embedded, QueryError>>>,
    /// Ends the wait for the drive of its photo.
    cancel: Cancel,
}

impl Shown {
    /// They are of another model.
    pub(super) fn forget_embeddings(&mut self) {
        self.query.embeddings.clear();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Session {
    /// Lists something else from now on.
    pub(super) fn show(&mut self, number: u64, listing: Listing) {
        self.shown =
            Some(Shown { number, listing, query: Embedded::default(), awaited: None, cancel: Cancel::default() });
        self.queries.forget(Slot::Query);
        self.embed_query();
        self.answer();
    }

    /// Answers with what there is: not at all while the query has no embedding yet.
    pub(super) fn answer(&mut self) {
        let Some(Shown { number, listing, query: embedded, cancel, .. }) = &mut self.shown else { return };
        let embeddings = &mut embedded.embeddings;
        let (number, Listing { query, filter, order, limit }) = (*number, listing);
        let Some(query) = query else {
            let counts = (!filter.is_all()).then(|| Arc::new(self.gallery.counts(filter, None)));
            let hits = self.gallery.browse(filter, *order).into();
            return self.outbox.send(Event::Answer { number, hits, identification: None, close_from: None, counts });
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
        let close_from = self.closeness.as_ref().map(|closeness| closeness.close_from);
        let hits: Arc<[Hit]> = hits.into();
        self.outbox.send(Event::Answer { number, hits: Arc::clone(&hits), identification, close_from, counts });
        let (query, look, cancel) = (query.clone(), embedded.look, cancel.clone());
        self.find_copies(number, query, look, hits, cancel);
        // The search does not need this picture; where its file is gone meanwhile, there is just no preview.
        if let Some((path, architecture, cancel)) = preview_of {
            let outbox = self.outbox.clone();
            self.queries.run_newest(Slot::Query, move || {
                let sent = read_photo(&path, architecture, &cancel)
                    .and_then(|picture| send_preview(number, &picture, None, &outbox));
                if let Err(error) = sent {
                    log::warn!("{error}");
                }
            });
        }
    }

    /// Has the query's picture decoded and embedded, where it is not a photo of the library.
    pub(super) fn embed_query(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        let (number, embedder, outbox) = (shown.number, self.embedder.clone(), self.outbox.clone());
        let (architecture, cancel) = (self.model.card.architecture, shown.cancel.clone());
        let Some(query) = shown.listing.query.clone().filter(|query| !matches!(query, Query::Photo(_))) else { return };
        shown.awaited = Some(self.queries.ask(Slot::Query, move || {
            let size = match &query {
                Query::File(path) => size_of(path.clone(), &cancel),
                Query::Files(_) | Query::Picture(_) | Query::Photo(_) => None,
            };
            let mut look = None;
            // The first one stands beside the results.
            let mut is_first = true;
            let mut embed = |picture: Result<RgbImage, QueryError>| {
                let picture = picture?;
                if std::mem::take(&mut is_first) {
                    send_preview(number, &picture, size, &outbox)?;
                    look = DifferenceHash::of(&picture);
                }
                embed_picture(&embedder, &picture)
            };
            let embeddings = match query {
                Query::File(path) => vec![embed(read_photo(&path, architecture, &cancel))?],
                Query::Files(paths) => {
                    let embedded = paths.iter().map(|path| embed(read_photo(path, architecture, &cancel)));
                    embedded.collect::<Result<_, _>>()?
                }
                Query::Picture(jpeg) => vec![embed(decode(&jpeg).map_err(QueryError::Picture))?],
                // Not reached: its embedding is in the index.
                Query::Photo(_) => Vec::new(),
            };
            let look = look.filter(|_| embeddings.len() == 1);
            Ok(Embedded { embeddings, look })
        }));
    }

    /// Has it found out which of the most similar photos show the very picture that is searched with.
    fn find_copies(&self, number: u64, query: Query, look: Option<DifferenceHash>, hits: Arc<[Hit]>, cancel: Cancel) {
        if look.is_none() && !matches!(query, Query::Photo(_)) {
            return;
        }
        let (outbox, folder) = (self.outbox.clone(), self.library.folder.clone());
        self.queries.run_newest(Slot::Copies, move || {
            // Without thumbnails there is nothing to compare.
            let Ok(Some(catalog)) = Catalog::open_read_only(&folder) else { return };
            let look_of = |content: ContentHash| {
                let thumbnail = catalog.thumbnail(content).ok()??;
                DifferenceHash::of(&decode(&thumbnail).ok()?)
            };
            let look = match &query {
                Query::Photo(photo) => look_of(photo.content),
                Query::File(_) | Query::Files(_) | Query::Picture(_) => look,
            };
            let Some(look) = look else { return };
            let nearest = hits.iter().take(LOOK_FOR_COPIES).map(|hit| &hit.photo);
            let same: Vec<&Arc<Photo>> =
                nearest.filter(|photo| look_of(photo.content).is_some_and(|other| other.is_same(look))).collect();
            let content = match &query {
                Query::File(path) if !same.is_empty() => content_of(path.clone(), &cancel),
                _ => None,
            };
            let copy = |photo: &Arc<Photo>| {
                let copy = if Some(photo.content) == content { Copy::File } else { Copy::Picture };
                (photo.id, copy)
            };
            outbox.send(Event::Copies { number, copies: same.into_iter().map(copy).collect() });
        });
    }

    /// Gives the embedding of the query on the screen, where it is being made.
    pub(super) fn awaited(&self) -> Option<&Receiver<Result<Embedded, QueryError>>> {
        self.shown.as_ref()?.awaited.as_ref()
    }

    /// Takes that embedding.
    pub(super) fn take_embedding(&mut self, result: Result<Result<Embedded, QueryError>, RecvError>) {
        let Some(shown) = &mut self.shown else { return };
        shown.awaited = None;
        let message = match result {
            Ok(Ok(embedded)) => {
                shown.query = embedded;
                return self.answer();
            }
            Ok(Err(error)) => error.to_string(),
            Err(RecvError) => "The search failed unexpectedly; try another picture".into(),
        };
        self.outbox.send(Event::QueryFailed { number: shown.number, message });
    }
}

/// Width and height of a file's picture, where it tells them in time.
fn size_of(path: PathBuf, cancel: &Cancel) -> Option<(u32, u32)> {
    answer_in_time(cancel, move || Metadata::of_file(&path)).ok()?.ok()?.size
}

/// What a file's bytes are known by.
fn content_of(path: PathBuf, cancel: &Cancel) -> Option<ContentHash> {
    answer_in_time(cancel, move || read_file(&path)).ok()?.ok().map(|bytes| ContentHash::of(&bytes))
}

fn send_preview(number: u64, picture: &RgbImage, size: Option<(u32, u32)>, outbox: &Outbox) -> Result<(), QueryError> {
    let picture = Arc::new(shrink_to_fit(picture, PREVIEW_SIDE).map_err(QueryError::Picture)?);
    outbox.send(Event::Preview { number, picture, size });
    Ok(())
}

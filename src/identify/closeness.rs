//! How similar a library's photos are to the ones nearest to them: what is less similar to a query is not close to it. No
//! names are needed for that.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::calibration::{STALE_AFTER, spread_evenly};
use super::taken_together;
use crate::catalog::{Catalog, CatalogError};
use crate::index::Index;
use crate::job::Cancel;
use crate::photo::{Embedding, Photo, PhotoId};

/// The fact under which a catalog keeps it.
const FACT: &str = "closeness";
/// Another form of it is made anew.
const VERSION: u32 = 1;
/// Photos that are asked for, at most, and at a time.
const QUERIES: usize = 500;
const CHUNK: usize = 64;
/// With fewer nothing can be said.
const LEAST_PHOTOS: usize = 20;
/// Neighbours among which there is one that is no other shot of the same moment.
const NEIGHBOURS: usize = 16;
/// Of the photos, so many are less similar to the nearest one than what counts as close.
const NOT_CLOSE: f64 = 0.05;

/// What was measured, for one library and model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Closeness {
    version: u32,
    model: String,
    photos: usize,
    /// Of a query, what is less similar is not close.
    pub(crate) close_from: f32,
}

impl Closeness {
    /// Asks for some of the photos, each without itself, its copies and what was taken in the same moment. `None` after a
    /// stop, or where there are too few.
    pub(crate) fn measure(index: &Index, photos: &[Arc<Photo>], model: &str, cancel: &Cancel) -> Option<Self> {
        if photos.len() < LEAST_PHOTOS {
            return None;
        }
        let all: Vec<&Photo> = photos.iter().map(AsRef::as_ref).collect();
        let by_id: HashMap<PhotoId, &Photo> = all.iter().map(|photo| (photo.id, *photo)).collect();
        let mut nearest = Vec::new();
        for some in spread_evenly(&all, QUERIES).chunks(CHUNK) {
            if cancel.is_cancelled() {
                return None;
            }
            let queries: Vec<(&Photo, Embedding)> =
                some.iter().filter_map(|photo| Some((*photo, index.embedding(photo.id)?))).collect();
            let embeddings: Vec<Embedding> = queries.iter().map(|(_, embedding)| embedding.clone()).collect();
            for (found, (photo, _)) in index.search_many(&embeddings, NEIGHBOURS).into_iter().zip(&queries) {
                let is_another = |other: &&Photo| {
                    other.id != photo.id && other.content != photo.content && !taken_together(photo, other)
                };
                let others = found.iter().filter(|found| by_id.get(&found.id).is_some_and(is_another));
                nearest.extend(others.map(|found| found.similarity).next());
            }
        }
        nearest.sort_by(f32::total_cmp);
        let close_from = *nearest.get((nearest.len() as f64 * NOT_CLOSE) as usize)?;
        Some(Self { version: VERSION, model: model.to_owned(), photos: photos.len(), close_from })
    }

    /// What a catalog keeps; `None` where that is nothing, or of another version.
    pub(crate) fn load(catalog: &Catalog) -> Option<Self> {
        catalog.json_fact(FACT).inspect_err(|error| log::warn!("{error}")).ok()?
    }

    /// Has a catalog keep it.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub(crate) fn store(&self, catalog: &mut Catalog) -> Result<(), CatalogError> {
        catalog.set_json_fact(FACT, self)
    }

    /// Whether it still holds for this model and so many photos.
    pub(crate) fn fits(&self, photos: usize, model: &str) -> bool {
        let change = photos.abs_diff(self.photos) as f64;
        self.version == VERSION && self.model == model && change <= STALE_AFTER * self.photos as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Metadata, Taken};
    use crate::photo::{ContentHash, HalfEmbedding, Metric};

    /// Photos in pairs that are taken together and alike, and whose neighbours are some degrees off.
    fn library(photos: usize) -> (Index, Vec<Arc<Photo>>) {
        let mut index = Index::new(2, Metric::Cosine);
        let photos = (0..photos).map(|number| {
            let taken = Taken::from_iso(&format!("2024-05-12T10:{:02}:{:02}", number / 2, number % 2));
            let angle = (number / 2) as f32 * 0.02 + (number % 2) as f32 * 0.001;
            let embedding = Embedding::normalised(vec![angle.cos(), angle.sin()]).unwrap();
            let id = PhotoId(number as i64 + 1);
            index.add(id, &HalfEmbedding::from(&embedding));
            let metadata = Metadata { taken, ..Metadata::default() };
            let content = ContentHash((number as u128).to_le_bytes());
            Arc::new(Photo::new(id, format!("{number}.jpg").into(), content, metadata))
        });
        let photos = photos.collect();
        (index, photos)
    }

    #[test]
    fn what_is_close_follows_from_the_photos_themselves() {
        let (index, photos) = library(60);
        let closeness = Closeness::measure(&index, &photos, "model", &Cancel::default()).unwrap();
        // The other shot of the moment, 0.001 off, does not count.
        assert!((0.019f32.cos() - closeness.close_from).abs() < 2e-3, "{closeness:?}");
        assert!(closeness.close_from < 0.002f32.cos());
        assert!(closeness.fits(62, "model") && !closeness.fits(70, "model") && !closeness.fits(60, "other"));
        assert_eq!(Closeness::measure(&index, &photos[..10], "model", &Cancel::default()), None);
        let cancelled = Cancel::default();
        cancelled.cancel();
        assert_eq!(Closeness::measure(&index, &photos, "model", &cancelled), None);
    }
}

//! Nearest neighbours, by the inner product of embeddings of length 1, which is cosine similarity, or by the Euclidean
//! distance. Ids are [`PhotoId`]s. It holds nothing of its own: the catalog can build it again at any time.
//!
//! Every search is exact as long as comparing the query with every photo takes little enough time. Beyond that, an
//! [`Approximate`] index of Faiss names candidates, which are then compared exactly, as are the photos that came after it
//! was built. Whoever owns the index has it built behind the scenes (see [`Index::wants_approximate`]).

mod approximate;
mod background;
mod rows;

pub use approximate::{Approximate, ApproximateError};
pub(crate) use background::{BackgroundBuild, BuildSpec};
pub(crate) use rows::Rows;

use approximate::{CANDIDATES_A_RESULT, MIN_CANDIDATES};

use crate::photo::{Embedding, HalfEmbedding, Metric, PhotoId};

/// Numbers to compare beyond which an exact search takes too long: 78,000 embeddings of 1,280 numbers, less than 20 ms on
/// two cores.
pub const EXACT_VALUES: usize = 100_000_000;
/// Results beyond which every photo is compared all the same: the approximate index is made for a few.
const MAX_APPROXIMATE: usize = 500;

/// A photo and how similar it is to the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub id: PhotoId,
    /// By the cosine: from -1 to 1. By the Euclidean distance d: 1 / (1 + d²), from 0 to 1.
    pub similarity: f32,
}

/// An index of embeddings of one dimension.
pub struct Index {
    rows: Rows,
    metric: Metric,
    approximate: Option<Approximate>,
    /// Photos that came after the approximate index was built.
    newer: Vec<PhotoId>,
}

impl Index {
    /// An empty index for embeddings of `dimension` floats that are compared by `metric`.
    pub fn new(dimension: usize, metric: Metric) -> Self {
        Self { rows: Rows::new(dimension, metric), metric, approximate: None, newer: Vec::new() }
    }

    /// An index for the same embeddings, with none in it.
    pub(crate) fn empty(&self) -> Self {
        Self::new(self.rows.dimension(), self.metric)
    }

    /// The same embeddings in an index of its own, which is always exact. Shared, not copied.
    pub(crate) fn exact(&self) -> Self {
        Self { rows: self.rows.clone(), ..self.empty() }
    }

    /// Photos in the index.
    pub(crate) fn len(&self) -> usize {
        self.rows.count()
    }

    /// Adds a photo; `false` where its embedding is unusable or of another dimension, or the photo is in it already.
    pub fn add(&mut self, id: PhotoId, embedding: &HalfEmbedding) -> bool {
        let added = self.rows.add(id, embedding);
        if added && self.approximate.is_some() {
            self.newer.push(id);
        }
        added
    }

    /// Takes photos out; those that are not in it are passed over.
    pub fn remove(&mut self, ids: &[PhotoId]) {
        self.rows.remove(ids);
        if !self.newer.is_empty() {
            self.newer.retain(|id| self.rows.contains(*id));
        }
    }

    /// The embedding of a photo in the index.
    pub(crate) fn embedding(&self, id: PhotoId) -> Option<Embedding> {
        Embedding::new(self.rows.get(id)?, self.metric)
    }

    /// All embeddings as they are now, for [`Approximate::build`]. Shared, not copied.
    pub fn rows(&self) -> Rows {
        self.rows.clone()
    }

    /// Whether exact searches have become slow, and an approximate index should be built or replaced.
    pub fn wants_approximate(&self) -> bool {
        let unindexed = if self.approximate.is_some() { 4 * self.newer.len() } else { self.len() };
        unindexed * self.rows.dimension() > EXACT_VALUES
    }

    /// The approximate index in use.
    pub(crate) fn approximate(&self) -> Option<&Approximate> {
        self.approximate.as_ref()
    }

    /// Searches with this from now on. It has to be of this index's rows, now or earlier.
    pub fn use_approximate(&mut self, approximate: Approximate) {
        self.newer = self.rows.ids().filter(|id| !approximate.contains(*id)).collect();
        self.approximate = Some(approximate);
    }

    /// The `k` most similar photos, the most similar first; fewer where there are fewer.
    pub fn search(&mut self, query: &Embedding, k: usize) -> Vec<Neighbour> {
        match self.candidates(query, k) {
            Some(candidates) => self.search_among(query, &candidates, k),
            None => self.search_many(std::slice::from_ref(query), k).pop().unwrap_or_default(),
        }
    }

    /// Photos among which the `k` most similar are; `None` where all have to be looked at.
    fn candidates(&mut self, query: &Embedding, k: usize) -> Option<Vec<PhotoId>> {
        let approximate = self.approximate.as_mut().filter(|_| k <= MAX_APPROXIMATE)?;
        match approximate.candidates(query.values(), (k * CANDIDATES_A_RESULT).max(MIN_CANDIDATES)) {
            Ok(mut candidates) => {
                candidates.extend_from_slice(&self.newer);
                Some(candidates)
            }
            Err(error) => {
                log::error!("The approximate index failed, searching without it: {error}");
                self.approximate = None;
                None
            }
        }
    }

    /// The `k` most similar among some photos. Exact; those that are not in the index are passed over.
    pub fn search_among(&self, query: &Embedding, photos: &[PhotoId], k: usize) -> Vec<Neighbour> {
        self.neighbours(self.rows.search_among(query.values(), photos, k))
    }

    /// The `k` most similar for many queries at once. Exact.
    pub fn search_many(&self, queries: &[Embedding], k: usize) -> Vec<Vec<Neighbour>> {
        let queries: Vec<&[f32]> = queries.iter().map(Embedding::values).collect();
        self.rows.search(&queries, k).into_iter().map(|scored| self.neighbours(scored)).collect()
    }

    fn neighbours(&self, scored: Vec<rows::Scored>) -> Vec<Neighbour> {
        let similarity = |score: f32| match self.metric {
            Metric::Cosine => score,
            Metric::Euclidean => 1.0 / (1.0 - score),
        };
        scored.into_iter().map(|s| Neighbour { id: s.id, similarity: similarity(s.score) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(values: &[f32]) -> Embedding {
        Embedding::normalised(values.to_vec()).unwrap()
    }

    fn index(photos: &[(i64, &[f32])]) -> Index {
        let mut index = Index::new(2, Metric::Cosine);
        for (id, values) in photos {
            assert!(index.add(PhotoId(*id), &(&embedding(values)).into()));
        }
        index
    }

    fn ids(found: &[Neighbour]) -> Vec<i64> {
        found.iter().map(|neighbour| neighbour.id.0).collect()
    }

    #[test]
    fn the_most_similar_comes_first_with_its_cosine() {
        let mut index = index(&[(7, &[1.0, 0.0]), (3, &[1.0, 1.0]), (9, &[0.0, 2.0])]);
        let found = index.search(&embedding(&[5.0, 0.1]), 10);
        assert_eq!(ids(&found), [7, 3, 9]);
        assert!((found[0].similarity - 0.9998).abs() < 1e-4);
        assert_eq!(ids(&index.search(&embedding(&[0.0, 1.0]), 1)), [9]);
    }

    #[test]
    fn gone_photos_leave_and_the_others_keep_their_ids() {
        let mut index = index(&[(1, &[1.0, 0.0]), (2, &[1.0, 1.0]), (3, &[0.0, 1.0])]);
        index.remove(&[PhotoId(1), PhotoId(77)]);
        assert_eq!(index.len(), 2);
        assert_eq!(ids(&index.search(&embedding(&[1.0, 0.0]), 5)), [2, 3]);
        assert_eq!(index.embedding(PhotoId(3)), Some(embedding(&[0.0, 1.0])));
        assert_eq!(index.embedding(PhotoId(1)), None);
    }

    #[test]
    fn the_euclidean_distance_counts_lengths_too() {
        let mut index = Index::new(2, Metric::Euclidean);
        for (id, values) in [(1, [10.0, 0.0]), (2, [1.0, 1.0])] {
            let embedding = Embedding::new(values.to_vec(), Metric::Euclidean).unwrap();
            assert!(index.add(PhotoId(id), &(&embedding).into()));
        }
        let query = Embedding::new(vec![1.0, 0.0], Metric::Euclidean).unwrap();
        let found = index.search(&query, 2);
        assert_eq!(ids(&found), [2, 1]);
        assert_eq!(found[0].similarity, 0.5);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let mut index = Index::new(2, Metric::Cosine);
        assert!(index.search(&embedding(&[1.0, 0.0]), 5).is_empty());
    }
}

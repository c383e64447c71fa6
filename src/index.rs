//! Nearest neighbours. The only Faiss: an exact index, by the inner product of embeddings of length 1, which is cosine
//! similarity, or by the Euclidean distance. Ids are [`PhotoId`]s. It holds nothing of its own: the catalog can build it again at any time.
//!
//! A single query runs on the calling thread: Faiss spreads the queries of one call over its threads, not the photos.

use faiss::index::IndexImpl;
use faiss::selector::IdSelector;
use faiss::{Idx, Index as _, MetricType, index_factory};

use crate::photo::{Embedding, Metric, PhotoId};

/// A photo and how similar it is to the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub id: PhotoId,
    /// By the cosine: from -1 to 1. By the Euclidean distance d: 1 / (1 + d²), from 0 to 1.
    pub similarity: f32,
}

/// An index of embeddings of one dimension.
pub struct Index {
    faiss: IndexImpl,
    metric: Metric,
}

impl Index {
    /// An empty index for embeddings of `dimension` floats that are compared by `metric`.
    ///
    /// # Errors
    /// When Faiss fails.
    pub fn new(dimension: usize, metric: Metric) -> Result<Self, faiss::error::Error> {
        let faiss_metric = match metric {
            Metric::Cosine => MetricType::InnerProduct,
            Metric::Euclidean => MetricType::L2,
        };
        Ok(Self { faiss: index_factory(dimension as u32, "IDMap2,Flat", faiss_metric)?, metric })
    }

    /// Photos in the index.
    pub fn len(&self) -> usize {
        self.faiss.ntotal() as usize
    }

    /// Whether there is no photo in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds photos that are not in it yet.
    ///
    /// # Errors
    /// When Faiss fails.
    pub fn add<'a>(
        &mut self,
        photos: impl IntoIterator<Item = (PhotoId, &'a Embedding)>,
    ) -> Result<(), faiss::error::Error> {
        let mut ids = Vec::new();
        let mut values = Vec::new();
        for (id, embedding) in photos {
            ids.push(Idx::new(id.0 as u64));
            values.extend_from_slice(embedding.values());
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.faiss.add_with_ids(&values, &ids)
    }

    /// Takes photos out; those that are not in it are passed over.
    ///
    /// # Errors
    /// When Faiss fails.
    pub fn remove(&mut self, ids: &[PhotoId]) -> Result<(), faiss::error::Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<Idx> = ids.iter().map(|id| Idx::new(id.0 as u64)).collect();
        self.faiss.remove_ids(&IdSelector::batch(&ids)?).map(drop)
    }

    /// The embedding of a photo in the index.
    ///
    /// # Errors
    /// When the photo is not in it.
    pub fn embedding(&self, id: PhotoId) -> Result<Option<Embedding>, faiss::error::Error> {
        let mut values = vec![0.0; self.faiss.d() as usize];
        self.faiss.reconstruct(Idx::new(id.0 as u64), &mut values)?;
        Ok(Embedding::new(values, self.metric))
    }

    /// The `k` most similar photos, the most similar first; fewer where there are fewer.
    ///
    /// # Errors
    /// When Faiss fails.
    pub fn search(&mut self, query: &Embedding, k: usize) -> Result<Vec<Neighbour>, faiss::error::Error> {
        Ok(self.search_many(std::slice::from_ref(query), k)?.pop().unwrap_or_default())
    }

    /// The same for many queries at once, on all of Faiss's threads.
    ///
    /// # Errors
    /// When Faiss fails.
    pub fn search_many(&mut self, queries: &[Embedding], k: usize) -> Result<Vec<Vec<Neighbour>>, faiss::error::Error> {
        let k = k.min(self.len());
        if k == 0 || queries.is_empty() {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let values: Vec<f32> = queries.iter().flat_map(|query| query.values().iter().copied()).collect();
        let found = self.faiss.search(&values, k)?;
        let neighbours = |(ids, similarities): (&[Idx], &[f32])| {
            ids.iter()
                .zip(similarities)
                .filter_map(|(id, distance)| {
                    let similarity = match self.metric {
                        Metric::Cosine => *distance,
                        // Faiss gives the square.
                        Metric::Euclidean => 1.0 / (1.0 + distance.max(0.0)),
                    };
                    Some(Neighbour { id: PhotoId(id.get()? as i64), similarity })
                })
                .collect()
        };
        Ok(found.labels.chunks(k).zip(found.distances.chunks(k)).map(neighbours).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(values: &[f32]) -> Embedding {
        Embedding::normalised(values.to_vec()).unwrap()
    }

    fn index(photos: &[(i64, &[f32])]) -> Index {
        let mut index = Index::new(2, Metric::Cosine).unwrap();
        for (id, values) in photos {
            index.add([(PhotoId(*id), &embedding(values))]).unwrap();
        }
        index
    }

    fn ids(found: &[Neighbour]) -> Vec<i64> {
        found.iter().map(|neighbour| neighbour.id.0).collect()
    }

    #[test]
    fn the_most_similar_comes_first_with_its_cosine() {
        let mut index = index(&[(7, &[1.0, 0.0]), (3, &[1.0, 1.0]), (9, &[0.0, 2.0])]);
        let found = index.search(&embedding(&[5.0, 0.1]), 10).unwrap();
        assert_eq!(ids(&found), [7, 3, 9]);
        assert!((found[0].similarity - 0.9998).abs() < 1e-4);
        assert_eq!(ids(&index.search(&embedding(&[0.0, 1.0]), 1).unwrap()), [9]);
    }

    #[test]
    fn gone_photos_leave_and_the_others_keep_their_ids() {
        let mut index = index(&[(1, &[1.0, 0.0]), (2, &[1.0, 1.0]), (3, &[0.0, 1.0])]);
        index.remove(&[PhotoId(1), PhotoId(77)]).unwrap();
        assert_eq!(index.len(), 2);
        assert_eq!(ids(&index.search(&embedding(&[1.0, 0.0]), 5).unwrap()), [2, 3]);
        assert_eq!(index.embedding(PhotoId(3)).unwrap(), Some(embedding(&[0.0, 1.0])));
        assert!(index.embedding(PhotoId(1)).is_err());
    }

    #[test]
    fn the_euclidean_distance_counts_lengths_too() {
        let mut index = Index::new(2, Metric::Euclidean).unwrap();
        for (id, values) in [(1, [10.0, 0.0]), (2, [1.0, 1.0])] {
            index.add([(PhotoId(id), &Embedding::new(values.to_vec(), Metric::Euclidean).unwrap())]).unwrap();
        }
        let query = Embedding::new(vec![1.0, 0.0], Metric::Euclidean).unwrap();
        let found = index.search(&query, 2).unwrap();
        assert_eq!(ids(&found), [2, 1]);
        assert_eq!(found[0].similarity, 0.5);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let mut index = Index::new(2, Metric::Cosine).unwrap();
        assert!(index.search(&embedding(&[1.0, 0.0]), 5).unwrap().is_empty());
    }
}

//! What a training learns from: the photos of a library with their labels and the features of the starting backbone. A
//! label is the name of a photo's folder.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tch::Tensor;

use crate::catalog::{Catalog, CatalogError, ModelKey};
use crate::model::ModelError;
use crate::photo::{HalfEmbedding, Metric, Photo, PhotoId};

/// Fewer photos of a class teach nothing: there is no pair to learn from.
pub const MIN_PHOTOS_PER_CLASS: usize = 2;
/// Fewer classes are no classes: a folder with one sub-folder is taken for one without labels.
pub const MIN_CLASSES: usize = 2;
const CATALOG_CHUNK: usize = 4096;

/// The photos of a library that have features.
#[derive(Debug)]
pub struct Dataset {
    pub photos: Vec<Arc<Photo>>,
    /// `[photos, dimension]`, rows of length 1.
    pub features: Tensor,
    /// The class of each photo, an index into `classes`; -1 for none, or one that is too small.
    pub labels: Vec<i64>,
    /// Names of the classes that are large enough, sorted.
    pub classes: Vec<String>,
}

impl Dataset {
    /// Reads all photos with features of a backbone.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn load(catalog: &Catalog, backbone: &str) -> Result<Self, DatasetError> {
        let mut rows = Vec::new();
        let mut last = PhotoId(0);
        loop {
            let chunk = catalog.photos_after(last, CATALOG_CHUNK, ModelKey::features(backbone))?;
            let Some((photo, _)) = chunk.last() else { break };
            last = photo.id;
            let raised =
                |(photo, features): (Photo, Option<HalfEmbedding>)| Some((photo, features?.raised(Metric::Cosine)?));
            rows.extend(chunk.into_iter().filter_map(raised));
        }
        // By path, not by id: the order of a training does not depend on the order of indexing.
        rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let dimension = rows.first().map_or(0, |(_, features)| features.values().len());
        let mut values = Vec::with_capacity(rows.len() * dimension);
        let mut photos = Vec::with_capacity(rows.len());
        for (photo, features) in rows {
            values.extend_from_slice(features.values());
            photos.push(Arc::new(photo));
        }
        let features = Tensor::f_from_slice(&values)
            .and_then(|flat| flat.f_view([photos.len() as i64, dimension as i64]))
            .map_err(ModelError::from)?;
        let counts = count(photos.iter().map(AsRef::as_ref));
        let classes: Vec<String> =
            counts.into_iter().filter(|(_, photos)| *photos >= MIN_PHOTOS_PER_CLASS).map(|(name, _)| name).collect();
        let mut dataset = Self { labels: vec![-1; photos.len()], photos, features, classes };
        if dataset.classes.len() < MIN_CLASSES {
            dataset.classes.clear();
        }
        let numbers: HashMap<&str, i64> = dataset.classes.iter().map(String::as_str).zip(0..).collect();
        for (label, photo) in dataset.labels.iter_mut().zip(&dataset.photos) {
            *label = class_of(photo).and_then(|name| numbers.get(name.as_str()).copied()).unwrap_or(-1);
        }
        Ok(dataset)
    }

    /// The same photos and labels with the embeddings of another model; zeros where it has none of a photo.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn embeddings(&self, catalog: &Catalog, model: ModelKey, dimension: usize) -> Result<Tensor, DatasetError> {
        let mut values = Vec::with_capacity(self.len() * dimension);
        for photo in &self.photos {
            match catalog.embedding_of(photo.content, model)? {
                Some(embedding) => values.extend_from_slice(embedding.values()),
                None => values.resize(values.len() + dimension, 0.0),
            }
        }
        let rows = Tensor::f_from_slice(&values).and_then(|flat| flat.f_view([self.len() as i64, dimension as i64]));
        Ok(rows.map_err(ModelError::from)?)
    }

    /// Photos.
    pub fn len(&self) -> usize {
        self.photos.len()
    }

    /// Whether there is no photo.
    pub fn is_empty(&self) -> bool {
        self.photos.is_empty()
    }

    /// Whether there are classes to learn from.
    pub fn is_labelled(&self) -> bool {
        !self.classes.is_empty()
    }

    /// The positions of all photos.
    pub fn all(&self) -> Vec<usize> {
        (0..self.len()).collect()
    }

    /// Names photos with their contents and labels.
    pub fn fingerprint(&self, positions: &[usize]) -> String {
        let mut hasher = Sha256::new();
        for position in positions {
            hasher.update(self.photos[*position].content.0);
            hasher.update(self.labels[*position].to_le_bytes());
        }
        hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Features of some of the photos, in the order given.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn features_of(&self, positions: &[usize]) -> Result<Tensor, ModelError> {
        rows_of(&self.features, positions)
    }

    /// Labels of some of the photos, in the order given.
    pub fn labels_of(&self, positions: &[usize]) -> Vec<i64> {
        positions.iter().map(|position| self.labels[*position]).collect()
    }
}

/// Some rows of a matrix, in the order given.
///
/// # Errors
/// When libtorch fails.
pub fn rows_of(matrix: &Tensor, positions: &[usize]) -> Result<Tensor, ModelError> {
    let positions: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
    Ok(matrix.f_index_select(0, &Tensor::f_from_slice(&positions)?)?)
}

/// Why a data set could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

fn class_of(photo: &Photo) -> Option<String> {
    photo.label().map(|label| label.to_string_lossy().into_owned())
}

fn count<'a>(photos: impl Iterator<Item = &'a Photo>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for class in photos.filter_map(class_of) {
        *counts.entry(class).or_default() += 1;
    }
    counts
}

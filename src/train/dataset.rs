//! What a training learns from: the photos of a library with their labels and the features of the starting backbone. A
//! label is the name of a photo's folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::catalog::{Catalog, CatalogError, ModelKey};
use crate::model::ModelError;
use crate::pairs::pairs;
use crate::photo::{Embedding, HalfEmbedding, Metric, Photo, PhotoId, hex, label_of};

/// Fewer photos of a class teach nothing: there is no pair to learn from.
pub(crate) const MIN_PHOTOS_PER_CLASS: usize = 2;
/// Fewer classes are no classes: a folder with one sub-folder is taken for one without labels.
pub(crate) const MIN_CLASSES: usize = 2;
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
    /// Reads all photos with features of a backbone. The catalog is read twice: once for the order of the photos, then
    /// their features right into their place, so that there is one copy of them.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn load(catalog: &Catalog, backbone: &str) -> Result<Self, DatasetError> {
        let (mut photos, mut dimension) = (Vec::<Arc<Photo>>::new(), 0);
        for_each_chunk(catalog, backbone, &mut |chunk| {
            for (photo, features) in chunk {
                dimension = features.values().len();
                photos.push(Arc::new(photo));
            }
            Ok(())
        })?;
        // A raw file and the picture of the same shot teach what one of them does.
        let pairs = pairs(photos.iter().map(|photo| (photo.path.as_path(), photo.id)));
        let raws: HashSet<PhotoId> = pairs.into_iter().map(|(_, raw)| raw).collect();
        photos.retain(|photo| !raws.contains(&photo.id));
        // By path, not by id: the order of a training does not depend on the order of indexing.
        photos.sort_by(|a, b| a.path.cmp(&b.path));
        let places: HashMap<PhotoId, i64> = photos.iter().map(|photo| photo.id).zip(0..).collect();
        let mut features = zeros(photos.len(), dimension)?;
        for_each_chunk(catalog, backbone, &mut |chunk| {
            let (mut rows, mut values) = (Vec::new(), Vec::with_capacity(chunk.len() * dimension));
            for (photo, features) in chunk {
                if let Some(row) = places.get(&photo.id) {
                    rows.push(*row);
                    values.extend_from_slice(features.values());
                }
            }
            let values = Tensor::f_from_slice(&values)?.f_view([rows.len() as i64, dimension as i64])?;
            let _ = features.f_index_copy_(0, &Tensor::f_from_slice(&rows)?, &values)?;
            Ok(())
        })?;
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
    pub(crate) fn embeddings(
        &self,
        catalog: &Catalog,
        model: ModelKey,
        dimension: usize,
    ) -> Result<Tensor, DatasetError> {
        let rows = zeros(self.photos.len(), dimension)?;
        for (chunk, photos) in self.photos.chunks(CATALOG_CHUNK).enumerate() {
            let mut values = Vec::with_capacity(photos.len() * dimension);
            for photo in photos {
                match catalog.embedding_of(photo.content, model)? {
                    Some(embedding) => values.extend_from_slice(embedding.values()),
                    None => values.resize(values.len() + dimension, 0.0),
                }
            }
            let first = (chunk * CATALOG_CHUNK) as i64;
            let copy = || {
                let values = Tensor::f_from_slice(&values)?.f_view([photos.len() as i64, dimension as i64])?;
                rows.f_narrow(0, first, photos.len() as i64)?.f_copy_(&values)
            };
            copy().map_err(ModelError::from)?;
        }
        Ok(rows)
    }

    /// Whether there are classes to learn from.
    pub(crate) fn is_labelled(&self) -> bool {
        !self.classes.is_empty()
    }

    /// The positions of all photos.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.photos.len()).collect()
    }

    /// Names photos with their contents and labels.
    pub(crate) fn fingerprint(&self, positions: &[usize]) -> String {
        let mut hasher = Sha256::new();
        for position in positions {
            hasher.update(self.photos[*position].content.0);
            hasher.update(self.labels[*position].to_le_bytes());
        }
        hex(&hasher.finalize()[..8])
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

/// Calls `each` with all photos that have usable features of a backbone, some at a time.
fn for_each_chunk(
    catalog: &Catalog,
    backbone: &str,
    each: &mut dyn FnMut(Vec<(Photo, Embedding)>) -> Result<(), ModelError>,
) -> Result<(), DatasetError> {
    let mut last = PhotoId(0);
    loop {
        let chunk = catalog.photos_after(last, CATALOG_CHUNK, ModelKey::features(backbone))?;
        let Some((photo, _)) = chunk.last() else { return Ok(()) };
        last = photo.id;
        let usable =
            |(photo, features): (Photo, Option<HalfEmbedding>)| Some((photo, features?.to_embedding(Metric::Cosine)?));
        each(chunk.into_iter().filter_map(usable).collect())?;
    }
}

fn zeros(rows: usize, columns: usize) -> Result<Tensor, ModelError> {
    Ok(Tensor::f_zeros([rows as i64, columns as i64], (Kind::Float, Device::Cpu))?)
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

/// Whether photos at these places have labels to learn from.
pub(crate) fn has_labels<'a>(places: impl Iterator<Item = &'a Path>) -> bool {
    let mut counts: HashMap<OsString, usize> = HashMap::new();
    for label in places.filter_map(label_of) {
        *counts.entry(label.into_owned()).or_default() += 1;
    }
    counts.values().filter(|photos| **photos >= MIN_PHOTOS_PER_CLASS).count() >= MIN_CLASSES
}

fn count<'a>(photos: impl Iterator<Item = &'a Photo>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for class in photos.filter_map(class_of) {
        *counts.entry(class).or_default() += 1;
    }
    counts
}

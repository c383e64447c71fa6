//! What a training learns from: the photos of a library with their labels and the features of the starting backbone;
//! and what is set aside to prove the result with.
//!
//! A label is the name of a photo's folder. What is set aside follows from hashes of the names and contents alone, so
//! that two trainings on the same folder, and a training that goes on after a kill, set the same photos aside.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tch::Tensor;

use super::report::LabelPreview;
use crate::catalog::{Catalog, CatalogError, ModelKey};
use crate::model::ModelError;
use crate::photo::{ContentHash, HalfEmbedding, Metric, Photo, PhotoId};

/// Fewer photos of a class teach nothing: there is no pair to learn from.
pub const MIN_PHOTOS_A_CLASS: usize = 2;
/// Fewer classes are no classes: a folder with one sub-folder is taken for one without labels.
pub const MIN_CLASSES: usize = 2;
/// Photos of a class that are more similar than this count as one shot, and come to the same side of a split. Bursts of
/// one flower lie above 0.95, other photos of the same species mostly below 0.9.
const SAME_SHOT: f64 = 0.95;
/// Whole classes are set aside where there are at least this many.
const MIN_CLASSES_FOR_UNSEEN: usize = 10;
/// Photos of a class that are compared at a time, and the further ones that each of them is compared with.
const SHOT_CHUNK: usize = 512;
const SHOT_WINDOW: usize = 1024;
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

/// Photos as positions in a [`Dataset`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What the model may learn from; also what the queries of `seen` are searched among.
    pub learn: Vec<usize>,
    /// Queries: photos of classes that are learnt from.
    pub seen: Vec<usize>,
    /// Photos of classes that are kept back whole; each is searched among the others.
    pub unseen: Vec<usize>,
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
            counts.into_iter().filter(|(_, photos)| *photos >= MIN_PHOTOS_A_CLASS).map(|(name, _)| name).collect();
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

    /// One of `folds` ways to set photos aside: of every class in its turn all photos, and of the other classes about
    /// one shot in `folds`. Over all folds every photo is set aside once as seen, and once as unseen where there are
    /// enough classes for that.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn split(&self, fold: usize, folds: usize) -> Result<Split, ModelError> {
        let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        let mut split = Split::default();
        for (position, label) in self.labels.iter().enumerate() {
            match usize::try_from(*label) {
                Ok(class) => by_class[class].push(position),
                Err(_) => split.learn.push(position),
            }
        }
        let holds_out_classes = self.classes.len() >= MIN_CLASSES_FOR_UNSEEN;
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by_key(|class| ContentHash::of(self.classes[*class].as_bytes()).0);
        for (rank, class) in order.into_iter().enumerate() {
            let photos = &by_class[class];
            if holds_out_classes && rank % folds == fold {
                split.unseen.extend(photos);
                continue;
            }
            let shots = self.shots(photos)?;
            // Something has to remain that the query can find.
            let spare = shots.len().saturating_sub(1);
            let aside = shots.iter().enumerate().filter(|(number, _)| number % folds == fold).take(spare);
            let aside: HashSet<usize> = aside.flat_map(|(_, shot)| shot.iter().copied()).collect();
            split.learn.extend(photos.iter().filter(|photo| !aside.contains(photo)));
            split.seen.extend(aside);
        }
        split.learn.sort_unstable();
        split.seen.sort_unstable();
        split.unseen.sort_unstable();
        Ok(split)
    }

    /// Photos of one class, those of one shot together; the shots in an order that follows from their contents. Bursts
    /// lie next to each other in the order of paths: photos of a very large class are compared with the next
    /// [`SHOT_WINDOW`] only.
    fn shots(&self, photos: &[usize]) -> Result<Vec<Vec<usize>>, ModelError> {
        let mut groups = Groups::new(photos.len());
        for (number, rows) in photos.chunks(SHOT_CHUNK).enumerate() {
            let start = number * SHOT_CHUNK;
            let window = &photos[start..(start + SHOT_CHUNK + SHOT_WINDOW).min(photos.len())];
            let similar = self.features_of(rows)?.f_matmul(&self.features_of(window)?.f_transpose(0, 1)?)?;
            let pairs = Vec::<i64>::try_from(similar.f_ge(SAME_SHOT)?.f_nonzero()?.f_reshape([-1])?)?;
            for pair in pairs.chunks_exact(2) {
                groups.join(start + pair[0] as usize, start + pair[1] as usize);
            }
        }
        let mut shots: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, photo) in photos.iter().enumerate() {
            shots.entry(groups.of(number)).or_default().push(*photo);
        }
        let mut shots: Vec<Vec<usize>> = shots.into_values().collect();
        let hash = |shot: &[usize]| shot.iter().map(|photo| self.photos[*photo].content.0).min();
        shots.sort_by_cached_key(|shot| hash(shot));
        Ok(shots)
    }
}

/// Numbers that belong together, directly or by way of others (Galler and Fischer 1964, "An Improved Equivalence
/// Algorithm").
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The smallest number of the group.
    fn of(&mut self, mut number: usize) -> usize {
        while self.0[number] != number {
            self.0[number] = self.0[self.0[number]];
            number = self.0[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
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

/// The classes that a training would find, whatever model is in use.
pub fn preview<'a>(photos: impl Iterator<Item = &'a Photo> + Clone, problems: usize) -> LabelPreview {
    let unlabelled = photos.clone().filter(|photo| photo.label().is_none()).count();
    LabelPreview { classes: count(photos).into_iter().collect(), unlabelled, problems }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// `classes` classes of `photos` photos each, in random directions; the first two photos of a class are one shot.
    fn dataset(classes: usize, photos: usize) -> Dataset {
        let (mut all, mut labels) = (Vec::new(), Vec::new());
        for class in 0..classes {
            for number in 0..photos {
                let path = format!("c{class:03}/{number}.jpg");
                let content = ContentHash::of(path.as_bytes());
                all.push(Arc::new(Photo { id: PhotoId(all.len() as i64 + 1), path: path.into(), content }));
                labels.push(class as i64);
            }
        }
        tch::manual_seed(1);
        let mut features = Tensor::randn([all.len() as i64, 32], (tch::Kind::Float, tch::Device::Cpu));
        for class in 0..classes as i64 {
            let first = features.get(class * photos as i64);
            features.get(class * photos as i64 + 1).copy_(&first);
        }
        let length = features.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true);
        let _ = features.g_div_(&length);
        let classes = (0..classes).map(|class| format!("c{class:03}")).collect();
        Dataset { photos: all, features, labels, classes }
    }

    #[test]
    fn sides_share_no_photo_no_shot_and_unseen_classes_are_whole() {
        let data = dataset(12, 6);
        let mut seen_once = HashSet::new();
        let mut unseen_once = HashSet::new();
        for fold in 0..5 {
            let split = data.split(fold, 5).unwrap();
            let learn: HashSet<_> = split.learn.iter().collect();
            assert_eq!(learn.len() + split.seen.len() + split.unseen.len(), data.len());
            let learnt: HashSet<_> = split.learn.iter().map(|p| data.labels[*p]).collect();
            assert!(split.seen.iter().all(|p| learnt.contains(&data.labels[*p])));
            assert!(split.unseen.iter().all(|p| !learnt.contains(&data.labels[*p])));
            for class in 0..12 {
                let (first, second) = (class * 6, class * 6 + 1);
                assert_eq!(split.seen.contains(&first), split.seen.contains(&second), "one shot on both sides");
            }
            assert_eq!(split, data.split(fold, 5).unwrap());
            seen_once.extend(split.seen);
            unseen_once.extend(split.unseen);
        }
        assert_eq!(unseen_once.len(), data.len());
        assert!(seen_once.len() > data.len() / 2);
    }

    #[test]
    fn few_classes_are_not_kept_back_and_something_remains_to_be_found() {
        let data = dataset(3, 2);
        for fold in 0..5 {
            let split = data.split(fold, 5).unwrap();
            assert!(split.unseen.is_empty());
            // Both photos of each class are one shot.
            assert_eq!(split.learn.len(), 6);
        }
    }

    #[test]
    fn bursts_in_a_large_class_are_found_in_sane_time() {
        let mut data = dataset(1, 6000);
        let first = data.features.get(700);
        // Across the border of two chunks, and by way of another photo.
        for other in [1100, 1600] {
            data.features.get(other).copy_(&first);
        }
        data.classes = vec!["c000".into()];
        let shots = data.shots(&(0..6000).collect::<Vec<_>>()).unwrap();
        assert!(shots.contains(&vec![700, 1100, 1600]) && shots.contains(&vec![0, 1]));
        assert_eq!(shots.len(), 6000 - 3);
    }

    #[test]
    fn two_thousand_classes_are_split_like_few() {
        let data = dataset(2000, 3);
        let split = data.split(0, 5).unwrap();
        assert_eq!(split.unseen.len(), 400 * 3);
        assert_eq!(split.learn.len() + split.seen.len() + split.unseen.len(), data.len());
        assert!(!split.seen.is_empty());
    }

    #[test]
    fn a_class_with_one_photo_keeps_it_to_learn_from() {
        let mut data = dataset(3, 2);
        // What `load` does with the photo of a class that is too small.
        data.labels[5] = -1;
        assert!(data.split(0, 5).unwrap().learn.contains(&5));
    }
}

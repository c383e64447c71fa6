//! A query -> ranked photos; and, with no query, the photos of a folder or label by path.
//!
//! [`Gallery`] is the library as it is held in memory to answer with: who the photos are, and the index of their
//! embeddings. It is filled from the catalog and follows every [`Changes`] that the indexing job commits.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use crate::catalog::{Catalog, CatalogError, Changes, ModelKey};
use crate::decode::{self, AtLeast, DecodeError};
use crate::embed::{EmbedError, Embedder};
use crate::evaluate::{Evaluation, count_labels};
use crate::index::{Approximate, Index};
use crate::model::{INPUT_SIDE, NetworkInput};
use crate::names::{PathKey, PathKeys, composed};
use crate::photo::{Embedding, HalfEmbedding, Metric, Photo, PhotoId};

/// Photos read from the catalog at a time while a library opens.
const LOAD_CHUNK: usize = 4096;
/// The longer side of a query's picture beside the results, in pixels.
pub(crate) const PREVIEW_SIDE: u32 = 1024;
/// Of the JPEG that a pasted picture is kept as: what is lost does not change the answer.
const PASTED_QUALITY: u8 = 92;
const WANTED: AtLeast = AtLeast { shorter: INPUT_SIDE, longer: PREVIEW_SIDE };

/// What is searched with.
#[derive(Clone, Debug)]
pub enum Query {
    /// A file anywhere on the computer.
    File(PathBuf),
    /// A picture from the clipboard, as [`pasted_picture`] gives it.
    Picture(Arc<[u8]>),
    /// A photo of the library.
    Photo(Arc<Photo>),
}

/// Which part of the library is shown or searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    #[default]
    All,
    /// A folder and all below it, relative to the library's.
    Folder(PathBuf),
    /// Photos whose folder has this name, wherever it lies.
    Label(OsString),
}

impl Filter {
    fn admits(&self, photo: &Photo) -> bool {
        match self {
            Self::All => true,
            Self::Folder(folder) => photo.path.starts_with(folder),
            Self::Label(label) => photo.label().is_some_and(|name| *name == **label),
        }
    }
}

/// One photo of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub photo: Arc<Photo>,
    /// Similarity to the query, 1 for the same picture (see [`crate::index::Neighbour`]); `None` with no query.
    pub similarity: Option<f32>,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("{error}: {path}", path = .path.display())]
    Photo { path: PathBuf, error: DecodeError },
    #[error("The picture in the clipboard cannot be used: {0}")]
    Picture(DecodeError),
    #[error("The model gave no usable embedding of this photo")]
    NoEmbedding,
    #[error("This photo is not in the index any more")]
    Gone,
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Decodes a photo for a query, large enough for the network and for showing it beside the results.
///
/// # Errors
/// When the file cannot be read as a photo.
pub(crate) fn read_photo(path: &Path) -> Result<RgbImage, QueryError> {
    decode::decode_file_at_least(path, WANTED).map_err(|error| QueryError::Photo { path: path.to_owned(), error })
}

/// A picture from the clipboard as a query, and with that the history of searches, keeps it: a JPEG no larger than a
/// search has use for. What a camera's picture takes in memory it takes a hundredth of.
///
/// # Errors
/// When the picture has no pixels.
pub(crate) fn pasted_picture(picture: &RgbImage) -> Result<Arc<[u8]>, QueryError> {
    let (shorter, longer) = (picture.width().min(picture.height()), picture.width().max(picture.height()));
    let of_shorter = u64::from(longer) * u64::from(INPUT_SIDE) / u64::from(shorter.max(1));
    let side = PREVIEW_SIDE.max(u32::try_from(of_shorter).unwrap_or(longer));
    Ok(decode::shrunk_jpeg(picture, side, PASTED_QUALITY).map_err(QueryError::Picture)?.into())
}

/// Embeds one picture, before any batch of the indexing job.
///
/// # Errors
/// When the picture is empty or the model fails.
pub(crate) fn embed_picture(embedder: &Embedder, picture: &RgbImage) -> Result<Embedding, QueryError> {
    let architecture = embedder.info()?.architecture;
    let input = NetworkInput::from_picture(picture, architecture).map_err(QueryError::Picture)?;
    let embedded = embedder.embed_query(vec![input])?.pop().flatten().ok_or(QueryError::NoEmbedding)?;
    Ok(embedded.embedding)
}

/// Names with the number of photos that carry them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Folders relative to the library's, by path, with the photos in them and below.
    pub folders: Vec<(PathBuf, usize)>,
    /// Labels by name.
    pub(crate) labels: Vec<(OsString, usize)>,
}

/// A library in memory.
pub struct Gallery {
    by_path: BTreeMap<PathKey, Arc<Photo>>,
    keys: PathKeys,
    by_id: HashMap<PhotoId, Arc<Photo>>,
    /// How many photos lie right in each folder: what [`Gallery::facets`] adds up, rather than all photos.
    folders: HashMap<PathBuf, usize>,
    index: Index,
}

impl Gallery {
    /// An empty gallery for embeddings of `dimension` floats that are compared by `metric`.
    pub fn new(dimension: usize, metric: Metric) -> Self {
        let index = Index::new(dimension, metric);
        Self {
            by_path: BTreeMap::new(),
            keys: PathKeys::default(),
            by_id: HashMap::new(),
            folders: HashMap::new(),
            index,
        }
    }

    /// The whole catalog as a gallery.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn load(catalog: &Catalog, model: ModelKey, dimension: usize) -> Result<Self, QueryError> {
        let mut gallery = Self::new(dimension, model.metric);
        let mut last = Some(PhotoId(0));
        while let Some(after) = last {
            last = gallery.load_more(catalog, model, after)?;
        }
        Ok(gallery)
    }

    /// Adds the next photos with ids above `after`; gives the id to go on from, or `None` at the end.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn load_more(
        &mut self,
        catalog: &Catalog,
        model: ModelKey,
        after: PhotoId,
    ) -> Result<Option<PhotoId>, QueryError> {
        let rows = catalog.photos_after(after, LOAD_CHUNK, model)?;
        let last = rows.last().map(|(photo, _)| photo.id);
        for (photo, embedding) in rows {
            if let Some(embedding) = embedding {
                self.add(photo, &embedding);
            }
        }
        Ok(last)
    }

    /// Follows a change of the catalog. A photo that is here already is passed over.
    pub fn apply(&mut self, changes: Changes) {
        let Changes { added, removed } = changes;
        self.index.remove(&removed);
        for id in removed {
            if let Some(photo) = self.by_id.remove(&id)
                && let Entry::Occupied(there) = self.by_path.entry(PathKey::from(photo.path.as_path()))
                && there.get().id == id
            {
                there.remove();
                self.count_out(&photo.path);
            }
        }
        for (photo, embedding) in added {
            self.add(photo, &HalfEmbedding::from(&embedding));
        }
    }

    fn add(&mut self, photo: Photo, embedding: &HalfEmbedding) {
        if self.index.add(photo.id, embedding) {
            let photo = Arc::new(photo);
            // A photo of before under this path leaves it; it is removed later.
            if self.by_path.insert(self.keys.of(&photo.path), Arc::clone(&photo)).is_none() {
                self.count_in(&photo.path);
            }
            self.by_id.insert(photo.id, photo);
        }
    }

    fn count_in(&mut self, photo: &Path) {
        let folder = photo.parent().unwrap_or(Path::new(""));
        match self.folders.get_mut(folder) {
            Some(photos) => *photos += 1,
            None => _ = self.folders.insert(folder.to_owned(), 1),
        }
    }

    fn count_out(&mut self, photo: &Path) {
        let folder = photo.parent().unwrap_or(Path::new(""));
        if let Some(photos) = self.folders.get_mut(folder) {
            *photos -= 1;
            if *photos == 0 {
                self.folders.remove(folder);
            }
        }
    }

    /// The embeddings.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Searches with the help of this from now on.
    pub(crate) fn use_approximate(&mut self, approximate: Approximate) {
        self.index.use_approximate(approximate);
    }

    /// Photos that can be found.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All photos, by path.
    pub(crate) fn photos(&self) -> impl Iterator<Item = &Arc<Photo>> {
        self.by_path.values()
    }

    /// The embedding of a photo of the library.
    ///
    /// # Errors
    /// When it is not in the index any more.
    pub(crate) fn embedding(&self, id: PhotoId) -> Result<Embedding, QueryError> {
        self.index.embedding(id).ok_or(QueryError::Gone)
    }

    /// All photos that the filter admits, by path.
    pub fn browse(&self, filter: &Filter) -> Vec<Hit> {
        self.admitted(filter).map(|photo| Hit { photo: Arc::clone(photo), similarity: None }).collect()
    }

    fn admitted(&self, filter: &Filter) -> impl Iterator<Item = &Arc<Photo>> {
        let from = match filter {
            Filter::Folder(folder) => Bound::Included(PathKey::from(folder.as_path())),
            Filter::All | Filter::Label(_) => Bound::Unbounded,
        };
        let is_folder = matches!(filter, Filter::Folder(_));
        let photos = self.by_path.range((from, Bound::Unbounded)).map(|(_, photo)| photo);
        // The keys are ordered by component, so a folder's photos stand together.
        photos
            .take_while(move |photo| !is_folder || filter.admits(photo))
            .filter(move |photo| is_folder || filter.admits(photo))
    }

    /// The photos most similar to an embedding, at most `limit`, without the photo `except`.
    pub(crate) fn rank(
        &mut self,
        query: &Embedding,
        except: Option<PhotoId>,
        filter: &Filter,
        limit: Option<usize>,
    ) -> Vec<Hit> {
        let limit = limit.unwrap_or(usize::MAX).min(self.len());
        let asked = limit.saturating_add(1);
        let neighbours = match filter {
            Filter::All => self.index.search(query, asked),
            Filter::Folder(_) | Filter::Label(_) => {
                let photos: Vec<PhotoId> = self.admitted(filter).map(|photo| photo.id).collect();
                self.index.search_among(query, &photos, asked)
            }
        };
        let others = neighbours.iter().filter(|neighbour| Some(neighbour.id) != except);
        others
            .filter_map(|neighbour| {
                let photo = Arc::clone(self.by_id.get(&neighbour.id)?);
                Some(Hit { photo, similarity: Some(neighbour.similarity) })
            })
            .take(limit)
            .collect()
    }

    /// The folders and labels of the library, in time that grows with the number of folders, not of photos.
    pub fn facets(&self) -> Facets {
        let (mut folders, mut labels) = (HashMap::<&Path, usize>::new(), HashMap::<OsString, usize>::new());
        #[expect(clippy::iter_over_hash_type, reason = "sums do not depend on the order")]
        for (folder, photos) in &self.folders {
            if let Some(label) = folder.file_name() {
                *labels.entry(composed(label).into_owned()).or_default() += photos;
            }
            for folder in folder.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
                *folders.entry(folder).or_default() += photos;
            }
        }
        let mut folders: Vec<_> = folders.into_iter().map(|(folder, photos)| (folder.to_owned(), photos)).collect();
        folders.sort_by_cached_key(|(folder, _)| PathKey::from(folder.as_path()));
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort_by_cached_key(|(label, _)| PathKey::from(Path::new(label)));
        Facets { folders, labels }
    }

    /// Adds queries to an evaluation: an embedding each, its label, and the photo itself where it is in the gallery
    /// and has to be left out (leave-one-out).
    pub(crate) fn evaluate(&mut self, queries: &[(Embedding, OsString, Option<PhotoId>)], evaluation: &mut Evaluation) {
        let counts = count_labels(self.by_id.values().filter_map(|p| p.label()).map(Cow::into_owned));
        // As many as the largest class needs, and one more for the photo that is left out.
        let k = counts.values().copied().max().unwrap_or(0).max(5) + 1;
        for some in queries.chunks(256) {
            let embeddings: Vec<Embedding> = some.iter().map(|(embedding, ..)| embedding.clone()).collect();
            for (neighbours, (_, label, itself)) in self.index.search_many(&embeddings, k).into_iter().zip(some) {
                let others = neighbours.iter().filter(|neighbour| Some(neighbour.id) != *itself);
                let right = others.map(|n| {
                    self.by_id.get(&n.id).and_then(|photo| photo.label()).is_some_and(|found| *found == **label)
                });
                let relevant = counts.get(label).copied().unwrap_or(0) - usize::from(itself.is_some());
                evaluation.add(right, relevant);
            }
        }
    }

    /// Every labelled photo as a query against all others.
    ///
    /// # Errors
    /// When a photo is not in the index any more.
    pub(crate) fn evaluate_leave_one_out(&mut self, evaluation: &mut Evaluation) -> Result<(), QueryError> {
        let photos: Vec<Arc<Photo>> = self.by_path.values().cloned().collect();
        for some in photos.chunks(1024) {
            let mut queries = Vec::with_capacity(some.len());
            for photo in some {
                match photo.label() {
                    Some(label) => queries.push((self.embedding(photo.id)?, label.into_owned(), Some(photo.id))),
                    None => evaluation.add_error(),
                }
            }
            self.evaluate(&queries, evaluation);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::ContentHash;
    use crate::random::Random;

    fn gallery(photos: &[(&str, [f32; 2])]) -> Gallery {
        let mut gallery = Gallery::new(2, Metric::Cosine);
        let added = photos.iter().enumerate().map(|(number, (path, values))| {
            let photo = Photo { id: PhotoId(number as i64 + 1), path: path.into(), content: ContentHash([0; 16]) };
            (photo, Embedding::normalised(values.to_vec()).unwrap())
        });
        gallery.apply(Changes { added: added.collect(), removed: Vec::new() });
        gallery
    }

    fn paths(hits: &[Hit]) -> Vec<&str> {
        hits.iter().map(|hit| hit.photo.path.to_str().unwrap()).collect()
    }

    fn east() -> Embedding {
        Embedding::normalised(vec![1.0, 0.0]).unwrap()
    }

    const GARDEN: &[(&str, [f32; 2])] = &[
        ("rose/1.jpg", [1.0, 0.1]),
        ("rose/2.jpg", [1.0, 0.3]),
        ("lily/1.jpg", [0.1, 1.0]),
        ("2024/lily/2.jpg", [0.2, 1.0]),
        ("top.jpg", [1.0, 0.2]),
    ];

    #[test]
    fn ranks_by_similarity_within_the_filter() {
        let mut gallery = gallery(GARDEN);
        let all = gallery.rank(&east(), None, &Filter::All, None);
        assert_eq!(paths(&all), ["rose/1.jpg", "top.jpg", "rose/2.jpg", "2024/lily/2.jpg", "lily/1.jpg"]);
        let lilies = gallery.rank(&east(), None, &Filter::Label("lily".into()), Some(1));
        assert_eq!(paths(&lilies), ["2024/lily/2.jpg"]);
        let others = gallery.rank(&east(), Some(PhotoId(1)), &Filter::All, Some(2));
        assert_eq!(paths(&others), ["top.jpg", "rose/2.jpg"]);
    }

    #[test]
    fn a_pasted_picture_is_kept_small_but_large_enough_to_search_with() {
        let kept = |width, height| {
            let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x * y / 97) as u8]));
            let jpeg = pasted_picture(&picture).unwrap();
            assert!(jpeg.len() < 1 << 20, "{} bytes", jpeg.len());
            decode::decode(&jpeg).unwrap().dimensions()
        };
        assert_eq!(kept(4000, 3000), (1024, 768));
        assert_eq!(kept(200, 100), (200, 100));
        // A panorama's shorter side is what the network sees.
        let (width, height) = kept(4000, 250);
        assert!(height >= INPUT_SIDE.min(250) && width > PREVIEW_SIDE, "{width} x {height}");
        assert!(pasted_picture(&RgbImage::new(0, 0)).is_err());
    }

    #[test]
    fn browses_by_folder_and_by_label() {
        let gallery = gallery(GARDEN);
        assert_eq!(gallery.browse(&Filter::All).len(), 5);
        assert_eq!(paths(&gallery.browse(&Filter::Folder("rose".into()))), ["rose/1.jpg", "rose/2.jpg"]);
        assert_eq!(paths(&gallery.browse(&Filter::Label("lily".into()))), ["2024/lily/2.jpg", "lily/1.jpg"]);
        let facets = gallery.facets();
        assert_eq!(facets.labels, [("lily".into(), 2), ("rose".into(), 2)]);
        let folders = ["2024", "2024/lily", "lily", "rose"].map(PathBuf::from);
        assert_eq!(facets.folders.iter().map(|(folder, _)| folder.clone()).collect::<Vec<_>>(), folders);
    }

    #[test]
    fn names_are_sorted_for_people_and_two_forms_of_one_are_one() {
        let photos =
            ["photo 10.jpg", "photo 2.jpg", "Rose/1.jpg", "Ros\u{e9}/1.jpg", "Rose\u{301}/2.jpg", "Rosf/1.jpg"];
        let photos: Vec<(&str, [f32; 2])> = photos.map(|path| (path, [1.0, 0.1])).into();
        let gallery = gallery(&photos);
        let labels = gallery.facets().labels;
        assert_eq!(labels, [("Rose".into(), 1), ("Ros\u{e9}".into(), 2), ("Rosf".into(), 1)]);
        assert_eq!(gallery.browse(&Filter::Label(labels[1].0.clone())).len(), 2);
        let all = gallery.browse(&Filter::All);
        assert_eq!(paths(&all)[..2], ["photo 2.jpg", "photo 10.jpg"]);
        assert_eq!(gallery.facets().folders.len(), 4);
    }

    #[test]
    fn follows_changes() {
        let mut gallery = gallery(GARDEN);
        let moved = Photo { id: PhotoId(9), path: "rose/1.jpg".into(), content: ContentHash([0; 16]) };
        let changes = Changes { added: vec![(moved, east())], removed: vec![PhotoId(1), PhotoId(5)] };
        gallery.apply(changes);
        assert_eq!(gallery.len(), 4);
        let hits = gallery.rank(&east(), None, &Filter::All, Some(2));
        assert_eq!(paths(&hits), ["rose/1.jpg", "rose/2.jpg"]);
        assert!(matches!(gallery.embedding(PhotoId(1)), Err(QueryError::Gone)));
    }

    #[test]
    fn folders_and_labels_are_counted_as_photos_come_and_go() {
        let mut random = Random::new(11);
        let mut gallery = Gallery::new(2, Metric::Cosine);
        let folders = ["", "rose", "a", "a/rose", "a/lily", "a b/rose", "a-b", "a/rose/old"];
        let mut photos: Vec<Photo> = Vec::new();
        for round in 0..200 {
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            if !photos.is_empty() && random.below(3) == 0 {
                removed.push(photos.swap_remove(random.below(photos.len())).id);
            }
            let path = Path::new(folders[random.below(folders.len())]).join(format!("{}.jpg", random.below(20)));
            if let Some(before) = photos.iter().position(|photo| photo.path == path) {
                removed.push(photos.swap_remove(before).id);
            }
            photos.push(Photo { id: PhotoId(round + 1), path, content: ContentHash([0; 16]) });
            added.extend(photos.last().map(|photo| (photo.clone(), east())));
            gallery.apply(Changes { added, removed });

            let mut expected = (BTreeMap::<PathBuf, usize>::new(), BTreeMap::<OsString, usize>::new());
            for photo in &photos {
                for folder in photo.path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
                    *expected.0.entry(folder.to_owned()).or_default() += 1;
                }
                if let Some(label) = photo.label() {
                    *expected.1.entry(label.into_owned()).or_default() += 1;
                }
            }
            let Facets { folders, labels } = gallery.facets();
            assert_eq!(folders.into_iter().collect::<BTreeMap<_, _>>(), expected.0);
            assert_eq!(labels.into_iter().collect::<BTreeMap<_, _>>(), expected.1);
        }
    }

    #[test]
    fn leave_one_out_does_not_find_the_photo_itself() {
        let mut gallery = gallery(GARDEN);
        let mut evaluation = Evaluation::default();
        gallery.evaluate_leave_one_out(&mut evaluation).unwrap();
        let quality = evaluation.quality();
        // Both lilies find each other; of the roses one finds the unlabelled photo first.
        assert_eq!((quality.queries, quality.errors), (4, 1));
        assert_eq!(quality.recall_at_1, 0.5);
        assert_eq!(quality.recall_at_5, 1.0);
    }
}

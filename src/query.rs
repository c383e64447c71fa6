//! A query -> ranked photos; and, with no query, the photos of a folder, a label or some days, by path or by date.
//!
//! [`Gallery`] is the library as it is held in memory to answer with: who the photos are, and the index of their
//! embeddings. It is filled from the catalog and follows every [`Changes`] that the indexing job commits.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, CatalogError, Changes, ModelKey};
use crate::decode::{self, AtLeast, DecodeError};
use crate::embed::{EmbedError, Embedder};
use crate::evaluate::{Evaluation, count_labels};
use crate::filter::{Counts, Filter};
use crate::identify::{self, Calibration, Found, Identification, Names, Reference, Surroundings};
use crate::index::{Approximate, Index, Neighbour};
use crate::job::Cancel;
use crate::metadata::Taken;
use crate::model::{Architecture, NetworkInput};
use crate::names::{PathKey, PathKeys, composed};
use crate::pairs::pairs;
use crate::photo::{Embedding, HalfEmbedding, Metric, Photo, PhotoId};

/// Photos read from the catalog at a time while a library opens.
const LOAD_CHUNK: usize = 4096;
/// The longer side of a query's picture beside the results, in pixels.
pub(crate) const PREVIEW_SIDE: u32 = 1024;
/// Of the JPEG that a pasted picture is kept as: what is lost does not change the answer.
const PASTED_QUALITY: u8 = 92;

/// What is searched with.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// A file anywhere on the computer.
    File(PathBuf),
    /// Several files that show one plant: what is near to all of them is found, and they name it together.
    Files(Arc<[PathBuf]>),
    /// A picture from the clipboard, as [`pasted_picture`] gives it.
    Picture(Arc<[u8]>),
    /// A photo of the library.
    Photo(Arc<Photo>),
}

/// In which order photos are shown without a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// By path: a folder's photos stand together.
    #[default]
    #[serde(rename = "Folder", alias = "Name")]
    Folder,
    /// By the file's own name.
    #[serde(rename = "File name")]
    Name,
    #[serde(rename = "Newest first")]
    NewestFirst,
    #[serde(rename = "Oldest first")]
    OldestFirst,
    /// Files that were changed last come first.
    #[serde(rename = "Changed last")]
    ChangedLast,
}

impl Order {
    /// All orders, as they are offered.
    pub(crate) const ALL: [Self; 5] =
        [Self::Folder, Self::Name, Self::NewestFirst, Self::OldestFirst, Self::ChangedLast];

    /// Sorts what is in the order of paths. What has no date comes last, whichever way.
    fn sort(self, hits: &mut [Hit]) {
        let taken = |hit: &Hit| hit.photo.metadata.taken;
        match self {
            Self::Folder => {}
            Self::Name => hits.sort_by_cached_key(|hit| PathKey::from(Path::new(&hit.photo.file_name()))),
            Self::NewestFirst => hits.sort_by_key(|hit| Reverse(taken(hit))),
            Self::OldestFirst => hits.sort_by_key(|hit| (taken(hit).is_none(), taken(hit))),
            Self::ChangedLast => hits.sort_by_key(|hit| Reverse(hit.photo.modified)),
        }
    }
}

/// One photo of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub photo: Arc<Photo>,
    /// The raw file of the same shot, which is no result of its own.
    pub raw: Option<Arc<Photo>>,
    /// Similarity to the query, 1 for the same picture (see [`crate::index::Neighbour`]); `None` with no query.
    pub similarity: Option<f32>,
    /// How likely it is of the query's species, 0 to 1; `None` where that is not measured.
    pub same_species: Option<f64>,
}

impl Hit {
    /// What is shown beside it: how likely it is of the query's species, or else how similar it is; `None` with no query.
    pub(crate) fn likeness(&self) -> Option<f64> {
        Some(self.same_species.unwrap_or(f64::from(self.similarity?)))
    }
}

/// What makes a result more than similar to the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The very file, byte by byte.
    File,
    /// The same picture in another file: smaller, or saved anew.
    Picture,
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

/// Decodes a photo for a query, large enough for the network and for showing it beside the results. A stop ends the wait
/// for a drive that does not answer.
///
/// # Errors
/// When the file cannot be read as a photo.
pub(crate) fn read_photo(path: &Path, architecture: Architecture, cancel: &Cancel) -> Result<RgbImage, QueryError> {
    let wanted = AtLeast { shorter: architecture.input_side(), longer: PREVIEW_SIDE };
    decode::decode_file(path, wanted, cancel).map_err(|error| QueryError::Photo { path: path.to_owned(), error })
}

/// The picture that is searched with, where it is no photo of the library; of several the first.
///
/// # Errors
/// When the file cannot be read as a photo.
pub(crate) fn picture_of(query: &Query, cancel: &Cancel) -> Result<RgbImage, QueryError> {
    match query {
        Query::File(path) => read_photo(path, Architecture::EfficientNetLite0, cancel),
        Query::Files(paths) => match paths.first() {
            Some(path) => read_photo(path, Architecture::EfficientNetLite0, cancel),
            None => Err(QueryError::Gone),
        },
        Query::Picture(jpeg) => decode::decode(jpeg).map_err(QueryError::Picture),
        Query::Photo(_) => Err(QueryError::Gone),
    }
}

/// A picture from the clipboard as a query, and with that the history of searches, keeps it: a JPEG no larger than a
/// search has use for. What a camera's picture takes in memory it takes a hundredth of.
///
/// # Errors
/// When the picture has no pixels.
pub(crate) fn pasted_picture(picture: &RgbImage) -> Result<Arc<[u8]>, QueryError> {
    let (shorter, longer) = (picture.width().min(picture.height()), picture.width().max(picture.height()));
    let of_shorter = u64::from(longer) * u64::from(Architecture::LARGEST_INPUT_SIDE) / u64::from(shorter.max(1));
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
    /// Year, month, and the photos taken in it; the latest first.
    pub(crate) months: Vec<(i32, u8, usize)>,
    /// Photos without a date.
    pub(crate) undated: usize,
}

/// A library in memory.
pub struct Gallery {
    by_path: BTreeMap<PathKey, Arc<Photo>>,
    keys: PathKeys,
    by_id: HashMap<PhotoId, Arc<Photo>>,
    /// How many photos lie right in each folder: what [`Gallery::facets`] adds up, rather than all photos.
    folders: HashMap<PathBuf, usize>,
    index: Index,
    /// Each name of a camera, once.
    cameras: HashSet<Arc<str>>,
    /// Made when it is asked for, and again when photos have come or gone.
    overview: OnceLock<Overview>,
    /// The same.
    names: OnceLock<Arc<Names>>,
}

/// What one sees of a gallery's photos as a whole only.
#[derive(Default)]
struct Overview {
    /// The raw file of each picture that has one.
    raws: HashMap<PhotoId, Arc<Photo>>,
    /// Those raw files: no results of their own.
    hidden: HashSet<PhotoId>,
    /// How many of them lie right in each folder.
    hidden_in: HashMap<PathBuf, usize>,
    months: BTreeMap<(i32, u8), usize>,
    undated: usize,
}

impl Overview {
    fn of(photos: &BTreeMap<PathKey, Arc<Photo>>) -> Self {
        let mut overview = Self::default();
        for (picture, raw) in pairs(photos.values().map(|photo| (photo.path.as_path(), photo))) {
            overview.raws.insert(picture.id, Arc::clone(raw));
            if overview.hidden.insert(raw.id) {
                let folder = raw.path.parent().unwrap_or(Path::new("")).to_owned();
                *overview.hidden_in.entry(folder).or_default() += 1;
            }
        }
        for photo in photos.values().filter(|photo| !overview.hidden.contains(&photo.id)) {
            match photo.metadata.taken.map(Taken::month) {
                Some(month) => *overview.months.entry(month).or_default() += 1,
                None => overview.undated += 1,
            }
        }
        overview
    }
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
            cameras: HashSet::new(),
            overview: OnceLock::new(),
            names: OnceLock::new(),
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
        self.forget_overview();
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

    /// Takes in what has been found out about photos.
    pub(crate) fn describe(&mut self, photos: Vec<Photo>) {
        self.forget_overview();
        for photo in photos {
            let Some(there) = self.by_id.get(&photo.id).map(Arc::clone) else { continue };
            let photo = self.shared(photo);
            if let Some(of_path) = self.by_path.get_mut(&self.keys.of(&photo.path))
                && Arc::ptr_eq(of_path, &there)
            {
                *of_path = Arc::clone(&photo);
            }
            self.by_id.insert(photo.id, photo);
        }
    }

    /// A photo to be kept: thousands share the name of a camera.
    fn shared(&mut self, mut photo: Photo) -> Arc<Photo> {
        if let Some(camera) = &mut photo.metadata.camera {
            match self.cameras.get(camera) {
                Some(known) => *camera = Arc::clone(known),
                None => _ = self.cameras.insert(Arc::clone(camera)),
            }
        }
        Arc::new(photo)
    }

    fn add(&mut self, photo: Photo, embedding: &HalfEmbedding) {
        if self.index.add(photo.id, embedding) {
            self.forget_overview();
            let photo = self.shared(photo);
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

    /// The names that its photos carry.
    pub(crate) fn names(&self) -> &Arc<Names> {
        self.names.get_or_init(|| Arc::new(Names::of(self.photos())))
    }

    /// Its photos with names, as they are now.
    pub(crate) fn reference(&self) -> Reference {
        Reference::new(self.index.exact(), self.photos(), Arc::clone(self.names()))
    }

    /// The photos of [`Gallery::rank`], and what is near to the embedding in the whole library, which names it.
    pub(crate) fn rank_and_name(
        &mut self,
        query: &Embedding,
        except: Option<PhotoId>,
        filter: &Filter,
        limit: Option<usize>,
    ) -> (Vec<Hit>, Vec<Found>) {
        if !filter.is_all() {
            return (self.rank(query, except, filter, limit), self.near(query, except));
        }
        // One search is enough for both.
        let mut hits = self.rank(query, except, filter, limit.map(|limit| limit.max(identify::ENOUGH)));
        let found =
            hits.iter().take(identify::ENOUGH).filter_map(|hit| Some((hit.photo.id, hit.similarity?))).collect();
        hits.truncate(limit.unwrap_or(usize::MAX));
        (hits, self.with_names(query, except, found))
    }

    /// What is near to an embedding, without the photo `except`: what names it.
    pub(crate) fn near(&mut self, query: &Embedding, except: Option<PhotoId>) -> Vec<Found> {
        let found = self.nearest(query, identify::ENOUGH).into_iter().map(|n| (n.id, n.similarity)).collect();
        self.with_names(query, except, found)
    }

    /// The same photos, or where hardly one of them has a name, those that have.
    fn with_names(&self, query: &Embedding, except: Option<PhotoId>, mut found: Vec<Found>) -> Vec<Found> {
        const LEAST: usize = 20;
        let names = self.names();
        let with_name = found.iter().filter(|(id, _)| names.species_of(*id).is_some()).count();
        if with_name < LEAST.min(names.photos()) {
            let named: Vec<PhotoId> = names.all_photos().collect();
            let nearest = self.index.search_among(query, &named, identify::ENOUGH);
            found = nearest.into_iter().map(|neighbour| (neighbour.id, neighbour.similarity)).collect();
        }
        found.retain(|(id, _)| Some(*id) != except);
        found
    }

    /// Names what the photos show that these are near to; see [`identify::identify`].
    pub(crate) fn identify(&self, calibration: Option<&Calibration>, near: &[Vec<Found>]) -> Option<Identification> {
        let photo_of = |id: PhotoId| self.by_id.get(&id).map(AsRef::as_ref);
        let around = Surroundings::new(&self.index, &photo_of, self.names(), calibration);
        identify::identify(&around, calibration, near)
    }

    /// Its index and its photos, as they are now: for threads of their own.
    pub(crate) fn snapshot(&self) -> (Index, Vec<Arc<Photo>>) {
        (self.index.exact(), self.photos().cloned().collect())
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
        self.by_id.len() - self.overview().hidden.len()
    }

    /// All photos, by path; of a raw file and the picture of the same shot only the picture.
    pub(crate) fn photos(&self) -> impl Iterator<Item = &Arc<Photo>> {
        let hidden = &self.overview().hidden;
        self.by_path.values().filter(|photo| !hidden.contains(&photo.id))
    }

    fn forget_overview(&mut self) {
        self.overview.take();
        self.names.take();
    }

    fn overview(&self) -> &Overview {
        self.overview.get_or_init(|| Overview::of(&self.by_path))
    }

    fn hit(&self, photo: &Arc<Photo>, similarity: Option<f32>) -> Hit {
        Hit {
            photo: Arc::clone(photo),
            raw: self.overview().raws.get(&photo.id).cloned(),
            similarity,
            same_species: None,
        }
    }

    /// The embedding of a photo of the library.
    ///
    /// # Errors
    /// When it is not in the index any more.
    pub(crate) fn embedding(&self, id: PhotoId) -> Result<Embedding, QueryError> {
        self.index.embedding(id).ok_or(QueryError::Gone)
    }

    /// All photos that the filter admits, in this order.
    pub fn browse(&self, filter: &Filter, order: Order) -> Vec<Hit> {
        let mut hits: Vec<Hit> = self.admitted(filter).map(|photo| self.hit(photo, None)).collect();
        order.sort(&mut hits);
        hits
    }

    fn admitted(&self, filter: &Filter) -> impl Iterator<Item = &Arc<Photo>> {
        let test = filter.test();
        self.photos().filter(move |photo| test.admits(photo))
    }

    /// How many photos each choice of a filter would show; see [`Counts`]. With a query, among its results only.
    pub(crate) fn counts(&self, filter: &Filter, results: Option<&[Hit]>) -> Counts {
        match results {
            Some(hits) => Counts::of(hits.iter().map(|hit| &*hit.photo), &Filter::default()),
            None => Counts::of(self.photos().map(AsRef::as_ref), filter),
        }
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
        let neighbours = if filter.is_all() {
            self.nearest(query, asked)
        } else {
            let photos: Vec<PhotoId> = self.admitted(filter).map(|photo| photo.id).collect();
            self.index.search_among(query, &photos, asked)
        };
        let others = neighbours.iter().filter(|neighbour| Some(neighbour.id) != except);
        others
            .filter_map(|neighbour| Some(self.hit(self.by_id.get(&neighbour.id)?, Some(neighbour.similarity))))
            .take(limit)
            .collect()
    }

    /// The photos most similar to an embedding, so many, or all where there are fewer.
    fn nearest(&mut self, query: &Embedding, count: usize) -> Vec<Neighbour> {
        let Overview { hidden, .. } = self.overview.get_or_init(|| Overview::of(&self.by_path));
        // Most stand right beside their pictures.
        let mut asked = count.saturating_add(count.min(hidden.len()));
        loop {
            let mut found = self.index.search(query, asked);
            let are_all = found.len() < asked;
            found.retain(|neighbour| !hidden.contains(&neighbour.id));
            if are_all || found.len() >= count {
                found.truncate(count);
                return found;
            }
            asked = asked.saturating_mul(2);
        }
    }

    /// The folders, labels and months of the library.
    pub fn facets(&self) -> Facets {
        let (mut folders, mut labels) = (HashMap::<&Path, usize>::new(), HashMap::<OsString, usize>::new());
        let Overview { hidden_in, months, undated, .. } = self.overview();
        #[expect(clippy::iter_over_hash_type, reason = "sums do not depend on the order")]
        for (folder, photos) in &self.folders {
            let photos = photos - hidden_in.get(folder).unwrap_or(&0);
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
        let months = months.iter().rev().map(|((year, month), photos)| (*year, *month, *photos)).collect();
        Facets { folders, labels, months, undated: *undated }
    }

    /// Adds queries to an evaluation: an embedding each, its label, and the photo itself where it is in the gallery
    /// and has to be left out (leave-one-out).
    pub(crate) fn evaluate(&mut self, queries: &[(Embedding, OsString, Option<PhotoId>)], evaluation: &mut Evaluation) {
        let counts = count_labels(self.photos().filter_map(|p| p.label()).map(Cow::into_owned));
        let has_pairs = !self.overview().hidden.is_empty();
        // As many as the largest class needs, and one more for the photo that is left out.
        let k = counts.values().copied().max().unwrap_or(0).max(5) + 1;
        for some in queries.chunks(256) {
            let embeddings: Vec<Embedding> = some.iter().map(|(embedding, ..)| embedding.clone()).collect();
            // The raw file of a query's own shot would be found first, and be right.
            let found = if has_pairs {
                embeddings.iter().map(|embedding| self.nearest(embedding, k)).collect()
            } else {
                self.index.search_many(&embeddings, k)
            };
            for (neighbours, (_, label, itself)) in found.into_iter().zip(some) {
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
        let photos: Vec<Arc<Photo>> = self.photos().cloned().collect();
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
    use crate::filter::Choice;
    use crate::metadata::{Days, Metadata};
    use crate::photo::ContentHash;
    use crate::random::Random;

    fn photo(id: i64, path: impl Into<PathBuf>) -> Photo {
        Photo::new(PhotoId(id), path.into(), ContentHash([0; 16]), Metadata::default())
    }

    fn gallery(photos: &[(&str, [f32; 2])]) -> Gallery {
        let mut gallery = Gallery::new(2, Metric::Cosine);
        let added = photos.iter().enumerate().map(|(number, (path, values))| {
            (photo(number as i64 + 1, path), Embedding::normalised(values.to_vec()).unwrap())
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
        let all = gallery.rank(&east(), None, &Filter::default(), None);
        assert_eq!(paths(&all), ["rose/1.jpg", "top.jpg", "rose/2.jpg", "2024/lily/2.jpg", "lily/1.jpg"]);
        let lilies = gallery.rank(&east(), None, &Filter::only(Choice::Label("lily".into())), Some(1));
        assert_eq!(paths(&lilies), ["2024/lily/2.jpg"]);
        let others = gallery.rank(&east(), Some(PhotoId(1)), &Filter::default(), Some(2));
        assert_eq!(paths(&others), ["top.jpg", "rose/2.jpg"]);
    }

    /// `cargo test --lib measure_the_answer -- --ignored --nocapture`: what a name adds to a search of 100,000 photos.
    #[test]
    #[ignore = "a measurement"]
    fn measure_the_answer() {
        let mut random = Random::new(1);
        let mut gallery = Gallery::new(256, Metric::Cosine);
        let mut embedding = || Embedding::normalised(random.normals(256)).unwrap();
        let added = (0..100_000).map(|id| (photo(id + 1, format!("species {}/{id}.jpg", id % 100)), embedding()));
        gallery.apply(Changes { added: added.collect(), removed: Vec::new() });
        let began = std::time::Instant::now();
        let names = gallery.names().count();
        eprintln!("{names} names, once: {:?}", began.elapsed());
        let calibration = gallery.reference().calibrate("model", &Cancel::default());
        eprintln!("calibrated: {:?}", began.elapsed());
        let query = embedding();
        for _ in 0..5 {
            let began = std::time::Instant::now();
            let hits = gallery.rank(&query, None, &Filter::default(), Some(100));
            let alone = began.elapsed();
            let began = std::time::Instant::now();
            let (named, near) = gallery.rank_and_name(&query, None, &Filter::default(), Some(100));
            let answer = gallery.identify(calibration.as_ref(), &[near]).unwrap();
            let both = began.elapsed();
            assert_eq!((hits.len(), named.len(), answer.candidates.is_empty()), (100, 100, false));
            eprintln!("search {alone:?}, with a name {both:?}");
        }
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
        assert!(height >= Architecture::LARGEST_INPUT_SIDE.min(250) && width > PREVIEW_SIDE, "{width} x {height}");
        assert!(pasted_picture(&RgbImage::new(0, 0)).is_err());
    }

    #[test]
    fn browses_by_folder_and_by_label() {
        let gallery = gallery(GARDEN);
        assert_eq!(gallery.browse(&Filter::default(), Order::Folder).len(), 5);
        assert_eq!(
            paths(&gallery.browse(&Filter::only(Choice::Folder("rose".into())), Order::Folder)),
            ["rose/1.jpg", "rose/2.jpg"]
        );
        assert_eq!(
            paths(&gallery.browse(&Filter::only(Choice::Label("lily".into())), Order::Folder)),
            ["2024/lily/2.jpg", "lily/1.jpg"]
        );
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
        assert_eq!(gallery.browse(&Filter::only(Choice::Label(labels[1].0.clone())), Order::Folder).len(), 2);
        let all = gallery.browse(&Filter::default(), Order::Folder);
        assert_eq!(paths(&all)[..2], ["photo 2.jpg", "photo 10.jpg"]);
        assert_eq!(gallery.facets().folders.len(), 4);
    }

    #[test]
    fn follows_changes() {
        let mut gallery = gallery(GARDEN);
        let moved = photo(9, "rose/1.jpg");
        let changes = Changes { added: vec![(moved, east())], removed: vec![PhotoId(1), PhotoId(5)] };
        gallery.apply(changes);
        assert_eq!(gallery.len(), 4);
        let hits = gallery.rank(&east(), None, &Filter::default(), Some(2));
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
            photos.push(photo(round + 1, path));
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
            let Facets { folders, labels, .. } = gallery.facets();
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

    #[test]
    fn photos_are_sorted_and_filtered_by_date() {
        let mut gallery = gallery(&[
            ("b/IMG_20240512_101530.jpg", [1.0, 0.1]),
            ("a/rose.jpg", [1.0, 0.2]),
            ("a/2023-12-31.jpg", [1.0, 0.3]),
            ("a/IMG_20240512_090000.jpg", [1.0, 0.4]),
            ("c/IMG-20240601-WA0001.jpg", [1.0, 0.5]),
        ]);
        let names = |order| -> Vec<String> {
            gallery.browse(&Filter::default(), order).iter().map(|hit| hit.photo.file_name()).collect()
        };
        let newest = [
            "IMG-20240601-WA0001.jpg",
            "IMG_20240512_101530.jpg",
            "IMG_20240512_090000.jpg",
            "2023-12-31.jpg",
            "rose.jpg",
        ];
        assert_eq!(names(Order::NewestFirst), newest);
        let oldest: Vec<&str> = newest[..4].iter().rev().chain(&newest[4..]).copied().collect();
        assert_eq!(names(Order::OldestFirst), oldest);
        let facets = gallery.facets();
        assert_eq!((facets.months, facets.undated), (vec![(2024, 6, 1), (2024, 5, 2), (2023, 12, 1)], 1));
        let of = |filter: &Filter| gallery.browse(filter, Order::Folder).len();
        let may = Filter::only(Choice::Days(Days::of(2024, Some(5)).unwrap()));
        assert_eq!(
            [
                of(&may),
                of(&Filter::only(Choice::Days(Days::of(2024, None).unwrap()))),
                of(&Filter::only(Choice::Undated))
            ],
            [2, 3, 1]
        );
        assert_eq!(gallery.rank(&east(), None, &may, None).len(), 2);

        // What is found out later counts as well.
        let rose = Arc::clone(&gallery.browse(&Filter::only(Choice::Undated), Order::Folder)[0].photo);
        let metadata = Metadata { taken: Taken::from_iso("2024-05-13"), ..Metadata::default() };
        gallery.describe(vec![Photo { metadata, ..(*rose).clone() }]);
        assert_eq!(gallery.browse(&may, Order::NewestFirst)[0].photo.id, rose.id);
        assert_eq!((gallery.facets().months[1], gallery.facets().undated), ((2024, 5, 3), 0));
    }

    #[test]
    fn a_raw_file_and_its_picture_are_one_photo() {
        let mut gallery = gallery(&[
            ("rose/1.NEF", [1.0, 0.0]),
            ("rose/1.jpg", [1.0, 0.01]),
            ("rose/2.cr3", [1.0, 0.02]),
            ("rose/2.JPG", [1.0, 0.03]),
            ("rose/3.dng", [1.0, 0.04]),
            ("lily/1.jpg", [0.0, 1.0]),
        ]);
        assert_eq!(gallery.len(), 4);
        let shown = ["lily/1.jpg", "rose/1.jpg", "rose/2.JPG", "rose/3.dng"];
        let hits = gallery.browse(&Filter::default(), Order::Folder);
        assert_eq!(paths(&hits), shown);
        let raws: Vec<_> = hits.iter().map(|hit| hit.raw.as_ref().map(|raw| raw.file_name())).collect();
        assert_eq!(raws, [None, Some("1.NEF".into()), Some("2.cr3".into()), None]);
        for limit in [Some(1), Some(2), Some(3), None] {
            let hits = gallery.rank(&east(), None, &Filter::default(), limit);
            let wanted = ["rose/1.jpg", "rose/2.JPG", "rose/3.dng", "lily/1.jpg"];
            assert_eq!(paths(&hits), wanted[..limit.unwrap_or(4)]);
            assert!(hits[0].raw.is_some());
        }
        assert_eq!(
            paths(&gallery.rank(&east(), None, &Filter::only(Choice::Folder("rose".into())), Some(9))),
            ["rose/1.jpg", "rose/2.JPG", "rose/3.dng"]
        );
        let facets = gallery.facets();
        assert_eq!((facets.labels, facets.undated), (vec![("lily".into(), 1), ("rose".into(), 3)], 4));

        // Recall is not flattered by the other half of a pair.
        let mut evaluation = Evaluation::default();
        gallery.evaluate_leave_one_out(&mut evaluation).unwrap();
        let quality = evaluation.quality();
        assert_eq!((quality.queries, quality.lone, quality.recall_at_1), (3, 1, 1.0));

        // Without its picture the raw file is a photo of its own.
        gallery.apply(Changes { removed: vec![PhotoId(2)], ..Changes::default() });
        assert_eq!(
            paths(&gallery.browse(&Filter::default(), Order::Folder)),
            ["lily/1.jpg", "rose/1.NEF", "rose/2.JPG", "rose/3.dng"]
        );
    }
}

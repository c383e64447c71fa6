//! Which photos are held out of a training, to evaluate its result on.
//!
//! What is held out follows from hashes of the names and contents alone, so that two trainings on the same folder, and a
//! training that is resumed, hold out the same photos. Photos of one shot (bursts, copies) stay on one side.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use tch::Tensor;

use super::dataset::{Dataset, MIN_CLASSES, MIN_PHOTOS_PER_CLASS};
use super::hyperparameters::MIN_QUERIES;
use super::views;
use crate::artefact::{NotMeasured, Recipe};
use crate::catalog::{Catalog, CatalogError, ModelKey};
use crate::model::ModelError;
use crate::names::PathKey;
use crate::photo::{ContentHash, Photo};
use crate::train::progress::LabelPreview;

/// Photos of a species that are more similar than this count as one shot. Bursts of one flower lie above 0.95, other
/// photos of the same species mostly below 0.9.
pub(crate) const SAME_SHOT: f64 = 0.95;
/// Whole species are held out where there are at least this many.
const MIN_CLASSES_FOR_UNSEEN: usize = 10;
/// A head learns from all photos at last, so that a fifth can be held out before.
const FOLDS: usize = 5;
/// Smaller folders are measured by cross-validation over all folds: one would hold too few queries.
const CROSS_VALIDATE_BELOW: usize = 1000;
/// A network does not learn from what is held out: as little is held out of it as can be measured with.
const NETWORK_HOLDS_OUT: usize = 300;
const MAX_NETWORK_FOLDS: usize = 20;
/// Photos of a species that are compared at a time, and the further ones that each of them is compared with.
const SHOT_CHUNK: usize = 512;
const SHOT_WINDOW: usize = 1024;
/// Photos whose features are looked at before a training at most. Among more there are hardly too few shots.
const PREVIEWED: usize = 2000;

/// How photos are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    /// Parts that the photos fall into.
    pub(crate) folds: usize,
    /// So many of the parts are held out, one after the other: cross-validation where it is more than one.
    pub(crate) rounds: usize,
    /// Photos of a species that remain to learn from, whatever is held out.
    pub(crate) keep: usize,
}

impl Scheme {
    /// Of a recipe, on so many photos.
    pub(crate) fn of(recipe: Recipe, photos: usize) -> Self {
        match recipe {
            Recipe::Quick => {
                Self { folds: FOLDS, rounds: if photos < CROSS_VALIDATE_BELOW { FOLDS } else { 1 }, keep: 1 }
            }
            // A network learns from pairs: a single photo of a species would teach it nothing.
            Recipe::Full | Recipe::Tutorial => Self {
                folds: (photos / NETWORK_HOLDS_OUT).clamp(FOLDS, MAX_NETWORK_FOLDS),
                rounds: 1,
                keep: MIN_PHOTOS_PER_CLASS,
            },
        }
    }

    /// Whether a round holds out a whole species, by its place among all species.
    fn holds_out_class(self, round: usize, rank: usize, classes: usize) -> bool {
        classes >= MIN_CLASSES_FOR_UNSEEN && rank % self.folds == round
    }

    /// The shots of a species that a round holds out, given how many photos each shot has.
    fn held_out_shots(self, round: usize, shots: &[usize]) -> Vec<usize> {
        let mut left: usize = shots.iter().sum();
        let mut held_out = Vec::new();
        for shot in (round..shots.len()).step_by(self.folds) {
            if left >= self.keep + shots[shot] {
                left -= shots[shot];
                held_out.push(shot);
            }
        }
        held_out
    }

    /// Queries that all rounds together ask of species that were learnt from, for the species at a place among all.
    fn seen_queries(self, rank: usize, classes: usize, shots: &[usize]) -> usize {
        let rounds = (0..self.rounds).filter(|round| !self.holds_out_class(*round, rank, classes));
        rounds.flat_map(|round| self.held_out_shots(round, shots)).map(|shot| shots[shot]).sum()
    }

    /// And of species that were not.
    fn unseen_queries(self, sizes: &[usize]) -> usize {
        let times = |rank| (0..self.rounds).filter(|round| self.holds_out_class(*round, rank, sizes.len())).count();
        sizes.iter().enumerate().map(|(rank, photos)| times(rank) * photos).sum()
    }

    /// Why the result could not be measured, given the number of photos of each species; `None` where it could be if
    /// they all were different shots.
    fn too_few(self, sizes: &[usize]) -> Option<NotMeasured> {
        let seen = |(rank, photos): (usize, &usize)| self.seen_queries(rank, sizes.len(), &vec![1; *photos]);
        let seen: usize = sizes.iter().enumerate().map(seen).sum();
        (seen.max(self.unseen_queries(sizes)) < MIN_QUERIES).then_some(NotMeasured::TooFewPhotos)
    }
}

/// Photos as positions in a [`Dataset`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// What the model may learn from; also what the queries of `seen` are searched among.
    pub(crate) learn: Vec<usize>,
    /// Queries: photos of species that are learnt from.
    pub(crate) seen: Vec<usize>,
    /// Photos of species that are held out whole; each is searched among the others.
    pub(crate) unseen: Vec<usize>,
}

/// A data set as it is split.
#[derive(Debug)]
pub(crate) struct HoldOut {
    scheme: Scheme,
    /// The shots of each species, in an order that follows from names and contents.
    classes: Vec<Vec<Vec<usize>>>,
    unlabelled: Vec<usize>,
}

impl HoldOut {
    /// Finds the shots of a data set.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn new(data: &Dataset, scheme: Scheme) -> Result<Self, ModelError> {
        let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); data.classes.len()];
        let mut unlabelled = Vec::new();
        for (position, label) in data.labels.iter().enumerate() {
            match usize::try_from(*label) {
                Ok(class) => by_class[class].push(position),
                Err(_) => unlabelled.push(position),
            }
        }
        let names: Vec<&str> = data.classes.iter().map(String::as_str).collect();
        let order = ranked(&names);
        let classes = order.into_iter().map(|class| shots_of(data, &by_class[class])).collect::<Result<_, _>>()?;
        Ok(Self { scheme, classes, unlabelled })
    }

    /// A split for each round: of every fold in its turn the species, and of the other species the shots, are held out.
    /// Over all folds every photo is held out once as seen, and once as unseen where there are enough species for that.
    pub(crate) fn splits(&self) -> Vec<Split> {
        (0..self.scheme.rounds).map(|round| self.split(round)).collect()
    }

    /// The only split where there is one round.
    pub(crate) fn first_split(&self) -> Split {
        self.split(0)
    }

    fn split(&self, round: usize) -> Split {
        let mut split = Split { learn: self.unlabelled.clone(), ..Split::default() };
        for (rank, shots) in self.classes.iter().enumerate() {
            if self.scheme.holds_out_class(round, rank, self.classes.len()) {
                split.unseen.extend(shots.iter().flatten());
                continue;
            }
            let held_out = self.scheme.held_out_shots(round, &sizes_of(shots));
            for (number, shot) in shots.iter().enumerate() {
                if held_out.contains(&number) { &mut split.seen } else { &mut split.learn }.extend(shot);
            }
        }
        for side in [&mut split.learn, &mut split.seen, &mut split.unseen] {
            side.sort_unstable();
        }
        split
    }

    /// Why nothing can be measured with what is held out, where that is so.
    pub(crate) fn not_measured(&self) -> Option<NotMeasured> {
        let sizes: Vec<usize> = self.classes.iter().map(|shots| sizes_of(shots).iter().sum()).collect();
        if sizes.is_empty() {
            return views::too_few(self.unlabelled.len());
        }
        let mut seen = Shots::new(self.scheme, &sizes);
        self.classes.iter().for_each(|shots| seen.add(&sizes_of(shots)));
        seen.not_measured().map(|by_shots| by_shots.or_too_few(self.scheme, &sizes))
    }
}

/// Counts the queries of one species after the other, in the order of [`ranked`].
struct Shots {
    scheme: Scheme,
    classes: usize,
    unseen: usize,
    seen: usize,
    /// Species so far, and those of a single shot.
    counted: usize,
    single: usize,
}

impl Shots {
    fn new(scheme: Scheme, sizes: &[usize]) -> Self {
        let unseen = scheme.unseen_queries(sizes);
        Self { scheme, classes: sizes.len(), unseen, seen: 0, counted: 0, single: 0 }
    }

    fn add(&mut self, shots: &[usize]) {
        self.seen += self.scheme.seen_queries(self.counted, self.classes, shots);
        self.counted += 1;
        self.single += usize::from(shots.len() == 1);
    }

    fn is_enough(&self) -> bool {
        self.seen.max(self.unseen) >= MIN_QUERIES
    }

    fn not_measured(&self) -> Option<NotMeasured> {
        let reason =
            if self.single == self.classes { NotMeasured::OneShotPerSpecies } else { NotMeasured::TooFewShots };
        (!self.is_enough()).then_some(reason)
    }
}

impl NotMeasured {
    /// Bursts are the reason that helps most; few different shots are only where there would be enough photos.
    fn or_too_few(self, scheme: Scheme, sizes: &[usize]) -> Self {
        if self == Self::OneShotPerSpecies { self } else { scheme.too_few(sizes).unwrap_or(self) }
    }
}

/// What a training would learn from, whatever model is in use; and whether its result could be measured, by the features
/// of a backbone where they are in the catalog.
///
/// # Errors
/// When the catalog cannot be read.
pub(crate) fn preview<'a>(
    photos: impl Iterator<Item = &'a Photo> + Clone,
    problems: usize,
    catalog: &Catalog,
    backbone: &str,
) -> Result<LabelPreview, CatalogError> {
    let unlabelled = photos.clone().filter(|photo| photo.label().is_none()).count();
    let mut contents: BTreeMap<String, Vec<ContentHash>> = BTreeMap::new();
    for photo in photos {
        if let Some(label) = photo.label() {
            contents.entry(label.to_string_lossy().into_owned()).or_default().push(photo.content);
        }
    }
    let mut classes: Vec<(String, usize)> =
        contents.iter().map(|(name, photos)| (name.clone(), photos.len())).collect();
    classes.sort_by_cached_key(|(name, _)| PathKey::from(Path::new(name)));
    let all = unlabelled + classes.iter().map(|(_, photos)| photos).sum::<usize>();
    contents.retain(|_, photos| photos.len() >= MIN_PHOTOS_PER_CLASS);
    let preview = LabelPreview { classes, unlabelled, problems, ..LabelPreview::default() };
    if contents.len() < MIN_CLASSES {
        return Ok(LabelPreview { quick: views::too_few(all), ..preview });
    }
    let names: Vec<&str> = contents.keys().map(String::as_str).collect();
    let contents: Vec<&[ContentHash]> = ranked(&names).into_iter().map(|class| &*contents[names[class]]).collect();
    let sizes: Vec<usize> = contents.iter().map(|photos| photos.len()).collect();
    let schemes = [Recipe::Quick, Recipe::Full].map(|recipe| Scheme::of(recipe, all));
    let mut seen = schemes.map(|scheme| Shots::new(scheme, &sizes));
    let mut looked_at = 0;
    for photos in contents {
        looked_at += photos.len();
        if looked_at > PREVIEWED || seen.iter().all(Shots::is_enough) {
            break;
        }
        let shots = shots_in_catalog(catalog, backbone, photos)?;
        seen.iter_mut().for_each(|seen| seen.add(&shots));
    }
    let reason = |(scheme, seen): (&Scheme, &Shots)| {
        if looked_at > PREVIEWED {
            return scheme.too_few(&sizes);
        }
        seen.not_measured().map(|by_shots| by_shots.or_too_few(*scheme, &sizes))
    };
    let [quick, network] = [0, 1].map(|number| reason((&schemes[number], &seen[number])));
    Ok(LabelPreview { quick, network, ..preview })
}

/// How many photos each shot of a species has. What the catalog has no features of counts as a shot of its own.
fn shots_in_catalog(catalog: &Catalog, backbone: &str, photos: &[ContentHash]) -> Result<Vec<usize>, CatalogError> {
    let (mut values, mut known) = (Vec::new(), 0);
    for content in photos {
        if let Some(features) = catalog.embedding_of(*content, ModelKey::features(backbone))? {
            values.extend_from_slice(features.values());
            known += 1;
        }
    }
    let features = Tensor::f_from_slice(&values).and_then(|flat| flat.f_view([known as i64, -1]));
    let shots = features.map_err(ModelError::from).and_then(|features| {
        group_shots(known, &|rows| Ok(features.f_narrow(0, rows.start as i64, rows.len() as i64)?))
    });
    // That there are fewer shots than photos is only a warning more.
    let shots = shots.inspect_err(|error| log::warn!("{error}")).unwrap_or_default();
    Ok(sizes_of(&shots).into_iter().chain(std::iter::repeat_n(1, photos.len() - known)).collect())
}

/// Species by a hash of their names: their order does not depend on how they are called.
fn ranked(names: &[&str]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|class| ContentHash::of(names[*class].as_bytes()).0);
    order
}

fn sizes_of(shots: &[Vec<usize>]) -> Vec<usize> {
    shots.iter().map(Vec::len).collect()
}

/// The photos of one species by shots; the shots in an order that follows from their contents.
fn shots_of(data: &Dataset, photos: &[usize]) -> Result<Vec<Vec<usize>>, ModelError> {
    let groups = group_shots(photos.len(), &|rows| data.features_of(&photos[rows]))?;
    let mut shots: Vec<Vec<usize>> =
        groups.into_iter().map(|shot| shot.into_iter().map(|number| photos[number]).collect()).collect();
    let hash = |shot: &[usize]| shot.iter().map(|photo| data.photos[*photo].content.0).min();
    shots.sort_by_cached_key(|shot| hash(shot));
    Ok(shots)
}

/// Groups photos by shots, given the features of a range of them. Bursts lie next to each other in the order of paths:
/// photos of a very large species are compared with the next [`SHOT_WINDOW`] only.
fn group_shots(
    count: usize,
    features: &dyn Fn(Range<usize>) -> Result<Tensor, ModelError>,
) -> Result<Vec<Vec<usize>>, ModelError> {
    let mut groups = Groups::new(count);
    for start in (0..count).step_by(SHOT_CHUNK) {
        let chunk = features(start..(start + SHOT_CHUNK).min(count))?;
        let window = features(start..(start + SHOT_CHUNK + SHOT_WINDOW).min(count))?;
        let similar = chunk.f_matmul(&window.f_transpose(0, 1)?)?;
        let pairs = Vec::<i64>::try_from(similar.f_ge(SAME_SHOT)?.f_nonzero()?.f_reshape([-1])?)?;
        for pair in pairs.chunks_exact(2) {
            groups.join(start + pair[0] as usize, start + pair[1] as usize);
        }
    }
    let mut shots: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in 0..count {
        shots.entry(groups.find(number)).or_default().push(number);
    }
    Ok(shots.into_values().collect())
}

/// Numbers that belong together, directly or by way of others (Galler and Fischer 1964, "An Improved Equivalence
/// Algorithm").
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The smallest number of the group.
    fn find(&mut self, mut number: usize) -> usize {
        while self.0[number] != number {
            self.0[number] = self.0[self.0[number]];
            number = self.0[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{FileStamp, NewPhoto};
    use crate::metadata::Metadata;
    use crate::photo::{Embedded, Embedding, PhotoId};

    /// `classes` classes of `photos` photos each, in random directions; the first two photos of a class are one shot.
    fn dataset(classes: usize, photos: usize) -> Dataset {
        let (mut all, mut labels) = (Vec::new(), Vec::new());
        for class in 0..classes {
            for number in 0..photos {
                let path = format!("c{class:03}/{number}.jpg");
                let content = ContentHash::of(path.as_bytes());
                all.push(Arc::new(Photo::new(
                    PhotoId(all.len() as i64 + 1),
                    path.into(),
                    content,
                    Metadata::default(),
                )));
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

    /// Cross-validation, as of a head.
    fn splits(data: &Dataset) -> Vec<Split> {
        HoldOut::new(data, Scheme { folds: 5, rounds: 5, keep: 1 }).unwrap().splits()
    }

    #[test]
    fn sides_share_no_photo_no_shot_and_unseen_classes_are_whole() {
        let data = dataset(12, 6);
        let mut seen_once = HashSet::new();
        let mut unseen_once = HashSet::new();
        for split in splits(&data) {
            let learn: HashSet<_> = split.learn.iter().collect();
            assert_eq!(learn.len() + split.seen.len() + split.unseen.len(), data.photos.len());
            let learnt: HashSet<_> = split.learn.iter().map(|p| data.labels[*p]).collect();
            assert!(split.seen.iter().all(|p| learnt.contains(&data.labels[*p])));
            assert!(split.unseen.iter().all(|p| !learnt.contains(&data.labels[*p])));
            for class in 0..12 {
                let (first, second) = (class * 6, class * 6 + 1);
                assert_eq!(split.seen.contains(&first), split.seen.contains(&second), "one shot on both sides");
            }
            seen_once.extend(split.seen);
            unseen_once.extend(split.unseen);
        }
        assert_eq!(splits(&data), splits(&data));
        assert_eq!(unseen_once.len(), data.photos.len());
        assert!(seen_once.len() > data.photos.len() / 2);
    }

    #[test]
    fn few_classes_are_not_held_out_and_something_remains_to_be_found() {
        for split in splits(&dataset(3, 2)) {
            assert!(split.unseen.is_empty());
            // Both photos of each class are one shot.
            assert_eq!(split.learn.len(), 6);
        }
    }

    #[test]
    fn a_network_always_keeps_pairs_to_learn_from() {
        for (classes, photos) in [(5, 2), (5, 3), (12, 2), (12, 4)] {
            let mut data = dataset(classes, photos);
            data.features = Tensor::eye(data.photos.len() as i64, (tch::Kind::Float, tch::Device::Cpu));
            let split = &HoldOut::new(&data, Scheme::of(Recipe::Full, data.photos.len())).unwrap().splits()[0];
            let mut left = vec![0; classes];
            split.learn.iter().for_each(|position| left[data.labels[*position] as usize] += 1);
            assert!(left.iter().all(|photos| *photos != 1), "{classes} x {photos}: {left:?}");
            assert_eq!(split.seen.is_empty(), photos == 2, "{classes} x {photos}");
        }
    }

    #[test]
    fn why_nothing_can_be_measured_is_known_before() {
        let reason =
            |data: &Dataset, recipe| HoldOut::new(data, Scheme::of(recipe, data.photos.len())).unwrap().not_measured();
        assert_eq!(reason(&dataset(5, 3), Recipe::Quick), Some(NotMeasured::TooFewPhotos));
        assert_eq!(reason(&dataset(5, 3), Recipe::Full), Some(NotMeasured::TooFewPhotos));
        // Both photos of each species are one shot.
        assert_eq!(reason(&dataset(5, 2), Recipe::Full), Some(NotMeasured::OneShotPerSpecies));
        assert_eq!(reason(&dataset(5, 6), Recipe::Quick), None);
        // Four fifths of a network's photos are learnt from.
        assert_eq!(reason(&dataset(5, 6), Recipe::Full), Some(NotMeasured::TooFewPhotos));
        assert_eq!(reason(&dataset(5, 40), Recipe::Full), None);
        let mut bursts = dataset(4, 15);
        let species = |position: i64| bursts.features.get(position / 15 * 15);
        bursts.features = Tensor::stack(&(0..60).map(species).collect::<Vec<_>>(), 0);
        assert_eq!(reason(&bursts, Recipe::Quick), Some(NotMeasured::OneShotPerSpecies));
        // A photo of one species is another shot.
        let other = -bursts.features.get(3);
        bursts.features.get(3).copy_(&other);
        assert_eq!(reason(&bursts, Recipe::Quick), Some(NotMeasured::TooFewShots));
        let unlabelled = Dataset { labels: vec![-1; 12], classes: Vec::new(), ..dataset(6, 2) };
        assert_eq!(reason(&unlabelled, Recipe::Quick), Some(NotMeasured::TooFewPhotos));
    }

    #[test]
    fn bursts_are_known_before_a_training_by_the_features_in_the_catalog() {
        let key = ModelKey::features("backbone");
        let preview_of = |shots: usize, backbone: &str| {
            let folder = tempfile::tempdir().unwrap();
            let mut catalog = Catalog::open(folder.path()).unwrap();
            let photo = |number: usize| {
                let mut values = vec![0.0; 64];
                values[number / 12 * 12 + number % 12 % shots] = 1.0;
                NewPhoto {
                    path: format!("s{}/{number}.jpg", number / 12).into(),
                    stamp: FileStamp { size: 1, modified: 1, changed: None },
                    content: ContentHash::of(&number.to_le_bytes()),
                    embedded: Embedded { embedding: Embedding::normalised(values).unwrap(), features: None },
                    thumbnail: None,
                    damage: None,
                    metadata: Metadata::default(),
                }
            };
            catalog.write(key, (0..48).map(photo).collect(), &[]).unwrap();
            let photos = catalog.photos_after(PhotoId(0), 100, key).unwrap();
            let preview = preview(photos.iter().map(|(photo, _)| photo), 0, &catalog, backbone).unwrap();
            (preview.quick, preview.network)
        };
        let too_few = Some(NotMeasured::TooFewPhotos);
        let bursts = Some(NotMeasured::OneShotPerSpecies);
        assert_eq!(preview_of(1, "backbone"), (bursts, bursts));
        assert_eq!(preview_of(12, "backbone"), (None, too_few));
        // Nothing is known of another backbone's features.
        assert_eq!(preview_of(1, "another"), (None, too_few));
    }

    #[test]
    fn bursts_in_a_large_class_are_found_in_sane_time() {
        let data = dataset(1, 6000);
        let first = data.features.get(700);
        // Across the border of two chunks, and by way of another photo.
        for other in [1100, 1600] {
            data.features.get(other).copy_(&first);
        }
        let shots = shots_of(&data, &(0..6000).collect::<Vec<_>>()).unwrap();
        assert!(shots.contains(&vec![700, 1100, 1600]) && shots.contains(&vec![0, 1]));
        assert_eq!(shots.len(), 6000 - 3);
    }

    #[test]
    fn two_thousand_classes_are_split_like_few() {
        let data = dataset(2000, 3);
        let split = &splits(&data)[0];
        assert_eq!(split.unseen.len(), 400 * 3);
        assert_eq!(split.learn.len() + split.seen.len() + split.unseen.len(), data.photos.len());
        assert!(!split.seen.is_empty());
    }

    #[test]
    fn a_class_with_one_photo_keeps_it_to_learn_from() {
        let mut data = dataset(3, 2);
        // What `load` does with the photo of a class that is too small.
        data.labels[5] = -1;
        assert!(splits(&data)[0].learn.contains(&5));
    }
}

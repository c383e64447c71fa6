//! What is it? The name that the nearest photos of a library give to a photo, how likely that is right, and whether the
//! library has anything like it at all.
//!
//! ```text
//! neighbours of the query -> vote -> names and their shares
//!                                 -> calibration (measured on the library itself) -> probability, or "nothing like it"
//! ```
//!
//! Names are those of the folders that photos lie in, as far as they may be names of plants ([`names`]). The vote is that
//! of [`poll`]; how far to trust it follows from a [`Calibration`], which the library's owner measures in the
//! background and keeps. [`measure`] tells how good the answers are.

mod calibration;
mod closeness;
mod logistic;
pub(crate) mod measure;
mod names;
mod vote;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

pub(crate) use self::calibration::Calibration;
pub(crate) use self::closeness::Closeness;
pub(crate) use self::names::Names;
use self::vote::{NEIGHBOURS, Neighbour, poll};
use crate::index::{self, Index};
use crate::job::Cancel;
use crate::photo::{Embedding, Photo, PhotoId};

/// Neighbours that an answer is made from, the most that are of use.
pub(crate) const ENOUGH: usize = 2 * NEIGHBOURS;
/// A name is given where it is right at least so often.
const SURE: f64 = 0.8;
/// Seconds between two photos of one shot.
const BURST_SECONDS: f64 = 10.0;

/// A photo that was found, and how similar it is to the query.
pub(crate) type Found = (PhotoId, f32);

/// An answer to "what is it?".
#[derive(Clone, Debug, PartialEq)]
pub struct Identification {
    pub(crate) verdict: Verdict,
    /// All names that were voted for, the likeliest first.
    pub(crate) candidates: Vec<Candidate>,
    /// How likely the first of them is right, given that the library has the species; `None` where that is not measured.
    pub(crate) probability: Option<f64>,
    /// How likely the library has the species at all.
    pub(crate) known: Option<f64>,
}

impl Identification {
    /// How likely the query is of this name; `None` where that is not measured.
    pub(crate) fn probability_of(&self, name: &OsStr) -> Option<f64> {
        let probability = self.probability?;
        let (first, others) = self.candidates.split_first()?;
        let given_known = if first.name == name {
            probability
        } else {
            // What is left is shared out as the votes are.
            let share = others.iter().find(|candidate| candidate.name == name).map_or(0.0, |candidate| candidate.share);
            (1.0 - probability) * share / (1.0 - first.share).max(f64::EPSILON)
        };
        Some(given_known * self.presence())
    }

    /// How likely the library has the species, where that is in doubt; 1 elsewhere.
    fn presence(&self) -> f64 {
        if self.verdict == Verdict::NothingLikeIt { self.known.unwrap_or(1.0) } else { 1.0 }
    }

    /// How likely a photo is of the query's species: by its name, or where it has none by how similar it is.
    pub(crate) fn same_species(&self, calibration: &Calibration, photo: &Photo, similarity: f32) -> Option<f64> {
        match photo.label().filter(|label| names::is_name(label)) {
            Some(label) => self.probability_of(&label),
            None => Some(calibration.same_species(similarity)? * self.presence()),
        }
    }
}

/// What can be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is the first of the candidates, with the probability given there.
    Named,
    /// Of which species is not sure enough, but of which genus or folder of species.
    Group { name: OsString, probability: f64 },
    /// Perhaps the first of the candidates.
    Unsure,
    /// The library has nothing like it.
    NothingLikeIt,
    /// There are names, but too few photos that carry them to know how far to trust the vote.
    Unmeasured,
}

/// A name that was voted for.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub(crate) name: OsString,
    /// Of the votes, 0 to 1.
    pub(crate) share: f64,
    /// The most similar of its photos.
    pub(crate) photo: Arc<Photo>,
}

/// The photos of a library that have names, as they were at some moment: for threads of their own.
pub(crate) struct Reference {
    index: Index,
    /// By path.
    photos: Vec<Arc<Photo>>,
    by_id: HashMap<PhotoId, usize>,
    names: Arc<Names>,
}

impl Reference {
    /// Of an index, the photos in it by path, and their names.
    pub(crate) fn new<'a>(index: Index, photos: impl Iterator<Item = &'a Arc<Photo>>, names: Arc<Names>) -> Self {
        let photos: Vec<Arc<Photo>> = photos.filter(|photo| names.species_of(photo.id).is_some()).cloned().collect();
        let by_id = photos.iter().enumerate().map(|(at, photo)| (photo.id, at)).collect();
        Self { index, photos, by_id, names }
    }

    /// Only the photos of species for which this holds, in an index of their own.
    pub(crate) fn only(&self, is_wanted: impl Fn(u32) -> bool) -> Self {
        let is_wanted = |photo: &&Arc<Photo>| self.names.species_of(photo.id).is_some_and(&is_wanted);
        let photos: Vec<&Arc<Photo>> = self.photos.iter().filter(is_wanted).collect();
        let mut index = self.index.empty();
        for photo in &photos {
            if let Some(embedding) = self.index.embedding(photo.id) {
                index.add(photo.id, &(&embedding).into());
            }
        }
        let names = Arc::new(Names::of(photos.iter().copied()));
        Self::new(index, photos.into_iter(), names)
    }

    /// What their names are.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// How far answers can be trusted; see [`Calibration`]. `None` after a stop, or where there are too few photos.
    pub(crate) fn calibrate(&self, model: &str, cancel: &Cancel) -> Option<Calibration> {
        let photos: Vec<&Photo> = self.photos.iter().map(AsRef::as_ref).collect();
        self.with(None, |around| Calibration::measure(around, &photos, model, cancel))
    }

    /// What is near to embeddings, without the photos of the same shot where one is a photo of the library.
    pub(crate) fn near(
        &self,
        queries: &[(&Embedding, Option<PhotoId>)],
        calibration: Option<&Calibration>,
    ) -> Vec<Vec<Found>> {
        let embeddings: Vec<Embedding> = queries.iter().map(|(embedding, _)| (*embedding).clone()).collect();
        let found = self.index.search_many(&embeddings, ENOUGH);
        self.with(calibration, |around| {
            let others = |(found, (_, itself)): (Vec<index::Neighbour>, &(&Embedding, Option<PhotoId>))| {
                let itself = itself.and_then(|id| (around.photo_of)(id));
                let found = found.into_iter().map(|neighbour| (neighbour.id, neighbour.similarity));
                found.filter(|found| !itself.is_some_and(|photo| around.is_of_shot(photo, *found))).collect()
            };
            found.into_iter().zip(queries).map(others).collect()
        })
    }

    /// Names what several photos of one plant show; see [`identify()`].
    pub(crate) fn identify(&self, calibration: Option<&Calibration>, queries: &[Vec<Found>]) -> Option<Identification> {
        self.with(calibration, |around| identify(around, calibration, queries))
    }

    fn with<T>(&self, calibration: Option<&Calibration>, work: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let photo_of = |id: PhotoId| self.by_id.get(&id).map(|at| &*self.photos[*at]);
        work(&Surroundings::new(&self.index, &photo_of, &self.names, calibration))
    }
}

/// A library's photos and names, as an answer needs them.
pub(crate) struct Surroundings<'a> {
    index: &'a Index,
    photo_of: &'a dyn Fn(PhotoId) -> Option<&'a Photo>,
    names: &'a Names,
    /// Photos of one species that are at least this similar are of one shot.
    same_shot: f64,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn new(
        index: &'a Index,
        photo_of: &'a dyn Fn(PhotoId) -> Option<&'a Photo>,
        names: &'a Names,
        calibration: Option<&Calibration>,
    ) -> Self {
        let same_shot = calibration.map_or(calibration::SAME_SHOT, |calibration| calibration.same_shot);
        Self { index, photo_of, names, same_shot }
    }

    /// Those of the photos that have a name, each shot once, the most similar first.
    fn named(&self, found: &[Found]) -> Vec<Neighbour> {
        let mut kept: Vec<(PhotoId, Neighbour)> = Vec::new();
        for (id, similarity) in found {
            let Some(class) = self.names.species_of(*id) else { continue };
            let is_there = kept.iter().any(|(other, there)| there.class == class && self.are_same_shot(*id, *other));
            if !is_there {
                kept.push((*id, Neighbour { class, similarity: f64::from(*similarity) }));
            }
            if kept.len() == NEIGHBOURS {
                break;
            }
        }
        kept.into_iter().map(|(_, neighbour)| neighbour).collect()
    }

    fn are_same_shot(&self, one: PhotoId, other: PhotoId) -> bool {
        let Some((first, second)) = (self.photo_of)(one).zip((self.photo_of)(other)) else { return false };
        first.content == second.content || taken_together(first, second)
    }

    /// Also a photo itself.
    fn is_of_shot(&self, photo: &Photo, found: Found) -> bool {
        let is_of_class = || self.names.species_of(photo.id) == self.names.species_of(found.0);
        photo.id == found.0 || (is_of_class() && self.is_same_shot(photo, found))
    }

    fn is_same_shot(&self, photo: &Photo, (id, similarity): Found) -> bool {
        f64::from(similarity) >= self.same_shot || self.is_burst(photo, id)
    }

    fn is_burst(&self, photo: &Photo, other: PhotoId) -> bool {
        (self.photo_of)(other).is_some_and(|other| taken_together(photo, other))
    }
}

/// Whether two photos were taken within seconds.
fn taken_together(one: &Photo, other: &Photo) -> bool {
    let moment = |photo: &Photo| photo.metadata.taken.and_then(|taken| Some((taken.date, taken.time?)));
    match (moment(one), moment(other)) {
        (Some((day, time)), Some((other_day, other_time))) => {
            day == other_day && (time - other_time).as_seconds_f64().abs() <= BURST_SECONDS
        }
        _ => false,
    }
}

/// Names what several photos of one plant show, from what each of them is near to. `None` where nothing near has a name.
pub(crate) fn identify(
    around: &Surroundings<'_>,
    calibration: Option<&Calibration>,
    queries: &[Vec<Found>],
) -> Option<Identification> {
    let names = around.names;
    let near: Vec<Vec<Neighbour>> = queries.iter().map(|found| around.named(found)).collect();
    let shares = poll(&near, &names.species.sizes);
    shares.first()?;
    let candidates = candidates(around, &shares, queries);
    let Some(calibration) = calibration else {
        return Some(Identification { verdict: Verdict::Unmeasured, candidates, probability: None, known: None });
    };
    let (_, case) = calibration.species.case(&names.species, &near, &shares)?;
    let (probability, known) = (calibration.species.probability(&case), calibration.known(&case));
    let verdict = if known < calibration.refused_below {
        Verdict::NothingLikeIt
    } else if probability >= SURE {
        Verdict::Named
    } else {
        group(names, calibration, &near).unwrap_or(Verdict::Unsure)
    };
    Some(Identification { verdict, candidates, probability: Some(probability), known: Some(known) })
}

/// The genus, or folder of species, that is sure enough.
fn group(names: &Names, calibration: &Calibration, near: &[Vec<Neighbour>]) -> Option<Verdict> {
    let rank = calibration.groups.as_ref()?;
    let of_group = |n: &Neighbour| Neighbour { class: names.group_of[n.class as usize], ..*n };
    let near: Vec<Vec<Neighbour>> = near.iter().map(|near| near.iter().map(of_group).collect()).collect();
    let (best, case) = rank.case(&names.groups, &near, &poll(&near, &names.groups.sizes))?;
    let (name, probability) = (&names.groups.names[best as usize], rank.probability(&case));
    let members = names.group_of.iter().filter(|group| **group == best).count();
    (probability >= SURE && members > 1).then(|| Verdict::Group { name: name.clone(), probability })
}

fn candidates(around: &Surroundings<'_>, shares: &[(u32, f64)], queries: &[Vec<Found>]) -> Vec<Candidate> {
    let nearest = |class: u32| {
        let found = queries.iter().flatten().filter(|(id, _)| around.names.species_of(*id) == Some(class));
        found.max_by(|one, other| one.1.total_cmp(&other.1)).and_then(|(id, _)| (around.photo_of)(*id))
    };
    let candidate = |(class, share): &(u32, f64)| {
        let name = around.names.species.names[*class as usize].clone();
        Some(Candidate { name, share: *share, photo: Arc::new(nearest(*class)?.clone()) })
    };
    shares.iter().filter_map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, Metric};
    use crate::random::Random;

    fn photo(id: i64, path: &str, content: u8) -> Arc<Photo> {
        Arc::new(Photo::new(PhotoId(id), path.into(), ContentHash([content; 16]), Metadata::default()))
    }

    /// Species in places of their own, thirty photos each, of which the first two of a genus lie nearer to each other.
    fn library(noise: f64) -> Reference {
        let mut random = Random::new(5);
        let (mut index, mut photos) = (Index::new(8, Metric::Cosine), Vec::new());
        for (number, name) in ["Rosa canina", "Rosa gallica", "Iris sibirica", "tulip"].into_iter().enumerate() {
            for shot in 0..30 {
                let photo = photo(photos.len() as i64 + 1, &format!("{name}/{shot}.jpg"), photos.len() as u8);
                index.add(photo.id, &(&embedding(number, noise, &mut random)).into());
                photos.push(photo);
            }
        }
        let names = Arc::new(Names::of(photos.iter()));
        Reference::new(index, photos.iter(), names)
    }

    fn embedding(species: usize, noise: f64, random: &mut Random) -> Embedding {
        let mut values: Vec<f32> = random.normals(8).into_iter().map(|value| value * noise as f32).collect();
        values[species] += 1.0;
        if species < 2 {
            values[1 - species] += 0.95;
        }
        Embedding::normalised(values).unwrap()
    }

    fn ask(reference: &Reference, calibration: &Calibration, query: &Embedding) -> Identification {
        let near = reference.near(&[(query, None)], Some(calibration));
        reference.identify(Some(calibration), &near).unwrap()
    }

    fn told(answers: &[Identification]) -> Vec<(&Verdict, Option<f64>, Option<f64>)> {
        answers.iter().map(|answer| (&answer.verdict, answer.probability, answer.known)).collect()
    }

    #[test]
    fn what_is_sure_is_named_what_is_not_belongs_to_its_genus_and_a_stranger_is_refused() {
        let reference = library(0.15);
        let calibration = reference.calibrate("model", &Cancel::default()).unwrap();
        assert!(calibration.fits(reference.names(), "model") && !calibration.fits(reference.names(), "another"));
        let mut random = Random::new(8);
        let answers = |species: usize, random: &mut Random| -> Vec<Identification> {
            (0..20).map(|_| ask(&reference, &calibration, &embedding(species, 0.15, random))).collect()
        };
        let tulips = answers(3, &mut random);
        let named = tulips.iter().filter(|a| a.verdict == Verdict::Named && a.candidates[0].name == "tulip");
        assert!(named.count() >= 16, "{:?}", told(&tulips));
        // Two species that are hard to tell apart are one genus.
        let roses = answers(0, &mut random);
        let is_rose = |a: &&Identification| match &a.verdict {
            Verdict::Group { name, probability } => name == "Rosa" && *probability >= SURE,
            _ => false,
        };
        assert!(roses.iter().filter(is_rose).count() >= 5, "{:?}", told(&roses));
        let stranger = ask(&reference, &calibration, &embedding(6, 0.05, &mut random));
        assert_eq!(stranger.verdict, Verdict::NothingLikeIt);
        // All names together are as likely as the library has the species at all.
        for answer in [&tulips[0], &roses[0], &stranger] {
            let sum: f64 = answer.candidates.iter().filter_map(|c| answer.probability_of(&c.name)).sum();
            let present = if answer.verdict == Verdict::NothingLikeIt { answer.known.unwrap() } else { 1.0 };
            assert!(sum <= present + 1e-9 && sum > 0.9 * present * answer.probability.unwrap(), "{answer:#?}");
        }
        assert_eq!(tulips[0].probability_of(OsStr::new("daisy")), Some(0.0));
    }

    #[test]
    fn photos_of_one_shot_count_once() {
        let reference = library(0.1);
        let copies = photo(500, "tulip/copy.jpg", 90);
        let photos: Vec<Arc<Photo>> = reference.photos.iter().cloned().chain([copies]).collect();
        let names = Arc::new(Names::of(photos.iter()));
        let mut index = reference.index.exact();
        let original = photos.iter().find(|photo| photo.content == ContentHash([90; 16])).unwrap();
        let there = index.embedding(original.id).unwrap();
        index.add(PhotoId(500), &(&there).into());
        let original = original.id;
        let reference = Reference::new(index, photos.iter(), names);
        let found = [(original, 0.9), (PhotoId(500), 0.9), (PhotoId(1), 0.5)];
        assert_eq!(reference.with(None, |around| around.named(&found)).len(), 2);
        // Leaving a photo out leaves out its copy as well.
        let near = reference.near(&[(&there, Some(original))], None);
        assert!(near[0].iter().all(|(id, _)| *id != PhotoId(500) && *id != original));
    }

    #[test]
    fn with_too_few_photos_nothing_is_measured() {
        let reference = library(0.2).only(|species| species == 0);
        assert!(reference.calibrate("model", &Cancel::default()).is_none());
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(library(0.2).calibrate("model", &cancel).is_none());
        let near = reference.near(&[(&embedding(0, 0.1, &mut Random::new(1)), None)], None);
        let answer = reference.identify(None, &near).unwrap();
        assert_eq!((answer.verdict, answer.probability), (Verdict::Unmeasured, None));
        assert!(reference.identify(None, &[Vec::new()]).is_none());
    }
}

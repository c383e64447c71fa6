//! How far a library's answers can be trusted: measured on its own photos, each asked for as if it were not there.
//!
//! A photo is left out with the other photos of its shot, which would answer for it. What the vote then says is right or
//! wrong, and a logistic model learns which of both the numbers beside it mean (Platt 1999, "Probabilistic Outputs for
//! Support Vector Machines"; for several numbers instead of one). A second one learns what a species looks like that the
//! library has not: from the same photos, each with its whole species left out.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use serde::{Deserialize, Serialize};

use super::logistic::Logistic;
use super::names::{Classes, Names};
use super::vote::{Features, NEIGHBOURS, Neighbour, Spread, mean_features, own_similarity, poll};
use super::{Found, Surroundings};
use crate::catalog::{Catalog, CatalogError};
use crate::job::Cancel;
use crate::photo::{Embedding, Photo};

/// The fact under which a catalog keeps it.
const FACT: &str = "calibration";
/// Another form of it is made anew.
const VERSION: u32 = 1;
/// Photos that are asked for, at most.
const QUERIES: usize = 1500;
/// With fewer nothing can be said.
const LEAST_QUERIES: usize = 40;
const CHUNK: usize = 64;
/// Neighbours beyond which a class's own photos are not looked for.
const MOST_NEIGHBOURS: usize = 4096;
/// So many photos that the typical spread of a class counts as.
const PRIOR: f64 = 5.0;
/// Of photos whose species is known, so many may be refused.
const REFUSED: f64 = 0.03;
/// Neighbours of which it is learnt how likely one is of the query's species.
const PAIRS: usize = 50;
/// Photos of a species that are more similar than this are of one shot, to the general network; and what that is of the
/// way from the similarity of two typical photos of a species to 1, to any.
pub(super) const SAME_SHOT: f64 = 0.95;
const SAME_SHOT_SHARE: f64 = 0.14;
const SAME_SHOT_QUERIES: usize = 200;
/// After so many more photos with names it is measured anew, as a share.
pub(super) const STALE_AFTER: f64 = 0.05;

/// What was measured, for one library and model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    version: u32,
    model: String,
    /// With names, and the number of these.
    photos: usize,
    names: usize,
    pub(super) same_shot: f64,
    pub(super) species: Rank,
    /// Of genera, where there are any.
    pub(super) groups: Option<Rank>,
    known: Logistic,
    /// What is less likely to be of a known species is refused.
    pub(super) refused_below: f64,
    /// How likely a photo is of the query's species, by its similarity.
    same_species: Option<Logistic>,
}

/// What was measured of the names of one rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rank {
    spreads: BTreeMap<String, Spread>,
    usual: Spread,
    /// `None` where all were right, or none.
    right: Option<Logistic>,
    accuracy: f64,
    queries: usize,
}

impl Rank {
    fn spread(&self, name: &OsStr) -> Spread {
        self.spreads.get(&*name.to_string_lossy()).copied().unwrap_or(self.usual)
    }

    /// How likely the name that was voted for is right.
    pub(super) fn probability(&self, features: &Features) -> f64 {
        // As if two more had been asked for, one right, one wrong: nothing is certain.
        let bound = 1.0 / (self.queries as f64 + 2.0);
        let probability = self.right.as_ref().map_or(self.accuracy, |right| right.probability(features));
        probability.clamp(bound, 1.0 - bound)
    }

    /// From the neighbours of photos of known classes, and how similar those are to others of their own.
    fn measure(classes: &Classes, asked: &[(u32, Vec<Neighbour>, f64)]) -> Self {
        let usual = spread_of(asked.iter().map(|(.., own)| *own), None);
        let mut by_class: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        asked.iter().for_each(|(class, _, own)| by_class.entry(*class).or_default().push(*own));
        let name = |class: u32| classes.names[class as usize].to_string_lossy().into_owned();
        let spreads = by_class.into_iter().map(|(class, own)| (name(class), spread_of(own.into_iter(), Some(usual))));
        let mut rank = Self { spreads: spreads.collect(), usual, right: None, accuracy: 0.0, queries: asked.len() };
        let examples: Vec<(Features, bool)> = asked
            .iter()
            .filter_map(|(class, neighbours, _)| {
                let (voted, features) = rank.case_of_one(classes, neighbours)?;
                Some((features, voted == *class))
            })
            .collect();
        let right = examples.iter().filter(|(_, right)| *right).count();
        rank.accuracy = right as f64 / examples.len().max(1) as f64;
        rank.right = Logistic::fit(&examples);
        rank
    }

    /// The class that photos of one plant vote for, by the neighbours and the shares of [`poll`], with what tells how far
    /// to trust it.
    pub(super) fn case(
        &self,
        classes: &Classes,
        near: &[Vec<Neighbour>],
        shares: &[(u32, f64)],
    ) -> Option<(u32, Features)> {
        let class = shares.first()?.0;
        let spread = self.spread(&classes.names[class as usize]);
        Some((class, mean_features(near, shares, class, spread)))
    }

    /// The same for one photo.
    fn case_of_one(&self, classes: &Classes, near: &Vec<Neighbour>) -> Option<(u32, Features)> {
        let near = std::slice::from_ref(near);
        self.case(classes, near, &poll(near, &classes.sizes))
    }
}

/// Mean and deviation, drawn towards the usual ones where there are few.
fn spread_of(values: impl Iterator<Item = f64> + Clone, usual: Option<Spread>) -> Spread {
    let (prior, around) = usual.map_or((0.0, Spread { mean: 0.0, deviation: 0.0 }), |usual| (PRIOR, usual));
    let count = values.clone().count() as f64 + prior;
    let mean = (values.clone().sum::<f64>() + prior * around.mean) / count.max(1.0);
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum::<f64>() + prior * around.deviation.powi(2);
    Spread { mean, deviation: (squares / count.max(1.0)).sqrt().max(1e-4) }
}

impl Calibration {
    /// Asks for some of `photos`, all that have names, in the order of their paths. `None` after a stop, or where there are
    /// too few.
    pub(super) fn measure(around: &Surroundings<'_>, photos: &[&Photo], model: &str, cancel: &Cancel) -> Option<Self> {
        let names = around.names;
        if names.count() < 2 || photos.len() < LEAST_QUERIES {
            return None;
        }
        let around = Surroundings { same_shot: same_shot(around, photos), ..*around };

        let (mut known, mut unknown, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for some in spread_evenly(photos, QUERIES).chunks(CHUNK) {
            if cancel.is_cancelled() {
                return None;
            }
            for (photo, found) in some.iter().zip(around.nearest(some)) {
                let Some(own_class) = names.species_of(photo.id) else { continue };
                let is_own = |found: &Found| names.species_of(found.0) == Some(own_class);
                let others: Vec<Found> = found.into_iter().filter(|found| !around.is_of_shot(photo, *found)).collect();
                let all = around.named(&others);
                let own: Vec<Found> = others.iter().copied().filter(is_own).take(NEIGHBOURS).collect();
                if let Some(own) = own_similarity(&around.named(&own), own_class) {
                    let pair = |n: &Neighbour| ([n.similarity], n.class == own_class);
                    pairs.extend(all.iter().take(PAIRS).map(pair));
                    known.push((own_class, all, own));
                }
                let strange: Vec<Found> = others.into_iter().filter(|found| !is_own(found)).collect();
                unknown.push(around.named(&strange));
            }
        }
        if known.len() < LEAST_QUERIES {
            return None;
        }
        let species = Rank::measure(&names.species, &known);
        let case =
            |neighbours: &Vec<Neighbour>| species.case_of_one(&names.species, neighbours).map(|(_, features)| features);
        let of_known: Vec<Features> = known.iter().filter_map(|(_, neighbours, _)| case(neighbours)).collect();
        let of_unknown = unknown.iter().filter_map(case);
        let examples: Vec<(Features, bool)> =
            of_known.iter().map(|f| (*f, true)).chain(of_unknown.map(|f| (f, false))).collect();
        let is_known = Logistic::fit(&examples)?;
        let mut sure: Vec<f64> = of_known.iter().map(|features| is_known.probability(features)).collect();
        sure.sort_by(f64::total_cmp);
        let refused_below = sure[(sure.len() as f64 * REFUSED) as usize].min(0.5);
        let groups = names.has_groups().then(|| {
            let group = |class: u32| names.group_of[class as usize];
            let asked: Vec<_> = known
                .iter()
                .map(|(class, neighbours, own)| {
                    let neighbours = neighbours.iter().map(|n| Neighbour { class: group(n.class), ..*n }).collect();
                    (group(*class), neighbours, *own)
                })
                .collect();
            Rank::measure(&names.groups, &asked)
        });
        Some(Self {
            version: VERSION,
            model: model.to_owned(),
            photos: names.photos(),
            names: names.count(),
            same_shot: around.same_shot,
            species,
            groups,
            known: is_known,
            refused_below,
            same_species: Logistic::fit(&pairs),
        })
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
        // Numbers that JSON has no form for do not come out of a fit.
        catalog.set_json_fact(FACT, self)
    }

    /// Whether it can still be used for answers of this model from photos with these names.
    pub(crate) fn fits(&self, names: &Names, model: &str) -> bool {
        let change = names.photos().abs_diff(self.photos) as f64;
        self.version == VERSION
            && self.model == model
            && self.names == names.count()
            && change <= STALE_AFTER * self.photos as f64
    }

    /// Photos that were asked for.
    pub(crate) fn queries(&self) -> usize {
        self.species.queries
    }

    /// The share of those that were named rightly.
    pub(crate) fn accuracy(&self) -> f64 {
        self.species.accuracy
    }

    /// How likely the query is of a species that the library has.
    pub(super) fn known(&self, features: &Features) -> f64 {
        self.known.probability(features)
    }

    /// How likely a photo of this similarity is of the query's species.
    pub(crate) fn same_species(&self, similarity: f32) -> Option<f64> {
        Some(self.same_species.as_ref()?.probability(&[f64::from(similarity)]))
    }
}

/// How similar photos of one shot are at least, by how similar those of one species are: models differ in that.
fn same_shot(around: &Surroundings<'_>, photos: &[&Photo]) -> f64 {
    let mut similarities: Vec<f32> = Vec::new();
    for some in spread_evenly(photos, SAME_SHOT_QUERIES).chunks(CHUNK) {
        for (photo, found) in some.iter().zip(around.nearest(some)) {
            let class = around.names.species_of(photo.id);
            let is_own = |found: &&Found| found.0 != photo.id && around.names.species_of(found.0) == class;
            similarities.extend(found.iter().filter(is_own).map(|(_, similarity)| *similarity));
        }
    }
    similarities.sort_by(f32::total_cmp);
    let typical = similarities.get(similarities.len() / 2).map_or(SAME_SHOT, |similarity| f64::from(*similarity));
    1.0 - (1.0 - typical.min(1.0)) * SAME_SHOT_SHARE
}

pub(super) fn spread_evenly<'a>(photos: &[&'a Photo], most: usize) -> Vec<&'a Photo> {
    let count = photos.len().min(most);
    (0..count).map(|number| photos[number * photos.len() / count]).collect()
}

impl Surroundings<'_> {
    /// The neighbours of photos of the library, as far as the largest species reaches and some more; themselves included.
    fn nearest(&self, photos: &[&Photo]) -> Vec<Vec<Found>> {
        let largest = self.names.species.sizes.iter().max().copied().unwrap_or(0) as usize;
        let count = (largest + 2 * NEIGHBOURS).min(MOST_NEIGHBOURS);
        let embeddings: Vec<Embedding> = photos.iter().filter_map(|photo| self.index.embedding(photo.id)).collect();
        // One that has left the index meanwhile would shift the others.
        if embeddings.len() < photos.len() {
            return vec![Vec::new(); photos.len()];
        }
        let found = self.index.search_many(&embeddings, count);
        found.into_iter().map(|found| found.into_iter().map(|n| (n.id, n.similarity)).collect()).collect()
    }
}

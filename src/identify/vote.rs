//! The vote of the nearest photos on a name, and the numbers by which one can tell how far to trust it.

use serde::{Deserialize, Serialize};

/// Neighbours that are looked at.
pub(super) const NEIGHBOURS: usize = 60;
/// Those that vote, and how fast a vote loses weight with its distance: chosen on photos of `train` among themselves.
const VOTERS: usize = 10;
const TEMPERATURE: f64 = 0.05;
/// A class of so many photos has each vote divided by this power of their number.
const SIZE_POWER: f64 = 0.5;
/// Photos of a class that its similarity is the mean of.
const OF_CLASS: usize = 3;
/// And of all photos.
const OF_ALL: usize = 5;
/// Shares nearer to 0 or 1 tell no more.
const LEAST_SHARE: f64 = 1e-4;

/// A photo near to the query: its class, and how similar it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbour {
    pub(super) class: u32,
    pub(super) similarity: f64,
}

/// How similar photos of a class are to each other: the mean similarity of the three nearest, over its photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// What tells a right name from a wrong one, and a known species from an unknown one.
pub(super) type Features = [f64; 7];

/// Each class that was voted for and its share of the votes, the largest first.
fn vote(neighbours: &[Neighbour], sizes: &[u32]) -> Vec<(u32, f64)> {
    let Some(first) = neighbours.first() else { return Vec::new() };
    let weight = |neighbour: &Neighbour| {
        let size = sizes.get(neighbour.class as usize).copied().unwrap_or(1).max(1);
        ((neighbour.similarity - first.similarity) / TEMPERATURE).exp() * f64::from(size).powf(-SIZE_POWER)
    };
    let mut shares = counted(neighbours.iter().take(VOTERS).map(|neighbour| (neighbour.class, weight(neighbour))));
    let sum: f64 = shares.iter().map(|(_, share)| share).sum();
    shares.iter_mut().for_each(|(_, share)| *share /= sum);
    shares
}

/// The same for several photos of one plant: each has as much to say.
fn together(votes: &[Vec<(u32, f64)>]) -> Vec<(u32, f64)> {
    counted(votes.iter().flatten().map(|(class, share)| (*class, share / votes.len() as f64)))
}

/// The weights of each class together, the largest first.
fn counted(weights: impl Iterator<Item = (u32, f64)>) -> Vec<(u32, f64)> {
    let mut counted: Vec<(u32, f64)> = Vec::new();
    for (class, weight) in weights {
        match counted.iter_mut().find(|(known, _)| *known == class) {
            Some((_, sum)) => *sum += weight,
            None => counted.push((class, weight)),
        }
    }
    counted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    counted
}

/// What photos of one plant vote for together, each by its own neighbours.
pub(super) fn poll(near: &[Vec<Neighbour>], sizes: &[u32]) -> Vec<(u32, f64)> {
    together(&near.iter().map(|near| vote(near, sizes)).collect::<Vec<_>>())
}

/// How strong the case is for a class: its share of the votes, absolute and against the next; how similar its photos are to
/// the query, absolute, against those of others, and against how similar they are to each other; and how near anything is
/// at all.
fn features(neighbours: &[Neighbour], shares: &[(u32, f64)], class: u32, spread: Spread) -> Features {
    let share_of = |wanted: bool| {
        shares.iter().filter(|(other, _)| (*other == class) == wanted).map(|(_, share)| *share).fold(0.0, f64::max)
    };
    let (share, next) = (share_of(true), share_of(false));
    let farthest = neighbours.last().map_or(0.0, |neighbour| neighbour.similarity);
    let mean = |of: &dyn Fn(&Neighbour) -> bool, count: usize| {
        let nearest = neighbours.iter().filter(|neighbour| of(neighbour)).map(|neighbour| neighbour.similarity);
        // What is not among the neighbours is at most as near as the last of them.
        nearest.chain(std::iter::repeat(farthest)).take(count).sum::<f64>() / count as f64
    };
    let is_its = |neighbour: &Neighbour| neighbour.class == class;
    let (own, others) = (mean(&is_its, OF_CLASS), mean(&|neighbour| !is_its(neighbour), OF_CLASS));
    let nearest = mean(&is_its, 1) - mean(&|neighbour| !is_its(neighbour), 1);
    [
        logit(share),
        logit(share / (share + next)),
        own,
        own - others,
        (own - spread.mean) / spread.deviation,
        mean(&|_| true, OF_ALL),
        nearest,
    ]
}

/// The same of several photos of one plant, on average.
pub(super) fn mean_features(near: &[Vec<Neighbour>], shares: &[(u32, f64)], class: u32, spread: Spread) -> Features {
    let mut sum = Features::default();
    for near in near {
        sum.iter_mut().zip(features(near, shares, class, spread)).for_each(|(sum, value)| *sum += value);
    }
    sum.map(|sum| sum / near.len().max(1) as f64)
}

/// Of one photo's class among the other photos of that class; `None` where there is none.
pub(super) fn own_similarity(neighbours: &[Neighbour], class: u32) -> Option<f64> {
    let own: Vec<f64> = neighbours.iter().filter(|n| n.class == class).map(|n| n.similarity).take(OF_CLASS).collect();
    (!own.is_empty()).then(|| own.iter().sum::<f64>() / own.len() as f64)
}

fn logit(share: f64) -> f64 {
    let share = share.clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
    (share / (1.0 - share)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(neighbours: &[(u32, f64)]) -> Vec<Neighbour> {
        neighbours.iter().map(|(class, similarity)| Neighbour { class: *class, similarity: *similarity }).collect()
    }

    #[test]
    fn the_nearest_count_most_and_large_classes_have_no_advantage() {
        let shares = vote(&near(&[(0, 0.9), (1, 0.8), (1, 0.8), (1, 0.8)]), &[10, 10]);
        assert_eq!(shares[0].0, 0, "{shares:?}");
        assert!((shares.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
        // The same distances: the class of few photos has more of them near than chance would bring.
        assert_eq!(vote(&near(&[(0, 0.9), (1, 0.9)]), &[4, 400])[0].0, 0);
        assert_eq!(vote(&near(&[(1, 0.9), (0, 0.9)]), &[400, 4])[0].0, 1);
        assert!(vote(&[], &[]).is_empty());
    }

    #[test]
    fn photos_of_one_plant_vote_together() {
        let unsure = vec![vec![(0, 0.5), (1, 0.4), (2, 0.1)], vec![(2, 0.55), (1, 0.45)]];
        let shares = together(&unsure);
        assert_eq!(shares.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [1, 2, 0]);
        assert!((shares[0].1 - 0.425).abs() < 1e-9);
    }

    #[test]
    fn a_class_that_is_near_alone_and_as_near_as_usual_has_a_strong_case() {
        let spread = Spread { mean: 0.85, deviation: 0.05 };
        let case = |neighbours: &[(u32, f64)]| {
            let neighbours = near(neighbours);
            let shares = vote(&neighbours, &[5, 5]);
            features(&neighbours, &shares, shares[0].0, spread)
        };
        let strong = case(&[(0, 0.9), (0, 0.88), (0, 0.86), (1, 0.5), (1, 0.4)]);
        let weak = case(&[(0, 0.6), (1, 0.59), (0, 0.58), (1, 0.57), (1, 0.56)]);
        assert!(strong.iter().zip(weak).all(|(strong, weak)| *strong > weak), "{strong:?} {weak:?}");
        // One of which a single photo is near: the farthest neighbour stands for the others.
        let single = features(&near(&[(0, 0.9), (1, 0.3)]), &[(0, 1.0)], 0, spread);
        assert!((single[2] - 0.5).abs() < 1e-9, "{single:?}");
    }
}

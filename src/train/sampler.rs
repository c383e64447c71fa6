//! Which photos come together in a batch.

use crate::random::Random;

/// Photos of a class in a batch for losses that learn from pairs.
const PHOTOS_PER_CLASS: usize = 4;

/// All photos once, in a random order. A last batch of one photo is left out: it has nothing to be compared with.
pub(crate) fn random_batches(positions: &[usize], size: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let mut order = positions.to_vec();
    random.shuffle(&mut order);
    order.chunks(size).filter(|batch| batch.len() > 1).map(<[usize]>::to_vec).collect()
}

/// As many batches as [`random_batches`] makes, each of `size / 4` random classes with 4 photos of each: the P x K
/// batches of Hermans et al. 2017, "In Defense of the Triplet Loss". Where a class has fewer, some come twice.
pub(crate) fn paired_batches(classes: &[Vec<usize>], size: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let photos: usize = classes.iter().map(Vec::len).sum();
    let classes_a_batch = (size / PHOTOS_PER_CLASS).clamp(2, classes.len().max(2));
    let mut piles: Vec<Vec<usize>> = vec![Vec::new(); classes.len()];
    let mut order: Vec<usize> = Vec::new();
    let mut draw = |random: &mut Random| {
        // Every class once before any comes again, and within a class every photo.
        if order.is_empty() {
            order = (0..classes.len()).collect();
            random.shuffle(&mut order);
        }
        let class = order.pop().unwrap_or(0);
        (0..PHOTOS_PER_CLASS)
            .filter_map(|_| {
                if piles[class].is_empty() {
                    piles[class].clone_from(&classes[class]);
                    random.shuffle(&mut piles[class]);
                }
                piles[class].pop()
            })
            .collect::<Vec<_>>()
    };
    (0..photos.div_ceil(size)).map(|_| (0..classes_a_batch).flat_map(|_| draw(random)).collect()).collect()
}

/// The tutorial's triplets: each class in its turn is the positive one, with two different photos of it; the negative is
/// any photo of any other class. A batch of `size` triplets is all its anchors, then its positives, then its negatives.
/// Classes need at least two photos, and there must be two classes.
pub(crate) fn triplets(classes: &[Vec<usize>], a_class: usize, size: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let mut all = Vec::with_capacity(classes.len() * a_class);
    for _ in 0..a_class {
        for (class, photos) in classes.iter().enumerate() {
            let anchor = random.below(photos.len());
            let positive = (anchor + 1 + random.below(photos.len() - 1)) % photos.len();
            let other = &classes[(class + 1 + random.below(classes.len() - 1)) % classes.len()];
            all.push([photos[anchor], photos[positive], other[random.below(other.len())]]);
        }
    }
    let part = |batch: &[[usize; 3]], number: usize| batch.iter().map(|triplet| triplet[number]).collect::<Vec<_>>();
    all.chunks(size).map(|batch| [part(batch, 0), part(batch, 1), part(batch, 2)].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<Vec<usize>> {
        vec![(0..10).collect(), (10..13).collect(), (13..15).collect()]
    }

    fn class_of(photo: usize) -> usize {
        classes().iter().position(|class| class.contains(&photo)).unwrap()
    }

    #[test]
    fn an_epoch_shows_every_photo_once() {
        let all: Vec<usize> = (0..15).collect();
        let mut seen = random_batches(&all, 4, &mut Random::new(1)).concat();
        seen.sort_unstable();
        assert_eq!(seen, all);
        // The fifteenth would be alone.
        assert_eq!(random_batches(&all, 7, &mut Random::new(1)).concat().len(), 14);
    }

    #[test]
    fn pairs_come_together() {
        let batches = paired_batches(&classes(), 8, &mut Random::new(1));
        assert_eq!(batches.len(), 2);
        for batch in batches {
            assert_eq!(batch.len(), 8);
            for four in batch.chunks(4) {
                assert!(four.iter().all(|photo| class_of(*photo) == class_of(four[0])));
            }
        }
    }

    #[test]
    fn triplets_are_the_tutorials() {
        let batches = triplets(&classes(), 8, 5, &mut Random::new(1));
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 3 * 3 * 8);
        for batch in batches {
            let (anchors, rest) = batch.split_at(batch.len() / 3);
            let (positives, negatives) = rest.split_at(anchors.len());
            for ((a, p), n) in anchors.iter().zip(positives).zip(negatives) {
                assert!(a != p && class_of(*a) == class_of(*p) && class_of(*a) != class_of(*n));
            }
        }
    }
}

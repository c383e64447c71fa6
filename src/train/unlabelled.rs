//! Quick training on a folder without labels.
//!
//! Two photos that are each among the nearest neighbours of the other nearly always show the same species: on Oxford 102,
//! of the more similar half of such pairs 99 in 100 do. What differs within such pairs therefore hardly matters, and is
//! made to count less, as quick training does with what differs within labelled species. Nothing is learnt step by step.

use std::collections::HashSet;

use tch::Tensor;

use super::dataset::rows_of;
use super::evaluation::{nearest, subsample};
use super::head::{self, HeadProgress};
use crate::model::{Head, ModelError};
use crate::photo::Metric;

/// Nearest neighbours of each photo.
const NEIGHBOURS: usize = 5;
/// Photos whose neighbours are looked for at a time.
const CHUNK: usize = 256;
/// Photos that pairs are made of at most, spread evenly: the work grows with the square.
const MAX_PHOTOS: usize = 20_000;

/// Makes a head from features `[n, inputs]` of length 1. When `tell` answers `false`, what has been reached so far is
/// enough. The same features give the same head.
///
/// # Errors
/// When libtorch fails, out of memory among other things.
pub fn fit(features: &Tensor, tell: &mut dyn FnMut(HeadProgress) -> bool) -> Result<Head, ModelError> {
    let _no_grad = tch::no_grad_guard();
    let first = head::whiten_within_pairs(features, &[])?;
    let count = features.size()[0] as usize;
    let photos = subsample(&(0..count).collect::<Vec<_>>(), MAX_PHOTOS);
    let chosen = photos.len();
    let rows = first.project(&rows_of(features, &photos)?)?;
    let k = (NEIGHBOURS + 1).min(chosen);
    let mut similar: Vec<(i64, i64)> = Vec::new();
    let all: Vec<usize> = (0..chosen).collect();
    let mut progress = HeadProgress { epochs: 1, epoch: 1, steps: chosen as u64, ..HeadProgress::default() };
    for some in all.chunks(CHUNK) {
        let found = nearest(&rows_of(&rows, some)?, &rows, Metric::Cosine, k)?;
        for (photo, found) in some.iter().zip(found.chunks_exact(k)) {
            let others = found.iter().filter(|other| **other != *photo as i64).take(NEIGHBOURS);
            similar.extend(others.map(|other| (*photo as i64, *other)));
        }
        progress.step += some.len() as u64;
        progress.photos = progress.step;
        if !tell(progress.clone()) {
            return Ok(first);
        }
    }
    let pairs = confident_half(&rows, mutual(&similar))?;
    let place = |photo: i64| photos[photo as usize] as i64;
    let pairs: Vec<(i64, i64)> = pairs.into_iter().map(|(a, b)| (place(a), place(b))).collect();
    head::whiten_within_pairs(features, &pairs)
}

/// Pairs that were found from both sides, once each.
fn mutual(found: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let all: HashSet<(i64, i64)> = found.iter().copied().collect();
    found.iter().copied().filter(|(a, b)| a < b && all.contains(&(*b, *a))).collect()
}

/// The more similar half of the pairs.
fn confident_half(rows: &Tensor, pairs: Vec<(i64, i64)>) -> Result<Vec<(i64, i64)>, ModelError> {
    if pairs.is_empty() {
        return Ok(pairs);
    }
    let (a, b): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
    let of = |positions: &[i64]| rows.f_index_select(0, &Tensor::f_from_slice(positions)?);
    let products = of(&a)?.f_mul(&of(&b)?)?.f_sum_dim_intlist([1i64].as_slice(), false, tch::Kind::Float)?;
    let similarities = Vec::<f32>::try_from(products)?;
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|a, b| similarities[*b].total_cmp(&similarities[*a]));
    Ok(order.into_iter().take(pairs.len().div_ceil(2)).map(|number| pairs[number]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::normalised;
    use crate::random::Random;

    #[test]
    fn pairs_are_mutual_and_the_nearer_half_is_kept() {
        assert_eq!(mutual(&[(0, 1), (1, 0), (2, 1), (1, 3), (3, 1)]), [(0, 1), (1, 3)]);
        let rows = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 1.0, 0.6, 0.8]).view([3, 2]);
        assert_eq!(confident_half(&rows, vec![(0, 1), (1, 2)]).unwrap(), [(1, 2)]);
    }

    /// Ten species that differ in a few directions, and noise that is large in others.
    #[test]
    fn species_are_found_better_without_any_label() {
        let (classes, each, inputs) = (10, 30, 24);
        let mut random = Random::new(5);
        let middles = random.normals(classes * 8);
        let mut values = Vec::new();
        for photo in 0..classes * each {
            for input in 0..inputs {
                let noise = random.normal() as f32;
                values.push(if input < 8 { middles[photo % classes * 8 + input] + 0.3 * noise } else { 1.2 * noise });
            }
        }
        let features = normalised(&Tensor::from_slice(&values).view([(classes * each) as i64, inputs as i64])).unwrap();
        let right = |rows: &Tensor| {
            let found = nearest(rows, rows, Metric::Cosine, 2).unwrap();
            found.chunks_exact(2).filter(|pair| pair[0] as usize % classes == pair[1] as usize % classes).count()
        };
        let head = fit(&features, &mut |_| true).unwrap();
        let (before, after) = (right(&features), right(&head.project(&features).unwrap()));
        assert!(after > before, "{before} -> {after}");
        assert_eq!(head, fit(&features, &mut |_| true).unwrap());
    }

    #[test]
    fn few_or_equal_photos_give_a_head_all_the_same() {
        for count in [2, 10] {
            let features = Tensor::from_slice(&[0.6f32, 0.8]).view([1, 2]).expand([count, 2], false).contiguous();
            assert_eq!(fit(&features, &mut |_| true).unwrap().dimension(), 2);
        }
    }
}

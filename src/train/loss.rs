//! The losses of metric learning behind one interface: embeddings of a batch and their labels -> one number to make
//! small.
//!
//! A batch without the pairs that a loss needs has the loss 0, with a gradient of zeros: never NaN.

use tch::{Device, Kind, Reduction, Tensor};

use crate::artefact::Loss;
use crate::model::{ModelError, normalised};
use crate::random::Random;

/// Of the squared distance between embeddings of length 1 (Schroff, Kalenichenko and Philbin 2015, "FaceNet").
const TRIPLET_MARGIN: f64 = 0.2;
/// Of the distance itself (Hermans, Beyer and Leibe 2017, "In Defense of the Triplet Loss").
const BATCH_HARD_MARGIN: f64 = 0.2;
/// Weights of the positive and the negative pairs, as the paper has them, and the similarity that divides the two, as its
/// authors' code has it (Wang et al. 2019, "Multi-Similarity Loss").
const SIMILARITY_WEIGHTS: [f64; 2] = [2.0, 50.0];
const SIMILARITY_BASE: f64 = 0.5;
/// Of its miner.
const SIMILARITY_MARGIN: f64 = 0.1;
/// Kim et al. 2020, "Proxy Anchor Loss for Deep Metric Learning".
const PROXY_ALPHA: f64 = 32.0;
const PROXY_MARGIN: f64 = 0.1;
/// Zhai and Wu 2019, "Classification is a Strong Baseline for Deep Metric Learning"; the scale and the smoothing were
/// measured, see `benches/quality.rs`.
const SOFTMAX_SCALE: f64 = 16.0;
const LABEL_SMOOTHING: f64 = 0.1;
/// Keeps the slope of a square root at 0 finite.
const TINY: f64 = 1e-12;

/// A loss with what it learns itself: proxies or class weights, where it has any.
#[derive(Debug)]
pub(crate) struct Objective {
    loss: Loss,
    /// `[classes, dimension]`.
    proxies: Option<Tensor>,
}

impl Objective {
    /// For embeddings of `dimension` floats in `classes` classes. Proxies begin in the same random directions each time.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn new(loss: Loss, classes: i64, dimension: i64, device: Device) -> Result<Self, ModelError> {
        let proxies = match loss {
            Loss::ProxyAnchor | Loss::NormalisedSoftmax => {
                let values = Random::new(0).normals((classes * dimension) as usize);
                let proxies = Tensor::f_from_slice(&values)?.f_view([classes, dimension])?.f_to_device(device)?;
                Some(proxies.set_requires_grad(true))
            }
            Loss::RandomTriplet | Loss::BatchHardTriplet | Loss::SemiHardTriplet | Loss::MultiSimilarity => None,
        };
        Ok(Self { loss, proxies })
    }

    /// What the optimiser has to move beside the network or head, at [`Objective::proxy_rate`] times its rate.
    pub(crate) fn parameters(&self) -> Vec<Tensor> {
        self.proxies.iter().map(Tensor::shallow_clone).collect()
    }

    /// How much faster proxies have to learn than a head that learns at about 1e-3: a hundred times for Proxy-Anchor, as
    /// in its paper.
    pub(crate) fn proxy_rate(&self) -> f64 {
        match self.loss {
            Loss::ProxyAnchor => 100.0,
            _ => 10.0,
        }
    }

    /// The loss when all embeddings have become the same, for those losses whose training can end there.
    pub(crate) fn collapsed(&self) -> Option<f64> {
        match self.loss {
            Loss::RandomTriplet | Loss::SemiHardTriplet => Some(TRIPLET_MARGIN),
            Loss::BatchHardTriplet => Some(BATCH_HARD_MARGIN),
            Loss::MultiSimilarity | Loss::ProxyAnchor | Loss::NormalisedSoftmax => None,
        }
    }

    /// The loss of a batch, a scalar: embeddings `[n, dimension]` of length 1, labels `[n]` from 0.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn of(&self, embeddings: &Tensor, labels: &Tensor) -> Result<Tensor, ModelError> {
        let embeddings = embeddings.f_to_kind(Kind::Float)?;
        match (self.loss, &self.proxies) {
            (Loss::ProxyAnchor, Some(proxies)) => proxy_anchor(&embeddings, labels, proxies),
            (Loss::NormalisedSoftmax, Some(proxies)) => normalised_softmax(&embeddings, labels, proxies),
            (Loss::RandomTriplet, _) => random_triplet(&embeddings, labels),
            (Loss::BatchHardTriplet, _) => batch_hard(&embeddings, labels),
            (Loss::SemiHardTriplet, _) => semi_hard(&embeddings, labels),
            (Loss::MultiSimilarity, _) => multi_similarity(&embeddings, labels),
            // Not reached: `new` gives these two their proxies.
            (Loss::ProxyAnchor | Loss::NormalisedSoftmax, None) => nothing(&embeddings),
        }
    }
}

impl Loss {
    /// Whether it learns from pairs within a batch, which then has to hold several photos each of some classes;
    /// otherwise photos are drawn by chance.
    pub(crate) fn needs_pairs(self) -> bool {
        match self {
            Self::RandomTriplet | Self::BatchHardTriplet | Self::SemiHardTriplet | Self::MultiSimilarity => true,
            Self::ProxyAnchor | Self::NormalisedSoftmax => false,
        }
    }
}

/// The mean of max(0, |anchor - positive|² - |anchor - negative|² + margin) over triplets, three matrices of as many
/// rows. Embeddings may have any length.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn triplet(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    margin: f64,
) -> Result<Tensor, ModelError> {
    let distance =
        |other: &Tensor| anchor.f_sub(other)?.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    Ok(distance(positive)?.f_sub(&distance(negative)?)?.f_add_scalar(margin)?.f_relu()?.f_mean(Kind::Float)?)
}

/// Nothing to learn from: 0, with a gradient of zeros.
fn nothing(embeddings: &Tensor) -> Result<Tensor, ModelError> {
    Ok(embeddings.f_sum(Kind::Float)?.f_mul_scalar(0.0)?)
}

/// Which pairs of a batch `[n, n]` have the same label, and which have not; a photo makes no pair with itself.
fn pairs(labels: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
    let same = labels.f_unsqueeze(1)?.f_eq_tensor(&labels.f_unsqueeze(0)?)?;
    let different = same.f_logical_not()?;
    let mut positive = same;
    let _ = positive.f_fill_diagonal_(0, false)?;
    Ok((positive, different))
}

fn similarities(a: &Tensor, b: &Tensor) -> Result<Tensor, ModelError> {
    Ok(a.f_matmul(&b.f_transpose(0, 1)?)?)
}

/// Squared distances `[n, n]` between embeddings of length 1.
fn squared_distances(embeddings: &Tensor) -> Result<Tensor, ModelError> {
    let similar = similarities(embeddings, embeddings)?;
    Ok(similar.f_mul_scalar(-2.0)?.f_add_scalar(2.0)?.f_clamp_min(0.0)?)
}

/// log(1 + sum of exp over the entries of each row, along `dim`, that are in the mask).
fn log_one_plus_sum_exp(exponents: &Tensor, mask: &Tensor, dim: i64) -> Result<Tensor, ModelError> {
    let masked = exponents.f_masked_fill(&mask.f_logical_not()?, f64::NEG_INFINITY)?;
    // The 1 is an exponent of 0 more in each row.
    let one = masked.f_narrow(dim, 0, 1)?.f_detach()?.f_zeros_like()?;
    Ok(Tensor::f_cat(&[one, masked], dim)?.f_logsumexp([dim].as_slice(), false)?)
}

/// For each anchor that has both one positive and one negative drawn by chance (Schroff et al. 2015 for the loss). The
/// draw follows from the batch's labels alone, which the sampler has shuffled: a training can be repeated and resumed.
fn random_triplet(embeddings: &Tensor, labels: &Tensor) -> Result<Tensor, ModelError> {
    let labels = Vec::<i64>::try_from(labels)?;
    let mut random = Random::new(labels.iter().fold(0, |hash, label| hash * 31 % 0xFFFF_FFFB + *label as u64));
    let mut triplets: [Vec<i64>; 3] = Default::default();
    for (anchor, label) in labels.iter().enumerate() {
        let others = |same: bool| -> Vec<usize> {
            (0..labels.len()).filter(|other| *other != anchor && (labels[*other] == *label) == same).collect()
        };
        let (positives, negatives) = (others(true), others(false));
        if !positives.is_empty() && !negatives.is_empty() {
            let chosen = [anchor, positives[random.below(positives.len())], negatives[random.below(negatives.len())]];
            triplets.iter_mut().zip(chosen).for_each(|(column, photo)| column.push(photo as i64));
        }
    }
    if triplets[0].is_empty() {
        return nothing(embeddings);
    }
    let rows = |column: &[i64]| -> Result<Tensor, ModelError> {
        Ok(embeddings.f_index_select(0, &Tensor::f_from_slice(column)?.f_to_device(embeddings.device())?)?)
    };
    let [anchor, positive, negative] = &triplets;
    triplet(&rows(anchor)?, &rows(positive)?, &rows(negative)?, TRIPLET_MARGIN)
}

/// For each anchor its farthest positive and its nearest negative (Hermans et al. 2017).
fn batch_hard(embeddings: &Tensor, labels: &Tensor) -> Result<Tensor, ModelError> {
    let distances = squared_distances(embeddings)?.f_clamp_min(TINY)?.f_sqrt()?;
    let (positive, different) = pairs(labels)?;
    let farthest = distances.f_masked_fill(&positive.f_logical_not()?, -1.0)?.f_amax([1i64].as_slice(), false)?;
    let nearest = distances.f_masked_fill(&different.f_logical_not()?, 3.0)?.f_amin([1i64].as_slice(), false)?;
    let losses = farthest.f_sub(&nearest)?.f_add_scalar(BATCH_HARD_MARGIN)?.f_relu()?;
    let usable = positive.f_any_dim(1, false)?.f_logical_and(&different.f_any_dim(1, false)?)?;
    mean_where(&losses, &usable)
}

/// For each anchor and positive the nearest negative that is farther than the positive, or, where there is none, the
/// farthest (Schroff et al. 2015; what is done without a farther negative is TensorFlow's way).
fn semi_hard(embeddings: &Tensor, labels: &Tensor) -> Result<Tensor, ModelError> {
    let distances = squared_distances(embeddings)?;
    let (positive, different) = pairs(labels)?;
    let usable = positive.f_logical_and(&different.f_any_dim(1, true)?)?;
    // Anchor and positive of each pair.
    let chosen = usable.f_nonzero()?;
    if chosen.size()[0] == 0 {
        return nothing(embeddings);
    }
    let anchors = chosen.f_select(1, 0)?;
    // `[pairs, n]`: the distance of everything from the anchor.
    let from_anchor = distances.f_index_select(0, &anchors)?;
    let to_positive = from_anchor.f_gather(1, &chosen.f_narrow(1, 1, 1)?, false)?;
    let negative = different.f_index_select(0, &anchors)?;
    let farther = from_anchor.f_gt_tensor(&to_positive)?.f_logical_and(&negative)?;
    let nearest_farther = from_anchor.f_masked_fill(&farther.f_logical_not()?, 5.0)?.f_amin([1i64].as_slice(), true)?;
    let farthest = from_anchor.f_masked_fill(&negative.f_logical_not()?, -1.0)?.f_amax([1i64].as_slice(), true)?;
    let to_negative = nearest_farther.f_where_self(&farther.f_any_dim(1, true)?, &farthest)?;
    Ok(to_positive.f_sub(&to_negative)?.f_add_scalar(TRIPLET_MARGIN)?.f_relu()?.f_mean(Kind::Float)?)
}

/// Multi-Similarity with its miner (Wang et al. 2019): pairs count the more, the harder they are in themselves and among
/// the others; a pair that is easier than the hardest of the other kind by the margin does not count.
fn multi_similarity(embeddings: &Tensor, labels: &Tensor) -> Result<Tensor, ModelError> {
    let similar = similarities(embeddings, embeddings)?;
    let (positive, different) = pairs(labels)?;
    let least = similar.f_masked_fill(&positive.f_logical_not()?, 2.0)?.f_amin([1i64].as_slice(), true)?;
    let most = similar.f_masked_fill(&different.f_logical_not()?, -2.0)?.f_amax([1i64].as_slice(), true)?;
    let positive = positive.f_logical_and(&similar.f_lt_tensor(&most.f_add_scalar(SIMILARITY_MARGIN)?)?)?;
    let different = different.f_logical_and(&similar.f_gt_tensor(&least.f_sub_scalar(SIMILARITY_MARGIN)?)?)?;
    let [alpha, beta] = SIMILARITY_WEIGHTS;
    let above = similar.f_sub_scalar(SIMILARITY_BASE)?;
    let pull = log_one_plus_sum_exp(&above.f_mul_scalar(-alpha)?, &positive, 1)?.f_div_scalar(alpha)?;
    let push = log_one_plus_sum_exp(&above.f_mul_scalar(beta)?, &different, 1)?.f_div_scalar(beta)?;
    Ok(pull.f_add(&push)?.f_mean(Kind::Float)?)
}

/// Proxy-Anchor (Kim et al. 2020): a proxy for each class pulls all photos of its class in the batch and pushes the
/// others, the harder ones more.
fn proxy_anchor(embeddings: &Tensor, labels: &Tensor, proxies: &Tensor) -> Result<Tensor, ModelError> {
    let similar = similarities(embeddings, &normalised(proxies)?)?;
    let positive = labels.f_one_hot(proxies.size()[0])?.f_to_kind(Kind::Bool)?;
    let pull = similar.f_sub_scalar(PROXY_MARGIN)?.f_mul_scalar(-PROXY_ALPHA)?;
    let push = similar.f_add_scalar(PROXY_MARGIN)?.f_mul_scalar(PROXY_ALPHA)?;
    // A class that is not in the batch adds log(1) to the first sum, which is divided by those that are.
    let present = positive.f_any_dim(0, false)?.f_sum(Kind::Float)?;
    let pull = log_one_plus_sum_exp(&pull, &positive, 0)?.f_sum(Kind::Float)?.f_div(&present)?;
    let push = log_one_plus_sum_exp(&push, &positive.f_logical_not()?, 0)?.f_mean(Kind::Float)?;
    Ok(pull.f_add(&push)?)
}

/// A classifier on normalised embeddings and class weights (Zhai and Wu 2019), with label smoothing (Szegedy et al. 2016,
/// "Rethinking the Inception Architecture").
fn normalised_softmax(embeddings: &Tensor, labels: &Tensor, weights: &Tensor) -> Result<Tensor, ModelError> {
    let scores = similarities(embeddings, &normalised(weights)?)?.f_mul_scalar(SOFTMAX_SCALE)?;
    Ok(scores.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, LABEL_SMOOTHING)?)
}

fn mean_where(values: &Tensor, mask: &Tensor) -> Result<Tensor, ModelError> {
    let mask = mask.f_to_kind(Kind::Float)?;
    Ok(values.f_mul(&mask)?.f_sum(Kind::Float)?.f_div(&mask.f_sum(Kind::Float)?.f_clamp_min(1.0)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 6] = [
        Loss::RandomTriplet,
        Loss::BatchHardTriplet,
        Loss::SemiHardTriplet,
        Loss::MultiSimilarity,
        Loss::ProxyAnchor,
        Loss::NormalisedSoftmax,
    ];

    /// Points on the unit circle, at angles in degrees.
    fn circle(angles: &[f64]) -> Tensor {
        let values: Vec<f32> =
            angles.iter().flat_map(|a| [a.to_radians().cos() as f32, a.to_radians().sin() as f32]).collect();
        Tensor::from_slice(&values).view([angles.len() as i64, 2]).set_requires_grad(true)
    }

    fn cos(degrees: f64) -> f64 {
        degrees.to_radians().cos()
    }

    fn objective(loss: Loss) -> Objective {
        Objective::new(loss, 2, 2, Device::Cpu).unwrap()
    }

    fn value(loss: Loss, embeddings: &Tensor, labels: &[i64]) -> f64 {
        objective(loss).of(embeddings, &Tensor::from_slice(labels)).unwrap().double_value(&[])
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found}, {expected} expected");
    }

    /// Two anchors at 0 and 60 degrees, and a negative at 90: all that a triplet loss can choose here is fixed.
    #[test]
    fn triplets_by_hand() {
        let points = circle(&[0.0, 60.0, 90.0]);
        let squared = |degrees: f64| 2.0 - 2.0 * cos(degrees);
        // Anchor at 0: 1 - 2 + 0.2 < 0. Anchor at 60: 1 - (2 - sqrt 3) + 0.2.
        let random = (1.2 - squared(30.0)) / 2.0;
        assert_near(value(Loss::RandomTriplet, &points, &[0, 0, 1]), random);
        let hard = (1.2 - squared(30.0).sqrt()) / 2.0;
        assert_near(value(Loss::BatchHardTriplet, &points, &[0, 0, 1]), hard);
        // From 60 no negative is farther than the positive: the farthest is taken.
        assert_near(value(Loss::SemiHardTriplet, &points, &[0, 0, 1]), random);
    }

    #[test]
    fn the_hardest_and_the_semi_hard_negative_are_found() {
        // Anchor 0 and 20 degrees; negatives at 10 (nearer than the positive), 30 and 180.
        let points = circle(&[0.0, 20.0, 10.0, 30.0, 180.0]);
        let labels = [0, 0, 1, 2, 3];
        let squared = |degrees: f64| 2.0 - 2.0 * cos(degrees);
        let hard = squared(20.0).sqrt() - squared(10.0).sqrt() + 0.2;
        assert_near(value(Loss::BatchHardTriplet, &points, &labels), hard);
        // From 0 it is that at 30; from 20 those at 10 and 30 are nearer, so that at 180.
        let semi_hard = (squared(20.0) - squared(30.0) + 0.2) / 2.0;
        assert_near(value(Loss::SemiHardTriplet, &points, &labels), semi_hard);
    }

    #[test]
    fn multi_similarity_by_hand() {
        let (pull, push) = (|s: f64| (-2.0 * (s - 0.5)).exp(), |s: f64| (50.0 * (s - 0.5)).exp());
        // At 0: the positive has cos 60 = 0.5, the negative cos 90 = 0, which is easier by more than 0.1, and so is the
        // positive. At 60: the negative has cos 30, both count. The negative itself: no positive, so nothing to mine by.
        let found = value(Loss::MultiSimilarity, &circle(&[0.0, 60.0, 90.0]), &[0, 0, 1]);
        let at_60 = (1.0 + pull(cos(60.0))).ln() / 2.0 + (1.0 + push(cos(30.0))).ln() / 50.0;
        assert_near(found, at_60 / 3.0);
    }

    #[test]
    fn proxies_by_hand() {
        let set = |objective: &Objective| {
            tch::no_grad(|| {
                objective.parameters()[0].copy_(&Tensor::from_slice(&[3.0f32, 0.0, 0.0, 0.5]).view([2, 2]));
            });
        };
        let points = circle(&[0.0, 60.0]);
        let (near, far) = (cos(60.0), cos(30.0));
        let labels = Tensor::from_slice(&[0i64, 0]);
        let anchor = objective(Loss::ProxyAnchor);
        set(&anchor);
        let exp = |exponent: f64| (32.0 * exponent).exp();
        let pull = (1.0 + exp(0.1 - 1.0) + exp(0.1 - near)).ln();
        // The first proxy has no negatives: log(1).
        let push = (1.0 + exp(0.0 + 0.1) + exp(far + 0.1)).ln() / 2.0;
        assert_near(anchor.of(&points, &labels).unwrap().double_value(&[]), pull + push);
        let softmax = objective(Loss::NormalisedSoftmax);
        set(&softmax);
        let entropy = |own: f64, other: f64| {
            let sum = ((16.0 * own).exp() + (16.0 * other).exp()).ln();
            // Smoothing spreads a tenth over both classes.
            0.95 * (sum - 16.0 * own) + 0.05 * (sum - 16.0 * other)
        };
        let expected = (entropy(1.0, 0.0) + entropy(near, far)) / 2.0;
        assert_near(softmax.of(&points, &labels).unwrap().double_value(&[]), expected);
    }

    #[test]
    fn batches_without_pairs_and_collapsed_ones_have_finite_gradients() {
        let batches: [(&[f64], &[i64]); 4] =
            [(&[0.0, 50.0], &[0, 1]), (&[0.0, 50.0], &[0, 0]), (&[10.0], &[1]), (&[30.0; 4], &[0, 0, 1, 1])];
        for loss in ALL {
            for (angles, labels) in batches {
                let points = circle(angles);
                let objective = objective(loss);
                let found = objective.of(&points, &Tensor::from_slice(labels)).unwrap();
                assert!(found.double_value(&[]).is_finite(), "{loss:?} {labels:?}");
                found.backward();
                let gradient = points.grad();
                assert!(gradient.defined() && gradient.isfinite().all().int64_value(&[]) == 1, "{loss:?} {labels:?}");
                let is_pairless = loss.needs_pairs() && loss != Loss::MultiSimilarity && labels != [0, 0, 1, 1];
                assert!(!is_pairless || found.double_value(&[]) == 0.0, "{loss:?} {labels:?}");
                if let Some(collapsed) = objective.collapsed()
                    && labels == [0, 0, 1, 1]
                {
                    assert_near(found.double_value(&[]), collapsed);
                }
            }
        }
    }

    #[test]
    fn going_down_the_gradient_makes_every_loss_smaller() {
        for loss in ALL {
            let objective = objective(loss);
            let labels = Tensor::from_slice(&[0i64, 1, 0, 1, 0, 1]);
            let mut points = circle(&[0.0, 40.0, 80.0, 120.0, 200.0, 260.0]);
            let of = |points: &Tensor| objective.of(&normalised(points).unwrap(), &labels).unwrap();
            let before = of(&points).double_value(&[]);
            for _ in 0..50 {
                of(&points).backward();
                tch::no_grad(|| {
                    let step = points.grad() * 0.05;
                    let _ = points.g_sub_(&step);
                });
                points.zero_grad();
            }
            let after = of(&points).double_value(&[]);
            assert!(after < before * 0.9, "{loss:?}: {before} -> {after}");
        }
    }
}

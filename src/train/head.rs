//! Quick training: a projection head on features that are in the catalog already.
//!
//! It is one linear map, made in two steps. First a map is computed in one go: directions in which photos of one species
//! differ count less, directions in which the species differ count more. It serves species that it has not seen nearly as
//! well as those that it has. Then the map goes on learning by a loss, which knows the species of the folders best, but
//! others less well; and the result lies between the two maps, nearer to the second (Wortsman et al. 2022, "Robust
//! Fine-Tuning of Zero-Shot Models", do so with whole networks). `cargo bench --bench quality` measures each choice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::loss::Objective;
use super::network::copy_of;
use super::optimiser::{AdamW, Group};
use super::sampler::{paired_batches, random_batches};
use super::watchdog::{Alarm, Watchdog, variance_ratio};
use crate::artefact::{Focus, Loss};
use crate::model::{Head, HeadPart, ModelError, normalised, signed_power};
use crate::random::Random;

/// The covariance within the classes counts as if so many photos for each of its dimensions had had the same variance
/// everywhere.
const PRIOR: f64 = 7.5;
/// Power of the total variance that each direction is stretched by after whitening: 0 leaves plain whitening.
const STRETCH: f64 = 0.15;
/// Directions in which the photos differ most: so many go on learning.
const LEARNT_DIRECTIONS: i64 = 512;
/// So many are kept for species that no folder is named after: beyond them MAP@R gains less than a point.
const OTHER_DIRECTIONS: i64 = 512;
pub(super) const EPOCHS: u32 = 20;
const BATCH: usize = 256;
/// Of class weights; they begin in random directions, and lie far from where they have to go.
const PROXY_RATE: f64 = 1e-3;
const DROPOUT: f64 = 0.7;
/// How often the watchdog's answer is a lower rate or another loss, before the learnt part is left out.
const MAX_RETRIES: u32 = 3;
const RATE_AFTER_ALARM: f64 = 0.3;
/// Rows that are worked on at a time where a copy of all would cost too much memory.
const CHUNK: i64 = 8192;
const TINY: f64 = 1e-9;
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How a head is learnt.
#[derive(Clone, Debug, Default)]
pub struct HeadOptions {
    /// `None` for the best measured.
    pub loss: Option<Loss>,
    pub epochs: Option<u32>,
    pub seed: u64,
    pub focus: Focus,
}

/// How far the learning of a head is.
#[derive(Clone, Debug, Default)]
pub struct HeadProgress {
    pub(crate) epoch: u32,
    pub(crate) epochs: u32,
    pub(crate) step: u64,
    pub(crate) steps: u64,
    /// Photos seen so far, over all epochs.
    pub(crate) photos: u64,
    /// Mean over the epoch; only at its end.
    pub(crate) loss: Option<f64>,
    /// What the watchdog has seen and done, in words for people.
    pub notice: Option<String>,
}

/// Learns a head from features `[n, inputs]` of length 1 and as many labels; -1 stands for none. `tell` hears how far it
/// is about ten times a second, and at the end of every epoch; when it answers `false`, the head is what has been learnt
/// so far; a head for other species is computed in one go, and tells nothing. The same numbers give the same head.
///
/// With `base`, a head for other species on these features, the new one begins in the space that it makes: what it knows of
/// flowers is kept, and there are fewer numbers to work on.
///
/// # Errors
/// When libtorch fails, out of memory among other things.
pub fn fit(
    features: &Tensor,
    labels: &[i64],
    options: &HeadOptions,
    base: Option<&HeadPart>,
    tell: &mut dyn FnMut(HeadProgress) -> bool,
) -> Result<Head, ModelError> {
    let classes = Classes::new(labels);
    let dimension = features.size()[1];
    let power = base.map_or_else(|| power_for(features), |base| Ok(f64::from(base.power)))?;
    let mut rows = powered(classes.rows_of(features)?, power)?;
    let Some(settings) = settings(options.focus) else { return for_other_species(&rows, &classes, power) };
    let base = base.map(|base| Space::on_mean(&rows, base)).transpose()?;
    if let Some(base) = &base {
        rows = base.project(&rows)?;
    }
    let stretch = Stretch { power: STRETCH, cautious: base.is_some() };
    let space = Space::within_classes(&rows, &classes, dimension, Some(stretch))?;
    let first = space.first(LEARNT_DIRECTIONS)?;
    let inputs = first.project(&rows)?;
    drop(rows);
    let HeadSettings { rate, share, rest } = settings;
    let matrix = match learn(&inputs, &classes, rate, options, tell)? {
        Some(learnt) => {
            let identity = identity(&learnt)?;
            let between = learnt.f_sub(&identity)?.f_mul_scalar(share)?.f_add(&identity)?.f_matmul(&first.matrix)?;
            let (learnt, all) = (between.size()[0], space.matrix.size()[0]);
            if rest { Tensor::f_cat(&[between, space.matrix.f_narrow(0, learnt, all - learnt)?], 0)? } else { between }
        }
        None => space.matrix.shallow_clone(),
    };
    Ok(Head {
        parts: vec![match base {
            Some(base) => base.part(&matrix.f_matmul(&base.matrix)?, power)?,
            None => space.part(&matrix, power)?,
        }],
    })
}

/// The settings in which the foci differ.
struct HeadSettings {
    rate: f64,
    /// How far the result lies on the way from the computed map to the learnt one.
    share: f64,
    /// Whether the directions that no learning has touched stay in the embedding, too.
    rest: bool,
}

/// `None` where nothing is learnt.
fn settings(focus: Focus) -> Option<HeadSettings> {
    match focus {
        Focus::NewSpeciesToo => Some(HeadSettings { rate: 1e-3, share: 0.8, rest: true }),
        Focus::OnlyThese => Some(HeadSettings { rate: 3e-3, share: 1.0, rest: false }),
        Focus::OtherSpecies => None,
    }
}

/// Whitening within the classes alone, as far as it matters. It knows the species of the folders less well than what
/// [`fit`] learns, and others better: measured on species that neither was fitted on, with a network taught on 51 others,
/// MAP@R is 62 with this, and 56 with that.
fn for_other_species(rows: &Tensor, classes: &Classes, power: f64) -> Result<Head, ModelError> {
    let space = Space::within_classes(rows, classes, rows.size()[1], Some(Stretch::NONE))?.first(OTHER_DIRECTIONS)?;
    Ok(Head { parts: vec![space.part(&space.matrix, power)?] })
}

/// Plain whitening within the classes, on the features as they are, without a cut to fewer directions.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn whiten_within_classes(features: &Tensor, labels: &[i64]) -> Result<HeadPart, ModelError> {
    let classes = Classes::new(labels);
    let space = Space::within_classes(&classes.rows_of(features)?, &classes, features.size()[1], None)?;
    space.part(&space.matrix, 1.0)
}

/// Whitening within pairs of photos that are taken for the same species, instead of within classes. Without a pair the
/// features are only centred.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn whiten_within_pairs(features: &Tensor, pairs: &[(i64, i64)]) -> Result<Head, ModelError> {
    let power = power_for(features)?;
    let rows = if power == 1.0 { features.shallow_clone() } else { powered(copy_of(features)?, power)? };
    let space = Space::within_pairs(&rows, pairs)?;
    Ok(Head { parts: vec![space.part(&space.matrix, power)?] })
}

/// Features that are never negative, as those behind a ReLU, are compared by their square roots: a few large ones would
/// drown the others (Perronnin, Sanchez and Mensink 2010, "Improving the Fisher Kernel").
fn power_for(features: &Tensor) -> Result<f64, ModelError> {
    Ok(if features.f_min()?.f_double_value(&[])? < 0.0 { 1.0 } else { 0.5 })
}

/// [`signed_power`] of rows that are not needed any more: in their place, some at a time.
fn powered(rows: Tensor, power: f64) -> Result<Tensor, ModelError> {
    if power != 1.0 {
        let count = rows.size()[0];
        for start in (0..count).step_by(CHUNK as usize) {
            let mut some = rows.f_narrow(0, start, CHUNK.min(count - start))?;
            some.f_copy_(&signed_power(&some, power)?)?;
        }
    }
    Ok(rows)
}

/// The photos that have a label, and their labels numbered anew without gaps.
struct Classes {
    /// Rows of the features.
    positions: Vec<i64>,
    /// Of these.
    labels: Vec<i64>,
    /// Indices into `positions`.
    members: Vec<Vec<usize>>,
}

impl Classes {
    fn new(labels: &[i64]) -> Self {
        let mut numbers = BTreeMap::new();
        for label in labels.iter().filter(|label| **label >= 0) {
            let next = numbers.len();
            numbers.entry(*label).or_insert(next);
        }
        let mut classes = Self { positions: Vec::new(), labels: Vec::new(), members: vec![Vec::new(); numbers.len()] };
        for (position, label) in labels.iter().enumerate() {
            if let Some(class) = numbers.get(label) {
                classes.members[*class].push(classes.positions.len());
                classes.positions.push(position as i64);
                classes.labels.push(*class as i64);
            }
        }
        classes
    }

    fn rows_of(&self, features: &Tensor) -> Result<Tensor, ModelError> {
        Ok(features.f_index_select(0, &Tensor::f_from_slice(&self.positions)?)?)
    }

    /// Means `[classes, dimension]` of rows, and the number of photos in each.
    fn means(&self, rows: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
        let labels = Tensor::f_from_slice(&self.labels)?;
        let classes = self.members.len() as i64;
        let counts: Vec<f32> = self.members.iter().map(|members| members.len() as f32).collect();
        let counts = Tensor::f_from_slice(&counts)?.f_unsqueeze(1)?;
        let sums = Tensor::f_zeros([classes, rows.size()[1]], (Kind::Float, rows.device()))?;
        Ok((sums.f_index_add(0, &labels, rows)?.f_div(&counts)?, counts))
    }
}

/// How much each direction is stretched by the variance that is left in it after whitening.
#[derive(Clone, Copy)]
struct Stretch {
    /// Of the variance.
    power: f64,
    /// Whether variances are drawn towards their mean as the covariance is: few photos say little of directions in which
    /// they happen not to differ, and other species may.
    cautious: bool,
}

impl Stretch {
    /// Directions are only put in order.
    const NONE: Self = Self { power: 0.0, cautious: false };
}

/// A linear map in which photos are compared: (features - centre) * matrix, transposed.
struct Space {
    centre: Tensor,
    /// `[outputs, inputs]`.
    matrix: Tensor,
}

impl Space {
    /// The inverse square root of the covariance within the classes; then each direction stretched by a power of the
    /// variance that is left in it, which is the larger, the more the classes differ there: between the whitening and
    /// Fisher's discriminants, as in Fukunaga 1990, "Introduction to Statistical Pattern Recognition", chapter 10. Without
    /// stretching, the directions are not even put in order. `dimension` is that of the network's features.
    fn within_classes(
        rows: &Tensor,
        classes: &Classes,
        dimension: i64,
        stretch: Option<Stretch>,
    ) -> Result<Self, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let (count, inputs) = rows.size2()?;
        let (means, counts) = classes.means(rows)?;
        let labels = Tensor::f_from_slice(&classes.labels)?;
        let mut within = Tensor::f_zeros([inputs, inputs], (Kind::Float, rows.device()))?;
        for start in (0..count).step_by(CHUNK as usize) {
            let length = CHUNK.min(count - start);
            let own = means.f_index_select(0, &labels.f_narrow(0, start, length)?)?;
            let rest = rows.f_narrow(0, start, length)?.f_sub(&own)?;
            let _ = within.f_add_(&rest.f_transpose(0, 1)?.f_matmul(&rest)?)?;
        }
        let within = within.f_div_scalar(count.max(1) as f64)?;
        let centre = rows.f_mean_dim([0i64].as_slice(), false, Kind::Float)?;
        let apart = means.f_sub(&centre)?;
        let between = apart.f_transpose(0, 1)?.f_matmul(&apart.f_mul(&counts)?)?.f_div_scalar(count.max(1) as f64)?;
        Self::whitened(centre, &within, &within.f_add(&between)?, shrinkage(count as f64, dimension as f64), stretch)
    }

    /// From pairs of rows that are taken for the same species: their differences stand for those within a species.
    fn within_pairs(rows: &Tensor, pairs: &[(i64, i64)]) -> Result<Self, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let (count, inputs) = rows.size2()?;
        let mut within = Tensor::f_zeros([inputs, inputs], (Kind::Float, rows.device()))?;
        for some in pairs.chunks(CHUNK as usize) {
            let (a, b): (Vec<i64>, Vec<i64>) = some.iter().copied().unzip();
            let of = |positions: &[i64]| rows.f_index_select(0, &Tensor::f_from_slice(positions)?);
            let apart = of(&a)?.f_sub(&of(&b)?)?;
            let _ = within.f_add_(&apart.f_transpose(0, 1)?.f_matmul(&apart)?)?;
        }
        let within = within.f_div_scalar(2.0 * pairs.len().max(1) as f64)?;
        let centre = rows.f_mean_dim([0i64].as_slice(), false, Kind::Float)?;
        // No stretching: it takes a decomposition that is slow, and gains nothing here.
        Self::whitened(centre, &within, &within, shrinkage(count as f64, inputs as f64), None)
    }

    /// The map of a part of a head, about the mean of some rows.
    fn on_mean(rows: &Tensor, part: &HeadPart) -> Result<Self, ModelError> {
        let (_, matrix) = part.tensors()?;
        Ok(Self { centre: rows.f_mean_dim([0i64].as_slice(), false, Kind::Float)?, matrix })
    }

    fn whitened(
        centre: Tensor,
        within: &Tensor,
        total: &Tensor,
        shrinkage: f64,
        stretch: Option<Stretch>,
    ) -> Result<Self, ModelError> {
        let inputs = within.size()[0];
        let identity = identity(within)?;
        let level = within.f_trace()?.f_double_value(&[])? / inputs as f64;
        let shrunk =
            within.f_mul_scalar(1.0 - shrinkage)?.f_add(&identity.f_mul_scalar(level.max(TINY) * shrinkage)?)?;
        // By a triangular factor: similarities are the same as with the symmetric root, and it is much faster.
        let root = shrunk.f_linalg_cholesky(false)?;
        let whitening = root.f_linalg_solve_triangular(&identity, false, true, false)?;
        let Some(Stretch { power, cautious }) = stretch else { return Ok(Self { centre, matrix: whitening }) };
        let total = whitening.f_matmul(total)?.f_matmul(&whitening.f_transpose(0, 1)?)?;
        let (variances, directions) = total.f_linalg_eigh("L")?;
        // They come in ascending order.
        let (variances, directions) = (variances.f_flip([0].as_slice())?, directions.f_flip([1].as_slice())?);
        let variances = if cautious {
            let level = variances.f_mean(Kind::Float)?.f_mul_scalar(shrinkage)?;
            variances.f_mul_scalar(1.0 - shrinkage)?.f_add(&level)?
        } else {
            variances
        };
        let stretch = variances.f_clamp_min(TINY)?.f_pow_tensor_scalar(power)?.f_unsqueeze(1)?;
        let matrix = directions.f_transpose(0, 1)?.f_matmul(&whitening)?.f_mul(&stretch)?;
        Ok(Self { centre, matrix })
    }

    /// The directions of the largest variances alone.
    fn first(&self, count: i64) -> Result<Self, ModelError> {
        let matrix = self.matrix.f_narrow(0, 0, count.min(self.matrix.size()[0]))?;
        Ok(Self { centre: self.centre.shallow_clone(), matrix })
    }

    fn project(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        let (count, matrix) = (rows.size()[0], self.matrix.f_transpose(0, 1)?);
        let projected = Tensor::f_empty([count, self.matrix.size()[0]], (Kind::Float, rows.device()))?;
        for start in (0..count).step_by(CHUNK as usize) {
            let length = CHUNK.min(count - start);
            let some = rows.f_narrow(0, start, length)?.f_sub(&self.centre)?.f_matmul(&matrix)?;
            projected.f_narrow(0, start, length)?.f_copy_(&some)?;
        }
        Ok(projected)
    }

    /// A part of a head: `matrix` on the features without their centre.
    fn part(&self, matrix: &Tensor, power: f64) -> Result<HeadPart, ModelError> {
        let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.f_contiguous()?.f_view([-1])?);
        Ok(HeadPart { weight: 1.0, power: power as f32, centre: values(&self.centre)?, matrix: values(matrix)? })
    }
}

/// As large as a square matrix.
fn identity(like: &Tensor) -> Result<Tensor, ModelError> {
    Ok(Tensor::f_eye(like.size()[0], (Kind::Float, like.device()))?)
}

/// How much a covariance is drawn towards the identity: the fewer photos there are for its dimension, the more.
fn shrinkage(photos: f64, inputs: f64) -> f64 {
    let prior = PRIOR * inputs;
    prior / (photos + prior)
}

/// How one attempt at learning went.
enum Attempt {
    /// The map, a square matrix.
    Learnt(Tensor),
    Failed(Alarm),
}

/// A linear map of the inputs `[n, d]` to as many numbers that makes the loss small, beginning with the identity; `None`
/// where that always goes wrong, or there is only one class.
fn learn(
    inputs: &Tensor,
    classes: &Classes,
    rate: f64,
    options: &HeadOptions,
    tell: &mut dyn FnMut(HeadProgress) -> bool,
) -> Result<Option<Tensor>, ModelError> {
    if classes.members.len() < 2 {
        return Ok(None);
    }
    // Rates and scales are made for inputs of about length 1.
    let length = inputs.f_norm_scalaropt_dim(2.0, [-1i64].as_slice(), true)?.f_mean(Kind::Float)?.f_clamp_min(TINY)?;
    let inputs = inputs.f_div(&length)?;
    let mut loss = options.loss.unwrap_or_default();
    let mut slowness = 1.0;
    for _ in 0..=MAX_RETRIES {
        let alarm =
            match attempt(&inputs, classes, loss, [rate, PROXY_RATE].map(|rate| rate * slowness), options, tell)? {
                Attempt::Learnt(matrix) => return Ok(Some(matrix)),
                Attempt::Failed(alarm) => alarm,
            };
        slowness *= RATE_AFTER_ALARM;
        let notice = match alarm {
            Alarm::NonFiniteLoss => {
                "Training diverged (the loss became infinite); starting over at a lower learning rate".to_owned()
            }
            Alarm::Collapsed => {
                loss = Loss::NormalisedSoftmax;
                "Embeddings collapsed (all photos look alike); starting over with another loss".to_owned()
            }
        };
        log::warn!("{notice}");
        if !tell(HeadProgress { notice: Some(notice), ..HeadProgress::default() }) {
            return Ok(None);
        }
    }
    let notice =
        "No loss could be made small; only the part of the head that is computed in closed form is used".to_owned();
    tell(HeadProgress { notice: Some(notice), ..HeadProgress::default() });
    Ok(None)
}

fn attempt(
    inputs: &Tensor,
    classes: &Classes,
    loss: Loss,
    [rate, proxy_rate]: [f64; 2],
    options: &HeadOptions,
    tell: &mut dyn FnMut(HeadProgress) -> bool,
) -> Result<Attempt, ModelError> {
    let width = inputs.size()[1];
    let labels = Tensor::f_from_slice(&classes.labels)?;
    let mut random = Random::new(options.seed);
    let matrix = Tensor::f_eye(width, (Kind::Float, inputs.device()))?.f_set_requires_grad(true)?;
    let objective = Objective::new(loss, classes.members.len() as i64, width, Device::Cpu)?;
    let group = |parameters, learning_rate| Group { parameters, learning_rate, weight_decay: 0.0 };
    let mut optimiser = AdamW::new(vec![
        group(vec![matrix.shallow_clone()], rate),
        group(objective.parameters(), proxy_rate * objective.proxy_rate()),
    ])?;
    let mut watchdog = Watchdog::new(objective.collapsed());
    let photos: Vec<usize> = (0..classes.positions.len()).collect();
    let epochs = options.epochs.unwrap_or(EPOCHS).max(1);
    let mut progress = HeadProgress { epochs, ..HeadProgress::default() };
    let mut told = Instant::now();
    for epoch in 0..epochs {
        let batches = if loss.needs_pairs() {
            paired_batches(&classes.members, BATCH, &mut random)
        } else {
            random_batches(&photos, BATCH, &mut random)
        };
        progress.epoch = epoch + 1;
        progress.steps = batches.len() as u64 * u64::from(epochs);
        let (mut sum, mut last) = (0.0, batches.len());
        for batch in &batches {
            let positions: Vec<i64> = batch.iter().map(|position| *position as i64).collect();
            let positions = Tensor::f_from_slice(&positions)?;
            let some = dropped_out(&inputs.f_index_select(0, &positions)?, &mut random)?;
            let embeddings = normalised(&some.f_matmul(&matrix.f_transpose(0, 1)?)?)?;
            let value = objective.of(&embeddings, &labels.f_index_select(0, &positions)?)?;
            value.f_backward()?;
            let value = value.f_double_value(&[])?;
            if let Some(alarm) = watchdog.look(value, variance_ratio(&embeddings)?) {
                return Ok(Attempt::Failed(alarm));
            }
            progress.step += 1;
            progress.photos += batch.len() as u64;
            sum += value;
            last -= 1;
            // Half a cosine down to nothing (Loshchilov and Hutter 2017, "SGDR").
            let passed = progress.step as f64 / progress.steps as f64;
            optimiser.step(0.5 * (1.0 + (std::f64::consts::PI * passed).cos()))?;
            let mean = (last == 0).then(|| sum / batches.len() as f64);
            if mean.is_some() || told.elapsed() > TELL_EVERY {
                told = Instant::now();
                if !tell(HeadProgress { loss: mean, ..progress.clone() }) {
                    return Ok(Attempt::Learnt(matrix.f_detach()?));
                }
            }
        }
    }
    Ok(Attempt::Learnt(matrix.f_detach()?))
}

/// Dropout (Srivastava et al. 2014). The choice is made by our own generator: libtorch's is shared by the whole process,
/// so that the same seed would not give the same model.
fn dropped_out(rows: &Tensor, random: &mut Random) -> Result<Tensor, ModelError> {
    let threshold = (DROPOUT * 256.0) as u8;
    let kept = 256.0 / (256.0 - f32::from(threshold));
    let mut mask = vec![0.0f32; rows.numel()];
    for eight in mask.chunks_mut(8) {
        for (value, byte) in eight.iter_mut().zip(random.next_u64().to_le_bytes()) {
            *value = if byte < threshold { 0.0 } else { kept };
        }
    }
    Ok(rows.f_mul(&Tensor::f_from_slice(&mask)?.f_view_as(rows)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of 40 photos of each of some species: what tells species apart lies in the last four numbers, and what
    /// differs within all of them in the first two, which are much larger.
    fn photos(species: std::ops::Range<u64>) -> (Tensor, Vec<i64>) {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for number in species {
            let own = Random::new(number + 1).normals(4);
            for photo in 0..40 {
                let noise = Random::new(1000 * number + photo + 7).normals(6);
                let own = own.iter().zip(&noise[2..]).map(|(own, noise)| own + 0.3 * noise);
                values.extend(noise[..2].iter().map(|noise| 9.0 * noise).chain(own));
                labels.push(number as i64);
            }
        }
        let rows = Tensor::from_slice(&values).view([labels.len() as i64, 6]);
        (normalised(&rows).unwrap(), labels)
    }

    /// How often the nearest other photo is of the same species.
    fn recall(rows: &Tensor, labels: &[i64]) -> f64 {
        let similar = rows.matmul(&rows.transpose(0, 1)).fill_diagonal_(-2.0, false);
        let nearest = Vec::<i64>::try_from(similar.argmax(1, false)).unwrap();
        let right = nearest.iter().zip(labels).filter(|(nearest, label)| labels[**nearest as usize] == **label);
        right.count() as f64 / labels.len() as f64
    }

    #[test]
    fn a_head_for_other_species_serves_those_that_it_has_not_seen_and_learns_none_by_heart() {
        let ((known, labels), (other, others)) = (photos(0..12), photos(100..106));
        let fit = |seed| {
            let options = HeadOptions { focus: Focus::OtherSpecies, seed, ..HeadOptions::default() };
            fit(&known, &labels, &options, None, &mut |_| panic!("nothing is learnt")).unwrap()
        };
        let head = fit(0);
        assert_eq!((head.dimension(), head.parts[0].power), (6, 1.0));
        assert!(head == fit(1), "it follows from the photos alone");
        let (before, after) = (recall(&other, &others), recall(&head.project(&other).unwrap(), &others));
        assert!(after > before + 0.1, "{before} {after}");
        // What is learnt in its space serves those species that it is learnt from no less.
        let options = HeadOptions::default();
        let on_it = super::fit(&other, &others, &options, Some(&head.parts[0]), &mut |_| true).unwrap();
        let own = recall(&on_it.project(&other).unwrap(), &others);
        assert!(own > after - 0.02, "{after} {own}");
    }
}

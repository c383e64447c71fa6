//! How long a training will take: by the last one of its kind on this computer, else by a trial.

use std::path::Path;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::dataset::has_labels;
use super::hyperparameters::{Hyperparameters, TRIPLETS_PER_CLASS};
use super::last_run::{self, LastRun};
use super::network::TrainableNetwork;
use super::plan::start_model;
use super::replicas::replica_count;
use super::steps::{Course, Step};
use super::{TrainError, cores};
use crate::artefact::{Model, ModelFolder, Recipe, TrainOptions};
use crate::device::{DeviceChoice, open_device};
use crate::library::Library;
use crate::model::threads::on_own_thread;
use crate::model::{Architecture, HeadPart};
use crate::train::progress::TimeRange;

/// How far the truth may lie from the time of the last run, either way; further where that had far fewer photos or far
/// more.
const AFTER_A_RUN: f64 = 1.3;
/// From a trial, which knows the learning and little else.
const AFTER_A_TRIAL: [f64; 2] = [0.7, 2.3];
/// Without either.
const UNKNOWN: [f64; 2] = [0.7, 5.0];

/// What is to be learnt from, on this computer.
pub(crate) struct Folder<'a> {
    pub(crate) library: &'a Library,
    pub(crate) photos: usize,
    pub(crate) is_labelled: bool,
}

impl<'a> Folder<'a> {
    /// With these photos.
    pub(crate) fn new<'p>(library: &'a Library, photos: impl Iterator<Item = &'p Path> + Clone) -> Self {
        Self { library, photos: photos.clone().count(), is_labelled: has_labels(photos) }
    }
}

/// About how long a training takes where `present` is in use, said before it begins; for a network of which there was no
/// training here yet it is tried out, which takes some seconds. `None` where the device or the model that it begins with is
/// not there.
pub(crate) fn estimate(
    options: &TrainOptions,
    models: &ModelFolder,
    present: &Model,
    folder: &Folder,
    device: DeviceChoice,
) -> Option<TimeRange> {
    let time = || {
        let start = start_model(models, present, options)?;
        let device = open_device(device)?;
        if let Some(range) = of_the_last(options, &start, folder, device) {
            return Ok(Some(range));
        }
        if options.recipe == Recipe::Quick {
            // Measured on two cores: whitening, a head for the proof and one for use.
            return Ok(range(1.5 + folder.photos as f64 * 0.0012, UNKNOWN));
        }
        // With another backbone than the present one's, the photos are embedded before as well as after.
        let embeddings = if start.card.backbone == present.card.backbone { 1.0 } else { 2.0 };
        Ok(of_a_network(options, &start, folder.photos, embeddings, device)?.and_then(|s| range(s, AFTER_A_TRIAL)))
    };
    time().inspect_err(|error: &TrainError| log::warn!("The time of a training cannot be told: {error}")).ok().flatten()
}

/// The same where it is known without a trial.
pub(crate) fn estimate_by_last(
    options: &TrainOptions,
    models: &ModelFolder,
    present: &Model,
    folder: &Folder,
    device: DeviceChoice,
) -> Option<TimeRange> {
    of_the_last(options, &start_model(models, present, options).ok()?, folder, open_device(device).ok()?)
}

fn of_the_last(options: &TrainOptions, start: &Model, folder: &Folder, device: Device) -> Option<TimeRange> {
    let Folder { library, photos, is_labelled } = *folder;
    let kind = last_run::Kind::of(library, options, is_labelled, start.card.architecture, photos, device);
    let last = kind.last()?;
    let steps = Course::expected(options, is_labelled, photos, None).steps();
    let seconds: f64 = kind.seconds(&last, &steps).iter().sum();
    range(seconds, around(&kind, &last))
}

/// From and to which part of the time: what has grown most makes it uncertain.
fn around(kind: &last_run::Kind, last: &LastRun) -> [f64; 2] {
    let growth = kind.growth(last, Step::LearnFromAll);
    let spread = AFTER_A_RUN * growth.max(1.0 / growth).powf(0.25);
    [1.0 / spread, spread]
}

/// A time in seconds with what it may be instead; `None` where it is none.
fn range(seconds: f64, [low, high]: [f64; 2]) -> Option<TimeRange> {
    let time = |factor| Duration::try_from_secs_f64(seconds * factor).ok();
    Some(TimeRange { low: time(low)?, high: time(high)? })
}

/// Seconds for a network: told by a few steps on made-up pictures; learning, then embedding all photos.
fn of_a_network(
    options: &TrainOptions,
    start: &Model,
    photos: usize,
    embeddings: f64,
    device: Device,
) -> Result<Option<f64>, TrainError> {
    let hyperparameters = Hyperparameters::of(options, start.card.architecture, photos, device);
    let (networks, threads) = match replica_count(device, hyperparameters.loss) {
        0 => (1, cores()),
        replicas => (replicas, 1),
    };
    let rate =
        networks as f64 * on_own_thread(threads, || learning_speed(options.recipe, start, &hyperparameters, device))?;
    let pictures = match hyperparameters.loss {
        Some(_) => photos as f64,
        // Three in a triplet; the classes are not known here, about 64 photos make one in the flowers that it was made for.
        None => (photos / 64 * TRIPLETS_PER_CLASS * 3) as f64,
    };
    Ok(seconds_of(pictures * f64::from(hyperparameters.epochs), embeddings * photos as f64, rate))
}

/// Seconds of learning from some pictures and embedding others, at so many pictures learnt from a second; `None` where
/// that is no speed.
fn seconds_of(learnt: f64, embedded: f64, rate: f64) -> Option<f64> {
    let seconds = learnt / rate + embedded / (3.0 * rate);
    (rate > 0.0 && seconds.is_finite()).then_some(seconds)
}

/// Pictures a second that one network learns from.
fn learning_speed(
    recipe: Recipe,
    start: &Model,
    hyperparameters: &Hyperparameters,
    device: Device,
) -> Result<f64, TrainError> {
    let learner = if recipe == Recipe::Full {
        let dimension = start.card.architecture.dimension();
        let first =
            HeadPart { weight: 1.0, power: 1.0, centre: vec![0.0; dimension], matrix: vec![0.01; dimension * 64] };
        TrainableNetwork::fine_tune(start, &first, device)?
    } else {
        TrainableNetwork::from_scratch(Architecture::SiameseResNet18, 0, device)?
    };
    // A part of a batch as each thread gets it. The first step is slower: libtorch compiles for it.
    let count = if device == Device::Cpu { 8 } else { hyperparameters.batch_size as i64 };
    let side = i64::from(hyperparameters.side);
    let pictures = Tensor::f_zeros([count, side, side, 3], (Kind::Uint8, device))?;
    let mut speed = 0.0;
    for _ in 0..3 {
        let began = Instant::now();
        learner.embed(&pictures)?.f_sum(Kind::Float)?.f_backward()?;
        speed = count as f64 / began.elapsed().as_secs_f64();
    }
    Ok(speed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with so many photos in each of two species.
    fn photos(each: usize) -> Vec<std::path::PathBuf> {
        (0..2 * each).map(|number| format!("species {}/{number}.jpg", number % 2).into()).collect()
    }

    #[test]
    fn a_speed_that_is_none_gives_no_time() {
        assert_eq!(seconds_of(60.0, 90.0, 3.0), Some(30.0));
        for rate in [0.0, -1.0, f64::NAN, 1e-310] {
            assert_eq!(seconds_of(60.0, 90.0, rate), None, "{rate}");
        }
        assert_eq!(range(1e300, UNKNOWN), None);
    }

    #[test]
    fn the_last_run_makes_the_range_narrow_and_without_one_it_is_wide() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library { root: "/photos".into(), folder: folder.path().join("libraries/one") };
        let models = ModelFolder::new(folder.path().join("models"));
        let options = TrainOptions::default();
        let estimate = |photos: &[std::path::PathBuf]| {
            let there = Folder::new(&library, photos.iter().map(AsRef::as_ref));
            let range = estimate(&options, &models, &Model::built_in(), &there, DeviceChoice::Cpu).unwrap();
            assert!(range.high > range.low);
            (range.low.as_secs_f64(), range.high.as_secs_f64() / range.low.as_secs_f64())
        };
        let small = photos(50);
        let (_, factor) = estimate(&small);
        assert!(factor >= 3.0, "{factor}");
        let there = Folder::new(&library, small.iter().map(AsRef::as_ref));
        let known = estimate_by_last(&options, &models, &Model::built_in(), &there, DeviceChoice::Cpu);
        assert_eq!((known, there.is_labelled), (None, true));

        let architecture = Model::built_in().card.architecture;
        let kind = last_run::Kind::of(&library, &options, true, architecture, 100, Device::Cpu);
        kind.remember([(Step::CrossValidate, 8.0), (Step::LearnFromAll, 2.0)].into());
        let (low, factor) = estimate(&small);
        assert!((7.0..11.0).contains(&low) && factor < 1.8, "{low} {factor}");
        // Five times as many photos: longer, and less certain.
        let (more, wider) = estimate(&photos(250));
        assert!(more > 2.0 * low && wider > factor, "{more} {wider}");
    }

    #[test]
    fn the_network_that_is_tried_out_is_the_one_that_would_learn() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::new(folder.path().into());
        let library = Library { root: "/photos".into(), folder: folder.path().join("libraries/one") };
        let photos = photos(32);
        let there = Folder::new(&library, photos.iter().map(AsRef::as_ref));
        let estimate =
            |options: TrainOptions| estimate(&options, &models, &Model::built_in(), &there, DeviceChoice::Cpu);
        let full = TrainOptions { recipe: Recipe::Full, epochs: Some(1), ..TrainOptions::default() };
        assert!(estimate(full.clone()).is_some_and(|time| time.high >= 3 * time.low));
        // A model that has been deleted cannot be tried out.
        assert_eq!(estimate(TrainOptions { start: Some("gone".into()), ..full }), None);
    }
}

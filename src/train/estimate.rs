//! How long a training will take.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::hyperparameters::{Hyperparameters, TRIPLETS_PER_CLASS};
use super::network::TrainableNetwork;
use super::plan::start_model;
use super::replicas::replica_count;
use super::{TrainError, cores};
use crate::artefact::{Model, ModelFolder, Recipe, TrainOptions};
use crate::device::{DeviceChoice, open_device};
use crate::model::threads::on_own_thread;
use crate::model::{Architecture, HeadPart};

/// About how long a training takes where `present` is in use, said before it begins; for a network it is tried out, which
/// takes some seconds. `None` where the device or the model that it begins with is not there.
pub(crate) fn estimate(
    options: &TrainOptions,
    models: &ModelFolder,
    present: &Model,
    photos: usize,
    device: DeviceChoice,
) -> Option<Duration> {
    if options.recipe == Recipe::Quick {
        // Measured on two cores: whitening, a head for the proof and one for use.
        return Duration::try_from_secs_f64(1.5 + photos as f64 * 0.0012).ok();
    }
    let time = || {
        let start = start_model(models, present, options)?;
        // With another backbone than the present one's, the photos are embedded before as well as after.
        let embeddings = if start.card.backbone == present.card.backbone { 1.0 } else { 2.0 };
        of_a_network(options, &start, photos, embeddings, open_device(device)?)
    };
    time().inspect_err(|error| log::warn!("The time of a training cannot be told: {error}")).ok().flatten()
}

/// For a network: told by a few steps on made-up pictures; learning, then embedding all photos.
fn of_a_network(
    options: &TrainOptions,
    start: &Model,
    photos: usize,
    embeddings: f64,
    device: Device,
) -> Result<Option<Duration>, TrainError> {
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
    Ok(duration_of(pictures * f64::from(hyperparameters.epochs), embeddings * photos as f64, rate))
}

/// Learning from some pictures and embedding others, at so many pictures learnt from a second; `None` where that is no
/// speed.
fn duration_of(learnt: f64, embedded: f64, rate: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(learnt / rate + embedded / (3.0 * rate)).ok()
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

    #[test]
    fn a_speed_that_is_none_gives_no_time() {
        assert_eq!(duration_of(60.0, 90.0, 3.0), Some(Duration::from_secs(30)));
        for rate in [0.0, -1.0, f64::NAN, 1e-300] {
            assert_eq!(duration_of(60.0, 90.0, rate), None, "{rate}");
        }
    }

    #[test]
    fn the_network_that_is_tried_out_is_the_one_that_would_learn() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::new(folder.path().into());
        let estimate = |options: TrainOptions| estimate(&options, &models, &Model::built_in(), 64, DeviceChoice::Cpu);
        let full = TrainOptions { recipe: Recipe::Full, epochs: Some(1), ..TrainOptions::default() };
        assert!(estimate(full.clone()).is_some_and(|time| time > Duration::ZERO));
        // A model that has been deleted cannot be tried out.
        assert_eq!(estimate(TrainOptions { start: Some("gone".into()), ..full }), None);
    }
}

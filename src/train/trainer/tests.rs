//! The trainer on small libraries.

use super::recovery::MAX_RECOVERIES;
use super::*;
use crate::artefact::{GENERAL, Loss, Model, Recipe, TrainOptions};
use crate::catalog::Catalog;
use crate::device::DeviceChoice;
use crate::embed::Embedder;
use crate::garden;
use crate::ingest::ingest;
use crate::job::Cancel;
use crate::library::{DataFolder, Library};
use crate::train::TrainingEvent;
use crate::train::holdout::{HoldOut, Scheme};
use crate::train::overall::OverallMeter;
use crate::train::plan::TrainingPlan;
use crate::train::steps::Step;
use tch::Kind;

/// A library of sixteen pictures of four species.
struct World {
    _folder: tempfile::TempDir,
    data: DataFolder,
    library: Library,
    embedder: Embedder,
    dataset: Dataset,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("photos");
        for species in garden::SPECIES.iter().take(4) {
            std::fs::create_dir_all(photos.join(species.name)).unwrap();
            for number in 1..=4 {
                let picture = image::imageops::thumbnail(&garden::draw(species, number), 200, 200);
                picture.save(photos.join(species.name).join(format!("{number}.jpg"))).unwrap();
            }
        }
        let data = DataFolder::open(Some(folder.path().join("data"))).unwrap();
        let library = data.library(&photos).unwrap();
        let _lock = library.lock().unwrap();
        let mut catalog = Catalog::open(&library.folder).unwrap();
        let embedder = Embedder::start(DeviceChoice::Cpu, Model::general()).unwrap();
        ingest(&library, &mut catalog, &embedder, &Cancel::default(), &mut |_| {});
        let dataset = Dataset::load(&catalog, GENERAL).unwrap();
        assert_eq!(dataset.photos.len(), 16);
        Self { _folder: folder, data, library, embedder, dataset }
    }

    /// Learns; `change` alters the trainer first, and `hear` is told everything, with what cancels.
    fn learn(
        &self,
        options: &TrainOptions,
        resume: bool,
        change: impl FnOnce(&mut Trainer),
        mut hear: impl FnMut(&TrainEvent, &Cancel),
    ) -> Result<Option<Vec<NamedTensor>>, TrainError> {
        let (models, present, cancel) = (self.data.models(), Model::general(), Cancel::default());
        let plan = TrainingPlan {
            library: &self.library,
            models: &models,
            device: DeviceChoice::Cpu,
            active: &present,
            embedder: &self.embedder,
            options,
            resume,
            stop: &Cancel::default(),
            cancel: &cancel,
        };
        let training = Training { plan, start: present.clone(), embedder: self.embedder.clone() };
        let mut events = |event: TrainingEvent| {
            if let TrainingEvent::Train(event) = event {
                hear(&event, &cancel);
            }
        };
        let mut reporter = ProgressReporter::new(&mut events, OverallMeter::new(vec![Step::Network], 1, None));
        let scheme = Scheme { folds: 5, rounds: 1, keep: 1 };
        let split = HoldOut::new(&self.dataset, scheme).unwrap().splits().remove(0);
        let mut trainer = Trainer::new(&training, &self.dataset, &split, Device::Cpu, &mut reporter)?;
        change(&mut trainer);
        trainer.run()
    }
}

fn options(recipe: Recipe, epochs: u32) -> TrainOptions {
    TrainOptions { recipe, epochs: Some(epochs), ..TrainOptions::default() }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_weights_as_one_that_was_never_stopped() {
    let world = World::new();
    let options = options(Recipe::Full, 2);
    let whole = world.learn(&options, false, |_| {}, |_, _| {}).unwrap().unwrap();
    let stopped = world.learn(
        &options,
        false,
        |_| {},
        |event, cancel| {
            if matches!(event, TrainEvent::Curve(CurvePoint { validation: Some(_), .. })) {
                cancel.cancel();
            }
        },
    );
    assert!(stopped.unwrap().is_none());
    assert_eq!(checkpoint::pending(&world.library.folder).as_ref(), Some(&options));
    let mut epochs = Vec::new();
    let resumed = world.learn(
        &options,
        true,
        |_| {},
        |event, _| {
            if let TrainEvent::Progress(progress) = event {
                epochs.push(progress.epoch);
            }
        },
    );
    assert!(resumed.unwrap().unwrap() == whole, "other weights");
    assert!(!epochs.contains(&1), "{epochs:?}");
}

#[test]
fn a_learning_that_overshoots_is_answered_and_at_last_given_up() {
    let world = World::new();
    let mut notices = Vec::new();
    let absurd = |trainer: &mut Trainer| {
        trainer.hyperparameters.warm_up = None;
        trainer.optimisation.rates.learning_rates = [1e12; 3];
        trainer.optimisation.set_loss(trainer.hyperparameters.loss, &trainer.set).unwrap();
        trainer.take_snapshot().unwrap();
    };
    let end = world.learn(&options(Recipe::Full, 40), false, absurd, |event, _| {
        if let TrainEvent::Notice(text) = event {
            notices.push(text.clone());
        }
    });
    assert!(matches!(end, Err(TrainError::Diverged)), "{:?}", end.map(|weights| weights.map(|w| w.len())));
    assert_eq!(notices.len() as u32, MAX_RECOVERIES, "{notices:?}");
    assert!(notices.iter().all(|text| text.contains("more slowly")), "{notices:?}");
}

#[test]
fn a_collapse_is_answered_from_the_last_sound_weights_and_with_another_loss() {
    let world = World::new();
    let options = TrainOptions { loss: Some(Loss::BatchHardTriplet), ..options(Recipe::Full, 1) };
    let collapse = |trainer: &mut Trainer| {
        let sound = trainer.optimisation.network.finish().unwrap();
        let zero = |trainer: &Trainer| {
            for weight in trainer.optimisation.network.backbone_parameters() {
                let _ = weight.detach().zero_();
            }
        };
        zero(trainer);
        trainer.recover(Alarm::Collapsed).unwrap();
        assert_eq!(trainer.state.loss, Some(Loss::NormalisedSoftmax));
        let largest = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
        assert!(
            trainer.optimisation.network.backbone_parameters().iter().any(|weight| largest(weight) > 0.0),
            "still collapsed"
        );
        assert!(trainer.optimisation.network.finish().unwrap() == sound);
        // What it goes back to is a copy: learning does not change it.
        zero(trainer);
        assert!(largest(&trainer.snapshot.tensors["_conv_head.weight"]) > 0.0, "not a copy");
        trainer.rewind().unwrap();
    };
    assert!(world.learn(&options, false, collapse, |_, _| {}).unwrap().is_some());
}

#[test]
fn an_optimiser_that_begins_anew_counts_its_steps_from_the_beginning() {
    let world = World::new();
    let options = TrainOptions { loss: Some(Loss::BatchHardTriplet), ..options(Recipe::Full, 1) };
    let collapse = |trainer: &mut Trainer| {
        trainer.state.steps = 500;
        trainer.take_snapshot().unwrap();
        trainer.recover(Alarm::Collapsed).unwrap();
        assert_eq!((trainer.optimisation.optimiser_steps(), trainer.state.steps), (0, 500));
        // Of a checkpoint, too, and one that lacks moments is refused.
        let mut state = trainer.optimisation.state();
        assert!(state.remove("optimiser.3").is_some());
        assert!(matches!(trainer.optimisation.restore(&state, 0), Err(ModelError::MissingTensor(_))));
        let mut state = trainer.optimisation.state();
        assert!(state.remove("objective.0").is_some());
        assert!(matches!(trainer.optimisation.restore(&state, 0), Err(ModelError::MissingTensor(_))));
    };
    assert!(world.learn(&options, false, collapse, |_, _| {}).unwrap().is_some());
}

#[test]
fn the_gradients_of_an_unfinished_step_are_forgotten() {
    let world = World::new();
    let interrupt = |trainer: &mut Trainer| {
        let replicas =
            trainer.optimisation.replicas.iter_mut().map(|replica| replica.get_mut().unwrap().backbone_parameters());
        let parameters: Vec<Tensor> = replicas
            .flatten()
            .chain(trainer.optimisation.network.backbone_parameters())
            .chain(trainer.optimisation.network.projection_parameters())
            .collect();
        for parameter in &parameters {
            parameter.sum(Kind::Float).backward();
        }
        trainer.recover_from_out_of_memory().unwrap();
        let left = parameters.iter().filter(|p| p.grad().defined() && p.grad().abs().max().double_value(&[]) > 0.0);
        assert_eq!(left.count(), 0);
    };
    world.learn(&options(Recipe::Full, 1), false, interrupt, |_, _| {}).unwrap();
}

#[test]
fn the_curve_is_cut_back_to_where_the_training_goes_back_to() {
    let world = World::new();
    let mut curve: Vec<CurvePoint> = Vec::new();
    let mut is_first = true;
    let back = |trainer: &mut Trainer| {
        for loss in [3.0, 2.0] {
            trainer.state.batch += 1;
            trainer.add_point(4, Some(loss), None);
        }
        trainer.rewind().unwrap();
        assert!(trainer.state.curve.is_empty());
    };
    world
        .learn(&options(Recipe::Full, 2), false, back, |event, _| match event {
            TrainEvent::Curve(point) => curve.push(*point),
            TrainEvent::CurveReplaced(points) => {
                assert!(std::mem::take(&mut is_first) && curve.len() == 2);
                curve.clone_from(points);
            }
            _ => {}
        })
        .unwrap();
    let epochs: Vec<f64> = curve.iter().filter(|point| point.loss.is_some()).map(|point| point.epoch).collect();
    assert!(!epochs.is_empty() && epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}

#[test]
fn a_full_memory_is_answered_with_half_the_batch() {
    let world = World::new();
    let mut notices = Vec::new();
    let halve = |trainer: &mut Trainer| {
        trainer.recover_from_out_of_memory().unwrap();
    };
    let weights = world.learn(&options(Recipe::Full, 1), false, halve, |event, _| {
        if let TrainEvent::Notice(text) = event {
            notices.push(text.clone());
        }
    });
    assert!(weights.unwrap().is_some());
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].starts_with("Out of memory"), "{notices:?}");
}

#[test]
fn the_tutorials_network_learns_from_scratch() {
    let world = World::new();
    let mut losses = Vec::new();
    let weights = world.learn(
        &options(Recipe::Tutorial, 1),
        false,
        |_| {},
        |event, _| {
            if let TrainEvent::Curve(CurvePoint { loss: Some(loss), .. }) = event {
                losses.push(*loss);
            }
        },
    );
    let weights = weights.unwrap().unwrap();
    assert!(!losses.is_empty() && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    let mean = weights.iter().find(|weight| weight.name == "bn1.running_mean").unwrap();
    assert!(mean.values.iter().any(|value| *value != 0.0), "batch norms learn their statistics");
}

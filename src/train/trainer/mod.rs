//! The training of a whole network: epochs of batches, each validated at its end, watched all the time, and kept on
//! disk.
//!
//! [`Trainer`] is the loop. What it learns from is a [`TrainingSet`], what a step changes an [`Optimisation`], what it does
//! when a training goes wrong stands in `recovery`.

mod batches;
mod optimisation;
mod recovery;
mod throughput;
mod validation;

use std::time::{Duration, Instant};

use tch::{Device, Tensor};

use super::checkpoint::{self, TrainerState};
use super::dataset::Dataset;
use super::holdout::Split;
use super::hyperparameters::Hyperparameters;
use super::network::TrainableNetwork;
use super::reporter::ProgressReporter;
use super::watchdog::{Alarm, Watchdog};
use super::{TrainError, Training, head};
use crate::artefact::NamedTensor;
use crate::model::{Architecture, HeadPart, ModelError, NamedTensors};
use crate::train::progress::{CurvePoint, TrainEvent};
use batches::TrainingSet;
use optimisation::{Optimisation, Rates};
use throughput::Throughput;

/// A checkpoint is written at the end of each epoch, and this often meanwhile.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);
/// The curve gets a point this often.
const POINTS_PER_EPOCH: usize = 20;

/// One training of a network, from its beginning or its checkpoint to the weights.
pub(super) struct Trainer<'a, 'b, 'c> {
    training: &'a Training<'a>,
    split: &'a Split,
    reporter: &'b mut ProgressReporter<'c>,
    hyperparameters: Hyperparameters,
    set: TrainingSet<'a>,
    optimisation: Optimisation,
    watchdog: Watchdog,
    state: TrainerState,
    /// What a recovery goes back to.
    snapshot: Snapshot,
    saved_at: Instant,
    throughput: Throughput,
}

/// A training in which nothing had gone wrong yet.
#[derive(Default)]
struct Snapshot {
    state: TrainerState,
    tensors: NamedTensors,
}

/// How an epoch ended.
enum EpochEnd {
    Completed,
    /// By the user.
    Interrupted,
    /// By the watchdog.
    Alarm(Alarm),
}

impl<'a, 'b, 'c> Trainer<'a, 'b, 'c> {
    pub(super) fn new(
        training: &'a Training<'a>,
        data: &'a Dataset,
        split: &'a Split,
        device: Device,
        reporter: &'b mut ProgressReporter<'c>,
    ) -> Result<Self, TrainError> {
        let set = TrainingSet::new(data, &split.learn, training.plan.library);
        let architecture = training.start.card.architecture;
        let hyperparameters = Hyperparameters::of(training.plan.options, architecture, set.len(), device);
        let network = match hyperparameters.loss {
            Some(_) => TrainableNetwork::fine_tune(&training.start, &first_projection(&set)?, device)?,
            None => TrainableNetwork::from_scratch(Architecture::SiameseResNet18, training.plan.options.seed, device)?,
        };
        let rates = Rates::of(&hyperparameters);
        let optimisation = Optimisation::new(network, rates, hyperparameters.loss, &set)?;
        let state = TrainerState {
            options: training.plan.options.clone(),
            data: data.fingerprint(&split.learn),
            rate_factor: 1.0,
            loss: hyperparameters.loss,
            batch_size: hyperparameters.batch_size,
            ..TrainerState::default()
        };
        let mut trainer = Self {
            training,
            split,
            reporter,
            hyperparameters,
            set,
            watchdog: optimisation.watchdog(),
            optimisation,
            state,
            snapshot: Snapshot::default(),
            saved_at: Instant::now(),
            throughput: Throughput::start(),
        };
        if training.plan.resume {
            trainer.resume()?;
        }
        trainer.take_snapshot()?;
        Ok(trainer)
    }

    /// Trains; `None` where it was stopped before there was anything to keep.
    pub(super) fn run(mut self) -> Result<Option<Vec<NamedTensor>>, TrainError> {
        while self.state.epoch < self.hyperparameters.epochs {
            match self.run_epoch() {
                Ok(EpochEnd::Completed) => self.complete_epoch()?,
                Ok(EpochEnd::Alarm(alarm)) => self.recover(alarm)?,
                Ok(EpochEnd::Interrupted) => {
                    self.save_checkpoint();
                    let nothing_learnt = self.state.steps == 0;
                    if self.training.plan.cancel.is_cancelled() || nothing_learnt {
                        return Ok(None);
                    }
                    break;
                }
                Err(error) if error.is_out_of_memory() => self.recover_from_out_of_memory()?,
                Err(error) => return Err(error),
            }
        }
        Ok(Some(self.optimisation.network.finish()?))
    }

    fn run_epoch(&mut self) -> Result<EpochEnd, TrainError> {
        let mut specs = self.set.batches(&self.state);
        let batches = specs.len();
        specs.drain(..self.state.batch.min(batches));
        let total_steps = batches as u64 * u64::from(self.hyperparameters.epochs);
        let Hyperparameters { crop, side, .. } = self.hyperparameters;
        let mut loader = self.set.load(specs, crop, side, self.optimisation.network.device)?;
        let (mut losses, mut count) = (0.0, 0);
        loop {
            if self.training.is_stopped() {
                return Ok(EpochEnd::Interrupted);
            }
            let Some(batch) = loader.take()? else { return Ok(EpochEnd::Completed) };
            let done = self.state.batch as u64 + u64::from(self.state.epoch) * batches as u64;
            self.state.batch += 1;
            // Nothing to compare, as where photos have become unreadable.
            let Some(input) = self.set.step_input(&batch, side, self.state.loss)? else { continue };
            let began = Instant::now();
            let factor = self.state.rate_factor * self.hyperparameters.schedule(done as f64 / total_steps as f64);
            let step = self.optimisation.step(&input, factor)?;
            self.state.steps += 1;
            self.optimisation.network.update_ema(self.state.steps, self.hyperparameters.ema_decay)?;
            self.throughput.count_step(batch.positions.len(), began.elapsed());
            if let Some(alarm) = self.watchdog.look(step.loss, step.variance_ratio) {
                return Ok(EpochEnd::Alarm(alarm));
            }
            (losses, count) = (losses + step.loss, count + 1);
            if self.state.batch.is_multiple_of(batches.div_ceil(POINTS_PER_EPOCH)) || self.state.batch == batches {
                self.add_point(batches, Some(losses / f64::from(count)), None);
                (losses, count) = (0.0, 0);
            }
            self.report_progress(done + 1, total_steps);
            if self.saved_at.elapsed() >= CHECKPOINT_EVERY {
                self.take_snapshot()?;
                self.save_checkpoint();
            }
        }
    }

    fn complete_epoch(&mut self) -> Result<(), TrainError> {
        (self.state.epoch, self.state.batch) = (self.state.epoch + 1, 0);
        if let Some(recall) = self.validate()? {
            self.add_point(1, None, Some(recall));
        }
        self.take_snapshot()?;
        self.save_checkpoint();
        Ok(())
    }

    /// Continues from the checkpoint where it is of the same photos and options.
    fn resume(&mut self) -> Result<(), TrainError> {
        let Some((state, tensors)) = checkpoint::load(&self.training.plan.library.folder) else { return Ok(()) };
        if state.options != self.state.options || state.data != self.state.data {
            self.notice("The photos or the settings have changed since the training was stopped; it starts over");
            return Ok(());
        }
        if state.loss != self.state.loss {
            self.optimisation.set_loss(state.loss, &self.set)?;
        }
        self.optimisation.restore(&tensors, state.optimiser_steps()).map_err(TrainError::Checkpoint)?;
        self.watchdog = self.optimisation.watchdog();
        self.reporter.tell(TrainEvent::CurveReplaced(state.curve.clone()));
        self.state = state;
        Ok(())
    }

    /// Takes the training as it stands for sound.
    fn take_snapshot(&mut self) -> Result<(), TrainError> {
        self.state.optimiser_steps = Some(self.optimisation.optimiser_steps());
        self.snapshot = Snapshot { state: self.state.clone(), tensors: self.optimisation.copy_state()? };
        Ok(())
    }

    fn save_checkpoint(&mut self) {
        self.saved_at = Instant::now();
        self.state.optimiser_steps = Some(self.optimisation.optimiser_steps());
        if let Err(error) =
            checkpoint::save(&self.training.plan.library.folder, &self.state, &self.optimisation.state())
        {
            self.notice(&format!("The training could not be saved ({error}); after a stop it would start over"));
        }
    }

    fn add_point(&mut self, batches: usize, loss: Option<f64>, validation: Option<f64>) {
        let epoch = f64::from(self.state.epoch) + self.state.batch as f64 / batches.max(1) as f64;
        let point = CurvePoint { epoch, loss, validation };
        self.state.curve.push(point);
        self.reporter.tell(TrainEvent::Curve(point));
    }

    fn report_progress(&mut self, step: u64, steps: u64) {
        let progress = &mut self.reporter.progress;
        (progress.epoch, progress.epochs) = (self.state.epoch + 1, self.hyperparameters.epochs);
        self.throughput.report(progress, step, steps);
        self.reporter.tell_progress();
    }

    fn notice(&mut self, text: &str) {
        log::warn!("{text}");
        self.reporter.tell(TrainEvent::Notice(text.to_owned()));
    }
}

/// The map from features to embeddings that a network begins with: whitening within the species.
fn first_projection(set: &TrainingSet) -> Result<HeadPart, ModelError> {
    let (features, labels) = set.features_and_labels()?;
    let mut projection = head::whiten_within_classes(&features, &labels)?;
    scale_outputs(&mut projection, &features)?;
    Ok(projection)
}

/// Scales a map so that its outputs have a length of about 1: the size that the learning rates fit to.
fn scale_outputs(part: &mut HeadPart, features: &Tensor) -> Result<(), ModelError> {
    let (centre, matrix) = part.tensors()?;
    let outputs = features.f_sub(&centre)?.f_matmul(&matrix.f_transpose(0, 1)?)?;
    let length = outputs.f_norm_scalaropt_dim(2.0, [-1i64].as_slice(), true)?.f_mean(tch::Kind::Float)?;
    let length = f64::try_from(length)?.max(1e-12) as f32;
    part.matrix.iter_mut().for_each(|value| *value /= length);
    Ok(())
}

#[cfg(test)]
mod tests;

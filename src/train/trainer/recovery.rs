//! What a trainer does when a training goes wrong: back to the last sound state, then more slowly, with another loss,
//! with smaller batches, or on the CPU.

use tch::Device;

use super::super::TrainError;
use super::super::watchdog::Alarm;
use super::Trainer;
use crate::artefact::Loss;
use crate::train::progress::TrainEvent;

/// After so many alarms the training is given up.
pub(super) const MAX_RECOVERIES: u32 = 3;
/// What each alarm makes of the learning rates.
const SLOWER: f64 = 0.3;
/// Smaller batches teach nothing: the work moves to the CPU.
const MIN_BATCH_SIZE: usize = 4;

impl Trainer<'_, '_, '_> {
    /// Answers an alarm of the watchdog.
    pub(super) fn recover(&mut self, alarm: Alarm) -> Result<(), TrainError> {
        self.state.recoveries += 1;
        if self.state.recoveries > MAX_RECOVERIES {
            return Err(TrainError::Diverged);
        }
        self.state.rate_factor *= SLOWER;
        self.rewind()?;
        match alarm {
            Alarm::NonFiniteLoss => {
                self.notice(
                    "Training diverged (the loss became infinite). Continuing from the last good state, more slowly",
                );
            }
            Alarm::Collapsed if self.state.loss.is_some_and(|loss| loss != Loss::NormalisedSoftmax) => {
                self.state.loss = Some(Loss::NormalisedSoftmax);
                self.optimisation.set_loss(self.state.loss, &self.set)?;
                self.watchdog = self.optimisation.watchdog();
                self.take_snapshot()?;
                self.notice(
                    "Embeddings collapsed (all photos look alike). Continuing more slowly, with the loss \"normalised \
                     softmax\", which does not collapse",
                );
            }
            Alarm::Collapsed => {
                self.notice(
                    "Embeddings collapsed (all photos look alike). Continuing from the last good state, more slowly",
                );
            }
        }
        Ok(())
    }

    /// Halves the batch, or moves to the CPU where it is too small for that.
    pub(super) fn recover_from_out_of_memory(&mut self) -> Result<(), TrainError> {
        let half = self.state.batch_size / 2;
        if half >= MIN_BATCH_SIZE {
            self.state.batch_size = half;
            self.notice(&format!("Out of memory; batch size reduced to {half}"));
        } else if self.optimisation.network.device == Device::Cpu {
            return Err(TrainError::OutOfMemory);
        } else {
            self.notice("The GPU's memory is too small for this network. Continuing on the CPU, which takes longer");
            self.state.batch_size = self.hyperparameters.batch_size;
            self.optimisation.move_to(Device::Cpu, self.state.loss, &self.set)?;
        }
        self.rewind()
    }

    /// Back to the last sound state, but for what recoveries have changed.
    pub(super) fn rewind(&mut self) -> Result<(), TrainError> {
        let sound = &self.snapshot.state;
        self.optimisation.restore(&self.snapshot.tensors, sound.optimiser_steps())?;
        self.optimisation.zero_grad();
        let same_batches = sound.batch_size == self.state.batch_size;
        (self.state.epoch, self.state.steps) = (sound.epoch, sound.steps);
        self.state.batch = if same_batches { sound.batch } else { 0 };
        self.state.curve.clone_from(&sound.curve);
        if !same_batches {
            self.state.curve.retain(|point| point.epoch <= f64::from(sound.epoch));
        }
        self.watchdog = self.optimisation.watchdog();
        self.reporter.tell(TrainEvent::CurveReplaced(self.state.curve.clone()));
        Ok(())
    }
}

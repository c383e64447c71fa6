//! The numbers of a training: what the recipe says, as it fits the device and the photos.

use tch::Device;

use super::crops::Crop;
use crate::artefact::{Loss, Recipe, TrainOptions};
use crate::model::Architecture;

/// The tutorial draws so many triplets for each class in an epoch.
pub(super) const TRIPLETS_PER_CLASS: usize = 8;

/// Below this an evaluation's interval is so wide that nothing can be said.
pub(super) const MIN_QUERIES: usize = 20;

/// How a network is trained with a recipe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hyperparameters {
    pub(super) crop: Crop,
    /// Pixels a side.
    pub(super) side: u32,
    /// Photos, or the tutorial's triplets.
    pub(super) batch_size: usize,
    pub(super) epochs: u32,
    /// Of the backbone, of the map to embeddings, and of the loss's proxies.
    pub(super) learning_rates: [f64; 3],
    pub(super) weight_decay: f64,
    /// `None` for the tutorial's own on triplets.
    pub(super) loss: Option<Loss>,
    /// Steps in which the rates grow from nothing; they then fall to nothing along half a cosine.
    pub(super) warm_up: Option<f64>,
    /// Of the average of the weights.
    pub(super) ema_decay: f64,
}

impl Hyperparameters {
    /// `start` is the network that the training begins with.
    pub(super) fn of(options: &TrainOptions, start: Architecture, photos: usize, device: Device) -> Self {
        if options.recipe == Recipe::Tutorial {
            return Self {
                crop: Crop::Squeezed,
                side: Architecture::SiameseResNet18.input_side(),
                batch_size: 32,
                epochs: options.epochs.unwrap_or(8),
                learning_rates: [1e-3; 3],
                weight_decay: 0.0,
                loss: None,
                warm_up: None,
                ema_decay: 0.0,
            };
        }
        let is_gpu = device != Device::Cpu;
        Self {
            crop: Crop::Random,
            // Crops show flowers larger than whole photos do: at six sevenths of the side they look alike to the network
            // (Touvron et al. 2019, "Fixing the train-test resolution discrepancy"), and a quarter of the work is saved.
            side: if is_gpu || start.is_transformer() { start.input_side() } else { start.input_side() / 7 * 6 },
            batch_size: if is_gpu { 64.min(photos) } else { 32.min(photos) },
            epochs: options.epochs.unwrap_or(if is_gpu { 30 } else { 8 }),
            learning_rates: [2e-4, 1e-4, 1e-2],
            weight_decay: 1e-2,
            loss: Some(options.loss.unwrap_or(Loss::NormalisedSoftmax)),
            warm_up: Some(0.1),
            ema_decay: 0.998,
        }
    }

    /// What the rates are multiplied by at a share of the whole way, 0 to 1.
    pub(super) fn schedule(&self, way: f64) -> f64 {
        let Some(warm_up) = self.warm_up else { return 1.0 };
        // The very first step, too, has to go somewhere.
        ((way + 1e-3) / warm_up).min(0.5 * (1.0 + (std::f64::consts::PI * way).cos()))
    }
}

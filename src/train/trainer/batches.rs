//! What a network learns from, in batches.

use std::collections::HashMap;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::super::checkpoint::TrainerState;
use super::super::cores;
use super::super::crops::{Batch, BatchSpec, Crop, CropLoader, Source};
use super::super::dataset::Dataset;
use super::super::hyperparameters::TRIPLETS_PER_CLASS;
use super::super::sampler::{paired_batches, random_batches, triplets};
use crate::artefact::Loss;
use crate::library::Library;
use crate::model::ModelError;
use crate::photo::Photo;
use crate::random::Random;

/// A batch as a step takes it.
pub(super) struct StepInput {
    /// 8-bit RGB `[n, side, side, 3]`.
    pub(super) pictures: Tensor,
    pub(super) targets: Targets,
}

/// What is right of a batch.
pub(super) enum Targets {
    /// The class of each picture, `[n]`.
    Labels(Tensor),
    /// The rows of anchors, positives and negatives: the tutorial's.
    Triplets([Vec<i64>; 3]),
}

/// The photos that are learnt from.
pub(super) struct TrainingSet<'a> {
    pub(super) data: &'a Dataset,
    library: &'a Library,
    photos: Arc<[Arc<Photo>]>,
    /// Positions in the data set, by class. A class has two photos at least.
    pub(super) classes: Vec<Vec<usize>>,
    /// The inverse.
    class_of: HashMap<usize, i64>,
}

impl<'a> TrainingSet<'a> {
    /// Of the positions `learn`, without those that teach nothing: unlabelled ones, and single photos of their species.
    pub(super) fn new(data: &'a Dataset, learn: &[usize], library: &'a Library) -> Self {
        let mut classes = vec![Vec::new(); data.classes.len()];
        for position in learn {
            if let Ok(class) = usize::try_from(data.labels[*position]) {
                classes[class].push(*position);
            }
        }
        classes.retain(|photos| photos.len() > 1);
        let numbered = classes.iter().zip(0..);
        let class_of = numbered.flat_map(|(photos, class)| photos.iter().map(move |photo| (*photo, class))).collect();
        Self { data, library, photos: data.photos.as_slice().into(), classes, class_of }
    }

    /// Photos.
    pub(super) fn len(&self) -> usize {
        self.class_of.len()
    }

    /// Of all photos, class by class; classes count from 0.
    pub(super) fn features_and_labels(&self) -> Result<(Tensor, Vec<i64>), ModelError> {
        let positions = self.classes.concat();
        let labels = positions.iter().map(|position| self.class_of[position]).collect();
        Ok((self.data.features_of(&positions)?, labels))
    }

    /// The batches of an epoch. The same seed gives the same ones, also after a resume.
    pub(super) fn batches(&self, state: &TrainerState) -> Vec<BatchSpec> {
        let seed = state.options.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(state.epoch));
        let mut random = Random::new(seed);
        let size = state.batch_size;
        let batches = match state.loss {
            None => triplets(&self.classes, TRIPLETS_PER_CLASS, size, &mut random),
            Some(loss) if loss.needs_pairs() => paired_batches(&self.classes, size, &mut random),
            Some(_) => random_batches(&self.classes.concat(), size, &mut random),
        };
        batches.into_iter().map(|positions| BatchSpec { positions, seed: random.next_u64() }).collect()
    }

    /// Starts the threads that make batches, for a network on a device.
    pub(super) fn load(
        &self,
        specs: Vec<BatchSpec>,
        crop: Crop,
        side: u32,
        device: Device,
    ) -> std::io::Result<CropLoader> {
        let source = Source { library: self.library.clone(), photos: Arc::clone(&self.photos), crop, side };
        CropLoader::start(&source, specs, crop_threads(device))
    }

    /// What a step takes of a batch; `None` where there is nothing to compare in it.
    pub(super) fn step_input(
        &self,
        batch: &Batch,
        side: u32,
        loss: Option<Loss>,
    ) -> Result<Option<StepInput>, ModelError> {
        let targets = match loss {
            Some(_) if batch.positions.len() > 1 => {
                let labels: Vec<i64> = batch.positions.iter().map(|position| self.class_of[position]).collect();
                Targets::Labels(Tensor::f_from_slice(&labels)?)
            }
            None => Targets::Triplets(batch.triplets()),
            Some(_) => return Ok(None),
        };
        if matches!(&targets, Targets::Triplets([anchors, ..]) if anchors.is_empty()) {
            return Ok(None);
        }
        Ok(Some(StepInput { pictures: pictures_of(batch, side)?, targets }))
    }
}

/// 8-bit pictures `[n, side, side, 3]`.
pub(super) fn pictures_of(batch: &Batch, side: u32) -> Result<Tensor, ModelError> {
    let side = i64::from(side);
    Ok(Tensor::f_from_data_size(&batch.pixels, &[batch.positions.len() as i64, side, side, 3], Kind::Uint8)?)
}

/// Threads that make crops. On a CPU the network needs the others; on a GPU they must not let it wait.
fn crop_threads(device: Device) -> usize {
    if device == Device::Cpu { 1 } else { cores().saturating_sub(1) }
}

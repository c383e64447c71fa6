//! R@1 at the end of an epoch, of some of the photos that are held out.

use tch::{Device, Tensor};

use super::super::TrainError;
use super::super::crops::{BatchSpec, Crop};
use super::super::evaluation::{nearest, subsample};
use super::Trainer;
use super::batches::pictures_of;
use crate::model::ModelError;
use crate::photo::Metric;

/// Photos that are validated with at most, and that these are searched among.
const QUERIES: usize = 200;
const GALLERY: usize = 600;
const BATCH_SIZE: usize = 32;

impl Trainer<'_, '_, '_> {
    /// `None` where nothing is held out, or it was stopped.
    pub(super) fn validate(&mut self) -> Result<Option<f64>, TrainError> {
        let queries = subsample(&self.split.seen, QUERIES);
        if queries.is_empty() {
            return Ok(None);
        }
        let gallery = subsample(&self.set.classes.concat(), GALLERY);
        let Some((queries, asked)) = self.embed_all(&queries)? else { return Ok(None) };
        let Some((gallery, known)) = self.embed_all(&gallery)? else { return Ok(None) };
        let metric = if self.state.loss.is_some() { Metric::Cosine } else { Metric::Euclidean };
        let first = nearest(&asked, &known, metric, 1)?;
        let label = |position: usize| self.set.data.labels[position];
        let found = queries.iter().zip(first);
        let right = found.filter(|(query, first)| label(**query) == label(gallery[*first as usize])).count();
        Ok(Some(right as f64 / queries.len() as f64))
    }

    /// Positions and embeddings of those photos that can be read; `None` where there are none, or it was stopped.
    fn embed_all(&mut self, positions: &[usize]) -> Result<Option<(Vec<usize>, Tensor)>, TrainError> {
        let (crop, side) =
            (if self.state.loss.is_some() { Crop::Middle } else { Crop::Squeezed }, self.hyperparameters.side);
        let specs = positions.chunks(BATCH_SIZE).map(|some| BatchSpec { positions: some.to_vec(), seed: 0 }).collect();
        let network = &self.optimisation.network;
        let mut loader = self.set.load(specs, crop, side, network.device)?;
        let (mut read, mut rows) = (Vec::new(), Vec::new());
        while let Some(batch) = loader.take()? {
            if self.training.is_stopped() {
                return Ok(None);
            }
            if !batch.positions.is_empty() {
                rows.push(network.embed_for_validation(&pictures_of(&batch, side)?)?.f_to_device(Device::Cpu)?);
                read.extend(batch.positions);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some((read, Tensor::f_cat(&rows, 0).map_err(ModelError::from)?)))
    }
}

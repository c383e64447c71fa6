//! Quick training on a folder without labels.

use tch::Tensor;

use super::head::{self, HeadProgress};
use crate::model::{Head, ModelError};

/// Learns a head from features `[n, inputs]` of length 1.
///
/// # Errors
/// When libtorch fails, out of memory among other things.
pub fn fit(features: &Tensor, seed: u64, tell: &mut dyn FnMut(HeadProgress) -> bool) -> Result<Head, ModelError> {
    let _ = (seed, tell);
    head::whiten_without_labels(features)
}

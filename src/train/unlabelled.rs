//! stub
use super::head::{HeadOptions, HeadProgress, fit as f2};
use crate::model::{Head, ModelError};
use tch::Tensor;
pub fn fit(f: &Tensor, _seed: u64, t: &mut dyn FnMut(HeadProgress) -> bool) -> Result<Head, ModelError> {
    f2(f, &[], &HeadOptions { loss: None, epochs: None, seed: 0, focus: Default::default() }, t)
}

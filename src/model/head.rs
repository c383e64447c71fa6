//! The projection head: what quick training learns. It turns a backbone's features into the embeddings that photos are
//! compared by.

use tch::{Kind, Tensor};

use super::ModelError;
use crate::photo::{Embedding, Metric};

/// Rows that are projected at a time.
const CHUNK: i64 = 8192;

/// Parts side by side: the embedding is `weight * normalise(matrix * (normalise(features ^ power) - centre))` of each, one
/// after the other, scaled to length 1. Weighting the parts weights their cosine similarities by the squares.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub parts: Vec<HeadPart>,
}

/// One linear map of a [`Head`].
#[derive(Clone, Debug, PartialEq)]
pub struct HeadPart {
    pub weight: f32,
    /// Features are raised to it first, their signs kept.
    pub power: f32,
    /// Taken off the features first; as long as they are.
    pub centre: Vec<f32>,
    /// `outputs * centre.len()` floats, a row for each output.
    pub matrix: Vec<f32>,
}

impl HeadPart {
    /// Floats in this part's output.
    pub(crate) fn outputs(&self) -> usize {
        self.matrix.len() / self.centre.len().max(1)
    }

    /// Its centre `[inputs]` and its matrix `[outputs, inputs]`.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub(crate) fn tensors(&self) -> Result<(Tensor, Tensor), ModelError> {
        let matrix = Tensor::f_from_slice(&self.matrix)?;
        let matrix = matrix.f_view([self.outputs() as i64, self.centre.len() as i64])?;
        Ok((Tensor::f_from_slice(&self.centre)?, matrix))
    }

    fn apply(&self, features: &Tensor) -> Result<Tensor, ModelError> {
        let (centre, matrix) = self.tensors()?;
        let features = signed_power(features, f64::from(self.power))?;
        let projected = features.f_sub(&centre)?.f_matmul(&matrix.f_transpose(0, 1)?)?;
        Ok(normalised(&projected)?.f_mul_scalar(f64::from(self.weight))?)
    }
}

/// Rows of length 1 raised to a power, their signs kept, and scaled to length 1 again.
///
/// # Errors
/// When libtorch fails.
pub fn signed_power(features: &Tensor, power: f64) -> Result<Tensor, ModelError> {
    if power == 1.0 {
        return Ok(features.shallow_clone());
    }
    normalised(&features.f_abs()?.f_pow_tensor_scalar(power)?.f_mul(&features.f_sign()?)?)
}

/// Rows of a matrix scaled to length 1.
///
/// # Errors
/// When libtorch fails.
pub fn normalised(rows: &Tensor) -> Result<Tensor, ModelError> {
    let length = rows.f_norm_scalaropt_dim(2.0, [-1i64].as_slice(), true)?.f_clamp_min(1e-12)?;
    Ok(rows.f_div(&length)?)
}

impl Head {
    /// Floats in an embedding.
    pub(crate) fn dimension(&self) -> usize {
        self.parts.iter().map(HeadPart::outputs).sum()
    }

    /// Features of length 1 `[n, inputs]` -> embeddings of length 1 `[n, dimension]`. Some rows at a time: what is computed
    /// on the way takes several times the memory of the result.
    ///
    /// # Errors
    /// When libtorch fails, because the features have another dimension among other things.
    pub fn project(&self, features: &Tensor) -> Result<Tensor, ModelError> {
        let count = features.size().first().copied().unwrap_or(0);
        let embeddings = Tensor::f_empty([count, self.dimension() as i64], (Kind::Float, features.device()))?;
        for start in (0..count).step_by(CHUNK as usize) {
            let length = CHUNK.min(count - start);
            let some = features.f_narrow(0, start, length)?;
            let parts = self.parts.iter().map(|part| part.apply(&some)).collect::<Result<Vec<_>, _>>()?;
            embeddings.f_narrow(0, start, length)?.f_copy_(&normalised(&Tensor::f_cat(&parts, -1)?)?)?;
        }
        Ok(embeddings)
    }

    /// An embedding for each feature vector; `None` where it came out as zeros or NaN.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn apply(&self, features: &[Embedding]) -> Result<Vec<Option<Embedding>>, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let values: Vec<f32> = features.iter().flat_map(|one| one.values().iter().copied()).collect();
        let inputs = features.first().map_or(0, |one| one.values().len());
        if inputs == 0 {
            return Ok(vec![None; features.len()]);
        }
        let features = Tensor::f_from_slice(&values)?.f_view([features.len() as i64, inputs as i64])?;
        let projected = self.project(&features)?.f_to_kind(Kind::Float)?.f_contiguous()?;
        let mut values = vec![0.0; projected.numel()];
        let length = values.len();
        projected.f_copy_data(&mut values, length)?;
        Ok(values.chunks_exact(self.dimension()).map(|one| Embedding::new(one.to_vec(), Metric::Cosine)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_normalised_weighted_and_joined() {
        let identity = HeadPart { weight: 0.6, power: 1.0, centre: vec![0.0, 0.0], matrix: vec![1.0, 0.0, 0.0, 1.0] };
        let sum = HeadPart { weight: 0.8, power: 1.0, centre: vec![0.0, 1.0], matrix: vec![3.0, 3.0] };
        let head = Head { parts: vec![identity, sum] };
        assert_eq!(head.dimension(), 3);
        let features = Embedding::normalised(vec![1.0, 0.0]).unwrap();
        // The second part sees (1, -1), whose sum is 0: what remains is the first part alone.
        let one = head.apply(std::slice::from_ref(&features)).unwrap().pop().unwrap().unwrap();
        assert_eq!(one.values(), [1.0, 0.0, 0.0]);
        let up = Embedding::normalised(vec![0.6, 0.8]).unwrap();
        let two = head.apply(&[features, up]).unwrap().pop().unwrap().unwrap();
        for (found, expected) in two.values().iter().zip([0.36, 0.48, 0.8]) {
            assert!((found - expected).abs() < 1e-6, "{:?}", two.values());
        }
    }

    #[test]
    fn features_are_raised_to_the_power_first() {
        let roots = HeadPart { weight: 1.0, power: 0.5, centre: vec![0.0, 0.0], matrix: vec![1.0, 0.0, 0.0, 1.0] };
        let features = Embedding::normalised(vec![4.0, -1.0]).unwrap();
        let one = Head { parts: vec![roots] }.apply(&[features]).unwrap().pop().unwrap().unwrap();
        let expected = Embedding::normalised(vec![2.0, -1.0]).unwrap();
        assert!(one.values().iter().zip(expected.values()).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?}");
    }
}

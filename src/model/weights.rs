//! Named weights out of a safetensors file, checked by hash, name, shape and number type before a network takes them.

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::ModelError;

/// The ImageNet weights, put here by `make setup`, which converts them from the package that ships them. They are part
/// of the program, so that it can never start without them.
static BUILT_IN: &[u8] = include_bytes!("../../.deps/weights/efficientnet_lite0.safetensors");
const BUILT_IN_SHA256: &str = "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7";

/// The tensors of one weight file.
#[derive(Debug)]
pub struct Weights<'a> {
    tensors: SafeTensors<'a>,
    /// Comes before every name in the file.
    prefix: &'a str,
}

impl Weights<'static> {
    /// The weights in the program.
    ///
    /// # Errors
    /// When they are not the ones that this source was written for.
    pub fn built_in() -> Result<Self, ModelError> {
        let found: String = Sha256::digest(BUILT_IN).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != BUILT_IN_SHA256 {
            return Err(ModelError::WrongHash { found });
        }
        Self::from_bytes(BUILT_IN, "")
    }
}

impl<'a> Weights<'a> {
    /// Weights in the bytes of a safetensors file, where every name begins with `prefix`.
    ///
    /// # Errors
    /// When the bytes are no such file.
    pub fn from_bytes(bytes: &'a [u8], prefix: &'a str) -> Result<Self, ModelError> {
        Ok(Self { tensors: SafeTensors::deserialize(bytes)?, prefix })
    }

    /// A 32-bit float tensor of exactly this name and shape.
    ///
    /// # Errors
    /// When it is missing or otherwise shaped or typed.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let full = format!("{}{name}", self.prefix);
        let view = self.tensors.tensor(&full).map_err(|_| ModelError::MissingTensor(name.to_owned()))?;
        if view.dtype() != Dtype::F32 {
            return Err(ModelError::WrongKind { name: name.to_owned(), found: view.dtype() });
        }
        if !view.shape().iter().map(|side| *side as i64).eq(shape.iter().copied()) {
            return Err(ModelError::WrongShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        Ok(Tensor::f_from_data_size(view.data(), shape, Kind::Float)?)
    }
}

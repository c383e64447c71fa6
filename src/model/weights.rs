//! Named weights out of a safetensors file, checked by hash, name, shape and number type before a network takes them.

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

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

    /// The convolution `name` without bias, and the batch norm after it folded in; `shape` is outputs, inputs for each
    /// group, height, width.
    ///
    /// # Errors
    /// When a part is missing or otherwise shaped or typed.
    pub(crate) fn convolution(
        &self,
        name: &str,
        norm: &str,
        shape: [i64; 4],
        epsilon: f64,
    ) -> Result<Convolved, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let outputs = shape[0];
        let weight = self.tensor(&format!("{name}.weight"), &shape)?;
        let of_norm = |part: &str| self.tensor(&format!("{norm}.{part}"), &[outputs]);
        let deviation = of_norm("running_var")?.f_add_scalar(epsilon)?.f_sqrt()?;
        let scale = of_norm("weight")?.f_div(&deviation)?;
        let bias = of_norm("bias")?.f_sub(&of_norm("running_mean")?.f_mul(&scale)?)?;
        let weight = weight.f_mul(&scale.f_view([outputs, 1, 1, 1])?)?;
        // The weights' memory, too, in channels-last order.
        let weight = weight.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?;
        Ok(Convolved { weight, bias })
    }
}

/// A convolution's numbers with its batch norm folded in.
#[derive(Debug)]
pub(crate) struct Convolved {
    /// In channels-last order.
    pub weight: Tensor,
    pub bias: Tensor,
}

impl Convolved {
    /// On a device, in numbers of a kind.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn to(self, device: Device, kind: Kind) -> Result<Self, ModelError> {
        let place = |tensor: Tensor| tensor.f_to_device(device)?.f_to_kind(kind);
        Ok(Self { weight: place(self.weight)?, bias: place(self.bias)? })
    }
}

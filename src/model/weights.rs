//! Named weights, checked by hash, name, shape and number type before a network takes them: out of a safetensors file
//! for inference, out of memory for training, or initialised at random for a network that learns from scratch.

use std::cell::RefCell;
use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::ModelError;
use crate::photo::hex;

/// The ImageNet weights, put here by `make setup`, which converts them from the package that ships them. They are part
/// of the program, so that it can never start without them.
static GENERAL: &[u8] = include_bytes!("../../.deps/weights/efficientnet_lite0.safetensors");
const GENERAL_SHA256: &str = "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7";

/// Tensors in memory by name. Networks that are built from those that require gradients hand them on.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// What batch norms do in a network that learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// They keep the statistics that they have, and are folded into the convolutions.
    Frozen,
    /// They take their statistics from each batch, and keep their running mean.
    Live,
}

/// Where the tensors of one network come from.
pub struct Weights<'a>(Source<'a>);

enum Source<'a> {
    File {
        tensors: SafeTensors<'a>,
        /// Comes before every name in the file.
        prefix: &'a str,
    },
    Memory {
        tensors: &'a NamedTensors,
        norms: Norms,
    },
    /// Drawn when they are first asked for, and kept.
    RandomInit {
        normal: RefCell<Box<dyn FnMut() -> f64>>,
        tensors: RefCell<NamedTensors>,
    },
}

impl Weights<'static> {
    /// The ImageNet weights.
    ///
    /// # Errors
    /// When they are not the ones that this source was written for.
    pub(crate) fn general() -> Result<Self, ModelError> {
        let found = hex(&Sha256::digest(GENERAL));
        if found != GENERAL_SHA256 {
            return Err(ModelError::WrongHash { found });
        }
        Self::from_bytes(GENERAL, "")
    }
}

impl<'a> Weights<'a> {
    /// Weights in the bytes of a safetensors file, where every name begins with `prefix`.
    ///
    /// # Errors
    /// When the bytes are no such file.
    pub(crate) fn from_bytes(bytes: &'a [u8], prefix: &'a str) -> Result<Self, ModelError> {
        Ok(Self(Source::File { tensors: SafeTensors::deserialize(bytes)?, prefix }))
    }

    /// Weights that learn: 32-bit floats, on the device of the network that is built from them.
    pub(crate) fn from_memory(tensors: &'a NamedTensors, norms: Norms) -> Self {
        Self(Source::Memory { tensors, norms })
    }

    /// The beginning of a network that learns from scratch, as torchvision initialises a ResNet (He et al. 2015,
    /// "Delving Deep into Rectifiers"): what a network asks for while it is built is kept. `normal` gives numbers with
    /// mean 0 and deviation 1.
    pub(crate) fn random_init(normal: impl FnMut() -> f64 + 'static) -> Self {
        Self(Source::RandomInit { normal: RefCell::new(Box::new(normal)), tensors: RefCell::default() })
    }

    /// What was drawn.
    pub(crate) fn into_random_init(self) -> NamedTensors {
        match self.0 {
            Source::RandomInit { tensors, .. } => tensors.into_inner(),
            Source::File { .. } | Source::Memory { .. } => NamedTensors::new(),
        }
    }

    /// All 32-bit float tensors of a file that `wanted` says yes to.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn all(&self, wanted: impl Fn(&str) -> bool) -> Result<NamedTensors, ModelError> {
        let Source::File { tensors, prefix } = &self.0 else { return Ok(NamedTensors::new()) };
        let named = tensors.iter().filter_map(|(name, view)| Some((name.strip_prefix(prefix)?, view)));
        let floats = named.filter(|(name, view)| view.dtype() == Dtype::F32 && wanted(name));
        let load = |(name, view): (&str, safetensors::tensor::TensorView)| {
            let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
            Ok((name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?))
        };
        floats.map(load).collect()
    }

    /// A 32-bit float tensor of exactly this name and shape.
    ///
    /// # Errors
    /// When it is missing or otherwise shaped or typed.
    pub(crate) fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let missing = || ModelError::MissingTensor(name.to_owned());
        let (tensors, prefix) = match &self.0 {
            Source::File { tensors, prefix } => (tensors, prefix),
            Source::Memory { tensors, .. } => return Ok(tensors.get(name).ok_or_else(missing)?.shallow_clone()),
            Source::RandomInit { normal, tensors } => {
                let made = random_weight(name, shape, normal.borrow_mut().as_mut())?;
                tensors.borrow_mut().insert(name.to_owned(), made.shallow_clone());
                return Ok(made);
            }
        };
        let view = tensors.tensor(&format!("{prefix}{name}")).map_err(|_| missing())?;
        if view.dtype() != Dtype::F32 {
            return Err(ModelError::WrongDType { name: name.to_owned(), found: view.dtype() });
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

    /// The convolution `name` without bias, and the batch norm after it folded in, or beside it where it is to learn its
    /// statistics; `shape` is outputs, inputs for each
    /// group, height, width.
    ///
    /// # Errors
    /// When a part is missing or otherwise shaped or typed.
    pub(super) fn convolution(
        &self,
        name: &str,
        norm: &str,
        shape: [i64; 4],
        epsilon: f64,
    ) -> Result<FoldedConv, ModelError> {
        let outputs = shape[0];
        let weight = self.tensor(&format!("{name}.weight"), &shape)?;
        let of_norm = |part: &str| self.tensor(&format!("{norm}.{part}"), &[outputs]);
        let [scale, shift] = [of_norm("weight")?, of_norm("bias")?];
        let [mean, variance] = [of_norm("running_mean")?, of_norm("running_var")?];
        if matches!(self.0, Source::Memory { norms: Norms::Live, .. }) {
            let norm = BatchNorm { scale, shift, mean, variance, epsilon };
            return Ok(FoldedConv { weight: channels_last(weight)?, bias: None, norm: Some(norm) });
        }
        let scale = scale.f_div(&variance.f_add_scalar(epsilon)?.f_sqrt()?)?;
        let bias = shift.f_sub(&mean.f_mul(&scale)?)?;
        let weight = weight.f_mul(&scale.f_view([outputs, 1, 1, 1])?)?;
        Ok(FoldedConv { weight: channels_last(weight)?, bias: Some(bias), norm: None })
    }
}

/// The first value of a weight, by what its name says it is for.
fn random_weight(name: &str, shape: &[i64], normal: &mut dyn FnMut() -> f64) -> Result<Tensor, ModelError> {
    let outputs = shape.first().copied().unwrap_or(1);
    let inner: i64 = shape.iter().skip(2).product();
    let (middle, deviation) = match shape.len() {
        // A convolution's outputs see as much as they are given; the last layer's keep its size.
        4 => (0.0, (2.0 / (outputs * inner) as f64).sqrt()),
        2 => (0.0, (1.0 / (3.0 * shape[1] as f64)).sqrt()),
        _ if name.ends_with("weight") || name.ends_with("running_var") => (1.0, 0.0),
        _ => (0.0, 0.0),
    };
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|_| if deviation > 0.0 { (middle + deviation * normal()) as f32 } else { middle as f32 })
        .collect();
    Ok(Tensor::f_from_slice(&values)?.f_view(shape)?)
}

/// A convolution's weights with their memory, too, in channels-last order.
fn channels_last(weight: Tensor) -> Result<Tensor, tch::TchError> {
    weight.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// A convolution's numbers, with its batch norm folded in or beside it.
#[derive(Debug)]
pub(super) struct FoldedConv {
    /// In channels-last order.
    weight: Tensor,
    /// `None` where there is a live norm.
    bias: Option<Tensor>,
    norm: Option<BatchNorm>,
}

/// A batch norm that learns its statistics.
#[derive(Debug)]
struct BatchNorm {
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: f64,
}

impl FoldedConv {
    /// Without a norm.
    #[cfg(test)]
    pub(crate) fn of(weight: Tensor, bias: Tensor) -> Self {
        Self { weight, bias: Some(bias), norm: None }
    }

    /// Weight and bias where they stay as they are; `None` where something learns.
    pub(crate) fn fixed(&self) -> Option<(&Tensor, &Tensor)> {
        let bias = self.bias.as_ref()?;
        let learns = self.norm.is_some() || self.weight.requires_grad() || bias.requires_grad();
        (!learns).then_some((&self.weight, bias))
    }

    /// With its kernels turned by 180 degrees: for pictures that are turned like that.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn rotated_180(self) -> Result<Self, ModelError> {
        Ok(Self { weight: channels_last(self.weight.f_flip([2, 3])?)?, ..self })
    }

    /// On a device, in numbers of a kind. A convolution of each channel by itself keeps 32 bits where it learns on a CPU:
    /// the way back through it is two to eight times as slow with half of them.
    ///
    /// # Errors
    /// When the device has no room.
    pub(crate) fn to(self, device: Device, kind: Kind) -> Result<Self, ModelError> {
        let by_channel = self.weight.size().get(1) == Some(&1);
        let kind = if by_channel && device == Device::Cpu && self.weight.requires_grad() { Kind::Float } else { kind };
        let place = |tensor: Tensor| tensor.f_to_device(device)?.f_to_kind(kind);
        Ok(Self { weight: place(self.weight)?, bias: self.bias.map(place).transpose()?, norm: self.norm })
    }

    /// Convolves `[n, channels, height, width]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        stride: i64,
        padding: [i64; 2],
        groups: i64,
    ) -> Result<Tensor, ModelError> {
        let kind = x.kind();
        let x = x.f_to_kind(self.weight.kind())?;
        let x = x.f_conv2d(&self.weight, self.bias.as_ref(), [stride; 2], padding, [1, 1], groups)?.f_to_kind(kind)?;
        let Some(BatchNorm { scale, shift, mean, variance, epsilon }) = &self.norm else { return Ok(x) };
        // PyTorch's momentum. The running statistics change in place.
        Ok(x.f_batch_norm(Some(scale), Some(shift), Some(mean), Some(variance), true, 0.1, *epsilon, false)?)
    }
}

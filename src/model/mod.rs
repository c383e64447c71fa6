//! Backbones: networks that turn pictures into feature vectors, and the weight files that they are read from.
//!
//! Every backbone is a variant of [`Backbone`]; what the other rooms need of one (input size, dimension, the forward
//! pass) is asked of the enum, so that a further network is a further variant and a file of its own beside
//! `efficientnet.rs`.

mod efficientnet;
mod head;
pub mod weight_file;
mod weights;

use image::RgbImage;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub use efficientnet::EfficientNetLite0;
pub use head::{Head, HeadPart};
pub use weights::Weights;

use crate::artefact::Model;
use crate::decode::{self, DecodeError};

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the weights are not the ones expected (SHA-256 {found}); run `make setup` and build again")]
    WrongHash { found: String },
    #[error("the weights are not a safetensors file: {0}")]
    NotSafetensors(#[from] safetensors::SafeTensorError),
    #[error("the weights lack {0}")]
    MissingTensor(String),
    #[error("the weight {name} has the shape {found:?}; {expected:?} was expected")]
    WrongShape { name: String, expected: Vec<i64>, found: Vec<usize> },
    #[error("the weight {name} holds {found:?} numbers; 32-bit floats were expected")]
    WrongKind { name: String, found: safetensors::Dtype },
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// A picture made ready for the network: `side * side` RGB pixels, rows first, 8 bits a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInput(pub Vec<u8>);

/// The width and height of a [`NetworkInput`], in pixels.
pub const INPUT_SIDE: u32 = 224;

impl NetworkInput {
    /// The largest square in the middle of an upright picture, at the network's size. On Oxford 102 (frozen network,
    /// gallery `train`, queries `valid`) R@1 is 87.3 this way, 86.4 with an eighth cut off all around, and 85.8 with the
    /// whole picture squeezed to a square.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn from_picture(picture: &RgbImage) -> Result<Self, DecodeError> {
        Ok(Self(decode::resize_and_crop(picture, INPUT_SIDE, INPUT_SIDE)?.into_raw()))
    }
}

/// The networks that the program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    #[serde(rename = "siamese-resnet18")]
    SiameseResNet18,
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
}

impl Architecture {
    pub fn name(self) -> &'static str { "EfficientNet-Lite0" }
    /// Floats in a feature vector.
    pub fn dimension(self) -> usize {
        match self {
            _ => EfficientNetLite0::DIMENSION,
        }
    }
}

/// A network that gives features. One thread owns it: a tensor may be sent to another thread but not shared.
#[derive(Debug)]
pub enum Backbone {
    EfficientNetLite0(EfficientNetLite0),
}

impl Backbone {
    /// The backbone of a model.
    ///
    /// # Errors
    /// When the weights are damaged or not this architecture's, or the device has no room for them.
    pub fn open(model: &Model, device: Device) -> Result<Self, ModelError> {
        let own = model.backbone_weights();
        let weights = match &own {
            Some((file, prefix)) => Weights::from_bytes(file, prefix)?,
            None => Weights::built_in()?,
        };
        match model.card.architecture {
            _ => Ok(Self::EfficientNetLite0(EfficientNetLite0::new(&weights, device)?)),
        }
    }

    /// Floats in a feature vector.
    pub fn dimension(&self) -> usize {
        match self {
            Self::EfficientNetLite0(_) => EfficientNetLite0::DIMENSION,
        }
    }

    /// Where the network computes.
    pub fn device(&self) -> Device {
        match self {
            Self::EfficientNetLite0(network) => network.device(),
        }
    }

    /// Features of a batch, `inputs.len() * dimension` floats, one photo after the other; not normalised.
    ///
    /// # Errors
    /// When libtorch fails, out of memory among other things.
    pub fn features(&self, inputs: &[NetworkInput]) -> Result<Vec<f32>, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let side = i64::from(INPUT_SIDE);
        let bytes: Vec<u8> = inputs.iter().flat_map(|input| input.0.iter().copied()).collect();
        let count = inputs.len() as i64;
        let rows_first = Tensor::f_from_data_size(&bytes, &[count, side, side, 3], Kind::Uint8)?;
        // Permuted, not copied: this is the channels-last layout that the convolutions are fastest on.
        let pictures = rows_first.f_to_device(self.device())?.f_permute([0, 3, 1, 2])?;
        let features = match self {
            Self::EfficientNetLite0(network) => network.features(&pictures)?,
        };
        let features = features.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut values = vec![0.0; inputs.len() * self.dimension()];
        let length = values.len();
        features.f_copy_data(&mut values, length)?;
        Ok(values)
    }
}

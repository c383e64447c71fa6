//! Backbones: networks that turn pictures into feature vectors, and the weight files that they are read from.
//!
//! Every network is a variant of [`Architecture`]; what the other rooms need of one (dimension, the forward pass) is
//! asked of that and of [`Backbone`], so that a further network is a further variant, and a further family a file of its
//! own beside `efficientnet.rs`.

mod architecture;
mod convolution;
mod dinov2;
mod dinov2_names;
mod efficientnet;
#[cfg(test)]
pub(crate) mod formula;
mod head;
mod pickle;
mod resnet;
pub(crate) mod state_dict;
mod stored_zip;
mod tensor_file;
pub(crate) mod threads;
pub mod weight_file;
pub(crate) mod weight_format;
mod weights;

use half::bf16;
use image::RgbImage;
use tch::{Device, Kind, Tensor};

pub use architecture::Architecture;
use architecture::Family;
pub(crate) use dinov2::DinoV2;
pub(crate) use efficientnet::{EfficientNetLite, Scale};
pub use head::{Head, HeadPart, normalised, signed_power};
pub(crate) use resnet::ResNet;
pub use tensor_file::{NamedTensor, floats, metadata_in, read_header};
pub use weights::{NamedTensors, Norms, Weights};

use crate::decode::{self, DecodeError};

/// What libtorch says, without the calls that it lists after that.
fn in_short(error: &tch::TchError) -> String {
    let text = error.to_string();
    let end = text.find("\nException raised from").unwrap_or(text.len());
    text[..end].trim_end().to_owned()
}

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
    WrongDType { name: String, found: safetensors::Dtype },
    /// No source: that would say the same again, with a page of C++ behind it.
    #[error("libtorch: {}", in_short(.0))]
    Torch(tch::TchError),
}

impl From<tch::TchError> for ModelError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error)
    }
}

/// A picture made ready for a network: RGB pixels, rows first, 8 bits a channel, [`Architecture::input_side`] pixels wide
/// and high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInput(pub Vec<u8>);

impl NetworkInput {
    /// A picture of nothing but grey, to try a network with.
    pub fn grey(architecture: Architecture) -> Self {
        Self(vec![128; architecture.input_bytes()])
    }

    /// The part of an upright picture that a network looks at, at its size: the largest square in the middle. On Oxford
    /// 102 (frozen network, gallery `train`, queries `valid`) R@1 is 87.3 this way, 86.4 with an eighth cut off all
    /// around, and 85.8 with the whole picture squeezed to a square, as the tutorial does it.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn from_picture(picture: &RgbImage, architecture: Architecture) -> Result<Self, DecodeError> {
        let resize =
            if architecture == Architecture::SiameseResNet18 { decode::resize } else { decode::resize_and_crop };
        let side = architecture.input_side();
        Ok(Self(resize(picture, side, side)?.into_raw()))
    }
}

/// How a network was trained to see the channels red, green and blue: (value / 255 - mean) / deviation.
#[derive(Debug)]
struct Channels {
    /// `[1, 3, 1, 1]`, as is the shift.
    factor: Tensor,
    shift: Tensor,
}

impl Channels {
    /// By [`Architecture::channels`].
    ///
    /// # Errors
    /// When the device has no room.
    pub(crate) fn new([mean, deviation]: [[f32; 3]; 2], device: Device) -> Result<Self, ModelError> {
        let place = |values: [f32; 3]| Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?.f_to_device(device);
        let lines = [0, 1, 2].map(|channel| Self::line(mean[channel], deviation[channel]));
        Ok(Self { factor: place(lines.map(|line| line.0))?, shift: place(lines.map(|line| line.1))? })
    }

    /// Factor and shift of one channel.
    fn line(mean: f32, deviation: f32) -> (f32, f32) {
        (1.0 / (255.0 * deviation), -mean / deviation)
    }

    /// 8-bit RGB pictures `[n, 3, height, width]` -> floats.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn scale(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        Ok(pictures.f_to_kind(Kind::Float)?.f_mul(&self.factor)?.f_add_(&self.shift)?)
    }
}

/// A network that gives features. One thread owns it: a tensor may be sent to another thread but not shared.
#[derive(Debug)]
pub(crate) struct Backbone {
    architecture: Architecture,
    channels: Channels,
    network: Network,
    /// Numbers that it computes in.
    kind: Kind,
}

#[derive(Debug)]
enum Network {
    EfficientNet(EfficientNetLite),
    ResNet(ResNet),
    DinoV2(DinoV2),
}

impl Backbone {
    /// A network for inference, in the numbers that are quickest on the device.
    ///
    /// # Errors
    /// When the weights are damaged or not this architecture's, or the device has no room for them.
    pub(crate) fn open(architecture: Architecture, weights: &Weights, device: Device) -> Result<Self, ModelError> {
        Self::build(architecture, weights, device, architecture.inference_dtype(device))
    }

    /// A network from weights, for inference or, where they require gradients, for learning.
    ///
    /// # Errors
    /// When a weight is missing or of the wrong shape, or the device has no room.
    pub(crate) fn build(
        architecture: Architecture,
        weights: &Weights,
        device: Device,
        kind: Kind,
    ) -> Result<Self, ModelError> {
        let network = match architecture.family() {
            Family::EfficientNet(scale) => Network::EfficientNet(EfficientNetLite::new(weights, scale, device, kind)?),
            Family::ResNet(layout) => Network::ResNet(ResNet::new(weights, layout, device, kind)?),
            Family::DinoV2(layout) => Network::DinoV2(DinoV2::new(weights, layout, device)?),
        };
        Ok(Self { architecture, channels: Channels::new(architecture.channels(), device)?, network, kind })
    }

    /// Whether the weights are all there and are this architecture's, by opening it on the CPU.
    ///
    /// # Errors
    /// When they are not.
    pub(crate) fn check(architecture: Architecture, weights: &Weights) -> Result<(), ModelError> {
        Self::open(architecture, weights, Device::Cpu).map(drop)
    }

    pub(crate) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Floats in a feature vector.
    pub(crate) fn dimension(&self) -> usize {
        self.architecture.dimension()
    }

    /// Where the network computes.
    pub(crate) fn device(&self) -> Device {
        match &self.network {
            Network::EfficientNet(network) => network.device(),
            Network::ResNet(network) => network.device(),
            Network::DinoV2(network) => network.device(),
        }
    }

    /// 8-bit RGB pictures `[n, 3, height, width]` on the network's device -> 32-bit features `[n, dimension]`, not
    /// normalised. A transformer wants its own input size, the others take any.
    ///
    /// # Errors
    /// When libtorch fails, out of memory among other things.
    pub(crate) fn forward(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        if self.wants_rotated() {
            return self.scaled_features(&self.channels.scale(&pictures.f_flip([2, 3])?)?);
        }
        self.scaled_features(&self.channels.scale(pictures)?)
    }

    /// Whether the network wants pictures turned by 180 degrees.
    fn wants_rotated(&self) -> bool {
        matches!(self.network, Network::EfficientNet(_))
    }

    /// What [`Channels::scale`] makes of pictures, turned where the network wants that, in one step: each byte stands for
    /// one of 256 numbers, given as the bytes of one of `kind`.
    fn normalise<const BYTES: usize>(
        &self,
        inputs: &[NetworkInput],
        kind: Kind,
        number: impl Fn(f32) -> [u8; BYTES],
    ) -> Result<Tensor, ModelError> {
        let [mean, deviation] = self.architecture.channels();
        let [red, green, blue] = [0, 1, 2].map(|channel| {
            let (factor, shift) = Channels::line(mean[channel], deviation[channel]);
            std::array::from_fn::<_, 256, _>(|byte| number(byte as f32 * factor + shift))
        });
        let scaled = |pixel: &[u8; 3]| {
            let [r, g, b] = pixel.map(usize::from);
            [red[r], green[g], blue[b]]
        };
        let mut numbers = vec![[[0; BYTES]; 3]; inputs.iter().map(|input| input.0.len() / 3).sum()];
        let mut to = numbers.as_mut_slice();
        for input in inputs {
            let (pixels, _) = input.0.as_chunks();
            let (these, rest) = to.split_at_mut(pixels.len());
            to = rest;
            if self.wants_rotated() {
                these.iter_mut().zip(pixels.iter().rev()).for_each(|(to, pixel)| *to = scaled(pixel));
            } else {
                these.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = scaled(pixel));
            }
        }
        Ok(self.by_rows(numbers.as_flattened().as_flattened(), inputs.len(), kind)?)
    }

    fn scaled_features(&self, scaled: &Tensor) -> Result<Tensor, ModelError> {
        let features = match &self.network {
            Network::EfficientNet(network) => network.features(scaled)?,
            Network::ResNet(network) => network.features(scaled)?,
            Network::DinoV2(network) => network.features(scaled)?,
        };
        Ok(features.f_to_kind(Kind::Float)?)
    }

    /// Features of a batch, `inputs.len() * dimension` floats, one photo after the other; not normalised.
    ///
    /// # Errors
    /// When libtorch fails, out of memory among other things.
    pub(crate) fn features(&self, inputs: &[NetworkInput]) -> Result<Vec<f32>, ModelError> {
        let _no_grad = tch::no_grad_guard();
        let features = match (self.device(), self.kind) {
            (Device::Cpu, Kind::BFloat16) => {
                self.scaled_features(&self.normalise(inputs, Kind::BFloat16, |v| bf16::from_f32(v).to_ne_bytes())?)?
            }
            (Device::Cpu, _) => self.scaled_features(&self.normalise(inputs, Kind::Float, f32::to_ne_bytes)?)?,
            // A quarter of the bytes to send, and the device scales quicker.
            (device, _) => {
                let mut pixels = inputs.iter().map(|input| input.0.as_slice()).collect::<Vec<_>>().concat();
                // For each size of a batch a GPU plans all convolutions, for a second or two: few sizes serve them all.
                let count = inputs.len().next_power_of_two();
                pixels.resize(count * self.architecture.input_bytes(), 0);
                let features = self.forward(&self.by_rows(&pixels, count, Kind::Uint8)?.f_to_device(device)?)?;
                features.f_narrow(0, 0, inputs.len() as i64)?
            }
        };
        let features = features.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut values = vec![0.0; inputs.len() * self.dimension()];
        let length = values.len();
        features.f_copy_data(&mut values, length)?;
        Ok(values)
    }

    /// Numbers of `count` pictures as bytes, rows first -> `[count, 3, height, width]`. Permuted, not copied: this is the
    /// channels-last layout that the convolutions are fastest on.
    fn by_rows(&self, numbers: &[u8], count: usize, kind: Kind) -> Result<Tensor, tch::TchError> {
        let side = i64::from(self.architecture.input_side());
        Tensor::f_from_data_size(numbers, &[count as i64, side, side, 3], kind)?.f_permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quick road from bytes to features, of a whole batch, against the plain one with a picture at a time.
    #[test]
    fn features_of_a_batch_are_those_of_each_picture() {
        let inputs: Vec<NetworkInput> = (0..3)
            .map(|n: usize| NetworkInput((0..3 * 224 * 224).map(|i| ((i / 7) * (n + 3) % 251) as u8).collect()))
            .collect();
        for kind in [Kind::Float, Kind::BFloat16] {
            let backbone = Weights::general()
                .and_then(|weights| Backbone::build(Architecture::EfficientNetLite0, &weights, Device::Cpu, kind))
                .unwrap();
            let features = backbone.features(&inputs).unwrap();
            for (input, found) in inputs.iter().zip(features.chunks_exact(backbone.dimension())) {
                let plain = backbone.forward(&backbone.by_rows(&input.0, 1, Kind::Uint8).unwrap()).unwrap();
                let plain = Vec::<f32>::try_from(plain.view([-1])).unwrap();
                let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                let cosine = product(found, &plain) / (product(found, found) * product(&plain, &plain)).sqrt();
                assert!(cosine > 0.9999, "{kind:?}: {cosine}");
            }
        }
    }

    #[test]
    fn a_failure_of_libtorch_is_told_without_its_stack_of_frames() {
        use std::error::Error;

        let error = ModelError::from(tch::TchError::Torch("CUDA error: no\nException raised from f\nframe #0".into()));
        assert!(error.to_string().ends_with("CUDA error: no"), "{error}");
        assert!(error.source().is_none());
    }
}

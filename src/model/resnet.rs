//! ResNet18, 34 and 50 (He et al. 2016, "Deep Residual Learning for Image Recognition"; 50 with the stride in the middle
//! convolution, as torchvision has it), for inference.
//!
//! Batch norm is folded into the convolutions when the weights are loaded, and everything runs channels-last, as in
//! [`super::EfficientNetLite`].

use tch::{Device, Kind, Tensor};

use super::convolution::{Activation, Convolution, Geometry};
use super::{ModelError, Weights};

const BATCH_NORM_EPSILON: f64 = 1e-5;
const STEM_CHANNELS: i64 = 64;

/// What tells one ResNet from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Residual blocks of the four layers.
    pub(crate) blocks: [usize; 4],
    /// Three convolutions a block, the last four times as wide, instead of two.
    pub(crate) bottleneck: bool,
    /// Whether the 1,000 outputs of the last layer are the features, rather than the pooled values before it.
    pub(crate) classifier: bool,
}

impl Layout {
    /// Floats in a feature vector.
    pub(crate) const fn dimension(self) -> usize {
        match (self.classifier, self.bottleneck) {
            (true, _) => 1000,
            (false, true) => 2048,
            (false, false) => 512,
        }
    }
}

/// The network up to the features.
#[derive(Debug)]
pub(crate) struct ResNet {
    stem: Convolution,
    blocks: Vec<Block>,
    /// Weight and bias.
    classifier: Option<(Tensor, Tensor)>,
    device: Device,
    kind: Kind,
}

impl ResNet {
    /// Builds the network from weights with torchvision's names, in numbers of a kind.
    ///
    /// # Errors
    /// When a weight is missing or wrongly shaped, or the device has no room.
    pub(super) fn new(weights: &Weights, layout: Layout, device: Device, kind: Kind) -> Result<Self, ModelError> {
        let loader = Loader { weights, device, kind };
        let stem = loader.convolution("conv1", "bn1", [3, STEM_CHANNELS], 7, 2)?;
        let mut blocks = Vec::new();
        let mut inputs = STEM_CHANNELS;
        for (layer, count) in layout.blocks.into_iter().enumerate() {
            let width = STEM_CHANNELS << layer;
            let outputs = if layout.bottleneck { 4 * width } else { width };
            for number in 0..count {
                let stride = if layer > 0 && number == 0 { 2 } else { 1 };
                let name = format!("layer{}.{number}", layer + 1);
                blocks.push(loader.block(&name, [inputs, width, outputs], stride, layout.bottleneck)?);
                inputs = outputs;
            }
        }
        let place = |name: &str, shape: &[i64]| -> Result<Tensor, ModelError> {
            Ok(weights.tensor(name, shape)?.f_to_device(device)?)
        };
        let classes = layout.dimension() as i64;
        let classifier = layout
            .classifier
            .then(|| Ok::<_, ModelError>((place("fc.weight", &[classes, inputs])?, place("fc.bias", &[classes])?)))
            .transpose()?;
        Ok(Self { stem, blocks, classifier, device, kind })
    }

    /// Where the network computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Pictures that [`super::Channels`] has scaled, `[n, 3, height, width]` -> features `[n, dimension]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn features(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        let x = self.stem.forward(&pictures.f_to_kind(self.kind)?, Activation::Relu)?;
        let mut x = x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.blocks {
            x = block.forward(x)?;
        }
        let pooled = x.f_to_kind(Kind::Float)?.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?;
        Ok(match &self.classifier {
            Some((weight, bias)) => pooled.f_linear(weight, Some(bias))?,
            None => pooled,
        })
    }
}

/// Convolutions with a ReLU between them, added to what came in.
#[derive(Debug)]
struct Block {
    first: Vec<Convolution>,
    last: Convolution,
    /// Where what came in has another size.
    shortcut: Option<Convolution>,
}

impl Block {
    fn forward(&self, input: Tensor) -> Result<Tensor, ModelError> {
        let mut x = input.shallow_clone();
        for convolution in &self.first {
            x = convolution.forward(&x, Activation::Relu)?;
        }
        let beside = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&input, Activation::Nothing)?,
            None => input,
        };
        self.last.forward_add(&x, beside, true)
    }
}

struct Loader<'a> {
    weights: &'a Weights<'a>,
    device: Device,
    kind: Kind,
}

impl Loader<'_> {
    /// `sizes`: channels that come in, within a bottleneck, that go out.
    fn block(&self, name: &str, sizes: [i64; 3], stride: i64, bottleneck: bool) -> Result<Block, ModelError> {
        let [inputs, width, outputs] = sizes;
        let step = |number: usize, channels, kernel, stride| {
            self.convolution(&format!("{name}.conv{number}"), &format!("{name}.bn{number}"), channels, kernel, stride)
        };
        let (first, last) = if bottleneck {
            let first = vec![step(1, [inputs, width], 1, 1)?, step(2, [width; 2], 3, stride)?];
            (first, step(3, [width, outputs], 1, 1)?)
        } else {
            (vec![step(1, [inputs, width], 3, stride)?], step(2, [width; 2], 3, 1)?)
        };
        let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
        let shortcut = (stride > 1 || inputs != outputs)
            .then(|| self.convolution(&names[0], &names[1], [inputs, outputs], 1, stride))
            .transpose()?;
        Ok(Block { first, last, shortcut })
    }

    fn convolution(
        &self,
        name: &str,
        norm: &str,
        channels: [i64; 2],
        kernel: i64,
        stride: i64,
    ) -> Result<Convolution, ModelError> {
        let [inputs, outputs] = channels;
        let folded = self.weights.convolution(name, norm, [outputs, inputs, kernel, kernel], BATCH_NORM_EPSILON)?;
        let geometry = Geometry { kernel, stride, groups: 1 };
        Ok(Convolution::new(folded.to(self.device, self.kind)?, geometry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Channels, formula};

    #[test]
    fn features_equal_torchvisions() {
        let pixels = formula::picture(224).0;
        let picture = Tensor::from_data_size(&pixels, &[1, 224, 224, 3], Kind::Uint8).permute([0, 3, 1, 2]);
        for architecture in
            [Architecture::ResNet18, Architecture::ResNet34, Architecture::ResNet50, Architecture::SiameseResNet18]
        {
            let tensors = formula::weights(architecture);
            let file = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
            let weights = Weights::from_bytes(&file, "").unwrap();
            let crate::model::Family::ResNet(layout) = architecture.family() else { panic!("{architecture:?}") };
            let network = ResNet::new(&weights, layout, Device::Cpu, Kind::Float).unwrap();
            let scaled = Channels::new(architecture.channels(), Device::Cpu).unwrap().scale(&picture).unwrap();
            let features = Vec::<f32>::try_from(network.features(&scaled).unwrap().view([-1])).unwrap();
            assert_eq!(features.len(), architecture.dimension());
            formula::reference(architecture).assert_equal(&features, 1e-5);
        }
    }
}

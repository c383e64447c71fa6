//! EfficientNet-Lite0 to 2 (Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks";
//! Lite variant of 2020: ReLU6, no squeeze-and-excite, stem and head not scaled), for inference.
//!
//! Batch norm is folded into the convolutions when the weights are loaded, and everything runs channels-last: together
//! about 1.6 times faster than the plain form on a CPU, with the same result to rounding.
//!
//! TensorFlow's "SAME" padding puts an odd row or column of zeros at the bottom and the right, which libtorch can only do
//! by copying what is to be padded. The network therefore sees pictures turned by 180 degrees, with its kernels turned
//! too: then the odd zeros are at the top and the left, as even padding with a stride of 2 has it. The features are means
//! over the whole picture, and so the same.

use tch::{Device, Kind, Tensor};

use super::convolution::{Activation, Convolution, Geometry};
use super::{ModelError, Weights, normalised};

const BATCH_NORM_EPSILON: f64 = 1e-3;
const STEM_CHANNELS: i64 = 32;
const HEAD_CHANNELS: i64 = 1280;

/// One row of the paper's table 1: inverted-residual blocks of one kind.
pub(super) struct Stage {
    pub(super) expansion: i64,
    pub(super) channels: i64,
    pub(super) blocks: usize,
    stride: i64,
    pub(super) kernel: i64,
}

const STAGES: [Stage; 7] = [
    Stage { expansion: 1, channels: 16, blocks: 1, stride: 1, kernel: 3 },
    Stage { expansion: 6, channels: 24, blocks: 2, stride: 2, kernel: 3 },
    Stage { expansion: 6, channels: 40, blocks: 2, stride: 2, kernel: 5 },
    Stage { expansion: 6, channels: 80, blocks: 3, stride: 2, kernel: 3 },
    Stage { expansion: 6, channels: 112, blocks: 3, stride: 1, kernel: 5 },
    Stage { expansion: 6, channels: 192, blocks: 4, stride: 2, kernel: 5 },
    Stage { expansion: 6, channels: 320, blocks: 1, stride: 1, kernel: 3 },
];

/// Stages whose outputs are features, too, where several levels are: what the last layer has given up in favour of what it
/// was trained to tell apart, colours and textures, helps with species that no network has been trained on.
const LEVELS: [usize; 3] = [4, 5, 6];
/// Keeps the slope of a square root at 0 finite.
const ROOT_EPSILON: f64 = 1e-2;

/// How much wider and deeper than Lite0 a network is, and what it gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    width: f64,
    depth: f64,
    /// Whether features come from several levels (Hariharan et al. 2015, "Hypercolumns for Object Segmentation and
    /// Fine-grained Localization") instead of from the last one alone.
    multilevel: bool,
}

impl Scale {
    pub(crate) const LITE0: Self = Self { width: 1.0, depth: 1.0, multilevel: false };
    pub(crate) const LITE1: Self = Self { width: 1.0, depth: 1.1, multilevel: false };
    pub(crate) const LITE2: Self = Self { width: 1.1, depth: 1.2, multilevel: false };
    pub(crate) const LITE0_MULTILEVEL: Self = Self { multilevel: true, ..Self::LITE0 };

    /// Floats in a feature vector.
    pub(super) fn dimension(self) -> usize {
        let levels = if self.multilevel { LEVELS.map(|level| self.stages()[level].channels as usize) } else { [0; 3] };
        HEAD_CHANNELS as usize + levels.iter().sum::<usize>()
    }

    /// [`STAGES`] at this scale: channels in eights, and never below nine tenths of the exact number; the first and the
    /// last stage keep their depth.
    pub(super) fn stages(self) -> [Stage; 7] {
        let mut stages = STAGES;
        for (number, stage) in stages.iter_mut().enumerate() {
            let exact = stage.channels as f64 * self.width;
            let eights = (((exact + 4.0) / 8.0) as i64 * 8).max(8);
            stage.channels = if (eights as f64) < 0.9 * exact { eights + 8 } else { eights };
            if (1..STAGES.len() - 1).contains(&number) {
                stage.blocks = (stage.blocks as f64 * self.depth).ceil() as usize;
            }
        }
        stages
    }
}

/// The network up to the pooled features.
#[derive(Debug)]
pub(crate) struct EfficientNetLite {
    stem: Convolution,
    blocks: Vec<Block>,
    /// Blocks whose outputs are features, too.
    levels: Vec<usize>,
    head: Convolution,
    device: Device,
    kind: Kind,
}

impl EfficientNetLite {
    /// Builds the network from weights with the names of the package `efficientnet_lite_pytorch`, in numbers of a kind.
    ///
    /// # Errors
    /// When a weight is missing or wrongly shaped, or the device has no room.
    pub(crate) fn new(weights: &Weights, scale: Scale, device: Device, kind: Kind) -> Result<Self, ModelError> {
        let loader = Loader { weights, device, kind };
        let stem = Shape { inputs: 3, outputs: STEM_CHANNELS, kernel: 3, stride: 2, groups: 1 };
        let stem = loader.convolution("_conv_stem", "_bn0", stem)?;
        let (mut blocks, mut levels) = (Vec::new(), Vec::new());
        let mut channels = STEM_CHANNELS;
        for (number, stage) in scale.stages().into_iter().enumerate() {
            let is_level = scale.multilevel && LEVELS.contains(&number);
            for number in 0..stage.blocks {
                let stride = if number == 0 { stage.stride } else { 1 };
                blocks.push(loader.block(blocks.len(), channels, &stage, stride)?);
                channels = stage.channels;
            }
            levels.extend(is_level.then(|| blocks.len() - 1));
        }
        let head = Shape { inputs: channels, outputs: HEAD_CHANNELS, kernel: 1, stride: 1, groups: 1 };
        let head = loader.convolution("_conv_head", "_bn1", head)?;
        Ok(Self { stem, blocks, levels, head, device, kind })
    }

    /// Where the network computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Pictures that [`super::Channels`] has scaled, turned by 180 degrees, `[n, 3, height, width]` -> features
    /// `[n, dimension]`: the means of the last layer, or the square roots of these and the means of other levels, each level
    /// of length 1.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn features(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        let mut x = self.stem.forward(&pictures.f_to_kind(self.kind)?, Activation::Relu6)?;
        let mut levels = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.forward(x)?;
            if self.levels.contains(&number) {
                levels.push(normalised(&pooled(&x)?)?);
            }
        }
        let last = pooled(&self.head.forward(&x, Activation::Relu6)?)?;
        if levels.is_empty() {
            return Ok(last);
        }
        levels.insert(0, normalised(&last.f_div(&last.f_add_scalar(ROOT_EPSILON)?.f_sqrt()?)?)?);
        Ok(Tensor::f_cat(&levels, 1)?)
    }
}

/// `[n, channels, height, width]` -> means `[n, channels]`.
fn pooled(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.f_to_kind(Kind::Float)?.f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?)
}

/// Half the bits where the processor multiplies bfloat16 by itself: nearly twice as fast, and on Oxford 102 recall and
/// MAP@R are within 0.1 points of 32 bits (85.8 against 85.7 with whole pictures). On a GPU 32 bits are fast enough.
pub(super) fn inference_dtype(device: Device) -> Kind {
    #[cfg(target_arch = "x86_64")]
    if device == Device::Cpu && std::is_x86_feature_detected!("avx512bf16") {
        return Kind::BFloat16;
    }
    let _ = device;
    Kind::Float
}

/// Inverted residual: expand, filter each channel by itself, project.
#[derive(Debug)]
struct Block {
    expand: Option<Convolution>,
    depthwise: Convolution,
    project: Convolution,
    residual: bool,
}

impl Block {
    fn forward(&self, input: Tensor) -> Result<Tensor, ModelError> {
        let expanded = match &self.expand {
            Some(expand) => expand.forward(&input, Activation::Relu6)?,
            None => input.shallow_clone(),
        };
        let filtered = self.depthwise.forward(&expanded, Activation::Relu6)?;
        if self.residual {
            return self.project.forward_add(&filtered, input, false);
        }
        self.project.forward(&filtered, Activation::Nothing)
    }
}

/// Sizes of a convolution; a square kernel.
struct Shape {
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
}

/// Reads convolutions out of weights, folding batch norm.
struct Loader<'a> {
    weights: &'a Weights<'a>,
    device: Device,
    kind: Kind,
}

impl Loader<'_> {
    fn block(&self, number: usize, inputs: i64, stage: &Stage, stride: i64) -> Result<Block, ModelError> {
        let name = |part: &str| format!("_blocks.{number}.{part}");
        let inner = inputs * stage.expansion;
        let pointwise = |inputs, outputs| Shape { inputs, outputs, kernel: 1, stride: 1, groups: 1 };
        let depthwise = Shape { inputs: 1, outputs: inner, kernel: stage.kernel, stride, groups: inner };
        let expand = (stage.expansion > 1)
            .then(|| self.convolution(&name("_expand_conv"), &name("_bn0"), pointwise(inputs, inner)))
            .transpose()?;
        Ok(Block {
            expand,
            depthwise: self.convolution(&name("_depthwise_conv"), &name("_bn1"), depthwise)?,
            project: self.convolution(&name("_project_conv"), &name("_bn2"), pointwise(inner, stage.channels))?,
            residual: stride == 1 && inputs == stage.channels,
        })
    }

    fn convolution(&self, name: &str, norm: &str, shape: Shape) -> Result<Convolution, ModelError> {
        let Shape { inputs, outputs, kernel, stride, groups } = shape;
        let folded = self.weights.convolution(name, norm, [outputs, inputs, kernel, kernel], BATCH_NORM_EPSILON)?;
        let folded = folded.rotated_180()?.to(self.device, self.kind)?;
        Ok(Convolution::new(folded, Geometry { kernel, stride, groups }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Channels, formula};

    /// What PyTorch gives in 64 bits for one picture with pixel (7 row + 13 column + 29 channel)
    /// mod 256, ImageNet weights, "SAME" padding.
    const FIRST_16: [f64; 16] =
        [0.482082, 0.0, 0.0, 0.0, 0.0, 0.0, 0.097947, 0.889127, 0.0, 0.0, 0.0, 0.004687, 0.331009, 0.0, 0.283753, 0.0];
    const LENGTH: f64 = 16.913838;
    const SUM: f64 = 140.485368;

    fn reference_features(kind: Kind) -> Vec<f64> {
        let side = 224i64;
        let pixels: Vec<u8> = (0..side * side * 3)
            .map(|i| ((7 * (i / 3 / side) + 13 * (i / 3 % side) + 29 * (i % 3)) % 256) as u8)
            .collect();
        let picture = Tensor::from_data_size(&pixels, &[1, side, side, 3], Kind::Uint8).permute([0, 3, 1, 2]);
        let channels = Channels::new(Architecture::EfficientNetLite0.channels(), Device::Cpu).unwrap();
        let network = EfficientNetLite::new(&Weights::general().unwrap(), Scale::LITE0, Device::Cpu, kind).unwrap();
        let features = network.features(&channels.scale(&picture).unwrap().flip([2, 3])).unwrap();
        Vec::<f32>::try_from(features.view([-1])).unwrap().into_iter().map(f64::from).collect()
    }

    #[test]
    fn features_equal_the_reference() {
        let features = reference_features(Kind::Float);
        for (found, expected) in features.iter().zip(FIRST_16) {
            assert!((found - expected).abs() <= 1e-3 * expected.max(1e-3), "{found} for {expected}");
        }
        let length = features.iter().map(|v| v * v).sum::<f64>().sqrt();
        let sum: f64 = features.iter().sum();
        assert!((length / LENGTH - 1.0).abs() < 1e-3 && (sum / SUM - 1.0).abs() < 1e-3, "{length} {sum}");
    }

    #[test]
    fn larger_networks_equal_the_reference_at_their_own_input_size() {
        for (architecture, scale) in
            [(Architecture::EfficientNetLite1, Scale::LITE1), (Architecture::EfficientNetLite2, Scale::LITE2)]
        {
            let side = i64::from(architecture.input_side());
            let pixels = formula::picture(architecture.input_side()).0;
            let picture = Tensor::from_data_size(&pixels, &[1, side, side, 3], Kind::Uint8).permute([0, 3, 1, 2]);
            let tensors = formula::weights(architecture);
            let file = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
            let weights = Weights::from_bytes(&file, "").unwrap();
            let network = EfficientNetLite::new(&weights, scale, Device::Cpu, Kind::Float).unwrap();
            let channels = Channels::new(architecture.channels(), Device::Cpu).unwrap();
            let features = network.features(&channels.scale(&picture).unwrap().flip([2, 3])).unwrap();
            let features = Vec::<f32>::try_from(features.view([-1])).unwrap();
            formula::reference(architecture).assert_equal(&features, 1e-4);
        }
    }

    #[test]
    fn features_of_several_levels_are_the_roots_of_the_last_and_the_means_of_others() {
        let side = 224i64;
        let pixels = formula::picture(224).0;
        let picture = Tensor::from_data_size(&pixels, &[1, side, side, 3], Kind::Uint8).permute([0, 3, 1, 2]);
        let channels = Channels::new(Architecture::EfficientNetLite0.channels(), Device::Cpu).unwrap();
        let scaled = channels.scale(&picture).unwrap().flip([2, 3]);
        let of = |scale: Scale| {
            let weights = Weights::general().unwrap();
            let network = EfficientNetLite::new(&weights, scale, Device::Cpu, Kind::Float).unwrap();
            let features = Vec::<f32>::try_from(network.features(&scaled).unwrap().view([-1])).unwrap();
            assert_eq!(features.len(), scale.dimension());
            features
        };
        let (last, all) = (of(Scale::LITE0), of(Scale::LITE0_MULTILEVEL));
        assert_eq!(all.len(), 1280 + 112 + 192 + 320);
        let length = |part: &[f32]| part.iter().map(|v| v * v).sum::<f32>().sqrt();
        for part in [&all[..1280], &all[1280..1392], &all[1392..1584], &all[1584..]] {
            assert!((length(part) - 1.0).abs() < 1e-4);
        }
        let roots: Vec<f32> = last.iter().map(|v| v / (v + 0.01).sqrt()).collect();
        let length = length(&roots);
        assert!(roots.iter().zip(&all).all(|(root, found)| (root / length - found).abs() < 1e-4));
    }

    /// Those that the package `efficientnet_lite_pytorch` builds.
    #[test]
    fn wider_and_deeper_networks_have_the_published_sizes() {
        let sizes = |scale: Scale| scale.stages().map(|stage| (stage.channels, stage.blocks));
        let lite1 = [(16, 1), (24, 3), (40, 3), (80, 4), (112, 4), (192, 5), (320, 1)];
        let lite2 = [(16, 1), (24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1)];
        assert_eq!((sizes(Scale::LITE1), sizes(Scale::LITE2)), (lite1, lite2));
    }

    #[test]
    fn half_the_bits_point_the_same_way() {
        let (full, half) = (reference_features(Kind::Float), reference_features(Kind::BFloat16));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = product(&full, &half) / (product(&full, &full) * product(&half, &half)).sqrt();
        assert!(cosine > 0.999, "{cosine}");
    }
}

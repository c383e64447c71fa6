//! DINOv2 ViT-S/14 (Oquab et al. 2024, "DINOv2: Learning Robust Visual Features without Supervision"), for inference at
//! the program's picture size.
//!
//! libtorch's Rust binding has this network, too, but there it wants a classifier that the published file lacks and
//! normalises layers with another epsilon. Here the layers' scales are folded into the projections before them, and the
//! position embedding is interpolated once.

use tch::{Device, Tensor};

use super::{INPUT_SIDE, ModelError, Weights};

const WIDTH: i64 = 384;
const BLOCKS: usize = 12;
const HEADS: i64 = 6;
const PATCH: i64 = 14;
/// Patches a side at the 518 px that the network was trained with at the end.
const TRAINED_GRID: i64 = 37;
const GRID: i64 = INPUT_SIDE as i64 / PATCH;
const LAYER_NORM_EPSILON: f64 = 1e-6;
/// What the authors add to the new grid before they compute its scale to the trained one.
const INTERPOLATION_OFFSET: f64 = 0.1;

/// The network up to the normalised class token.
#[derive(Debug)]
pub(crate) struct DinoV2 {
    /// Turns a patch into a token: a convolution.
    patches: Linear,
    /// The class token with its position, `[1, 1, 384]`.
    class: Tensor,
    /// Of the patches, `[1, 256, 384]`.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    device: Device,
}

impl DinoV2 {
    /// Floats in a feature vector.
    pub(crate) const DIMENSION: usize = WIDTH as usize;

    /// Builds the network from weights with the names of facebookresearch/dinov2.
    ///
    /// # Errors
    /// When a weight is missing or wrongly shaped, or the device has no room.
    pub(super) fn new(weights: &Weights, device: Device) -> Result<Self, ModelError> {
        let loader = Loader { weights, device };
        let positions = weights.tensor("pos_embed", &[1, 1 + TRAINED_GRID * TRAINED_GRID, WIDTH])?;
        let class = weights.tensor("cls_token", &[1, 1, WIDTH])?.f_add(&positions.f_narrow(1, 0, 1)?)?;
        let scale = (GRID as f64 + INTERPOLATION_OFFSET) / TRAINED_GRID as f64;
        let positions = positions
            .f_narrow(1, 1, TRAINED_GRID * TRAINED_GRID)?
            .f_reshape([1, TRAINED_GRID, TRAINED_GRID, WIDTH])?
            .f_permute([0, 3, 1, 2])?
            .f_upsample_bicubic2d([GRID, GRID], false, scale, scale)?
            .f_permute([0, 2, 3, 1])?
            .f_reshape([1, GRID * GRID, WIDTH])?;
        Ok(Self {
            patches: Linear {
                weight: loader.tensor("patch_embed.proj.weight", &[WIDTH, 3, PATCH, PATCH])?,
                bias: loader.tensor("patch_embed.proj.bias", &[WIDTH])?,
            },
            class: class.f_to_device(device)?,
            positions: positions.f_to_device(device)?,
            blocks: (0..BLOCKS).map(|number| loader.block(number)).collect::<Result<_, _>>()?,
            norm: loader.norm("norm")?,
            device,
        })
    }

    /// Where the network computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Pictures that [`super::Channels`] has scaled, `[n, 3, 224, 224]` -> features `[n, 384]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn features(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        let Linear { weight, bias } = &self.patches;
        let patches = pictures.f_conv2d(weight, Some(bias), [PATCH; 2], [0, 0], [1, 1], 1)?;
        let patches = patches.f_flatten(2, 3)?.f_transpose(1, 2)?.f_add(&self.positions)?;
        let class = self.class.f_expand([patches.size()[0], 1, WIDTH], false)?;
        let mut x = Tensor::f_cat(&[class, patches], 1)?;
        for block in &self.blocks {
            x = block.forward(x)?;
        }
        self.norm.forward(&x.f_select(1, 0)?)
    }
}

/// Attention, then a perceptron, each added to what came in.
#[derive(Debug)]
struct Block {
    norm1: Norm,
    /// Queries, keys and values side by side.
    qkv: Linear,
    project: Linear,
    norm2: Norm,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    fn forward(&self, x: Tensor) -> Result<Tensor, ModelError> {
        let (count, tokens, _) = x.size3()?;
        let qkv = self.qkv.forward(&self.norm1.forward(&x)?)?;
        let qkv = qkv.f_reshape([count, tokens, 3, HEADS, WIDTH / HEADS])?.f_permute([2, 0, 3, 1, 4])?;
        let part = |number| qkv.f_select(0, number);
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let attended =
            Tensor::f_scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, None, false)?;
        let attended = attended.f_transpose(1, 2)?.f_reshape([count, tokens, WIDTH])?;
        let x = x.f_add(&self.project.forward(&attended)?)?;
        let inner = self.widen.forward(&self.norm2.forward(&x)?)?.f_gelu("none")?;
        Ok(x.f_add(&self.narrow.forward(&inner)?)?)
    }
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }

    /// With its outputs multiplied by `factors`.
    fn scaled(self, factors: &Tensor) -> Result<Self, ModelError> {
        Ok(Self { weight: self.weight.f_mul(&factors.f_unsqueeze(1)?)?, bias: self.bias.f_mul(factors)? })
    }
}

/// Layer normalisation.
#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(x.f_layer_norm([WIDTH], Some(&self.weight), Some(&self.bias), LAYER_NORM_EPSILON, true)?)
    }
}

struct Loader<'a> {
    weights: &'a Weights<'a>,
    device: Device,
}

impl Loader<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        Ok(self.weights.tensor(name, shape)?.f_to_device(self.device)?)
    }

    fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        let part = |part: &str| self.tensor(&format!("{name}.{part}"), &[WIDTH]);
        Ok(Norm { weight: part("weight")?, bias: part("bias")? })
    }

    fn block(&self, number: usize) -> Result<Block, ModelError> {
        let name = |part: &str| format!("blocks.{number}.{part}");
        let linear = |part: &str, inputs, outputs| -> Result<Linear, ModelError> {
            let weight = self.tensor(&format!("{}.weight", name(part)), &[outputs, inputs])?;
            Ok(Linear { weight, bias: self.tensor(&format!("{}.bias", name(part)), &[outputs])? })
        };
        let scale = |part: &str| self.tensor(&format!("{}.gamma", name(part)), &[WIDTH]);
        Ok(Block {
            norm1: self.norm(&name("norm1"))?,
            qkv: linear("attn.qkv", WIDTH, 3 * WIDTH)?,
            project: linear("attn.proj", WIDTH, WIDTH)?.scaled(&scale("ls1")?)?,
            norm2: self.norm(&name("norm2"))?,
            widen: linear("mlp.fc1", WIDTH, 4 * WIDTH)?,
            narrow: linear("mlp.fc2", 4 * WIDTH, WIDTH)?.scaled(&scale("ls2")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Channels, formula};

    #[test]
    fn features_equal_the_reference() {
        let pixels = formula::picture().0;
        let picture = Tensor::from_data_size(&pixels, &[1, 224, 224, 3], tch::Kind::Uint8).permute([0, 3, 1, 2]);
        let tensors = formula::weights(Architecture::DinoV2Small);
        let file = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
        let network = DinoV2::new(&Weights::from_bytes(&file, "").unwrap(), Device::Cpu).unwrap();
        let scaled = Channels::new(Architecture::DinoV2Small.channels(), Device::Cpu).unwrap().scale(&picture).unwrap();
        let features = Vec::<f32>::try_from(network.features(&scaled).unwrap().view([-1])).unwrap();
        assert_eq!(features.len(), DinoV2::DIMENSION);
        formula::reference(Architecture::DinoV2Small).assert_equal(&features, 1e-5);
    }
}

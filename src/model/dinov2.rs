//! DINOv2 ViT-S/14 and ViT-B/14 (Oquab et al. 2024, "DINOv2: Learning Robust Visual Features without Supervision"), also
//! with registers (Darcet et al. 2024, "Vision Transformers Need Registers"), for inference at 224 px.
//!
//! libtorch's Rust binding has this network, too, but there it wants a classifier that the published file lacks and
//! normalises layers with another epsilon. Here the layers' scales are folded into the projections before them, and the
//! position embedding is interpolated once.

use tch::{Device, Tensor};

use super::{ModelError, Weights};

pub(super) const BLOCKS: usize = 12;
/// Numbers that an attention head works on.
const HEAD_WIDTH: i64 = 64;
pub(super) const PATCH: i64 = 14;
/// Patches a side at the 518 px that the network was trained with at the end.
const TRAINED_GRID: i64 = 37;
/// And at 224 px.
const GRID: i64 = 16;
const LAYER_NORM_EPSILON: f64 = 1e-6;
/// What the authors add to the new grid before they compute its scale to the trained one, where there are no registers.
const INTERPOLATION_OFFSET: f64 = 0.1;

/// In what the variants differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Floats in a token.
    pub(super) width: i64,
    /// Tokens that stand for no part of the picture; there are four or none.
    pub(super) registers: i64,
}

impl Layout {
    /// Floats in a feature vector.
    pub(super) fn dimension(self) -> usize {
        self.width as usize
    }

    /// Brings the position embeddings `[1, 1 + 37 * 37, width]` of the patches to the grid of 224 px, as the authors do
    /// it: with antialiasing and by size for the networks with registers, without and by scale for the others.
    fn positions(self, trained: &Tensor) -> Result<Tensor, ModelError> {
        let grid = trained
            .f_narrow(1, 1, TRAINED_GRID * TRAINED_GRID)?
            .f_reshape([1, TRAINED_GRID, TRAINED_GRID, self.width])?
            .f_permute([0, 3, 1, 2])?;
        let grid = if self.registers > 0 {
            grid.f_internal_upsample_bicubic2d_aa([GRID, GRID], false, None, None)?
        } else {
            let scale = (GRID as f64 + INTERPOLATION_OFFSET) / TRAINED_GRID as f64;
            grid.f_upsample_bicubic2d([GRID, GRID], false, scale, scale)?
        };
        Ok(grid.f_permute([0, 2, 3, 1])?.f_reshape([1, GRID * GRID, self.width])?)
    }
}

/// The network up to the normalised class token.
#[derive(Debug)]
pub(crate) struct DinoV2 {
    layout: Layout,
    /// Turns a patch into a token: a convolution.
    patches: Linear,
    /// The class token with its position, and the registers, `[1, 1 + registers, width]`.
    tokens: Tensor,
    /// Of the patches, `[1, 256, width]`.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    device: Device,
}

impl DinoV2 {
    /// Builds the network from weights with the names of facebookresearch/dinov2.
    ///
    /// # Errors
    /// When a weight is missing or wrongly shaped, or the device has no room.
    pub(super) fn new(weights: &Weights, layout: Layout, device: Device) -> Result<Self, ModelError> {
        let Layout { width, registers } = layout;
        let loader = Loader { weights, width, device };
        let trained = weights.tensor("pos_embed", &[1, 1 + TRAINED_GRID * TRAINED_GRID, width])?;
        let class = weights.tensor("cls_token", &[1, 1, width])?.f_add(&trained.f_narrow(1, 0, 1)?)?;
        let tokens = if registers > 0 {
            Tensor::f_cat(&[class, weights.tensor("register_tokens", &[1, registers, width])?], 1)?
        } else {
            class
        };
        Ok(Self {
            layout,
            patches: Linear {
                weight: loader.tensor("patch_embed.proj.weight", &[width, 3, PATCH, PATCH])?,
                bias: loader.tensor("patch_embed.proj.bias", &[width])?,
            },
            tokens: tokens.f_to_device(device)?,
            positions: layout.positions(&trained)?.f_to_device(device)?,
            blocks: (0..BLOCKS).map(|number| loader.block(number)).collect::<Result<_, _>>()?,
            norm: loader.norm("norm")?,
            device,
        })
    }

    /// Where the network computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Pictures that [`super::Channels`] has scaled, `[n, 3, 224, 224]` -> features `[n, width]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn features(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        let Linear { weight, bias } = &self.patches;
        let patches = pictures.f_conv2d(weight, Some(bias), [PATCH; 2], [0, 0], [1, 1], 1)?;
        let patches = patches.f_flatten(2, 3)?.f_transpose(1, 2)?.f_add(&self.positions)?;
        let Layout { width, registers } = self.layout;
        let tokens = self.tokens.f_expand([patches.size()[0], 1 + registers, width], false)?;
        let mut x = Tensor::f_cat(&[tokens, patches], 1)?;
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
        let (count, tokens, width) = x.size3()?;
        let qkv = self.qkv.forward(&self.norm1.forward(&x)?)?;
        let qkv = qkv.f_reshape([count, tokens, 3, width / HEAD_WIDTH, HEAD_WIDTH])?.f_permute([2, 0, 3, 1, 4])?;
        let part = |number| qkv.f_select(0, number);
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let attended =
            Tensor::f_scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, None, false)?;
        let attended = attended.f_transpose(1, 2)?.f_reshape([count, tokens, width])?;
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
        Ok(x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), LAYER_NORM_EPSILON, true)?)
    }
}

struct Loader<'a> {
    weights: &'a Weights<'a>,
    width: i64,
    device: Device,
}

impl Loader<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        Ok(self.weights.tensor(name, shape)?.f_to_device(self.device)?)
    }

    fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        let part = |part: &str| self.tensor(&format!("{name}.{part}"), &[self.width]);
        Ok(Norm { weight: part("weight")?, bias: part("bias")? })
    }

    fn block(&self, number: usize) -> Result<Block, ModelError> {
        let width = self.width;
        let name = |part: &str| format!("blocks.{number}.{part}");
        let linear = |part: &str, inputs, outputs| -> Result<Linear, ModelError> {
            let weight = self.tensor(&format!("{}.weight", name(part)), &[outputs, inputs])?;
            Ok(Linear { weight, bias: self.tensor(&format!("{}.bias", name(part)), &[outputs])? })
        };
        let scale = |part: &str| self.tensor(&format!("{}.gamma", name(part)), &[width]);
        Ok(Block {
            norm1: self.norm(&name("norm1"))?,
            qkv: linear("attn.qkv", width, 3 * width)?,
            project: linear("attn.proj", width, width)?.scaled(&scale("ls1")?)?,
            norm2: self.norm(&name("norm2"))?,
            widen: linear("mlp.fc1", width, 4 * width)?,
            narrow: linear("mlp.fc2", 4 * width, width)?.scaled(&scale("ls2")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::architecture::Family;
    use crate::model::dinov2_names::use_original_names;
    use crate::model::{Architecture, Channels, formula};

    #[test]
    fn features_equal_the_reference_whatever_the_weights_are_called() {
        let pixels = formula::picture(224).0;
        let picture = Tensor::from_data_size(&pixels, &[1, 224, 224, 3], tch::Kind::Uint8).permute([0, 3, 1, 2]);
        for architecture in [
            Architecture::DinoV2Small,
            Architecture::DinoV2SmallRegisters,
            Architecture::DinoV2Base,
            Architecture::DinoV2BaseRegisters,
        ] {
            let Family::DinoV2(layout) = architecture.family() else { panic!("{architecture:?}") };
            let original = formula::weights(architecture);
            let mut namings = vec![formula::as_timm(&original)];
            // The wide ones differ in nothing but their width.
            if layout.width == 384 {
                namings.extend([false, true].map(|since_5| formula::as_hugging_face(&original, since_5)));
                namings.push(original);
            }
            for mut tensors in namings {
                use_original_names(&mut tensors);
                let file = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
                let network = DinoV2::new(&Weights::from_bytes(&file, "").unwrap(), layout, Device::Cpu).unwrap();
                let scaled = Channels::new(architecture.channels(), Device::Cpu).unwrap().scale(&picture).unwrap();
                let features = Vec::<f32>::try_from(network.features(&scaled).unwrap().view([-1])).unwrap();
                assert_eq!(features.len(), layout.dimension());
                formula::reference(architecture).assert_equal(&features, 1e-5);
            }
        }
    }
}

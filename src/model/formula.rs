//! For tests: networks whose weights follow from a formula, and what PyTorch makes of them
//! (`tests/data/make_references.py`, in 64 bits).

use super::{Architecture, NamedTensor, NetworkInput, Scale};

/// Features of [`picture`].
pub(crate) struct Reference {
    pub(crate) first: [f64; 6],
    pub(crate) length: f64,
    pub(crate) sum: f64,
}

pub(crate) fn reference(architecture: Architecture) -> Reference {
    let (first, length, sum) = match architecture {
        Architecture::ResNet18 => {
            ([0.903459, 1.266026, 5.036812, 0.885184, 2.378340, 6.790332], 85.128609, 1271.594585)
        }
        Architecture::ResNet34 => {
            ([7.158923, 1.128466, 3.277320, 9.806359, 22.454120, 38.812336], 443.298682, 7108.704926)
        }
        Architecture::ResNet50 => {
            ([2.831632, 0.036911, 0.000000, 0.739308, 3.167623, 1.020134], 220.478712, 6752.179066)
        }
        Architecture::SiameseResNet18 => {
            ([2.516054, 1.597665, 9.138749, 0.342599, -2.675745, 2.375232], 135.324070, 19.349954)
        }
        Architecture::DinoV2Small => {
            ([-2.083613, -0.704159, 0.049030, -0.128742, -0.304967, -0.006640], 20.950270, -2.687862)
        }
        Architecture::DinoV2SmallRegisters => {
            ([-2.235206, -0.610636, -0.090393, -0.142376, -0.302140, 0.015117], 20.906071, -2.730871)
        }
        Architecture::DinoV2Base => {
            ([-0.840109, -2.426571, -0.847053, 0.733635, 1.347071, 0.067460], 28.840530, -2.329057)
        }
        Architecture::DinoV2BaseRegisters => {
            ([-0.664567, -2.464487, -0.935630, 0.582750, 1.385855, 0.018099], 28.784292, -2.021244)
        }
        Architecture::EfficientNetLite1 => {
            ([0.125478, 0.004208, 0.487825, 0.042974, 0.004592, 0.000000], 8.041740, 178.039702)
        }
        Architecture::EfficientNetLite2 => {
            ([0.079295, 0.503572, 0.111468, 0.096511, 0.358686, 0.139534], 11.057114, 239.283962)
        }
        other @ (Architecture::EfficientNetLite0 | Architecture::EfficientNetLite0Multilevel) => {
            panic!("no reference for {other:?}")
        }
    };
    Reference { first, length, sum }
}

impl Reference {
    /// Compares to a share of the features' length.
    pub(crate) fn assert_equal(&self, features: &[f32], tolerance: f64) {
        let features: Vec<f64> = features.iter().copied().map(f64::from).collect();
        let length = features.iter().map(|v| v * v).sum::<f64>().sqrt();
        let sum: f64 = features.iter().sum();
        let pairs = features.iter().copied().zip(self.first).chain([(length, self.length), (sum, self.sum)]);
        for (found, expected) in pairs {
            let unit = if expected == self.sum { self.length * (features.len() as f64).sqrt() } else { self.length };
            assert!((found - expected).abs() <= tolerance * unit, "{found} for {expected}");
        }
    }
}

/// Pixel (7 row + 13 column + 29 channel) mod 256.
pub(crate) fn picture(side: u32) -> NetworkInput {
    let pixels = (0..side * side * 3).map(|i| ((7 * (i / 3 / side) + 13 * (i / 3 % side) + 29 * (i % 3)) % 256) as u8);
    NetworkInput(pixels.collect())
}

fn formula(name: &str, shape: &[usize]) -> NamedTensor {
    let seed: u64 = name.bytes().map(u64::from).sum();
    let inputs = shape[1..].iter().product::<usize>() as f64;
    let value = |i: usize| {
        let mut x = (i as u64 * 2_654_435_761 + seed * 40_503) as u32;
        x ^= x >> 15;
        x = x.wrapping_mul(0x2c1b_3c6d);
        x ^= x >> 12;
        let unit = f64::from(x) / 4_294_967_296.0;
        let value = if matches!(name, "pos_embed" | "cls_token" | "register_tokens") {
            2.0 * unit - 1.0
        } else if shape.len() > 1 {
            (2.0 * unit - 1.0) * (3.0 / inputs).sqrt()
        } else if name.ends_with("bias") || name.ends_with("running_mean") {
            (unit - 0.5) / 5.0
        } else {
            unit + 0.5
        };
        value as f32
    };
    let values = (0..shape.iter().product()).map(value).collect();
    NamedTensor { name: name.to_owned(), shape: shape.to_vec(), values }
}

/// All weights, the classifier's among them.
pub(crate) fn weights(architecture: Architecture) -> Vec<NamedTensor> {
    match architecture {
        Architecture::ResNet18 | Architecture::SiameseResNet18 => resnet([2, 2, 2, 2], false),
        Architecture::ResNet34 => resnet([3, 4, 6, 3], false),
        Architecture::ResNet50 => resnet([3, 4, 6, 3], true),
        Architecture::EfficientNetLite1 => efficientnet_lite(Scale::LITE1),
        Architecture::EfficientNetLite2 => efficientnet_lite(Scale::LITE2),
        Architecture::DinoV2Small => dinov2(384, 0),
        Architecture::DinoV2SmallRegisters => dinov2(384, 4),
        Architecture::DinoV2Base => dinov2(768, 0),
        Architecture::DinoV2BaseRegisters => dinov2(768, 4),
        other @ (Architecture::EfficientNetLite0 | Architecture::EfficientNetLite0Multilevel) => {
            panic!("no formula for {other:?}")
        }
    }
}

fn resnet(blocks: [usize; 4], bottleneck: bool) -> Vec<NamedTensor> {
    let mut tensors = Vec::new();
    let mut convolution = |name: &str, norm: &str, outputs: usize, inputs: usize, kernel: usize| {
        tensors.push(formula(&format!("{name}.weight"), &[outputs, inputs, kernel, kernel]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push(formula(&format!("{norm}.{part}"), &[outputs]));
        }
    };
    convolution("conv1", "bn1", 64, 3, 7);
    let mut inputs = 64;
    for (layer, count) in blocks.into_iter().enumerate() {
        let width = 64 << layer;
        let outputs = if bottleneck { 4 * width } else { width };
        for block in 0..count {
            let steps: &[_] = if bottleneck {
                &[(width, inputs, 1), (width, width, 3), (outputs, width, 1)]
            } else {
                &[(width, inputs, 3), (width, width, 3)]
            };
            let name = format!("layer{}.{block}", layer + 1);
            for (number, (outputs, inputs, kernel)) in steps.iter().enumerate() {
                let [conv, norm] = ["conv", "bn"].map(|part| format!("{name}.{part}{}", number + 1));
                convolution(&conv, &norm, *outputs, *inputs, *kernel);
            }
            if inputs != outputs {
                convolution(&format!("{name}.downsample.0"), &format!("{name}.downsample.1"), outputs, inputs, 1);
            }
            inputs = outputs;
        }
    }
    tensors.extend([formula("fc.weight", &[1000, inputs]), formula("fc.bias", &[1000])]);
    tensors
}

fn efficientnet_lite(scale: Scale) -> Vec<NamedTensor> {
    let mut tensors = Vec::new();
    let mut convolution = |name: &str, norm: &str, shape: [i64; 4]| {
        let shape = shape.map(|side| side as usize);
        tensors.push(formula(&format!("{name}.weight"), &shape));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push(formula(&format!("{norm}.{part}"), &shape[..1]));
        }
    };
    convolution("_conv_stem", "_bn0", [32, 3, 3, 3]);
    let (mut inputs, mut number) = (32, 0);
    for stage in scale.stages() {
        for _ in 0..stage.blocks {
            let name = |part: &str| format!("_blocks.{number}.{part}");
            let inner = inputs * stage.expansion;
            if stage.expansion > 1 {
                convolution(&name("_expand_conv"), &name("_bn0"), [inner, inputs, 1, 1]);
            }
            convolution(&name("_depthwise_conv"), &name("_bn1"), [inner, 1, stage.kernel, stage.kernel]);
            convolution(&name("_project_conv"), &name("_bn2"), [stage.channels, inner, 1, 1]);
            (inputs, number) = (stage.channels, number + 1);
        }
    }
    convolution("_conv_head", "_bn1", [1280, inputs, 1, 1]);
    tensors.extend([formula("_fc.weight", &[1000, 1280]), formula("_fc.bias", &[1000])]);
    tensors
}

fn dinov2(width: usize, registers: usize) -> Vec<NamedTensor> {
    let mut shapes = vec![
        ("cls_token".to_owned(), vec![1, 1, width]),
        ("pos_embed".to_owned(), vec![1, 1370, width]),
        ("mask_token".to_owned(), vec![1, width]),
        ("patch_embed.proj.weight".to_owned(), vec![width, 3, 14, 14]),
        ("patch_embed.proj.bias".to_owned(), vec![width]),
        ("norm.weight".to_owned(), vec![width]),
        ("norm.bias".to_owned(), vec![width]),
    ];
    if registers > 0 {
        shapes.push(("register_tokens".to_owned(), vec![1, registers, width]));
    }
    for block in 0..12 {
        let mut add = |part: &str, shape: &[usize]| shapes.push((format!("blocks.{block}.{part}"), shape.to_vec()));
        for part in ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma"] {
            add(part, &[width]);
        }
        let wide = 4 * width;
        for (part, outputs, inputs) in [
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", wide, width),
            ("mlp.fc2", width, wide),
        ] {
            add(&format!("{part}.weight"), &[outputs, inputs]);
            add(&format!("{part}.bias"), &[outputs]);
        }
    }
    shapes.iter().map(|(name, shape)| formula(name, shape)).collect()
}

/// DINOv2's weights as transformers keeps them, before version 5 or since: other names, and queries, keys and values each
/// by itself.
pub(crate) fn as_hugging_face(original: &[NamedTensor], since_5: bool) -> Vec<NamedTensor> {
    let (project, parts) = if since_5 {
        ("attention.o_proj", ["q_proj", "k_proj", "v_proj"].map(|part| format!("attention.{part}")))
    } else {
        ("attention.output.dense", ["query", "key", "value"].map(|part| format!("attention.attention.{part}")))
    };
    let mut tensors = Vec::new();
    for tensor in original {
        let renamed = |name: String| NamedTensor { name, ..tensor.clone() };
        let top = [
            ("cls_token", "embeddings.cls_token"),
            ("mask_token", "embeddings.mask_token"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("register_tokens", "embeddings.register_tokens"),
            ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
            ("norm.", "layernorm."),
        ];
        if let Some((from, to)) = top.iter().find(|(from, _)| tensor.name.starts_with(from)) {
            tensors.push(renamed(tensor.name.replacen(from, to, 1)));
            continue;
        }
        let name = tensor.name.replacen("blocks.", "encoder.layer.", 1);
        let name = name.replace("attn.proj", project);
        let name = name.replace("ls1.gamma", "layer_scale1.lambda1").replace("ls2.gamma", "layer_scale2.lambda1");
        let Some((block, part)) = name.split_once("attn.qkv") else {
            tensors.push(renamed(name));
            continue;
        };
        let third = tensor.values.len() / 3;
        for (number, what) in parts.iter().enumerate() {
            let mut shape = tensor.shape.clone();
            shape[0] /= 3;
            let values = tensor.values[number * third..(number + 1) * third].to_vec();
            tensors.push(NamedTensor { name: format!("{block}{what}{part}"), shape, values });
        }
    }
    tensors
}

/// DINOv2's weights as timm keeps them. Where there are registers, their positions are those of the patches alone, and
/// the class token's has been added to the token.
pub(crate) fn as_timm(original: &[NamedTensor]) -> Vec<NamedTensor> {
    let mut tensors: Vec<NamedTensor> = original.iter().filter(|t| t.name != "mask_token").cloned().collect();
    let find = |tensors: &[NamedTensor], name: &str| tensors.iter().position(|tensor| tensor.name == name);
    if let Some(registers) = find(&tensors, "register_tokens") {
        "reg_token".clone_into(&mut tensors[registers].name);
        let (positions, class) =
            (find(&tensors, "pos_embed").unwrap_or_default(), find(&tensors, "cls_token").unwrap_or_default());
        let width = tensors[positions].shape[2];
        let own: Vec<f32> = tensors[positions].values.drain(..width).collect();
        tensors[positions].shape[1] -= 1;
        tensors[class].values.iter_mut().zip(own).for_each(|(value, own)| *value += own);
    }
    tensors
}

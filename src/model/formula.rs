//! For tests: networks whose weights follow from a formula, and what PyTorch makes of them
//! (`tests/data/make_references.py`, in 64 bits).

use super::{Architecture, INPUT_SIDE, NamedTensor, NetworkInput};

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
        other => panic!("no reference for {other:?}"),
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
pub(crate) fn picture() -> NetworkInput {
    let side = INPUT_SIDE;
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
        let value = if matches!(name, "pos_embed" | "cls_token") {
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
        Architecture::DinoV2Small => dinov2(),
        other => panic!("no formula for {other:?}"),
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

fn dinov2() -> Vec<NamedTensor> {
    let mut shapes = vec![
        ("cls_token".to_owned(), vec![1, 1, 384]),
        ("pos_embed".to_owned(), vec![1, 1370, 384]),
        ("mask_token".to_owned(), vec![1, 384]),
        ("patch_embed.proj.weight".to_owned(), vec![384, 3, 14, 14]),
        ("patch_embed.proj.bias".to_owned(), vec![384]),
        ("norm.weight".to_owned(), vec![384]),
        ("norm.bias".to_owned(), vec![384]),
    ];
    for block in 0..12 {
        let mut add = |part: &str, shape: &[usize]| shapes.push((format!("blocks.{block}.{part}"), shape.to_vec()));
        for part in ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma"] {
            add(part, &[384]);
        }
        for (part, outputs, inputs) in
            [("attn.qkv", 1152, 384), ("attn.proj", 384, 384), ("mlp.fc1", 1536, 384), ("mlp.fc2", 384, 1536)]
        {
            add(&format!("{part}.weight"), &[outputs, inputs]);
            add(&format!("{part}.bias"), &[outputs]);
        }
    }
    shapes.iter().map(|(name, shape)| formula(name, shape)).collect()
}

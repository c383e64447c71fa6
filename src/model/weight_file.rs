//! A network's weights as others publish them: a `.safetensors` file or what `torch.save` wrote. Which network it is
//! follows from names and shapes alone.

use std::io;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::dinov2_names::use_original_names;
use super::pickle::DType;
use super::weight_format::{WeightFormatError, short};
use super::{Architecture, NamedTensor, state_dict};

/// The largest network here has 350 MB.
const MAX_BYTES: u64 = 1 << 30;
/// Put before every name by what trained or wrapped the network.
const WRAPPERS: [&str; 4] = ["module.", "backbone.", "_orig_mod.", "model."];

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightFileError {
    #[error("The file cannot be read ({0})")]
    Io(#[from] io::Error),
    #[error("The file is larger than 1 GiB, which none of the networks that Florascope reads needs")]
    TooLarge,
    #[error(transparent)]
    Format(#[from] WeightFormatError),
    #[error("This file holds the weights of an unknown network ({found}). Florascope reads {known}", known = KNOWN)]
    Unknown { found: String },
}

const KNOWN: &str =
    "EfficientNet-Lite0 to 2, ResNet18, 34 and 50 and DINOv2 ViT-S/14 and ViT-B/14, with registers and without";

/// The floating-point tensors of a file as 32-bit floats, without the prefixes of wrappers and under the names of their
/// authors; PyTorch's in the file's order, others by name. The format is told by the content, whatever the file is
/// called.
///
/// # Errors
/// When the file cannot be read, is damaged, or is no such file.
pub fn read(path: &Path) -> Result<Vec<NamedTensor>, WeightFileError> {
    if std::fs::metadata(path)?.len() > MAX_BYTES {
        return Err(WeightFileError::TooLarge);
    }
    let file = std::fs::read(path)?;
    let mut tensors =
        if state_dict::has_signature(&file) { state_dict::read(&file)? } else { read_safetensors(&file)? };
    if tensors.is_empty() {
        return Err(WeightFormatError::NoWeights("a file without any").into());
    }
    for tensor in &mut tensors {
        while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| tensor.name.strip_prefix(wrapper)) {
            tensor.name = rest.to_owned();
        }
    }
    use_original_names(&mut tensors);
    Ok(tensors)
}

fn read_safetensors(file: &[u8]) -> Result<Vec<NamedTensor>, WeightFileError> {
    // The length of a header, which begins with a brace.
    if file.get(8) != Some(&b'{') {
        return Err(WeightFormatError::NoWeights(what_it_is(file)).into());
    }
    let damaged = |error: SafeTensorError| damaged(error.to_string());
    let parsed = SafeTensors::deserialize(file).map_err(damaged)?;
    let floats = parsed.iter().filter_map(|(name, view)| {
        let dtype = match view.dtype() {
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::Bf16,
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            _ => return None,
        };
        let values = view.data().chunks_exact(dtype.size()).filter_map(|bytes| dtype.float(bytes)).collect();
        Some(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values })
    });
    let mut tensors: Vec<_> = floats.collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// What people take for weights by mistake, or get when a download went wrong.
fn what_it_is(file: &[u8]) -> &'static str {
    let beginnings: [(&[u8], &str); 9] = [
        (b"\x89HDF", "an HDF5 file, as Keras writes them"),
        (b"PK", "a zip archive"),
        (b"\x1f\x8b", "a compressed archive; unpack it first"),
        (b"\xff\xd8\xff", "a picture"),
        (b"\x89PNG", "a picture"),
        (b"version https://git-lfs", "a pointer to a file that was not downloaded (Git LFS)"),
        (b"<", "a web page; the download may have failed"),
        (b"{", "a JSON file"),
        (b"\x80", "a pickle that torch.save did not write"),
    ];
    let known = beginnings.iter().find(|(beginning, _)| file.starts_with(beginning)).map(|(_, what)| *what);
    known.unwrap_or(if file.is_empty() { "an empty file" } else { "something else" })
}

/// Which network the tensors are the weights of, whatever it was trained to tell apart.
///
/// # Errors
/// When it is none of those that the program knows.
pub(crate) fn recognise(tensors: &[NamedTensor]) -> Result<Architecture, WeightFileError> {
    let shape = |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.as_slice());
    let has = |name: &str| shape(name).is_some();
    let blocks = |prefix: &str| {
        let number = |tensor: &NamedTensor| tensor.name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        tensors.iter().filter_map(number).max().map_or(0, |last| last.saturating_add(1))
    };
    let known = if has("_conv_stem.weight") && !has("_blocks.0._se_reduce.weight") {
        match (blocks("_blocks."), shape("_conv_head.weight")) {
            (16, Some([_, 320, ..])) => Some(Architecture::EfficientNetLite0),
            (21, Some([_, 320, ..])) => Some(Architecture::EfficientNetLite1),
            (21, Some([_, 352, ..])) => Some(Architecture::EfficientNetLite2),
            _ => None,
        }
    } else if has("layer1.0.conv1.weight") {
        let depths = [1, 2, 3, 4].map(|layer| blocks(&format!("layer{layer}.")));
        match (depths, has("layer1.0.conv3.weight")) {
            ([2, 2, 2, 2], false) => Some(Architecture::ResNet18),
            ([3, 4, 6, 3], false) => Some(Architecture::ResNet34),
            ([3, 4, 6, 3], true) => Some(Architecture::ResNet50),
            _ => None,
        }
    } else {
        let is_dinov2 = has("blocks.0.ls1.gamma") && blocks("blocks.") == 12;
        match shape("patch_embed.proj.weight").filter(|_| is_dinov2) {
            Some([384, _, 14, 14]) if has("register_tokens") => Some(Architecture::DinoV2SmallRegisters),
            Some([384, _, 14, 14]) => Some(Architecture::DinoV2Small),
            Some([768, _, 14, 14]) if has("register_tokens") => Some(Architecture::DinoV2BaseRegisters),
            Some([768, _, 14, 14]) => Some(Architecture::DinoV2Base),
            _ => None,
        }
    };
    known.ok_or_else(|| WeightFileError::Unknown { found: first_names(tensors) })
}

/// The first three names, for people.
fn first_names(tensors: &[NamedTensor]) -> String {
    let names: Vec<String> = tensors.iter().take(3).map(|tensor| short(&tensor.name)).collect();
    format!("first names: {}", names.join(", "))
}

fn damaged(what: String) -> WeightFileError {
    WeightFormatError::Damaged(what).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::formula;

    #[test]
    fn the_network_is_known_by_names_and_shapes() {
        for architecture in [
            Architecture::ResNet34,
            Architecture::ResNet50,
            Architecture::DinoV2SmallRegisters,
            Architecture::DinoV2Base,
            Architecture::DinoV2BaseRegisters,
        ] {
            assert_eq!(recognise(&formula::weights(architecture)).unwrap(), architecture);
        }
        let shaped = |name: &str, shape: &[usize]| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![0.0; shape.iter().product()],
        };
        for (blocks, width, architecture) in [
            (16, 320, Architecture::EfficientNetLite0),
            (21, 320, Architecture::EfficientNetLite1),
            (21, 352, Architecture::EfficientNetLite2),
        ] {
            let mut tensors =
                vec![shaped("_conv_stem.weight", &[1]), shaped("_conv_head.weight", &[1280, width, 1, 1])];
            tensors.extend((0..blocks).map(|block| shaped(&format!("_blocks.{block}._bn1.weight"), &[1])));
            assert_eq!(recognise(&tensors).unwrap(), architecture);
            // EfficientNet-B0 has the same names and more.
            tensors.push(shaped("_blocks.0._se_reduce.weight", &[1]));
            assert!(recognise(&tensors).is_err());
        }
    }

    #[test]
    fn a_state_dict_of_pytorch_is_read_without_its_wrapper() {
        let names: Vec<String> = read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state_dict_old.pt")))
            .unwrap()
            .into_iter()
            .map(|tensor| tensor.name)
            .collect();
        assert_eq!(names, ["turned", "part", "half", "bf16", "double", "scalar"]);
    }
}

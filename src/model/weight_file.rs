//! "Load weights…": a network's weights as others publish them, made into a [`Model`] that is ready for use or as the
//! starting point of a training.
//!
//! A `.safetensors` file or what `torch.save` wrote. Which network it is follows from names and shapes alone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::pickle::Kind;
use super::{Architecture, Backbone, ModelError, state_dict};
use crate::artefact::{self, ArtefactError, Card, Model, NamedTensor, one_line};
use crate::photo::Metric;

/// The largest network here has 100 MB.
const MAX_BYTES: u64 = 1 << 30;
/// Put before every name by what trained or wrapped the network.
const WRAPPERS: [&str; 4] = ["module.", "backbone.", "_orig_mod.", "model."];

/// Why a file of weights cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{error}: {path}", path = .path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub error: WeightFileError,
}

/// What is wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightFileError {
    #[error("The file cannot be read ({0})")]
    Io(#[from] io::Error),
    #[error("The file is larger than 1 GiB, which none of the networks that Florascope reads needs")]
    TooLarge,
    #[error("This is a Florascope model, not a network's weights; choose \"Import…\" for it")]
    OwnModel,
    #[error(
        "This is no file of weights, but {0}. Florascope reads .safetensors files and PyTorch's state dicts (.pt, .pth)"
    )]
    NoWeights(&'static str),
    #[error("The file is damaged or of a kind that Florascope does not read: {0}")]
    Damaged(String),
    #[error(
        "The file wants to call {0}; only tensors are read, and nothing in the file was run. Save the network's state dict alone"
    )]
    Refused(String),
    #[error("This file holds the weights of an unknown network ({found}). Florascope reads {known}", known = KNOWN)]
    Unknown { found: String },
    #[error("The file does not fit the network {network}: {error}")]
    Misfit { network: &'static str, error: ModelError },
    #[error(transparent)]
    Pack(#[from] ArtefactError),
}

const KNOWN: &str = "EfficientNet-Lite0 to 2, ResNet18, 34 and 50 and DINOv2 ViT-S/14";

/// Makes a model out of a file of weights; classifier layers are left behind. All that the network needs is checked by
/// opening it on the CPU.
///
/// # Errors
/// When the file cannot be read, is damaged, or holds another network.
pub fn load(path: &Path) -> Result<Model, LoadError> {
    try_load(path).map_err(|error| LoadError { path: path.to_owned(), error })
}

fn try_load(path: &Path) -> Result<Model, WeightFileError> {
    let mut tensors = read(path)?;
    let architecture = recognise(&tensors)?;
    tensors.retain(|tensor| architecture.needs(&tensor.name));
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(WeightFileError::Damaged(format!("it holds the weight {} twice", short(&pair[0].name))));
    }
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.values.iter().any(|value| !value.is_finite())) {
        return Err(WeightFileError::Damaged(format!(
            "the weight {} holds infinite or undefined numbers",
            short(&tensor.name)
        )));
    }
    let card = Card {
        title: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        architecture,
        // Follows from the numbers when it is packed.
        backbone: String::new(),
        metric: Metric::Cosine,
        made: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        trained: None,
    };
    let model = Model::pack(card, tensors, None)?;
    let misfit = |error| WeightFileError::Misfit { network: architecture.name(), error };
    Backbone::check(&model).map_err(misfit)?;
    Ok(model)
}

/// The floating-point tensors of a file as 32-bit floats, without the prefixes of wrappers; PyTorch's in the file's
/// order, others by name. The format is told by the content, whatever the file is called.
///
/// # Errors
/// When the file cannot be read, is damaged, or is no such file.
pub fn read(path: &Path) -> Result<Vec<NamedTensor>, WeightFileError> {
    if std::fs::metadata(path)?.len() > MAX_BYTES {
        return Err(WeightFileError::TooLarge);
    }
    let file = std::fs::read(path)?;
    let mut tensors = if state_dict::is_one(&file) { state_dict::read(&file)? } else { read_safetensors(&file)? };
    if tensors.is_empty() {
        return Err(WeightFileError::NoWeights("a file without any"));
    }
    for tensor in &mut tensors {
        while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| tensor.name.strip_prefix(wrapper)) {
            tensor.name = rest.to_owned();
        }
    }
    Ok(tensors)
}

fn read_safetensors(file: &[u8]) -> Result<Vec<NamedTensor>, WeightFileError> {
    // The length of a header, which begins with a brace.
    if file.get(8) != Some(&b'{') {
        return Err(WeightFileError::NoWeights(what_it_is(file)));
    }
    let damaged = |error: SafeTensorError| WeightFileError::Damaged(error.to_string());
    if artefact::is_model(&SafeTensors::read_metadata(file).map_err(damaged)?.1) {
        return Err(WeightFileError::OwnModel);
    }
    let parsed = SafeTensors::deserialize(file).map_err(damaged)?;
    let floats = parsed.iter().filter_map(|(name, view)| {
        let kind = match view.dtype() {
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::Bf16,
            Dtype::F32 => Kind::F32,
            Dtype::F64 => Kind::F64,
            _ => return None,
        };
        let values = view.data().chunks_exact(kind.size()).filter_map(|bytes| kind.float(bytes)).collect();
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
pub fn recognise(tensors: &[NamedTensor]) -> Result<Architecture, WeightFileError> {
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
        let patches = matches!(shape("patch_embed.proj.weight"), Some([384, _, 14, 14]));
        let dinov2 = patches && has("blocks.0.ls1.gamma") && blocks("blocks.") == 12 && !has("register_tokens");
        dinov2.then_some(Architecture::DinoV2Small)
    };
    known.ok_or_else(|| WeightFileError::Unknown { found: first_names(tensors) })
}

/// The first three names, for people.
fn first_names(tensors: &[NamedTensor]) -> String {
    let names: Vec<String> = tensors.iter().take(3).map(|tensor| short(&tensor.name)).collect();
    format!("first names: {}", names.join(", "))
}

/// A file may name its weights in any way.
pub(super) fn short(name: &str) -> String {
    one_line(name, 60)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::model::formula;

    fn written(tensors: &[NamedTensor]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".pth").unwrap();
        let bytes = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn message(tensors: &[NamedTensor]) -> String {
        load(written(tensors).path()).unwrap_err().error.to_string()
    }

    #[test]
    fn weights_of_others_become_a_model_that_works() {
        for architecture in [Architecture::ResNet18, Architecture::DinoV2Small] {
            let mut tensors = formula::weights(architecture);
            tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "module.backbone."));
            // Safetensors, though the name says otherwise.
            let file = written(&tensors);
            let model = load(file.path()).unwrap();
            assert_eq!((model.card.architecture, model.card.metric), (architecture, Metric::Cosine));
            assert_eq!(model.card.title, file.path().file_stem().unwrap().to_str().unwrap());
            assert_eq!(model.card.backbone, model.id);
            assert_eq!(model.id.strip_prefix(architecture.id()).map(str::len), Some(13), "{}", model.id);
            let backbone = Backbone::open(&model, Device::Cpu).unwrap();
            let features = backbone.features(&[formula::picture(), formula::picture()]).unwrap();
            let (one, two) = features.split_at(architecture.dimension());
            assert_eq!(two.len(), one.len());
            // Fewer digits where the processor computes with half the bits.
            for features in [one, two] {
                formula::reference(architecture).assert_equal(features, 0.02);
            }
        }
    }

    #[test]
    fn the_network_is_known_by_names_and_shapes() {
        for architecture in [Architecture::ResNet34, Architecture::ResNet50] {
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
    fn what_is_wrong_with_a_file_is_said_in_words() {
        let tensor = |name: &str, shape: &[usize]| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![0.5; shape.iter().product()],
        };
        let unknown = message(&[tensor("encoder.a", &[1]), tensor("encoder.b", &[1])]);
        assert_eq!(
            unknown,
            "This file holds the weights of an unknown network (first names: encoder.a, encoder.b). Florascope reads \
             EfficientNet-Lite0 to 2, ResNet18, 34 and 50 and DINOv2 ViT-S/14"
        );
        let mut tensors = formula::weights(Architecture::ResNet18);
        let place = tensors.iter().position(|t| t.name == "layer1.0.conv1.weight").unwrap();
        let right = std::mem::replace(&mut tensors[place], tensor("layer1.0.conv1.weight", &[64, 64, 5, 5]));
        assert_eq!(
            message(&tensors),
            "The file does not fit the network ResNet18: the weight layer1.0.conv1.weight has the shape \
             [64, 64, 5, 5]; [64, 64, 3, 3] was expected"
        );
        tensors[place] = right;
        tensors[place].values[7] = f32::NAN;
        assert!(message(&tensors).contains("layer1.0.conv1.weight holds infinite or undefined numbers"));
        let removed = tensors.iter().position(|t| t.name == "bn1.running_var").unwrap();
        tensors[place].values[7] = 0.0;
        tensors.remove(removed);
        assert_eq!(message(&tensors), "The file does not fit the network ResNet18: the weights lack bn1.running_var");
        let of_bytes = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            load(file.path()).unwrap_err().to_string()
        };
        let expected = "Florascope reads .safetensors files and PyTorch's state dicts (.pt, .pth): /";
        for (bytes, what) in [
            (&b""[..], "an empty file"),
            (b"no weights at all", "something else"),
            (b"<!DOCTYPE html>", "a web page; the download may have failed"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"\x80\x04K\x01.", "a pickle that torch.save did not write"),
        ] {
            let found = of_bytes(bytes);
            assert!(found.contains(what) && found.contains(expected), "{found}");
        }
        let model = load(written(&formula::weights(Architecture::ResNet18)).path()).unwrap();
        let found = of_bytes(&model.backbone_weights().unwrap().0);
        assert!(found.starts_with("This is a Florascope model"), "{found}");
        let missing = load(Path::new("/nowhere/x.pt")).unwrap_err().to_string();
        assert!(missing.starts_with("The file cannot be read (") && missing.ends_with(": /nowhere/x.pt"), "{missing}");
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

    /// `FLORASCOPE_WEIGHTS=file cargo test -- --ignored real_weights`: a published file, end to end.
    #[test]
    #[ignore = "needs a file of weights"]
    fn real_weights_give_features() {
        let path = std::env::var_os("FLORASCOPE_WEIGHTS").unwrap();
        let begun = std::time::Instant::now();
        let model = load(Path::new(&path)).unwrap();
        let loaded = begun.elapsed();
        let backbone = Backbone::open(&model, Device::Cpu).unwrap();
        let features = backbone.features(&[formula::picture()]).unwrap();
        let length = features.iter().map(|v| v * v).sum::<f32>().sqrt();
        println!("{} in {loaded:?}: first {:?}, length {length}", model.card.backbone, &features[..6]);
    }
}

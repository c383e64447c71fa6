//! "Import a network…": a network's weights as others publish them, made into a [`Model`] that is ready for use or as the
//! starting point of a training.

use std::path::{Path, PathBuf};

use super::{ArtefactError, Card, Model, ModelId, is_model};
use crate::model::weight_file::{self, WeightFileError};
use crate::model::weight_format::{WeightFormatError, short};
use crate::model::{ModelError, metadata_in, read_header};
use crate::photo::Metric;
use crate::system::now;

/// Why a file of weights cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: {path}", path = .path.display())]
pub(crate) struct LoadError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    File(#[from] WeightFileError),
    #[error("This is a Florascope model, not a network's weights; choose \"Import…\" for it")]
    OwnModel,
    #[error("The file does not fit the network {network}: {error}")]
    Misfit { network: &'static str, error: ModelError },
    #[error(transparent)]
    Pack(#[from] ArtefactError),
}

/// Makes a model out of a file of weights; classifier layers are left behind. All that the network needs is checked by
/// opening it on the CPU.
///
/// # Errors
/// When the file cannot be read, is damaged, or holds another network.
pub(crate) fn load_weights(path: &Path) -> Result<Model, LoadError> {
    try_load(path).map_err(|reason| LoadError { path: path.to_owned(), reason })
}

fn try_load(path: &Path) -> Result<Model, Reason> {
    if is_own_model(path) {
        return Err(Reason::OwnModel);
    }
    let mut tensors = weight_file::read(path)?;
    let architecture = weight_file::recognise(&tensors)?;
    tensors.retain(|tensor| architecture.needs(&tensor.name));
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(damaged(format!("it holds the weight {} twice", short(&pair[0].name))));
    }
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.values.iter().any(|value| !value.is_finite())) {
        return Err(damaged(format!("the weight {} holds infinite or undefined numbers", short(&tensor.name))));
    }
    let card = Card {
        title: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        architecture,
        // Follows from the numbers when it is packed.
        backbone: ModelId::default(),
        metric: Metric::Cosine,
        made: now(),
        trained: None,
    };
    let model = Model::pack(card, tensors, None)?;
    let misfit = |error| Reason::Misfit { network: architecture.name(), error };
    model.check_backbone().map_err(misfit)?;
    Ok(model)
}

fn damaged(what: String) -> Reason {
    WeightFileError::from(WeightFormatError::Damaged(what)).into()
}

fn is_own_model(path: &Path) -> bool {
    let metadata = read_header(path).ok().and_then(|(_, header)| metadata_in(&header).ok());
    metadata.flatten().is_some_and(|metadata| is_model(&metadata))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::model::{Architecture, Backbone, NamedTensor, formula};

    fn written(tensors: &[NamedTensor]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".pth").unwrap();
        let bytes = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), None).unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn message(tensors: &[NamedTensor]) -> String {
        load_weights(written(tensors).path()).unwrap_err().reason.to_string()
    }

    #[test]
    fn weights_of_others_become_a_model_that_works() {
        for (architecture, mut tensors) in [
            (Architecture::ResNet18, formula::weights(Architecture::ResNet18)),
            (Architecture::DinoV2Small, formula::weights(Architecture::DinoV2Small)),
            (
                Architecture::DinoV2SmallRegisters,
                formula::as_hugging_face(&formula::weights(Architecture::DinoV2SmallRegisters), true),
            ),
            (Architecture::DinoV2BaseRegisters, formula::as_timm(&formula::weights(Architecture::DinoV2BaseRegisters))),
            (Architecture::EfficientNetLite2, formula::weights(Architecture::EfficientNetLite2)),
        ] {
            tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "module.backbone."));
            // Safetensors, though the name says otherwise.
            let file = written(&tensors);
            let model = load_weights(file.path()).unwrap();
            assert_eq!((model.card.architecture, model.card.metric), (architecture, Metric::Cosine));
            assert_eq!(model.card.title, file.path().file_stem().unwrap().to_str().unwrap());
            assert_eq!(model.card.backbone, model.id);
            assert_eq!(model.id.strip_prefix(architecture.id()).map(str::len), Some(13), "{}", model.id);
            let picture = formula::picture(architecture.input_side());
            let backbone = Backbone::open(architecture, &model.weights().unwrap(), Device::Cpu).unwrap();
            let features = backbone.features(&[picture.clone(), picture]).unwrap();
            let (one, two) = features.split_at(architecture.dimension());
            assert_eq!(two.len(), one.len());
            // Fewer digits where the processor computes with half the bits.
            for features in [one, two] {
                formula::reference(architecture).assert_equal(features, 0.02);
            }
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
             EfficientNet-Lite0 to 2, ResNet18, 34 and 50 and DINOv2 ViT-S/14 and ViT-B/14, with registers and \
             without"
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
            load_weights(file.path()).unwrap_err().to_string()
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
        let model = load_weights(written(&formula::weights(Architecture::ResNet18)).path()).unwrap();
        let found = of_bytes(model.file.as_ref().unwrap());
        assert!(found.starts_with("This is a Florascope model"), "{found}");
        let missing = load_weights(Path::new("/nowhere/x.pt")).unwrap_err().to_string();
        assert!(missing.starts_with("The file cannot be read (") && missing.ends_with(": /nowhere/x.pt"), "{missing}");
    }
}

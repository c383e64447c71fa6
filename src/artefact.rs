//! A model as a file: backbone weights, head and card in one safetensors file that can be carried to another computer;
//! and the folder of all models on this one.
//!
//! In the file, tensors named `backbone.…` are the backbone's weights, where they are not those in the program;
//! `head.N.matrix`, `head.N.centre` and `head.N.weight` are the parts of the head. The card is JSON in the file's
//! metadata.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Architecture, Head, HeadPart};
use crate::photo::Metric;
use crate::train::report::TrainedBy;

/// The id of the model that is built into the program, which names its features in every catalog.
pub const BUILT_IN: &str = "efficientnet-lite0-imagenet-1";
const EXTENSION: &str = "safetensors";
const CARD: &str = "florascope";
const BACKBONE: &str = "backbone.";
/// Models beyond this are not ours: the largest network here has 90 MB.
const MAX_BYTES: u64 = 1 << 30;

/// Why a model file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    #[error("The file cannot be used ({error}): {path}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("This is no Florascope model ({reason}). To use a network's weights, choose \"Load weights…\": {path}", path = .path.display())]
    NoModel { path: PathBuf, reason: String },
    #[error("There is no model {0} on this computer")]
    Unknown(String),
    #[error("The model could not be written: {0}")]
    Write(#[from] safetensors::SafeTensorError),
}

/// What is known of a model besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What people call it.
    pub title: String,
    pub architecture: Architecture,
    /// Names the backbone with its weights: features of one name can be compared, and are kept in catalogs under it.
    /// For a model without a head this is its own id.
    pub backbone: String,
    pub metric: Metric,
    /// Seconds since 1970.
    pub made: u64,
    /// `None` for weights that were loaded from a file.
    pub trained: Option<TrainedBy>,
}

/// A model, ready to be opened on any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Names the model in catalogs: embeddings of one id can be compared with each other.
    pub id: String,
    pub card: Arc<Card>,
    /// The safetensors file; `None` for the model in the program.
    file: Option<Arc<[u8]>>,
}

/// One named tensor of 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

impl Model {
    /// EfficientNet-Lite0 with ImageNet weights, as it is in the program.
    pub fn built_in() -> Self {
        let card = Card {
            title: "Built in".into(),
            architecture: Architecture::EfficientNetLite0,
            backbone: BUILT_IN.into(),
            metric: Metric::Cosine,
            made: 0,
            trained: None,
        };
        Self { id: BUILT_IN.into(), card: Arc::new(card), file: None }
    }

    /// Packs a model. `backbone` is empty where the weights are those in the program. The id follows from the numbers:
    /// the same training gives the same id.
    ///
    /// # Errors
    /// When the tensors are inconsistent.
    pub fn pack(card: Card, backbone: Vec<NamedTensor>, head: Option<&Head>) -> Result<Self, ArtefactError> {
        let mut tensors = backbone;
        tensors.iter_mut().for_each(|tensor| tensor.name.insert_str(0, BACKBONE));
        for (number, part) in head.into_iter().flat_map(|head| &head.parts).enumerate() {
            let mut add = |what: &str, shape: Vec<usize>, values: Vec<f32>| {
                tensors.push(NamedTensor { name: format!("head.{number}.{what}"), shape, values });
            };
            add("weight", vec![1], vec![part.weight]);
            add("power", vec![1], vec![part.power]);
            add("centre", vec![part.centre.len()], part.centre.clone());
            add("matrix", vec![part.outputs(), part.centre.len()], part.matrix.clone());
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let json = serde_json::to_string(&card).unwrap_or_default();
        let metadata = HashMap::from([(CARD.to_owned(), json)]);
        let bytes = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), Some(metadata))?;
        Ok(Self::with(card, bytes, head.is_some()))
    }

    fn with(mut card: Card, file: Vec<u8>, has_head: bool) -> Self {
        let id = id_of(&card, &file);
        if !has_head {
            card.backbone.clone_from(&id);
        }
        Self { id, card: Arc::new(card), file: Some(file.into()) }
    }

    /// A model out of a file's bytes; `path` is for the message only.
    ///
    /// # Errors
    /// When the bytes are no such file.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, ArtefactError> {
        let wrong = |reason: String| ArtefactError::NoModel { path: path.to_owned(), reason };
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
        let card = metadata.metadata().as_ref().and_then(|metadata| metadata.get(CARD));
        let card = card.ok_or_else(|| wrong("a safetensors file, but without Florascope's description".into()))?;
        let card: Card = serde_json::from_str(card).map_err(|error| wrong(format!("its description: {error}")))?;
        let has_head = head_in(&bytes).map_err(wrong)?.is_some();
        Ok(Self::with(card, bytes, has_head))
    }

    /// The backbone's weights as the file's bytes and the prefix of their names; `None` where they are those in the
    /// program.
    pub fn backbone_weights(&self) -> Option<(Arc<[u8]>, &'static str)> {
        let own = |file: &&Arc<[u8]>| {
            SafeTensors::deserialize(file).is_ok_and(|t| t.names().iter().any(|name| name.starts_with(BACKBONE)))
        };
        self.file.as_ref().filter(own).map(|file| (Arc::clone(file), BACKBONE))
    }

    /// The backbone's weights as tensors, to pack them into a further model; none where they are those in the program.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn backbone_tensors(&self) -> Result<Vec<NamedTensor>, ArtefactError> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let tensors = SafeTensors::deserialize(file)?;
        let own = tensors.iter().filter_map(|(name, view)| Some((name.strip_prefix(BACKBONE)?, view)));
        Ok(own
            .map(|(name, view)| NamedTensor {
                name: name.to_owned(),
                shape: view.shape().to_vec(),
                values: floats(view.data()),
            })
            .collect())
    }

    /// The head, where there is one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn head(&self) -> Result<Option<Head>, String> {
        self.file.as_ref().map_or(Ok(None), |file| head_in(file))
    }

    /// Bytes of the file; 0 for the model in the program.
    pub fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.len() as u64)
    }
}

fn head_in(file: &[u8]) -> Result<Option<Head>, String> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| error.to_string())?;
    let read = |name: &str| {
        let view = tensors.tensor(name).map_err(|error| format!("{name}: {error}"))?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name}: {:?} numbers; 32-bit floats were expected", view.dtype()));
        }
        Ok(floats(view.data()))
    };
    let mut parts: Vec<HeadPart> = Vec::new();
    while tensors.tensor(&format!("head.{}.matrix", parts.len())).is_ok() {
        let part = |what: &str| read(&format!("head.{}.{what}", parts.len()));
        let (weight, power, centre, matrix) = (part("weight")?, part("power")?, part("centre")?, part("matrix")?);
        let ([weight], [power], false) = (weight.as_slice(), power.as_slice(), centre.is_empty()) else {
            return Err("the head's shapes are wrong".into());
        };
        if !matrix.len().is_multiple_of(centre.len()) || matrix.is_empty() {
            return Err("the head's shapes are wrong".into());
        }
        parts.push(HeadPart { weight: *weight, power: *power, centre, matrix });
    }
    Ok((!parts.is_empty()).then_some(Head { parts }))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

/// The recipe and the first 6 bytes of the SHA-256 of what follows the file's header: a new title keeps the id.
fn id_of(card: &Card, file: &[u8]) -> String {
    let header = SafeTensors::read_metadata(file).map_or(0, |(length, _)| length + 8);
    let digest = Sha256::digest(file.get(header..).unwrap_or_default());
    let kind = match &card.trained {
        Some(trained) => format!("{:?}", trained.options.recipe).to_lowercase(),
        None => "weights".into(),
    };
    digest.iter().take(6).fold(kind + "-", |id, byte| format!("{id}{byte:02x}"))
}

/// The models on this computer.
#[derive(Clone, Debug)]
pub struct ModelFolder(PathBuf);

impl ModelFolder {
    /// The models in a folder, which is made when the first one is saved.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(id).with_extension(EXTENSION)
    }

    /// All models, the one in the program first, then the newest first. A file that cannot be read is passed over with
    /// a word in the log.
    pub fn list(&self) -> Vec<Model> {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut models: Vec<Model> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
            .filter_map(|path| read(&path).inspect_err(|error| log::warn!("{error}")).ok())
            .collect();
        models.sort_by(|a, b| b.card.made.cmp(&a.card.made).then_with(|| a.id.cmp(&b.id)));
        models.insert(0, Model::built_in());
        models
    }

    /// The model of an id.
    ///
    /// # Errors
    /// When there is none or its file is damaged.
    pub fn load(&self, id: &str) -> Result<Model, ArtefactError> {
        if id == BUILT_IN {
            return Ok(Model::built_in());
        }
        let path = self.path(id);
        // An id comes from the command line, too: it must not lead out of the folder.
        if id.contains(['/', '\\']) || !path.exists() {
            return Err(ArtefactError::Unknown(id.to_owned()));
        }
        read(&path)
    }

    /// Keeps a model. One of the same numbers is replaced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, model: &Model) -> Result<(), ArtefactError> {
        std::fs::create_dir_all(&self.0).map_err(|error| ArtefactError::Io { path: self.0.clone(), error })?;
        self.export(model, &self.path(&model.id))
    }

    /// Gives a model another title.
    ///
    /// # Errors
    /// When there is no such model, or the file cannot be written.
    pub fn rename(&self, id: &str, title: &str) -> Result<Model, ArtefactError> {
        let model = self.load(id)?;
        let Some(file) = &model.file else { return Err(ArtefactError::Unknown(id.to_owned())) };
        let card = Card { title: title.to_owned(), ..Card::clone(&model.card) };
        let json = serde_json::to_string(&card).unwrap_or_default();
        let tensors = SafeTensors::deserialize(file)?;
        let bytes = safetensors::serialize(tensors.tensors(), Some(HashMap::from([(CARD.to_owned(), json)])))?;
        let renamed = Model { id: model.id, card: Arc::new(card), file: Some(bytes.into()) };
        self.save(&renamed)?;
        Ok(renamed)
    }

    /// Deletes a model's file.
    ///
    /// # Errors
    /// When there is no such model, or the file cannot be deleted.
    pub fn delete(&self, id: &str) -> Result<(), ArtefactError> {
        let path = self.path(id);
        if id.contains(['/', '\\']) || !path.exists() {
            return Err(ArtefactError::Unknown(id.to_owned()));
        }
        std::fs::remove_file(&path).map_err(|error| ArtefactError::Io { path, error })
    }

    /// Writes a model to a file of the user's choice, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written, or the model is the one in the program.
    pub fn export(&self, model: &Model, path: &Path) -> Result<(), ArtefactError> {
        let io_error = |error| ArtefactError::Io { path: path.to_owned(), error };
        let Some(file) = &model.file else {
            return Err(io_error(io::Error::other("the built-in model is part of every Florascope")));
        };
        let partial = path.with_extension(format!("{}.partial", std::process::id()));
        std::fs::write(&partial, file)
            .and_then(|()| std::fs::rename(&partial, path))
            .inspect_err(|_| drop(std::fs::remove_file(&partial)))
            .map_err(io_error)
    }

    /// Takes a model in from a file that was exported elsewhere.
    ///
    /// # Errors
    /// When the file is no such model.
    pub fn import(&self, path: &Path) -> Result<Model, ArtefactError> {
        let model = read(path)?;
        self.save(&model)?;
        Ok(model)
    }
}

fn read(path: &Path) -> Result<Model, ArtefactError> {
    let io_error = |error| ArtefactError::Io { path: path.to_owned(), error };
    let length = std::fs::metadata(path).map_err(io_error)?.len();
    if length > MAX_BYTES {
        return Err(ArtefactError::NoModel { path: path.to_owned(), reason: "it is too large".into() });
    }
    Model::from_bytes(std::fs::read(path).map_err(io_error)?, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(weight: f32) -> Model {
        let card = Card { title: "Roses".into(), ..Card::clone(&Model::built_in().card) };
        let part = HeadPart { weight, power: 1.0, centre: vec![0.0, 1.0], matrix: vec![1.0, 2.0, 3.0, 4.0] };
        Model::pack(card, Vec::new(), Some(&Head { parts: vec![part] })).unwrap()
    }

    #[test]
    fn a_model_survives_saving_renaming_and_travelling() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::new(folder.path().join("models"));
        let saved = model(0.5);
        models.save(&saved).unwrap();
        let renamed = models.rename(&saved.id, "Garden roses").unwrap();
        assert_eq!(renamed.id, saved.id);
        let file = folder.path().join("travel.safetensors");
        models.export(&renamed, &file).unwrap();
        models.delete(&saved.id).unwrap();
        assert!(matches!(models.load(&saved.id), Err(ArtefactError::Unknown(_))));
        let imported = models.import(&file).unwrap();
        assert_eq!((imported.id.as_str(), imported.card.title.as_str()), (saved.id.as_str(), "Garden roses"));
        assert_eq!(imported.head().unwrap(), saved.head().unwrap());
        assert_eq!(models.list().len(), 2);
    }

    #[test]
    fn the_id_follows_from_the_numbers() {
        assert_eq!(model(0.5).id, model(0.5).id);
        assert_ne!(model(0.5).id, model(0.25).id);
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::new(folder.path().join("models"));
        let file = folder.path().join("x.safetensors");
        std::fs::write(&file, b"no model").unwrap();
        let error = models.import(&file).unwrap_err().to_string();
        assert!(error.contains("not a safetensors file"), "{error}");
        let tensor = NamedTensor { name: "a".into(), shape: vec![1], values: vec![1.0] };
        std::fs::write(&file, safetensors::serialize([("a", &tensor)], None).unwrap()).unwrap();
        let error = models.import(&file).unwrap_err().to_string();
        assert!(error.contains("without Florascope's description"), "{error}");
        assert!(matches!(models.load("../x"), Err(ArtefactError::Unknown(_))));
        assert!(!folder.path().join("models").exists());
    }
}

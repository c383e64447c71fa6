//! A model as a file: backbone weights, head and card in one safetensors file that can be carried to another computer.
//!
//! In the file, tensors named `backbone.…` are the backbone's weights, where they are not those in the program;
//! `head.N.matrix`, `.centre`, `.power` and `.weight` are the parts of the head. The file's metadata describes the
//! model as JSON: the format's version, the id and the card.

mod folder;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::folder::ModelFolder;
use crate::catalog::ModelKey;
use crate::model::{Architecture, Head, HeadPart};
use crate::photo::Metric;
use crate::train::report::TrainedBy;

/// The id of the model that is built into the program, which names its features in every catalog.
pub const BUILT_IN: &str = "efficientnet-lite0-imagenet-1";
/// What model files end in.
pub const EXTENSION: &str = "safetensors";
/// The metadata's entry that describes the model.
const DESCRIPTION: &str = "florascope";
/// What this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
const BACKBONE: &str = "backbone.";
/// The description of our largest model has 30 KB.
const MAX_HEADER_BYTES: u64 = 8 << 20;
/// Characters of a title.
const MAX_TITLE: usize = 60;
/// Tensors in a part of a head.
const HEAD_PARTS: usize = 4;

/// Why a model file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    #[error("The file cannot be used ({error}): {path}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("Models cannot be kept: their folder could not be made ({error}). Move away what is in its place: {path}", path = .path.display())]
    NoFolder { path: PathBuf, error: io::Error },
    #[error("This is no Florascope model ({reason}). To use a network's weights, choose \"Load weights…\": {path}", path = .path.display())]
    NotOurs { path: PathBuf, reason: String },
    #[error("The model's file is damaged ({reason}): {path}", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("This model was made by a newer version of Florascope; update the program to use it: {path}", path = .0.display())]
    TooNew(PathBuf),
    #[error("There is no model {0} on this computer")]
    Unknown(String),
    #[error("The built-in model is part of every Florascope; it cannot be renamed, deleted or exported")]
    BuiltIn,
    #[error("A model needs a name")]
    NoTitle,
    #[error("The model could not be saved: {0}")]
    Pack(String),
}

impl From<SafeTensorError> for ArtefactError {
    fn from(error: SafeTensorError) -> Self {
        Self::Pack(error.to_string())
    }
}

/// What is known of a model besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What people call it: one line, not empty.
    pub title: String,
    pub architecture: Architecture,
    /// Names the backbone with its weights: features of one name can be compared, and are kept in catalogs under it.
    /// For a model without a head this is its own id. It follows from the numbers, see [`Model::pack`].
    pub backbone: String,
    pub metric: Metric,
    /// Seconds since 1970.
    pub made: u64,
    /// `None` for weights that were loaded from a file.
    pub trained: Option<TrainedBy>,
}

/// What a file's metadata says.
#[derive(Serialize, Deserialize)]
struct Description {
    format: u32,
    id: String,
    card: Card,
}

/// A model, ready to be opened on any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// Names the model in catalogs: embeddings of one id can be compared with each other.
    pub id: String,
    pub card: Arc<Card>,
    /// Floats in an embedding.
    pub dimension: usize,
    /// The safetensors file; `None` for the model in the program.
    file: Option<Arc<[u8]>>,
}

/// A model in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSummary {
    /// [`Model::id`].
    pub id: String,
    pub card: Arc<Card>,
    /// Bytes on disk; 0 for the model in the program.
    pub size: u64,
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

/// Why bytes are no model; the path is added where one is known.
enum Flaw {
    NotOurs(String),
    Damaged(String),
    TooNew,
}

impl From<String> for Flaw {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl Flaw {
    fn at(self, path: &Path) -> ArtefactError {
        let path = path.to_owned();
        match self {
            Self::NotOurs(reason) => ArtefactError::NotOurs { path, reason },
            Self::Damaged(reason) => ArtefactError::Damaged { path, reason },
            Self::TooNew => ArtefactError::TooNew(path),
        }
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
        let dimension = card.architecture.dimension();
        Self { id: BUILT_IN.into(), card: Arc::new(card), dimension, file: None }
    }

    /// What its embeddings are called in the catalog.
    pub fn key(&self) -> ModelKey<'_> {
        ModelKey { name: &self.id, backbone: &self.card.backbone, metric: self.card.metric }
    }

    /// Packs a model. `backbone` is empty where the weights are those in the program. The ids of model and backbone
    /// follow from the numbers alone: the same training gives the same ids, whatever the card says.
    ///
    /// # Errors
    /// When the tensors are inconsistent, or are not those of such a model: what could not be read again.
    pub fn pack(mut card: Card, backbone: Vec<NamedTensor>, head: Option<&Head>) -> Result<Self, ArtefactError> {
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
        let named = || tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        let Ids { model, backbone } = Ids::of(&card, named());
        card.backbone = backbone;
        card.title = one_line(&card.title, MAX_TITLE);
        if card.title.is_empty() {
            card.title = card.architecture.name().into();
        }
        let bytes = safetensors::serialize(named(), Some(metadata(&model, &card)?))?;
        Self::parse(bytes).map_err(|flaw| match flaw {
            Flaw::NotOurs(reason) | Flaw::Damaged(reason) => ArtefactError::Pack(reason),
            Flaw::TooNew => ArtefactError::Pack("its format is unknown".into()),
        })
    }

    /// A model out of a file's bytes; `path` is for the message only.
    ///
    /// # Errors
    /// When the bytes are no such file.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, ArtefactError> {
        Self::parse(bytes).map_err(|flaw| flaw.at(path))
    }

    /// Checks all but the shapes of the backbone's weights, which opening it does.
    fn parse(bytes: Vec<u8>) -> Result<Self, Flaw> {
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| match error {
            SafeTensorError::MetadataIncompleteBuffer => Flaw::Damaged("its length is wrong".into()),
            error => Flaw::NotOurs(format!("not a safetensors file: {error}")),
        })?;
        let Description { id, card, .. } = description(metadata.metadata().as_ref())?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
        let found = Ids::of(&card, tensors.iter());
        if (&found.model, &found.backbone) != (&id, &card.backbone) {
            return Err(Flaw::Damaged("its numbers are not those that were saved".into()));
        }
        check_numbers(&tensors)?;
        let head = head_in(&tensors)?;
        if head.is_none() && id == BUILT_IN {
            return Err(Flaw::Damaged("it holds no weights".into()));
        }
        check_card(&card, head.as_ref())?;
        let dimension = head.map_or(card.architecture.dimension(), |head| head.dimension());
        Ok(Self { id, card: Arc::new(card), dimension, file: Some(bytes.into()) })
    }

    /// The backbone's weights as the file's bytes and the prefix of their names; `None` where they are those in the
    /// program.
    pub fn backbone_weights(&self) -> Option<(Arc<[u8]>, &'static str)> {
        let own = self.card.backbone != BUILT_IN;
        self.file.as_ref().filter(|_| own).map(|file| (Arc::clone(file), BACKBONE))
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
                values: floats(view.data()).collect(),
            })
            .collect())
    }

    /// The head, where there is one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn head(&self) -> Result<Option<Head>, String> {
        let Some(file) = &self.file else { return Ok(None) };
        head_in(&SafeTensors::deserialize(file).map_err(|error| error.to_string())?)
    }

    /// Bytes of the file; 0 for the model in the program.
    pub fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.len() as u64)
    }

    /// As it stands in a list.
    pub fn summary(&self) -> ModelSummary {
        ModelSummary { id: self.id.clone(), card: Arc::clone(&self.card), size: self.size() }
    }
}

/// Names that follow from the numbers.
struct Ids {
    model: String,
    backbone: String,
}

impl Ids {
    fn of<'a, V: View>(card: &Card, tensors: impl IntoIterator<Item = (&'a str, V)>) -> Self {
        let mut tensors: Vec<_> = tensors.into_iter().collect();
        tensors.sort_by_key(|(name, _)| *name);
        let (weights, head): (Vec<_>, Vec<_>) = tensors.into_iter().partition(|(name, _)| name.starts_with(BACKBONE));
        let backbone = if weights.is_empty() {
            BUILT_IN.to_owned()
        } else {
            name_by_numbers(card.architecture.id(), "", &weights)
        };
        let model = if head.is_empty() {
            backbone.clone()
        } else {
            let recipe = card.trained.as_ref().map(|trained| format!("{:?}", trained.options.recipe).to_lowercase());
            name_by_numbers(recipe.as_deref().unwrap_or("head"), &backbone, &head)
        };
        Self { model, backbone }
    }
}

/// `kind`, and the first 6 bytes of the SHA-256 of `base` and of the tensors with their names and shapes.
fn name_by_numbers<V: View>(kind: &str, base: &str, tensors: &[(&str, V)]) -> String {
    let mut hasher = Sha256::new_with_prefix(base);
    for (name, tensor) in tensors {
        hasher.update(format!("\0{name}{:?}", tensor.shape()));
        hasher.update(tensor.data());
    }
    hasher.finalize().iter().take(6).fold(format!("{kind}-"), |id, byte| format!("{id}{byte:02x}"))
}

fn metadata(id: &str, card: &Card) -> Result<HashMap<String, String>, ArtefactError> {
    let description = Description { format: FORMAT, id: id.to_owned(), card: card.clone() };
    let json = serde_json::to_string(&description).map_err(|error| ArtefactError::Pack(error.to_string()))?;
    Ok(HashMap::from([(DESCRIPTION.to_owned(), json)]))
}

fn description(metadata: Option<&HashMap<String, String>>) -> Result<Description, Flaw> {
    let json = metadata.and_then(|metadata| metadata.get(DESCRIPTION));
    let json = json.ok_or_else(|| Flaw::NotOurs("it lacks Florascope's description".into()))?;
    let wrong = |error: serde_json::Error| Flaw::Damaged(format!("its description: {error}"));
    // What a newer version writes may have any form but for its number.
    let value: serde_json::Value = serde_json::from_str(json).map_err(wrong)?;
    if value["format"].as_u64().is_some_and(|format| format > FORMAT.into()) {
        return Err(Flaw::TooNew);
    }
    let mut description: Description = serde_json::from_value(value).map_err(wrong)?;
    description.card.title = one_line(&description.card.title, MAX_TITLE);
    Ok(description)
}

/// Whether a safetensors file's metadata describes a model of ours.
pub fn is_model(metadata: &Metadata) -> bool {
    metadata.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(DESCRIPTION))
}

/// Finite 32-bit floats, all of them.
fn check_numbers(tensors: &SafeTensors) -> Result<(), String> {
    for (name, view) in tensors.iter() {
        let name = one_line(name, MAX_TITLE);
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} holds {:?} numbers; 32-bit floats were expected", view.dtype()));
        }
        if !floats(view.data()).all(f32::is_finite) {
            return Err(format!("{name} holds infinite or undefined numbers"));
        }
    }
    Ok(())
}

/// What the card says must be possible with what the file holds.
fn check_card(card: &Card, head: Option<&Head>) -> Result<(), String> {
    let Card { architecture, .. } = card;
    let on_built_in = card.backbone == BUILT_IN;
    if on_built_in && *architecture != Model::built_in().card.architecture {
        return Err(format!("it lacks the weights of {}", architecture.name()));
    }
    let dimension = architecture.dimension();
    if let Some(part) = head.into_iter().flat_map(|head| &head.parts).find(|part| part.centre.len() != dimension) {
        let (found, name) = (part.centre.len(), architecture.name());
        return Err(format!("its head takes {found} numbers, but {name} gives {dimension}"));
    }
    let metric = if head.is_none() && *architecture == Architecture::SiameseResNet18 {
        Metric::Euclidean
    } else {
        Metric::Cosine
    };
    (card.metric == metric).then_some(()).ok_or_else(|| format!("it compares photos by {:?} distance", card.metric))
}

/// In a file where [`check_numbers`] holds.
fn head_in(tensors: &SafeTensors) -> Result<Option<Head>, String> {
    let count = tensors.iter().filter(|(name, _)| !name.starts_with(BACKBONE)).count();
    let read = |part: usize, what: &str, dimensions: usize| {
        let name = format!("head.{part}.{what}");
        let view = tensors.tensor(&name).map_err(|_| format!("the head lacks {name}"))?;
        if view.shape().len() != dimensions {
            return Err(format!("{name} has the shape {:?}", view.shape()));
        }
        Ok((view.shape().to_vec(), floats(view.data()).collect::<Vec<f32>>()))
    };
    let mut parts = Vec::new();
    for number in 0..count.div_ceil(HEAD_PARTS) {
        let (_, weight) = read(number, "weight", 1)?;
        let (_, power) = read(number, "power", 1)?;
        let (_, centre) = read(number, "centre", 1)?;
        let (shape, matrix) = read(number, "matrix", 2)?;
        let fit = shape[1] == centre.len() && !matrix.is_empty();
        let ([weight], [power], true) = (weight.as_slice(), power.as_slice(), fit) else {
            return Err(format!("the shapes of the head's part {number} do not fit each other"));
        };
        parts.push(HeadPart { weight: *weight, power: *power, centre, matrix });
    }
    if count != HEAD_PARTS * parts.len() {
        return Err("it holds tensors that belong to nothing".into());
    }
    Ok((!parts.is_empty()).then_some(Head { parts }))
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

/// Text of others, fit to be shown: on one line, without what cannot be seen or turns the writing's direction around,
/// and of at most so many characters.
pub fn one_line(text: &str, length: usize) -> String {
    let is_visible = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let visible: String = text.chars().map(|c| if is_visible(c) { c } else { ' ' }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= length {
        return line;
    }
    line.chars().take(length.saturating_sub(1)).collect::<String>().trim_end().to_owned() + "…"
}

/// The size of a safetensors file, and its header: all but the numbers.
///
/// # Errors
/// When the file cannot be read.
pub fn read_header(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut header = Vec::new();
    let size = file.metadata()?.len();
    file.take(u64::from_le_bytes(length).min(MAX_HEADER_BYTES)).read_to_end(&mut header)?;
    Ok((size, header))
}

/// What the header of a safetensors file says besides names and shapes.
///
/// # Errors
/// When it is no such header.
pub fn metadata_in(header: &[u8]) -> serde_json::Result<Option<HashMap<String, String>>> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<HashMap<String, String>>,
    }
    serde_json::from_slice::<Header>(header).map(|header| header.metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::report::TrainOptions;

    /// A head on the built-in backbone.
    pub(super) fn head(weight: f32) -> Head {
        let inputs = Architecture::EfficientNetLite0.dimension();
        let matrix = (0..2 * inputs).map(|i| i as f32 / 1000.0).collect();
        Head { parts: vec![HeadPart { weight, power: 1.0, centre: vec![0.5; inputs], matrix }] }
    }

    pub(super) fn card(title: &str) -> Card {
        Card { title: title.into(), made: 7, ..Card::clone(&Model::built_in().card) }
    }

    pub(super) fn model(weight: f32) -> Model {
        Model::pack(card("Roses"), Vec::new(), Some(&head(weight))).unwrap()
    }

    pub(super) fn models() -> (tempfile::TempDir, ModelFolder) {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::new(folder.path().join("models"));
        (folder, models)
    }

    /// A file as another program might make it: these tensors under a description with true ids.
    fn forged(format: u32, card: Card, tensors: &[NamedTensor]) -> Vec<u8> {
        let named = || tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        let Ids { model, backbone } = Ids::of(&card, named());
        let description = Description { format, id: model, card: Card { backbone, ..card } };
        let metadata = HashMap::from([(DESCRIPTION.to_owned(), serde_json::to_string(&description).unwrap())]);
        safetensors::serialize(named(), Some(metadata)).unwrap()
    }

    fn tensors_of(model: &Model) -> Vec<NamedTensor> {
        let file = model.file.clone().unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let tensor = |(name, view): (&str, safetensors::tensor::TensorView)| NamedTensor {
            name: name.into(),
            shape: view.shape().to_vec(),
            values: floats(view.data()).collect(),
        };
        tensors.iter().map(tensor).collect()
    }

    #[test]
    fn the_ids_follow_from_the_numbers() {
        assert_eq!(model(0.5).id, model(0.5).id);
        assert_ne!(model(0.5).id, model(0.25).id);
        let titled = Model::pack(card("Other"), Vec::new(), Some(&head(0.5))).unwrap();
        assert_eq!((&titled.id, titled.card.backbone.as_str()), (&model(0.5).id, BUILT_IN));
        let trained = TrainedBy { options: TrainOptions::default(), ..TrainedBy::default() };
        let trained = Card { trained: Some(trained), ..card("Trained") };
        assert!(Model::pack(trained, Vec::new(), Some(&head(0.5))).unwrap().id.starts_with("quick-"));
        // A network by itself goes by its backbone, with a head on it by both, and keeps the backbone's name.
        let weights = |value| vec![NamedTensor { name: "a".into(), shape: vec![1], values: vec![value] }];
        let bare = Model::pack(card("Bare"), weights(1.0), None).unwrap();
        assert!(bare.id.starts_with("efficientnet-lite0-"), "{}", bare.id);
        let with_head = |value| Model::pack(card("Whole"), weights(value), Some(&head(0.5))).unwrap();
        assert_eq!((&bare.card.backbone, &with_head(1.0).card.backbone), (&bare.id, &bare.id));
        assert_ne!(with_head(1.0).id, with_head(2.0).id);
        assert_eq!(with_head(1.0).backbone_tensors().unwrap(), weights(1.0));
        assert_eq!(model(0.5).backbone_tensors().unwrap(), []);
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let (folder, models) = models();
        let file = folder.path().join("x.safetensors");
        let import = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            models.import(&file).unwrap_err()
        };
        let error = import(b"no model").to_string();
        assert!(error.contains("not a safetensors file"), "{error}");
        let tensor = NamedTensor { name: "a".into(), shape: vec![1], values: vec![1.0] };
        let error = import(&safetensors::serialize([("a", &tensor)], None).unwrap());
        assert!(matches!(error, ArtefactError::NotOurs { .. }), "{error}");
        assert!(error.to_string().contains("it lacks Florascope's description"), "{error}");
        let newer = forged(FORMAT + 1, card("From tomorrow"), &tensors_of(&model(0.5)));
        assert!(matches!(import(&newer), ArtefactError::TooNew(_)));
        assert!(!folder.path().join("models").exists());
        for id in ["../x", "x", "", "a\0b"] {
            assert!(matches!(models.load(id), Err(ArtefactError::Unknown(_))), "{id}");
            assert!(matches!(models.delete(id), Err(ArtefactError::Unknown(_))), "{id}");
        }
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let (folder, models) = models();
        let file = folder.path().join("x.safetensors");
        let whole = model(0.5).file.unwrap().to_vec();
        let refuses = |bytes: &[u8], what: &str| {
            std::fs::write(&file, bytes).unwrap();
            assert!(models.import(&file).is_err(), "{what}");
        };
        for at in (0..whole.len()).step_by(97) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            // A changed letter of the title is no damage that could be seen, and does none.
            std::fs::write(&file, &flipped).unwrap();
            if let Ok(model) = models.import(&file) {
                assert_eq!(model.head().unwrap(), Some(head(0.5)), "byte {at}");
            }
        }
        for length in (0..whole.len()).step_by(101) {
            refuses(&whole[..length], &format!("cut off at {length}"));
        }
        refuses(&[&whole[..], b"x"].concat(), "something after its end");
        // In the folder, too.
        let saved = model(0.25);
        models.save(&saved).unwrap();
        let path = models.path(&saved.id);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = models.load(&saved.id).unwrap_err().to_string();
        assert!(error.contains("its numbers are not those that were saved"), "{error}");
        assert!(models.rename(&saved.id, "New").is_err());
        models.delete(&saved.id).unwrap();
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (folder, models) = models();
        let file = folder.path().join("x.safetensors");
        let message = |card: Card, tensors: &[NamedTensor]| {
            std::fs::write(&file, forged(FORMAT, card, tensors)).unwrap();
            let error = models.import(&file).unwrap_err();
            assert!(matches!(error, ArtefactError::Damaged { .. }), "{error}");
            error.to_string()
        };
        let good = tensors_of(&model(0.5));
        let position = |name: &str| good.iter().position(|tensor| tensor.name == name).unwrap();
        let changed = |name: &str, shape: &[usize]| {
            let mut tensors = good.clone();
            let values = vec![0.5; shape.iter().product()];
            tensors[position(name)] = NamedTensor { name: name.into(), shape: shape.to_vec(), values };
            tensors
        };
        let narrow = [changed("head.0.centre", &[512])[position("head.0.centre")].clone()];
        let mut narrow = [changed("head.0.matrix", &[2, 512]), narrow.to_vec()].concat();
        narrow.remove(position("head.0.centre"));
        let found = message(card("Narrow"), &narrow);
        assert!(found.contains("its head takes 512 numbers, but EfficientNet-Lite0 gives 1280"), "{found}");
        for (tensors, expected) in [
            (changed("head.0.matrix", &[2, 1281]), "do not fit each other"),
            (changed("head.0.matrix", &[0, 1280]), "do not fit each other"),
            (changed("head.0.matrix", &[2560]), "head.0.matrix has the shape [2560]"),
            (changed("head.0.weight", &[2]), "do not fit each other"),
            (good[1..].to_vec(), "the head lacks head.0."),
            (Vec::new(), "it holds no weights"),
        ] {
            let found = message(card("Wrong"), &tensors);
            assert!(found.contains(expected), "{expected}: {found}");
        }
        let mut infinite = good.clone();
        infinite[position("head.0.matrix")].values[3] = f32::INFINITY;
        let found = message(card("Infinite"), &infinite);
        assert!(found.contains("head.0.matrix holds infinite or undefined numbers"), "{found}");
        let other = Card { architecture: Architecture::ResNet18, ..card("Other") };
        assert!(message(other.clone(), &good).contains("it lacks the weights of ResNet18"));
        let metric = Card { metric: Metric::Euclidean, ..card("Other") };
        assert!(message(metric, &good).contains("Euclidean"));
        // A backbone is opened to see whether it is whole.
        let weight = NamedTensor { name: "backbone.conv1.weight".into(), shape: vec![1], values: vec![1.0] };
        let found = message(other, &[weight]);
        assert!(found.contains("conv1.weight has the shape [1]; [64, 3, 7, 7] was expected"), "{found}");
        assert!(Model::pack(card("Bare"), Vec::new(), None).is_err(), "the built-in model by another name");
        assert!(!folder.path().join("models").exists());
    }

    #[test]
    fn titles_are_short_lines_that_can_be_seen() {
        assert_eq!(one_line(" Roses\n of\t\u{7}Ann\u{202e}a ", 60), "Roses of Ann a");
        assert_eq!(one_line(&"é".repeat(99), 60).chars().count(), 60);
        let packed = Model::pack(card("\u{1b}[31m\n"), Vec::new(), Some(&head(0.5))).unwrap();
        assert_eq!(packed.card.title, "[31m");
        let unnamed = Model::pack(card("\u{200b}"), Vec::new(), Some(&head(0.5))).unwrap();
        assert_eq!(unnamed.card.title, "EfficientNet-Lite0");
        let (_folder, models) = models();
        models.save(&packed).unwrap();
        assert!(matches!(models.rename(&packed.id, " \n"), Err(ArtefactError::NoTitle)));
        assert_eq!(models.rename(&packed.id, &"a".repeat(999)).unwrap().card.title.chars().count(), 60);
        // Nor does a file from elsewhere bring more.
        let foreign = forged(FORMAT, card("a\r\nb\u{202e}"), &tensors_of(&packed));
        assert_eq!(Model::from_bytes(foreign, Path::new("x")).unwrap().card.title, "a b");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_whose_name_is_no_text_is_told_as_near_as_possible() {
        let folder = crate::photo::bytes_to_path(b"/photos/r\xf6schen");
        let trained = TrainedBy { folder, ..TrainedBy::default() };
        let packed =
            Model::pack(Card { trained: Some(trained), ..card("Roses") }, Vec::new(), Some(&head(0.5))).unwrap();
        assert_eq!(packed.card.trained.as_ref().unwrap().folder, Path::new("/photos/r\u{fffd}schen"));
    }
}

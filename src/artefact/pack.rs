//! A model's numbers and card into the bytes of a file, and out of them again, with every check but that of the backbone's
//! shapes, which opening it does.

use std::path::Path;
use std::sync::Arc;

use half::f16;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use sha2::{Digest, Sha256};

use super::card::{Description, check_card, description, metadata};
use super::{ArtefactError, BACKBONE, Card, Flaw, GENERAL, MAX_TITLE, Model, ModelId};
use crate::model::{Head, HeadPart, NamedTensor, floats};
use crate::photo::hex;
use crate::text::sanitise_line;

/// Tensors in a part of a head.
const HEAD_PARTS: usize = 4;

impl Model {
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
        card.title = sanitise_line(&card.title, MAX_TITLE);
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

    /// The model with its numbers rounded to 16 bits, in a file of half the size. It has ids of its own, for its numbers are
    /// others.
    ///
    /// # Errors
    /// When a number is too large for 16 bits, or the model has no file.
    pub(crate) fn halved(&self) -> Result<(ModelId, Vec<u8>), ArtefactError> {
        let file = self.file.as_ref().ok_or(ArtefactError::BuiltIn)?;
        let mut backbone = self.backbone_tensors()?;
        let mut head = head_in(&SafeTensors::deserialize(file)?).map_err(ArtefactError::Pack)?;
        let of_head = head.iter_mut().flat_map(|head| &mut head.parts).flat_map(|part| {
            let HeadPart { weight, power, centre, matrix } = part;
            [weight, power].into_iter().chain(centre).chain(matrix)
        });
        for value in backbone.iter_mut().flat_map(|tensor| &mut tensor.values).chain(of_head) {
            *value = f16::from_f32(*value).to_f32();
            if !value.is_finite() {
                return Err(ArtefactError::Pack("it holds numbers that are too large for 16 bits".into()));
            }
        }
        let rounded = Self::pack(Card::clone(&self.card), backbone, head.as_ref())?;
        let wide = rounded.file.as_ref().ok_or(ArtefactError::BuiltIn)?;
        let tensors = SafeTensors::deserialize(wide)?;
        let halves: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(name, view)| {
                let halves = floats(view.data()).flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
                (name, view.shape().to_vec(), halves)
            })
            .collect();
        let views = halves
            .iter()
            .map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F16, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, SafeTensorError>>()?;
        Ok((rounded.id.clone(), safetensors::serialize(views, Some(metadata(&rounded.id, &rounded.card)?))?))
    }

    /// Checks all but the shapes of the backbone's weights, which opening it does.
    fn parse(bytes: Vec<u8>) -> Result<Self, Flaw> {
        let bytes = widened(bytes)?;
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
        if head.is_none() && id == GENERAL {
            return Err(Flaw::Damaged("it holds no weights".into()));
        }
        check_card(&card, head.as_ref())?;
        let dimension = head.map_or(card.architecture.dimension(), |head| head.dimension());
        Ok(Self { id, card: Arc::new(card), dimension, file: Some(bytes.into()) })
    }
}

/// The same file with 32 bits for each number, where it was written with 16.
fn widened(bytes: Vec<u8>) -> Result<Vec<u8>, Flaw> {
    let Ok(tensors) = SafeTensors::deserialize(&bytes) else { return Ok(bytes) };
    if tensors.iter().all(|(_, view)| view.dtype() != Dtype::F16) {
        return Ok(bytes);
    }
    let widen = |(name, view): (&str, TensorView)| {
        let values = if view.dtype() == Dtype::F16 {
            view.data().chunks_exact(2).map(|half| f16::from_le_bytes([half[0], half[1]]).to_f32()).collect()
        } else {
            floats(view.data()).collect()
        };
        NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values }
    };
    let wide: Vec<NamedTensor> = tensors.iter().map(widen).collect();
    let wide = wide.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| error.to_string())?;
    Ok(safetensors::serialize(wide, metadata.metadata().clone()).map_err(|error| error.to_string())?)
}

/// Names that follow from the numbers.
pub(super) struct Ids {
    pub(super) model: ModelId,
    pub(super) backbone: ModelId,
}

impl Ids {
    pub(super) fn of<'a, V: View>(card: &Card, tensors: impl IntoIterator<Item = (&'a str, V)>) -> Self {
        let mut tensors: Vec<_> = tensors.into_iter().collect();
        tensors.sort_by_key(|(name, _)| *name);
        let (weights, head): (Vec<_>, Vec<_>) = tensors.into_iter().partition(|(name, _)| name.starts_with(BACKBONE));
        let backbone = if weights.is_empty() {
            ModelId::from(GENERAL)
        } else {
            name_by_numbers(card.architecture.id(), "", &weights)
        };
        let model = if head.is_empty() {
            backbone.clone()
        } else {
            let kind = card.trained.as_ref().map_or("head", |trained| trained.options.recipe.id());
            name_by_numbers(kind, &backbone, &head)
        };
        Self { model, backbone }
    }
}

/// `kind`, and the first 6 bytes of the SHA-256 of `base` and of the tensors with their names and shapes.
fn name_by_numbers<V: View>(kind: &str, base: &str, tensors: &[(&str, V)]) -> ModelId {
    let mut hasher = Sha256::new_with_prefix(base);
    for (name, tensor) in tensors {
        hasher.update(format!("\0{name}{:?}", tensor.shape()));
        hasher.update(tensor.data());
    }
    format!("{kind}-{}", hex(&hasher.finalize()[..6])).into()
}

/// Finite 32-bit floats, all of them.
fn check_numbers(tensors: &SafeTensors) -> Result<(), String> {
    for (name, view) in tensors.iter() {
        let name = sanitise_line(name, MAX_TITLE);
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} holds {:?} numbers; 32-bit floats were expected", view.dtype()));
        }
        if !floats(view.data()).all(f32::is_finite) {
            return Err(format!("{name} holds infinite or undefined numbers"));
        }
    }
    Ok(())
}

/// In a file where [`check_numbers`] holds.
pub(super) fn head_in(tensors: &SafeTensors) -> Result<Option<Head>, String> {
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

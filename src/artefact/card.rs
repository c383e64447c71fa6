//! What a model's file says of it besides its numbers: JSON in the file's metadata.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{ArtefactError, Flaw, GENERAL, MAX_TITLE, ModelId, TrainedBy};
use crate::model::{Architecture, Head};
use crate::photo::Metric;
use crate::text::sanitise_line;

/// The metadata's entry that describes the model.
pub(super) const DESCRIPTION: &str = "florascope";
/// What this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// What is known of a model besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What people call it: one line, not empty.
    pub title: String,
    pub architecture: Architecture,
    /// Names the backbone with its weights: features of one name can be compared, and are kept in catalogs under it.
    /// For a model without a head this is its own id. It follows from the numbers, see [`super::Model::pack`].
    pub backbone: ModelId,
    pub metric: Metric,
    /// Seconds since 1970.
    pub made: u64,
    /// `None` for weights that were loaded from a file.
    pub trained: Option<TrainedBy>,
}

/// What a file's metadata says.
#[derive(Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) format: u32,
    pub(super) id: ModelId,
    pub(super) card: Card,
}

pub(super) fn metadata(id: &str, card: &Card) -> Result<HashMap<String, String>, ArtefactError> {
    let description = Description { format: FORMAT, id: id.into(), card: card.clone() };
    let json = serde_json::to_string(&description).map_err(|error| ArtefactError::Pack(error.to_string()))?;
    Ok(HashMap::from([(DESCRIPTION.to_owned(), json)]))
}

pub(super) fn description(metadata: Option<&HashMap<String, String>>) -> Result<Description, Flaw> {
    let json = metadata.and_then(|metadata| metadata.get(DESCRIPTION));
    let json = json.ok_or_else(|| Flaw::NotOurs("it lacks Florascope's description".into()))?;
    let wrong = |error: serde_json::Error| Flaw::Damaged(format!("its description: {error}"));
    // What a newer version writes may have any form but for its number.
    let value: serde_json::Value = serde_json::from_str(json).map_err(wrong)?;
    if value["format"].as_u64().is_some_and(|format| format > FORMAT.into()) {
        return Err(Flaw::TooNew);
    }
    let mut description: Description = serde_json::from_value(value).map_err(wrong)?;
    description.card.title = sanitise_line(&description.card.title, MAX_TITLE);
    Ok(description)
}

/// Whether a safetensors file's metadata describes a model of ours.
pub(super) fn is_model(metadata: &HashMap<String, String>) -> bool {
    metadata.contains_key(DESCRIPTION)
}

/// What the card says must be possible with what the file holds.
pub(super) fn check_card(card: &Card, head: Option<&Head>) -> Result<(), String> {
    let Card { architecture, .. } = card;
    if card.backbone == GENERAL && *architecture != Architecture::EfficientNetLite0 {
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
    (card.metric == metric)
        .then_some(())
        .ok_or_else(|| format!("it compares photos by {} distance", card.metric.name()))
}

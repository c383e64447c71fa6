//! The checkpoint of a training of a whole network: so that it can be resumed after a stop or a kill.
//!
//! One safetensors file beside the library's catalog, replaced whole: the trainer's state is JSON in its metadata.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::artefact::{Loss, TrainOptions};
use crate::atomic_file::{self, Survives};
use crate::model::{ModelError, NamedTensor, NamedTensors, Weights, metadata_in, read_header};
use crate::train::progress::CurvePoint;

const FILE: &str = "training.safetensors";
const STATE: &str = "standing";

/// All of a training but its numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    pub(crate) options: TrainOptions,
    /// Names the photos and labels that are learnt from: a training goes on only with the same.
    pub(crate) data: String,
    /// Finished epochs.
    pub(crate) epoch: u32,
    /// Batches of the next epoch that are done.
    pub(crate) batch: usize,
    /// Steps since the beginning.
    pub steps: i64,
    /// Those of the optimiser, which begins anew with each loss. `None` in the files of versions that did not keep it
    /// apart.
    #[serde(default)]
    pub(crate) optimiser_steps: Option<i64>,
    /// What the watchdog has made of the learning rates, of the loss and of the batch.
    pub(crate) rate_factor: f64,
    pub(crate) loss: Option<Loss>,
    pub(crate) batch_size: usize,
    /// Alarms of the watchdog that were answered so far.
    #[serde(rename = "answers")]
    pub(crate) recoveries: u32,
    pub(crate) curve: Vec<CurvePoint>,
}

impl TrainerState {
    /// Steps that the optimiser has made since it was begun anew.
    pub(crate) fn optimiser_steps(&self) -> i64 {
        self.optimiser_steps.unwrap_or(self.steps)
    }
}

/// Replaces the checkpoint of the library in `folder`.
///
/// # Errors
/// When it cannot be written; the one before is there still.
pub(crate) fn save(folder: &Path, state: &TrainerState, tensors: &NamedTensors) -> io::Result<()> {
    let named = |(name, tensor): (&String, &Tensor)| named_tensor(name, tensor).map_err(io::Error::other);
    let tensors = tensors.iter().map(named).collect::<io::Result<Vec<_>>>()?;
    let metadata = HashMap::from([(STATE.to_owned(), serde_json::to_string(state)?)]);
    let bytes = safetensors::serialize(tensors.iter().map(|t| (t.name.as_str(), t)), Some(metadata));
    // After a power cut an hour's work may be in it.
    atomic_file::write(&path(folder), &bytes.map_err(io::Error::other)?, Survives::PowerCut)
}

/// A tensor's numbers in memory of our own.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn named_tensor(name: &str, tensor: &Tensor) -> Result<NamedTensor, ModelError> {
    let tensor = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let shape = tensor.size().iter().map(|side| *side as usize).collect();
    let values = Vec::<f32>::try_from(tensor.f_reshape([-1])?)?;
    Ok(NamedTensor { name: name.to_owned(), shape, values })
}

/// The checkpoint of the library in `folder`; `None` where there is none that can be read.
pub fn load(folder: &Path) -> Option<(TrainerState, NamedTensors)> {
    let file = std::fs::read(folder.join(FILE)).ok()?;
    let (_, metadata) = SafeTensors::read_metadata(&file).ok()?;
    let state = serde_json::from_str(metadata.metadata().as_ref()?.get(STATE)?).ok()?;
    Some((state, Weights::from_bytes(&file, "").ok()?.all(|_| true).ok()?))
}

/// What a stopped or killed training on the library in `folder` was doing, where it can go on. Reads no more than the
/// file's header.
pub fn pending(folder: &Path) -> Option<TrainOptions> {
    let (_, header) = read_header(&path(folder)).ok()?;
    let state: TrainerState = serde_json::from_str(metadata_in(&header).ok()??.get(STATE)?).ok()?;
    Some(state.options)
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Throws away the checkpoint of a library, where there is one.
pub(crate) fn forget(folder: &Path) {
    match std::fs::remove_file(path(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!("A finished training's checkpoint could not be deleted ({error}): {}", path(folder).display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pending(folder.path()), None);
        let state = TrainerState {
            options: TrainOptions { seed: 7, ..TrainOptions::default() },
            epoch: 3,
            rate_factor: 0.5,
            curve: vec![CurvePoint { epoch: 1.0, loss: Some(2.0), validation: None }],
            ..TrainerState::default()
        };
        let tensors = NamedTensors::from([("a".to_owned(), Tensor::from_slice(&[1.0f32, 2.0]).view([2, 1]))]);
        save(folder.path(), &state, &tensors).unwrap();
        save(folder.path(), &state, &tensors).unwrap();
        assert_eq!(pending(folder.path()), Some(state.options.clone()));
        let (loaded, numbers) = load(folder.path()).unwrap();
        assert_eq!(loaded, state);
        assert_eq!(numbers["a"], tensors["a"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        forget(folder.path());
        assert!(load(folder.path()).is_none() && pending(folder.path()).is_none());
    }

    #[test]
    fn a_standing_of_the_first_version_is_read() {
        let state = r#"{"options": {"recipe": "full", "loss": null, "epochs": null, "seed": 0, "focus": "new-species-too",
            "start": null}, "data": "00ff", "epoch": 2, "batch": 1, "steps": 9, "rate_factor": 0.3, "loss": "proxy-anchor",
            "batch_size": 16, "answers": 1, "curve": [{"epoch": 1.0, "loss": 2.0, "validation": null}]}"#;
        let state: TrainerState = serde_json::from_str(state).unwrap();
        assert_eq!((state.steps, state.optimiser_steps, state.batch_size), (9, None, 16));
    }

    #[test]
    fn a_damaged_checkpoint_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path()), [255; 100]).unwrap();
        assert!(pending(folder.path()).is_none() && load(folder.path()).is_none());
    }
}

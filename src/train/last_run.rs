//! How long the last training of each kind took on this computer: a small file, one for all libraries. What it says makes
//! the time of the next one known before that begins, and its progress even.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::Device;

use super::hyperparameters::Hyperparameters;
use super::steps::{Step, kind};
use super::{cores, head};
use crate::artefact::{Recipe, TrainOptions};
use crate::atomic_file::{self, Survives};
use crate::device::gpu_name;
use crate::library::Library;
use crate::model::Architecture;

/// A training that was not broken off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LastRun {
    pub(super) photos: u64,
    pub(super) epochs: u32,
    /// Seconds that each step took.
    pub(super) steps: BTreeMap<Step, f64>,
}

/// Trainings of one kind, on one device: what the last of them is remembered by.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    file: PathBuf,
    name: String,
    recipe: Recipe,
    photos: u64,
    epochs: u32,
}

impl Kind {
    pub(super) fn of(
        library: &Library,
        options: &TrainOptions,
        is_labelled: bool,
        start: Architecture,
        photos: usize,
        device: Device,
    ) -> Self {
        let on = match device {
            Device::Cpu => format!("{} cores", cores()),
            gpu => gpu_name(gpu),
        };
        let epochs = match options.recipe {
            Recipe::Quick => options.epochs.unwrap_or(head::EPOCHS),
            Recipe::Full | Recipe::Tutorial => Hyperparameters::of(options, start, photos, device).epochs,
        };
        Self {
            file: library.trainings_file(),
            name: format!("{}, {}, {on}", kind(options, is_labelled), start.id()),
            recipe: options.recipe,
            photos: photos as u64,
            epochs,
        }
    }

    /// What is remembered of the last one.
    pub(super) fn last(&self) -> Option<LastRun> {
        let run = read(&self.file).remove(&self.name)?;
        // A file that somebody has changed makes no time endless.
        let is_sound = run.photos > 0 && run.epochs > 0 && run.steps.values().all(|s| (0.0..1e7).contains(s));
        is_sound.then_some(run)
    }

    /// Remembers that one of this kind took so many seconds in each step. Where that cannot be written, nothing is lost
    /// but an estimate.
    pub(super) fn remember(&self, mut steps: BTreeMap<Step, f64>) {
        let mut known = read(&self.file);
        // How long it takes to look through a folder is known only where nothing was new in it.
        if let (None, Some(before)) = (steps.get(&Step::Update), known.get(&self.name)) {
            steps.extend(before.steps.get(&Step::Update).map(|seconds| (Step::Update, *seconds)));
        }
        known.insert(self.name.clone(), LastRun { photos: self.photos, epochs: self.epochs, steps });
        let text = serde_json::to_vec_pretty(&known).map_err(io::Error::other);
        if let Err(error) = text.and_then(|text| atomic_file::write(&self.file, &text, Survives::Kill)) {
            log::warn!("{} could not be written: {error}", self.file.display());
        }
    }

    /// How many times as long as the last one a step will take.
    pub(super) fn growth(&self, last: &LastRun, step: Step) -> f64 {
        if step == Step::MeasureViews {
            // Of so many photos at most, which most folders have.
            return 1.0;
        }
        let epochs = f64::from(self.epochs) / f64::from(last.epochs);
        self.photos as f64 / last.photos as f64 * if step.has_epochs(self.recipe) { epochs } else { 1.0 }
    }

    /// Seconds that each of these steps will take, by the last run; the steps that it did not have, by what they usually
    /// take beside the others.
    pub(super) fn seconds(&self, last: &LastRun, steps: &[Step]) -> Vec<f64> {
        let known = |step: &Step| Some(last.steps.get(step)? * self.growth(last, *step));
        let (seconds, shares) = last
            .steps
            .keys()
            .filter_map(|step| Some((known(step)?, step.usual_share())))
            .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let unit = if shares > 0.0 { seconds / shares } else { 0.0 };
        steps.iter().map(|step| known(step).unwrap_or(step.usual_share() * unit)).collect()
    }
}

fn read(file: &Path) -> BTreeMap<String, LastRun> {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(folder: &Path) -> Library {
        Library { root: "/photos".into(), folder: folder.join("libraries/one") }
    }

    fn quick(folder: &Path, photos: usize, epochs: Option<u32>) -> Kind {
        let options = TrainOptions { epochs, ..TrainOptions::default() };
        Kind::of(&library(folder), &options, true, Architecture::EfficientNetLite0, photos, Device::Cpu)
    }

    #[test]
    fn the_last_run_comes_back_and_grows_with_photos_and_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let small = quick(folder.path(), 100, None);
        assert_eq!(small.last(), None);
        small.remember([(Step::Update, 0.5), (Step::CrossValidate, 8.0), (Step::LearnFromAll, 2.0)].into());
        // In the second run photos were new: how long it takes to look is known from the first.
        small.remember([(Step::CrossValidate, 10.0), (Step::LearnFromAll, 2.0)].into());
        let large = quick(folder.path(), 300, Some(2 * head::EPOCHS));
        let last = large.last().unwrap();
        let steps = [Step::Update, Step::CrossValidate, Step::LearnFromAll];
        assert_eq!(large.seconds(&last, &steps), [1.5, 60.0, 12.0]);
        // Another number of rounds: from the share that these steps usually have.
        let other = small.seconds(&last, &[Step::HeldOut]);
        let unit = (0.5 + 10.0 + 2.0) / steps.iter().map(|step| step.usual_share()).sum::<f64>();
        assert!((other[0] - unit * Step::HeldOut.usual_share()).abs() < 1e-9, "{other:?}");
        assert!(folder.path().join("trainings.json").exists());
    }

    #[test]
    fn kinds_do_not_mix_and_damage_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let labelled = quick(folder.path(), 100, None);
        labelled.remember([(Step::LearnFromAll, 2.0)].into());
        let options = TrainOptions::default();
        let architecture = Architecture::EfficientNetLite0;
        let flat = Kind::of(&library(folder.path()), &options, false, architecture, 100, Device::Cpu);
        assert_eq!(flat.last(), None);
        labelled.remember([(Step::LearnFromAll, f64::MAX)].into());
        assert_eq!(labelled.last(), None);
        std::fs::write(folder.path().join("trainings.json"), b"{").unwrap();
        assert_eq!(labelled.last(), None);
    }
}

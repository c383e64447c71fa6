//! Retrieval quality of quick training, as tables: `cargo bench --bench quality -- TRAIN VALID [--seeds 3] [--only LINE]`.
//!
//! TRAIN and VALID are folders of photos with a sub-folder for each species, the same species in both. They are indexed
//! first where they are not (`FLORASCOPE_DATA_DIR` says where to; a temporary folder otherwise). Seen species: photos of
//! VALID find photos of TRAIN. Unseen species: fitted on photos of the first half of the species by name, then each photo
//! of the other half finds the others of that half, both folders together. Dev profile: add `--profile dev`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use florascope::artefact::{Focus, GENERAL, Loss};
use florascope::device::DeviceChoice;
use florascope::library::DataFolder;
use florascope::model::Head;
use florascope::photo::{Metric, Photo};
use florascope::train::dataset::{Dataset, rows_of};
use florascope::train::evaluation::{ModelEmbeddings, Tally};
use florascope::train::head::{self, HeadOptions};
use florascope::train::unlabelled;
use support::{Indexed, data_folder};
use tch::Tensor;

fn load(data: &DataFolder, folder: &Path) -> Dataset {
    Dataset::load(&Indexed::new(data, folder, DeviceChoice::Auto).catalog, GENERAL).unwrap()
}

/// Both folders as one data set: the photos of the first come first.
struct Bench {
    all: Dataset,
    learn: Vec<usize>,
    queries: Vec<usize>,
    /// Of the first half of the species, and of the other.
    halves: [Vec<usize>; 2],
    /// Lines whose names do not contain this are left out.
    only: String,
}

impl Bench {
    fn new(first: Dataset, second: Dataset, only: String) -> Self {
        let count = first.photos.len();
        let classes = first.classes.clone();
        // By name: a species with one photo in the second folder is no class there, but its photo is a query all the same.
        let number = |name: &str| classes.iter().position(|class| class == name).map_or(-1, |n| n as i64);
        let of_second = |photo: &Arc<Photo>| photo.label().map_or(-1, |name| number(&name.to_string_lossy()));
        let labels: Vec<i64> = first.labels.iter().copied().chain(second.photos.iter().map(of_second)).collect();
        let half = classes.len() as i64 / 2;
        let those = |is: &dyn Fn(i64) -> bool| (0..labels.len()).filter(|p| is(labels[*p])).collect();
        let halves = [those(&|label| (0..half).contains(&label)), those(&|label| label >= half)];
        let queries = (count..labels.len()).filter(|position| labels[*position] >= 0).collect();
        let features = Tensor::cat(&[&first.features, &second.features], 0);
        let photos: Vec<Arc<_>> = first.photos.into_iter().chain(second.photos).collect();
        let all = Dataset { photos, features, labels, classes };
        Self { all, learn: (0..count).collect(), queries, halves, only }
    }

    fn fit(&self, positions: &[usize], fit: &dyn Fn(&Tensor, &[i64]) -> Option<Head>) -> (Tensor, f64) {
        let (features, labels) = (rows_of(&self.all.features, positions).unwrap(), self.all.labels_of(positions));
        let began = Instant::now();
        let head = fit(&features, &labels);
        let seconds = began.elapsed().as_secs_f64();
        let rows = head.map_or(self.all.features.shallow_clone(), |head| head.project(&self.all.features).unwrap());
        (rows, seconds)
    }

    fn measure(&self, rows: Tensor, queries: &[usize], gallery: &[usize]) -> String {
        let mut tally = Tally::default();
        tally.add(&self.all.labels, &ModelEmbeddings { rows, metric: Metric::Cosine }, queries, gallery).unwrap();
        let (score, count) = (tally.score(), tally.queries());
        let errors = ((1.0 - score.recall_at_1.value) * count as f64).round();
        format!("{:5.1} {:5.1} {errors:5.0}", score.recall_at_1.value * 100.0, score.map_at_r.value * 100.0)
    }

    /// One line: seen and unseen species, each R@1, MAP@R and errors; seconds of the first fit.
    fn line(&self, name: &str, fit: &dyn Fn(&Tensor, &[i64]) -> Option<Head>) {
        if !name.contains(&self.only) {
            return;
        }
        let (rows, seconds) = self.fit(&self.learn, fit);
        let seen = self.measure(rows, &self.queries, &self.learn);
        let (rows, _) = self.fit(&self.halves[0], fit);
        let unseen = self.measure(rows, &self.halves[1], &self.halves[1]);
        println!("{name:44} {seen}    {unseen}   {seconds:5.1}");
    }
}

#[derive(Parser)]
struct Arguments {
    /// TRAIN and VALID: labelled photos
    folders: Vec<PathBuf>,
    /// Trainings of each kind
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Lines whose names contain this
    #[arg(long, default_value = "")]
    only: String,
}

fn main() {
    let Arguments { folders, seeds, only } = support::arguments();
    let [train, valid] = folders.as_slice() else {
        println!("Skipped: needs two folders of labelled photos, TRAIN and VALID");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let data = data_folder(&temporary);
    let bench = Bench::new(load(&data, train), load(&data, valid), only);
    tch::set_num_threads(std::thread::available_parallelism().map_or(1, |n| n.get() as i32));
    println!("{} queries for seen species, {} for unseen", bench.queries.len(), bench.halves[1].len());
    println!("{:44} seen: R@1, MAP@R, errors  unseen        seconds", "");
    bench.line("frozen", &|_, _| None);
    let learnt = |loss: Option<Loss>, focus: Focus, seed: u64| {
        move |features: &Tensor, labels: &[i64]| {
            let options = HeadOptions { loss, focus, seed, epochs: None };
            let mut tell = |progress: head::HeadProgress| {
                progress.notice.iter().for_each(|notice| println!("  ({notice})"));
                true
            };
            Some(head::fit(features, labels, &options, None, &mut tell).unwrap())
        }
    };
    for focus in [Focus::NewSpeciesToo, Focus::OnlyThese] {
        for seed in 0..seeds {
            bench.line(&format!("quick, {focus:?}, seed {seed}"), &learnt(None, focus, seed));
        }
    }
    for loss in [
        Loss::RandomTriplet,
        Loss::SemiHardTriplet,
        Loss::BatchHardTriplet,
        Loss::MultiSimilarity,
        Loss::ProxyAnchor,
        Loss::NormalisedSoftmax,
    ] {
        bench.line(&format!("{loss:?}"), &learnt(Some(loss), Focus::NewSpeciesToo, 0));
    }
    bench.line("without labels", &|features, _| Some(unlabelled::fit(features, &mut |_| true).unwrap()));
}

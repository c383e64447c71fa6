//! How fast training is, beside the same in plain PyTorch: `cargo bench --bench training -- FOLDER [--steps 30]
//! [--only quick|full]`; or `-- --made-up 100000`: the peak of memory while a head is trained on so many made-up photos.
//!
//! FOLDER holds photos with a sub-folder for each species. It is indexed first where it is not (`FLORASCOPE_DATA_DIR` says
//! where to; a temporary folder otherwise). Quick: seconds to fit a head to features that are at hand, with the same
//! arithmetic on both sides. Full: photos a second of an epoch on the CPU, reading included, over some steps after five of
//! warming up. The peers are in `benches/peers/train_loop.py`, which runs in an environment of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use florascope::artefact::{GENERAL, Model, Recipe, TrainOptions};
use florascope::catalog::{Catalog, FileStamp};
use florascope::device::DeviceChoice;
use florascope::embed::Embedder;
use florascope::job::Cancel;
use florascope::library::{DataFolder, Library};
use florascope::photo::Embedding;
use florascope::random::Random;
use florascope::train::dataset::Dataset;
use florascope::train::head::{self, HeadOptions};
use florascope::train::plan::TrainingPlan;
use florascope::train::progress::TrainEvent;
use florascope::train::{Training, TrainingEvent, decompose_on_one_thread};
use support::{Indexed, data_folder, peer};
use tch::Tensor;

const WARM_UP: u64 = 5;
/// As Full has it on a CPU.
const BATCH: f64 = 32.0;
/// Times as long as the peer's, at most.
const QUICK_LIMIT: f64 = 1.2;
/// Times as fast as the peer, at least.
const FULL_LIMIT: f64 = 1.5;

fn quick(data: &Dataset) {
    let labelled: Vec<usize> = (0..data.photos.len()).filter(|position| data.labels[*position] >= 0).collect();
    let (features, labels) = (data.features_of(&labelled).unwrap(), data.labels_of(&labelled));
    tch::set_num_threads(std::thread::available_parallelism().map_or(1, |n| n.get() as i32));
    // As the program does.
    decompose_on_one_thread();
    let fit = |features: &Tensor, labels: &[i64]| {
        let began = Instant::now();
        head::fit(features, labels, &HeadOptions::default(), None, &mut |_| true).unwrap();
        began.elapsed().as_secs_f64()
    };
    // The first is slower: libtorch warms up.
    let few = labels.len().min(2000);
    fit(&features.narrow(0, 0, few as i64), &labels[..few]);
    let ours = fit(&features, &labels);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let values = Vec::<f32>::try_from(features.contiguous().view([-1])).unwrap();
    std::fs::write(file("features"), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    std::fs::write(file("labels"), labels.iter().flat_map(|l| l.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    let dimension = features.size()[1].to_string();
    let [features, labels] = ["features", "labels"].map(|name| file(name).to_str().unwrap().to_owned());
    let theirs = peer("train_loop.py", &["quick", &features, &labels, &dimension]);
    let ratio = ours / theirs;
    println!("quick, {} photos: {ours:.2} s, PyTorch {theirs:.2} s; {ratio:.2} times as long", labelled.len());
    println!("  goal: at most {QUICK_LIMIT} times as long; reached {:.2} of it", ratio / QUICK_LIMIT);
}

fn full(data: &DataFolder, library: &Library, embedder: &Embedder, steps: u64) {
    let options = TrainOptions { recipe: Recipe::Full, ..TrainOptions::default() };
    let (stop, cancel) = (Cancel::default(), Cancel::default());
    let model = Model::general();
    let plan = TrainingPlan {
        library,
        models: &data.models(),
        device: DeviceChoice::Cpu,
        active: &model,
        embedder,
        options: &options,
        resume: false,
        stop: &stop,
        cancel: &cancel,
    };
    let training = Training::new(plan).unwrap();
    let (mut began, mut seconds) = (None, 0.0);
    let result = training.run(&mut |event| match event {
        TrainingEvent::Train(TrainEvent::Progress(progress)) if progress.step == WARM_UP => {
            began = Some(Instant::now());
        }
        TrainingEvent::Train(TrainEvent::Progress(progress)) if progress.step == WARM_UP + steps => {
            seconds = began.unwrap().elapsed().as_secs_f64();
            cancel.cancel();
        }
        _ => {}
    });
    assert!(result.unwrap().is_none() && seconds > 0.0, "FOLDER holds too few photos for so many steps");
    let ours = steps as f64 * BATCH / seconds;
    let theirs = peer("train_loop.py", &["full", library.root.to_str().unwrap(), &steps.to_string()]);
    println!("full: {ours:.1} photos a second, PyTorch {theirs:.1}; {:.2} times as fast", ours / theirs);
    println!("  goal: at least {FULL_LIMIT} times as fast; reached {:.2} of it", ours / theirs / FULL_LIMIT);
}

/// Of a data set of made-up features, 100 photos a species, and of a head learnt from it.
fn memory_of(photos: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let mut random = Random::new(0);
    let dimension = Model::general().dimension;
    for first in (0..photos).step_by(1000) {
        let photo = |number: usize| {
            let features = Embedding::normalised(random.normals(dimension).iter().map(|v| v.abs()).collect()).unwrap();
            support::photo(
                number,
                format!("{}/{number}.jpg", number / 100).into(),
                FileStamp { size: 1, modified: 1, changed: None },
                features,
            )
        };
        let some = (first..photos.min(first + 1000)).map(photo).collect();
        catalog.write(Model::general().key(), some, &[]).unwrap();
    }
    let report = |what: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        println!("{what}: peak {}", peak.trim());
        // From here on anew.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
    };
    let copy = photos * dimension * 4 / 1024;
    report(&format!("{photos} photos written, one copy of their features has {copy} kB"));
    let data = Dataset::load(&catalog, GENERAL).unwrap();
    report("features loaded");
    let options = HeadOptions { epochs: Some(1), ..HeadOptions::default() };
    let head = head::fit(&data.features, &data.labels, &options, None, &mut |_| true).unwrap();
    report("head learnt");
    let _ = head.project(&data.features).unwrap();
    report("embeddings projected");
}

#[derive(Parser)]
struct Arguments {
    /// Labelled photos
    folder: Option<PathBuf>,
    #[arg(long, default_value_t = 30)]
    steps: u64,
    /// quick or full
    #[arg(long, default_value = "")]
    only: String,
    /// The memory that so many made-up photos take instead
    #[arg(long)]
    made_up: Option<usize>,
}

fn main() {
    let Arguments { folder, steps, only, made_up } = support::arguments();
    if let Some(photos) = made_up {
        return memory_of(photos);
    }
    let Some(folder) = folder else {
        println!("Skipped: needs a folder of labelled photos");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let data = data_folder(&temporary);
    let Indexed { library, catalog, embedder, .. } = &Indexed::new(&data, &folder, DeviceChoice::Cpu);
    let dataset = Dataset::load(catalog, GENERAL).unwrap();
    if "quick".contains(&only) {
        quick(&dataset);
    }
    if "full".contains(&only) {
        full(&data, library, embedder, steps);
    }
}

//! Training: from a folder of photos to a better model, with the proof that it is better.
//!
//! ```text
//! catalog (features, labels) -> data set -> split -> learn -> prove -> learn from all -> model file
//! ```
//!
//! Whatever the recipe, the last step is a head on a backbone's features, and the proof compares the present model and
//! the new one on photos that were set aside before.

pub mod checkpoint;
mod course;
pub mod crops;
pub mod dataset;
pub mod estimate;
pub mod head;
mod hyperparameters;
pub mod loss;
pub mod network;
pub mod optimiser;
pub mod plan;
pub mod proof;
pub mod random;
mod replicas;
pub mod report;
pub mod sampler;
pub mod unlabelled;
pub mod views;
pub mod watchdog;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tch::Tensor;

use crate::artefact::{ArtefactError, Card, Model, ModelFolder, NamedTensor};
use crate::catalog::{Catalog, CatalogError, ModelKey};
use crate::device::{DeviceChoice, NoSuchDevice, open_device};
use crate::embed::{EmbedError, Embedder};
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome, Progress};
use crate::library::Library;
use crate::model::{Architecture, Head, ModelError};
use crate::photo::Metric;
use dataset::{Dataset, DatasetError, Split, rows_of};
use head::{HeadOptions, HeadProgress};
use proof::{Comparison, Embedded};
use report::{CurvePoint, Proof, Recipe, TrainEvent, TrainOptions, TrainProgress, TrainedBy};

/// Fewer photos are not worth a training.
pub const MIN_PHOTOS: usize = 10;
/// Shares that photos are set aside in: a fifth for a head, which learns from all of them afterwards.
const SHARES: usize = 5;
/// A network does not: as little is set aside for it as can be measured with, and no more than a fifth.
const MEASURED_WITH: usize = 300;
const MAX_NETWORK_SHARES: usize = 20;
/// Smaller folders are measured by cross-validation over all shares: one would hold too few queries.
const CROSS_VALIDATE_BELOW: usize = 1000;

/// The verdict where there is nothing to compare.
const SAME_MODEL: &str = "The same model came out once more. It stays in use.";

/// Why no model came of it.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("Too few photos to learn from: {found}; at least {MIN_PHOTOS} are needed")]
    TooFewPhotos { found: usize },
    #[error(
        "This recipe learns from sub-folders named after species, with at least two photos in each of two of them; here there are none. The quick recipe also learns without"
    )]
    NoClasses,
    #[error(
        "The learning overshot again and again, and was given up; the present model stays in use. Try another loss under Advanced"
    )]
    Diverged,
    #[error("The memory is too small even for small batches; close other programs, or choose a smaller network")]
    OutOfMemory,
    #[error("{0}")]
    Index(String),
    #[error("A thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    NoSuchDevice(#[from] NoSuchDevice),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::Model(error.into())
    }
}

impl From<DatasetError> for TrainError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Catalog(error) => Self::Catalog(error),
            DatasetError::Model(error) => Self::Model(error),
        }
    }
}

/// A training that is to be done. The library's photos have been indexed with the starting model.
pub struct Training<'a> {
    pub library: &'a Library,
    pub models: &'a ModelFolder,
    pub device: DeviceChoice,
    /// The model in use, to compare with.
    pub present: &'a Model,
    /// The model whose backbone is the starting point.
    pub start: &'a Model,
    /// With that backbone.
    pub embedder: &'a Embedder,
    pub options: &'a TrainOptions,
    /// Go on from the last checkpoint, where there is one of the same options.
    pub resume: bool,
    /// Ends the learning and keeps the best so far.
    pub stop: &'a Cancel,
    /// Ends everything.
    pub cancel: &'a Cancel,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Saved among the models already.
    pub model: Model,
    pub proof: Arc<Proof>,
    pub seconds: f64,
    pub stopped_early: bool,
}

/// A model that has learnt, before it is packed.
struct Learnt {
    proof: Proof,
    architecture: Architecture,
    /// Names the features that the head works on.
    backbone: String,
    metric: Metric,
    /// Empty for the backbone in the program.
    weights: Vec<NamedTensor>,
    head: Option<Head>,
}

impl Training<'_> {
    /// Trains, proves and saves; `None` where it was stopped before there was anything to keep.
    ///
    /// # Errors
    /// When there is too little to learn from, or something fails.
    pub fn run(&self, events: &mut dyn FnMut(TrainEvent)) -> Result<Option<Trained>, TrainError> {
        let started = Instant::now();
        // The embed threads have one each; the training takes what there is.
        tch::set_num_threads(cores() as i32);
        decompose_on_one_thread();
        let mut teller = Teller { events, progress: TrainProgress::default(), began: Instant::now() };
        teller.progress.device = self.embedder.info()?.device;
        teller.stage("Reading the features", 0);
        let catalog = self.catalog()?;
        let data = Dataset::load(&catalog, &self.start.card.backbone)?;
        if data.len() < MIN_PHOTOS {
            return Err(TrainError::TooFewPhotos { found: data.len() });
        }
        let learnt = match self.options.recipe {
            Recipe::Quick => self.quick(&data, &catalog, &mut teller)?,
            Recipe::Full | Recipe::Tutorial => self.network(&data, catalog, &mut teller)?,
        };
        let Some(Learnt { mut proof, architecture, backbone, metric, weights, head }) = learnt else { return Ok(None) };
        let seconds = started.elapsed().as_secs_f64();
        let trained = TrainedBy {
            options: self.options.clone(),
            folder: self.library.root.clone(),
            photos: data.len() as u64,
            classes: data.classes.len() as u64,
            seconds,
            proof: Some(proof.clone()),
        };
        let title = format!("{:?} – {}", self.options.recipe, self.library.name());
        let card = Card { title, architecture, backbone, metric, made: now(), trained: Some(trained) };
        let mut model = Model::pack(card, weights, head.as_ref())?;
        if model.id == self.present.id {
            (proof.better, proof.verdict) = (false, SAME_MODEL.to_owned());
        }
        let proof = Arc::new(proof);
        teller.tell(TrainEvent::Proof(Arc::clone(&proof)));
        // Where the same numbers came out before, their name and what was measured then are worth more. The file is
        // written anew even so: its time tells that a training ended.
        if let Ok(known) = self.models.load(&model.id) {
            model = known;
        }
        self.models.save(&model)?;
        checkpoint::forget(&self.library.folder);
        Ok(Some(Trained { model, proof, seconds, stopped_early: self.stop.is_cancelled() }))
    }

    fn catalog(&self) -> Result<Catalog, TrainError> {
        Ok(Catalog::open(&self.library.folder)?)
    }

    /// Whether a head goes on learning. A stop ends that where the head is all that is learnt; what it has learnt so far
    /// is kept.
    fn goes_on(&self) -> bool {
        let stopped = self.options.recipe == Recipe::Quick && self.stop.is_cancelled();
        !(stopped || self.cancel.is_cancelled())
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled() || self.cancel.is_cancelled()
    }

    /// A head on the backbone's features as they are.
    fn quick(&self, data: &Dataset, catalog: &Catalog, teller: &mut Teller) -> Result<Option<Learnt>, TrainError> {
        let present = self.present_embeddings(data, catalog)?;
        let proof = if data.is_labelled() {
            let folds = if data.len() < CROSS_VALIDATE_BELOW { SHARES } else { 1 };
            let splits =
                (0..folds).map(|fold| data.split(fold, self.shares(data.len()))).collect::<Result<Vec<_>, _>>()?;
            self.prove_heads(data, &data.features, &present, &splits, teller)?
        } else {
            self.prove_without_labels(data, &present, teller)?
        };
        let Some(proof) = proof else { return Ok(None) };
        let head = self.fit_to_all(data, &data.features, teller)?;
        let card = &self.start.card;
        Ok((!self.cancel.is_cancelled()).then_some(Learnt {
            proof,
            architecture: card.architecture,
            backbone: card.backbone.clone(),
            metric: Metric::Cosine,
            weights: self.start.backbone_tensors()?,
            head: Some(head),
        }))
    }

    /// The whole network, embedding the library anew with it; for the full recipe a head on its features, too.
    fn network(&self, data: &Dataset, mut catalog: Catalog, teller: &mut Teller) -> Result<Option<Learnt>, TrainError> {
        if !data.is_labelled() {
            return Err(TrainError::NoClasses);
        }
        let present = self.present_embeddings(data, &catalog)?;
        let split = data.split(0, network_shares(data.len()))?;
        let is_full = self.options.recipe == Recipe::Full;
        teller.stage("Learning", 0);
        let Some(weights) = self.learn_network(data, &split, teller)? else { return Ok(None) };
        let (architecture, metric) = if is_full {
            (self.start.card.architecture, Metric::Cosine)
        } else {
            (Architecture::SiameseResNet18, Metric::Euclidean)
        };
        let card = Card { title: String::new(), architecture, backbone: String::new(), metric, made: 0, trained: None };
        let bare = Model::pack(card, weights.clone(), None)?;
        let embedder = Embedder::start(self.device, bare.clone())?;
        let outcome = ingest(self.library, &mut catalog, &embedder, self.cancel, &mut |event| {
            if let IngestEvent::Progress(progress) = event {
                teller.ingest(&progress);
            }
        });
        match outcome {
            Outcome::Done { .. } => {}
            Outcome::Cancelled { .. } => return Ok(None),
            Outcome::Failed { message } => return Err(TrainError::Index(message)),
        }
        let info = embedder.info()?;
        drop(embedder);
        let rows = data.embeddings(&catalog, info.key(), info.dimension)?;
        let learnt = Learnt { proof: Proof::default(), architecture, backbone: bare.id, metric, weights, head: None };
        if !is_full {
            teller.stage("Measuring", 0);
            let mut comparison = Comparison::default();
            comparison.add(data, [&present, &Embedded { rows, metric }], &split)?;
            let proof = comparison.proof(data, self.options.focus, 1, self.earlier_proof());
            return Ok(Some(Learnt { proof, ..learnt }));
        }
        let Some(proof) = self.prove_heads(data, &rows, &present, &[split], teller)? else { return Ok(None) };
        let head = Some(self.fit_to_all(data, &rows, teller)?);
        Ok(Some(Learnt { proof, head, ..learnt }))
    }

    /// Learns from the photos that are not set aside; gives the network's weights.
    fn learn_network(
        &self,
        data: &Dataset,
        split: &Split,
        teller: &mut Teller,
    ) -> Result<Option<Vec<NamedTensor>>, TrainError> {
        course::Course::new(self, data, split, open_device(self.device)?, teller)?.run()
    }

    /// Learns a head from some of the photos.
    fn fit_head(
        &self,
        data: &Dataset,
        features: &Tensor,
        positions: &[usize],
        tell: &mut dyn FnMut(HeadProgress) -> bool,
    ) -> Result<Head, TrainError> {
        let features = rows_of(features, positions)?;
        if !data.is_labelled() {
            return Ok(unlabelled::fit(&features, tell)?);
        }
        // The loss and the epochs that the user chose are those of the network, where one is trained.
        let is_quick = self.options.recipe == Recipe::Quick;
        let options = HeadOptions {
            loss: self.options.loss.filter(|_| is_quick),
            epochs: self.options.epochs.filter(|_| is_quick),
            seed: self.options.seed,
            focus: self.options.focus,
        };
        Ok(head::fit(&features, &data.labels_of(positions), &options, tell)?)
    }

    fn fit_to_all(&self, data: &Dataset, features: &Tensor, teller: &mut Teller) -> Result<Head, TrainError> {
        teller.stage("Learning from all photos", 0);
        let all: Vec<usize> = (0..data.len()).collect();
        self.fit_head(data, features, &all, &mut |progress| {
            teller.step(&progress);
            self.goes_on()
        })
    }

    /// Learns heads without the photos that are set aside, and compares them on these with the present model.
    fn prove_heads(
        &self,
        data: &Dataset,
        features: &Tensor,
        present: &Embedded,
        splits: &[Split],
        teller: &mut Teller,
    ) -> Result<Option<Proof>, TrainError> {
        let is_quick = self.options.recipe == Recipe::Quick;
        let mut comparison = Comparison::default();
        for (number, split) in splits.iter().enumerate() {
            teller.stage("Learning, with some photos set aside", 0);
            let head = self.fit_head(data, features, &split.learn, &mut |progress| {
                teller.step(&progress);
                if is_quick && number == 0 {
                    teller.curve(&progress);
                }
                self.goes_on()
            })?;
            if self.cancel.is_cancelled() {
                return Ok(None);
            }
            teller.stage("Measuring", 0);
            let new = Embedded { rows: project(&head, features)?, metric: Metric::Cosine };
            comparison.add(data, [present, &new], split)?;
        }
        Ok(Some(comparison.proof(data, self.options.focus, splits.len() as u32, self.earlier_proof())))
    }

    fn prove_without_labels(
        &self,
        data: &Dataset,
        present: &Embedded,
        teller: &mut Teller,
    ) -> Result<Option<Proof>, TrainError> {
        teller.stage("Learning", 0);
        let all: Vec<usize> = (0..data.len()).collect();
        let head = self.fit_head(data, &data.features, &all, &mut |progress| {
            teller.step(&progress);
            teller.curve(&progress);
            self.goes_on()
        })?;
        teller.stage("Measuring with altered views", 0);
        let views = views::altered_views(self.library, &self.catalog()?, data, self.embedder, self.cancel)?;
        if self.cancel.is_cancelled() {
            return Ok(None);
        }
        // A present model on another backbone cannot be asked: the views are features of the starting one. Its bare
        // features then stand for what was before.
        let before = if self.same_backbone() { present.rows.shallow_clone() } else { data.features.shallow_clone() };
        let before = Embedded { rows: before, metric: Metric::Cosine };
        let views_before = match self.present.head().map_err(EmbedError::Head)? {
            Some(head) if self.same_backbone() => project(&head, &views.features)?,
            _ => views.features.shallow_clone(),
        };
        let after = Embedded { rows: project(&head, &data.features)?, metric: Metric::Cosine };
        let mut comparison = Comparison::default();
        comparison.views[0].add_views(&before, &views_before, &views.positions)?;
        comparison.views[1].add_views(&after, &project(&head, &views.features)?, &views.positions)?;
        Ok(Some(comparison.proof(data, self.options.focus, 1, None)))
    }

    fn same_backbone(&self) -> bool {
        self.present.card.backbone == self.start.card.backbone
    }

    /// Shares that photos are set aside in. A starting network that was itself trained on this folder has learnt from
    /// all but what it set aside, and that must not be asked of its successor either.
    fn shares(&self, photos: usize) -> usize {
        let trained = self.start.card.trained.as_ref();
        let here = trained.is_some_and(|t| t.folder == self.library.root && t.options.recipe != Recipe::Quick);
        if here { network_shares(photos) } else { SHARES }
    }

    /// What the present model reached when it was trained, where that was on this folder.
    fn earlier_proof(&self) -> Option<&Proof> {
        let trained = self.present.card.trained.as_ref()?;
        trained.proof.as_ref().filter(|_| trained.folder == self.library.root)
    }

    /// The present model's embeddings of all photos of the data set.
    fn present_embeddings(&self, data: &Dataset, catalog: &Catalog) -> Result<Embedded, TrainError> {
        let head = self.present.head().map_err(EmbedError::Head)?;
        let metric = self.present.card.metric;
        let rows = match head {
            Some(head) if self.same_backbone() => project(&head, &data.features)?,
            None if self.same_backbone() => data.features.shallow_clone(),
            head => {
                let dimension = head.map_or(self.present.card.architecture.dimension(), |head| head.dimension());
                let key = ModelKey { name: &self.present.id, backbone: &self.present.card.backbone, metric };
                data.embeddings(catalog, key, dimension)?
            }
        };
        Ok(Embedded { rows, metric })
    }
}

/// Shares that photos are set aside in where a network is trained.
fn network_shares(photos: usize) -> usize {
    (photos / MEASURED_WITH).clamp(SHARES, MAX_NETWORK_SHARES)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn project(head: &Head, features: &Tensor) -> Result<Tensor, ModelError> {
    let _no_grad = tch::no_grad_guard();
    head.project(features)
}

/// Passes on how far the training is.
struct Teller<'a> {
    events: &'a mut dyn FnMut(TrainEvent),
    progress: TrainProgress,
    began: Instant,
}

impl Teller<'_> {
    fn tell(&mut self, event: TrainEvent) {
        (self.events)(event);
    }

    fn stage(&mut self, stage: &'static str, steps: u64) {
        let device = std::mem::take(&mut self.progress.device);
        self.progress = TrainProgress { stage, steps, device, memory: memory(), ..TrainProgress::default() };
        self.began = Instant::now();
        self.tell(TrainEvent::Progress(self.progress.clone()));
    }

    fn step(&mut self, head: &HeadProgress) {
        if let Some(notice) = &head.notice {
            return self.tell(TrainEvent::Notice(notice.clone()));
        }
        let progress = &mut self.progress;
        (progress.epoch, progress.epochs) = (head.epoch, head.epochs);
        (progress.step, progress.steps) = (head.step, head.steps);
        let seconds = self.began.elapsed().as_secs_f64();
        if seconds > 0.2 && head.step > 0 {
            progress.rate = Some(head.photos as f64 / seconds);
            let left = seconds * (head.steps - head.step.min(head.steps)) as f64 / head.step as f64;
            progress.time_left = Duration::try_from_secs_f64(left).ok();
        }
        let event = TrainEvent::Progress(progress.clone());
        self.tell(event);
    }

    /// Embedding the library anew.
    fn ingest(&mut self, ingest: &Progress) {
        let progress = &mut self.progress;
        (progress.stage, progress.epoch, progress.epochs) = (ingest.stage, 0, 0);
        (progress.step, progress.steps) = (ingest.done, ingest.total.unwrap_or(0));
        (progress.rate, progress.time_left, progress.memory) = (ingest.rate, ingest.time_left(), memory());
        let event = TrainEvent::Progress(progress.clone());
        self.tell(event);
    }

    fn curve(&mut self, head: &HeadProgress) {
        if head.loss.is_some() {
            let point = CurvePoint { epoch: f64::from(head.epoch), loss: head.loss, validation: None };
            self.tell(TrainEvent::Curve(point));
        }
    }
}

/// Keeps OpenBLAS, which libtorch decomposes matrices with where Faiss has brought it along, from threads of its own:
/// they wait for each other by spinning, and on a busy computer a second of work takes minutes.
pub fn decompose_on_one_thread() {
    #[cfg(unix)]
    {
        let program = libloading::os::unix::Library::this();
        // SAFETY: OpenBLAS declares it so; where there is no OpenBLAS there is no such symbol.
        if let Ok(set) = unsafe { program.get::<unsafe extern "C" fn(i32)>(b"openblas_set_num_threads\0") } {
            // SAFETY: it may be called at any time.
            unsafe { set(1) };
        }
    }
}

/// Bytes that this process has in memory, where the system tells.
pub fn memory() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

//! Training: from a folder of photos to a better model, with the proof that it is better.
//!
//! ```text
//! ingest -> embed_library with the starting backbone -> catalog (features, labels) -> data set -> split
//!     -> train -> [embed_library with the new backbone] -> evaluate -> train on all -> model file
//! ```
//!
//! The folder is looked at once, with the model in use. Whatever the recipe, the last step is a head on a backbone's
//! features, and the evaluation compares the model in use and the new one on photos that were held out before. Taking
//! the new model into use is the caller's: [`crate::active_model::change_model`].

pub mod checkpoint;
pub(crate) mod crops;
pub mod dataset;
mod error;
pub(crate) mod estimate;
pub mod evaluation;
pub mod head;
pub(crate) mod holdout;
mod hyperparameters;
mod last_run;
pub(crate) mod loss;
pub(crate) mod network;
pub(crate) mod optimiser;
mod overall;
pub mod plan;
pub mod progress;
mod replicas;
mod reporter;
pub(crate) mod sampler;
pub(crate) mod steps;
mod trainer;
pub mod unlabelled;
pub(crate) mod views;
pub(crate) mod watchdog;
pub(crate) mod wording;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tch::Tensor;

use crate::artefact::{
    Card, EvaluationReport, Focus, Model, ModelId, NamedTensor, NotMeasured, Recipe, TrainedBy, Verdict,
};
use crate::catalog::{Catalog, ModelKey};
use crate::device::open_device;
use crate::embed::{EmbedError, Embedder};
use crate::ingest::{IngestEvent, embed_library, ingest};
use crate::job::{Outcome, Stage};
use crate::library::Library;
use crate::model::{Architecture, Head, ModelError};
use crate::photo::{Metric, bytes_to_path};
use crate::system::{cores, now};
use dataset::{Dataset, has_labels, rows_of};
pub use error::TrainError;
use evaluation::{Comparison, ModelEmbeddings};
use head::{HeadOptions, HeadProgress};
use holdout::{HoldOut, Scheme, Split};
use last_run::Kind;
use overall::OverallMeter;
use plan::{TrainingPlan, start_model};
use progress::TrainEvent;
use reporter::ProgressReporter;
use steps::Course;

/// Fewer photos are not worth a training.
pub(crate) const MIN_PHOTOS: usize = 10;

/// A training that is to be done.
pub struct Training<'a> {
    pub(crate) plan: TrainingPlan<'a>,
    /// The model whose backbone is the starting point.
    pub(crate) start: Model,
    /// With that backbone.
    pub(crate) embedder: Embedder,
}

/// What is told meanwhile.
#[derive(Debug)]
pub enum TrainingEvent {
    /// Of the indexing that comes first, with the model in use; how far that is, is told as the training's progress.
    Ingest(IngestEvent),
    Train(TrainEvent),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Saved among the models already.
    pub(crate) model: Model,
    pub(crate) evaluation: Arc<EvaluationReport>,
    pub(crate) seconds: f64,
    pub(crate) stopped_early: bool,
}

/// A model that is trained and evaluated, before it is packed.
struct TrainedWeights {
    evaluation: EvaluationReport,
    architecture: Architecture,
    /// Names the features that the head works on.
    backbone: ModelId,
    metric: Metric,
    /// Empty for the backbone in the program.
    weights: Vec<NamedTensor>,
    head: Option<Head>,
}

impl<'a> Training<'a> {
    /// Chooses the model to start from.
    ///
    /// # Errors
    /// When that is not there, or the system gives no thread.
    pub fn new(plan: TrainingPlan<'a>) -> Result<Self, TrainError> {
        let start = start_model(plan.models, plan.active, plan.options)?;
        let same_backbone = start.card.backbone == plan.active.card.backbone;
        let embedder = if same_backbone { plan.embedder.clone() } else { Embedder::start(plan.device, start.clone())? };
        Ok(Self { plan, start, embedder })
    }

    /// Indexes what is missing, trains, evaluates and saves; `None` where it was stopped before there was anything to keep.
    ///
    /// # Errors
    /// When there is too little to learn from, or something fails.
    pub fn run(&self, events: &mut dyn FnMut(TrainingEvent)) -> Result<Option<Trained>, TrainError> {
        let mut catalog = Catalog::open(&self.plan.library.folder)?;
        let known = catalog.known_files("")?;
        let places: Vec<PathBuf> = known.keys().map(|path| bytes_to_path(path)).collect();
        let is_labelled = has_labels(places.iter().map(AsRef::as_ref));
        let course = Course::expected(self.plan.options, is_labelled, places.len(), None);
        let meter = OverallMeter::new(course.steps(), course.rounds, self.seconds(course, places.len())?);
        let mut reporter = ProgressReporter::new(events, meter);
        let Some(embedded) = self.embed_all(&mut catalog, &mut reporter)? else { return Ok(None) };
        let started = Instant::now();
        // The embed threads have one each; the training takes what there is.
        tch::set_num_threads(cores() as i32);
        decompose_on_one_thread();
        reporter.progress.device = self.embedder.info()?.device;
        reporter.stage(Stage::LoadingFeatures, 0);
        let data = Dataset::load(&catalog, &self.start.card.backbone)?;
        if data.photos.len() < MIN_PHOTOS {
            return Err(TrainError::TooFewPhotos { found: data.photos.len() });
        }
        if self.plan.options.recipe != Recipe::Quick && !data.is_labelled() {
            return Err(TrainError::NoClasses);
        }
        let hold_out = HoldOut::new(&data, self.scheme(data.photos.len()))?;
        let not_measured = self.not_measured(&hold_out);
        if let Some(reason) = not_measured {
            reporter.tell(TrainEvent::Notice(wording::not_measured_before(reason)));
        }
        let course = Course {
            is_labelled: data.is_labelled(),
            rounds: self.scheme(data.photos.len()).rounds,
            not_measured,
            ..course
        };
        reporter.overall.follow(course.steps(), course.rounds, self.seconds(course, data.photos.len())?);
        reporter.tell_steps();
        let trained = match self.plan.options.recipe {
            Recipe::Quick => self.train_head(&data, &hold_out, &catalog, &mut reporter)?,
            Recipe::Full | Recipe::Tutorial => self.train_network(&data, &hold_out, &mut catalog, &mut reporter)?,
        };
        let Some(trained) = trained else { return Ok(None) };
        let trained = self.save(trained, &data, started, &mut reporter)?;
        // What was broken off, or began in the middle, tells nothing of the next one.
        if !trained.stopped_early && !self.plan.resume {
            let seconds = reporter.overall.finish(embedded == 0, Instant::now());
            self.kind(data.is_labelled(), data.photos.len())?.remember(seconds);
        }
        Ok(Some(trained))
    }

    fn kind(&self, is_labelled: bool, photos: usize) -> Result<Kind, TrainError> {
        let device = open_device(self.plan.device)?;
        let start = self.start.card.architecture;
        Ok(Kind::of(self.plan.library, self.plan.options, is_labelled, start, photos, device))
    }

    /// Seconds that each step will take, where such a training has been done here before.
    fn seconds(&self, course: Course, photos: usize) -> Result<Option<Vec<f64>>, TrainError> {
        let kind = self.kind(course.is_labelled, photos)?;
        Ok(kind.last().map(|last| kind.seconds(&last, &course.steps())))
    }

    /// Brings the catalog up to date: the model in use has to know all photos, for it is what the new one is compared
    /// with, and so has the backbone to start from. Gives how many photos were embedded; `None` where it was stopped.
    fn embed_all(&self, catalog: &mut Catalog, reporter: &mut ProgressReporter) -> Result<Option<u64>, TrainError> {
        let TrainingPlan { library, embedder, cancel, .. } = self.plan;
        let outcome = ingest(library, catalog, embedder, cancel, &mut |event| reporter.ingest(event));
        let Some(new) = completed(outcome)? else { return Ok(None) };
        if self.same_backbone() {
            return Ok(Some(new));
        }
        let embedded = completed(embed_library(library, catalog, &self.embedder, cancel, &mut |progress| {
            reporter.embedding(&progress);
        }))?;
        Ok(embedded.map(|embedded| new + embedded))
    }

    /// Packs the new model and saves it among the others.
    fn save(
        &self,
        trained: TrainedWeights,
        data: &Dataset,
        started: Instant,
        reporter: &mut ProgressReporter,
    ) -> Result<Trained, TrainError> {
        let TrainedWeights { mut evaluation, architecture, backbone, metric, weights, head } = trained;
        evaluation.before_is_flattered = self.learnt_here() && self.earlier_evaluation(data).is_none();
        evaluation.dataset = data.fingerprint(&data.all());
        let seconds = started.elapsed().as_secs_f64();
        let trained = TrainedBy {
            options: self.plan.options.clone(),
            folder: self.plan.library.root.clone(),
            photos: data.photos.len() as u64,
            classes: data.classes.len() as u64,
            seconds,
            evaluation: Some(evaluation.clone()),
        };
        let title = title_of(self.plan.options.recipe, self.plan.library);
        let card = Card { title, architecture, backbone, metric, made: now(), trained: Some(trained) };
        let mut model = Model::pack(card, weights, head.as_ref())?;
        if model.id == self.plan.active.id {
            (evaluation.better, evaluation.verdict) = (false, Verdict::SameModel);
        }
        let evaluation = Arc::new(evaluation);
        reporter.tell(TrainEvent::Evaluated(Arc::clone(&evaluation)));
        // Where the same numbers came out before, their name and what was measured then are worth more. The file is
        // written anew even so: its time tells that a training ended.
        if let Ok(known) = self.plan.models.load(&model.id) {
            model = known;
        }
        self.plan.models.save(&model)?;
        checkpoint::forget(&self.plan.library.folder);
        Ok(Trained { model, evaluation, seconds, stopped_early: self.plan.stop.is_cancelled() })
    }

    /// Whether a head goes on learning. A stop ends that where the head is all that is learnt; what it has learnt so far
    /// is kept.
    fn goes_on(&self) -> bool {
        let stopped = self.plan.options.recipe == Recipe::Quick && self.plan.stop.is_cancelled();
        !(stopped || self.plan.cancel.is_cancelled())
    }

    fn is_stopped(&self) -> bool {
        self.plan.stop.is_cancelled() || self.plan.cancel.is_cancelled()
    }

    /// A head on the backbone's features as they are.
    fn train_head(
        &self,
        data: &Dataset,
        hold_out: &HoldOut,
        catalog: &Catalog,
        reporter: &mut ProgressReporter,
    ) -> Result<Option<TrainedWeights>, TrainError> {
        let active = self.active_embeddings(data, catalog)?;
        let evaluation = if data.is_labelled() {
            self.evaluate_heads(data, &data.features, &active, hold_out, reporter)?
        } else {
            self.evaluate_without_labels(data, catalog, &active, reporter)?
        };
        let Some(evaluation) = evaluation else { return Ok(None) };
        let head = self.fit_to_all(data, &data.features, reporter)?;
        let card = &self.start.card;
        Ok((!self.plan.cancel.is_cancelled()).then_some(TrainedWeights {
            evaluation,
            architecture: card.architecture,
            backbone: card.backbone.clone(),
            metric: Metric::Cosine,
            weights: self.start.backbone_tensors()?,
            head: Some(head),
        }))
    }

    /// The whole network, embedding the library anew with it; for the full recipe a head on its features, too.
    fn train_network(
        &self,
        data: &Dataset,
        hold_out: &HoldOut,
        catalog: &mut Catalog,
        reporter: &mut ProgressReporter,
    ) -> Result<Option<TrainedWeights>, TrainError> {
        let active = self.active_embeddings(data, catalog)?;
        let all = Split { learn: data.all(), ..Split::default() };
        let split = if self.plan.options.learn_from_all { all } else { hold_out.first_split() };
        let is_full = self.plan.options.recipe == Recipe::Full;
        reporter.stage(Stage::Training, 0);
        let device = open_device(self.plan.device)?;
        let Some(weights) = trainer::Trainer::new(self, data, &split, device, reporter)?.run()? else {
            return Ok(None);
        };
        let (architecture, metric) = if is_full {
            (self.start.card.architecture, Metric::Cosine)
        } else {
            (Architecture::SiameseResNet18, Metric::Euclidean)
        };
        let card =
            Card { title: String::new(), architecture, backbone: ModelId::default(), metric, made: 0, trained: None };
        let bare = Model::pack(card, weights.clone(), None)?;
        let embedder = Embedder::start(self.plan.device, bare.clone())?;
        let outcome = embed_library(self.plan.library, catalog, &embedder, self.plan.cancel, &mut |progress| {
            reporter.embedding(&progress);
        });
        if completed(outcome)?.is_none() {
            return Ok(None);
        }
        let info = embedder.info()?;
        drop(embedder);
        let rows = data.embeddings(catalog, info.key(), info.dimension)?;
        let trained = TrainedWeights {
            evaluation: EvaluationReport::default(),
            architecture,
            backbone: bare.id,
            metric,
            weights,
            head: None,
        };
        if !is_full {
            reporter.stage(Stage::Evaluating, 0);
            let mut comparison = Comparison::default();
            comparison.add(data, [&active, &ModelEmbeddings { rows, metric }], &split)?;
            let evaluation = self.report(comparison, data, 1, hold_out);
            return Ok(Some(TrainedWeights { evaluation, ..trained }));
        }
        let Some(evaluation) = self.evaluate_heads(data, &rows, &active, hold_out, reporter)? else { return Ok(None) };
        let head = Some(self.fit_to_all(data, &rows, reporter)?);
        Ok(Some(TrainedWeights { evaluation, head, ..trained }))
    }

    /// Learns a head from some of the photos.
    fn fit_head(
        &self,
        data: &Dataset,
        features: &Tensor,
        positions: &[usize],
        tell: &mut dyn FnMut(HeadProgress) -> bool,
    ) -> Result<Head, TrainError> {
        if !data.is_labelled() {
            return Ok(unlabelled::fit(&rows_of(features, positions)?, tell)?);
        }
        // The loss and the epochs that the user chose are those of the network, where one is trained.
        let is_quick = self.plan.options.recipe == Recipe::Quick;
        let options = HeadOptions {
            loss: self.plan.options.loss.filter(|_| is_quick),
            epochs: self.plan.options.epochs.filter(|_| is_quick),
            seed: self.plan.options.seed,
            focus: self.plan.options.focus,
        };
        // All features, and labels for some: a copy of these features would take as much memory again.
        let mut labels = vec![-1; data.photos.len()];
        positions.iter().for_each(|position| labels[*position] = data.labels[*position]);
        let base = if is_quick { self.base()? } else { None };
        Ok(head::fit(features, &labels, &options, base.as_ref().and_then(|head| head.parts.first()), tell)?)
    }

    /// The head for other species that was made on the same backbone, where the new one is to stay good at those.
    fn base(&self) -> Result<Option<Head>, TrainError> {
        let is_one = |model: &Model| {
            let made_for = model.card.trained.as_ref().map(|trained| trained.options.focus);
            made_for == Some(Focus::OtherSpecies) && model.card.backbone == self.start.card.backbone
        };
        let wanted = self.plan.options.focus == Focus::NewSpeciesToo;
        let model = [self.start.clone(), Model::built_in()].into_iter().find(|model| wanted && is_one(model));
        Ok(model.map(|model| model.head()).transpose().map_err(EmbedError::Head)?.flatten())
    }

    fn fit_to_all(
        &self,
        data: &Dataset,
        features: &Tensor,
        reporter: &mut ProgressReporter,
    ) -> Result<Head, TrainError> {
        reporter.stage(Stage::TrainingOnAll, 0);
        self.fit_head(data, features, &data.all(), &mut |progress| {
            reporter.step(&progress);
            self.goes_on()
        })
    }

    /// Trains heads without the photos that are held out, and compares them on these with the model in use.
    fn evaluate_heads(
        &self,
        data: &Dataset,
        features: &Tensor,
        active: &ModelEmbeddings,
        hold_out: &HoldOut,
        reporter: &mut ProgressReporter,
    ) -> Result<Option<EvaluationReport>, TrainError> {
        let is_quick = self.plan.options.recipe == Recipe::Quick;
        let is_measured = self.not_measured(hold_out) != Some(NotMeasured::NothingHeldOut);
        let splits = if is_measured { hold_out.splits() } else { Vec::new() };
        let mut comparison = Comparison::default();
        for (number, split) in splits.iter().enumerate() {
            reporter.stage(Stage::TrainingWithoutHeldOut, 0);
            let head = self.fit_head(data, features, &split.learn, &mut |progress| {
                reporter.step(&progress);
                if is_quick && number == 0 {
                    reporter.curve(&progress);
                }
                self.goes_on()
            })?;
            if self.plan.cancel.is_cancelled() {
                return Ok(None);
            }
            reporter.stage(Stage::Evaluating, 0);
            let new = ModelEmbeddings { rows: project(&head, features)?, metric: Metric::Cosine };
            comparison.add(data, [active, &new], split)?;
        }
        Ok(Some(self.report(comparison, data, splits.len() as u32, hold_out)))
    }

    fn report(&self, comparison: Comparison, data: &Dataset, folds: u32, hold_out: &HoldOut) -> EvaluationReport {
        let earlier = self.earlier_evaluation(data);
        comparison.report(data, self.plan.options.focus, folds, earlier, self.not_measured(hold_out))
    }

    /// Why nothing can be measured, where that is so. A network that has learnt from all photos here knows also what would be
    /// held out.
    fn not_measured(&self, hold_out: &HoldOut) -> Option<NotMeasured> {
        let started_here = self.start.card.trained.as_ref().filter(|it| it.folder == self.plan.library.root);
        let knows_all = started_here.is_some_and(|trained| trained.options.learn_from_all);
        let all = self.plan.options.learn_from_all || knows_all;
        all.then_some(NotMeasured::NothingHeldOut).or(hold_out.not_measured())
    }

    fn evaluate_without_labels(
        &self,
        data: &Dataset,
        catalog: &Catalog,
        active: &ModelEmbeddings,
        reporter: &mut ProgressReporter,
    ) -> Result<Option<EvaluationReport>, TrainError> {
        reporter.stage(Stage::Training, 0);
        let head = self.fit_head(data, &data.features, &data.all(), &mut |progress| {
            reporter.step(&progress);
            reporter.curve(&progress);
            self.goes_on()
        })?;
        reporter.stage(Stage::EvaluatingAugmentedViews, 0);
        let TrainingPlan { library, cancel, .. } = self.plan;
        let views = views::altered_views(library, catalog, data, &self.embedder, cancel, &mut |done, of| {
            (reporter.progress.step, reporter.progress.steps) = (done, of);
            reporter.tell_progress();
        })?;
        if self.plan.cancel.is_cancelled() {
            return Ok(None);
        }
        // A model in use on another backbone cannot be asked: the views are features of the starting one. Its bare
        // features then stand for what was before.
        let before = if self.same_backbone() { active.rows.shallow_clone() } else { data.features.shallow_clone() };
        let before = ModelEmbeddings { rows: before, metric: Metric::Cosine };
        let views_before = match self.plan.active.head().map_err(EmbedError::Head)? {
            Some(head) if self.same_backbone() => project(&head, &views.features)?,
            _ => views.features.shallow_clone(),
        };
        let after = ModelEmbeddings { rows: project(&head, &data.features)?, metric: Metric::Cosine };
        let mut comparison = Comparison::default();
        comparison.views[0].add_views(&before, &views_before, &views.positions)?;
        comparison.views[1].add_views(&after, &project(&head, &views.features)?, &views.positions)?;
        Ok(Some(comparison.report(data, self.plan.options.focus, 1, None, None)))
    }

    fn same_backbone(&self) -> bool {
        self.plan.active.card.backbone == self.start.card.backbone
    }

    /// How photos are held out. A starting network that was itself trained on this folder has learnt from all but what
    /// was held out then, and no more must be asked of its successor.
    fn scheme(&self, photos: usize) -> Scheme {
        let trained = self.start.card.trained.as_ref();
        let before = trained.filter(|trained| trained.folder == self.plan.library.root).map(|t| t.options.recipe);
        let network = before.filter(|recipe| *recipe != Recipe::Quick);
        Scheme::of(network.unwrap_or(self.plan.options.recipe), photos)
    }

    /// What the model in use reached when it was trained, where that was on the same photos with the same labels.
    fn earlier_evaluation(&self, data: &Dataset) -> Option<&EvaluationReport> {
        let trained = self.plan.active.card.trained.as_ref().filter(|trained| !trained.options.learn_from_all)?;
        let evaluation = trained.evaluation.as_ref()?;
        (evaluation.dataset == data.fingerprint(&data.all())).then_some(evaluation)
    }

    /// Whether the model in use was trained on this folder.
    fn learnt_here(&self) -> bool {
        self.plan.active.card.trained.as_ref().is_some_and(|trained| trained.folder == self.plan.library.root)
    }

    /// The embeddings that the model in use has of all photos of the data set.
    fn active_embeddings(&self, data: &Dataset, catalog: &Catalog) -> Result<ModelEmbeddings, TrainError> {
        let head = self.plan.active.head().map_err(EmbedError::Head)?;
        let metric = self.plan.active.card.metric;
        let rows = match head {
            Some(head) if self.same_backbone() => project(&head, &data.features)?,
            None if self.same_backbone() => data.features.shallow_clone(),
            head => {
                let dimension = head.map_or(self.plan.active.card.architecture.dimension(), |head| head.dimension());
                let key = ModelKey { name: &self.plan.active.id, backbone: &self.plan.active.card.backbone, metric };
                data.embeddings(catalog, key, dimension)?
            }
        };
        Ok(ModelEmbeddings { rows, metric })
    }
}

/// What a new model is called.
pub(crate) fn title_of(recipe: Recipe, library: &Library) -> String {
    format!("{} – {}", recipe.name(), library.name())
}

/// How much was done by a job that came to its end; `None` where it was stopped.
fn completed(outcome: Outcome) -> Result<Option<u64>, TrainError> {
    match outcome {
        Outcome::Done { completed } => Ok(Some(completed)),
        Outcome::Cancelled { .. } => Ok(None),
        Outcome::Failed { message } => Err(TrainError::Index(message)),
    }
}

fn project(head: &Head, features: &Tensor) -> Result<Tensor, ModelError> {
    let _no_grad = tch::no_grad_guard();
    head.project(features)
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
pub(crate) fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

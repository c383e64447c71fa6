//! The learning of a whole network: epochs of batches, each measured at its end, watched all the time, and kept on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::checkpoint::{self, Standing};
use super::crops::{Batch, Crops, Cut, Order, Source};
use super::dataset::{Dataset, Split};
use super::head;
use super::hyperparameters::{Hyperparameters, TRIPLETS_A_CLASS};
use super::loss::{Objective, triplet};
use super::network::{Learner, copy_of};
use super::optimiser::{AdamW, Group};
use super::proof::{nearest, some_of};
use super::random::Random;
use super::replicas::{Replica, learn_side_by_side, replica_count, sum_of_gradients};
use super::report::{CurvePoint, Loss, TrainEvent};
use super::reporter::ProgressReporter;
use super::sampler::{paired_batches, random_batches, triplets};
use super::watchdog::{Alarm, Watchdog, spread};
use super::{TrainError, Training, cores, memory};
use crate::artefact::NamedTensor;
use crate::device::says_out_of_memory;
use crate::model::{Architecture, HeadPart, ModelError, NamedTensors, normalised};
use crate::photo::{Metric, hex};

/// A checkpoint is written at the end of each epoch, and this often meanwhile.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);
/// The curve gets a point this often.
const POINTS_AN_EPOCH: usize = 20;
/// Photos that the end of an epoch is measured with: queries, and what they are searched among.
const MEASURED: [usize; 2] = [200, 600];
/// So often the watchdog's answer is a lower rate and another loss; then the training is given up.
const MAX_ANSWERS: u32 = 3;
/// Smaller batches teach nothing: the work moves to the CPU.
const MIN_BATCH: usize = 4;
/// The tutorial's.
const MARGIN: f64 = 1.0;

/// One training of a network, from its beginning or its checkpoint to the weights.
pub(super) struct Course<'a, 'b, 'c> {
    training: &'a Training<'a>,
    data: &'a Dataset,
    split: &'a Split,
    teller: &'b mut ProgressReporter<'c>,
    how: Hyperparameters,
    /// Photos that are learnt from, by class.
    classes: Vec<Vec<usize>>,
    photos: Arc<[Arc<crate::photo::Photo>]>,
    learner: Learner,
    /// For the threads that learn side by side on a CPU; none where one network takes the whole batch.
    replicas: Vec<Replica>,
    objective: Option<Objective>,
    optimiser: AdamW,
    watchdog: Watchdog,
    standing: Standing,
    /// What the watchdog goes back to.
    sound: (Standing, NamedTensors),
    saved: Instant,
    /// Seconds that the device computed, of those since the beginning.
    computed: Duration,
    began: Instant,
    /// Pictures seen and steps made since then.
    pictures: u64,
    steps_here: u64,
}

/// How an epoch ended.
enum End {
    Whole,
    /// By the user.
    Stopped,
    /// By the watchdog, which has answered: once more from the last sound standing.
    Again,
}

impl<'a, 'b, 'c> Course<'a, 'b, 'c> {
    pub(super) fn new(
        training: &'a Training<'a>,
        data: &'a Dataset,
        split: &'a Split,
        device: Device,
        teller: &'b mut ProgressReporter<'c>,
    ) -> Result<Self, TrainError> {
        let mut classes = vec![Vec::new(); data.classes.len()];
        for position in &split.learn {
            if let Ok(class) = usize::try_from(data.labels[*position]) {
                classes[class].push(*position);
            }
        }
        // Whole classes are set aside.
        classes.retain(|photos| photos.len() > 1);
        let count = classes.iter().map(Vec::len).sum();
        let how = Hyperparameters::of(training.plan.options, training.start.card.architecture, count, device);
        let learner = match how.loss {
            Some(_) => {
                let learn: Vec<usize> = classes.concat();
                let labels = class_numbers(&classes);
                let labels: Vec<i64> = learn.iter().map(|position| labels[position]).collect();
                let features = data.features_of(&learn)?;
                let mut first = head::whiten_within_classes(&features, &labels)?;
                scale_outputs(&mut first, &features)?;
                Learner::fine_tune(&training.start, &first, device)?
            }
            None => Learner::from_scratch(Architecture::SiameseResNet18, training.plan.options.seed, device)?,
        };
        let standing = Standing {
            options: training.plan.options.clone(),
            data: fingerprint(data, &split.learn),
            rate_factor: 1.0,
            loss: how.loss,
            batch_size: how.batch,
            ..Standing::default()
        };
        let now = Instant::now();
        let mut course = Self {
            training,
            data,
            split,
            teller,
            how,
            classes,
            photos: data.photos.as_slice().into(),
            learner,
            replicas: Vec::new(),
            objective: None,
            optimiser: AdamW::new(Vec::new())?,
            watchdog: Watchdog::new(None),
            standing,
            sound: Default::default(),
            saved: now,
            computed: Duration::ZERO,
            began: now,
            pictures: 0,
            steps_here: 0,
        };
        course.set_loss(course.how.loss)?;
        course.resume()?;
        course.remember()?;
        Ok(course)
    }

    /// Learns; `None` where it was stopped before there was anything to keep.
    pub(super) fn run(mut self) -> Result<Option<Vec<NamedTensor>>, TrainError> {
        while self.standing.epoch < self.how.epochs {
            let end = match self.epoch() {
                Err(TrainError::Model(ModelError::Torch(error))) if says_out_of_memory(&error.to_string()) => {
                    self.answer_out_of_memory()?;
                    End::Again
                }
                other => other?,
            };
            match end {
                End::Whole => {
                    (self.standing.epoch, self.standing.batch) = (self.standing.epoch + 1, 0);
                    self.measure()?;
                    self.remember()?;
                    self.save();
                }
                End::Again => self.go_back()?,
                End::Stopped => {
                    self.save();
                    let nothing_learnt = self.standing.steps == 0;
                    if self.training.plan.cancel.is_cancelled() || nothing_learnt {
                        return Ok(None);
                    }
                    break;
                }
            }
        }
        Ok(Some(self.learner.finish()?))
    }

    /// The loss, its proxies and the optimiser from their beginning.
    fn set_loss(&mut self, loss: Option<Loss>) -> Result<(), TrainError> {
        let device = self.learner.device;
        self.standing.loss = loss;
        let dimension = self.learner.projection_parameters().first().map_or(0, |matrix| matrix.size()[0]);
        let objective =
            loss.map(|loss| Objective::new(loss, self.classes.len() as i64, dimension, device)).transpose()?;
        let [backbone, projection, proxies] = self.how.rates;
        let group = |parameters, rate, decay| Group { parameters, rate, decay };
        self.optimiser = AdamW::new(vec![
            group(self.learner.backbone_parameters(), backbone, self.how.decay),
            group(self.learner.projection_parameters(), projection, 0.0),
            group(objective.iter().flat_map(Objective::parameters).collect(), proxies, 0.0),
        ])?;
        self.objective = objective;
        self.replicas = (0..replica_count(device, loss))
            .map(|_| Ok(Mutex::new(self.learner.replica()?)))
            .collect::<Result<_, ModelError>>()?;
        self.watch();
        self.start_proxies()
    }

    fn watch(&mut self) {
        let margin = self.objective.as_ref().map_or(Some(MARGIN), Objective::collapsed);
        self.watchdog = Watchdog::new(margin);
    }

    /// Proxies begin as the middles of their classes, as the features are before any learning.
    fn start_proxies(&mut self) -> Result<(), TrainError> {
        let Some(mut proxies) = self.objective.as_ref().and_then(|o| o.parameters().pop()) else { return Ok(()) };
        let _no_grad = tch::no_grad_guard();
        for (class, photos) in self.classes.iter().enumerate() {
            let features = self.data.features_of(photos)?.f_to_device(self.learner.device)?;
            let middle = self.learner.project(&features)?.f_mean_dim([0i64].as_slice(), true, Kind::Float)?;
            // As long as numbers drawn at random are, to which the rates fit.
            let middle = normalised(&middle)?.f_mul_scalar((proxies.size()[1] as f64).sqrt())?;
            proxies.f_narrow(0, class as i64, 1)?.f_copy_(&middle)?;
        }
        proxies.zero_grad();
        Ok(())
    }

    fn resume(&mut self) -> Result<(), TrainError> {
        if !self.training.plan.resume {
            return Ok(());
        }
        let Some((standing, tensors)) = checkpoint::load(&self.training.plan.library.folder) else { return Ok(()) };
        if standing.options != self.standing.options || standing.data != self.standing.data {
            self.notice("The photos or the settings have changed since the training was stopped; it begins anew");
            return Ok(());
        }
        if standing.loss != self.standing.loss {
            self.set_loss(standing.loss)?;
        }
        self.restore(&tensors, standing.steps)?;
        for point in &standing.curve {
            self.teller.tell(TrainEvent::Curve(*point));
        }
        self.standing = standing;
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        log::warn!("{text}");
        self.teller.tell(TrainEvent::Notice(text.to_owned()));
    }

    /// All numbers of the training as it stands.
    fn state(&self) -> NamedTensors {
        let mut state = self.learner.state();
        for (number, tensor) in self.objective.iter().flat_map(Objective::parameters).enumerate() {
            state.insert(format!("objective.{number}"), tensor);
        }
        for (number, tensor) in self.optimiser.state().1.into_iter().enumerate() {
            state.insert(format!("optimiser.{number}"), tensor);
        }
        state
    }

    fn restore(&mut self, state: &NamedTensors, steps: i64) -> Result<(), TrainError> {
        let numbered = |what: &str| {
            let find = |number: usize| state.get(&format!("{what}.{number}")).map(Tensor::shallow_clone);
            (0..).map_while(find).collect::<Vec<_>>()
        };
        self.learner.restore(state)?;
        {
            let _no_grad = tch::no_grad_guard();
            let proxies = self.objective.iter().flat_map(Objective::parameters);
            for (mut mine, kept) in proxies.zip(numbered("objective")) {
                mine.f_copy_(&kept)?;
            }
        }
        Ok(self.optimiser.restore(steps, &numbered("optimiser"))?)
    }

    /// Takes the present standing for sound.
    fn remember(&mut self) -> Result<(), TrainError> {
        let copy = |(name, tensor): (String, Tensor)| Ok((name, copy_of(&tensor)?));
        let state = self.state().into_iter().map(copy).collect::<Result<_, ModelError>>()?;
        self.sound = (self.standing.clone(), state);
        Ok(())
    }

    /// Back to the last sound standing, but for what the watchdog has changed.
    fn go_back(&mut self) -> Result<(), TrainError> {
        let (standing, state) = std::mem::take(&mut self.sound);
        self.restore(&state, standing.steps)?;
        let same_batches = standing.batch_size == self.standing.batch_size;
        (self.standing.epoch, self.standing.steps) = (standing.epoch, standing.steps);
        self.standing.batch = if same_batches { standing.batch } else { 0 };
        self.sound = (standing, state);
        self.watch();
        Ok(())
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        if let Err(error) = checkpoint::save(&self.training.plan.library.folder, &self.standing, &self.state()) {
            self.notice(&format!("The training could not be saved ({error}); after a stop it would begin anew"));
        }
    }

    /// The batches of an epoch. The same seed gives the same ones, also after a resume.
    fn orders(&self) -> Vec<Order> {
        let seed = self.training.plan.options.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(self.standing.epoch));
        let mut random = Random::new(seed);
        let size = self.standing.batch_size;
        let batches = match self.standing.loss {
            None => triplets(&self.classes, TRIPLETS_A_CLASS, size, &mut random),
            Some(loss) if loss.needs_pairs() => paired_batches(&self.classes, size, &mut random),
            Some(_) => random_batches(&self.classes.concat(), size, &mut random),
        };
        batches.into_iter().map(|positions| Order { positions, seed: random.next_u64() }).collect()
    }

    fn source(&self, cut: Cut) -> Source {
        let library = self.training.plan.library.clone();
        Source { library, photos: Arc::clone(&self.photos), cut, side: self.how.side }
    }

    fn epoch(&mut self) -> Result<End, TrainError> {
        let mut orders = self.orders();
        let batches = orders.len();
        orders.drain(..self.standing.batch.min(batches));
        let steps = batches as u64 * u64::from(self.how.epochs);
        let mut crops = Crops::start(&self.source(self.how.cut), orders, crop_threads(self.learner.device))?;
        let numbers = class_numbers(&self.classes);
        let (mut losses, mut count) = (0.0, 0);
        loop {
            if self.training.is_stopped() {
                return Ok(End::Stopped);
            }
            let Some(batch) = crops.take() else { return Ok(End::Whole) };
            let began = Instant::now();
            let done = self.standing.batch as u64 + u64::from(self.standing.epoch) * batches as u64;
            let (loss, spread) = self.step(&batch, &numbers, done as f64 / steps as f64)?;
            self.computed += began.elapsed();
            if let Some(alarm) = self.watchdog.look(loss, spread) {
                self.answer(alarm)?;
                return Ok(End::Again);
            }
            self.standing.batch += 1;
            self.pictures += batch.positions.len() as u64;
            self.steps_here += 1;
            (losses, count) = (losses + loss, count + 1);
            if self.standing.batch.is_multiple_of(batches.div_ceil(POINTS_AN_EPOCH)) || self.standing.batch == batches {
                self.add_point(batches, Some(losses / f64::from(count)), None);
                (losses, count) = (0.0, 0);
            }
            self.tell(done + 1, steps);
            if self.saved.elapsed() >= CHECKPOINT_EVERY {
                self.remember()?;
                self.save();
            }
        }
    }

    /// One step of the optimiser at a share of the whole way, 0 to 1; gives the loss and the spread of the embeddings.
    fn step(&mut self, batch: &Batch, numbers: &HashMap<usize, i64>, way: f64) -> Result<(f64, f64), TrainError> {
        let pictures = self.pictures_of(batch)?;
        let (loss, embeddings) = match &self.objective {
            Some(objective) => {
                let labels: Vec<i64> = batch.positions.iter().map(|position| numbers[position]).collect();
                let labels = Tensor::f_from_slice(&labels)?.f_to_device(self.learner.device)?;
                if self.replicas.is_empty() {
                    let embeddings = self.learner.embed(&pictures)?;
                    let loss = objective.of(&embeddings, &labels)?;
                    loss.f_backward()?;
                    (loss, embeddings)
                } else {
                    learn_side_by_side(&self.replicas, objective, &pictures, &labels)?
                }
            }
            None => {
                let (loss, anchors) = self.triplet_loss(&pictures)?;
                loss.f_backward()?;
                (loss, anchors)
            }
        };
        let factor = self.standing.rate_factor * self.how.schedule(way);
        if self.replicas.is_empty() {
            self.optimiser.step(factor)?;
        } else {
            let mut gradients = sum_of_gradients(&mut self.replicas)?;
            for mut proxies in self.objective.iter().flat_map(Objective::parameters) {
                gradients.push(copy_of(&proxies.f_grad()?)?);
                proxies.zero_grad();
            }
            self.optimiser.step_down(&gradients, factor)?;
        }
        self.standing.steps += 1;
        self.learner.follow(self.standing.steps, self.how.memory)?;
        Ok((loss.f_double_value(&[])?, spread(&embeddings)?))
    }

    /// The tutorial's: anchors, positives and negatives go through the network one after the other.
    fn triplet_loss(&self, pictures: &Tensor) -> Result<(Tensor, Tensor), TrainError> {
        let third = pictures.size()[0] / 3;
        let part = |number| self.learner.embed(&pictures.f_narrow(0, number * third, third)?);
        let (anchor, positive, negative) = (part(0)?, part(1)?, part(2)?);
        Ok((triplet(&anchor, &positive, &negative, MARGIN)?, anchor))
    }

    fn pictures_of(&self, batch: &Batch) -> Result<Tensor, ModelError> {
        let side = i64::from(self.how.side);
        let shape = [batch.positions.len() as i64, side, side, 3];
        Ok(Tensor::f_from_data_size(&batch.pixels, &shape, Kind::Uint8)?)
    }

    fn add_point(&mut self, batches: usize, loss: Option<f64>, validation: Option<f64>) {
        let epoch = f64::from(self.standing.epoch) + self.standing.batch as f64 / batches.max(1) as f64;
        let point = CurvePoint { epoch, loss, validation };
        self.standing.curve.push(point);
        self.teller.tell(TrainEvent::Curve(point));
    }

    fn tell(&mut self, step: u64, steps: u64) {
        let seconds = self.began.elapsed().as_secs_f64();
        let progress = &mut self.teller.progress;
        (progress.epoch, progress.epochs) = (self.standing.epoch + 1, self.how.epochs);
        (progress.step, progress.steps) = (step, steps);
        progress.rate = (seconds > 0.5).then(|| self.pictures as f64 / seconds);
        progress.busy = Some((self.computed.as_secs_f64() / seconds.max(1e-9)) as f32);
        let left = seconds / self.steps_here.max(1) as f64 * steps.saturating_sub(step) as f64;
        progress.time_left = Duration::try_from_secs_f64(left).ok();
        progress.memory = memory();
        let event = TrainEvent::Progress(progress.clone());
        self.teller.tell(event);
    }

    /// R@1 at the end of an epoch, of some of the photos that were set aside.
    fn measure(&mut self) -> Result<(), TrainError> {
        let [queries, gallery] = MEASURED;
        let known: Vec<usize> = self.classes.concat();
        let (queries, gallery) = (some_of(&self.split.seen, queries), some_of(&known, gallery));
        if queries.is_empty() {
            return Ok(());
        }
        let Some(found) = self.embed_all(&queries)? else { return Ok(()) };
        let Some(there) = self.embed_all(&gallery)? else { return Ok(()) };
        let metric = if self.objective.is_some() { Metric::Cosine } else { Metric::Euclidean };
        let first = nearest(&found.1, &there.1, metric, 1)?;
        let label = |position: usize| self.data.labels[position];
        let pairs = found.0.iter().zip(first);
        let right = pairs.filter(|(query, first)| label(**query) == label(there.0[*first as usize])).count();
        let recall = right as f64 / found.0.len().max(1) as f64;
        self.add_point(1, None, Some(recall));
        Ok(())
    }

    /// Embeddings for measuring of those photos that can be read; `None` where it was stopped.
    fn embed_all(&mut self, positions: &[usize]) -> Result<Option<(Vec<usize>, Tensor)>, TrainError> {
        let cut = if self.objective.is_some() { Cut::Middle } else { Cut::Squeezed };
        let orders = positions.chunks(32).map(|some| Order { positions: some.to_vec(), seed: 0 }).collect();
        let mut crops = Crops::start(&self.source(cut), orders, crop_threads(self.learner.device))?;
        let (mut there, mut rows) = (Vec::new(), Vec::new());
        while let Some(batch) = crops.take() {
            if self.training.is_stopped() {
                return Ok(None);
            }
            rows.push(self.learner.embed_for_measuring(&self.pictures_of(&batch)?)?.f_to_device(Device::Cpu)?);
            there.extend(batch.positions);
        }
        Ok(Some((there, Tensor::f_cat(&rows, 0).map_err(ModelError::from)?)))
    }

    /// What to do about an alarm, said in plain words.
    fn answer(&mut self, alarm: Alarm) -> Result<(), TrainError> {
        self.standing.answers += 1;
        if self.standing.answers > MAX_ANSWERS {
            return Err(TrainError::Diverged);
        }
        self.standing.rate_factor *= 0.3;
        match alarm {
            Alarm::NotANumber => self.notice(
                "The learning overshot: its numbers became infinite. It goes on from the last sound state, more slowly",
            ),
            Alarm::Collapsed if self.standing.loss.is_some_and(|loss| loss != Loss::NormalisedSoftmax) => {
                self.go_back()?;
                self.set_loss(Some(Loss::NormalisedSoftmax))?;
                self.remember()?;
                self.notice(
                    "All photos began to look the same to the network. It goes on more slowly, and with the loss \
                     \"normalised softmax\", which does not do that",
                );
            }
            Alarm::Collapsed => self.notice(
                "All photos began to look the same to the network. It goes on from the last sound state, more slowly",
            ),
        }
        Ok(())
    }

    fn answer_out_of_memory(&mut self) -> Result<(), TrainError> {
        let half = self.standing.batch_size / 2;
        if half >= MIN_BATCH {
            self.standing.batch_size = half;
            self.notice(&format!("The memory is full: going on with {half} photos at a time"));
            return Ok(());
        }
        if self.learner.device == Device::Cpu {
            return Err(TrainError::OutOfMemory);
        }
        self.notice("The GPU's memory is too small for this network: going on with the CPU, which takes longer");
        self.standing.batch_size = self.how.batch;
        self.learner.move_to(Device::Cpu)?;
        self.set_loss(self.standing.loss)
    }
}

fn class_numbers(classes: &[Vec<usize>]) -> HashMap<usize, i64> {
    classes.iter().zip(0..).flat_map(|(photos, class)| photos.iter().map(move |photo| (*photo, class))).collect()
}

/// Threads that make crops. On a CPU the network needs the others; on a GPU they must not let it wait.
fn crop_threads(device: Device) -> usize {
    if device == Device::Cpu { 1 } else { cores().saturating_sub(1) }
}

/// Scales a map so that its outputs have a length of about 1: the size that the rates fit to.
fn scale_outputs(part: &mut HeadPart, features: &Tensor) -> Result<(), ModelError> {
    let (centre, matrix) = part.tensors()?;
    let outputs = features.f_sub(&centre)?.f_matmul(&matrix.f_transpose(0, 1)?)?;
    let length = outputs.f_norm_scalaropt_dim(2.0, [-1i64].as_slice(), true)?.f_mean(Kind::Float)?;
    let length = f64::try_from(length)?.max(1e-12) as f32;
    part.matrix.iter_mut().for_each(|value| *value /= length);
    Ok(())
}

/// Names the photos that are learnt from, and their labels.
fn fingerprint(data: &Dataset, learn: &[usize]) -> String {
    let mut hasher = Sha256::new();
    for position in learn {
        hasher.update(data.photos[*position].content.0);
        hasher.update(data.labels[*position].to_le_bytes());
    }
    hex(&hasher.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artefact::{BUILT_IN, Model};
    use crate::catalog::Catalog;
    use crate::device::DeviceChoice;
    use crate::embed::Embedder;
    use crate::garden;
    use crate::ingest::ingest;
    use crate::job::Cancel;
    use crate::library::{DataFolder, Library};
    use crate::train::plan::TrainingPlan;
    use crate::train::report::{Recipe, TrainOptions};

    /// A library of sixteen pictures of four species.
    struct World {
        _folder: tempfile::TempDir,
        data: DataFolder,
        library: Library,
        embedder: Embedder,
        dataset: Dataset,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let photos = folder.path().join("photos");
            for species in garden::SPECIES.iter().take(4) {
                std::fs::create_dir_all(photos.join(species.name)).unwrap();
                for number in 1..=4 {
                    let picture = image::imageops::thumbnail(&garden::draw(species, number), 200, 200);
                    picture.save(photos.join(species.name).join(format!("{number}.jpg"))).unwrap();
                }
            }
            let data = DataFolder::open(Some(folder.path().join("data"))).unwrap();
            let library = data.library(&photos).unwrap();
            let _lock = library.lock().unwrap();
            let mut catalog = Catalog::open(&library.folder).unwrap();
            let embedder = Embedder::start(DeviceChoice::Cpu, Model::built_in()).unwrap();
            ingest(&library, &mut catalog, &embedder, &Cancel::default(), &mut |_| {});
            let dataset = Dataset::load(&catalog, BUILT_IN).unwrap();
            assert_eq!(dataset.len(), 16);
            Self { _folder: folder, data, library, embedder, dataset }
        }

        /// Learns; `change` alters the course first, and `hear` is told everything, with what cancels.
        fn learn(
            &self,
            options: &TrainOptions,
            resume: bool,
            change: impl FnOnce(&mut Course),
            mut hear: impl FnMut(&TrainEvent, &Cancel),
        ) -> Result<Option<Vec<NamedTensor>>, TrainError> {
            let (models, active, cancel) = (self.data.models(), Model::built_in(), Cancel::default());
            let plan = TrainingPlan {
                library: &self.library,
                models: &models,
                device: DeviceChoice::Cpu,
                active: &active,
                embedder: &self.embedder,
                options,
                resume,
                stop: &Cancel::default(),
                cancel: &cancel,
            };
            let training = Training { plan, start: active.clone(), embedder: self.embedder.clone() };
            let mut events = |event: TrainEvent| hear(&event, &cancel);
            let mut teller = ProgressReporter::new(&mut events, String::new());
            let split = self.dataset.split(0, 5).unwrap();
            let mut course = Course::new(&training, &self.dataset, &split, Device::Cpu, &mut teller)?;
            change(&mut course);
            course.run()
        }
    }

    fn options(recipe: Recipe, epochs: u32) -> TrainOptions {
        TrainOptions { recipe, epochs: Some(epochs), ..TrainOptions::default() }
    }

    #[test]
    fn a_stopped_training_goes_on_to_the_same_weights_as_one_that_was_never_stopped() {
        let world = World::new();
        let options = options(Recipe::Full, 2);
        let whole = world.learn(&options, false, |_| {}, |_, _| {}).unwrap().unwrap();
        let stopped = world.learn(
            &options,
            false,
            |_| {},
            |event, cancel| {
                if matches!(event, TrainEvent::Curve(CurvePoint { validation: Some(_), .. })) {
                    cancel.cancel();
                }
            },
        );
        assert!(stopped.unwrap().is_none());
        assert_eq!(checkpoint::pending(&world.library.folder).as_ref(), Some(&options));
        let mut epochs = Vec::new();
        let resumed = world.learn(
            &options,
            true,
            |_| {},
            |event, _| {
                if let TrainEvent::Progress(progress) = event {
                    epochs.push(progress.epoch);
                }
            },
        );
        assert!(resumed.unwrap().unwrap() == whole, "other weights");
        assert!(!epochs.contains(&1), "{epochs:?}");
    }

    #[test]
    fn a_learning_that_overshoots_is_answered_and_at_last_given_up() {
        let world = World::new();
        let mut notices = Vec::new();
        let absurd = |course: &mut Course| {
            course.how.rates = [1e12; 3];
            course.how.warm_up = None;
            course.set_loss(course.how.loss).unwrap();
            course.remember().unwrap();
        };
        let end = world.learn(&options(Recipe::Full, 40), false, absurd, |event, _| {
            if let TrainEvent::Notice(text) = event {
                notices.push(text.clone());
            }
        });
        assert!(matches!(end, Err(TrainError::Diverged)), "{:?}", end.map(|weights| weights.map(|w| w.len())));
        assert_eq!(notices.len() as u32, MAX_ANSWERS, "{notices:?}");
        assert!(notices.iter().all(|text| text.contains("more slowly")), "{notices:?}");
    }

    #[test]
    fn a_collapse_is_answered_from_the_last_sound_weights_and_with_another_loss() {
        let world = World::new();
        let options = TrainOptions { loss: Some(Loss::BatchHardTriplet), ..options(Recipe::Full, 1) };
        let collapse = |course: &mut Course| {
            let sound = course.learner.finish().unwrap();
            let zero = |course: &Course| {
                for weight in course.learner.backbone_parameters() {
                    let _ = weight.detach().zero_();
                }
            };
            zero(course);
            course.answer(Alarm::Collapsed).unwrap();
            course.go_back().unwrap();
            assert_eq!(course.standing.loss, Some(Loss::NormalisedSoftmax));
            let largest = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
            assert!(course.learner.backbone_parameters().iter().any(|weight| largest(weight) > 0.0), "still collapsed");
            assert!(course.learner.finish().unwrap() == sound);
            // What it goes back to is a copy: learning does not change it.
            zero(course);
            assert!(largest(&course.sound.1["_conv_head.weight"]) > 0.0, "not a copy");
            course.go_back().unwrap();
        };
        assert!(world.learn(&options, false, collapse, |_, _| {}).unwrap().is_some());
    }

    #[test]
    fn a_full_memory_is_answered_with_half_the_batch() {
        let world = World::new();
        let mut notices = Vec::new();
        let halve = |course: &mut Course| {
            course.answer_out_of_memory().unwrap();
            course.go_back().unwrap();
        };
        let weights = world.learn(&options(Recipe::Full, 1), false, halve, |event, _| {
            if let TrainEvent::Notice(text) = event {
                notices.push(text.clone());
            }
        });
        assert!(weights.unwrap().is_some());
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].starts_with("The memory is full"), "{notices:?}");
    }

    #[test]
    fn the_tutorials_network_learns_from_scratch() {
        let world = World::new();
        let mut losses = Vec::new();
        let weights = world.learn(
            &options(Recipe::Tutorial, 1),
            false,
            |_| {},
            |event, _| {
                if let TrainEvent::Curve(CurvePoint { loss: Some(loss), .. }) = event {
                    losses.push(*loss);
                }
            },
        );
        let weights = weights.unwrap().unwrap();
        assert!(!losses.is_empty() && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
        let mean = weights.iter().find(|weight| weight.name == "bn1.running_mean").unwrap();
        assert!(mean.values.iter().any(|value| *value != 0.0), "batch norms learn their statistics");
    }
}

//! Pictures -> embeddings. Each embed thread owns a network; everybody else holds an [`Embedder`] and sends batches.
//!
//! On a GPU there is one such thread. On a CPU there is one for each core (fewer of large networks), and libtorch uses a
//! single thread in each: that is faster than one network on all cores, since nobody waits for the slowest at every layer.
//!
//! There are two queues: a query waits for at most one batch of the indexing job, never for the whole of it. When a
//! batch does not fit into the device's memory it is halved, and at last the work moves to the CPU.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use tch::Device;

use crate::artefact::{Model, ModelId};
use crate::catalog::ModelKey;
use crate::device::{DeviceChoice, NoSuchDevice, gpu_name, open_device, says_out_of_memory};
use crate::model::threads::on_own_thread;
use crate::model::{Architecture, Backbone, Head, ModelError, NetworkInput};
use crate::photo::{Embedded, Embedding, Metric};
use crate::system::cores;

/// Photos in a batch on a CPU: larger ones are slower, since their layers' outputs leave the cache.
const CPU_BATCH: usize = 4;
/// Photos in a batch on a GPU.
const GPU_BATCH: usize = 64;
/// More networks than this gain nothing on a CPU: memory becomes the limit.
const MAX_CPU_NETWORKS: usize = 16;

/// Bytes that all of them may take together: a large network has fewer copies, with more threads each.
const MAX_CPU_WEIGHTS: u64 = 1 << 30;

/// Why no embedding came.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("The model could not be loaded: {0}")]
    Load(Arc<ModelError>),
    #[error("The model's head could not be loaded: {0}")]
    Head(String),
    #[error("The model failed on a batch of photos: {0}")]
    Batch(Arc<ModelError>),
    #[error(transparent)]
    NoSuchDevice(#[from] NoSuchDevice),
    #[error("The thread that computes with the model ended unexpectedly; open the folder again")]
    Gone,
}

/// The model as the rest of the program sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// [`Model::id`]: names the embeddings.
    pub name: ModelId,
    /// What people call it.
    pub title: String,
    /// [`crate::artefact::Card::backbone`]: names the features. The same as `name` where there is no head.
    pub backbone: ModelId,
    /// Floats in an embedding.
    pub dimension: usize,
    /// Of its backbone.
    pub architecture: Architecture,
    /// How embeddings are compared.
    pub metric: Metric,
    /// Features -> embeddings; `None` where they are the same.
    pub head: Option<Arc<Head>>,
    /// In words for people: "CPU, 8 threads" or "NVIDIA GPU".
    pub device: String,
    /// Photos to send at a time.
    pub batch: usize,
    /// Batches that are worked on at the same time.
    pub parallel: usize,
}

impl ModelInfo {
    /// What its embeddings are called in the catalog.
    pub(crate) fn key(&self) -> ModelKey<'_> {
        ModelKey { name: &self.name, backbone: &self.backbone, metric: self.metric }
    }

    /// Embeddings from features, in order; `None` where the head gives zeros or NaN for a photo.
    ///
    /// # Errors
    /// When the head does not fit the features.
    pub(crate) fn project(&self, features: Vec<Embedding>) -> Result<Vec<Option<Embedded>>, EmbedError> {
        let Some(head) = &self.head else {
            let as_they_are = |features| Some(Embedded { embedding: features, features: None });
            return Ok(features.into_iter().map(as_they_are).collect());
        };
        let embeddings = head.apply(&features).map_err(|error| EmbedError::Batch(Arc::new(error)))?;
        let embedded = features.into_iter().zip(embeddings);
        Ok(embedded
            .map(|(features, embedding)| Some(Embedded { embedding: embedding?, features: Some(features) }))
            .collect())
    }
}

/// One for each input, in order; `None` where the network or its head gave zeros or NaN.
pub(crate) type EmbedResult = Result<Vec<Option<Embedded>>, EmbedError>;

type Features = Vec<Option<Embedding>>;

struct Request {
    inputs: Vec<NetworkInput>,
    /// To compute with, on a CPU.
    threads: usize,
    reply: Sender<Result<Features, EmbedError>>,
}

/// A handle to the threads that own the networks. Cheap to clone. With the last handle the threads end, and that is
/// waited for: a process that exits while libtorch computes crashes.
#[derive(Clone)]
pub struct Embedder(Arc<Shared>);

struct Shared {
    /// `None` once the threads are to end.
    queues: Option<Queues>,
    /// Set once the model is loaded, or cannot be.
    info: Arc<OnceLock<LoadResult>>,
    first_thread: Option<JoinHandle<()>>,
}

type LoadResult = Result<ModelInfo, EmbedError>;

/// What the loading thread owes those who wait for the model: whatever becomes of it, they hear.
struct Announcement(Arc<OnceLock<LoadResult>>);

impl Announcement {
    fn make(&self, result: LoadResult) {
        // Nothing is announced twice.
        let _ = self.0.set(result);
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.make(Err(EmbedError::Gone));
    }
}

struct Queues {
    queries: Sender<Request>,
    batches: Sender<Request>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queues = None;
        if let Some(thread) = self.first_thread.take() {
            let _ = thread.join();
        }
    }
}

impl Embedder {
    /// Starts the threads; the model loads in the background.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(choice: DeviceChoice, model: Model) -> std::io::Result<Self> {
        Self::start_with(model, move |model| {
            let backbone = open(model, open_device(choice)?).map_err(|e| EmbedError::Load(Arc::new(e)))?;
            Ok((describe(model, &backbone)?, backbone))
        })
    }

    fn start_with(
        model: Model,
        load: impl FnOnce(&Model) -> Result<(ModelInfo, Backbone), EmbedError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queries, query_inbox) = bounded(4);
        let (batches, batch_inbox) = bounded(1);
        let info = Arc::new(OnceLock::new());
        let announcement = Announcement(Arc::clone(&info));
        let first_thread = spawn(1, move || {
            // Dropped when the thread unwinds, too.
            let announcement = announcement;
            match load(&model) {
                Ok((info, backbone)) => {
                    let others = start_others(&info, &model, &query_inbox, &batch_inbox);
                    announcement.make(Ok(info));
                    warm_up(&backbone);
                    serve(Network::new(backbone, model), &query_inbox, &batch_inbox);
                    for thread in others {
                        let _ = thread.join();
                    }
                }
                Err(error) => announcement.make(Err(error)),
            }
        })?;
        let queues = Some(Queues { queries, batches });
        Ok(Self(Arc::new(Shared { queues, info, first_thread: Some(first_thread) })))
    }

    /// Waits until the model is loaded and says what it is.
    ///
    /// # Errors
    /// When it could not be loaded.
    pub fn info(&self) -> Result<ModelInfo, EmbedError> {
        self.0.info.wait().clone()
    }

    /// Embeds photos that somebody is waiting for: before any batch of the indexing job.
    ///
    /// # Errors
    /// When the model could not be loaded or fails.
    pub(crate) fn embed_query(&self, inputs: Vec<NetworkInput>) -> EmbedResult {
        self.ask(|queues| &queues.queries, inputs, 1)
    }

    /// Embeds a batch in its turn. One embedding for each input, in order.
    ///
    /// # Errors
    /// When the model could not be loaded or fails.
    pub(crate) fn embed_batch(&self, inputs: Vec<NetworkInput>) -> EmbedResult {
        self.embed_batch_on(inputs, 1)
    }

    /// As [`Embedder::embed_batch`], on a CPU with so many threads.
    ///
    /// # Errors
    /// When the model could not be loaded or fails.
    pub fn embed_batch_on(&self, inputs: Vec<NetworkInput>, threads: usize) -> EmbedResult {
        self.ask(|queues| &queues.batches, inputs, threads)
    }

    fn ask(
        &self,
        queue: impl Fn(&Queues) -> &Sender<Request>,
        inputs: Vec<NetworkInput>,
        threads: usize,
    ) -> EmbedResult {
        let info = self.info()?;
        let queue = self.0.queues.as_ref().map(queue).ok_or(EmbedError::Gone)?;
        let (reply, answer) = bounded(1);
        queue.send(Request { inputs, threads, reply }).map_err(|_| EmbedError::Gone)?;
        let features = answer.recv().map_err(|_| EmbedError::Gone)??;
        let usable: Vec<bool> = features.iter().map(Option::is_some).collect();
        let mut embedded = info.project(features.into_iter().flatten().collect())?.into_iter();
        Ok(usable.into_iter().map(|usable| if usable { embedded.next().flatten() } else { None }).collect())
    }
}

/// What an embed thread owns.
struct Network {
    backbone: Backbone,
    /// To open it again on the CPU.
    model: Model,
    /// Photos that fit into the device's memory at a time, as far as is known.
    most: usize,
}

impl Network {
    fn new(backbone: Backbone, model: Model) -> Self {
        Self { backbone, model, most: usize::MAX }
    }
}

/// A GPU plans its work at the first photo, for a second or two: not while somebody waits for a query.
fn warm_up(backbone: &Backbone) {
    if backbone.device() != Device::Cpu
        && let Err(error) = backbone.features(&[NetworkInput::grey(backbone.architecture())])
    {
        log::warn!("The GPU failed on a first photo: {error}");
    }
}

fn spawn(number: usize, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("embed-{number}")).spawn(|| {
        tch::set_num_threads(1);
        work();
    })
}

fn open(model: &Model, device: Device) -> Result<Backbone, ModelError> {
    Backbone::open(model.card.architecture, &model.weights()?, device)
}

/// Starts the threads beside the first, each with a network of its own. One that fails to start costs speed only.
fn start_others(
    info: &ModelInfo,
    model: &Model,
    queries: &Receiver<Request>,
    batches: &Receiver<Request>,
) -> Vec<JoinHandle<()>> {
    let start = |number| {
        let (queries, batches, model) = (queries.clone(), batches.clone(), model.clone());
        spawn(number, move || match open(&model, Device::Cpu) {
            Ok(backbone) => serve(Network::new(backbone, model), &queries, &batches),
            Err(error) => log::warn!("A second copy of the model could not be loaded: {error}"),
        })
        .inspect_err(|error| log::warn!("A thread for the model could not be started: {error}"))
    };
    (2..=info.parallel).filter_map(|number| start(number).ok()).collect()
}

fn serve(mut network: Network, queries: &Receiver<Request>, batches: &Receiver<Request>) {
    loop {
        let next = queries.try_recv().or_else(|_| {
            select! {
                recv(queries) -> request => request,
                recv(batches) -> request => request,
            }
        });
        let Ok(Request { inputs, threads, reply }) = next else { return };
        // A GPU's plans belong to the thread: on another one they would be made anew for each batch.
        let result = if threads == 1 || network.backbone.device() != Device::Cpu {
            embed(&mut network, &inputs)
        } else {
            on_own_thread(threads, || embed(&mut network, &inputs))
        };
        let result = result.map_err(|e| EmbedError::Batch(Arc::new(e)));
        // Whoever asked may have been cancelled meanwhile.
        let _ = reply.send(result);
    }
}

/// Embeds, with half the batch and at last on the CPU where the device runs out of memory.
fn embed(network: &mut Network, inputs: &[NetworkInput]) -> Result<Features, ModelError> {
    let mut features = Vec::with_capacity(inputs.len());
    while features.len() < inputs.len() {
        let rest = &inputs[features.len()..];
        let some = &rest[..rest.len().min(network.most)];
        let Network { backbone, model, most } = network;
        match backbone.features(some) {
            Ok(values) => {
                let rows = values.chunks_exact(backbone.dimension());
                features.extend(rows.map(|values| Embedding::new(values.to_vec(), model.card.metric)));
            }
            Err(ModelError::Torch(error)) if says_out_of_memory(&error.to_string()) && some.len() > 1 => {
                *most = some.len() / 2;
                log::warn!("Out of memory with {} photos at a time; from now on {most}", some.len());
            }
            Err(ModelError::Torch(error)) if backbone.device() != Device::Cpu => {
                log::warn!("The GPU failed ({error}), going on with the CPU");
                *backbone = open(model, Device::Cpu)?;
                *most = usize::MAX;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(features)
}

fn describe(model: &Model, backbone: &Backbone) -> Result<ModelInfo, EmbedError> {
    let (device, batch, parallel) = match backbone.device() {
        Device::Cpu => {
            let cores = cores().min(MAX_CPU_NETWORKS);
            let device = if cores == 1 { "CPU, 1 thread".to_owned() } else { format!("CPU, {cores} threads") };
            let fit = (MAX_CPU_WEIGHTS / model.size().max(1)).max(1) as usize;
            (device, CPU_BATCH, cores.min(fit))
        }
        gpu => (gpu_name(gpu), GPU_BATCH, 1),
    };
    let head = model.head().map_err(EmbedError::Head)?.map(Arc::new);
    Ok(ModelInfo {
        name: model.id.clone(),
        title: model.card.title.clone(),
        backbone: model.card.backbone.clone(),
        dimension: model.dimension,
        architecture: model.card.architecture,
        metric: model.card.metric,
        head,
        device,
        batch,
        parallel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HeadPart;

    #[test]
    fn a_thread_that_dies_while_it_loads_leaves_nobody_waiting() {
        let embedder = Embedder::start_with(Model::built_in(), |_| panic!("while it loads")).unwrap();
        for _ in 0..2 {
            assert!(matches!(embedder.info(), Err(EmbedError::Gone)));
        }
        assert!(matches!(embedder.embed_batch(Vec::new()), Err(EmbedError::Gone)));
    }

    #[test]
    fn a_photo_that_the_head_makes_nothing_of_does_not_stop_the_others() {
        let part = HeadPart { weight: 1.0, power: 1.0, centre: vec![1.0, 0.0], matrix: vec![1.0, 0.0, 0.0, 1.0] };
        let info = ModelInfo {
            name: "quick".into(),
            title: String::new(),
            backbone: "b".into(),
            dimension: 2,
            architecture: Architecture::EfficientNetLite0,
            metric: Metric::Cosine,
            head: Some(Arc::new(Head { parts: vec![part] })),
            device: String::new(),
            batch: 1,
            parallel: 1,
        };
        let features = [[1.0, 0.0], [0.0, 1.0]].map(|values| Embedding::normalised(values.to_vec()).unwrap());
        // The first photo lies at the centre.
        let embedded = info.project(features.into()).unwrap();
        assert!(embedded[0].is_none() && embedded[1].is_some(), "{embedded:?}");
    }
}

//! The line of threads that files go through, whoever wants them embedded:
//!
//! ```text
//! [files] -> decode-1..n -> [read] -> batch-1..n (embed threads) -> [finished] -> the caller's thread, which commits
//! ```
//!
//! The channels are short, so memory is flat however many files there are. What is finished is handed to the caller every
//! second: a kill loses no more.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, tick};

use super::IngestError;
use crate::catalog::Catalog;
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::{Cancel, Progress, RateMeter, Stage};
use crate::library::Library;
use crate::model::NetworkInput;
use crate::photo::Embedded;
use crate::system::cores;
use crate::tune::{self, InferenceConfig};

/// Each holds a decoded photo.
const MAX_DECODE_THREADS: usize = 32;
/// Threads that take the places of those that wait for a disk, at most.
const MOST_IN_PLACE: usize = 64;
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// A batch that is not full by then goes to the network as it is.
const FILL_BATCH_WITHIN: Duration = Duration::from_millis(300);
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What files are embedded with.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    pub(crate) library: &'a Library,
    pub(crate) info: &'a ModelInfo,
    pub(crate) embedder: &'a Embedder,
    pub(crate) cancel: &'a Cancel,
}

/// What has come of a file that was read.
pub(super) enum Read<T, O> {
    ToEmbed(T, NetworkInput),
    /// It needs no embedding, or cannot have one.
    Finished(O),
}

/// What the pipeline tells its caller, on the caller's thread.
pub(super) enum Told<O> {
    Progress(Progress),
    /// To be committed now.
    Finished(Vec<O>),
}

impl Pipeline<'_> {
    /// Sends `files` through: each is `read` on a decode thread, which may ask the catalog, and says so where its disk keeps
    /// it waiting; then embedded where that asks for it; `finish` makes the result of it, from `None` where the network gives no usable embedding. Returns when all
    /// are done, or soon after a stop.
    pub(crate) fn run<F, T, O>(
        self,
        stage: Stage,
        files: Vec<F>,
        read: impl Fn(Option<&Catalog>, F, &dyn Fn()) -> Read<T, O> + Send + Sync + 'static,
        finish: impl Fn(T, Option<Embedded>) -> O + Send + Sync + 'static,
        tell: &mut dyn FnMut(Told<O>) -> Result<(), IngestError>,
    ) -> Result<(), IngestError>
    where
        F: Send + 'static,
        T: Send + 'static,
        O: Send + 'static,
    {
        let progress = Progress::begin(stage, Some(files.len() as u64));
        tell(Told::Progress(progress.clone()))?;
        let config = tune::inference_config(self.library, self.info, self.embedder, files.len(), self.cancel)?;
        let threads = self.start(config, files, read, finish)?;
        let result = collect(&threads.finished, self.cancel, progress, tell);
        threads.end();
        result
    }

    fn start<F, T, O>(
        self,
        config: InferenceConfig,
        files: Vec<F>,
        read: impl Fn(Option<&Catalog>, F, &dyn Fn()) -> Read<T, O> + Send + Sync + 'static,
        finish: impl Fn(T, Option<Embedded>) -> O + Send + Sync + 'static,
    ) -> Result<Threads<O>, IngestError>
    where
        F: Send + 'static,
        T: Send + 'static,
        O: Send + 'static,
    {
        let in_work = config.batch * config.networks;
        let (file_queue, queued) = bounded::<F>(in_work);
        let (read_queue, to_embed) = bounded(in_work);
        let (finished_queue, finished) = bounded(2 * in_work);

        let flag = self.cancel.clone();
        spawn("files", move || {
            for file in files {
                if flag.is_cancelled() || file_queue.send(file).is_err() {
                    return;
                }
            }
        })?;
        let decoders = Decoders {
            queued,
            to_embed: read_queue,
            finished: finished_queue.clone(),
            cancel: self.cancel.clone(),
            folder: self.library.folder.clone(),
            read,
            in_place: AtomicUsize::new(0),
        };
        let decoders = Arc::new(decoders);
        for number in 1..=decode_threads() {
            Decoders::start(&decoders, &format!("decode-{number}"))?;
        }
        // They end with the last of the threads that send.
        drop(decoders);
        let finish = Arc::new(finish);
        let mut batches = Vec::with_capacity(config.networks);
        for number in 1..=config.networks {
            let (embedder, flag) = (self.embedder.clone(), self.cancel.clone());
            let (to_embed, finished, finish) = (to_embed.clone(), finished_queue.clone(), Arc::clone(&finish));
            let work = move || embed_batches(&embedder, config, &to_embed, &*finish, &finished, &flag);
            batches.push(spawn(&format!("batch-{number}"), work)?);
        }
        Ok(Threads { finished, batches })
    }
}

/// The threads that read and decode.
struct Decoders<F, T, O, R> {
    queued: Receiver<F>,
    to_embed: Sender<(T, NetworkInput)>,
    finished: Sender<Result<O, EmbedError>>,
    cancel: Cancel,
    /// The catalog's.
    folder: PathBuf,
    read: R,
    /// Threads in place of those that wait for a disk.
    in_place: AtomicUsize,
}

impl<F, T, O, R> Decoders<F, T, O, R>
where
    F: Send + 'static,
    T: Send + 'static,
    O: Send + 'static,
    R: Fn(Option<&Catalog>, F, &dyn Fn()) -> Read<T, O> + Send + Sync + 'static,
{
    fn start(decoders: &Arc<Self>, name: &str) -> Result<(), IngestError> {
        let catalog = Catalog::open_read_only(&decoders.folder)?;
        let decoders = Arc::clone(decoders);
        spawn(name, move || Self::work(&decoders, catalog.as_ref()))?;
        Ok(())
    }

    fn work(decoders: &Arc<Self>, catalog: Option<&Catalog>) {
        for file in &decoders.queued {
            if decoders.cancel.is_cancelled() {
                return;
            }
            // Whoever waits for a disk holds up the files on it, and no others: another thread takes the place.
            let has_left = Cell::new(false);
            let leave = || {
                if decoders.in_place.fetch_add(1, Ordering::Relaxed) < MOST_IN_PLACE {
                    has_left.set(Self::start(decoders, "decode-late").is_ok());
                }
                if !has_left.get() {
                    decoders.in_place.fetch_sub(1, Ordering::Relaxed);
                }
            };
            let sent = match (decoders.read)(catalog, file, &leave) {
                Read::ToEmbed(item, input) => decoders.to_embed.send((item, input)).is_ok(),
                Read::Finished(result) => decoders.finished.send(Ok(result)).is_ok(),
            };
            if has_left.get() {
                decoders.in_place.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            if !sent {
                return;
            }
        }
    }
}

/// The threads between the list of files and the commit. They end when their channels close, so that a stop need not
/// wait for a photo that takes long to decode.
struct Threads<O> {
    finished: Receiver<Result<O, EmbedError>>,
    batches: Vec<JoinHandle<()>>,
}

impl<O> Threads<O> {
    /// Waits for the batches that are being embedded: a process that exits while libtorch computes crashes.
    fn end(self) {
        drop(self.finished);
        for thread in self.batches {
            // A panic in it has been reported, and ends the job as a pipeline that broke.
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// A thread for each core: decoding takes about a quarter of the time that the network takes on a CPU, and nearly all of
/// it beside a GPU.
fn decode_threads() -> usize {
    cores().min(MAX_DECODE_THREADS)
}

/// Collects photos to batches and has them embedded. Ends when its channels close.
fn embed_batches<T, O>(
    embedder: &Embedder,
    config: InferenceConfig,
    to_embed: &Receiver<(T, NetworkInput)>,
    finish: &impl Fn(T, Option<Embedded>) -> O,
    finished: &Sender<Result<O, EmbedError>>,
    cancel: &Cancel,
) {
    let size = config.batch;
    let (mut items, mut inputs) = (Vec::with_capacity(size), Vec::with_capacity(size));
    let (mut more, mut begun) = (true, Instant::now());
    while more && !cancel.is_cancelled() {
        // Not for ever: neither a stop nor what is decoded already waits for a photo that takes long.
        let mut late = false;
        match to_embed.recv_timeout(FILL_BATCH_WITHIN.saturating_sub(begun.elapsed())) {
            Ok((item, input)) => {
                items.push(item);
                inputs.push(input);
            }
            Err(RecvTimeoutError::Timeout) => late = true,
            Err(RecvTimeoutError::Disconnected) => more = false,
        }
        if inputs.len() < 2 || late {
            begun = Instant::now();
        }
        if inputs.is_empty() || (more && !late && inputs.len() < size) {
            continue;
        }
        let embedded = embedder.embed_batch_on(std::mem::take(&mut inputs), config.threads());
        let results: Vec<_> = match embedded {
            Ok(embedded) => items.drain(..).zip(embedded).map(|(item, embedded)| Ok(finish(item, embedded))).collect(),
            Err(error) => vec![Err(error)],
        };
        for result in results {
            more &= result.is_ok();
            if finished.send(result).is_err() {
                return;
            }
        }
    }
}

/// Takes what is finished until all is, or until it is cancelled, and passes it on at least every [`COMMIT_EVERY`].
fn collect<O>(
    finished: &Receiver<Result<O, EmbedError>>,
    cancel: &Cancel,
    mut progress: Progress,
    tell: &mut dyn FnMut(Told<O>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    let mut meter = RateMeter::start();
    let reports = tick(REPORT_EVERY);
    let (mut waiting, mut committed_at) = (Vec::new(), Instant::now());
    let (mut open, mut failure) = (true, None);
    while open {
        match finished.recv_timeout(REPORT_EVERY) {
            Ok(Ok(result)) => {
                progress.done += 1;
                waiting.push(result);
            }
            Ok(Err(error)) => (failure, open) = (Some(error), false),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        open &= !cancel.is_cancelled();
        if !waiting.is_empty() && (!open || committed_at.elapsed() >= COMMIT_EVERY) {
            tell(Told::Finished(std::mem::take(&mut waiting)))?;
            committed_at = Instant::now();
        }
        if !open || reports.try_recv().is_ok() {
            progress.rate = meter.update(progress.done);
            tell(Told::Progress(progress.clone()))?;
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None if progress.total.is_some_and(|total| progress.done < total) && !cancel.is_cancelled() => {
            Err(IngestError::PipelineBroke)
        }
        None => Ok(()),
    }
}

//! The indexing job: the user's folder -> catalog, through a bounded line of named threads.
//!
//! ```text
//! scan -> [files] -> decode-1..n -> [prepared] -> batch-1..n (embed threads) -> [finished] -> commit
//! ```
//!
//! The channels are short, so memory is flat however large the folder is. Whatever is finished is committed every
//! second: a kill loses no more. The caller's thread commits; it is told what changed, so that the index can follow.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, tick};

use crate::catalog::{Catalog, CatalogError, Changes, ModelKey, NewPhoto, Problem};
use crate::decode::{self, AtLeast, DecodeError, THUMBNAIL_SIDE};
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::{Cancel, Outcome, Progress, RateMeter};
use crate::library::Library;
use crate::model::{INPUT_SIDE, NetworkInput};
use crate::photo::{ContentHash, Embedded, PhotoId};
use crate::scan::{FoundFile, Scan, scan};
use crate::tune::{self, Split};

const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// A batch that is not full by then goes to the network as it is.
const FILL_BATCH_WITHIN: Duration = Duration::from_millis(300);
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// The network and the thumbnail are made from one decoded picture, and both only shrink it.
pub const WANTED: AtLeast = AtLeast { shorter: INPUT_SIDE, longer: THUMBNAIL_SIDE };
/// Photos whose features are projected at a time.
const PROJECT_CHUNK: usize = 2048;
/// The fact that tells whether a library was indexed to the end: [`YES`] or [`NO`].
pub const COMPLETE: &str = "indexed to the end";
pub const YES: &[u8] = b"yes";
const NO: &[u8] = b"no";

/// What the job tells while it runs.
#[derive(Debug)]
pub enum IngestEvent {
    Progress(Progress),
    /// This is in the catalog now.
    Committed(Changes),
    /// The list of problems in the catalog is another than before.
    ProblemsChanged,
}

/// Why the job could not go on. A photo that cannot be read is never a reason.
#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error("A thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("No photos were found where there were {0} before. Is the drive connected? Nothing was changed: {path}", path = .1.display())]
    FolderEmptied(u64, PathBuf),
    #[error("The folder cannot be opened ({0}). Is the drive connected? {path}", path = .1.display())]
    NoFolder(std::io::Error, PathBuf),
    #[error("The threads that read photos ended early")]
    PipelineBroke,
}

/// Brings the catalog of `library` up to date with its folder. The caller holds the library's lock.
pub fn ingest(
    library: &Library,
    catalog: &mut Catalog,
    embedder: &Embedder,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Outcome {
    let mut completed = 0;
    match run(library, catalog, embedder, cancel, events, &mut completed) {
        Ok(()) if cancel.is_cancelled() => Outcome::Cancelled { completed },
        Ok(()) => Outcome::Done { completed },
        Err(error) => Outcome::Failed { message: error.to_string() },
    }
}

fn run(
    library: &Library,
    catalog: &mut Catalog,
    embedder: &Embedder,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
    completed: &mut u64,
) -> Result<(), IngestError> {
    std::fs::read_dir(&library.root).map_err(|e| IngestError::NoFolder(e, library.root.clone()))?;
    events(IngestEvent::Progress(Progress::begin("Loading the model", None)));
    let info = embedder.info()?;
    let model = info.key();
    if !project_features(catalog, &info, cancel, events)? {
        return Ok(());
    }

    let Some(scan) = scan_folder(library, catalog, model, cancel, events)? else { return Ok(()) };
    let Scan { to_read, gone, problems, unchanged } = scan;
    // An unplugged drive often leaves its empty folder behind; that is no reason to forget its photos.
    if to_read.is_empty() && unchanged == 0 && !gone.is_empty() {
        return Err(IngestError::FolderEmptied(gone.len() as u64, library.root.clone()));
    }
    catalog.set_fact(COMPLETE, NO)?;
    settle_problems(catalog, model, &to_read, &problems, events)?;

    let mut progress = Progress::begin("Indexing", Some(to_read.len() as u64));
    progress.problems = problems.len() as u64;
    let split = tune::split(library, &info, embedder, to_read.len(), cancel)?;
    let pipeline = Pipeline::start(library, &info, embedder, split, cancel, to_read)?;
    let committed = commit_finished(catalog, model, &pipeline.finished, cancel, progress, events, completed);
    pipeline.end();
    let some_were_replaced = committed?;
    if cancel.is_cancelled() {
        return Ok(());
    }
    if some_were_replaced || !gone.is_empty() {
        remove_gone(catalog, gone, events)?;
    }
    catalog.set_fact(COMPLETE, YES)?;
    Ok(())
}

fn scan_folder(
    library: &Library,
    catalog: &Catalog,
    model: ModelKey,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<Option<Scan>, IngestError> {
    let mut progress = Progress::begin("Looking for photos", None);
    events(IngestEvent::Progress(progress.clone()));
    let known = catalog.known_files(model.name)?;
    let mut reported = Instant::now();
    Ok(scan(&library.root, known, cancel, |seen| {
        progress.done = seen;
        if reported.elapsed() >= REPORT_EVERY {
            events(IngestEvent::Progress(progress.clone()));
            reported = Instant::now();
        }
    }))
}

/// Gives the embeddings of a model with a head to photos whose features are in the catalog: no file is read for that.
/// `false` where it was stopped.
fn project_features(
    catalog: &mut Catalog,
    info: &ModelInfo,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<bool, IngestError> {
    let mut progress = Progress::begin("Applying the model", None);
    loop {
        let (contents, features): (Vec<_>, Vec<_>) =
            catalog.features_to_project(info.key(), PROJECT_CHUNK)?.into_iter().unzip();
        if contents.is_empty() {
            return Ok(true);
        }
        if cancel.is_cancelled() {
            return Ok(false);
        }
        progress.done += contents.len() as u64;
        let embeddings = info.project(features)?.into_iter().map(|embedded| embedded.embedding);
        catalog.add_embeddings(info.key(), &contents.into_iter().zip(embeddings).collect::<Vec<_>>())?;
        events(IngestEvent::Progress(progress.clone()));
    }
}

/// Writes the scan's problems, and strikes those out that are none any more; files to be read decide for themselves.
fn settle_problems(
    catalog: &mut Catalog,
    model: ModelKey,
    to_read: &[FoundFile],
    problems: &[Problem],
    events: &mut dyn FnMut(IngestEvent),
) -> Result<(), IngestError> {
    let open: std::collections::HashSet<_> =
        problems.iter().map(|problem| &problem.path).chain(to_read.iter().map(|file| &file.path)).collect();
    let solved: Vec<PathBuf> =
        catalog.problems()?.into_iter().map(|problem| problem.path).filter(|path| !open.contains(path)).collect();
    if solved.is_empty() && problems.is_empty() {
        return Ok(());
    }
    catalog.remove(&[], &solved)?;
    let changes = catalog.write(model, Vec::new(), problems)?;
    events(IngestEvent::Committed(changes));
    events(IngestEvent::ProblemsChanged);
    Ok(())
}

fn remove_gone(
    catalog: &mut Catalog,
    gone: Vec<PhotoId>,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<(), IngestError> {
    catalog.remove(&gone, &[])?;
    catalog.forget_unused()?;
    events(IngestEvent::Committed(Changes { added: Vec::new(), removed: gone }));
    Ok(())
}

/// Takes what the pipeline finishes until it is done or cancelled, and writes it at least every [`COMMIT_EVERY`]. Gives
/// whether photos of before were replaced.
fn commit_finished(
    catalog: &mut Catalog,
    model: ModelKey,
    finished: &Receiver<Result<Finished, EmbedError>>,
    cancel: &Cancel,
    mut progress: Progress,
    events: &mut dyn FnMut(IngestEvent),
    completed: &mut u64,
) -> Result<bool, IngestError> {
    let total = progress.total.unwrap_or(0);
    let mut meter = RateMeter::start();
    let (mut photos, mut problems) = (Vec::new(), Vec::new());
    let (mut committed_at, mut failure) = (Instant::now(), None);
    let reports = tick(REPORT_EVERY);
    events(IngestEvent::Progress(progress.clone()));
    let (mut open, mut some_were_replaced) = (true, false);
    while open {
        match finished.recv_timeout(REPORT_EVERY) {
            Ok(Ok(Finished::Photo(photo))) => photos.push(photo),
            Ok(Ok(Finished::Problem(problem))) => {
                progress.problems += 1;
                problems.push(problem);
            }
            Ok(Err(error)) => (failure, open) = (Some(error), false),
            Err(RecvTimeoutError::Timeout) => open = !cancel.is_cancelled(),
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        let waiting = photos.len() + problems.len();
        if waiting > 0 && (!open || cancel.is_cancelled() || committed_at.elapsed() >= COMMIT_EVERY) {
            *completed += waiting as u64;
            let new_problems = !problems.is_empty();
            let changes = catalog.write(model, std::mem::take(&mut photos), &std::mem::take(&mut problems))?;
            some_were_replaced |= !changes.removed.is_empty();
            events(IngestEvent::Committed(changes));
            if new_problems {
                events(IngestEvent::ProblemsChanged);
            }
            committed_at = Instant::now();
        }
        progress.done = *completed + (photos.len() + problems.len()) as u64;
        if !open || reports.try_recv().is_ok() {
            progress.rate = meter.update(progress.done);
            events(IngestEvent::Progress(progress.clone()));
        }
        open &= !cancel.is_cancelled();
    }
    match failure {
        Some(error) => Err(error.into()),
        None if *completed < total && !cancel.is_cancelled() => Err(IngestError::PipelineBroke),
        None => Ok(some_were_replaced),
    }
}

enum Finished {
    Photo(NewPhoto),
    Problem(Problem),
}

/// A file that was read: what is still missing is its embedding, where the catalog has none of this content.
struct Prepared {
    photo: UnembeddedPhoto,
    pixels: Pixels,
}

struct UnembeddedPhoto {
    file: FoundFile,
    content: ContentHash,
    thumbnail: Option<Vec<u8>>,
}

impl UnembeddedPhoto {
    fn finish(self, embedded: Option<Embedded>) -> Finished {
        let Self { file: FoundFile { path, stamp }, content, thumbnail } = self;
        match embedded {
            Some(embedded) => Finished::Photo(NewPhoto { path, stamp, content, embedded, thumbnail }),
            None => {
                Finished::Problem(Problem { path, reason: "The model gave no usable embedding of this photo".into() })
            }
        }
    }
}

enum Pixels {
    ToEmbed(NetworkInput),
    EmbeddedBefore(Embedded),
}

/// The threads between the scan and the commit. They end when their channels close, so that a stop need not wait for a
/// photo that takes long to decode.
struct Pipeline {
    finished: Receiver<Result<Finished, EmbedError>>,
    batches: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Waits for the batches that are being embedded: a process that exits while libtorch computes crashes.
    fn end(self) {
        drop(self.finished);
        for thread in self.batches {
            // A panic in it has been reported, and ends the job as a pipeline that broke.
            let _ = thread.join();
        }
    }

    fn start(
        library: &Library,
        info: &ModelInfo,
        embedder: &Embedder,
        split: Split,
        cancel: &Cancel,
        to_read: Vec<FoundFile>,
    ) -> Result<Self, IngestError> {
        let in_work = split.batch * split.networks;
        let (file_queue, files) = bounded::<FoundFile>(in_work);
        let (prepared_queue, prepared) = bounded(in_work);
        let (finished_queue, finished) = bounded(2 * in_work);

        let flag = cancel.clone();
        spawn("scan", move || {
            for file in to_read {
                if flag.is_cancelled() || file_queue.send(file).is_err() {
                    return;
                }
            }
        })?;
        let shared = Arc::new((library.clone(), info.clone()));
        for number in 1..=decode_threads() {
            let reader = Catalog::open_read_only(&library.folder)?;
            let (files, prepared, finished) = (files.clone(), prepared_queue.clone(), finished_queue.clone());
            let (flag, shared) = (cancel.clone(), Arc::clone(&shared));
            spawn(&format!("decode-{number}"), move || {
                for file in files {
                    if flag.is_cancelled() {
                        return;
                    }
                    let path = file.path.clone();
                    let sent = match prepare(&shared.0, reader.as_ref(), &shared.1, file) {
                        Ok(ready) => prepared.send(ready).is_ok(),
                        Err(error) => {
                            let problem = Problem { path, reason: error.to_string() };
                            finished.send(Ok(Finished::Problem(problem))).is_ok()
                        }
                    };
                    if !sent {
                        return;
                    }
                }
            })?;
        }
        drop(prepared_queue);
        let mut batches = Vec::with_capacity(split.networks);
        for number in 1..=split.networks {
            let (embedder, flag) = (embedder.clone(), cancel.clone());
            let (prepared, finished) = (prepared.clone(), finished_queue.clone());
            let work = move || embed_batches(&embedder, split, &prepared, &finished, &flag);
            batches.push(spawn(&format!("batch-{number}"), work)?);
        }
        Ok(Self { finished, batches })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Decoding takes about a quarter of the time that the network takes on a CPU, and more on large photos.
fn decode_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(1, 8)
}

/// Reads one file and makes it ready: all of its decoding happens here, once.
fn prepare(
    library: &Library,
    catalog: Option<&Catalog>,
    model: &ModelInfo,
    file: FoundFile,
) -> Result<Prepared, DecodeError> {
    let bytes = decode::read_file(&library.root.join(&file.path))?;
    let content = ContentHash::of(&bytes);
    // A catalog that cannot be asked costs time, not correctness.
    let known = catalog.and_then(|catalog| catalog.embedding_of(content, model.key()).ok().flatten());
    let known = known.map(|embedding| Embedded { embedding, features: None });
    let has_thumbnail = catalog.is_some_and(|catalog| catalog.has_thumbnail(content).unwrap_or(false));
    if let Some(embedded) = known.clone().filter(|_| has_thumbnail) {
        let photo = UnembeddedPhoto { file, content, thumbnail: None };
        return Ok(Prepared { photo, pixels: Pixels::EmbeddedBefore(embedded) });
    }
    let picture = decode::decode_at_least(&bytes, WANTED)?;
    drop(bytes);
    let pixels = match known {
        Some(embedded) => Pixels::EmbeddedBefore(embedded),
        None => Pixels::ToEmbed(NetworkInput::from_picture(&picture, model.architecture)?),
    };
    let thumbnail = if has_thumbnail { None } else { Some(decode::thumbnail(&picture)?) };
    Ok(Prepared { photo: UnembeddedPhoto { file, content, thumbnail }, pixels })
}

/// Collects photos to batches, has them embedded, and passes everything on. Ends when its channels close.
fn embed_batches(
    embedder: &Embedder,
    split: Split,
    prepared: &Receiver<Prepared>,
    finished: &Sender<Result<Finished, EmbedError>>,
    cancel: &Cancel,
) {
    let size = split.batch;
    let mut batch = Vec::with_capacity(size);
    let mut inputs = Vec::with_capacity(size);
    let (mut more, mut begun) = (true, Instant::now());
    while more && !cancel.is_cancelled() {
        // Not for ever: neither a stop nor what is decoded already waits for a photo that takes long.
        let mut late = false;
        match prepared.recv_timeout(FILL_BATCH_WITHIN.saturating_sub(begun.elapsed())) {
            Ok(Prepared { photo, pixels: Pixels::ToEmbed(input) }) => {
                batch.push(photo);
                inputs.push(input);
            }
            Ok(Prepared { photo, pixels: Pixels::EmbeddedBefore(embedded) }) => {
                if finished.send(Ok(photo.finish(Some(embedded)))).is_err() {
                    return;
                }
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
        let embeddings = embedder.embed_batch_on(std::mem::take(&mut inputs), split.threads());
        let results: Vec<_> = match embeddings {
            Ok(embeddings) => batch.drain(..).zip(embeddings).map(|(photo, e)| Ok(photo.finish(e))).collect(),
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

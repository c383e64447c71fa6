//! The indexing job: the user's folder -> catalog.
//!
//! ```text
//! ingest:        scan -> new and changed files ------\
//!                                                     > pipeline: decode -> embed -> commit
//! embed_library: contents of the catalog that a model \
//!                has not embedded yet ----------------/
//! ```
//!
//! [`ingest`] follows the folder with the model in use and tells what changed, so that the open gallery can follow, too.
//! [`embed_library()`] gives the library the embeddings of another model; nothing changes for the gallery by that.
//! [`describe_library()`] finds out when the photos of an older catalog were taken, and what else their files tell.

mod describe;
mod embed_library;
mod pipeline;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

pub(crate) use self::describe::describe_library;
pub(crate) use self::embed_library::embed_library;
use self::pipeline::{Pipeline, REPORT_EVERY, Read, Told};
use crate::catalog::{Catalog, CatalogError, Changes, ModelKey, NewPhoto, Problem};
use crate::decode::{self, AtLeast, DecodeError, THUMBNAIL_SIDE};
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::{Cancel, Outcome, Progress, Stage};
use crate::library::Library;
use crate::metadata::Metadata;
use crate::model::{INPUT_SIDE, NetworkInput};
use crate::photo::{ContentHash, Embedded, PhotoId};
use crate::scan::{FoundFile, Scan, scan};

/// The network and the thumbnail are made from one decoded picture, and both only shrink it.
pub const WANTED: AtLeast = AtLeast { shorter: INPUT_SIDE, longer: THUMBNAIL_SIDE };
/// Photos whose features are projected at a time.
const PROJECT_CHUNK: usize = 2048;
/// The fact that tells whether a library was indexed to the end: [`YES`], or "no".
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
    #[error("The model gives no usable embedding of any of the photos. Choose another model")]
    NothingEmbedded,
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
    let result = run(library, catalog, embedder, cancel, events, &mut completed);
    outcome(result, cancel, completed)
}

fn outcome(result: Result<(), IngestError>, cancel: &Cancel, completed: u64) -> Outcome {
    match result {
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
    events(IngestEvent::Progress(Progress::begin(Stage::LoadingModel, None)));
    let info = embedder.info()?;
    let model = info.key();
    project_features(catalog, &info, cancel, &mut |progress| events(IngestEvent::Progress(progress)))?;

    let Some(scan) = scan_folder(library, catalog, model, cancel, events)? else { return Ok(()) };
    let Scan { to_read, gone, problems, unchanged } = scan;
    // An unplugged drive often leaves its empty folder behind; that is no reason to forget its photos.
    if to_read.is_empty() && unchanged == 0 && !gone.is_empty() {
        return Err(IngestError::FolderEmptied(gone.len() as u64, library.root.clone()));
    }
    catalog.set_fact(COMPLETE, NO)?;
    settle_problems(catalog, model, &to_read, &problems, events)?;

    let shared = (library.clone(), info.clone());
    let read = move |catalog: Option<&Catalog>, file: FoundFile| {
        let path = file.path.clone();
        prepare(&shared.0, catalog, &shared.1, file)
            .unwrap_or_else(|error| Read::Finished(Finished::Problem(Problem { path, reason: error.to_string() })))
    };
    let (mut problem_count, mut some_were_replaced) = (problems.len() as u64, false);
    let pipeline = Pipeline { library, info: &info, embedder, cancel };
    pipeline.run(Stage::Indexing, to_read, read, UnembeddedPhoto::finish, &mut |told| {
        match told {
            Told::Progress(progress) => events(IngestEvent::Progress(Progress { problems: problem_count, ..progress })),
            Told::Finished(finished) => {
                *completed += finished.len() as u64;
                let (mut photos, mut problems) = (Vec::new(), Vec::new());
                for one in finished {
                    match one {
                        Finished::Photo(photo) => photos.push(photo),
                        Finished::Problem(problem) => problems.push(problem),
                    }
                }
                problem_count += problems.len() as u64;
                let changes = catalog.write(model, photos, &problems)?;
                some_were_replaced |= !changes.removed.is_empty();
                events(IngestEvent::Committed(changes));
                if !problems.is_empty() {
                    events(IngestEvent::ProblemsChanged);
                }
            }
        }
        Ok(())
    })?;
    if cancel.is_cancelled() {
        return Ok(());
    }
    if some_were_replaced || !gone.is_empty() {
        remove_gone(catalog, gone, events)?;
    }
    catalog.set_fact(COMPLETE, YES)?;
    Ok(())
}

/// Whether the folder is there with something in it: an unplugged drive often leaves its empty folder behind.
fn check_folder(library: &Library, photos: usize) -> Result<(), IngestError> {
    let root = || library.root.clone();
    let mut entries = std::fs::read_dir(&library.root).map_err(|error| IngestError::NoFolder(error, root()))?;
    entries.next().map(drop).ok_or_else(|| IngestError::FolderEmptied(photos as u64, root()))
}

fn scan_folder(
    library: &Library,
    catalog: &Catalog,
    model: ModelKey,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<Option<Scan>, IngestError> {
    let mut progress = Progress::begin(Stage::Scanning, None);
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
/// Gives how many; after a stop, fewer than there are.
fn project_features(
    catalog: &mut Catalog,
    info: &ModelInfo,
    cancel: &Cancel,
    tell: &mut dyn FnMut(Progress),
) -> Result<u64, IngestError> {
    let mut progress = Progress::begin(Stage::Projecting, None);
    let mut after = None;
    while !cancel.is_cancelled() {
        let chunk = catalog.features_to_project(info.key(), after, PROJECT_CHUNK)?;
        let Some((last, _)) = chunk.last() else { break };
        after = Some(*last);
        // Unusable features are none: the file is read for those.
        let (contents, features): (Vec<_>, Vec<_>) =
            chunk.into_iter().filter_map(|(content, features)| Some((content, features?))).unzip();
        // What the head makes nothing of is read once more with the files, and becomes a problem there.
        let embedded = contents.into_iter().zip(info.project(features)?);
        let embedded: Vec<_> = embedded
            .filter_map(|(content, embedded)| Some((content, Embedded { features: None, ..embedded? })))
            .collect();
        catalog.add_embeddings(info.key(), &embedded)?;
        progress.done += embedded.len() as u64;
        tell(progress.clone());
    }
    Ok(progress.done)
}

/// Writes the scan's problems, and deletes those that are solved; files to be read decide for themselves.
fn settle_problems(
    catalog: &mut Catalog,
    model: ModelKey,
    to_read: &[FoundFile],
    problems: &[Problem],
    events: &mut dyn FnMut(IngestEvent),
) -> Result<(), IngestError> {
    let open: HashSet<_> =
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

enum Finished {
    Photo(NewPhoto),
    Problem(Problem),
}

/// A file that was read: what is still missing is its embedding.
struct UnembeddedPhoto {
    file: FoundFile,
    content: ContentHash,
    thumbnail: Option<Vec<u8>>,
    metadata: Metadata,
}

impl UnembeddedPhoto {
    fn finish(self, embedded: Option<Embedded>) -> Finished {
        let Self { file: FoundFile { path, stamp }, content, thumbnail, metadata } = self;
        match embedded {
            Some(embedded) => Finished::Photo(NewPhoto { path, stamp, content, embedded, thumbnail, metadata }),
            None => {
                Finished::Problem(Problem { path, reason: "The model gave no usable embedding of this photo".into() })
            }
        }
    }
}

/// Reads one file and makes it ready: all of its decoding happens here, once. It need not be embedded where the catalog
/// has an embedding of this content.
fn prepare(
    library: &Library,
    catalog: Option<&Catalog>,
    model: &ModelInfo,
    file: FoundFile,
) -> Result<Read<UnembeddedPhoto, Finished>, DecodeError> {
    let bytes = decode::read_file(&library.root.join(&file.path))?;
    let content = ContentHash::of(&bytes);
    // A catalog that cannot be asked costs time, not correctness.
    let known = catalog.and_then(|catalog| catalog.embedding_of(content, model.key()).ok().flatten());
    let known = known.map(|embedding| Embedded { embedding, features: None });
    let has_thumbnail = catalog.is_some_and(|catalog| catalog.has_thumbnail(content).unwrap_or(false));
    let metadata = Metadata::of_bytes(&bytes, &file.path);
    let mut photo = UnembeddedPhoto { file, content, thumbnail: None, metadata };
    if known.is_some() && has_thumbnail {
        return Ok(Read::Finished(photo.finish(known)));
    }
    let picture = decode::decode_at_least(&bytes, WANTED)?;
    drop(bytes);
    if !has_thumbnail {
        photo.thumbnail = Some(decode::thumbnail(&picture)?);
    }
    Ok(match known {
        Some(_) => Read::Finished(photo.finish(known)),
        None => Read::ToEmbed(photo, NetworkInput::from_picture(&picture, model.architecture)?),
    })
}

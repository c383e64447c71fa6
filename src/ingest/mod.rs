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
mod reader;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use self::describe::describe_library;
pub(crate) use self::embed_library::{embed_library, embed_some};
use self::pipeline::{Pipeline, REPORT_EVERY, Read, Told};
use self::reader::{Reader, Unread};
use crate::catalog::{Catalog, CatalogError, Changes, FileStamp, ModelKey, NewPhoto, NewProblem, Problem};
use crate::decode::{self, AtLeast, DecodeError, Decoded, THUMBNAIL_SIDE};
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::{Cancel, Outcome, Progress, Stage};
use crate::library::Library;
use crate::metadata::Metadata;
use crate::model::{Architecture, NetworkInput};
use crate::patience::{LOOK_EVERY, has_entries, no_answer};
use crate::photo::{ContentHash, Embedded, PhotoId};
use crate::scan::{Account, Again, Before, FoundFile, Scan, ScanError, scan};
use crate::text::sanitise_line;

/// Photos whose features are projected at a time.
const PROJECT_CHUNK: usize = 2048;
/// The fact that tells whether a library was indexed to the end: [`YES`], or "no".
pub const COMPLETE: &str = "indexed to the end";
pub const YES: &[u8] = b"yes";
const NO: &[u8] = b"no";
/// The fact with what the folder holds beside photos, as JSON.
const ACCOUNT: &str = "account";
/// A file that is still being written is looked at again after this time, so often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const LOOK_AGAIN: usize = 3;
/// A file that was written less than this ago may not be complete.
const FRESH: Duration = Duration::from_secs(2);
/// Of a problem's text.
const LONGEST_REASON: usize = 400;

/// The network's input and the thumbnail are made from one decoded picture, and both only shrink it.
pub fn size_wanted(architecture: Architecture) -> AtLeast {
    AtLeast { shorter: architecture.input_side(), longer: THUMBNAIL_SIDE }
}

/// What the job tells while it runs.
#[derive(Debug)]
pub enum IngestEvent {
    Progress(Progress),
    /// The folder has been looked through.
    Scanned(Box<Scanned>),
    /// This is in the catalog now.
    Committed(Changes),
    /// The list of problems in the catalog is another than before.
    ProblemsChanged,
}

/// What was found in the folder beside photos.
#[derive(Debug)]
pub struct Scanned {
    pub account: Account,
    /// All folders that were entered, without links.
    pub(crate) folders: Vec<PathBuf>,
}

/// What the folder of a library holds beside photos, as of the last scan.
///
/// # Errors
/// When the catalog cannot be read.
pub(crate) fn account(catalog: &Catalog) -> Result<Account, CatalogError> {
    // One of a later version is none; the next scan makes it anew.
    Ok(catalog.json_fact(ACCOUNT)?.unwrap_or_default())
}

/// Why the job could not go on. A photo that cannot be read is never a reason.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
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
    ingest_again(library, catalog, embedder, &Again::Nothing, cancel, events)
}

/// The same, and reads these files again.
pub(crate) fn ingest_again(
    library: &Library,
    catalog: &mut Catalog,
    embedder: &Embedder,
    again: &Again,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Outcome {
    let mut completed = 0;
    let result = run(library, catalog, embedder, again, cancel, events, &mut completed);
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
    again: &Again,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
    completed: &mut u64,
) -> Result<(), IngestError> {
    has_entries(&library.root, cancel).map_err(|error| IngestError::NoFolder(error, library.root.clone()))?;
    events(IngestEvent::Progress(Progress::begin(Stage::LoadingModel, None)));
    let info = embedder.info()?;
    let model = info.key();
    project_features(catalog, &info, cancel, &mut |progress| events(IngestEvent::Progress(progress)))?;

    let Some(mut scan) = scan_folder(library, catalog, model, again, cancel, events)? else { return Ok(()) };
    let gone = std::mem::take(&mut scan.gone);
    // An unplugged drive often leaves its empty folder behind; that is no reason to forget its photos.
    let is_emptied = scan.to_read.is_empty() && scan.unchanged == 0 && !gone.is_empty();
    if is_emptied || scan.is_away {
        let photos = catalog.photo_count()?;
        return Err(IngestError::FolderEmptied(photos, library.root.clone()));
    }
    if !gone.is_empty() {
        // It may have been unplugged while it was looked through.
        check_folder(library, gone.len(), cancel)?;
    }
    catalog.set_fact(COMPLETE, NO)?;
    let drives = scan.account.drives().map(PathBuf::from).collect();
    let to_read = settle(catalog, model, scan, events)?;
    let reader = Reader::new(&library.root, drives, cancel);
    let reading = Reading { library, info: &info, embedder, reader: reader.into(), anew: *again == Again::Everything };
    let some_were_replaced = reading.run(catalog, to_read, cancel, events, completed)?;
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
fn check_folder(library: &Library, photos: usize, cancel: &Cancel) -> Result<(), IngestError> {
    match has_entries(&library.root, cancel) {
        Ok(true) => Ok(()),
        Ok(false) => Err(IngestError::FolderEmptied(photos as u64, library.root.clone())),
        Err(error) => Err(IngestError::NoFolder(error, library.root.clone())),
    }
}

/// `None` after a stop.
fn scan_folder(
    library: &Library,
    catalog: &Catalog,
    model: ModelKey,
    again: &Again,
    cancel: &Cancel,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<Option<Scan>, IngestError> {
    let mut progress = Progress::begin(Stage::Scanning, None);
    events(IngestEvent::Progress(progress.clone()));
    let before = Before {
        photos: catalog.known_files(model.name)?,
        problems: catalog.known_problems()?,
        others: catalog.others()?,
        account: account(catalog)?,
        again: again.clone(),
    };
    let mut reported = Instant::now();
    let scan = scan(&library.root, before, cancel, |seen| {
        progress.done = seen;
        if reported.elapsed() >= REPORT_EVERY {
            events(IngestEvent::Progress(progress.clone()));
            reported = Instant::now();
        }
    });
    match scan {
        Ok(scan) => Ok(Some(scan)),
        Err(ScanError::Stopped) => Ok(None),
        Err(ScanError::Thread(error)) => Err(error.into()),
        Err(ScanError::Root(error)) => Err(IngestError::NoFolder(error, library.root.clone())),
        Err(ScanError::NoAnswer) => Err(IngestError::NoFolder(no_answer(), library.root.clone())),
    }
}

/// Writes what the scan itself has found out; gives the files that are to be read.
fn settle(
    catalog: &mut Catalog,
    model: ModelKey,
    scan: Scan,
    events: &mut dyn FnMut(IngestEvent),
) -> Result<Vec<FoundFile>, IngestError> {
    if !scan.restamped.is_empty() {
        catalog.restamp(&scan.restamped)?;
    }
    if !scan.new_others.is_empty() || !scan.gone_others.is_empty() {
        catalog.change_others(&scan.new_others, &scan.gone_others)?;
    }
    catalog.set_json_fact(ACCOUNT, &scan.account)?;
    let lasting = scan.problems.into_iter().map(Problem::of_any_state);
    let problems: Vec<_> = lasting.chain(scan.stalled.into_iter().map(Problem::of_the_drive)).collect();
    if !scan.solved.is_empty() || !problems.is_empty() {
        catalog.remove(&[], &scan.solved)?;
        let changes = catalog.write(model, Vec::new(), &problems)?;
        events(IngestEvent::Committed(changes));
        events(IngestEvent::ProblemsChanged);
    }
    events(IngestEvent::Scanned(Box::new(Scanned { account: scan.account, folders: scan.folders })));
    Ok(scan.to_read)
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

/// Files that are read, with what that takes.
struct Reading<'a> {
    library: &'a Library,
    info: &'a ModelInfo,
    embedder: &'a Embedder,
    reader: Arc<Reader>,
    /// Also contents that are known are decoded and embedded.
    anew: bool,
}

impl Reading<'_> {
    /// Reads the files and commits what has come of them; gives whether other contents were replaced by that.
    fn run(
        &self,
        catalog: &mut Catalog,
        mut to_read: Vec<FoundFile>,
        cancel: &Cancel,
        events: &mut dyn FnMut(IngestEvent),
        completed: &mut u64,
    ) -> Result<bool, IngestError> {
        let (mut problem_count, mut some_were_replaced) = (catalog.problem_count()? as u64, false);
        for round in 0..=LOOK_AGAIN {
            let (info, reader, anew) = (self.info.clone(), Arc::clone(&self.reader), self.anew);
            let is_last = round == LOOK_AGAIN;
            let read = move |catalog: Option<&Catalog>, file: FoundFile, late: &dyn Fn()| {
                let path = file.path.clone();
                let known = catalog.filter(|_| !anew);
                prepare(&reader, known, &info, file, late, round).unwrap_or_else(|problem| {
                    Read::Finished(match problem {
                        Missing::Unfinished(file) if is_last => Finished::Problem(unfinished(file)),
                        Missing::Unfinished(file) => Finished::Unfinished(file),
                        Missing::Problem(reason, kind) => Finished::Problem(kind.of(Problem { path, reason })),
                        Missing::Gone => Finished::Gone,
                        Missing::Stopped => Finished::Left,
                    })
                })
            };
            let mut unfinished = Vec::new();
            let pipeline = Pipeline { library: self.library, info: self.info, embedder: self.embedder, cancel };
            let total = to_read.len();
            pipeline.run(Stage::Indexing, to_read, read, UnembeddedPhoto::finish, &mut |told| {
                let finished = match told {
                    Told::Progress(progress) => {
                        events(IngestEvent::Progress(Progress { problems: problem_count, ..progress }));
                        return Ok(());
                    }
                    Told::Finished(finished) => finished,
                };
                let (mut photos, mut problems, mut is_doubtful) = (Vec::new(), Vec::new(), false);
                for one in finished {
                    match one {
                        Finished::Photo(photo) => photos.push(photo),
                        Finished::Problem(problem) => {
                            is_doubtful |= problem.passing;
                            problems.push(problem);
                        }
                        Finished::Unfinished(file) => unfinished.push(file),
                        Finished::Gone => is_doubtful = true,
                        Finished::Left => {}
                    }
                }
                if is_doubtful {
                    // Deleted meanwhile; but where all is gone, that was the drive.
                    check_folder(self.library, total, cancel)?;
                }
                if self.reader.is_silent() {
                    return Err(IngestError::NoFolder(no_answer(), self.library.root.clone()));
                }
                *completed += (photos.len() + problems.len()) as u64;
                problem_count += problems.len() as u64;
                let changes = catalog.write(self.info.key(), photos, &problems)?;
                some_were_replaced |= !changes.removed.is_empty();
                events(IngestEvent::Committed(changes));
                if !problems.is_empty() {
                    events(IngestEvent::ProblemsChanged);
                }
                Ok(())
            })?;
            if unfinished.is_empty() || !pause(LOOK_AGAIN_AFTER, cancel) {
                break;
            }
            to_read = unfinished;
        }
        Ok(some_were_replaced)
    }
}

/// `false` after a stop.
fn pause(time: Duration, cancel: &Cancel) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until && !cancel.is_cancelled() {
        std::thread::sleep(LOOK_EVERY);
    }
    !cancel.is_cancelled()
}

enum Finished {
    Photo(NewPhoto),
    Problem(NewProblem),
    /// It is still being written; this is its newest state.
    Unfinished(FoundFile),
    /// Its file was deleted since it was found.
    Gone,
    /// The job was stopped before it was read.
    Left,
}

/// Why there is no photo.
enum Missing {
    Problem(String, ProblemKind),
    Unfinished(FoundFile),
    Gone,
    Stopped,
}

/// What a problem is of.
enum ProblemKind {
    File { stamp: FileStamp, lasting: bool },
    Drive,
}

impl ProblemKind {
    fn of(self, problem: Problem) -> NewProblem {
        let problem = Problem { reason: sanitise_line(&problem.reason, LONGEST_REASON), ..problem };
        match self {
            Self::File { stamp, lasting } => NewProblem { stamp: Some(stamp), lasting, ..problem.of_any_state() },
            Self::Drive => problem.of_the_drive(),
        }
    }
}

fn unfinished(file: FoundFile) -> NewProblem {
    let reason = "The file is still being written; it is read once it is complete".into();
    Problem { path: file.path, reason }.of_the_drive()
}

/// A file that was read: what is still missing is its embedding.
struct UnembeddedPhoto {
    file: FoundFile,
    content: ContentHash,
    thumbnail: Option<Vec<u8>>,
    damage: Option<String>,
    metadata: Metadata,
}

impl UnembeddedPhoto {
    fn finish(self, embedded: Option<Embedded>) -> Finished {
        let Self { file: FoundFile { path, stamp }, content, thumbnail, damage, metadata } = self;
        match embedded {
            Some(embedded) => Finished::Photo(NewPhoto { path, stamp, content, embedded, thumbnail, damage, metadata }),
            None => {
                let reason = "The model gave no usable embedding of this photo".into();
                Finished::Problem(ProblemKind::File { stamp, lasting: false }.of(Problem { path, reason }))
            }
        }
    }
}

/// Reads one file and makes it ready: all of its decoding happens here, once. It need not be embedded where the catalog
/// has an embedding of this content.
fn prepare(
    reader: &Reader,
    catalog: Option<&Catalog>,
    model: &ModelInfo,
    mut file: FoundFile,
    late: &dyn Fn(),
    round: usize,
) -> Result<Read<UnembeddedPhoto, Finished>, Missing> {
    let bytes = match reader.read(&file.path, file.stamp.size as u64, late) {
        Ok((bytes, stamp)) => {
            let is_changing = stamp.size != file.stamp.size || stamp.modified != file.stamp.modified;
            file.stamp = stamp;
            if is_changing {
                return Err(Missing::Unfinished(file));
            }
            bytes
        }
        Err(Unread::Stopped) => return Err(Missing::Stopped),
        Err(Unread::Gone) => return Err(Missing::Gone),
        Err(Unread::NoAnswer) => return Err(Missing::Problem(DecodeError::NoAnswer.to_string(), ProblemKind::Drive)),
        Err(Unread::OfDrive(error)) => {
            let reason = format!("The drive could not read the file. Check the drive and its connection ({error})");
            return Err(Missing::Problem(reason, ProblemKind::Drive));
        }
        Err(Unread::Refused(error)) => return Err(missing(file, &error, round)),
    };
    let content = ContentHash::of(&bytes);
    // A catalog that cannot be asked costs time, not correctness.
    let known = catalog.and_then(|catalog| catalog.embedding_of(content, model.key()).ok().flatten());
    let known = known.map(|embedding| Embedded { embedding, features: None });
    let has_thumbnail = catalog.is_some_and(|catalog| catalog.has_thumbnail(content).unwrap_or(false));
    let metadata = Metadata::of_bytes(&bytes, &file.path);
    let mut photo = UnembeddedPhoto { file, content, thumbnail: None, damage: None, metadata };
    if known.is_some() && has_thumbnail {
        photo.damage = catalog.and_then(|catalog| catalog.damage_of(content).ok().flatten());
        return Ok(Read::Finished(photo.finish(known)));
    }
    let mut make = || {
        let Decoded { picture, damage, size } = decode::decode_photo(&bytes, size_wanted(model.architecture))?;
        photo.metadata.size = photo.metadata.size.or(size);
        photo.damage = damage.map(|words| DecodeError::Spoilt(words).to_string());
        if !has_thumbnail {
            photo.thumbnail = Some(decode::thumbnail(&picture)?);
        }
        known.is_none().then(|| NetworkInput::from_picture(&picture, model.architecture)).transpose()
    };
    match make() {
        Ok(None) => Ok(Read::Finished(photo.finish(known))),
        Ok(Some(input)) => Ok(Read::ToEmbed(photo, input)),
        Err(error) => Err(missing(photo.file, &error, round)),
    }
}

/// A file that was written just now, and cannot be read, may not be complete: it is looked at once more.
fn missing(file: FoundFile, error: &DecodeError, round: usize) -> Missing {
    let age = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64);
        now.saturating_sub(file.stamp.modified)
    };
    match error {
        DecodeError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let reason = format!("You may not read this file; change its permissions ({error})");
            Missing::Problem(reason, ProblemKind::File { stamp: file.stamp, lasting: false })
        }
        _ if round == 0 && !error.is_lasting() && (0..FRESH.as_nanos() as i64).contains(&age()) => {
            Missing::Unfinished(file)
        }
        _ => Missing::Problem(error.to_string(), ProblemKind::File { stamp: file.stamp, lasting: error.is_lasting() }),
    }
}

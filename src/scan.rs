//! The user's folder -> which photo files are new, changed, or gone since the last time.
//!
//! A file is known by its path, size and time; whether a new path holds a known content is seen when it is read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::catalog::{FileStamp, KnownFile, Problem};
use crate::decode::{DecodeError, EXTENSIONS, RAW_EXTENSIONS, unsupported};
use crate::job::Cancel;
use crate::photo::{PhotoId, bytes_to_path, path_to_bytes};

/// Files whose size and time are asked for at once.
const STAT_THREADS: usize = 8;

/// A file that has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Relative to the scanned folder.
    pub path: PathBuf,
    pub stamp: FileStamp,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// New and changed files, and those that the model in use has not embedded; by path.
    pub to_read: Vec<FoundFile>,
    /// Known photos whose files are not there any more.
    pub gone: Vec<PhotoId>,
    /// What could not be looked at, or is a photo of a kind that cannot be read.
    pub problems: Vec<Problem>,
    /// Known files that are as they were.
    pub unchanged: u64,
}

/// Walks `root` and all its sub-folders, links included; hidden files and folders are left out. `seen` is told the
/// number of photo files so far. `None` when cancelled.
pub fn scan(
    root: &Path,
    mut known: HashMap<Vec<u8>, KnownFile>,
    cancel: &Cancel,
    mut seen: impl FnMut(u64),
) -> Option<Scan> {
    let mut scan = Scan::default();
    let mut unread_folders = Vec::new();
    let mut photos = Vec::new();
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        if cancel.is_cancelled() {
            return None;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root);
                let path = path.strip_prefix(root).unwrap_or(path).to_owned();
                unread_folders.push(path.clone());
                scan.problems.push(Problem { path, reason: describe(&error, root) });
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let path = || entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        match kind_of(entry.path()) {
            Kind::Other => {}
            Kind::Unsupported(kind) => {
                let reason = DecodeError::Unsupported(kind).to_string();
                scan.problems.push(Problem { path: path(), reason });
            }
            Kind::Photo => {
                photos.push((path(), entry));
                seen(photos.len() as u64);
            }
        }
    }
    let stamps = stamps(&photos, cancel)?;
    for ((path, _), stamp) in photos.into_iter().zip(stamps) {
        let known_file = known.remove(&path_to_bytes(&path));
        match stamp {
            Ok(stamp) if known_file.is_some_and(|known| known.embedded && known.stamp == stamp) => scan.unchanged += 1,
            Ok(stamp) => scan.to_read.push(FoundFile { path, stamp }),
            Err(error) => {
                scan.problems.push(Problem { path, reason: format!("The file could not be read: {error}") });
            }
        }
    }
    // A folder that could not be entered today has not lost its photos.
    scan.gone = known
        .into_iter()
        .filter(|(path, _)| !unread_folders.iter().any(|folder| bytes_to_path(path).starts_with(folder)))
        .map(|(_, file)| file.id)
        .collect();
    scan.gone.sort_unstable();
    Some(scan)
}

enum Kind {
    Photo,
    Unsupported(String),
    Other,
}

fn kind_of(path: &Path) -> Kind {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if EXTENSIONS.contains(&&*extension) || RAW_EXTENSIONS.contains(&&*extension) {
        return Kind::Photo;
    }
    unsupported(&extension).map_or(Kind::Other, |kind| Kind::Unsupported(kind.into()))
}

/// Dot files, and the folders that network drives keep their own thumbnails in.
fn is_hidden(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    name.starts_with('.') || name == "@eaDir"
}

/// Sizes and times, asked for by several threads at once: a disk, and a drive in the network even more, takes its time for
/// each. `None` when cancelled.
fn stamps(photos: &[(PathBuf, DirEntry)], cancel: &Cancel) -> Option<Vec<Result<FileStamp, walkdir::Error>>> {
    let part = photos.len().div_ceil(STAT_THREADS).max(1);
    let of_part = |part: &[(PathBuf, DirEntry)]| -> Option<Vec<_>> {
        part.iter()
            .map(|(_, entry)| {
                (!cancel.is_cancelled()).then(|| entry.metadata().map(|metadata| FileStamp::from(&metadata)))
            })
            .collect()
    };
    let parts: Option<Vec<Vec<_>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = photos.chunks(part).map(|part| scope.spawn(move || of_part(part))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    Some(parts?.into_iter().flatten().collect())
}

fn describe(error: &walkdir::Error, root: &Path) -> String {
    if let Some(ancestor) = error.loop_ancestor() {
        let ancestor = ancestor.strip_prefix(root).unwrap_or(ancestor);
        return if ancestor.as_os_str().is_empty() {
            "A link that leads back to the folder itself; not followed".into()
        } else {
            format!("A link that leads back to \"{}\"; not followed", ancestor.display())
        };
    }
    match error.io_error() {
        Some(io) if io.kind() == std::io::ErrorKind::NotFound => "Broken link".into(),
        Some(io) => format!("Could not be opened: {io}"),
        None => error.to_string(),
    }
}

//! The user's folder -> which photo files are new, changed, or gone since the last time; and an account of all the rest.
//!
//! A file is known by its path, size and times; whether a new path holds a known content is seen when it is read.

mod account;
mod kinds;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use self::account::Drive;
pub use self::account::{Account, PlainPath};
pub use self::kinds::OtherKind;
use self::walk::{Found, Walk, could_not_open};
use crate::catalog::{FileStamp, KnownFile, KnownProblem, Problem};
use crate::job::Cancel;
use crate::mounts::Mounts;
use crate::photo::{PhotoId, bytes_to_path, path_to_bytes};

/// A file that has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Relative to the scanned folder.
    pub path: PathBuf,
    pub stamp: FileStamp,
}

/// Which files are to be read beside those that are new or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Again {
    #[default]
    Nothing,
    /// Files with a problem; all of them, where none is named.
    Problems(Vec<PathBuf>),
    /// All files, and what is known of their contents is found out anew.
    Everything,
}

impl Again {
    /// What does both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Nothing, other) => other,
            (one, Self::Nothing) => one,
            (Self::Problems(one), Self::Problems(other)) if one.is_empty() || other.is_empty() => {
                Self::Problems(Vec::new())
            }
            (Self::Problems(one), Self::Problems(other)) => Self::Problems([one, other].concat()),
        }
    }

    fn names(&self, path: &Path) -> bool {
        match self {
            Self::Nothing => false,
            Self::Problems(paths) => paths.is_empty() || paths.iter().any(|named| named == path),
            Self::Everything => true,
        }
    }
}

/// What is known from the last time, by the bytes of the paths.
#[derive(Debug, Default)]
pub struct Before {
    pub(crate) photos: HashMap<Vec<u8>, KnownFile>,
    pub(crate) problems: HashMap<Vec<u8>, KnownProblem>,
    /// Files that had to be opened to find out that they are no photos.
    pub(crate) others: HashMap<Vec<u8>, FileStamp>,
    pub(crate) account: Account,
    pub(crate) again: Again,
}

impl From<HashMap<Vec<u8>, KnownFile>> for Before {
    fn from(photos: HashMap<Vec<u8>, KnownFile>) -> Self {
        Self { photos, ..Self::default() }
    }
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// New and changed files, and those that the model in use has not embedded; by path.
    pub to_read: Vec<FoundFile>,
    /// Known photos whose files are not there any more.
    pub gone: Vec<PhotoId>,
    /// What could not be looked at, or is a picture of a kind that cannot be read.
    pub problems: Vec<Problem>,
    /// What was given up because its drive does not answer.
    pub(crate) stalled: Vec<Problem>,
    /// Problems of before that are none any more.
    pub(crate) solved: Vec<PathBuf>,
    /// Known files that are as they were.
    pub unchanged: u64,
    /// Files with a problem that lasts, which are as they were.
    pub(crate) unread_again: u64,
    /// Of unchanged files, where more is known of their state than before.
    pub(crate) restamped: Vec<(PhotoId, FileStamp)>,
    /// Files that were opened, and are no photos.
    pub(crate) new_others: Vec<(PathBuf, FileStamp)>,
    pub(crate) gone_others: Vec<Vec<u8>>,
    pub account: Account,
    /// All folders that were entered, without links.
    pub(crate) folders: Vec<PathBuf>,
    /// The folder is no more on the drive that it was on, and nothing that is known is in it.
    pub(crate) is_away: bool,
}

/// Why a folder could not be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("The scan was stopped")]
    Stopped,
    #[error("The folder could not be listed: {0}")]
    Root(io::Error),
    #[error("A thread could not be started: {0}")]
    Thread(io::Error),
    #[error("The drive does not answer. Check its connection, then try again")]
    NoAnswer,
}

/// Walks `root`, a path without links, and all its sub-folders, links included; hidden files and folders and those of other
/// programs are passed over and counted. `seen` is told the number of photo files so far.
///
/// # Errors
/// When the folder cannot be listed or its drive does not answer; and after a stop.
pub fn scan(
    root: &Path,
    before: impl Into<Before>,
    cancel: &Cancel,
    mut seen: impl FnMut(u64),
) -> Result<Scan, ScanError> {
    let mut before = before.into();
    let mounts = Mounts::read();
    let places = mounts.below(root).filter_map(|mount| Some(mount.point.strip_prefix(root).ok()?.to_owned())).collect();
    let mut walk = Walk::new(root, places, cancel, &mut seen).map_err(ScanError::Thread)?;
    walk.run()?;
    let unknown = sort_unknown(&mut walk, &before)?;
    let mut found = walk.end();
    let mut scan = Scan::default();
    for (path, stamp, is_photo) in unknown {
        if is_photo {
            found.photos.push((path, stamp));
        } else {
            found.account.count(OtherKind::Other);
            let known = before.others.remove(&path_to_bytes(&path));
            if known.is_none_or(|known| known != stamp) {
                scan.new_others.push((path, stamp));
            }
        }
    }
    found.photos.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    // As it is now: what is mounted when it is looked into is mounted now.
    let drives = drives_of(root, &found, &Mounts::read());
    keep_linked_photos(&mut before, &mut found);
    let mut suspects = suspects(&before, &found, &drives);
    for (path, stamp) in std::mem::take(&mut found.photos) {
        let key = path_to_bytes(&path);
        let (known, problem) = (before.photos.remove(&key), before.problems.remove(&key));
        if known.is_some() {
            suspects.iter_mut().filter(|suspect| suspect.holds(&path)).for_each(|suspect| suspect.there += 1);
        }
        let is_named = before.again == Again::Everything || (problem.is_some() && before.again.names(&path));
        match known.filter(|known| known.embedded && known.stamp.agrees_with(&stamp) && !is_named) {
            Some(known) => {
                scan.unchanged += 1;
                if known.stamp != stamp {
                    scan.restamped.push((known.id, stamp));
                }
                if problem.is_some_and(|problem| problem.passing) {
                    scan.solved.push(path);
                }
            }
            None if !is_named && problem.is_some_and(|p| p.lasting.is_some_and(|read| read.agrees_with(&stamp))) => {
                scan.unread_again += 1;
            }
            None => scan.to_read.push(FoundFile { path, stamp }),
        }
    }
    suspects.retain(Suspect::is_away);
    scan.is_away = suspects.iter().any(|suspect| suspect.drive.path.0.as_os_str().is_empty());
    let away = suspects.iter().map(|suspect| Drive { away: Some(suspect.known), ..suspect.drive.clone() });
    let is_there = |drive: &Drive| !suspects.iter().any(|suspect| suspect.drive.path == drive.path);
    found.account.drives = drives.into_values().filter(is_there).chain(away).collect();
    settle(&mut scan, before, found, &suspects);
    Ok(scan)
}

/// Whether each of the files whose names do not tell is a photo; only those are opened of which that is not known.
fn sort_unknown(walk: &mut Walk, before: &Before) -> Result<Vec<(PathBuf, FileStamp, bool)>, ScanError> {
    let unknown = walk.take_unknown();
    let is_known = |path: &Path, stamp: &FileStamp| {
        let key = path_to_bytes(path);
        let is_other = before.others.get(&key).is_some_and(|known| known.agrees_with(stamp));
        if is_other && before.again != Again::Everything {
            return Some(false);
        }
        before.photos.get(&key).filter(|known| known.stamp.agrees_with(stamp)).map(|_| true)
    };
    let of_interest = unknown.iter().filter(|(path, stamp)| stamp.size > 0 && is_known(path, stamp).is_none());
    let to_open: Vec<PathBuf> = of_interest.map(|(path, _)| path.clone()).collect();
    let pictures: HashMap<PathBuf, bool> = walk.sniff(&to_open)?.into_iter().collect();
    // One that could not be asked of is left as it was.
    let is_photo = |path: &Path, stamp: &FileStamp| match is_known(path, stamp) {
        Some(is_photo) => Some(is_photo),
        None if stamp.size == 0 => Some(false),
        None => pictures.get(path).copied(),
    };
    let sorted = unknown.into_iter().filter_map(|(path, stamp)| is_photo(&path, &stamp).map(|is| (path, stamp, is)));
    Ok(sorted.collect())
}

/// A drive that is not where it was.
struct Suspect {
    drive: Drive,
    /// Within it, other drives.
    inner: Vec<PathBuf>,
    /// Photos that are known to be on it.
    known: u64,
    /// Those of them that are there all the same.
    there: u64,
}

impl Suspect {
    fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.drive.path.0) && !self.inner.iter().any(|inner| path.starts_with(inner))
    }

    /// What was on it cannot have been deleted where nothing of it is there: it is elsewhere.
    fn is_away(&self) -> bool {
        self.known > 0 && self.there == 0
    }
}

/// A photo behind a link that leads nowhere is away: its drive is, or has been renamed.
fn keep_linked_photos(before: &mut Before, found: &mut Found) {
    let broken = found.links.iter().filter(|(_, target)| target.is_err());
    let away: Vec<PathBuf> = broken
        .filter(|(link, _)| before.photos.remove(&path_to_bytes(link)).is_some())
        .map(|(link, _)| link.clone())
        .collect();
    for link in away {
        before.problems.remove(&path_to_bytes(&link));
        found.links.remove(&link);
        found.account.away_links.insert(PlainPath(link));
    }
}

/// Drives of before that are not there, or others in their places, and broken links to folders with photos.
fn suspects(before: &Before, found: &Found, now: &BTreeMap<PathBuf, Drive>) -> Vec<Suspect> {
    let is_there = |drive: &Drive| now.get(&drive.path.0).is_some_and(|there| there.identity == drive.identity);
    let may_be_away = |drive: &&Drive| {
        // A link that the user has deleted leads nowhere any more.
        !is_there(drive) && (!drive.is_link || found.links.contains_key(&drive.path.0))
    };
    let mut drives: BTreeMap<PathBuf, Drive> = before.account.drives.iter().filter(may_be_away).map(by_path).collect();
    let folders = known_folders(before, found.links.values().any(Result::is_err));
    for (link, _) in found.links.iter().filter(|(_, target)| target.is_err()) {
        if folders.contains(path_to_bytes(link).as_slice()) {
            let drive = Drive { path: PlainPath(link.clone()), is_link: true, identity: String::new(), away: None };
            drives.entry(link.clone()).or_insert(drive);
        }
    }
    let places: Vec<PathBuf> = drives.keys().chain(now.keys()).cloned().collect();
    let suspect = |drive: Drive| {
        let outer = drive.path.0.as_path();
        let inner = places.iter().filter(|place| *place != outer && place.starts_with(outer)).cloned().collect();
        Suspect { drive, inner, known: 0, there: 0 }
    };
    let mut suspects: Vec<Suspect> = drives.into_values().map(suspect).collect();
    if !suspects.is_empty() {
        for path in before.photos.keys().map(|key| bytes_to_path(key)) {
            suspects.iter_mut().filter(|suspect| suspect.holds(&path)).for_each(|suspect| suspect.known += 1);
        }
    }
    suspects
}

fn by_path(drive: &Drive) -> (PathBuf, Drive) {
    (drive.path.0.clone(), drive.clone())
}

/// All folders with photos in or below them, as bytes; none where nobody wants to know.
fn known_folders(before: &Before, is_wanted: bool) -> HashSet<&[u8]> {
    let paths = before.photos.keys().filter(|_| is_wanted);
    let folders = paths.flat_map(|path| {
        path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| path.get(..end).unwrap_or_default())
    });
    folders.collect()
}

/// The drives within the folder, and the folder's own under the empty path.
fn drives_of(root: &Path, found: &Found, mounts: &Mounts) -> BTreeMap<PathBuf, Drive> {
    let drive = |path: &Path, is_link, identity: &str| Drive {
        path: PlainPath(path.to_owned()),
        is_link,
        identity: identity.to_owned(),
        away: None,
    };
    let mounted = mounts.below(root).filter_map(|mount| Some((mount.point.strip_prefix(root).ok()?, mount)));
    let mounted = mounted.map(|(path, mount)| drive(path, false, &mount.identity));
    let linked = found.links.iter().filter_map(|(link, target)| {
        let mount = mounts.of(&target.as_ref().ok()?.real)?;
        Some(drive(link, true, &mount.identity))
    });
    // A disk may be replaced and what was on it copied back: of the folder's own drive the place counts.
    let own = mounts.of(root).map(|mount| drive(Path::new(""), false, &mount.point.to_string_lossy()));
    own.into_iter().chain(mounted).chain(linked).map(|drive| (drive.path.0.clone(), drive)).collect()
}

const BROKEN_LINK: &str = "Broken link: what it leads to is not there. Connect its drive, or delete the link";

/// What has become of all that was known and not found.
fn settle(scan: &mut Scan, before: Before, mut found: Found, away: &[Suspect]) {
    let is_kept = |path: &Path| found.is_unread(path) || away.iter().any(|suspect| suspect.holds(path));
    let gone = before.photos.iter().filter(|(path, _)| !is_kept(&bytes_to_path(path)));
    scan.gone = gone.map(|(_, file)| file.id).collect();
    scan.gone.sort_unstable();
    scan.gone_others = before.others.into_keys().filter(|path| !is_kept(&bytes_to_path(path))).collect();
    let solved: Vec<PathBuf> = before.problems.keys().map(|path| bytes_to_path(path)).filter(|p| !is_kept(p)).collect();
    for (path, target) in found.links.into_iter().collect::<BTreeMap<_, _>>() {
        if let Err(error) = target
            && !away.iter().any(|suspect| suspect.drive.path.0 == path)
        {
            let reason = match error.kind() {
                io::ErrorKind::NotFound => BROKEN_LINK.into(),
                _ => could_not_open(&error),
            };
            found.problems.push(Problem { path, reason });
        }
    }
    let still: HashSet<&Path> = found.problems.iter().chain(&found.stalled).map(|problem| &*problem.path).collect();
    scan.solved.extend(solved.into_iter().filter(|path| !still.contains(&**path)));
    scan.problems = found.problems;
    scan.stalled = found.stalled;
    scan.folders = found.folders;
    scan.account = found.account;
}

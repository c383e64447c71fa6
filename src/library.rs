//! Where things lie on disk: the program's own data folder, and in it one folder for each library.
//!
//! The user's folder is only ever read. All that is written is the catalog of it, here.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::artefact::ModelFolder;
use crate::atomic_file::{self, Survives};
use crate::patience::real_folder;
use crate::photo::{bytes_to_path, hex, path_to_bytes};

/// The folder of the program's own data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The given folder, or the system's place for a program's data.
    ///
    /// # Errors
    /// When the system names no such place, or the folder cannot be made.
    pub fn open(chosen: Option<PathBuf>) -> io::Result<Self> {
        let folder = match chosen {
            Some(folder) => std::path::absolute(folder)?,
            None => directories::ProjectDirs::from("", "", "florascope")
                .ok_or_else(|| io::Error::other("the system names no home folder; use --data-dir"))?
                .data_dir()
                .to_owned(),
        };
        std::fs::create_dir_all(&folder)
            .map_err(|error| io::Error::new(error.kind(), format!("{error}: {}", folder.display())))?;
        Ok(Self(folder))
    }

    /// The file with the window's settings.
    pub fn settings_file(&self) -> PathBuf {
        self.0.join("settings.json")
    }

    /// The folder of the log and of reports of what should not happen.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The models on this computer.
    pub fn models(&self) -> ModelFolder {
        ModelFolder::new(self.0.join("models"))
    }

    /// The folder of the sample garden.
    pub fn garden(&self) -> PathBuf {
        self.0.join("Sample garden")
    }

    /// The place for the library of a user's folder.
    ///
    /// # Errors
    /// When the folder is not there or cannot be entered, or its drive does not answer.
    pub fn library(&self, photos: &Path) -> io::Result<Library> {
        let root = real_folder(photos)?;
        let libraries = self.0.join("libraries");
        let id = hex(&Sha256::digest(path_to_bytes(&root))[..8]);
        // One whose folder was moved keeps the name that it got where it was made.
        let belongs = |library: &Library| library.root == root;
        let usual = Library { root: root.clone(), folder: libraries.join(&id) };
        if named_root(&usual.folder).is_ok_and(|named| named.as_ref() == Some(&root)) {
            return Ok(usual);
        }
        if let Some(moved) = self.libraries().unwrap_or_default().into_iter().find(belongs) {
            return Ok(moved);
        }
        let places = (2..).map(|number| libraries.join(format!("{id}-{number}")));
        let mut places = std::iter::once(usual.folder).chain(places);
        // A place that cannot be read is none that could be taken, but says so best itself.
        let folder = places.find(|folder| !matches!(named_root(folder), Ok(Some(_))));
        Ok(Library { root, folder: folder.unwrap_or_default() })
    }

    /// Every library that there is, whether its folder is there now or not; the one opened last comes first.
    ///
    /// # Errors
    /// When the program's data cannot be listed.
    pub(crate) fn libraries(&self) -> io::Result<Vec<Library>> {
        let entries = match std::fs::read_dir(self.0.join("libraries")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut libraries: Vec<_> = entries
            .filter_map(|entry| {
                let folder =
                    entry.inspect_err(|error| log::warn!("A library could not be listed: {error}")).ok()?.path();
                opened_library(&folder).unwrap_or_else(|error| {
                    log::warn!("A library could not be listed ({error}): {}", folder.display());
                    None
                })
            })
            .collect();
        libraries.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.root.cmp(&b.1.root)));
        Ok(libraries.into_iter().map(|(_, library)| library).collect())
    }
}

/// Why the program's data cannot be written, where they can be read all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    ReadOnly,
    NotPermitted,
    DiskFull,
}

impl Obstacle {
    /// `None` for an error of another kind.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            io::ErrorKind::PermissionDenied => Some(Self::NotPermitted),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::DiskFull),
            _ => None,
        }
    }
}

/// Names the user's folder that a library's folder belongs to, as bytes. Its time is when the library was last opened for
/// writing, and it is locked while that lasts.
const ROOT_FILE: &str = "root";
/// What the names of folders begin with whose libraries were forgotten, until they are deleted.
const FORGOTTEN: &str = ".forgotten-";

/// The user's folder that a library's folder belongs to; `None` where it belongs to none, or is not there.
fn named_root(folder: &Path) -> io::Result<Option<PathBuf>> {
    match std::fs::read(folder.join(ROOT_FILE)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // A kill of the first version may have left it empty.
        root => root.map(|root| (!root.is_empty()).then(|| bytes_to_path(&root))),
    }
}

/// When the library in a folder was last opened, and the library; `None` where none was ever opened there.
fn opened_library(folder: &Path) -> io::Result<Option<(SystemTime, Library)>> {
    if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FORGOTTEN)) {
        return Ok(None);
    }
    let Some(root) = named_root(folder)? else { return Ok(None) };
    let library = Library { root, folder: folder.to_owned() };
    Ok(Some((library.last_opened()?, library)))
}

/// A user's folder, and the folder of the catalog that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The user's folder, absolute, without links. Never written to.
    pub root: PathBuf,
    /// The catalog's folder, among the program's data.
    pub folder: PathBuf,
}

impl Library {
    /// Takes the right to write this library's catalog, until the returned lock is dropped or the process ends;
    /// `None` where another process has it.
    ///
    /// # Errors
    /// When the catalog's folder cannot be written.
    pub fn lock(&self) -> io::Result<Option<WriterLock>> {
        std::fs::create_dir_all(&self.folder)?;
        let lock = self.try_lock()?;
        if let Some(lock) = &lock {
            lock.root.set_modified(SystemTime::now())?;
        }
        Ok(lock)
    }

    /// As [`Library::lock`], for a library that there is already: it does not become the one opened last.
    ///
    /// # Errors
    /// When the catalog's folder cannot be written, or has come to belong to another of the user's folders.
    pub(crate) fn try_lock(&self) -> io::Result<Option<WriterLock>> {
        self.lock_from(&self.root)
    }

    /// Makes the library that of another folder of the user's, to which its photos were moved, and takes the right to
    /// write it; `None` where another process has that. A kill leaves it with the one folder or with the other.
    ///
    /// # Errors
    /// When the catalog's folder cannot be written, or belongs to another folder already.
    pub(crate) fn move_to(&self, root: PathBuf) -> io::Result<Option<(Self, WriterLock)>> {
        let moved = Self { root, folder: self.folder.clone() };
        let Some(lock) = moved.lock_from(&self.root)? else { return Ok(None) };
        lock.root.set_modified(SystemTime::now())?;
        Ok(Some((moved, lock)))
    }

    /// Takes the right to write where the folder belongs to `root`, or to none yet.
    fn lock_from(&self, root: &Path) -> io::Result<Option<WriterLock>> {
        let file = File::create(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {
                let path = self.folder.join(ROOT_FILE);
                match named_root(&self.folder)? {
                    Some(named) if named == self.root => {}
                    // Another process was faster.
                    Some(named) if named != root => {
                        return Err(io::Error::other(format!("it belongs to {} by now", named.display())));
                    }
                    _ => atomic_file::write(&path, &path_to_bytes(&self.root), Survives::PowerCut)?,
                }
                let root = File::options().read(true).write(true).open(path)?;
                // Waits for those who just ask, never for another writer.
                root.lock()?;
                Ok(Some(WriterLock { _lock: file, root }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Deletes all that the program has of this library; the user's folder is not touched. It is gone from the list at
    /// once, and a kill leaves nothing that could be opened.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub(crate) fn forget(&self, _lock: &WriterLock) -> io::Result<()> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        std::fs::rename(&self.folder, parent.join(format!("{FORGOTTEN}{name}-{}", std::process::id())))?;
        // And what kills have left.
        for entry in std::fs::read_dir(parent)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(FORGOTTEN) {
                match std::fs::remove_dir_all(entry.path()) {
                    // Another process deletes it at the same moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
        }
        Ok(())
    }

    /// Whether it has ever been opened.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) fn is_known(&self) -> io::Result<bool> {
        Ok(named_root(&self.folder)?.is_some())
    }

    /// When the library was last opened for writing.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) fn last_opened(&self) -> io::Result<SystemTime> {
        self.folder.join(ROOT_FILE).metadata()?.modified()
    }

    /// What the program's data of this library take, in bytes.
    pub(crate) fn size(&self) -> u64 {
        let entries = walkdir::WalkDir::new(&self.folder).into_iter().flatten();
        let files = entries.filter_map(|entry| entry.metadata().ok()).filter(|metadata| metadata.is_file());
        files.map(|metadata| metadata.len()).sum()
    }

    /// Counts the library as the one opened last. Whoever takes its lock does that already.
    ///
    /// # Errors
    /// When the catalog's folder cannot be written.
    pub(crate) fn mark_opened(&self) -> io::Result<()> {
        File::options().write(true).open(self.folder.join(ROOT_FILE))?.set_modified(SystemTime::now())
    }

    /// Whether another process has the right to write. Asking turns no writer away.
    pub(crate) fn is_in_use(&self) -> bool {
        // Not the lock file itself: who takes that at the same moment would find it taken.
        File::open(self.folder.join(ROOT_FILE))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The file with what was measured of this computer's speed: one for all libraries.
    pub(crate) fn speed_file(&self) -> PathBuf {
        self.file_of_all("speed.json")
    }

    /// The file with what the last trainings took: one for all libraries.
    pub(crate) fn trainings_file(&self) -> PathBuf {
        self.file_of_all("trainings.json")
    }

    fn file_of_all(&self, name: &str) -> PathBuf {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder).join(name)
    }

    /// The user's folder's name, for people.
    pub(crate) fn name(&self) -> String {
        let name = self.root.file_name().unwrap_or(self.root.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

/// The right to write a library's catalog.
#[derive(Debug)]
pub struct WriterLock {
    /// The right itself.
    _lock: File,
    /// Tells those who ask.
    root: File,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_library_however_it_is_named() {
        let data = tempfile::tempdir().unwrap();
        let photos = tempfile::tempdir().unwrap();
        std::fs::create_dir(photos.path().join("a")).unwrap();
        let data = DataFolder::open(Some(data.path().into())).unwrap();
        let plain = data.library(photos.path()).unwrap();
        assert_eq!(plain, data.library(&photos.path().join("a/..")).unwrap());
        assert_ne!(plain, data.library(&photos.path().join("a")).unwrap());
        assert!(data.library(&photos.path().join("none")).is_err());
    }

    #[test]
    fn only_one_may_write() {
        let data = tempfile::tempdir().unwrap();
        let library = Library { root: "/".into(), folder: data.path().into() };
        let first = library.lock().unwrap();
        assert!(first.is_some());
        assert!(library.lock().unwrap().is_none());
        drop(first);
        assert!(library.lock().unwrap().is_some());
    }

    #[test]
    fn asking_whether_it_is_in_use_turns_no_writer_away() {
        let data = tempfile::tempdir().unwrap();
        let library = Library { root: "/".into(), folder: data.path().into() };
        assert!(!library.is_in_use());
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| (0..50_000).filter(|_| library.is_in_use()).count());
            while !asking.is_finished() {
                assert!(library.lock().unwrap().is_some());
                // Not locked for a while, so that the next time may meet somebody who asks.
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        let lock = library.lock().unwrap();
        assert!(library.is_in_use());
        drop(lock);
        assert!(!library.is_in_use());
    }

    #[test]
    fn only_libraries_that_name_a_folder_are_listed_the_last_one_first() {
        let place = tempfile::tempdir().unwrap();
        let data = DataFolder::open(Some(place.path().into())).unwrap();
        let library =
            |number: &str| Library { root: number.into(), folder: place.path().join("libraries").join(number) };
        for number in ["0", "1", "2"] {
            drop(library(number).lock().unwrap());
        }
        std::fs::write(library("1").folder.join(ROOT_FILE), b"").unwrap();
        std::fs::create_dir(library("3").folder).unwrap();
        std::fs::write(place.path().join("libraries/file"), b"").unwrap();
        assert_eq!(data.libraries().unwrap(), [library("2"), library("0")]);
        // The same folder once more: nothing is written but the time.
        drop(library("0").lock().unwrap());
        assert_eq!(data.libraries().unwrap(), [library("0"), library("2")]);
    }

    #[test]
    fn a_kill_leaves_no_library_without_its_folder() {
        let data = tempfile::tempdir().unwrap();
        let library = Library { root: "/flowers".into(), folder: data.path().into() };
        drop(library.lock().unwrap());
        // Keeps what the name stands for now: it may not be cut to nothing before the new name is there.
        let kept = data.path().join("kept");
        std::fs::hard_link(data.path().join(ROOT_FILE), &kept).unwrap();
        drop(library.move_to("/other".into()).unwrap());
        assert_eq!(std::fs::read(kept).unwrap(), b"/flowers");
        assert_eq!(std::fs::read(data.path().join(ROOT_FILE)).unwrap(), b"/other");
    }

    #[test]
    fn a_library_that_was_moved_is_found_and_leaves_its_old_place_to_others() {
        let place = tempfile::tempdir().unwrap();
        let data = DataFolder::open(Some(place.path().join("data"))).unwrap();
        let [old, new] = ["old", "new"].map(|name| place.path().canonicalize().unwrap().join(name));
        std::fs::create_dir(&old).unwrap();
        let library = data.library(&old).unwrap();
        drop(library.lock().unwrap());
        std::fs::rename(&old, &new).unwrap();
        let (moved, lock) = library.move_to(new.clone()).unwrap().unwrap();
        assert!(moved.is_in_use() && library.move_to(new.clone()).unwrap().is_none());
        drop(lock);
        assert_eq!(data.library(&new).unwrap(), moved);
        assert_eq!(moved.folder, library.folder);
        // Who still takes it for that of the old folder is refused, and does not take it back.
        let error = library.lock().unwrap_err().to_string();
        assert!(error.contains("/new"), "{error}");
        assert!(library.move_to("/third".into()).is_err());
        std::fs::create_dir(&old).unwrap();
        let second = data.library(&old).unwrap();
        assert_ne!(second.folder, moved.folder);
        drop(second.lock().unwrap());
        assert_eq!(data.library(&old).unwrap(), second);
        assert_eq!(data.libraries().unwrap(), [second, moved]);
    }

    #[test]
    fn what_is_forgotten_is_gone_and_what_a_kill_left_of_it_too() {
        let place = tempfile::tempdir().unwrap();
        let photos = tempfile::tempdir().unwrap();
        let data = DataFolder::open(Some(place.path().into())).unwrap();
        let library = data.library(photos.path()).unwrap();
        let lock = library.lock().unwrap().unwrap();
        let left = place.path().join("libraries/.forgotten-x-1");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(ROOT_FILE), b"/left").unwrap();
        assert_eq!(data.libraries().unwrap(), std::slice::from_ref(&library));
        library.forget(&lock).unwrap();
        assert_eq!(data.libraries().unwrap(), []);
        assert_eq!(std::fs::read_dir(place.path().join("libraries")).unwrap().count(), 0);
        assert!(data.library(photos.path()).unwrap().lock().unwrap().is_some());
    }
}

//! Where things lie on disk: the program's own data folder, and in it one folder for each library.
//!
//! The user's folder is only ever read. All that is written is the catalog of it, here.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::artefact::ModelFolder;
use crate::photo::{bytes_to_path, path_to_bytes};

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
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// The file with the window's settings.
    pub fn settings_file(&self) -> PathBuf {
        self.0.join("settings.json")
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
    /// When the folder is not there or cannot be entered.
    pub fn library(&self, photos: &Path) -> io::Result<Library> {
        let root = photos.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
        }
        let digest = Sha256::digest(path_to_bytes(&root));
        let id: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Library { root, folder: self.0.join("libraries").join(id) })
    }

    /// Every library that there is, whether its folder is there now or not; the one opened last comes first.
    ///
    /// # Errors
    /// When the program's data cannot be listed.
    pub fn libraries(&self) -> io::Result<Vec<Library>> {
        let entries = match std::fs::read_dir(self.0.join("libraries")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut libraries: Vec<_> = entries
            .filter_map(|entry| {
                let folder = entry.ok()?.path();
                let file = folder.join(ROOT_FILE);
                // Written anew whenever the library is opened for writing.
                let opened = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
                let root = bytes_to_path(&std::fs::read(file).ok()?);
                Some((opened, Library { root, folder }))
            })
            .collect();
        libraries.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.root.cmp(&b.1.root)));
        Ok(libraries.into_iter().map(|(_, library)| library).collect())
    }
}

/// Names the user's folder that a library's folder belongs to, as bytes.
const ROOT_FILE: &str = "root";

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
        if lock.is_some() {
            std::fs::write(self.folder.join(ROOT_FILE), path_to_bytes(&self.root))?;
        }
        Ok(lock)
    }

    /// As [`Library::lock`], for a library that there is already: it does not become the one opened last.
    ///
    /// # Errors
    /// When the catalog's folder cannot be written.
    pub fn try_lock(&self) -> io::Result<Option<WriterLock>> {
        let file = File::create(self.folder.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(WriterLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether another process has the right to write.
    pub fn is_in_use(&self) -> bool {
        File::open(self.folder.join("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The file with what was measured of this computer's speed: one for all libraries.
    pub fn speed_file(&self) -> PathBuf {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder).join("speed.json")
    }

    /// The user's folder's name, for people.
    pub fn name(&self) -> String {
        let name = self.root.file_name().unwrap_or(self.root.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

/// The right to write a library's catalog.
#[derive(Debug)]
pub struct WriterLock {
    _file: File,
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
}

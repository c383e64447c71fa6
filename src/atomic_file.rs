//! Files that are written whole or not at all.
//!
//! The bytes go to a file beside the wanted one, which takes that one's name when it is complete: who reads sees the old
//! file or the new one, never a part. What a kill leaves beside is deleted by the next write into the same folder.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

const PREFIX: &str = ".florascope-";
const SUFFIX: &str = ".partial";

/// What a file that was written survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    /// The end of the program at any moment.
    Kill,
    /// That of the computer, too; writing then waits for the disk.
    PowerCut,
}

/// Replaces the file at `path`, or makes it.
///
/// # Errors
/// When it cannot be written; what was there before is there still.
pub(crate) fn write(path: &Path, bytes: &[u8], survives: Survives) -> io::Result<()> {
    let mut partial = Partial::beside(path)?;
    partial.0.write_all(bytes)?;
    partial.persist(path, survives)
}

/// A file that has no name of its own yet; deleted if it never gets one. For writers that want a path; all others use
/// [`write()`].
pub(crate) struct Partial(NamedTempFile);

impl Partial {
    /// An empty file in the folder of `path`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let folder = folder_of(path);
        delete_leftovers(folder);
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What any new file has, which the umask then narrows.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        loop {
            let file = builder.tempfile_in(folder)?;
            // Tells others that it is no leftover. Where a file system knows no locks, nobody deletes leftovers either.
            let locked = file.as_file().lock();
            // Another process may have taken it for one before.
            if locked.is_err() || file.path().exists() {
                return Ok(Self(file));
            }
        }
    }

    /// Where it lies, to be opened and written.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it the name `path`, in the folder that it was made in.
    ///
    /// # Errors
    /// When that cannot be done; what was at `path` before is there still.
    pub(crate) fn persist(self, path: &Path, survives: Survives) -> io::Result<()> {
        if survives == Survives::PowerCut {
            self.0.as_file().sync_all()?;
        }
        self.0.persist(path).map_err(|error| error.error)?;
        // The new name, too, has to reach the disk; Windows opens no folders and needs none of this.
        #[cfg(unix)]
        if survives == Survives::PowerCut {
            File::open(folder_of(path))?.sync_all()?;
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A leftover is a file of ours that no process holds.
fn delete_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            // Deleted while the lock is held: who made it a moment ago sees that it is gone.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_reader_keeps_the_old_file_whole_until_it_opens_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for survives in [Survives::Kill, Survives::PowerCut] {
            write(&path, b"old", survives).unwrap();
            let reader = File::open(&path).unwrap();
            write(&path, b"new", survives).unwrap();
            assert_eq!(io::read_to_string(reader).unwrap(), "old");
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_all_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        for path in [&taken, Path::new("/"), Path::new(""), &folder.path().join("none/a")] {
            assert!(write(path, b"new", Survives::Kill).is_err(), "{}", path.display());
        }
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn the_next_write_deletes_what_a_kill_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let killed = Partial::beside(&path).unwrap();
        std::fs::write(killed.path(), b"half").unwrap();
        // A killed process deletes nothing, and the system takes back its locks.
        drop(killed.0.keep().unwrap());
        std::fs::write(folder.path().join("b.partial"), b"the user's").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        let others = Partial::beside(&path).unwrap();
        write(&path, b"whole", Survives::Kill).unwrap();
        let name = others.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(names(folder.path()), [name, "a", "b.partial"]);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_they_may_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        std::fs::write(folder.path().join("usual"), b"").unwrap();
        write(&folder.path().join("ours"), b"", Survives::Kill).unwrap();
        assert_eq!(mode("ours"), mode("usual"));
    }
}

//! A folder that was renamed, or a drive that is mounted elsewhere, known again by its contents.
//!
//! A library's photos are looked for in a new folder, a sample of them by path, size and time: no file is read, and the
//! folder is not looked through. A library whose photos are still where they were is never taken for a moved one, so a
//! copy of a folder is a folder of its own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, CatalogError, FileStamp};
use crate::library::{DataFolder, Library};

/// Photos of a library that are looked for.
const SAMPLE: usize = 64;
/// Of so many photos in the sample...
const OF: usize = 3;
/// ... so many have to be there: some may have been deleted or changed meanwhile.
const HAVE_TO_BE_THERE: usize = 2;
/// File systems keep times no more exactly than this, in nanoseconds.
const SAME_TIME: u64 = 2_000_000_000;

/// The library whose photos are in `root` now, and no more where they were. Only for a folder without a library.
pub(crate) fn recognise(data: &DataFolder, root: &Path) -> Option<Library> {
    let libraries = data.libraries().unwrap_or_default();
    let found = libraries.into_iter().filter_map(|library| {
        let sample = sample(&library).inspect_err(|error| log::warn!("{error}")).ok()?;
        let there = sample.iter().filter(|(path, stamp)| is_there(root, path, *stamp)).count();
        let is_it = there > 0 && there * OF >= sample.len() * HAVE_TO_BE_THERE;
        (is_it && is_gone(&library.root, &sample)).then_some((there, library))
    });
    // Of several the largest; `rev` because of equal ones the last is taken: the one opened last.
    let mut found: Vec<_> = found.collect();
    found.reverse();
    found.into_iter().max_by_key(|(there, _)| *there).map(|(_, library)| library)
}

type Sample = Vec<(PathBuf, FileStamp)>;

fn sample(library: &Library) -> Result<Sample, CatalogError> {
    Catalog::open_read_only(&library.folder)?.map_or(Ok(Vec::new()), |catalog| catalog.sample(SAMPLE))
}

fn is_there(root: &Path, path: &Path, stamp: FileStamp) -> bool {
    root.join(path).metadata().is_ok_and(|metadata| metadata.is_file() && agree(FileStamp::from(&metadata), stamp))
}

fn agree(one: FileStamp, other: FileStamp) -> bool {
    one.size == other.size && one.modified.abs_diff(other.modified) <= SAME_TIME
}

/// Whether none of these photos is in `root`. Where that cannot be found out, they are not gone.
fn is_gone(root: &Path, sample: &Sample) -> bool {
    sample.iter().all(|(path, stamp)| match root.join(path).metadata() {
        Ok(metadata) => !agree(FileStamp::from(&metadata), *stamp),
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::catalog::{ModelKey, NewPhoto};
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, Embedded, Embedding};

    struct Place {
        folder: tempfile::TempDir,
        data: DataFolder,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let data = DataFolder::open(Some(folder.path().join("data"))).unwrap();
            Self { folder, data }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().canonicalize().unwrap().join(name)
        }

        /// A folder of so many photos, and its library.
        fn library(&self, name: &str, photos: u8) -> Library {
            let root = self.path(name);
            std::fs::create_dir_all(root.join("roses")).unwrap();
            let library = self.data.library(&root).unwrap();
            let _lock = library.lock().unwrap();
            let mut catalog = Catalog::open(&library.folder).unwrap();
            let photo = |number: u8| {
                let path = PathBuf::from(format!("roses/{number}.jpg"));
                std::fs::write(root.join(&path), vec![number; usize::from(number) + 1]).unwrap();
                NewPhoto {
                    stamp: FileStamp::from(&root.join(&path).metadata().unwrap()),
                    path,
                    content: ContentHash([number; 16]),
                    embedded: Embedded { embedding: Embedding::normalised(vec![1.0]).unwrap(), features: None },
                    thumbnail: None,
                    damage: None,
                    metadata: Metadata::default(),
                }
            };
            catalog.write(ModelKey::features("m"), (0..photos).map(photo).collect(), &[]).unwrap();
            library
        }

        fn rename(&self, from: &str, to: &str) -> PathBuf {
            std::fs::rename(self.path(from), self.path(to)).unwrap();
            self.path(to)
        }
    }

    #[test]
    fn a_renamed_folder_is_known_again_also_with_some_photos_more_and_less() {
        let place = Place::new();
        let library = place.library("Garden", 200);
        let moved = place.rename("Garden", "Old garden");
        assert_eq!(recognise(&place.data, &moved), Some(library.clone()));
        for number in 0..50 {
            std::fs::remove_file(moved.join(format!("roses/{number}.jpg"))).unwrap();
            std::fs::write(moved.join(format!("new {number}.jpg")), b"new").unwrap();
        }
        // What an unplugged drive leaves behind: its mount point, with nothing in it.
        std::fs::create_dir(place.path("Garden")).unwrap();
        assert_eq!(recognise(&place.data, &moved), Some(library));
        for number in 50..100 {
            std::fs::remove_file(moved.join(format!("roses/{number}.jpg"))).unwrap();
        }
        assert_eq!(recognise(&place.data, &moved), None, "half of it is no clear majority");
    }

    #[test]
    fn a_copy_is_no_move() {
        let place = Place::new();
        place.library("Garden", 9);
        let moved = place.rename("Garden", "Copy");
        // All but one have been moved away so far.
        std::fs::create_dir_all(place.path("Garden/roses")).unwrap();
        std::fs::hard_link(moved.join("roses/3.jpg"), place.path("Garden/roses/3.jpg")).unwrap();
        assert_eq!(recognise(&place.data, &moved), None);
    }

    #[test]
    fn the_same_names_are_not_the_same_photos() {
        let place = Place::new();
        place.library("Garden", 9);
        let moved = place.rename("Garden", "Other");
        for number in 0..9 {
            let file = std::fs::File::options().write(true).open(moved.join(format!("roses/{number}.jpg"))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        }
        assert_eq!(recognise(&place.data, &moved), None);
    }

    #[test]
    fn of_several_the_one_with_more_photos_and_then_the_last_is_meant() {
        let place = Place::new();
        let [small, large] = [("a", 5), ("b", 50)].map(|(name, photos)| place.library(name, photos));
        let moved = place.rename("b", "moved");
        // What was in "a" is a part of it.
        for number in 0..5 {
            let name = format!("roses/{number}.jpg");
            let time = place.path("a").join(&name).metadata().unwrap().modified().unwrap();
            std::fs::File::open(moved.join(&name)).unwrap().set_modified(time).unwrap();
        }
        place.rename("a", "away");
        assert_eq!(recognise(&place.data, &moved), Some(large));
        assert_eq!(recognise(&place.data, &place.path("away")), Some(small));
        assert_eq!(recognise(&place.data, &place.path("none")), None);
    }
}

//! What holds whatever the input: the order of photos, the best results, what a scan finds, addresses of files. Each test
//! compares the program with a plain model of it on random inputs, other ones at each run (`common/random.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use common::random::{Random, any, new_seed};
use common::write_file;
use florascope::catalog::{Changes, FileStamp, KnownFile};
use florascope::desktop::{file_uri, pasted_path};
use florascope::filter::{Choice, Filter};
use florascope::index::Index;
use florascope::job::Cancel;
use florascope::metadata::Metadata;
use florascope::photo::{ContentHash, Embedding, HalfEmbedding, Metric, Photo, PhotoId, path_to_bytes};
use florascope::query::{Gallery, Order};
use florascope::scan::scan;

/// Parts of names: such that names begin like others, and come before and after the separator in the order of bytes.
const PARTS: [&[u8]; 10] = [b"a", b"b", b"ab", b"\x01", b"-", b" ", b"%2F", b"\xff", "é".as_bytes(), b"rose"];

/// A name of one to three parts.
fn name(random: &mut Random) -> OsString {
    let parts: Vec<&[u8]> = (0..=random.below(3)).map(|_| *any(random, &PARTS)).collect();
    OsStr::from_bytes(&parts.concat()).to_owned()
}

/// A relative path of up to three folders and a name.
fn path(random: &mut Random) -> PathBuf {
    (0..=random.below(4)).map(|_| name(random)).collect()
}

/// The same with an ending, which no folder has: a name is not both.
fn photo_path(random: &mut Random) -> PathBuf {
    path(random).with_extension("jpg")
}

#[test]
fn a_gallery_keeps_folders_together_and_filters_as_paths_do() {
    let random = &mut Random::new(new_seed());
    for _ in 0..100 {
        let mut gallery = Gallery::new(2, Metric::Cosine);
        let mut model: BTreeMap<PathBuf, PhotoId> = BTreeMap::new();
        let mut next_id = 1;
        for _ in 0..random.below(6) {
            let mut changes = Changes::default();
            for _ in 0..random.below(12) {
                let path = photo_path(random);
                if model.contains_key(&path) {
                    continue;
                }
                let id = PhotoId(next_id);
                next_id += 1;
                model.insert(path.clone(), id);
                let photo = Photo::new(id, path, ContentHash([0; 16]), Metadata::default());
                changes.added.push((photo, Embedding::normalised(vec![1.0, random.unit() as f32]).unwrap()));
            }
            gallery.apply(changes);
            let gone: Vec<PathBuf> = model.keys().filter(|_| random.below(4) == 0).cloned().collect();
            let removed = gone.iter().map(|path| model.remove(path).unwrap()).collect();
            gallery.apply(Changes { removed, ..Changes::default() });
        }
        let shown = |filter: &Filter| -> Vec<(PathBuf, PhotoId)> {
            gallery
                .browse(filter, Order::Folder)
                .into_iter()
                .map(|hit| (hit.photo.path.clone(), hit.photo.id))
                .collect()
        };
        // Which order that is, the names' own tests say.
        let all = shown(&Filter::default());
        assert_eq!(all.iter().cloned().collect::<BTreeMap<_, _>>(), model);
        assert_eq!(all.len(), model.len());
        let wanted = |admits: &dyn Fn(&Path) -> bool| -> Vec<(PathBuf, PhotoId)> {
            all.iter().filter(|(path, _)| admits(path)).cloned().collect()
        };
        let folders: BTreeSet<&Path> = model.keys().flat_map(|path| path.ancestors().skip(1)).collect();
        let named: BTreeMap<PathBuf, usize> = folders
            .iter()
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(|folder| ((*folder).to_owned(), model.keys().filter(|path| path.starts_with(folder)).count()))
            .collect();
        let listed = gallery.facets().folders;
        assert_eq!(listed.len(), named.len());
        assert_eq!(listed.into_iter().collect::<BTreeMap<_, _>>(), named);
        for folder in folders {
            let places: Vec<usize> = (0..all.len()).filter(|place| all[*place].0.starts_with(folder)).collect();
            assert!(places.windows(2).all(|two| two[1] == two[0] + 1), "{folder:?} is in pieces: {all:?}");
            assert_eq!(
                shown(&Filter::only(Choice::Folder(folder.to_owned()))),
                wanted(&|path| path.starts_with(folder))
            );
            if let Some(label) = folder.file_name() {
                let is_in = |path: &Path| path.parent().and_then(Path::file_name) == Some(label);
                assert_eq!(shown(&Filter::only(Choice::Label(label.to_owned()))), wanted(&is_in));
            }
        }
    }
}

/// Embeddings of small whole numbers, which half precision holds exactly: so distances are exact, and many are equal.
fn whole_numbers(random: &mut Random, dimension: usize) -> Embedding {
    let values = (0..dimension).map(|_| random.below(5) as f32 - 2.0).collect();
    Embedding::new(values, Metric::Euclidean).unwrap()
}

#[test]
fn the_best_results_are_those_that_sorting_gives() {
    let random = &mut Random::new(new_seed());
    for _ in 0..60 {
        let dimension = 1 + random.below(40);
        let mut index = Index::new(dimension, Metric::Euclidean);
        let mut model: BTreeMap<PhotoId, Embedding> = BTreeMap::new();
        // Beyond a few thousand the search thins out what it has found on its way.
        for id in 0..*any(random, &[0, 1, 7, 300, 5000]) {
            let (id, embedding) = (PhotoId(id), whole_numbers(random, dimension));
            assert!(index.add(id, &HalfEmbedding::from(&embedding)));
            model.insert(id, embedding);
        }
        let gone: Vec<PhotoId> = model.keys().filter(|_| random.below(5) == 0).copied().collect();
        index.remove(&gone);
        model.retain(|id, _| !gone.contains(id));
        // New photos take the places of those that are gone.
        for id in (10_000..).take(random.below(50)).map(PhotoId) {
            let embedding = whole_numbers(random, dimension);
            index.add(id, &HalfEmbedding::from(&embedding));
            model.insert(id, embedding);
        }
        let query = whole_numbers(random, dimension);
        let sorted = |admits: &dyn Fn(PhotoId) -> bool| -> Vec<(PhotoId, f32)> {
            let squares = |other: &Embedding| -> f32 {
                query.values().iter().zip(other.values()).map(|(a, b)| (a - b) * (a - b)).sum()
            };
            let scored = model.iter().filter(|(id, _)| admits(**id));
            let mut scored: Vec<_> = scored.map(|(id, other)| (*id, 1.0 / (1.0 + squares(other)))).collect();
            // Stable: of equals the lower id stays first.
            scored.sort_by(|a, b| b.1.total_cmp(&a.1));
            scored
        };
        let (all, even) = (sorted(&|_| true), sorted(&|id| id.0 % 2 == 0));
        let some: Vec<PhotoId> = (0..20_000).step_by(2).map(PhotoId).collect();
        for k in [0, 1, 2, random.below(200), model.len(), model.len() + 1, usize::MAX] {
            let found = |found: Vec<florascope::index::Neighbour>| -> Vec<(PhotoId, f32)> {
                found.into_iter().map(|neighbour| (neighbour.id, neighbour.similarity)).collect()
            };
            assert_eq!(found(index.search(&query, k)), all[..k.min(all.len())], "{k} of {}", all.len());
            assert_eq!(found(index.search_among(&query, &some, k)), even[..k.min(even.len())]);
            let queries = [query.clone(), whole_numbers(random, dimension)];
            assert_eq!(found(index.search_many(&queries, k).swap_remove(0)), all[..k.min(all.len())]);
        }
    }
}

/// A folder as it lies on the disk, and what the last scan left known of it.
struct Tree {
    folder: tempfile::TempDir,
    /// What the files hold: size and time.
    files: BTreeMap<PathBuf, FileStamp>,
    known: BTreeMap<PathBuf, KnownFile>,
    next_id: i64,
    clock: i64,
}

impl Tree {
    fn root(&self) -> PathBuf {
        self.folder.path().join("photos")
    }

    /// Writes a file of a random size and of a new time.
    fn write(&mut self, random: &mut Random, path: PathBuf) {
        let size = random.below(4);
        let file = self.root().join(&path);
        // A folder may lie where the file is to be, or a file where its folder is to be.
        if file.is_dir() || path.ancestors().skip(1).any(|folder| self.files.contains_key(folder)) {
            return;
        }
        write_file(&file, &b"rose"[..size]);
        self.clock += 1;
        let time = UNIX_EPOCH + Duration::from_secs(self.clock as u64);
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let stamp = FileStamp { size: size as i64, modified: self.clock * 1_000_000_000, changed: None };
        self.files.insert(path, stamp);
    }

    /// A file or folder that is there.
    fn any_path(&self, random: &mut Random) -> Option<PathBuf> {
        let files: Vec<&PathBuf> = self.files.keys().collect();
        let file = (!files.is_empty()).then(|| any(random, &files))?;
        let ancestors: Vec<&Path> = file.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        Some((*any(random, &ancestors)).to_owned())
    }

    fn remove(&mut self, path: &Path) {
        let on_disk = self.root().join(path);
        if on_disk.is_dir() { fs::remove_dir_all(on_disk) } else { fs::remove_file(on_disk) }.unwrap();
        self.files.retain(|file, _| !file.starts_with(path));
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let target = self.root().join(to);
        let in_the_way = to.ancestors().any(|folder| self.files.contains_key(folder)) || target.exists();
        if in_the_way || to.starts_with(from) {
            return;
        }
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(self.root().join(from), target).unwrap();
        let moved: Vec<PathBuf> = self.files.keys().filter(|file| file.starts_with(from)).cloned().collect();
        for file in moved {
            let stamp = self.files.remove(&file).unwrap();
            let rest = file.strip_prefix(from).unwrap();
            self.files.insert(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }, stamp);
        }
    }

    fn change(&mut self, random: &mut Random) {
        match random.below(6) {
            0..=2 => {
                let mut path = path(random);
                let extension = *any(random, &["jpg", "JPG", "png", "txt", "psd", ""]);
                path.as_mut_os_string().push(if extension.is_empty() {
                    String::new()
                } else {
                    format!(".{extension}")
                });
                if random.below(8) == 0 {
                    path = Path::new(".hidden").join(path);
                }
                self.write(random, path);
            }
            change => {
                let Some(path) = self.any_path(random) else { return };
                match change {
                    3 if self.files.contains_key(&path) => self.write(random, path),
                    4 => self.remove(&path),
                    _ => {
                        let extension = path.extension().unwrap_or_default().to_owned();
                        let to = self::path(random).with_extension(extension);
                        self.rename(&path, &to);
                    }
                }
            }
        }
    }

    /// Whether the file is one of these kinds, in a folder that is not hidden.
    fn is(path: &Path, extensions: &[&str]) -> bool {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        extensions.contains(&&*extension) && !path.iter().any(|name| name.as_bytes().starts_with(b"."))
    }

    /// Scans, compares with the model, and knows from then on what is there.
    fn check(&mut self, random: &mut Random) {
        let known: HashMap<Vec<u8>, KnownFile> =
            self.known.iter().map(|(path, file)| (path_to_bytes(path), *file)).collect();
        let found = scan(&self.root(), known, &Cancel::default(), |_| {}).unwrap();

        let photos: BTreeMap<&PathBuf, &FileStamp> =
            self.files.iter().filter(|(path, _)| Self::is(path, &["jpg", "png"])).collect();
        let is_unchanged =
            |path: &PathBuf, stamp| self.known.get(path).is_some_and(|file| file.embedded && file.stamp == stamp);
        let to_read: Vec<(&PathBuf, FileStamp)> = photos
            .iter()
            .map(|(path, stamp)| (*path, **stamp))
            .filter(|(path, stamp)| !is_unchanged(path, *stamp))
            .collect();
        let without_change = |stamp: FileStamp| FileStamp { changed: None, ..stamp };
        let found_to_read = found.to_read.iter().map(|file| (&file.path, without_change(file.stamp)));
        assert_eq!(found_to_read.collect::<Vec<_>>(), to_read);
        assert_eq!(found.unchanged as usize, photos.len() - to_read.len());
        let mut gone: Vec<PhotoId> =
            self.known.iter().filter(|(path, _)| !photos.contains_key(path)).map(|(_, file)| file.id).collect();
        gone.sort_unstable();
        assert_eq!(found.gone, gone);
        let problems: BTreeSet<&PathBuf> = found.problems.iter().map(|problem| &problem.path).collect();
        assert_eq!(problems, self.files.keys().filter(|path| Self::is(path, &["psd"])).collect());

        let mut known = BTreeMap::new();
        for (path, stamp) in photos {
            let id = self.known.get(path).map_or(PhotoId(self.next_id), |file| file.id);
            self.next_id += 1;
            // Now and then the model in use has not seen one.
            known.insert(path.clone(), KnownFile { id, stamp: *stamp, embedded: random.below(10) > 0 });
        }
        self.known = known;
    }
}

#[test]
fn a_scan_finds_what_is_new_changed_and_gone() {
    let random = &mut Random::new(new_seed());
    for _ in 0..20 {
        let mut tree = Tree {
            folder: tempfile::tempdir().unwrap(),
            files: BTreeMap::new(),
            known: BTreeMap::new(),
            next_id: 1,
            clock: 0,
        };
        fs::create_dir(tree.root()).unwrap();
        for _ in 0..10 {
            for _ in 0..random.below(15) {
                tree.change(random);
            }
            tree.check(random);
        }
    }
}

#[test]
fn an_address_leads_back_to_its_path() {
    let random = &mut Random::new(new_seed());
    for _ in 0..10_000 {
        // Any bytes but 0 may stand in a name.
        let bytes: Vec<u8> = (0..random.below(30)).map(|_| 1 + random.below(255) as u8).collect();
        let path = Path::new("/").join(path(random)).join(OsStr::from_bytes(&bytes));
        let uri = file_uri(&path);
        assert!(uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','), "{uri}");
        // By itself, as file managers copy it, and as the first of a list.
        for text in [uri.clone(), format!("copy\n{uri}"), format!("\r\n{uri}\r\nfile:///another\r\n")] {
            assert_eq!(pasted_path(&text).as_ref(), Some(&path), "{text:?}");
        }
    }
}

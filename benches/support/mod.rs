//! What the benchmarks share: their options, peers and photos, and made-up libraries as large as wanted, with embeddings
//! that are spread as real ones are.

#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use florascope::artefact::{GENERAL, Model};
use florascope::catalog::{Catalog, FileStamp, ModelKey, NewPhoto};
use florascope::device::DeviceChoice;
use florascope::embed::Embedder;
use florascope::garden;
use florascope::ingest::ingest;
use florascope::job::Cancel;
use florascope::library::{DataFolder, Library, WriterLock};
use florascope::metadata::Metadata;
use florascope::photo::{ContentHash, Embedded, Embedding, Metric, PhotoId};
use florascope::random::Random;
use image::RgbImage;
use tempfile::TempDir;

/// The benchmark's arguments, without the one that cargo adds.
pub fn arguments<T: clap::Parser>() -> T {
    T::parse_from(std::env::args().filter(|argument| argument != "--bench"))
}

/// Milliseconds below which the given share of the times lie.
pub fn percentile(seconds: &[f64], share: f64) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    1e3 * sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// A folder's library, brought up to date; nobody else writes it meanwhile.
pub struct Indexed {
    pub library: Library,
    pub catalog: Catalog,
    pub embedder: Embedder,
    _lock: WriterLock,
}

impl Indexed {
    /// Indexes a folder where that is not done yet, with the general network: its figures compare with all earlier ones.
    pub fn new(data: &DataFolder, folder: &Path, device: DeviceChoice) -> Self {
        let library = data.library(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let lock = library.lock().unwrap().expect("the folder is in use by another Florascope");
        let mut catalog = Catalog::open(&library.folder).unwrap();
        let embedder = Embedder::start(device, Model::general()).unwrap();
        ingest(&library, &mut catalog, &embedder, &Cancel::default(), &mut |_| {});
        Self { library, catalog, embedder, _lock: lock }
    }
}

/// The place for libraries that `FLORASCOPE_DATA_DIR` names, or else a temporary one.
pub fn data_folder(temporary: &TempDir) -> DataFolder {
    let data = std::env::var_os("FLORASCOPE_DATA_DIR").map_or(temporary.path().to_owned(), PathBuf::from);
    DataFolder::open(Some(data)).unwrap()
}

/// The number that a peer in `benches/peers` prints. It runs in an environment that `environment.py` makes;
/// `FLORASCOPE_PEERS_PYTHON` names another Python.
pub fn peer(script: &str, arguments: &[&str]) -> f64 {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let mut python = match std::env::var_os("FLORASCOPE_PEERS_PYTHON") {
        Some(python) => Command::new(python),
        None => {
            let mut python = Command::new("python3");
            python.arg("-B").arg(peers.join("environment.py"));
            python
        }
    };
    // Nothing compiled is left among the sources.
    python.env("PYTHONDONTWRITEBYTECODE", "1").arg(peers.join(script)).args(arguments);
    let output = python.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the peer failed");
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("a number")
}

/// The most memory that a process has held so far, in megabytes; `None` where the system does not tell it, or it has
/// ended. `process` is its number, or "self".
pub fn peak_megabytes(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10)
}

/// The same picture as another content: what follows the end of a JPEG changes its hash alone.
pub fn another_content(jpeg: &[u8], number: usize) -> Vec<u8> {
    [jpeg, &number.to_le_bytes()].concat()
}

/// Like a photo to a decoder: coarse and fine structure, and noise.
pub fn picture(width: u32, height: u32) -> RgbImage {
    let mut random = 1_u32;
    RgbImage::from_fn(width, height, |x, y| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (random >> 24) as f32 / 16.0;
        let (x, y) = (x as f32, y as f32);
        let coarse = 60.0 * ((x / 310.0).sin() + (y / 270.0).cos());
        let fine = 12.0 * ((x / 3.1).sin() * (y / 4.3).sin());
        image::Rgb([110.0, 120.0, 90.0].map(|base: f32| (base + coarse + fine + noise).clamp(0.0, 255.0) as u8))
    })
}

/// Embeddings of real photos by species, to make up others from.
pub struct Real(Vec<Vec<Embedding>>);

impl Real {
    /// Those of a folder of photos with a sub-folder a species; of the sample garden where none is given.
    pub fn of(folder: Option<&Path>, data: &DataFolder) -> Self {
        let folder = folder.map_or_else(|| drawn_garden(data), Path::to_owned);
        let catalog = Indexed::new(data, &folder, DeviceChoice::Auto).catalog;
        let mut species = std::collections::BTreeMap::<_, Vec<Embedding>>::new();
        for (photo, embedding) in catalog.photos_after(PhotoId(0), usize::MAX >> 1, key()).unwrap() {
            let embedding = embedding.and_then(|half| half.to_embedding(Metric::Cosine)).expect("an embedding");
            species.entry(photo.label().unwrap_or_default().into_owned()).or_default().push(embedding);
        }
        Self(species.into_values().filter(|photos| photos.len() > 1).collect())
    }

    pub fn dimension(&self) -> usize {
        self.0[0][0].values().len()
    }

    /// A photo that might be: a real one, and added to it 0.7 of what two others of its species differ by.
    pub fn made_up(&self, random: &mut Random) -> Embedding {
        let species = &self.0[random.below(self.0.len())];
        let [one, from, to] = [(); 3].map(|()| species[random.below(species.len())].values());
        let values = one.iter().zip(from).zip(to).map(|((one, from), to)| one + 0.7 * (to - from));
        Embedding::normalised(values.collect()).expect("not zero")
    }
}

fn drawn_garden(data: &DataFolder) -> PathBuf {
    let folder = data.garden();
    std::fs::create_dir_all(&folder).unwrap();
    garden::write(&folder, &mut |_, _| true).unwrap();
    folder
}

/// Chooses the general network for a library, whose embeddings nobody makes anew then.
pub fn use_general(catalog: &mut Catalog) {
    catalog.set_fact("model in use", GENERAL.as_bytes()).unwrap();
}

/// The general network's embeddings.
pub fn key() -> ModelKey<'static> {
    ModelKey::features(GENERAL)
}

/// A photo's row, made up. `path` is relative to the library's folder.
pub fn photo(number: usize, path: PathBuf, stamp: FileStamp, embedding: Embedding) -> NewPhoto {
    let content = ContentHash::of(&number.to_le_bytes());
    let embedded = Embedded { embedding, features: None };
    NewPhoto { path, stamp, content, embedded, thumbnail: None, damage: None, metadata: Metadata::default() }
}

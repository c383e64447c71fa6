//! What the benchmarks share: made-up libraries as large as wanted, with embeddings that are spread as real ones are.

#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::path::{Path, PathBuf};

use florascope::artefact::{BUILT_IN, Model};
use florascope::catalog::{Catalog, FileStamp, ModelKey, NewPhoto};
use florascope::embed::{DeviceChoice, Embedder};
use florascope::garden;
use florascope::ingest::ingest;
use florascope::job::Cancel;
use florascope::library::DataFolder;
use florascope::photo::{ContentHash, Embedded, Embedding, Metric, PhotoId};
use florascope::train::random::Random;

/// The option of this name, taken out of the arguments, with the value that follows it.
pub fn option(arguments: &mut Vec<String>, name: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.drain(at..(at + 2).min(arguments.len())).nth(1)
}

/// Milliseconds below which the given share of the times lie.
pub fn percentile(seconds: &[f64], share: f64) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    1e3 * sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Embeddings of real photos by species, to make up others from.
pub struct Real(Vec<Vec<Embedding>>);

impl Real {
    /// Those of a folder of photos with a sub-folder a species; of the sample garden where none is given.
    pub fn of(folder: Option<&Path>, data: &DataFolder) -> Self {
        let folder = folder.map_or_else(|| drawn_garden(data), Path::to_owned);
        let library = data.library(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let lock = library.lock().unwrap().expect("the folder is in use by another Florascope");
        let mut catalog = Catalog::open(&library.folder).unwrap();
        let embedder = Embedder::start(DeviceChoice::Auto, Model::built_in()).unwrap();
        ingest(&library, &mut catalog, &embedder, &Cancel::default(), &mut |_| {});
        drop((lock, embedder));
        let mut species = std::collections::BTreeMap::<_, Vec<Embedding>>::new();
        for (photo, embedding) in catalog.photos_after(PhotoId(0), usize::MAX >> 1, key()).unwrap() {
            let embedding = embedding.and_then(|half| half.raised(Metric::Cosine)).expect("an embedding");
            species.entry(photo.label().unwrap_or_default().to_owned()).or_default().push(embedding);
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

/// The built-in model's embeddings.
pub fn key() -> ModelKey<'static> {
    ModelKey::features(BUILT_IN)
}

/// A photo's row, made up. `path` is relative to the library's folder.
pub fn photo(number: usize, path: PathBuf, stamp: FileStamp, embedding: Embedding) -> NewPhoto {
    let content = ContentHash::of(&number.to_le_bytes());
    NewPhoto { path, stamp, content, embedded: Embedded { embedding, features: None }, thumbnail: None }
}

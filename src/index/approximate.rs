//! Nearest neighbours among more photos than can all be compared with a query in the time that a search may take. The
//! only Faiss.
//!
//! A principal component analysis brings the embeddings down to few numbers; k-means puts them into lists, of which a
//! query visits the nearest (Johnson et al. 2017, "Billion-scale similarity search with GPUs"). What comes out are
//! candidates: [`super::Index`] compares them exactly. How many lists have to be visited is measured when the index is
//! built. It can be built again at any time; it is kept on disk because that takes a while.

use std::io::Read;
use std::path::{Path, PathBuf};

use faiss::index::autotune::ParameterSpace;
use faiss::index::io::{read_index, write_index};
use faiss::index::pretransform::PreTransformIndexImpl;
use faiss::index::{IndexImpl, UpcastIndex};
use faiss::vector_transform::{PCAMatrix, VectorTransform};
use faiss::{Idx, Index as _, MetricType, index_factory};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use super::rows::Rows;
use crate::atomic_file::{self, Partial, Survives};
use crate::job::Cancel;
use crate::photo::{PhotoId, hex};

/// Components that are kept: more cost time and memory, and find no more.
const COMPONENTS: u32 = 64;
const LISTS: usize = 1024;
/// Embeddings that the lists are learnt from.
const SAMPLE: usize = 40 * LISTS;
/// And the components. Not more: learning is the one step that hears no stop.
const COMPONENT_SAMPLE: usize = SAMPLE / 4;
/// Added at a time, so that a stop is soon heard.
const ADD_AT_ONCE: usize = 8 * 1024;
/// Photos that it is measured with.
const TRIALS: usize = 64;
/// Of the ten nearest, the share that has to be among the candidates.
const WANTED_RECALL: f64 = 0.99;
/// Candidates for each result that is wanted, and at least this many.
pub(crate) const CANDIDATES_A_RESULT: usize = 4;
pub(crate) const MIN_CANDIDATES: usize = 200;

const INDEX_FILE: &str = "approximate.faiss";
const IDS_FILE: &str = "approximate.safetensors";

/// Why there is no approximate index.
#[derive(Debug, thiserror::Error)]
pub enum ApproximateError {
    #[error("Faiss: {0}")]
    Faiss(#[from] faiss::error::Error),
    #[error("{0}: {path}", path = .1.display())]
    File(std::io::Error, PathBuf),
    #[error("{0}")]
    Unusable(&'static str),
}

/// An approximate index of the photos that there were when it was built.
pub struct Approximate {
    faiss: IndexImpl,
    /// The photos in it, in order.
    ids: Vec<PhotoId>,
    /// Lists that a query visits.
    probes: usize,
    /// Of the ten nearest of [`TRIALS`] photos, the share that it found when it was built.
    pub(crate) recall: f64,
}

impl Approximate {
    /// Builds one of at least [`SAMPLE`] rows. `None` when cancelled, which is heard between steps: the longest, in which
    /// Faiss learns the lists, takes seconds.
    ///
    /// # Errors
    /// When Faiss fails, or the rows are such that too little would be found.
    pub fn build(rows: &Rows, cancel: &Cancel) -> Result<Option<Self>, ApproximateError> {
        let mut ids: Vec<PhotoId> = rows.ids().collect();
        ids.sort_unstable();
        if ids.len() < SAMPLE {
            return Err(ApproximateError::Unusable("there are too few photos for an approximate index"));
        }
        let sample = |count: usize| -> Vec<f32> {
            values_of(rows, &(0..count).map(|number| ids[number * ids.len() / count]).collect::<Vec<_>>())
        };
        let dimension = rows.dimension() as u32;
        let components = COMPONENTS.min(dimension);
        let mut pca = PCAMatrix::new(dimension, components, 0.0, false)?;
        pca.train(COMPONENT_SAMPLE, &sample(COMPONENT_SAMPLE))?;
        if cancel.is_cancelled() {
            return Ok(None);
        }
        // Distances rather than inner products: they do not change when the mean is taken off.
        let lists = index_factory(components, format!("IVF{LISTS},Flat"), MetricType::L2)?;
        let mut faiss = PreTransformIndexImpl::new(pca, lists)?.upcast();
        faiss.train(&sample(SAMPLE))?;
        for some in ids.chunks(ADD_AT_ONCE) {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            let numbers: Vec<Idx> = some.iter().map(|id| Idx::new(id.0 as u64)).collect();
            faiss.add_with_ids(&values_of(rows, some), &numbers)?;
        }
        let mut approximate = Self { faiss, ids, probes: 4, recall: 0.0 };
        Ok(approximate.choose_probes(rows, cancel)?.then_some(approximate))
    }

    /// Visits twice as many lists until enough is found; `false` when cancelled.
    fn choose_probes(&mut self, rows: &Rows, cancel: &Cancel) -> Result<bool, ApproximateError> {
        const NEAREST: usize = 10;
        let trials: Vec<PhotoId> = (0..TRIALS).map(|number| self.ids[number * self.ids.len() / TRIALS]).collect();
        let queries: Vec<Vec<f32>> = trials.iter().filter_map(|id| rows.get(*id)).collect();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        let exact = rows.search(&queries, NEAREST + 1);
        while self.recall < WANTED_RECALL {
            self.probes *= 2;
            if self.probes > LISTS / 2 {
                return Err(ApproximateError::Unusable("these embeddings lie too far apart for an approximate index"));
            }
            self.set_probes()?;
            let (mut found, mut all) = (0, 0);
            for ((query, exact), itself) in queries.iter().zip(&exact).zip(&trials) {
                if cancel.is_cancelled() {
                    return Ok(false);
                }
                let candidates = self.candidates(query, MIN_CANDIDATES)?;
                let others = exact.iter().filter(|scored| scored.id != *itself).take(NEAREST);
                for scored in others {
                    found += usize::from(candidates.contains(&scored.id));
                    all += 1;
                }
            }
            self.recall = found as f64 / f64::from(all.max(1));
        }
        Ok(true)
    }

    fn set_probes(&self) -> Result<(), ApproximateError> {
        Ok(ParameterSpace::new()?.set_index_parameter(&self.faiss, "nprobe", self.probes as f64)?)
    }

    /// Photos in it.
    pub(crate) fn photos(&self) -> usize {
        self.ids.len()
    }

    /// Bytes in memory: components and a number for each photo.
    pub fn bytes(&self) -> usize {
        self.ids.len() * (4 * COMPONENTS.min(self.faiss.d()) as usize + 8 + size_of::<PhotoId>())
    }

    /// In Faiss's words.
    pub fn describe(&self) -> String {
        format!("PCA{},IVF{LISTS},Flat, nprobe {}", COMPONENTS.min(self.faiss.d()), self.probes)
    }

    /// Whether a photo is in it.
    pub(crate) fn contains(&self, id: PhotoId) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// About `count` photos among which the nearest to a query of `dimension` floats are.
    ///
    /// # Errors
    /// When Faiss fails.
    pub(crate) fn candidates(&mut self, query: &[f32], count: usize) -> Result<Vec<PhotoId>, ApproximateError> {
        let found = self.faiss.search(query, count.min(self.ids.len()))?;
        Ok(found.labels.iter().filter_map(|label| Some(PhotoId(label.get()? as i64))).collect())
    }

    /// Writes it to a library's folder, for the model of this name. A file of before is replaced at once, or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, folder: &Path, model: &str) -> Result<(), ApproximateError> {
        let (index, ids) = (folder.join(INDEX_FILE), folder.join(IDS_FILE));
        let failed = |error| ApproximateError::File(error, folder.to_owned());
        let new_index = Partial::beside(&index).map_err(failed)?;
        let text = new_index.path().to_str();
        write_index(&self.faiss, text.ok_or(ApproximateError::Unusable("Faiss takes no path that is not UTF-8"))?)?;
        let hash = hash_of(new_index.path(), &Cancel::default())?;
        let bytes: Vec<u8> = self.ids.iter().flat_map(|id| id.0.to_le_bytes()).collect();
        let card = [("model", model.to_owned()), ("index", hash), ("probes", self.probes.to_string())]
            .into_iter()
            .chain([("recall", self.recall.to_string()), ("dimension", self.faiss.d().to_string())])
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let view = TensorView::new(Dtype::I64, vec![self.ids.len()], &bytes)
            .map_err(|_| ApproximateError::Unusable("the list of its photos could not be written"))?;
        let new_ids = safetensors::serialize([("ids", view)], Some(card))
            .map_err(|_| ApproximateError::Unusable("the list of its photos could not be written"))?;
        // The ids name the index that they belong to: between the two writes there is none that is valid.
        new_index.persist(&index, Survives::Kill).map_err(failed)?;
        atomic_file::write(&ids, &new_ids, Survives::Kill).map_err(failed)
    }

    /// Reads the one in a library's folder; `None` where there is none for this model, or a damaged one, or when
    /// cancelled.
    pub(crate) fn load(folder: &Path, model: &str, dimension: usize, cancel: &Cancel) -> Option<Self> {
        let bytes = std::fs::read(folder.join(IDS_FILE)).ok()?;
        let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
        let card = header.metadata().as_ref()?;
        let of = |name: &str| card.get(name).map(String::as_str);
        let index = folder.join(INDEX_FILE);
        // Faiss trusts the file that it reads.
        if of("model")? != model || of("dimension")?.parse() != Ok(dimension) {
            return None;
        }
        if hash_of(&index, cancel).ok()? != of("index")? {
            return None;
        }
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        let (ids, _) = tensors.tensor("ids").ok()?.data().as_chunks::<8>();
        let ids = ids.iter().map(|bytes| PhotoId(i64::from_le_bytes(*bytes))).collect();
        let (probes, recall) = (of("probes")?.parse().ok()?, of("recall")?.parse().ok()?);
        let faiss = read_index(index.to_str()?).ok()?;
        let approximate = Self { faiss, ids, probes, recall };
        approximate.set_probes().ok()?;
        Some(approximate)
    }
}

/// Embeddings one after the other.
fn values_of(rows: &Rows, ids: &[PhotoId]) -> Vec<f32> {
    ids.iter().flat_map(|id| rows.get(*id).unwrap_or_else(|| vec![0.0; rows.dimension()])).collect()
}

/// Fails when cancelled.
fn hash_of(path: &Path, cancel: &Cancel) -> Result<String, ApproximateError> {
    let failed = |error| ApproximateError::File(error, path.to_owned());
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        if cancel.is_cancelled() {
            return Err(failed(std::io::ErrorKind::Interrupted.into()));
        }
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use crate::photo::{Embedding, HalfEmbedding, Metric};
    use crate::random::Random;

    const DIMENSION: usize = 16;

    /// Around a few hundred middles, as photos of species lie.
    fn embedding(random: &mut Random, middles: &[Vec<f32>]) -> Embedding {
        let middle = &middles[random.below(middles.len())];
        Embedding::normalised(middle.iter().map(|value| value + 0.4 * random.normal() as f32).collect()).unwrap()
    }

    fn middles(random: &mut Random) -> Vec<Vec<f32>> {
        (0..300).map(|_| random.normals(DIMENSION)).collect()
    }

    fn index_of(count: usize, random: &mut Random, middles: &[Vec<f32>]) -> Index {
        let mut index = Index::new(DIMENSION, Metric::Cosine);
        for id in 0..count {
            assert!(index.add(PhotoId(id as i64 + 1), &HalfEmbedding::from(&embedding(random, middles))));
        }
        index
    }

    #[test]
    fn finds_nearly_all_that_an_exact_search_finds_and_survives_the_disk() {
        let random = &mut Random::new(7);
        let middles = middles(random);
        let mut index = index_of(SAMPLE + 500, random, &middles);
        let gone = PhotoId(17);
        let (go_on, stopped) = (&Cancel::default(), &Cancel::default());
        stopped.cancel();
        let mut built = Approximate::build(&index.rows(), go_on).unwrap().unwrap();
        let folder = tempfile::tempdir().unwrap();
        built.save(folder.path(), "m").unwrap();
        assert!(Approximate::load(folder.path(), "another", DIMENSION, go_on).is_none());
        assert!(Approximate::load(folder.path(), "m", DIMENSION + 1, go_on).is_none());
        let loaded = Approximate::load(folder.path(), "m", DIMENSION, go_on).unwrap();
        assert_eq!((loaded.photos(), loaded.probes), (SAMPLE + 500, built.probes));
        assert!(Approximate::load(folder.path(), "m", DIMENSION, stopped).is_none());
        built.recall = 0.0;
        assert!(!built.choose_probes(&index.rows(), stopped).unwrap());

        // One comes, one goes.
        index.use_approximate(loaded);
        let newer = embedding(random, &middles);
        assert!(index.add(PhotoId(1 << 40), &HalfEmbedding::from(&newer)));
        assert_eq!(index.search(&newer, 1)[0].id, PhotoId(1 << 40));
        let old = index.embedding(gone).unwrap();
        assert_eq!(index.search(&old, 1)[0].id, gone);
        index.remove(&[gone]);
        assert!(index.search(&old, 20).iter().all(|neighbour| neighbour.id != gone));

        let queries: Vec<Embedding> = (0..100).map(|_| embedding(random, &middles)).collect();
        let exact = index.search_many(&queries, 10);
        let found: usize = queries
            .iter()
            .zip(&exact)
            .map(|(query, exact)| {
                let found = index.search(query, 10);
                assert_eq!(found.len(), 10);
                exact.iter().filter(|neighbour| found.contains(neighbour)).count()
            })
            .sum();
        assert!(found >= 980, "{found} of 1000");

        let file = folder.path().join(INDEX_FILE);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(Approximate::load(folder.path(), "m", DIMENSION, go_on).is_none());
    }

    #[test]
    fn a_stop_is_heard_and_too_few_are_refused() {
        let random = &mut Random::new(8);
        let middles = middles(random);
        let index = index_of(SAMPLE, random, &middles);
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(Approximate::build(&index.rows(), &cancel).unwrap().is_none());
        let few = index_of(100, random, &middles);
        assert!(Approximate::build(&few.rows(), &Cancel::default()).is_err());
    }
}

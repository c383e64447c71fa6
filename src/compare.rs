//! Models side by side on one folder: how well each finds the species again, and how fast it is on this computer.
//!
//! Some of the photos that have a label are embedded anew with each model, and each is searched among the others. Nothing
//! is written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;
use tch::Tensor;

use crate::artefact::{ArtefactError, GENERAL, ModelFolder, ModelId, Score};
use crate::catalog::{Catalog, CatalogError, ModelKey};
use crate::device::DeviceChoice;
use crate::embed::{EmbedError, Embedder};
use crate::ingest::{IngestError, embed_some};
use crate::job::{Cancel, Progress, Stage};
use crate::library::Library;
use crate::model::ModelError;
use crate::pairs::pairs;
use crate::photo::{ContentHash, Embedding, Photo, PhotoId};
use crate::train::evaluation::{ModelEmbeddings, Tally};
use crate::tune;

/// Photos that are compared on at most: their intervals are narrow enough, slow networks take minutes for them, and more
/// would have indexing's speed measured first ([`tune::inference_config`]).
const MOST_PHOTOS: usize = 900;
/// Of each species, where it has them: with fewer, MAP@R says little.
const LEAST_OF_SPECIES: usize = 5;
const CATALOG_CHUNK: usize = 4096;

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompareError {
    #[error("A thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What one model reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub(crate) model: ModelId,
    /// Leave-one-out among the photos; `None` where too few have a label.
    pub(crate) score: Option<Score>,
    pub(crate) queries: u64,
    /// Of the network, on this computer.
    pub(crate) photos_a_second: f64,
    /// It was trained on this very folder, and knows the photos: it is flattered.
    pub(crate) has_learnt_these: bool,
}

/// What is told meanwhile.
#[derive(Debug)]
pub(crate) enum CompareEvent {
    /// Of all photos with all models.
    Progress(Progress),
    Compared(Compared),
}

/// Compares models one after the other; `false` where it was stopped.
///
/// # Errors
/// When the folder is not there, or a model fails.
pub(crate) fn compare(
    library: &Library,
    catalog: &Catalog,
    models: &ModelFolder,
    ids: &[ModelId],
    device: DeviceChoice,
    cancel: &Cancel,
    tell: &mut dyn FnMut(CompareEvent),
) -> Result<bool, CompareError> {
    let sample = Sample::of(all_photos(catalog)?);
    for (number, id) in ids.iter().enumerate() {
        let model = models.load(id)?;
        let embedder = Embedder::start(device, model.clone())?;
        let photos_a_second = tune::quick_rate(&embedder, cancel)?;
        let each = sample.0.len() as u64;
        let mut progress = |mut progress: Progress| {
            progress.done += number as u64 * each;
            progress.total = Some(ids.len() as u64 * each);
            tell(CompareEvent::Progress(progress));
        };
        let contents = sample.contents();
        let embedded = embed_some(library, catalog, &embedder, Stage::Comparing, contents, cancel, &mut progress)?;
        let Some(embedded) = embedded.filter(|_| !cancel.is_cancelled()) else { return Ok(false) };
        let (score, queries) = sample.score(&embedded, &embedder)?;
        tell(CompareEvent::Compared(Compared {
            model: model.id.clone(),
            score,
            queries,
            photos_a_second,
            has_learnt_these: model.card.trained.as_ref().is_some_and(|trained| trained.folder == library.root),
        }));
    }
    Ok(true)
}

fn all_photos(catalog: &Catalog) -> Result<Vec<Photo>, CatalogError> {
    let (mut photos, mut last) = (Vec::new(), PhotoId(0));
    loop {
        let chunk = catalog.photos_after(last, CATALOG_CHUNK, ModelKey::features(GENERAL))?;
        let Some((photo, _)) = chunk.last() else { return Ok(photos) };
        last = photo.id;
        photos.extend(chunk.into_iter().map(|(photo, _)| photo));
    }
}

/// Photos to compare on, each with the number of its species.
struct Sample(Vec<(Photo, i64)>);

impl Sample {
    /// As many of each species. Which ones, and of which species where there are very many, follows from hashes: the next
    /// comparison has the same photos.
    fn of(mut photos: Vec<Photo>) -> Self {
        // A raw file and the picture of the same shot are one photo, and so are copies.
        let pairs = pairs(photos.iter().map(|photo| (photo.path.as_path(), photo.id)));
        let raws: HashSet<PhotoId> = pairs.into_iter().map(|(_, raw)| raw).collect();
        photos.retain(|photo| !raws.contains(&photo.id));
        photos.sort_by_key(|photo| photo.content.0);
        photos.dedup_by_key(|photo| photo.content);
        let mut species: BTreeMap<String, Vec<Photo>> = BTreeMap::new();
        for photo in photos {
            if let Some(label) = photo.label() {
                species.entry(label.to_string_lossy().into_owned()).or_default().push(photo);
            }
        }
        species.retain(|_, photos| photos.len() > 1);
        if species.len() < 2 {
            return Self(Vec::new());
        }
        let of_each = (MOST_PHOTOS / species.len()).max(LEAST_OF_SPECIES);
        let mut species: Vec<Vec<Photo>> = species.into_values().collect();
        species.sort_by_key(|photos| photos[0].content.0);
        let of_species = species.into_iter().take(MOST_PHOTOS / LEAST_OF_SPECIES).zip(0..);
        Self(of_species.flat_map(|(photos, label)| photos.into_iter().take(of_each).map(move |p| (p, label))).collect())
    }

    fn contents(&self) -> Vec<(ContentHash, Vec<PathBuf>)> {
        self.0.iter().map(|(photo, _)| (photo.content, vec![photo.path.clone()])).collect()
    }

    /// What a model finds, and the number of queries.
    fn score(
        &self,
        embedded: &HashMap<ContentHash, Embedding>,
        embedder: &Embedder,
    ) -> Result<(Option<Score>, u64), CompareError> {
        let info = embedder.info()?;
        let known = self.0.iter().filter_map(|(photo, label)| Some((embedded.get(&photo.content)?, *label)));
        let (embeddings, labels): (Vec<_>, Vec<i64>) = known.unzip();
        if embeddings.is_empty() {
            return Ok((None, 0));
        }
        let values: Vec<f32> = embeddings.iter().flat_map(|embedding| embedding.values()).copied().collect();
        let rows = Tensor::f_from_slice(&values).and_then(|rows| rows.f_view([labels.len() as i64, -1]));
        let rows = rows.map_err(ModelError::from)?;
        let all: Vec<usize> = (0..labels.len()).collect();
        let mut tally = Tally::default();
        tally.add(&labels, &ModelEmbeddings { rows, metric: info.metric }, &all, &all)?;
        Ok(((tally.queries() > 0).then(|| tally.score()), tally.queries()))
    }
}

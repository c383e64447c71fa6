//! All libraries on this computer: what each is, and what nothing uses any more, which can be thrown away.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::active_model::{Needs, needs};
use crate::artefact::{ModelFolder, ModelId, ModelSummary};
use crate::catalog::Catalog;
use crate::library::{DataFolder, Library, WriterLock};
use crate::photo::Photo;
use crate::train::checkpoint;

/// Photos that stand for a library.
const SAMPLES: u64 = 4;

/// A library, as a list shows it.
#[derive(Clone, Debug)]
pub struct LibrarySummary {
    pub(crate) library: Library,
    /// `None` where its catalog cannot be read.
    pub(crate) contents: Option<Contents>,
    /// What the program's data of it take, in bytes.
    pub(crate) size: u64,
    /// When it was last opened, in seconds since 1970.
    pub(crate) opened: u64,
    /// The user's folder is there.
    pub(crate) is_here: bool,
    /// This process or another has the right to write it.
    pub(crate) is_in_use: bool,
}

/// What is in a library.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) photos: u64,
    pub(crate) problems: u64,
    pub(crate) model: ModelId,
    /// What people call that.
    pub(crate) model_title: String,
    /// A few of the photos.
    pub(crate) samples: Vec<Arc<Photo>>,
}

/// Every library, the one opened last first.
///
/// # Errors
/// When the program's data cannot be listed.
pub(crate) fn list(data: &DataFolder) -> io::Result<Vec<LibrarySummary>> {
    let models = data.models().list();
    Ok(data.libraries()?.into_iter().map(|library| summary(library, &models)).collect())
}

fn summary(library: Library, models: &[ModelSummary]) -> LibrarySummary {
    let contents = contents(&library, models).unwrap_or_else(|error| {
        log::warn!("{error}");
        None
    });
    let opened = library.last_opened().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    LibrarySummary {
        contents,
        size: library.size(),
        opened: opened.map_or(0, |since| since.as_secs()),
        is_here: library.root.is_dir(),
        is_in_use: library.is_in_use(),
        library,
    }
}

fn contents(library: &Library, models: &[ModelSummary]) -> Result<Option<Contents>, Box<dyn std::error::Error>> {
    let Some(catalog) = Catalog::open_read_only(&library.folder)? else { return Ok(None) };
    let Needs { active, .. } = needs(&catalog)?;
    // The one in the program stands for one that is gone, and is always there.
    let model = models.iter().find(|model| model.id == active).or(models.first());
    let (model, model_title) = model.map_or((active, String::new()), |one| (one.id.clone(), one.card.title.clone()));
    let photos = catalog.photo_count()?;
    let samples = catalog.spread(photos, SAMPLES)?.into_iter().map(Arc::new).collect();
    Ok(Some(Contents { photos, problems: catalog.problem_count()? as u64, model, model_title, samples }))
}

/// What nothing uses any more.
#[derive(Clone, Debug, Default)]
pub struct Unused {
    /// Models that no library uses, changes to or is being trained from.
    pub(crate) models: Vec<ModelSummary>,
    /// Libraries with embeddings that their model does not need, and about how many bytes these take.
    pub(crate) embeddings: Vec<(Library, u64)>,
}

impl Unused {
    /// Bytes of the models.
    pub(crate) fn model_bytes(&self) -> u64 {
        self.models.iter().map(|model| model.size).sum()
    }

    /// Bytes of the embeddings, about.
    pub(crate) fn embedding_bytes(&self) -> u64 {
        self.embeddings.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// A library whose lock this process holds.
pub(crate) type Held = (Arc<Library>, Arc<WriterLock>);

/// Finds what nothing uses. What cannot be read is taken for used, and where a library cannot be read, so are all models.
/// Libraries that somebody else writes keep what they have.
///
/// # Errors
/// When the program's data cannot be listed.
pub(crate) fn unused(data: &DataFolder, held: Option<&Held>) -> io::Result<Unused> {
    let models = data.models().list();
    let mut unused = Unused::default();
    let mut used: Option<HashSet<ModelId>> = Some(HashSet::new());
    for library in data.libraries()? {
        match uses(&library, &models) {
            Ok(Uses { models, spare }) => {
                used.iter_mut().for_each(|used| used.extend(models.iter().cloned()));
                let ours = held.is_some_and(|(held, _)| held.folder == library.folder);
                if spare.bytes > 0 && (ours || !library.is_in_use()) {
                    unused.embeddings.push((library, spare.bytes));
                }
            }
            Err(error) => {
                log::warn!("{error}");
                used = None;
            }
        }
    }
    let is_spare = |used: &HashSet<ModelId>, model: &ModelSummary| !model.is_built_in() && !used.contains(&model.id);
    unused.models = used.map_or(Vec::new(), |used| models.into_iter().filter(|m| is_spare(&used, m)).collect());
    Ok(unused)
}

/// What a library needs, and what it does not.
struct Uses {
    models: Vec<ModelId>,
    spare: Spare,
}

/// Embeddings that the library can do without.
#[derive(Default)]
struct Spare {
    /// Of these models and backbones.
    names: Vec<String>,
    bytes: u64,
}

fn uses(library: &Library, models: &[ModelSummary]) -> Result<Uses, Box<dyn std::error::Error>> {
    let Some(catalog) = Catalog::open_read_only(&library.folder)? else {
        return Ok(Uses { models: Vec::new(), spare: Spare::default() });
    };
    let Needs { active, wanted } = needs(&catalog)?;
    let mut used: Vec<ModelId> = std::iter::once(active).chain(wanted).collect();
    // A training that can go on has features of its own.
    if let Some(options) = checkpoint::pending(&library.folder) {
        used.extend(options.start);
        return Ok(Uses { models: used, spare: Spare::default() });
    }
    let known: Option<Vec<&ModelSummary>> = used.iter().map(|id| models.iter().find(|model| model.id == *id)).collect();
    // Of a model that is not there now, nobody knows what it needs.
    let Some(known) = known else { return Ok(Uses { models: used, spare: Spare::default() }) };
    let kept: HashSet<&str> =
        known.into_iter().flat_map(|model| [model.id.as_str(), model.card.backbone.as_str()]).collect();
    let spare: Vec<(String, u64)> =
        catalog.embedding_bytes()?.into_iter().filter(|(name, _)| !kept.contains(name.as_str())).collect();
    let bytes = spare.iter().map(|(_, bytes)| bytes).sum();
    Ok(Uses { models: used, spare: Spare { names: spare.into_iter().map(|(name, _)| name).collect(), bytes } })
}

/// What the user wants thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanUp {
    /// Of these models, those that nothing uses.
    pub(crate) models: Vec<ModelId>,
    pub(crate) embeddings: bool,
}

/// What was thrown away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    pub(crate) models: usize,
    /// Bytes that came free.
    pub(crate) bytes: u64,
}

/// Throws away what nothing uses. What came into use since the user was asked stays.
///
/// # Errors
/// When something could not be deleted; the message says what.
pub(crate) fn clean_up(
    data: &DataFolder,
    clean_up: &CleanUp,
    held: Option<&Held>,
) -> Result<Cleaned, Box<dyn std::error::Error>> {
    let models = data.models();
    let mut cleaned = Cleaned::default();
    for model in unused(data, held)?.models {
        if clean_up.models.contains(&model.id) {
            models.delete(&model.id)?;
            cleaned.models += 1;
            cleaned.bytes += model.size;
        }
    }
    if clean_up.embeddings {
        for (library, _) in unused(data, held)?.embeddings {
            let ours = held.is_some_and(|(held, _)| held.folder == library.folder);
            let lock = if ours { None } else { library.try_lock()? };
            if ours || lock.is_some() {
                cleaned.bytes += forget_spare(&library, &models)?;
            }
        }
    }
    Ok(cleaned)
}

/// Gives the bytes that came free. The caller holds the library's lock.
fn forget_spare(library: &Library, models: &ModelFolder) -> Result<u64, Box<dyn std::error::Error>> {
    let before = catalog_size(&library.folder);
    let spare = uses(library, &models.list())?.spare;
    Catalog::open(&library.folder)?.forget_models(&spare.names)?;
    Ok(before.saturating_sub(catalog_size(&library.folder)))
}

/// Without the log, whose size says nothing.
fn catalog_size(folder: &Path) -> u64 {
    Catalog::file_in(folder).metadata().map_or(0, |metadata| metadata.len())
}

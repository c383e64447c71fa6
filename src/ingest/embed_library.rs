//! Another model's embeddings of a library: what is in the catalog is embedded, and nothing else is touched. The folder is
//! not looked through, and no photo is added, removed or changed, so that the model in use goes on answering with all of
//! them; the next [`super::ingest`] finds what has changed on disk meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::pipeline::{Pipeline, Read, Told};
use super::reader::Reader;
use super::{IngestError, account, check_folder, outcome, project_features, size_wanted};
use crate::catalog::Catalog;
use crate::decode;
use crate::embed::Embedder;
use crate::job::{Cancel, Outcome, Progress, Stage};
use crate::library::Library;
use crate::model::{Architecture, NetworkInput};
use crate::photo::{ContentHash, Embedded, Embedding};

/// What a file has at most, where its size is not known here: a drive gets the time to give so many bytes.
const USUAL_BYTES: u64 = 16 << 20;

/// Embeds every content of the catalog that the model has not embedded: from the backbone's features where these are
/// there, else from a file that has this content. Files that are gone or changed are left for the next scan. What is
/// finished is committed every second, and kept also where the rest is not done. The caller holds the library's lock.
pub(crate) fn embed_library(
    library: &Library,
    catalog: &mut Catalog,
    embedder: &Embedder,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Progress),
) -> Outcome {
    let mut completed = 0;
    let result = run(library, catalog, embedder, cancel, progress, &mut completed);
    outcome(result, cancel, completed)
}

fn run(
    library: &Library,
    catalog: &mut Catalog,
    embedder: &Embedder,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Progress),
    completed: &mut u64,
) -> Result<(), IngestError> {
    progress(Progress::begin(Stage::LoadingModel, None));
    let info = embedder.info()?;
    *completed += project_features(catalog, &info, cancel, progress)?;
    let contents = catalog.contents_to_embed(info.key())?;
    if contents.is_empty() || cancel.is_cancelled() {
        return Ok(());
    }
    check_folder(library, contents.len(), cancel)?;
    let (total, drives) = (contents.len(), drives_of(catalog)?);
    let mut embedded = 0;
    let pipeline = Pipeline { library, info: &info, embedder, cancel };
    embed_contents(pipeline, Stage::Embedding, contents, drives, progress, &mut |finished| {
        catalog.add_embeddings(info.key(), &finished)?;
        embedded += finished.len();
        Ok(())
    })?;
    *completed += embedded as u64;
    if embedded < total && !cancel.is_cancelled() {
        // Single files may be gone; but a drive that was unplugged, or a network that gives nothing, is no success.
        check_folder(library, total - embedded, cancel)?;
        if catalog.contents_to_embed(info.key())?.len() as u64 == catalog.content_count()? {
            return Err(IngestError::NothingEmbedded);
        }
    }
    Ok(())
}

/// Embeds some photos of a library for those who only want to look at the embeddings: nothing is written. In any order,
/// without those whose files are gone or changed; `None` where it was stopped.
///
/// # Errors
/// When the folder is not there, or the model fails.
pub(crate) fn embed_some(
    library: &Library,
    catalog: &Catalog,
    embedder: &Embedder,
    stage: Stage,
    contents: Vec<(ContentHash, Vec<PathBuf>)>,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<HashMap<ContentHash, Embedding>>, IngestError> {
    let info = embedder.info()?;
    check_folder(library, contents.len(), cancel)?;
    let mut embedded = HashMap::new();
    let pipeline = Pipeline { library, info: &info, embedder, cancel };
    embed_contents(pipeline, stage, contents, drives_of(catalog)?, progress, &mut |finished| {
        embedded.extend(finished.into_iter().map(|(content, embedded)| (content, embedded.embedding)));
        Ok(())
    })?;
    Ok((!cancel.is_cancelled()).then_some(embedded))
}

fn drives_of(catalog: &Catalog) -> Result<Vec<PathBuf>, IngestError> {
    Ok(account(catalog)?.drives().map(Path::to_owned).collect())
}

fn embed_contents(
    pipeline: Pipeline,
    stage: Stage,
    contents: Vec<(ContentHash, Vec<PathBuf>)>,
    drives: Vec<PathBuf>,
    progress: &mut dyn FnMut(Progress),
    take: &mut dyn FnMut(Vec<(ContentHash, Embedded)>) -> Result<(), IngestError>,
) -> Result<(), IngestError> {
    let architecture = pipeline.info.architecture;
    let reader = Reader::new(&pipeline.library.root, drives, pipeline.cancel);
    let read = move |_: Option<&Catalog>, (content, paths): (ContentHash, Vec<PathBuf>), late: &dyn Fn()| {
        let input = read_content(&reader, architecture, content, &paths, late);
        input.map_or(Read::Finished(None), |input| Read::ToEmbed(content, input))
    };
    let finish = |content, embedded: Option<Embedded>| embedded.map(|embedded| (content, embedded));
    pipeline.run(stage, contents, read, finish, &mut |told| match told {
        Told::Progress(told) => {
            progress(told);
            Ok(())
        }
        Told::Finished(finished) => take(finished.into_iter().flatten().collect()),
    })
}

/// The network's input from the first of the files that has this content; `None` where none has it any more.
fn read_content(
    reader: &Reader,
    architecture: Architecture,
    content: ContentHash,
    paths: &[PathBuf],
    late: &dyn Fn(),
) -> Option<NetworkInput> {
    paths.iter().find_map(|path| {
        let (bytes, _) = reader.read(path, USUAL_BYTES, late).ok()?;
        if ContentHash::of(&bytes) != content {
            return None;
        }
        let picture = decode::decode_at_least(&bytes, size_wanted(architecture)).ok()?;
        NetworkInput::from_picture(&picture, architecture).ok()
    })
}

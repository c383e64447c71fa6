//! `florascope libraries`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{count_of, day, megabytes, path_to_text, print_error, print_json, print_lines, put_path};
use super::{Common, exit};
use crate::libraries::{CleanUp, LibrarySummary, clean_up, list, unused};
use crate::library::{DataFolder, Library};
use crate::text::escape;

/// What can be done with libraries.
#[derive(Debug, Subcommand)]
pub enum LibrariesCommand {
    /// List the libraries: folder, photos, size on disk, model, last use
    List,
    /// Delete all that the program keeps of a folder; the photos are not touched
    Forget {
        /// The folder, which need not be there any more
        folder: PathBuf,
    },
    /// Throw away embeddings that no library needs
    Clean {
        /// Delete the models that no library uses, too; they cannot be made again as they were
        #[arg(long)]
        models: bool,
        /// Only tell what would be thrown away
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs `florascope libraries`.
pub(crate) fn libraries(data: &DataFolder, command: &LibrariesCommand, common: &Common) -> anyhow::Result<u8> {
    match command {
        LibrariesCommand::List => print_list(&list(data).context(CANNOT_LIST)?, common),
        LibrariesCommand::Forget { folder } => forget(data, folder, common),
        LibrariesCommand::Clean { models, dry_run } => clean(data, *models, *dry_run, common),
    }
}

const CANNOT_LIST: &str = "The program's data cannot be listed";

fn print_list(libraries: &[LibrarySummary], common: &Common) -> anyhow::Result<u8> {
    if common.json {
        print_json(&Value::Array(libraries.iter().map(describe).collect()))?;
    } else if libraries.is_empty() {
        print_lines("No folder has been indexed yet")?;
    } else {
        for library in libraries {
            print_lines(&line(library))?;
        }
    }
    Ok(exit::DONE)
}

/// "12 photos, 3.4 MB, Flowers, used 2026-11-24: /home/ann/Garden".
fn line(library: &LibrarySummary) -> String {
    let (photos, model) = match &library.contents {
        Some(contents) => (count_of(contents.photos, "photo", "photos"), escape(&contents.model_title)),
        None => ("cannot be read".into(), "no model".into()),
    };
    let user = if library.is_in_use { ", in use by another Florascope" } else { "" };
    let gone = if library.is_here { "" } else { ", the folder is not there" };
    let (size, used) = (megabytes(library.size), day(library.opened));
    format!("{photos}, {size}, {model}, used {used}{user}{gone}: {}", path_to_text(&library.library.root))
}

fn describe(library: &LibrarySummary) -> Value {
    let contents = library.contents.as_ref();
    let mut one = json!({
        "photos": contents.map(|contents| contents.photos),
        "problems": contents.map(|contents| contents.problems),
        "model": contents.map(|contents| contents.model.to_string()),
        "model_title": contents.map(|contents| &contents.model_title),
        "bytes": library.size,
        "opened": library.opened,
        "folder_exists": library.is_here,
        "in_use": library.is_in_use,
    });
    put_path(&mut one, "folder", &library.library.root);
    put_path(&mut one, "data", &library.library.folder);
    one
}

fn forget(data: &DataFolder, folder: &Path, common: &Common) -> anyhow::Result<u8> {
    let Some(library) = known(data, folder)? else {
        print_error(&format!(
            "No library belongs to this folder; see `florascope libraries list`: {}",
            folder.display()
        ));
        return Ok(exit::NOT_INDEXED);
    };
    let place = || format!("The library cannot be deleted: {}", library.folder.display());
    let Some(lock) = library.try_lock().with_context(place)? else {
        print_error(&format!("Another Florascope has this folder open: {}", library.root.display()));
        return Ok(exit::IN_USE);
    };
    let bytes = library.size();
    library.forget(&lock).with_context(place)?;
    if common.json {
        let mut one = json!({ "bytes": bytes });
        put_path(&mut one, "forgotten", &library.root);
        print_json(&one)?;
    } else {
        print_lines(&format!("Forgotten, {} came free: {}", megabytes(bytes), path_to_text(&library.root)))?;
    }
    Ok(exit::DONE)
}

/// The library of a folder that may be gone, and so cannot always be asked for its real path.
fn known(data: &DataFolder, folder: &Path) -> anyhow::Result<Option<Library>> {
    let named = std::path::absolute(folder)?;
    let real = folder.canonicalize().unwrap_or_else(|_| named.clone());
    let libraries = data.libraries().context(CANNOT_LIST)?;
    Ok(libraries.into_iter().find(|library| library.root == real || library.root == named))
}

fn clean(data: &DataFolder, models: bool, dry_run: bool, common: &Common) -> anyhow::Result<u8> {
    let mut unused = unused(data, None).context(CANNOT_LIST)?;
    if !models {
        unused.models.clear();
    }
    let bytes = if dry_run {
        unused.model_bytes() + unused.embedding_bytes()
    } else {
        let models = unused.models.iter().map(|model| model.id.clone()).collect();
        let cleaned = clean_up(data, &CleanUp { models, embeddings: true }, None);
        cleaned.map_err(|error| anyhow::anyhow!("{error}"))?.bytes
    };
    if common.json {
        let models: Vec<_> = unused.models.iter().map(|model| json!({ "id": model.id, "bytes": model.size })).collect();
        let embeddings = unused.embeddings.iter().map(|(library, bytes)| {
            let mut one = json!({ "bytes": bytes });
            put_path(&mut one, "folder", &library.root);
            one
        });
        let embeddings: Vec<Value> = embeddings.collect();
        print_json(&json!({ "bytes": bytes, "models": models, "embeddings": embeddings, "dry_run": dry_run }))?;
        return Ok(exit::DONE);
    }
    for model in &unused.models {
        print_lines(&format!("{}: the model {} ({})", megabytes(model.size), model.id, escape(&model.card.title)))?;
    }
    for (library, bytes) in &unused.embeddings {
        print_lines(&format!("{}: embeddings of {}", megabytes(*bytes), path_to_text(&library.root)))?;
    }
    let done = if dry_run { "would come free" } else { "came free" };
    print_lines(&format!("{} {done}", megabytes(bytes)))?;
    Ok(exit::DONE)
}

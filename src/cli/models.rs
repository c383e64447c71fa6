//! `florascope models`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

use super::output::{Bar, percent, print_error, print_json, print_lines};
use super::{Common, exit, open_indexed, open_to_write, stop_on_interrupt};
use crate::active_model::{change_model, delete_model, forget_unneeded, forget_unneeded_everywhere, names};
use crate::artefact::{ArtefactError, Model, ModelFolder, ModelId, ModelSummary, load_weights};
use crate::catalog::Catalog;
use crate::compare::{CompareEvent, compare};
use crate::embed::Embedder;
use crate::ingest::{IngestEvent, ingest};
use crate::job::{Cancel, Outcome};
use crate::library::{DataFolder, Library};
use crate::text::escape;
use crate::train::wording;
use crate::tune::rate_text;

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the models on this computer
    List,
    /// Use a model for a folder: bring its index up to date with it, then answer with it
    Use { model: String, folder: PathBuf },
    /// Compare models on the labelled photos of an indexed folder: accuracy, and speed on this computer
    Compare {
        folder: PathBuf,
        #[arg(required = true)]
        models: Vec<String>,
    },
    /// Give a model another name
    Rename { model: String, name: String },
    /// Delete a model that no folder uses
    Delete { model: String },
    /// Write a model to a file that can be imported elsewhere
    Export {
        model: String,
        file: PathBuf,
        /// Round its numbers to 16 bits: half the size, and nearly the same model, by another id
        #[arg(long)]
        half: bool,
    },
    /// Take in an exported model; or a network's weights (.safetensors, .pt, .pth), to use or to start training from
    Import { file: PathBuf },
}

/// Runs `florascope models`.
pub(crate) fn models(data: &DataFolder, command: &ModelsCommand, common: &Common) -> anyhow::Result<u8> {
    let models = data.models();
    match command {
        ModelsCommand::List => list(&models, common)?,
        ModelsCommand::Use { model, folder } => return use_for_folder(data, &models, model, folder, common),
        ModelsCommand::Compare { folder, models: ids } => return compare_on(data, &models, folder, ids, common),
        ModelsCommand::Rename { model, name } => report(common, &models.rename(model, name)?.summary(), "renamed")?,
        ModelsCommand::Delete { model } => delete(data, &models, model, common)?,
        ModelsCommand::Export { model, file, half } => {
            let exported = models.load(model)?;
            let mut summary = exported.summary();
            if *half {
                summary.id = exported.export_halved(file)?;
            } else {
                models.export(&exported, file)?;
            }
            report(common, &summary, "exported")?;
        }
        ModelsCommand::Import { file } => report(common, &import(&models, file)?.summary(), "imported")?,
    }
    Ok(exit::DONE)
}

fn import(models: &ModelFolder, file: &Path) -> anyhow::Result<Model> {
    match models.import(file) {
        // Perhaps another program's weights.
        Err(ArtefactError::NotOurs { .. }) => {
            let model = load_weights(file)?;
            models.save(&model)?;
            Ok(model)
        }
        imported => Ok(imported?),
    }
}

fn delete(data: &DataFolder, models: &ModelFolder, id: &str, common: &Common) -> anyhow::Result<()> {
    // Also one whose file is damaged can be deleted, but is not in the list.
    let listed = models.list().into_iter().find(|model| model.id == id);
    let away = delete_model(data, models, id)?;
    if !away.is_empty() {
        print_error(&format!("The built-in model will be used for {}", names(&away)));
    }
    // A library that is open in a window follows when it is next indexed.
    forget_unneeded_everywhere(data, models);
    match listed {
        Some(model) => report(common, &model, "deleted"),
        None => Ok(print_lines(&format!("{} deleted", escape(id)))?),
    }
}

fn report(common: &Common, model: &ModelSummary, done: &str) -> anyhow::Result<()> {
    if common.json {
        print_json(&describe(model))?;
    } else {
        print_lines(&format!("{} ({}) {done}", model.id, model.card.title))?;
    }
    Ok(())
}

fn describe(model: &ModelSummary) -> Value {
    json!({ "id": model.id, "bytes": model.size, "card": *model.card })
}

fn list(models: &ModelFolder, common: &Common) -> anyhow::Result<()> {
    let models = models.list();
    if common.json {
        print_json(&Value::Array(models.iter().map(describe).collect()))?;
        return Ok(());
    }
    let width = models.iter().map(|model| model.id.len()).max().unwrap_or(0);
    for model in models {
        let quality = measured(&model).unwrap_or_else(|| "not measured".into());
        print_lines(&format!("{:width$}  {}  ({quality})", model.id, model.card.title))?;
    }
    Ok(())
}

/// R@1 of the model before it and of itself, at each task that it was measured at.
fn measured(model: &ModelSummary) -> Option<String> {
    let rows = &model.card.trained.as_ref()?.evaluation.as_ref()?.rows;
    let of_task = rows.iter().map(|row| {
        let [before, after] = [&row.before, &row.after].map(|score| score.recall_at_1.value);
        format!("{}: R@1 {:.1} -> {}", wording::task_name(row.task).to_lowercase(), before * 100.0, percent(after))
    });
    (!rows.is_empty()).then(|| of_task.collect::<Vec<_>>().join(", "))
}

fn use_for_folder(
    data: &DataFolder,
    models: &ModelFolder,
    id: &str,
    folder: &Path,
    common: &Common,
) -> anyhow::Result<u8> {
    let Some((library, _lock)) = open_to_write(data, folder, false, "; choose the model there")? else {
        return Ok(exit::IN_USE);
    };
    let model = models.load(id)?;
    let cancel = Cancel::default();
    stop_on_interrupt(&cancel)?;
    match use_model(&library, models, &model, common, &cancel, &Bar::new(common.json))? {
        Outcome::Done { .. } => {
            report(common, &model.summary(), "in use now")?;
            Ok(exit::DONE)
        }
        Outcome::Cancelled { .. } => Ok(exit::STOPPED),
        Outcome::Failed { message } => bail!(message),
    }
}

fn compare_on(
    data: &DataFolder,
    models: &ModelFolder,
    folder: &Path,
    ids: &[String],
    common: &Common,
) -> anyhow::Result<u8> {
    let Some((library, catalog)) = open_indexed(data, folder)? else { return Ok(exit::NOT_INDEXED) };
    let ids: Vec<ModelId> = ids.iter().map(|id| id.as_str().into()).collect();
    let cancel = Cancel::default();
    stop_on_interrupt(&cancel)?;
    let (bar, mut rows) = (Bar::new(common.json), Vec::new());
    let device = common.device.unwrap_or_default();
    let is_done = compare(&library, &catalog, models, &ids, device, &cancel, &mut |event| match event {
        CompareEvent::Progress(progress) => bar.show(&progress),
        CompareEvent::Compared(row) => rows.push(row),
    });
    bar.clear();
    if common.json {
        print_json(&serde_json::to_value(&rows)?)?;
    } else {
        let width = rows.iter().map(|row| row.model.len()).max().unwrap_or(0);
        for row in &rows {
            let quality = row.score.map_or_else(
                || "not measured: no photos in folders named after species".to_owned(),
                |score| {
                    let [recall, map] = [score.recall_at_1, score.map_at_r].map(|interval| {
                        format!("{} ± {:.1}", percent(interval.value), (interval.high - interval.low) * 50.0)
                    });
                    format!("R@1 {recall}  MAP@R {map}  ({} queries)", row.queries)
                },
            );
            let known = if row.has_learnt_these { "  trained on these photos: flattered" } else { "" };
            let speed = format!("{} photos a second", rate_text(row.photos_a_second));
            print_lines(&format!("{:width$}  {quality}  {speed}{known}", row.model))?;
        }
    }
    Ok(if is_done? { exit::DONE } else { exit::STOPPED })
}

/// Changes a library to a model, and brings it up to date with its folder. The caller holds the library's lock.
pub(super) fn use_model(
    library: &Library,
    models: &ModelFolder,
    model: &Model,
    common: &Common,
    cancel: &Cancel,
    bar: &Bar,
) -> anyhow::Result<Outcome> {
    let mut catalog = Catalog::open(&library.folder)?;
    let embedder = Embedder::start(common.device.unwrap_or_default(), model.clone())?;
    let mut outcome =
        change_model(library, &mut catalog, &model.id, &embedder, cancel, &mut |progress| bar.show(&progress));
    if matches!(outcome, Outcome::Done { .. }) {
        outcome = ingest(library, &mut catalog, &embedder, cancel, &mut |event| show_ingest(bar, event));
    }
    bar.clear();
    if matches!(outcome, Outcome::Done { .. }) {
        forget_unneeded(library, &mut catalog, models, None);
    }
    Ok(outcome)
}

pub(super) fn show_ingest(bar: &Bar, event: IngestEvent) {
    if let IngestEvent::Progress(progress) = event {
        bar.show(&progress);
    }
}

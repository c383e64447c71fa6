//! `florascope train` and `florascope models`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Bar, Common, exit, library_of, print_json, print_line_json, print_lines, stop_on_interrupt};
use crate::artefact::{Model, ModelFolder};
use crate::catalog::Catalog;
use crate::embed::Embedder;
use crate::in_use::{change_model, model_in_use};
use crate::ingest::IngestEvent;
use crate::job::{Cancel, Outcome, Progress};
use crate::library::{DataFolder, Library};
use crate::model::weight_file;
use crate::train::Trained;
use crate::train::plan::{PlanEvent, TrainingPlan};
use crate::train::report::{Focus, Interval, Loss, Proof, Recipe, Task, TrainEvent, TrainOptions, TrainProgress};

/// How to train.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// A folder of photos; its sub-folders are taken for species
    folder: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    recipe: Recipe,
    /// What to learn by [default: what was measured to be best]
    #[arg(long, value_enum)]
    loss: Option<Loss>,
    /// Passes over the photos [default: the recipe's]
    #[arg(long)]
    epochs: Option<u32>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Which species the model is meant for
    #[arg(long, value_enum, default_value_t)]
    focus: Focus,
    /// The model to start from, see `florascope models list` [default: the built-in one]
    #[arg(long, value_name = "MODEL")]
    start: Option<String>,
    /// Go on from the last checkpoint of a training that was stopped or killed
    #[arg(long)]
    resume: bool,
    /// Use the new model also where it is not better
    #[arg(long)]
    use_anyway: bool,
}

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the models on this computer
    List,
    /// Use a model for a folder
    Use { model: String, folder: PathBuf },
    /// Give a model another name
    Rename { model: String, title: String },
    /// Delete a model
    Delete { model: String },
    /// Write a model to a file that can be imported elsewhere
    Export { model: String, file: PathBuf },
    /// Take in a model from a file; or a network's weights (.safetensors, .pt, .pth) to start from
    Import { file: PathBuf },
}

/// Runs `florascope train`.
pub fn train(data: &DataFolder, arguments: &TrainArguments, common: &Common) -> anyhow::Result<u8> {
    let library = library_of(data, &arguments.folder)?;
    let Some(_lock) = library.lock().context("The library cannot be written")? else {
        eprintln!("Another Florascope has this folder open; train there: {}", library.root.display());
        return Ok(exit::IN_USE);
    };
    let models = data.models();
    let present = model_in_use(&Catalog::open(&library.folder)?, &models)?;
    let embedder = Embedder::start(common.device, present.clone())?;
    let options = TrainOptions {
        recipe: arguments.recipe,
        loss: arguments.loss,
        epochs: arguments.epochs,
        seed: arguments.seed,
        focus: arguments.focus,
        start: arguments.start.clone(),
    };
    let (stop, cancel) = (Cancel::default(), Cancel::default());
    stop_on_interrupt(&cancel)?;
    let plan = TrainingPlan {
        library: &library,
        models: &models,
        device: common.device,
        present: &present,
        embedder: &embedder,
        options: &options,
        resume: arguments.resume,
        stop: &stop,
        cancel: &cancel,
    };
    let bar = Bar::new(common.json);
    let trained = plan.run(&mut |event| match event {
        PlanEvent::Ingest(event) | PlanEvent::OfAnotherModel(event) => show_ingest(&bar, event),
        PlanEvent::Training(event) => show_training(&bar, event, common.json),
    })?;
    bar.clear();
    let Some(Trained { model, proof, .. }) = trained else {
        eprintln!("Stopped. A training of a whole network goes on from its last checkpoint with --resume");
        return Ok(exit::STOPPED);
    };
    let used = proof.better || arguments.use_anyway;
    if !common.json {
        print_proof(&proof)?;
    }
    if used {
        drop(embedder);
        match use_model(&library, &model, common, &cancel, &bar)? {
            Outcome::Done { .. } => {}
            Outcome::Cancelled { .. } => return Ok(exit::STOPPED),
            Outcome::Failed { message } => bail!(message),
        }
    }
    if common.json {
        let seconds = model.card.trained.as_ref().map(|trained| trained.seconds);
        print_line_json(&json!({ "model": model.id, "used": used, "seconds": seconds, "proof": *proof }))?;
    } else {
        let seconds = model.card.trained.as_ref().map_or(0.0, |trained| trained.seconds);
        let state = if used { "in use now" } else { "kept, but not used" };
        print_lines(&format!("Model {} ({state}), trained in {seconds:.1} s", model.id))?;
    }
    Ok(exit::DONE)
}

fn use_model(library: &Library, model: &Model, common: &Common, cancel: &Cancel, bar: &Bar) -> anyhow::Result<Outcome> {
    let mut catalog = Catalog::open(&library.folder)?;
    let embedder = Embedder::start(common.device, model.clone())?;
    let outcome = change_model(library, &mut catalog, &model.id, &embedder, cancel, &mut |event| {
        show_ingest(bar, event);
    });
    bar.clear();
    Ok(outcome)
}

fn show_ingest(bar: &Bar, event: IngestEvent) {
    if let IngestEvent::Progress(progress) = event {
        bar.show(&progress);
    }
}

/// On a terminal a bar; with `--json` a line for each event, so that another program can follow.
fn show_training(bar: &Bar, event: TrainEvent, as_json: bool) {
    let line = match event {
        TrainEvent::Progress(progress) => {
            bar.show(&as_progress(&progress));
            json!({ "event": "progress", "progress": progress })
        }
        TrainEvent::Curve(point) => json!({ "event": "curve", "point": point }),
        TrainEvent::Notice(text) => {
            if !as_json {
                bar.line(&text);
            }
            json!({ "event": "notice", "text": text })
        }
        TrainEvent::Proof(proof) => json!({ "event": "proof", "proof": *proof }),
    };
    if as_json {
        // A reader that went away is no reason to stop the training.
        let _ = print_line_json(&line);
    }
}

fn as_progress(training: &TrainProgress) -> Progress {
    Progress {
        done: training.step,
        total: (training.steps > 0).then_some(training.steps),
        rate: training.rate,
        ..Progress::begin(training.stage, None)
    }
}

fn print_proof(proof: &Proof) -> std::io::Result<()> {
    print_lines(&proof.verdict)?;
    let percent = |interval: &Interval| {
        let Interval { value, low, high } = interval;
        format!("{:5.1} ({:.1}-{:.1})", value * 100.0, low * 100.0, high * 100.0)
    };
    for row in &proof.rows {
        let task = match row.task {
            Task::SeenSpecies => "seen species",
            Task::UnseenSpecies => "unseen species",
            Task::AlteredViews => "altered views",
        };
        for (which, score) in [("before", &row.before), ("after", &row.after)] {
            print_lines(&format!(
                "{task:14}  {which:6}  R@1 {}  R@5 {}  MAP@R {}  ({} queries, {} photos)",
                percent(&score.recall_at_1),
                percent(&score.recall_at_5),
                percent(&score.map_at_r),
                row.queries,
                row.gallery
            ))?;
        }
    }
    Ok(())
}

/// Runs `florascope models`.
pub fn models(data: &DataFolder, command: &ModelsCommand, common: &Common) -> anyhow::Result<u8> {
    let models = data.models();
    match command {
        ModelsCommand::List => list(&models, common)?,
        ModelsCommand::Use { model, folder } => return use_for_folder(data, &models, model, folder, common),
        ModelsCommand::Rename { model, title } => {
            let renamed = models.rename(model, title)?;
            report(common, &renamed, "renamed")?;
        }
        ModelsCommand::Delete { model } => {
            let deleted = models.load(model)?;
            models.delete(model)?;
            report(common, &deleted, "deleted")?;
        }
        ModelsCommand::Export { model, file } => {
            let exported = models.load(model)?;
            models.export(&exported, file)?;
            report(common, &exported, "exported")?;
        }
        ModelsCommand::Import { file } => {
            let model = match models.import(file) {
                Ok(model) => model,
                // Not a model of ours: perhaps another program's weights.
                Err(error) => match weight_file::load(file) {
                    Ok(model) => {
                        models.save(&model)?;
                        model
                    }
                    Err(other) if is_weight_file(file) => bail!(other),
                    Err(_) => bail!(error),
                },
            };
            report(common, &model, "imported")?;
        }
    }
    Ok(exit::DONE)
}

/// Whether its name says that a file holds another program's weights.
fn is_weight_file(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "pt" || extension == "pth" || extension == "safetensors")
}

fn report(common: &Common, model: &Model, done: &str) -> anyhow::Result<()> {
    if common.json {
        print_json(&describe(model))?;
    } else {
        print_lines(&format!("{} ({}) {done}", model.id, model.card.title))?;
    }
    Ok(())
}

fn describe(model: &Model) -> Value {
    json!({ "id": model.id, "bytes": model.size(), "card": *model.card })
}

fn list(models: &ModelFolder, common: &Common) -> anyhow::Result<()> {
    let models = models.list();
    if common.json {
        print_json(&Value::Array(models.iter().map(describe).collect()))?;
        return Ok(());
    }
    for model in models {
        let quality = model.card.trained.as_ref().and_then(|trained| trained.proof.as_ref()).map(|proof| {
            let rows = proof.rows.iter().map(|row| {
                let percent = |interval: &Interval| interval.value * 100.0;
                format!("R@1 {:.1} -> {:.1}", percent(&row.before.recall_at_1), percent(&row.after.recall_at_1))
            });
            rows.collect::<Vec<_>>().join(", ")
        });
        let quality = quality.filter(|text| !text.is_empty()).unwrap_or_else(|| "not measured".into());
        print_lines(&format!("{:32}  {}  {}", model.id, model.card.title, quality))?;
    }
    Ok(())
}

fn use_for_folder(
    data: &DataFolder,
    models: &ModelFolder,
    id: &str,
    folder: &Path,
    common: &Common,
) -> anyhow::Result<u8> {
    let library = library_of(data, folder)?;
    let Some(_lock) = library.lock().context("The library cannot be written")? else {
        eprintln!("Another Florascope has this folder open; choose the model there: {}", library.root.display());
        return Ok(exit::IN_USE);
    };
    let model = models.load(id)?;
    let cancel = Cancel::default();
    stop_on_interrupt(&cancel)?;
    match use_model(&library, &model, common, &cancel, &Bar::new(common.json))? {
        Outcome::Done { .. } => {
            report(common, &model, "in use now")?;
            Ok(exit::DONE)
        }
        Outcome::Cancelled { .. } => Ok(exit::STOPPED),
        Outcome::Failed { message } => bail!(message),
    }
}

//! `florascope train`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::models::use_model;
use super::output::{Bar, count_of, print_error, print_line_json, print_lines};
use super::{Common, exit, open_to_write, stop_on_interrupt};
use crate::active_model::{active_model, forget_unneeded};
use crate::artefact::{EvaluationReport, Focus, Interval, Loss, ModelId, Recipe, TrainOptions};
use crate::catalog::Catalog;
use crate::embed::Embedder;
use crate::job::{Cancel, Outcome, Progress};
use crate::library::DataFolder;
use crate::train::plan::TrainingPlan;
use crate::train::progress::{TrainEvent, TrainProgress};
use crate::train::{Trained, Training, TrainingEvent, wording};

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
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    epochs: Option<u32>,
    /// The same seed on the same device gives the same model
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Which species the model is meant for
    #[arg(long, value_enum, default_value_t)]
    focus: Focus,
    /// The model to start from, see `florascope models list` [default: the one in use; the built-in one
    /// where that one's whole network was trained]
    #[arg(long, value_name = "MODEL")]
    start: Option<ModelId>,
    /// Learn from all photos: a better model, perhaps, of which nothing is measured
    #[arg(long)]
    learn_from_all: bool,
    /// Go on from the last checkpoint of a training that was stopped or killed
    #[arg(long)]
    resume: bool,
    /// Use the new model also where it is not better
    #[arg(long)]
    use_anyway: bool,
}

/// Runs `florascope train`.
pub(crate) fn train(data: &DataFolder, arguments: &TrainArguments, common: &Common) -> anyhow::Result<u8> {
    let Some((library, _lock)) = open_to_write(data, &arguments.folder, false, "; train there")? else {
        return Ok(exit::IN_USE);
    };
    let models = data.models();
    let active = active_model(&Catalog::open(&library.folder)?, &models)?;
    let embedder = Embedder::start(common.device.unwrap_or_default(), active.clone())?;
    let options = TrainOptions {
        recipe: arguments.recipe,
        loss: arguments.loss,
        epochs: arguments.epochs,
        seed: arguments.seed,
        focus: arguments.focus,
        start: arguments.start.clone(),
        learn_from_all: arguments.learn_from_all,
    };
    let (stop, cancel) = (Cancel::default(), Cancel::default());
    stop_on_interrupt(&cancel)?;
    let plan = TrainingPlan {
        library: &library,
        models: &models,
        device: common.device.unwrap_or_default(),
        active: &active,
        embedder: &embedder,
        options: &options,
        resume: arguments.resume,
        stop: &stop,
        cancel: &cancel,
    };
    let bar = Bar::new(common.json);
    let trained = Training::new(plan)?.run(&mut |event| match event {
        // Of what the indexing has to say, the bar has its progress.
        TrainingEvent::Ingest(_) => {}
        TrainingEvent::Train(event) => show_training(&bar, event, common.json),
    })?;
    bar.clear();
    let Some(Trained { model, evaluation, seconds, .. }) = trained else {
        print_error("Stopped. A training of a whole network goes on from its last checkpoint with --resume");
        return Ok(exit::STOPPED);
    };
    let used = evaluation.better || arguments.use_anyway;
    if !common.json {
        print_evaluation(&evaluation, options.focus)?;
    }
    if used {
        drop(embedder);
        match use_model(&library, &models, &model, common, &cancel, &bar)? {
            Outcome::Done { .. } => {}
            Outcome::Cancelled { .. } => return Ok(exit::STOPPED),
            Outcome::Failed { message } => bail!(message),
        }
    } else {
        forget_unneeded(&library, &mut Catalog::open(&library.folder)?, &models, Some(&model.id));
    }
    if common.json {
        print_line_json(&json!({ "model": model.id, "used": used, "seconds": seconds, "proof": *evaluation }))?;
    } else {
        let state = if used || model.id == active.id { "in use now" } else { "kept, but not used" };
        print_lines(&format!("Model {} ({state}), trained in {seconds:.1} s", model.id))?;
    }
    Ok(exit::DONE)
}

/// On a terminal a bar; with `--json` a line for each event, so that another program can follow.
fn show_training(bar: &Bar, event: TrainEvent, as_json: bool) {
    let line = match event {
        TrainEvent::Progress(progress) => {
            bar.show(&as_progress(&progress));
            json!({ "event": "progress", "progress": progress })
        }
        TrainEvent::Steps(steps) => json!({ "event": "steps", "steps": *steps }),
        TrainEvent::Curve(point) => json!({ "event": "curve", "point": point }),
        TrainEvent::CurveReplaced(points) => json!({ "event": "curve_replaced", "points": points }),
        TrainEvent::Notice(text) => {
            if !as_json {
                bar.line(&text);
            }
            json!({ "event": "notice", "text": text })
        }
        TrainEvent::Evaluated(report) => json!({ "event": "proof", "proof": *report }),
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

fn print_evaluation(report: &EvaluationReport, focus: Focus) -> std::io::Result<()> {
    print_lines(&format!("{}.", wording::headline(report, focus)))?;
    let percent = |interval: &Interval| {
        let Interval { value, low, high } = interval;
        format!("{:5.1} ({:.1}-{:.1})", value * 100.0, low * 100.0, high * 100.0)
    };
    for row in &report.rows {
        let task = wording::task_name(row.task);
        for (which, score) in [("before", &row.before), ("after", &row.after)] {
            print_lines(&format!(
                "{task:15}  {which:6}  R@1 {}  R@5 {}  MAP@R {}  ({}, {})",
                percent(&score.recall_at_1),
                percent(&score.recall_at_5),
                percent(&score.map_at_r),
                count_of(row.queries, "query", "queries"),
                count_of(row.gallery, "photo", "photos")
            ))?;
        }
    }
    Ok(())
}

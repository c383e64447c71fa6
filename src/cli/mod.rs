//! The same jobs and queries without a window, for scripts and for computers without a screen.

mod identify;
mod libraries;
mod models;
mod output;
mod train;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use self::models::show_ingest;
pub use self::output::print_error;
use self::output::{
    Bar, count_of, path_to_text, percent, print_account, print_json, print_lines, print_problems, problems_json,
    put_account, put_metadata, put_path,
};
use crate::active_model::{active_model, change_model, forget_unneeded, model_wanted};
use crate::catalog::Catalog;
use crate::device::DeviceChoice;
use crate::embed::Embedder;
use crate::evaluate::Evaluation;
use crate::filter::{Choice, Filter};
use crate::ingest::{COMPLETE, YES, account, describe_library, ingest_again};
use crate::job::{Cancel, Outcome, Progress, Stage};
use crate::library::{DataFolder, Library, WriterLock};
use crate::metadata::Days;
use crate::model::NetworkInput;
use crate::moved::recognise;
use crate::names::composed;
use crate::pairs::pairs;
use crate::photo::{PhotoId, label_of};
use crate::query::{Gallery, QueryError, embed_picture, read_photo};
use crate::scan::{Again, scan};

/// Exit codes, documented in `--help`.
pub mod exit {
    pub const DONE: u8 = 0;
    pub const FAILED: u8 = 1;
    /// Wrong use; clap's own code.
    pub const USAGE: u8 = 2;
    /// Done, but some files could not be read.
    pub const WITH_PROBLEMS: u8 = 3;
    /// Another Florascope is writing this library.
    pub const IN_USE: u8 = 4;
    /// The folder has not been indexed yet.
    pub const NOT_INDEXED: u8 = 5;
    /// The library has nothing like the photo.
    pub const NOTHING_LIKE_IT: u8 = 6;
    /// Stopped by Ctrl-C; what was finished is kept.
    pub const STOPPED: u8 = 130;
}

const EXIT_HELP: &str = "Exit codes: 0 done; 1 failed; 2 wrong use; 3 done, but some files could not be read; \
    4 another Florascope is writing this library; 5 the folder has not been indexed; 6 nothing like it is in the folder; 130 stopped, what was finished is kept \
    (a second Ctrl-C ends the program at once)";

/// Find the flowers that look like this one: drop a photo, see the most similar ones in your folder.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_HELP)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A folder of photos to open in the window, or a photo to search with in the folder that was opened last
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
    /// Log how long the window's frames take to FILE, and show it in a corner
    #[arg(long, value_name = "FILE", env = "FLORASCOPE_FRAME_LOG")]
    pub frame_log: Option<PathBuf>,
    /// Keep FILE up to date with what the window shows (for tests)
    #[arg(long, hide = true, value_name = "FILE")]
    pub describe_window: Option<PathBuf>,
    /// Wait no longer than so many seconds for a drive (for tests)
    #[arg(long, hide = true, global = true, value_name = "SECONDS")]
    pub patience: Option<u64>,
    /// Take work for long from so many seconds on (for tests)
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub long_after: Option<u64>,
}

/// Options that the window and every subcommand take.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Where the program keeps its own data [default: the system's place for it]
    #[arg(long, global = true, env = "FLORASCOPE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What the model computes on [default: auto; in the window what was chosen there]
    #[arg(long, global = true, value_enum, env = "FLORASCOPE_DEVICE")]
    pub device: Option<DeviceChoice>,
    /// Print JSON. A path that is no text is there twice: as near as text comes, and as Base64 in NAME_bytes
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be done without a window.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Index a folder: read what is new or changed, forget what is gone
    #[command(after_help = EXIT_HELP)]
    Index {
        folder: PathBuf,
        /// Where the photos look like those of a folder that is no more where it was: index them anew all the same
        #[arg(long)]
        anew: bool,
        /// Read all files again, also those that look unchanged
        #[arg(long)]
        read_again: bool,
        /// Read files again whose problem is known to last: a decoder crashed or hung on them
        #[arg(long, conflicts_with = "read_again")]
        retry: bool,
    },
    /// Find the photos of an indexed folder that are most similar to each PHOTO
    #[command(after_help = EXIT_HELP)]
    Search {
        folder: PathBuf,
        #[arg(required = true)]
        photos: Vec<PathBuf>,
        /// Results for each photo
        #[arg(short = 'k', long, default_value_t = 10)]
        results: usize,
        /// Only photos taken on this day or later, or in this month or year: 2024-05-12, 2024-05 or 2024
        #[arg(long, value_name = "DATE", value_parser = parse_days)]
        from: Option<Days>,
        /// Only photos taken on this day or earlier
        #[arg(long, value_name = "DATE", value_parser = parse_days)]
        to: Option<Days>,
    },
    /// Name what each PHOTO shows, by the photos of an indexed folder that it is near to
    #[command(after_help = EXIT_HELP)]
    Identify(identify::IdentifyArguments),
    /// Tell what is indexed of a folder, or list all libraries
    #[command(after_help = EXIT_HELP)]
    Status { folder: Option<PathBuf> },
    /// Measure retrieval quality; a photo's label is the name of its folder
    #[command(after_help = EXIT_HELP)]
    Evaluate {
        folder: PathBuf,
        /// Photos to search with, in folders named like those of the library
        #[arg(long, value_name = "DIR", required_unless_present = "leave_one_out", conflicts_with = "leave_one_out")]
        queries: Option<PathBuf>,
        /// Search with each photo of the library among all others
        #[arg(long)]
        leave_one_out: bool,
        /// Measure the answers to "what is it?" instead: how many are right and as sure as they say
        #[arg(long)]
        identify: bool,
        /// With --identify: photos of what the library has nothing like, which are to be refused
        #[arg(long, value_name = "DIR", requires = "identify")]
        strangers: Option<PathBuf>,
    },
    /// Train a model on a folder, prove that it is better, and use it
    #[command(after_help = EXIT_HELP)]
    Train(train::TrainArguments),
    /// The models on this computer
    #[command(subcommand, after_help = EXIT_HELP)]
    Models(models::ModelsCommand),
    /// The libraries on this computer: what the program keeps of each folder that was indexed
    #[command(subcommand, after_help = EXIT_HELP)]
    Libraries(libraries::LibrariesCommand),
}

/// Runs a subcommand and gives its exit code.
///
/// # Errors
/// What went wrong, for standard error; the exit code is then [`exit::FAILED`].
pub fn run(command: &Command, common: &Common) -> anyhow::Result<u8> {
    let data = DataFolder::open(common.data_dir.clone()).context("The program's data folder cannot be used")?;
    match command {
        Command::Index { folder, anew, read_again, retry } => {
            let again = match (read_again, retry) {
                (true, _) => Again::Everything,
                (false, true) => Again::Problems(Vec::new()),
                (false, false) => Again::Nothing,
            };
            index(&data, folder, *anew, &again, common)
        }
        Command::Search { folder, photos, results, from, to } => {
            search(&data, folder, photos, *results, &taken_between(*from, *to), common)
        }
        Command::Status { folder } => status(&data, folder.as_deref(), common),
        Command::Train(arguments) => train::train(&data, arguments, common),
        Command::Models(command) => models::models(&data, command, common),
        Command::Libraries(command) => libraries::libraries(&data, command, common),
        Command::Identify(arguments) => identify::identify(&data, arguments, common),
        Command::Evaluate { folder, queries, identify: true, strangers, .. } => {
            evaluate_identification(&data, folder, queries.as_deref(), strangers.as_deref(), common)
        }
        Command::Evaluate { folder, queries, .. } => evaluate(&data, folder, queries.as_deref(), common),
    }
}

fn parse_days(text: &str) -> Result<Days, String> {
    Days::parse(text).ok_or_else(|| "not a date such as 2024-05-12, 2024-05 or 2024".into())
}

/// Without either, photos of which nobody knows when they were taken are meant as well.
fn taken_between(from: Option<Days>, to: Option<Days>) -> Filter {
    if from.is_none() && to.is_none() {
        return Filter::default();
    }
    let all = Days::ALL;
    let (from, to) = (from.map_or(all.from, |days| days.from), to.map_or(all.to, |days| days.to));
    Filter::only(Choice::Days(Days { from, to }))
}

fn library_of(data: &DataFolder, folder: &Path) -> anyhow::Result<Library> {
    data.library(folder).with_context(|| format!("The folder cannot be opened: {}", folder.display()))
}

/// The library of a folder with the right to write it; `None`, with a word on standard error, where another Florascope
/// has that. A folder whose photos were elsewhere before goes on with the library of that place, unless `anew`.
fn open_to_write(
    data: &DataFolder,
    folder: &Path,
    anew: bool,
    what_to_do: &str,
) -> anyhow::Result<Option<(Library, WriterLock)>> {
    const UNWRITABLE: &str = "The library cannot be written; what is indexed can be searched";
    let library = library_of(data, folder)?;
    let before = if anew || library.is_known().context(UNWRITABLE)? { None } else { recognise(data, &library.root) };
    let opened = match &before {
        None => library.lock().context(UNWRITABLE)?.map(|lock| (library.clone(), lock)),
        Some(before) => {
            let moved = before.move_to(library.root.clone()).context(UNWRITABLE)?;
            if moved.is_some() {
                let text = looks_like(before);
                print_error(&format!("{text}: going on with its index and its model (`index --anew` does not)"));
            }
            moved
        }
    };
    if opened.is_none() {
        let root = before.as_ref().unwrap_or(&library).root.display();
        print_error(&format!("Another Florascope has this folder open{what_to_do}: {root}"));
    }
    Ok(opened)
}

fn looks_like(before: &Library) -> String {
    format!("This looks like {}, which was at {}", before.name(), before.root.display())
}

fn index(data: &DataFolder, folder: &Path, anew: bool, again: &Again, common: &Common) -> anyhow::Result<u8> {
    let Some((library, _lock)) = open_to_write(data, folder, anew, " and keeps it indexed")? else {
        return Ok(exit::IN_USE);
    };
    let mut catalog = Catalog::open(&library.folder)?;
    // A change of the model that was interrupted, or that a newer version of the program asks for, goes on.
    let wanted = model_wanted(&library, &catalog, &data.models())?;
    let model = wanted.clone().map_or_else(|| active_model(&catalog, &data.models()), Ok)?;
    let embedder = Embedder::start(common.device.unwrap_or_default(), model)?;
    let device = embedder.info()?.device;
    let cancel = Cancel::default();
    stop_on_interrupt(&cancel)?;
    let bar = Bar::new(common.json);
    let started = Instant::now();
    let changed = wanted.map(|model| {
        change_model(&library, &mut catalog, &model.id, &embedder, &cancel, &mut |progress| bar.show(&progress))
    });
    let outcome = match changed {
        Some(stopped @ (Outcome::Cancelled { .. } | Outcome::Failed { .. })) => stopped,
        Some(Outcome::Done { .. }) | None => {
            ingest_again(&library, &mut catalog, &embedder, again, &cancel, &mut |event| show_ingest(&bar, event))
        }
    };
    if matches!(outcome, Outcome::Done { .. }) {
        describe_library(&library, &mut catalog, &cancel, &mut |progress, _| bar.show(&progress))?;
    }
    bar.clear();
    if matches!(outcome, Outcome::Done { .. }) {
        forget_unneeded(&library, &mut catalog, &data.models(), None);
    }
    let seconds = started.elapsed().as_secs_f64();
    let (word, completed, code) = match outcome {
        Outcome::Done { completed } => ("done", completed, exit::DONE),
        Outcome::Cancelled { completed } => ("stopped", completed, exit::STOPPED),
        Outcome::Failed { message } => bail!(message),
    };
    let problems = catalog.problems()?;
    let (photos, account) = (catalog.photo_count()?, account(&catalog)?);
    if common.json {
        let mut report = json!({
            "outcome": word, "photos": photos, "read": completed, "seconds": seconds, "device": device,
            "problems": problems_json(&problems),
        });
        put_account(&mut report, &account);
        print_json(&report)?;
    } else {
        print_lines(&format!(
            "{} indexed; {} read in {seconds:.1} s ({:.0} a second) on {device}",
            count_of(photos, "photo", "photos"),
            count_of(completed, "file", "files"),
            completed as f64 / seconds.max(1e-9)
        ))?;
        print_account(&account)?;
        print_problems(&problems);
    }
    Ok(if code == exit::DONE && !problems.is_empty() { exit::WITH_PROBLEMS } else { code })
}

/// Opens an indexed folder for reading; `None`, with a word on standard error, where it has not been indexed.
fn open_indexed(data: &DataFolder, folder: &Path) -> anyhow::Result<Option<(Library, Catalog)>> {
    let library = library_of(data, folder)?;
    let catalog = Catalog::open_read_only(&library.folder)?;
    if catalog.is_none() {
        let known = recognise(data, &library.root).map(|before| format!(" ({})", looks_like(&before)));
        let known = known.unwrap_or_default();
        print_error(&format!("Not indexed yet; run `florascope index` first{known}: {}", library.root.display()));
    }
    Ok(catalog.map(|catalog| (library, catalog)))
}

fn search(
    data: &DataFolder,
    folder: &Path,
    photos: &[PathBuf],
    results: usize,
    filter: &Filter,
    common: &Common,
) -> anyhow::Result<u8> {
    let Some((library, catalog)) = open_indexed(data, folder)? else { return Ok(exit::NOT_INDEXED) };
    let embedder = Embedder::start(common.device.unwrap_or_default(), active_model(&catalog, &data.models())?)?;
    let model = embedder.info()?;
    let mut gallery = Gallery::load(&catalog, model.key(), model.dimension)?;
    let account = account(&catalog)?;
    let mut code = exit::DONE;
    let mut answers = Vec::new();
    for path in photos {
        let answer = read_photo(path, model.architecture, &Cancel::default())
            .and_then(|picture| embed_picture(&embedder, &picture))
            .map(|embedding| gallery.rank(&embedding, None, filter, Some(results)));
        match answer {
            Ok(hits) if common.json => {
                let hits = hits.iter().enumerate().map(|(rank, hit)| {
                    let mut result = json!({ "rank": rank + 1, "similarity": hit.similarity, "label": null });
                    if let Some(label) = hit.photo.label() {
                        put_path(&mut result, "label", Path::new(&*label));
                    }
                    put_path(&mut result, "path", &library.root.join(&hit.photo.path));
                    result["away"] = json!(account.is_away(&hit.photo.path));
                    put_metadata(&mut result, &hit.photo.metadata);
                    if let Some(raw) = &hit.raw {
                        put_path(&mut result, "raw", &library.root.join(&raw.path));
                    }
                    result
                });
                let mut answer = json!({ "results": hits.collect::<Vec<_>>() });
                put_path(&mut answer, "query", path);
                answers.push(answer);
            }
            Ok(hits) => {
                let mut lines = path_to_text(path);
                for (rank, hit) in hits.iter().enumerate() {
                    let similarity = hit.similarity.unwrap_or_default();
                    let found = path_to_text(&library.root.join(&hit.photo.path));
                    let away = if account.is_away(&hit.photo.path) { "  (its drive is away)" } else { "" };
                    lines += &format!("\n{:4}  {similarity:.3}  {found}{away}", rank + 1);
                }
                print_lines(&lines)?;
            }
            Err(error) => {
                print_error(&error.to_string());
                let mut answer = json!({ "error": error.to_string() });
                put_path(&mut answer, "query", path);
                answers.push(answer);
                code = if photos.len() == 1 { exit::FAILED } else { exit::WITH_PROBLEMS };
            }
        }
    }
    if common.json {
        print_json(&Value::Array(answers))?;
    }
    Ok(code)
}

fn status(data: &DataFolder, folder: Option<&Path>, common: &Common) -> anyhow::Result<u8> {
    let libraries = match folder {
        Some(folder) => match open_indexed(data, folder)? {
            Some(library) => vec![library],
            None => return Ok(exit::NOT_INDEXED),
        },
        None => data
            .libraries()?
            .into_iter()
            .filter_map(|library| Some((library.clone(), Catalog::open_read_only(&library.folder).ok()??)))
            .collect(),
    };
    let mut report = Vec::new();
    for (library, catalog) in &libraries {
        let (photos, problems) = (catalog.photo_count()?, catalog.problems()?);
        let complete = catalog.fact(COMPLETE)?.as_deref() == Some(YES);
        let in_use = library.is_in_use();
        if common.json {
            let mut one = json!({
                "photos": photos, "complete": complete, "in_use": in_use, "problems": problems_json(&problems),
            });
            put_account(&mut one, &account(catalog)?);
            put_path(&mut one, "folder", &library.root);
            put_path(&mut one, "data", &library.folder);
            report.push(one);
        } else {
            let state = if complete { "" } else { ", indexing was not finished" };
            let user = if in_use { ", in use by another Florascope" } else { "" };
            print_lines(&format!(
                "{}, {}{state}{user}: {}",
                count_of(photos, "photo", "photos"),
                count_of(problems.len() as u64, "problem", "problems"),
                path_to_text(&library.root)
            ))?;
            if folder.is_some() {
                print_account(&account(catalog)?)?;
                print_problems(&problems);
            }
        }
    }
    match (common.json, folder) {
        (true, Some(_)) => print_json(&report.pop().unwrap_or_default())?,
        (true, None) => print_json(&Value::Array(report))?,
        (false, None) if libraries.is_empty() => print_lines("No folder has been indexed yet")?,
        (false, _) => {}
    }
    Ok(exit::DONE)
}

fn evaluate(data: &DataFolder, folder: &Path, queries: Option<&Path>, common: &Common) -> anyhow::Result<u8> {
    let Some((_, catalog)) = open_indexed(data, folder)? else { return Ok(exit::NOT_INDEXED) };
    let embedder = Embedder::start(common.device.unwrap_or_default(), active_model(&catalog, &data.models())?)?;
    let model = embedder.info()?;
    let mut gallery = Gallery::load(&catalog, model.key(), model.dimension)?;
    let mut evaluation = Evaluation::default();
    match queries {
        None => gallery.evaluate_leave_one_out(&mut evaluation)?,
        Some(queries) => {
            let embedded = embed_labelled(&embedder, queries, &mut evaluation, &Bar::new(common.json))?;
            let queries: Vec<_> = embedded.into_iter().map(|(embedding, label)| (embedding, label, None)).collect();
            gallery.evaluate(&queries, &mut evaluation);
        }
    }
    let quality = evaluation.quality();
    if quality.queries == 0 {
        bail!(
            "No labelled photo to search with was found that has others of its label in the library; a label is the \
             name of the folder that a photo lies in"
        );
    }
    if common.json {
        print_json(&serde_json::to_value(&quality)?)?;
    } else {
        let lone = match quality.lone {
            0 => String::new(),
            lone => format!("{lone} left out, whose label no other photo has, "),
        };
        print_lines(&format!(
            "R@1 {}   R@5 {}   R-precision {}   MAP@R {}   ({}, {lone}{}, {})",
            percent(quality.recall_at_1),
            percent(quality.recall_at_5),
            percent(quality.r_precision),
            percent(quality.map_at_r),
            count_of(quality.queries, "query", "queries"),
            count_of(quality.errors, "error", "errors"),
            count_of(gallery.len() as u64, "photo", "photos")
        ))?;
    }
    Ok(exit::DONE)
}

/// A labelled embedding to search with; and the photo itself where it is in the library.
type Query = (crate::photo::Embedding, OsString, Option<PhotoId>);

fn evaluate_identification(
    data: &DataFolder,
    folder: &Path,
    queries: Option<&Path>,
    strangers: Option<&Path>,
    common: &Common,
) -> anyhow::Result<u8> {
    let Some((_, catalog)) = open_indexed(data, folder)? else { return Ok(exit::NOT_INDEXED) };
    let embedder = Embedder::start(common.device.unwrap_or_default(), active_model(&catalog, &data.models())?)?;
    let model = embedder.info()?;
    let gallery = Gallery::load(&catalog, model.key(), model.dimension)?;
    let (mut evaluation, bar) = (Evaluation::default(), Bar::new(common.json));
    let asked: Vec<Query> = match queries {
        None => {
            let labelled = gallery.photos().filter_map(|photo| Some((photo.id, photo.label()?.into_owned())));
            labelled
                .map(|(id, label)| Ok((gallery.embedding(id)?, label, Some(id))))
                .collect::<Result<_, QueryError>>()?
        }
        Some(queries) => {
            let embedded = embed_labelled(&embedder, queries, &mut evaluation, &bar)?;
            embedded.into_iter().map(|(embedding, label)| (embedding, label, None)).collect()
        }
    };
    let strangers = match strangers {
        Some(folder) => {
            let embedded = embed_labelled(&embedder, folder, &mut evaluation, &bar)?;
            Some(embedded.into_iter().map(|(embedding, _)| embedding).collect::<Vec<_>>())
        }
        None => None,
    };
    let errors = evaluation.quality().errors;
    identify::evaluate(&gallery, model.name.as_ref(), &asked, strangers.as_deref(), errors, common)
}

/// Embeds all labelled photos of a folder, without writing anything.
fn embed_labelled(
    embedder: &Embedder,
    folder: &Path,
    evaluation: &mut Evaluation,
    bar: &Bar,
) -> anyhow::Result<Vec<(crate::photo::Embedding, OsString)>> {
    let root = folder.canonicalize().with_context(|| format!("The folder cannot be opened: {}", folder.display()))?;
    let mut found = scan(&root, HashMap::new(), &Cancel::default(), |_| {}).context("The scan was stopped")?;
    // A raw file and the picture of the same shot are one query.
    let pairs = pairs(found.to_read.iter().map(|file| (file.path.as_path(), file)));
    let raws: HashSet<PathBuf> = pairs.into_iter().map(|(_, raw)| raw.path.clone()).collect();
    found.to_read.retain(|file| !raws.contains(&file.path));
    print_problems(&found.problems);
    found.problems.iter().for_each(|_| evaluation.add_error());
    let mut progress = Progress::begin(Stage::EmbeddingQueries, Some(found.to_read.len() as u64));
    let mut embedded = Vec::new();
    let info = embedder.info()?;
    for files in found.to_read.chunks(info.batch) {
        let mut labels = Vec::new();
        let mut inputs = Vec::new();
        for file in files {
            // A photo right in the folder carries the folder's own name.
            let label = label_of(&file.path).or_else(|| root.file_name().map(composed));
            let input = read_photo(&root.join(&file.path), info.architecture, &Cancel::default()).and_then(|picture| {
                NetworkInput::from_picture(&picture, info.architecture).map_err(QueryError::Picture)
            });
            match (input, label) {
                (Ok(input), Some(label)) => {
                    inputs.push(input);
                    labels.push(label.into_owned());
                }
                (Ok(_), None) => evaluation.add_error(),
                (Err(error), _) => {
                    print_error(&error.to_string());
                    evaluation.add_error();
                }
            }
        }
        for (embedding, label) in embedder.embed_query(inputs)?.into_iter().zip(labels) {
            match embedding {
                Some(one) => embedded.push((one.embedding, label)),
                None => evaluation.add_error(),
            }
        }
        progress.done += files.len() as u64;
        bar.show(&progress);
    }
    bar.clear();
    Ok(embedded)
}

/// Ctrl-C asks the job to stop and keep what is finished, which it does within a second. Once more ends the program.
fn stop_on_interrupt(cancel: &Cancel) -> anyhow::Result<()> {
    let cancel = cancel.clone();
    let stop = move || if cancel.is_cancelled() { end_at_once() } else { cancel.cancel() };
    ctrlc::set_handler(stop).context("Ctrl-C cannot be caught")
}

/// Without the libraries' own clean-up, which may wait for the very thread that hangs.
fn end_at_once() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
    #[cfg(not(target_os = "linux"))]
    std::process::exit(exit::STOPPED.into());
}

//! `florascope identify` and `florascope evaluate --identify`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::output::{Bar, count_of, path_to_text, percent, print_error, print_json, print_lines, put_path};
use super::{Common, Query, exit, open_indexed};
use crate::active_model::active_model;
use crate::catalog::Catalog;
use crate::embed::Embedder;
use crate::identify::measure::{Answered, auroc, calibration_error, coverage, half_of, reliability_plot};
use crate::identify::{Calibration, Found, Identification, Names, Reference, Verdict};
use crate::job::Cancel;
use crate::library::{DataFolder, Library};
use crate::photo::{Embedding, PhotoId};
use crate::query::{Gallery, embed_picture, read_photo};
use crate::random::Random;
use crate::text::escape;

/// Random halves of the species that are left out, to be unknown.
const DRAWS: u64 = 3;
/// Of answers that are given.
const PRECISION: f64 = 0.95;

/// What is asked for.
#[derive(Args, Debug)]
pub struct IdentifyArguments {
    folder: PathBuf,
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// The photos are of one plant: they vote together
    #[arg(long)]
    together: bool,
}

/// Names photos after those of the library that they are near to.
pub(super) fn identify(data: &DataFolder, arguments: &IdentifyArguments, common: &Common) -> anyhow::Result<u8> {
    let Some((library, catalog)) = open_indexed(data, &arguments.folder)? else { return Ok(exit::NOT_INDEXED) };
    let embedder = Embedder::start(common.device.unwrap_or_default(), active_model(&catalog, &data.models())?)?;
    let model = embedder.info()?;
    let mut gallery = Gallery::load(&catalog, model.key(), model.dimension)?;
    if gallery.names().count() == 0 {
        bail!("No photo of this folder has a name: the name of a plant is that of the folder its photos lie in");
    }
    let calibration = calibration_for(&library, &catalog, &gallery, model.name.as_ref());
    let mut code = exit::DONE;
    let mut near: Vec<(&PathBuf, Vec<Found>)> = Vec::new();
    let mut answers: Vec<Value> = Vec::new();
    for path in &arguments.photos {
        let found = read_photo(path, model.architecture, &Cancel::default())
            .and_then(|picture| embed_picture(&embedder, &picture))
            .map(|embedding| gallery.near(&embedding, None));
        match found {
            Ok(found) => near.push((path, found)),
            Err(error) => {
                print_error(&error.to_string());
                let mut answer = json!({ "error": error.to_string() });
                put_path(&mut answer, "query", path);
                answers.push(answer);
                code = if arguments.photos.len() == 1 { exit::FAILED } else { exit::WITH_PROBLEMS };
            }
        }
    }
    let plants: Vec<(Vec<&PathBuf>, Vec<Vec<Found>>)> = if arguments.together && !near.is_empty() {
        vec![near.into_iter().unzip()]
    } else {
        near.into_iter().map(|(path, found)| (vec![path], vec![found])).collect()
    };
    let mut any_is_there = false;
    for (paths, near) in &plants {
        let identification = gallery.identify(calibration.as_ref(), near);
        any_is_there |= identification.as_ref().is_some_and(|answer| answer.verdict != Verdict::NothingLikeIt);
        if common.json {
            answers.push(to_json(paths, identification.as_ref(), calibration.as_ref(), &library));
        } else {
            let paths: Vec<String> = paths.iter().map(|path| path_to_text(path)).collect();
            print_lines(&format!("{}: {}", paths.join(", "), in_words(identification.as_ref())))?;
        }
    }
    if common.json {
        print_json(&Value::Array(answers))?;
    }
    if code == exit::DONE && !any_is_there {
        code = exit::NOTHING_LIKE_IT;
    }
    Ok(code)
}

/// The library's calibration; measured anew where there is none that fits, and kept where the library can be written.
fn calibration_for(library: &Library, catalog: &Catalog, gallery: &Gallery, model: &str) -> Option<Calibration> {
    let kept = Calibration::load(catalog).filter(|kept| kept.fits(gallery.names(), model));
    kept.or_else(|| {
        let measured = gallery.reference().calibrate(model, &Cancel::default())?;
        if let Ok(Some(_lock)) = library.try_lock()
            && let Ok(mut catalog) = Catalog::open(&library.folder)
            && let Err(error) = measured.store(&mut catalog)
        {
            log::warn!("{error}");
        }
        Some(measured)
    })
}

fn in_words(identification: Option<&Identification>) -> String {
    let Some(Identification { verdict, candidates, probability, .. }) = identification else {
        return "nothing with a name is near".into();
    };
    let mut names = candidates.iter().map(|c| format!("{} ({})", escape(&c.name.to_string_lossy()), percent(c.share)));
    let first = names.next().unwrap_or_default();
    let others: Vec<String> = names.collect();
    let others = if others.is_empty() { String::new() } else { format!("; else {}", others.join(", ")) };
    let right = |probability: f64| format!("right in {} of such cases", percent(probability));
    let probability = right(probability.unwrap_or_default());
    match verdict {
        Verdict::Named => format!("{first}, {probability}{others}"),
        Verdict::Group { name, probability } => {
            format!("some {}, {}; perhaps {first}{others}", escape(&name.to_string_lossy()), right(*probability))
        }
        Verdict::Unsure => format!("perhaps {first}, {probability}{others}"),
        Verdict::NothingLikeIt => format!("nothing like this here; the nearest is {first}{others}"),
        Verdict::Unmeasured => {
            format!("perhaps {first}{others}; how often that is right cannot be measured with so few photos")
        }
    }
}

fn to_json(
    paths: &[&PathBuf],
    identification: Option<&Identification>,
    calibration: Option<&Calibration>,
    library: &Library,
) -> Value {
    let mut answer = match identification {
        None => json!({ "verdict": "no names", "names": [] }),
        Some(Identification { verdict, candidates, probability, known }) => {
            let names = candidates.iter().map(|candidate| {
                let mut name = json!({ "share": candidate.share });
                put_path(&mut name, "name", Path::new(&candidate.name));
                put_path(&mut name, "photo", &library.root.join(&candidate.photo.path));
                name
            });
            let mut answer = json!({ "names": names.collect::<Vec<_>>(), "probability": probability, "known": known });
            answer["verdict"] = json!(match verdict {
                Verdict::Named => "named",
                Verdict::Group { .. } => "group",
                Verdict::Unsure => "unsure",
                Verdict::NothingLikeIt => "nothing like it",
                Verdict::Unmeasured => "unmeasured",
            });
            if let Verdict::Group { name, probability } = verdict {
                put_path(&mut answer, "group", Path::new(name));
                answer["group_probability"] = json!(probability);
            }
            answer
        }
    };
    answer["measured"] = json!(calibration.map(|c| json!({ "queries": c.queries(), "accuracy": c.accuracy() })));
    match paths {
        [path] => put_path(&mut answer, "query", path),
        _ => {
            let query = |path: &&PathBuf| {
                let mut query = json!({});
                put_path(&mut query, "path", path);
                query
            };
            answer["queries"] = json!(paths.iter().map(query).collect::<Vec<_>>());
        }
    }
    answer
}

/// Measures answers to `queries`: how many are right, whether they are as sure as they say, and whether unknown species
/// and photos of no plants (`strangers`) are told from known ones.
pub(super) fn evaluate(
    gallery: &Gallery,
    model: &str,
    queries: &[Query],
    strangers: Option<&[Embedding]>,
    errors: u64,
    common: &Common,
) -> anyhow::Result<u8> {
    let reference = gallery.reference();
    let cancel = Cancel::default();
    let Some(calibration) = reference.calibrate(model, &cancel) else {
        bail!("Too few photos have names, or too few names have several photos")
    };
    let bar = Bar::new(common.json);
    let of_names = |names: &Names, query: &Query| names.number_of(&query.1);
    let asked: Vec<&Query> = queries.iter().filter(|query| of_names(reference.names(), query).is_some()).collect();
    let answers_to_asked = ask(&reference, &calibration, &asked);
    let right: Vec<Answered> = answers_to_asked
        .iter()
        .zip(&asked)
        .filter_map(|(answer, (_, label, _))| {
            let answer = answer.as_ref()?;
            Some((answer.probability?, answer.candidates.first()?.name == **label))
        })
        .collect();
    let accuracy = right.iter().filter(|(_, right)| *right).count() as f64 / asked.len().max(1) as f64;
    let (error, bins) = calibration_error(&right);
    let covered = coverage(&right, PRECISION) * right.len() as f64 / asked.len().max(1) as f64;
    let known = |answers: &[Option<Identification>]| -> Vec<f64> {
        answers.iter().map(|answer| answer.as_ref().and_then(|a| a.known).unwrap_or_default()).collect()
    };
    let mut draws = Vec::new();
    for seed in 0..DRAWS {
        let is_known = half_of(reference.names().count(), &mut Random::new(seed));
        let half = reference.only(|species| is_known[species as usize]);
        let Some(calibration) = half.calibrate(model, &cancel) else { continue };
        let is_there = |query: &&Query| of_names(half.names(), query).is_some();
        let (there, not_there): (Vec<&Query>, Vec<&Query>) = asked.iter().partition(|query| is_there(query));
        let [there, not_there] = [there, not_there].map(|queries| ask(&half, &calibration, &queries));
        draws.push(auroc(&known(&there), &known(&not_there)));
    }
    bar.clear();
    let unknown = (!draws.is_empty()).then(|| draws.iter().sum::<f64>() / draws.len() as f64);
    let strange = strangers.map(|strangers| {
        let strangers: Vec<(&Embedding, Option<PhotoId>)> = strangers.iter().map(|one| (one, None)).collect();
        let near = reference.near(&strangers, Some(&calibration));
        let answers: Vec<_> = near.into_iter().map(|near| reference.identify(Some(&calibration), &[near])).collect();
        let refused = |a: &&Option<Identification>| a.as_ref().is_none_or(|a| a.verdict == Verdict::NothingLikeIt);
        let share = answers.iter().filter(refused).count() as f64 / answers.len().max(1) as f64;
        (auroc(&known(&answers_to_asked), &known(&answers)), share)
    });
    let refused = answers_to_asked.iter().flatten().filter(|answer| answer.verdict == Verdict::NothingLikeIt).count();
    let report = json!({
        "queries": asked.len(), "errors": errors, "left_out": queries.len() - asked.len(),
        "accuracy": accuracy, "calibration_error": error, "bins": bins,
        "coverage": covered, "precision": PRECISION, "refused": refused,
        "auroc_unknown_species": unknown, "auroc_unknown_species_draws": draws,
        "auroc_strangers": strange.map(|(auroc, _)| auroc), "strangers_refused": strange.map(|(_, share)| share),
    });
    if common.json {
        print_json(&report)?;
        return Ok(exit::DONE);
    }
    let mut text = format!(
        "Named rightly {}   calibration error {}   answered at {} precision {}   refused {}   ({}, {})\n{}",
        percent(accuracy),
        percent(error),
        percent(PRECISION),
        percent(covered),
        percent(refused as f64 / asked.len().max(1) as f64),
        count_of(asked.len() as u64, "query", "queries"),
        count_of(errors, "error", "errors"),
        reliability_plot(&bins),
    );
    if let Some(unknown) = unknown {
        let draws: Vec<String> = draws.iter().map(|draw| format!("{draw:.3}")).collect();
        text +=
            &format!("\nKnown from unknown species, half of them left out: AUROC {unknown:.3} ({})", draws.join(", "));
    }
    if let Some((auroc, refused)) = strange {
        text += &format!("\nPhotos of known species from strangers: AUROC {auroc:.3}; {} refused", percent(refused));
    }
    print_lines(&text)?;
    Ok(exit::DONE)
}

fn ask(reference: &Reference, calibration: &Calibration, queries: &[&Query]) -> Vec<Option<Identification>> {
    queries
        .chunks(256)
        .flat_map(|some| {
            let some: Vec<_> = some.iter().map(|(embedding, _, itself)| (embedding, *itself)).collect();
            reference.near(&some, Some(calibration))
        })
        .map(|near| reference.identify(Some(calibration), &[near]))
        .collect()
}

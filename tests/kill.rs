//! Killed in the middle, or stopped: what was finished is kept, and the next run goes on from there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use common::random::{Random, new_seed};
use common::{BINARY, FLOWERS, Place, another_backbone, commented, encode, listing, plain};
use florascope::artefact::Model;
use florascope::catalog::Catalog;
use florascope::cli::exit;
use florascope::garden;
use florascope::library::DataFolder;
use florascope::photo::PhotoId;
use florascope::train::checkpoint;

const PHOTOS: usize = 350;
const KILLS: usize = 10;
const EARLIEST: Duration = Duration::from_millis(50);
/// The part of a run in which the program starts and nothing is committed yet, about.
const START: f64 = 0.3;
/// A commit is due each second. Only a run that hangs, or commits nothing before its end, takes this long, however busy
/// the computer is.
const LATEST_COMMIT: Duration = Duration::from_secs(60);
/// Nobody waits so long for a stop: a run that is still there ignores it.
const LATEST_STOP: Duration = Duration::from_secs(60);
/// Between two looks at the catalog.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// As many photos as wanted, all of different content.
fn place_with(photos: usize) -> Place {
    let place = Place::empty();
    for number in 0..photos {
        let flower = &FLOWERS[number % FLOWERS.len()];
        let jpeg = commented(&flower.jpeg, &format!("number {number}"));
        place.write(format!("{}/{number:04}.jpg", flower.species), &jpeg);
    }
    place
}

fn start_index(place: &Place) -> Child {
    let mut command = Command::new(BINARY);
    command.args(["index", "--json", "--data-dir"]).args([place.data(), place.photos()]);
    plain(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Looks at the catalog, as another process, until `enough` of the time since the start and the photos committed;
/// gives the photos seen last, and `None` where the program ended before.
fn watch(
    place: &Place,
    child: &mut Child,
    started: Instant,
    mut enough: impl FnMut(Duration, u64) -> bool,
) -> Option<u64> {
    let folder = place.library().folder;
    let mut reader = None;
    let mut seen = 0;
    while !enough(started.elapsed(), seen) {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        // While the catalog is being made it cannot be opened yet.
        reader = reader.or_else(|| Catalog::open_read_only(&folder).ok().flatten());
        seen = reader.as_ref().map_or(0, |catalog| catalog.photo_count().unwrap());
        std::thread::sleep(LOOK_EVERY);
    }
    Some(seen)
}

/// A run from nothing to the end: how long it took, and the longest time between two commits.
fn whole_run(place: &Place) -> (Duration, Duration) {
    let started = Instant::now();
    let mut child = start_index(place);
    let (mut last, mut longest) = ((Duration::ZERO, 0), Duration::ZERO);
    watch(place, &mut child, started, |elapsed, seen| {
        if seen > last.1 {
            longest = longest.max(if last.1 == 0 { Duration::ZERO } else { elapsed.saturating_sub(last.0) });
            last = (elapsed, seen);
        }
        false
    });
    assert_done(&child.wait_with_output().unwrap());
    (started.elapsed(), longest)
}

#[track_caller]
fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(i32::from(exit::DONE)), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Photos in the catalog, which has to be sound. There may be none yet.
fn kept(place: &Place) -> u64 {
    place.catalog().map_or(0, |catalog| {
        assert!(catalog.is_sound().unwrap());
        catalog.photo_count().unwrap()
    })
}

/// Every photo is there once with its embedding, and there is nothing else.
fn assert_whole(place: &Place) {
    let files: BTreeSet<PathBuf> = listing(&place.photos()).into_keys().filter(|path| path.is_file()).collect();
    let catalog = place.catalog().unwrap();
    assert!(catalog.is_sound().unwrap());
    let sql = place.sql();
    let stored = catalog.photos_after(PhotoId(0), usize::MAX >> 1, Model::built_in().key()).unwrap();
    let paths: Vec<PathBuf> = stored.iter().map(|(photo, _)| place.photos().join(&photo.path)).collect();
    assert_eq!(paths.len(), files.len(), "each once");
    assert_eq!(paths.into_iter().collect::<BTreeSet<_>>(), files);
    assert!(stored.iter().all(|(_, embedding)| embedding.is_some()));

    let contents: HashSet<[u8; 16]> = stored.iter().map(|(photo, _)| photo.content.0).collect();
    let mut embedded = sql.prepare("SELECT content FROM embeddings").unwrap();
    let embedded: Vec<[u8; 16]> = embedded.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(embedded.len(), 2 * contents.len(), "an embedding and its features, and none without a photo");
    assert_eq!(embedded.into_iter().collect::<HashSet<_>>(), contents);

    let files = listing(&place.library().folder).into_keys().filter(|path| path.is_file());
    let names: Vec<String> = files.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let known = ["catalog.sqlite", "thumbnails.sqlite", "lock", "root"];
    let leftover = names.iter().find(|name| !known.contains(&name.trim_end_matches("-wal").trim_end_matches("-shm")));
    assert_eq!(leftover, None, "{names:?}");
}

/// The tests of this file measure times, so they take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn kills_at_any_moment_lose_nothing_that_was_committed() {
    let _turn = turn();
    let place = place_with(PHOTOS);
    let (whole, longest) = whole_run(&place);
    assert_whole(&place);
    println!("a whole run takes {whole:?}; longest time between two commits {longest:?}");
    assert!(longest < LATEST_COMMIT, "{longest:?}");
    std::fs::remove_dir_all(place.data()).unwrap();

    let mut random = Random::new(new_seed());
    let mut kills = 0;
    let mut kept_before = 0;
    // Each run goes on where the last was killed; one that gets to its end makes room for a new beginning.
    while kills < KILLS {
        let left = 1.0 - kept_before as f64 / PHOTOS as f64;
        let latest = whole.mul_f64(START + (1.0 - START) * left);
        let moment = EARLIEST + latest.saturating_sub(EARLIEST).mul_f64(random.unit());
        let started = Instant::now();
        let mut child = start_index(&place);
        let Some(seen) = watch(&place, &mut child, started, |elapsed, _| elapsed >= moment) else {
            assert_done(&child.wait_with_output().unwrap());
            assert_whole(&place);
            std::fs::remove_dir_all(place.data()).unwrap();
            kept_before = 0;
            continue;
        };
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let kept = kept(&place);
        println!("kill {kills} after {moment:?}: {seen} photos seen, {kept} kept");
        assert!(kept >= seen && kept >= kept_before);
        kept_before = kept;
    }
    let report = place.index().expect_code(exit::DONE).json();
    assert_eq!(report["read"], PHOTOS as u64 - kept_before, "what was kept is not read again");
    assert_whole(&place);
}

#[test]
fn a_stop_ends_the_run_and_keeps_what_is_finished() {
    let _turn = turn();
    // Too many for any machine to finish before it is stopped.
    let photos = 3000;
    let place = place_with(photos);
    let mut child = start_index(&place);
    let seen = watch(&place, &mut child, Instant::now(), |_, seen| seen > 0).expect("it works for a while");
    let interrupted = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    println!("stopped in {:?} with {seen} photos seen", interrupted.elapsed());
    assert!(interrupted.elapsed() < LATEST_STOP);

    assert_eq!(output.status.code(), Some(i32::from(exit::STOPPED)), "{}: {output:?}", output.status);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["outcome"], "stopped");
    let kept = kept(&place);
    assert!(seen <= kept && kept < photos as u64, "{seen} seen, {kept} kept");
    assert_eq!(report["photos"], kept);
    let status = place.run(["status", "--json"], [place.photos()]).expect_code(exit::DONE).json();
    assert_eq!((&status["photos"], &status["complete"]), (&report["photos"], &serde_json::json!(false)));
}

#[test]
fn a_change_of_the_model_that_is_killed_leaves_every_photo_to_the_model_in_use() {
    let _turn = turn();
    let place = place_with(150);
    place.index().expect_code(exit::DONE);
    let model = another_backbone(1.0);
    DataFolder::open(Some(place.data())).unwrap().models().save(&model).unwrap();
    let active = || {
        let stored = place.catalog().unwrap().photos_after(PhotoId(0), 1000, Model::built_in().key()).unwrap();
        stored.into_iter().map(|(photo, embedding)| (photo, embedding.is_some())).collect::<Vec<_>>()
    };
    let before = active();
    assert!(before.len() == 150 && before.iter().all(|(_, embedded)| *embedded));

    let mut command = Command::new(BINARY);
    command.args(["models", "use", &model.id, "--data-dir"]).args([place.data(), place.photos()]);
    let mut child = plain(&mut command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let embedded = || -> u64 {
        let count = "SELECT count(*) FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)";
        place.sql().query_row(count, [model.id.as_str()], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    while embedded() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it takes longer than to the first commit");
        std::thread::sleep(LOOK_EVERY);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    println!("killed with {} of 150 embedded", embedded());
    assert!(active() == before, "the same photos by the same ids, all with an embedding");
    let query = place.photos().join(before[0].0.path.as_path());
    let found = place.run(["search", "--json"], [place.photos(), query]).expect_code(exit::DONE).json();
    assert!(!found[0]["results"].as_array().unwrap().is_empty(), "{found}");
}

fn start_training(place: &Place) -> Child {
    let mut command = Command::new(BINARY);
    // The network takes part in all: small pictures and few epochs, but everything else as on a large folder.
    command.args(["train", "--recipe", "full", "--epochs", "6", "--resume", "--json", "--data-dir"]);
    command.args([place.data(), place.photos()]);
    plain(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_training_killed_ten_times_goes_on_and_ends_with_a_sound_model() {
    let _turn = turn();
    let place = Place::empty();
    for species in garden::SPECIES.iter().take(4) {
        for number in 1..=6 {
            let picture = image::imageops::thumbnail(&garden::draw(species, number), 256, 256);
            place.write(format!("{}/{number}.jpg", species.name), &encode(&picture, image::ImageFormat::Jpeg));
        }
    }
    place.index().expect_code(exit::DONE);
    let folder = place.library().folder;
    let query = place.photos().join(garden::SPECIES[0].name).join("1.jpg");

    let mut random = Random::new(new_seed());
    let (mut kills, mut went_on) = (0, 0);
    let mut longest = Duration::from_secs(8);
    let mut before = 0;
    while kills < KILLS {
        let moment = EARLIEST + longest.mul_f64(random.unit());
        let (started, began) = (Instant::now(), SystemTime::now());
        let mut child = start_training(&place);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if started.elapsed() >= moment {
                break None;
            }
            std::thread::sleep(LOOK_EVERY);
        };
        if ended.is_some() {
            assert_done(&child.wait_with_output().unwrap());
            assert_eq!(checkpoint::pending(&folder), None, "what is finished need not go on");
            (longest, before) = (moment.min(longest), 0);
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        assert!(kept(&place) == 24, "the library is whole");
        let steps = checkpoint::load(&folder).map_or(0, |(standing, _)| standing.steps);
        println!("kill {kills} after {moment:?}: {steps} steps kept");
        // Only a finished training leaves nothing to go on from: it has written its model.
        let finished = place.last_model().is_some_and(|written| written >= began);
        assert!(steps >= before || finished, "what was learnt is kept");
        went_on += usize::from(steps > 0);
        before = steps;
        if kills % 4 == 0 {
            let found = place.run(["search", "--json"], [place.photos(), query.clone()]).expect_code(exit::DONE).json();
            assert!(found[0]["results"].as_array().unwrap().len() > 3, "{found}");
        }
    }
    let output = start_training(&place).wait_with_output().unwrap();
    assert_done(&output);
    let lines = String::from_utf8(output.stdout).unwrap();
    let end: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let model = end["model"].as_str().unwrap();
    println!("{went_on} of {KILLS} kills left something to go on from; at last {end}");
    place.run(["models", "use", model], [place.photos()]).expect_code(exit::DONE);
    let found = place.run(["search", "--json"], [place.photos(), query]).expect_code(exit::DONE).json();
    let first = found[0]["results"][0]["path"].as_str().unwrap();
    assert!(first.ends_with("1.jpg") && first.contains(garden::SPECIES[0].name), "a photo finds itself: {found}");
    assert_eq!(checkpoint::pending(&folder), None);
}

//! How smoothly the window scrolls, and how soon it stands: `cargo bench --bench window [-- --photos 100000] [--seconds 5]
//! [--only STATE] [--beside 2]`.
//!
//! The finished program runs in a real window on a screen of its own (Xvfb, OpenGL computed in software) with a library of
//! 100,000 made-up photos, and is scrolled by a hand that never rests: with the wheel, by its scroll bar from one end to
//! the other, with Page Down; while it has nothing else to do, while it indexes new photos, and while it trains. Read from
//! `--frame-log`: the program's own share of each frame, beside the limits of 16 ms for 99 of 100 frames and 33 ms for
//! all; and the time from the start of the process to the first frame, beside its limit of 400 ms. A ratio above 1 misses
//! the limit. Beside other processes that compute, also how fast photos are indexed meanwhile. Needs about 1 GB of disk for a few minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "../tests/desktop/mod.rs"]
mod desktop;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use desktop::{Screen, Window};
use florascope::catalog::{Catalog, FileStamp, NewPhoto};
use florascope::decode;
use florascope::garden::{self, SPECIES};
use florascope::library::DataFolder;
use florascope::photo::Embedding;
use florascope::random::Random;

/// Milliseconds.
const FIRST_FRAME: f64 = 400.0;
const P99: f64 = 16.0;
const WORST: f64 = 33.0;
/// Different pictures that are drawn.
const PICTURES: usize = 48;
/// Photos that share a picture's file and thumbnail lie so far apart that it has left the graphics card meanwhile.
const CONTENTS: usize = 20_000;
const PHOTOS_A_SPECIES: usize = 100;
/// Enough to be at it for a minute.
const NEW_PHOTOS: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(180);

/// What the program does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Quick,
    Full,
    Indexing,
}

impl State {
    /// A thread that is there while it does it.
    fn thread(self) -> Option<&'static str> {
        match self {
            Self::Idle => None,
            Self::Quick => Some("job-"),
            Self::Full => Some("crop-"),
            Self::Indexing => Some("decode-"),
        }
    }
}

struct World {
    _folder: tempfile::TempDir,
    data: PathBuf,
    photos: PathBuf,
    screen: Screen,
}

impl World {
    /// Writes the library: the photos are links to a few files, and the catalog knows them all.
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, photos) = (folder.path().join("data"), folder.path().join("Garden"));
        let pictures = pictures();
        fs::create_dir_all(&photos).unwrap();
        let originals: Vec<PathBuf> = (0..PICTURES).map(|n| folder.path().join(format!("{n}.jpg"))).collect();
        originals.iter().zip(&pictures).for_each(|(file, jpeg)| fs::write(file, jpeg).unwrap());
        let stamps: Vec<FileStamp> = originals.iter().map(|file| FileStamp::from(&file.metadata().unwrap())).collect();
        let library = DataFolder::open(Some(data.clone())).unwrap().library(&photos).unwrap();
        let _lock = library.lock().unwrap().unwrap();
        let mut catalog = Catalog::open(&library.folder).unwrap();
        let mut random = Random::new(0);
        let mut written = 0;
        while written < count {
            let chunk: Vec<NewPhoto> = (written..count.min(written + 5000))
                .map(|number| {
                    let species = format!("Species {:04}", number / PHOTOS_A_SPECIES);
                    let path = PathBuf::from(&species).join(format!("{species} {number:06}.jpg"));
                    if number.is_multiple_of(PHOTOS_A_SPECIES) {
                        fs::create_dir(photos.join(&species)).unwrap();
                    }
                    fs::hard_link(&originals[number % PICTURES], photos.join(&path)).unwrap();
                    let (content, picture) = (number % CONTENTS, number % PICTURES);
                    let thumbnail = (number < CONTENTS).then(|| pictures[picture].clone());
                    let photo = support::photo(content, path, stamps[picture], embedding(content, &mut random));
                    NewPhoto { thumbnail, ..photo }
                })
                .collect();
            written += chunk.len();
            catalog.write(support::key(), chunk, &[]).unwrap();
        }
        support::use_general(&mut catalog);
        Self { _folder: folder, data, photos, screen: Screen::start(1360, 860) }
    }

    /// Photos that the catalog does not know, each with a content of its own.
    fn add_new_photos(&self) {
        let pictures = pictures();
        let folder = self.photos.join("New");
        fs::create_dir(&folder).unwrap();
        for number in 0..NEW_PHOTOS {
            let jpeg = support::another_content(&pictures[number % PICTURES], number);
            fs::write(folder.join(format!("{number:05}.jpg")), jpeg).unwrap();
        }
    }

    /// Photos in the catalog.
    fn indexed(&self) -> u64 {
        let library = DataFolder::open(Some(self.data.clone())).unwrap().library(&self.photos).unwrap();
        Catalog::open_read_only(&library.folder).unwrap().expect("a catalog").photo_count().unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_florascope"));
        command.arg("--data-dir").arg(&self.data).args(["--device", "cpu"]).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    fn run(&self) -> Run {
        let log = self.data.join("frames");
        let started = Instant::now();
        let window = Window::launch_unobserved(&self.screen, self.command().arg("--frame-log").arg(&log));
        Run { window, log, started }
    }

    /// Where the recipe and the button lie on which a training is started: seen in a window that is described, since the
    /// one that is measured is not.
    fn places(&self, recipe: &str) -> [(i16, i16); 2] {
        let window = Window::launch(&self.screen, self.command().arg(&self.photos));
        window.wait_for("the library", PATIENCE, |view| view.node("ListBoxOption", "").map(|_| ()));
        sleep(Duration::from_secs(3));
        window.key_with("ctrl", "t");
        window.wait_for("the species", PATIENCE, |view| view.has_text(" species, ").then_some(()));
        sleep(Duration::from_secs(1));
        let radio = window.wait_for(recipe, PATIENCE, |view| view.node("RadioButton", recipe).cloned());
        // The bar that shows the check of the folder, as long as that lasts, moves the button up.
        let button = window.wait_for("the button", PATIENCE, |view| {
            let train = view.nodes("Button").find(|node| node.label == "Train" && !node.disabled);
            train.filter(|_| view.node("Button", "Stop").is_none()).cloned()
        });
        [window.middle(&radio), window.middle(&button)]
    }
}

/// Processes that do nothing but compute, until this is dropped.
struct Others(Vec<Child>);

impl Others {
    fn start(count: usize) -> Self {
        let start = |_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..count).map(start).collect())
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// As the catalog keeps them for the grid.
fn pictures() -> Vec<Vec<u8>> {
    let draw = |number: usize| {
        decode::thumbnail(&garden::draw(&SPECIES[number % SPECIES.len()], 1 + number / SPECIES.len())).unwrap()
    };
    std::thread::scope(|scope| {
        let half = scope.spawn(move || (0..PICTURES / 2).map(draw).collect::<Vec<_>>());
        let other: Vec<_> = (PICTURES / 2..PICTURES).map(draw).collect();
        half.join().unwrap().into_iter().chain(other).collect()
    })
}

/// Photos of a species lie close together.
fn embedding(content: usize, random: &mut Random) -> Embedding {
    let mut species = Random::new((content / PHOTOS_A_SPECIES) as u64);
    let values = (0..1280).map(|_| (species.normal() + random.normal()).abs() as f32).collect();
    Embedding::normalised(values).unwrap()
}

/// The program while it is measured. It ends with this value.
struct Run {
    window: Window,
    log: PathBuf,
    started: Instant,
}

impl Run {
    /// Beginning and share of each frame so far, in milliseconds.
    fn frames(&self) -> Vec<(f64, f64)> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let frame = |line: &str| {
            let (began, share) = line.split_once(' ')?;
            Some((began.parse().ok()?, share.parse().ok()?))
        };
        text.lines().filter_map(frame).collect()
    }

    fn first_frame(&self) -> f64 {
        let text = fs::read_to_string(&self.log).unwrap();
        let line = text.lines().find(|line| line.contains("first frame")).expect("a first frame");
        line.split(' ').find_map(|word| word.parse().ok()).expect("a number")
    }

    /// Until no frame has been drawn for a second.
    fn wait_until_at_rest(&self) {
        let end = Instant::now() + PATIENCE;
        let mut count = 0;
        while !self.window.title().contains("Garden") || std::mem::replace(&mut count, self.frames().len()) != count {
            assert!(Instant::now() < end, "the window never rests:\n{}", self.window.log());
            sleep(Duration::from_secs(1));
        }
    }

    fn has_thread(&self, name: &str) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.window.process())).unwrap();
        let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.into_iter().any(|comm| comm.starts_with(name))
    }

    fn wait_for_thread(&self, name: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.has_thread(name) {
            assert!(Instant::now() < end, "no thread {name}:\n{}", self.window.log());
            sleep(Duration::from_millis(100));
        }
        sleep(Duration::from_secs(1));
    }

    /// Repeats an act, which hears how far the time has passed, and tells what the frames took meanwhile.
    fn measure(&self, state: State, name: &str, time: Duration, every: Duration, mut act: impl FnMut(f64)) {
        let began = Instant::now();
        while began.elapsed() < time {
            act(began.elapsed().as_secs_f64() / time.as_secs_f64());
            sleep(every);
        }
        let state_held = state.thread().is_none_or(|thread| self.has_thread(thread));
        let span = [began, Instant::now()].map(|at| (at - self.started).as_secs_f64() * 1e3);
        let frames = self.frames();
        let drawn = frames.iter().filter(|(at, _)| (span[0]..span[1]).contains(at));
        let mut shares: Vec<f64> = drawn.map(|(_, share)| *share).collect();
        shares.sort_by(f64::total_cmp);
        let at = |percent: usize| shares[(shares.len() * percent / 100).min(shares.len() - 1)];
        println!(
            "{:9} {name:11} {:5.0} {:6.1} {:6.1} {:6.1} {:6.1} {:4}   {:5.2} {:5.2}{}",
            format!("{state:?}"),
            shares.len() as f64 / time.as_secs_f64(),
            at(50),
            at(95),
            at(99),
            at(100),
            shares.iter().filter(|share| **share > WORST).count(),
            at(99) / P99,
            at(100) / WORST,
            if state_held { "" } else { "   (it ended meanwhile)" },
        );
    }

    fn scroll(&self, state: State, time: Duration) {
        let (width, height) = self.window.size();
        // The grid's; with a panel for training at the right its scroll bar lies at that panel's left.
        let right = if matches!(state, State::Quick | State::Full) { width as i16 - 400 } else { width as i16 };
        let (middle, bar) = ((right - 200, height as i16 / 2), right - 17);
        self.window.move_to(middle.0, middle.1);
        self.measure(state, "wheel", time, Duration::from_millis(8), |_| {
            self.window.scroll(middle.0, middle.1, 1);
        });
        self.window.key("Home");
        sleep(Duration::from_millis(500));
        let (top, bottom) = (80.0, f64::from(height) - 60.0);
        self.window.hold(bar, top as i16);
        self.measure(state, "scroll bar", time, Duration::from_millis(8), |way| {
            self.window.move_to(bar, (top + (bottom - top) * way) as i16);
        });
        self.window.let_go();
        self.window.move_to(middle.0, middle.1);
        self.window.key("Home");
        sleep(Duration::from_millis(500));
        self.measure(state, "Page Down", time, Duration::from_millis(33), |_| self.window.key("Page_Down"));
    }
}

#[derive(Parser)]
struct Arguments {
    /// Photos in the library
    #[arg(long, default_value_t = 100_000)]
    photos: usize,
    /// Of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// One state: idle, quick, full or indexing
    #[arg(long)]
    only: Option<String>,
    /// So many other processes compute meanwhile
    #[arg(long, default_value_t = 0)]
    beside: usize,
}

fn main() {
    let Arguments { photos, seconds, only, beside } = support::arguments();
    let time = Duration::from_secs(seconds);
    println!("Making a library of {photos} photos");
    let world = World::new(photos);
    // The last library opens by itself. The first start makes what the graphics driver caches.
    drop(world.run());
    let mut first: Vec<f64> = (0..5)
        .map(|_| {
            let run = world.run();
            sleep(Duration::from_secs(2));
            run.first_frame()
        })
        .collect();
    first.sort_by(f64::total_cmp);
    let (median, worst) = (first[2], first[4]);
    println!("first frame: {median:.0} ms, of five starts; at worst {worst:.0} ms; limit {FIRST_FRAME} ms");
    println!("ratio to the limit: {:.2}", median / FIRST_FRAME);
    println!("\n{:21} frames  own share of a frame, ms          ratio to the limit", "");
    println!("{:21} a s.   p50    p95    p99    max  >33 ms  p99   max", "");
    for state in [State::Idle, State::Quick, State::Full, State::Indexing] {
        if only.as_ref().is_some_and(|only| !format!("{state:?}").eq_ignore_ascii_case(only)) {
            continue;
        }
        if state == State::Indexing {
            world.add_new_photos();
        }
        let trains = matches!(state, State::Quick | State::Full).then(|| world.places(&format!("{state:?}")));
        let run = world.run();
        if state != State::Indexing {
            run.wait_until_at_rest();
        }
        if let Some([recipe, train]) = trains {
            run.window.key_with("ctrl", "t");
            run.wait_until_at_rest();
            run.window.click(recipe.0, recipe.1);
            // How long it would take is found out first; until then the button does nothing.
            let end = Instant::now() + PATIENCE;
            while !run.has_thread("job-") {
                assert!(Instant::now() < end, "no training:\n{}", run.window.log());
                run.wait_until_at_rest();
                run.window.click(train.0, train.1);
                sleep(Duration::from_secs(2));
            }
        }
        state.thread().iter().for_each(|thread| run.wait_for_thread(thread));
        let others = Others::start(beside);
        let (before, began) = (world.indexed(), Instant::now());
        run.scroll(state, time);
        let indexed = world.indexed() - before;
        if indexed > 0 {
            println!(
                "{:9} {:.0} photos a second indexed meanwhile",
                "",
                indexed as f64 / began.elapsed().as_secs_f64()
            );
        }
        drop(others);
    }
}

//! Photos a second from files to committed catalog, against Python: `cargo bench --bench indexing -- FOLDER`, with the
//! photos of FOLDER; `cargo bench --bench indexing -- --large` with photos of 12 and 48 megapixels that it makes,
//! beside what decoding alone reaches on all cores;
//! `cargo bench --bench indexing -- --formats` with one such photo in each format, beside Pillow and its plug-ins;
//! `cargo bench --bench indexing -- FOLDER --photos 100000` without peers, for the memory that very many photos need: those
//! of FOLDER over and over, each another file. That takes 5 GB of disk and about seven minutes.
//!
//! Ours is the program itself: reading, hashing, decoding, network, thumbnails, catalog. Files are taken out of the
//! system's memory before each measurement, ours and theirs, where the system allows it. Peers run in an environment that
//! `benches/peers/environment.py` makes; `FLORASCOPE_PEERS_PYTHON` names another one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(unsafe_code, reason = "the processes that decode are forked")]

#[path = "../tests/camera/mod.rs"]
mod camera;
#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use florascope::artefact::Model;
use florascope::decode;
use florascope::device::DeviceChoice;
use florascope::embed::{Embedder, ModelInfo};
use florascope::ingest::size_wanted;
use florascope::job::Cancel;
use florascope::library::{DataFolder, Library};
use florascope::model::NetworkInput;
use florascope::tune::{self, InferenceConfig};
use image::RgbImage;
use rustix::fs::{Advice, fadvise};
use turbojpeg::{PixelFormat, Subsamp};

const RUNS: usize = 3;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
        .collect();
    files.sort();
    files
}

fn evict(files: &[PathBuf]) {
    for file in files {
        fadvise(std::fs::File::open(file).unwrap(), 0, None, Advice::DontNeed).unwrap();
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Photos a second and peak resident megabytes of `florascope index` on a folder that it has not seen.
fn ours(library: &Library, data: &Path, runs: usize) -> (f64, u64) {
    let measured = (0..runs).map(|_| {
        let _ = std::fs::remove_dir_all(&library.folder);
        evict(&files(&library.root));
        let mut program = Command::new(env!("CARGO_BIN_EXE_florascope"));
        program.args(["index", "--json", "--data-dir"]).args([data, &library.root]);
        let child = program.stdout(Stdio::piped()).spawn().unwrap();
        let process = child.id().to_string();
        let watch = move || {
            let mut peak = 0;
            while let Some(megabytes) = support::peak_megabytes(&process) {
                peak = megabytes;
                std::thread::sleep(Duration::from_millis(20));
            }
            peak
        };
        let watch = std::thread::Builder::new().name("watch".into()).spawn(watch).unwrap();
        let output = child.wait_with_output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the program's JSON");
        let rate = said["read"].as_f64().unwrap() / said["seconds"].as_f64().unwrap();
        (rate, watch.join().unwrap())
    });
    let (rates, peaks): (Vec<_>, Vec<_>) = measured.unzip();
    (median(rates), peaks.into_iter().max().unwrap_or_default())
}

/// Photos a second of a loop in Python over the same files.
fn peer(folder: &Path, arguments: &[&str]) -> f64 {
    support::peer("embed_loop.py", &[&[folder.to_str().unwrap()], arguments].concat())
}

/// Everything but the network and the catalog, on as many threads as indexing uses.
fn decode_alone(files: &[PathBuf], info: &ModelInfo) -> f64 {
    evict(files);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for some in files.chunks(files.len().div_ceil(threads)) {
            scope.spawn(move || {
                for file in some {
                    let wanted = size_wanted(info.architecture);
                    let picture = decode::decode_file(file, wanted, &Cancel::default()).unwrap();
                    NetworkInput::from_picture(&picture, info.architecture).unwrap();
                    decode::thumbnail(&picture).unwrap();
                }
            });
        }
    });
    files.len() as f64 / begun.elapsed().as_secs_f64()
}

fn line(what: &str, ours: f64, theirs: f64) {
    println!("{what:64} {theirs:8.1} {:8.2}", ours / theirs);
}

fn small(folder: &Path, data: &DataFolder, place: &Path) {
    let library = data.library(folder).unwrap();
    let embedder = Embedder::start(DeviceChoice::Auto, Model::built_in()).unwrap();
    let info = embedder.info().unwrap();
    let begun = Instant::now();
    let config = tune::inference_config(&library, &info, &embedder, usize::MAX, &Cancel::default()).unwrap();
    let InferenceConfig { networks, batch } = config;
    println!(
        "{}: {networks} networks with {} threads, {batch} photos a batch; measured in {:.1} s",
        info.device,
        config.threads(),
        begun.elapsed().as_secs_f64()
    );
    let network = median(
        (0..RUNS).map(|_| tune::rate(&embedder, config, 400 / config.batch, &Cancel::default()).unwrap()).collect(),
    );
    drop(embedder);
    let files = files(folder);
    let decode = median((0..RUNS).map(|_| decode_alone(&files, &info)).collect());
    let (ours, peak) = ours(&library, place, RUNS);
    println!("{} photos: {ours:.1} a second from cold files to committed catalog, {peak} MB at most\n", files.len());
    println!("{:64} {:>8} {:>8}", "", "a second", "ours is");
    line("decode alone (cold files, input and thumbnail made)", ours, decode);
    line("network alone", ours, network);
    line("both, one after the other: the limit", ours, 1.0 / (1.0 / decode + 1.0 / network));
    for (what, arguments) in [
        ("Pillow, torch eager, one at a time, no thumbnail", ["--loop", "tutorial", "--thumbnails", "no"].as_slice()),
        ("Pillow, torch eager, one at a time, thumbnail", &["--loop", "tutorial", "--thumbnails", "yes"]),
        ("Pillow, DataLoader, folded, channels-last, 32 bits, 8 a batch", &["--loop", "batched", "--batch", "8"]),
        ("the same, bfloat16, 32 a batch", &["--loop", "batched", "--batch", "32", "--bfloat16"]),
    ] {
        line(what, ours, peer(folder, arguments));
    }
}

fn jpeg(picture: &RgbImage, quality: i32) -> Vec<u8> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = picture.as_raw().as_slice();
    let image = turbojpeg::Image { pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    turbojpeg::compress(image, quality, Subsamp::Sub2x2).unwrap().to_vec()
}

fn many(folder: &Path, count: usize, data: &DataFolder, place: &Path) {
    let (photos, files) = (place.join("photos"), files(folder));
    for (number, file) in files.iter().cycle().take(count).enumerate() {
        let parent = photos.join(format!("{:03}", number % 500));
        std::fs::create_dir_all(&parent).unwrap();
        std::fs::write(
            parent.join(format!("{number}.jpg")),
            support::another_content(&std::fs::read(file).unwrap(), number),
        )
        .unwrap();
    }
    rustix::fs::sync();
    let (rate, peak) = ours(&data.library(&photos).unwrap(), place, 1);
    println!("{count} photos: {rate:.1} a second, {peak} MB at most (limit 1024: {:.2} of it)", peak as f64 / 1024.0);
}

fn large(data: &DataFolder, place: &Path) {
    println!(
        "{:46} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "photos a second", "ours", "MB peak", "Pillow", "ratio", "decoding"
    );
    let info = Embedder::start(DeviceChoice::Auto, Model::built_in()).unwrap().info().unwrap();
    for (width, height, count) in [(4000, 3000, 120), (8000, 6000, 40)] {
        let picture = support::picture(width, height);
        let [full, middle, small] = [(width, 87), (1440, 75), (512, 75)]
            .map(|(side, quality)| jpeg(&decode::shrink_to_fit(&picture, side).unwrap(), quality));
        drop(picture);
        let plain = camera::with_exif(&full, (width, height), 1, None);
        let preview = camera::with_previews(&plain, &[(camera::FULL_HD, &middle)], true);
        let thumbnail = camera::with_exif(&full, (width, height), 1, Some(&small));
        for (what, bytes) in [("", &plain), (", preview of 1440 px", &preview), (", thumbnail of 512 px", &thumbnail)] {
            let folder = place.join(format!("{width}{}", what.len()));
            std::fs::create_dir(&folder).unwrap();
            for number in 0..count {
                std::fs::write(folder.join(format!("{number}.jpg")), support::another_content(bytes, number)).unwrap();
            }
            rustix::fs::sync();
            let library = data.library(&folder).unwrap();
            let (ours, peak) = ours(&library, place, RUNS);
            let peer = peer(&folder, &["--loop", "tutorial", "--thumbnails", "yes", "--draft"]);
            let megabytes = bytes.len() as f64 / f64::from(1 << 20);
            let what = format!("{} megapixels, {megabytes:.1} MB{what}", width * height / 1_000_000);
            let files = files(&folder);
            let decoding = median((0..RUNS).map(|_| decode_alone(&files, &info)).collect());
            println!("{what:46} {ours:8.1} {peak:8} {peer:8.1} {:8.2} {decoding:8.1}", ours / peer);
        }
    }
}

/// Each format on one core, as the program reads it: photos a second, Pillow's, and how near its embedding is to the PNG's.
fn formats(place: &Path) {
    const MEASURED: Duration = Duration::from_secs(3);
    let folder = place.join("formats");
    std::fs::create_dir(&folder).unwrap();
    let png = place.join("plain.png");
    support::picture(4000, 3000).save(&png).unwrap();
    support::peer("formats.py", &["make", png.to_str().unwrap(), folder.to_str().unwrap()]);
    let embedder = Embedder::start(DeviceChoice::Auto, Model::built_in()).unwrap();
    let architecture = embedder.info().unwrap().architecture;
    let wanted = size_wanted(architecture);
    let embedding = |file: &Path| {
        let picture = decode::decode_file(file, wanted, &Cancel::default()).unwrap();
        let input = NetworkInput::from_picture(&picture, architecture).unwrap();
        embedder.embed_batch_on(vec![input], 1).unwrap().remove(0).expect("an embedding").embedding
    };
    let plain = embedding(&png);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    println!(
        "{:14} {:>8} {:>10} {:>8} {:>8} {:>10}",
        "12 megapixels", "MB", "a second", "Pillow", "ratio", "similarity"
    );
    for file in files {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < MEASURED {
            decode::thumbnail(&decode::decode_file(&file, wanted, &Cancel::default()).unwrap()).unwrap();
            count += 1;
        }
        let ours = f64::from(count) / begun.elapsed().as_secs_f64();
        let theirs = support::peer("formats.py", &["measure", file.to_str().unwrap()]);
        let similarity: f32 = plain.values().iter().zip(embedding(&file).values()).map(|(a, b)| a * b).sum();
        let megabytes = file.metadata().unwrap().len() as f64 / f64::from(1 << 20);
        let name = file.file_name().unwrap().to_string_lossy();
        println!("{name:14} {megabytes:8.1} {ours:10.1} {theirs:8.1} {:8.2} {similarity:10.3}", ours / theirs);
    }
}

#[derive(Parser)]
struct Arguments {
    /// JPEG photos
    folder: Option<PathBuf>,
    /// Photos of 12 and 48 megapixels instead
    #[arg(long, conflicts_with = "folder")]
    large: bool,
    /// One photo of 12 megapixels in each format instead
    #[arg(long, conflicts_with_all = ["folder", "large"])]
    formats: bool,
    /// So many photos: those of the folder over and over
    #[arg(long, requires = "folder")]
    photos: Option<usize>,
}

fn main() {
    // SAFETY: nothing has started a thread yet.
    #[cfg(target_os = "linux")]
    unsafe { decode::process::start() }.unwrap();
    let arguments: Arguments = support::arguments();
    let place = tempfile::tempdir().unwrap();
    let data = DataFolder::open(Some(place.path().into())).unwrap();
    match arguments {
        Arguments { formats: true, .. } => formats(place.path()),
        Arguments { large: true, .. } => large(&data, place.path()),
        Arguments { folder: Some(folder), photos: Some(count), .. } => many(&folder, count, &data, place.path()),
        Arguments { folder: Some(folder), .. } => small(&folder, &data, place.path()),
        Arguments { folder: None, .. } => println!("Skipped: needs a folder of JPEG photos, or --large"),
    }
}

//! How long a search takes: `cargo bench --bench search -- [FOLDER] [--photos 10000,100000,1000000]`.
//!
//! FOLDER is one of photos with a sub-folder a species, whose embeddings the made-up ones are like; the sample garden
//! where there is none. First the index by itself: ours beside an exact index of Faiss on one query at a time. Then our
//! exact search beside Faiss's own in half precision, with ids and with a filter; put `taskset -c 0` before the command
//! for one thread. At last the whole way from a dropped photo of 12 megapixels to ranked results at the window's door, in
//! a library of that size. A million photos need 8 GB of memory and 10 GB of disk.
//!
//! The program's build leaves Faiss's half precision without optimisation, for it uses none of it: the comparison wants
//! `FLORASCOPE_OPTIMISE_FAISS=1` and a `CARGO_TARGET_DIR` of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use faiss::index::SearchWithParamsMut as _;
use faiss::search_params::SearchParameters;
use faiss::selector::IdSelector;
use faiss::{Idx, Index as _, MetricType, index_factory};
use florascope::catalog::{Catalog, FileStamp};
use florascope::device::DeviceChoice;
use florascope::index::{Approximate, EXACT_VALUES, Index};
use florascope::job::Cancel;
use florascope::library::DataFolder;
use florascope::photo::{HalfEmbedding, Metric, PhotoId};
use florascope::query::Query;
use florascope::random::Random;
use florascope::worker::{Event, Listing, Request, Worker};
use support::{Real, peak_megabytes, percentile, picture};

const QUERIES: usize = 200;
const RECALL_AT: usize = 10;
/// What the window asks for.
const RESULTS: usize = 101;
/// Beyond this many photos an index of 32-bit floats is left out: it would fill the memory.
const MAX_PEER: usize = 200_000;

#[derive(Parser)]
struct Arguments {
    /// Photos with a sub-folder a species
    folder: Option<PathBuf>,
    /// Sizes of libraries
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    photos: Vec<usize>,
    /// Only the comparison with Faiss's half precision
    #[arg(long)]
    half: bool,
}

fn main() {
    let Arguments { folder, photos: sizes, half } = support::arguments();
    let temporary = tempfile::tempdir().unwrap();
    let data = DataFolder::open(Some(temporary.path().to_owned())).unwrap();
    let real = Real::of(folder.as_deref(), &data);
    if half {
        return half_precision(&real, &sizes);
    }
    let query = temporary.path().join("query.jpg");
    picture(4000, 3000).save(&query).unwrap();

    println!("Search for {RESULTS} results, one query at a time; exact Faiss: IndexFlat of 32-bit floats");
    println!(
        "{:>8} {:>5}  {:28} {:>8} {:>7} {:>8} {:>8} {:>9} {:>11} {:>6}",
        "photos", "d", "index", "build s", "MB", "p50 ms", "p95 ms", "recall@10", "Faiss p50", "ratio"
    );
    for size in &sizes {
        index(&real, *size);
    }
    half_precision(&real, &sizes);
    println!("\nFrom a dropped photo of 12 megapixels to its ranked results (limit 150 ms)");
    println!("{:>8} {:>9} {:>9} {:>9} {:>12} {:>10}", "photos", "opened s", "p50 ms", "max ms", "of limit", "peak MB");
    for size in sizes {
        drop_to_results(&real, size, &query, &temporary.path().join(size.to_string()));
    }
}

/// One line for the exact index, and one for the approximate where there would be one.
fn index(real: &Real, count: usize) {
    let (mut random, dimension) = (Random::new(1), real.dimension());
    let mut index = Index::new(dimension, Metric::Cosine);
    let mut peer = index_factory(dimension as u32, "Flat", MetricType::InnerProduct).unwrap();
    let mut adding = 0.0;
    for id in 0..count {
        let embedding = real.made_up(&mut random);
        let half = HalfEmbedding::from(&embedding);
        let began = Instant::now();
        assert!(index.add(PhotoId(id as i64 + 1), &half));
        adding += began.elapsed().as_secs_f64();
        if count <= MAX_PEER {
            peer.add(embedding.values()).unwrap();
        }
    }
    let queries: Vec<_> = (0..QUERIES).map(|_| real.made_up(&mut random)).collect();
    let exact = index.search_many(&queries, RECALL_AT);
    let peer_times: Vec<f64> = queries.iter().map(|q| timed(|| peer.search(q.values(), RESULTS).unwrap())).collect();
    let bytes = count * dimension * 2;
    let line = |index: &mut Index, name: &str, build: f64, bytes: usize| {
        let mut right = 0;
        let mut times = Vec::new();
        for (query, exact) in queries.iter().zip(&exact) {
            let mut found = Vec::new();
            times.push(timed(|| found = index.search(query, RESULTS)));
            right += exact.iter().filter(|one| found[..RECALL_AT].iter().any(|other| other.id == one.id)).count();
        }
        let (p50, p95) = (percentile(&times, 0.5), percentile(&times, 0.95));
        let recall = right as f64 / (QUERIES * RECALL_AT) as f64;
        let peer = if count <= MAX_PEER { percentile(&peer_times, 0.5) } else { f64::NAN };
        println!(
            "{count:8} {dimension:5}  {name:28} {build:8.1} {:7} {p50:8.2} {p95:8.2} {recall:9.3} {peer:11.2} {:6.1}",
            bytes >> 20,
            peer / p50
        );
    };
    line(&mut index, "exact, half precision", adding, bytes);
    if index.wants_approximate() {
        let began = Instant::now();
        let approximate = Approximate::build(&index.rows(), &Cancel::default()).unwrap().unwrap();
        let built = began.elapsed().as_secs_f64();
        let (name, more) = (approximate.describe(), approximate.bytes());
        index.use_approximate(approximate);
        line(&mut index, &name, built, bytes + more);
    }
}

/// Our exact search beside Faiss's flat index of 16-bit floats (`SQfp16`), of the same queries in turn: one query at a
/// time among all photos and among every third of them, and all queries at once.
fn half_precision(real: &Real, sizes: &[usize]) {
    println!("\nExact search in half precision: ours, and IDMap,SQfp16 of Faiss; p50 in ms a query");
    println!(
        "{:>8}  {:>9} {:>9} {:>6}  {:>9} {:>9} {:>6}  {:>9} {:>9} {:>6}  {:>8}",
        "photos", "one query", "Faiss", "ratio", "filtered", "Faiss", "ratio", "together", "Faiss", "ratio", "same ten"
    );
    for count in sizes.iter().copied().filter(|count| *count <= MAX_PEER) {
        let (mut random, dimension) = (Random::new(1), real.dimension());
        let mut index = Index::new(dimension, Metric::Cosine);
        let mut faiss = index_factory(dimension as u32, "IDMap,SQfp16", MetricType::InnerProduct).unwrap();
        // Nothing is learnt, but it insists.
        faiss.train(real.made_up(&mut random).values()).unwrap();
        for id in 1..=count {
            let embedding = real.made_up(&mut random);
            assert!(index.add(PhotoId(id as i64), &HalfEmbedding::from(&embedding)));
            faiss.add_with_ids(embedding.values(), &[Idx::new(id as u64)]).unwrap();
        }
        let queries: Vec<_> = (0..QUERIES).map(|_| real.made_up(&mut random)).collect();
        let some: Vec<PhotoId> = (1..=count as i64).step_by(3).map(PhotoId).collect();
        let mut bits = vec![0_u8; count / 8 + 1];
        some.iter().for_each(|id| bits[id.0 as usize / 8] |= 1 << (id.0 % 8));
        // Of Faiss's selectors the quickest; it looks into our bits.
        let filter = SearchParameters::new(IdSelector::bitmap(&bits).unwrap()).unwrap();
        let (mut ours, mut theirs, mut same) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3], 0);
        for query in &queries {
            let (mut found, mut labels) = (Vec::new(), Vec::new());
            ours[0].push(timed(|| found = index.search(query, RESULTS)));
            theirs[0].push(timed(|| labels = faiss.search(query.values(), RESULTS).unwrap().labels));
            same += found[..RECALL_AT]
                .iter()
                .filter(|one| labels[..RECALL_AT].iter().any(|label| label.get() == Some(one.id.0 as u64)))
                .count();
            ours[1].push(timed(|| index.search_among(query, &some, RESULTS)));
            theirs[1].push(timed(|| faiss.search_with_params(query.values(), RESULTS, &filter).unwrap()));
        }
        let together: Vec<f32> = queries.iter().flat_map(|query| query.values().iter().copied()).collect();
        for _ in 0..5 {
            ours[2].push(timed(|| index.search_many(&queries, RESULTS)) / QUERIES as f64);
            theirs[2].push(timed(|| faiss.search(&together, RESULTS).unwrap()) / QUERIES as f64);
        }
        print!("{count:8}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (ours, theirs) = (percentile(ours, 0.5), percentile(theirs, 0.5));
            print!("  {ours:9.2} {theirs:9.2} {:6.2}", theirs / ours);
        }
        println!("  {:8.3}", same as f64 / (QUERIES * RECALL_AT) as f64);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let began = Instant::now();
    let result = work();
    let seconds = began.elapsed().as_secs_f64();
    drop(result);
    seconds
}

fn drop_to_results(real: &Real, count: usize, query: &Path, place: &Path) {
    let photos = place.join("photos");
    std::fs::create_dir_all(&photos).unwrap();
    let data = DataFolder::open(Some(place.join("data"))).unwrap();
    let library = data.library(&photos).unwrap();
    let lock = library.lock().unwrap().unwrap();
    let mut catalog = Catalog::open(&library.folder).unwrap();
    let mut random = Random::new(2);
    for start in (0..count).step_by(10_000) {
        let some = (start..count.min(start + 10_000)).map(|number| {
            let path = PathBuf::from(format!("{:03}/{number}.jpg", number % 500));
            support::photo(number, path, FileStamp { size: 1, modified: 1, changed: None }, real.made_up(&mut random))
        });
        catalog.write(support::key(), some.collect(), &[]).unwrap();
    }
    drop((catalog, lock));

    let worker = Worker::start(data, DeviceChoice::Auto, || {}).unwrap();
    let began = Instant::now();
    worker.send(Request::Open(photos));
    // The folder is empty, which ends the indexing; that may come before the last photo is loaded, or after.
    let (mut opened, mut ended) = (None, false);
    wait(&worker, |event| {
        match event {
            Event::Gallery { loading: false, .. } => _ = opened.get_or_insert_with(|| began.elapsed().as_secs_f64()),
            Event::JobEnded(_) => ended = true,
            _ => {}
        }
        opened.is_some() && ended
    });
    let opened = opened.unwrap();
    let approximate = library.folder.join("approximate.safetensors");
    // Exact searches answer meanwhile, but it is the lasting state that is measured.
    for _ in 0..1200 {
        if count * real.dimension() <= EXACT_VALUES || approximate.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    let times: Vec<f64> = (1..=20)
        .map(|number| {
            let query = Some(Query::File(query.to_owned()));
            let listing = Listing { query, limit: Some(100), ..Listing::default() };
            let began = Instant::now();
            worker.send(Request::Show { number, listing });
            wait(&worker, |event| matches!(event, Event::Answer { number: answered, .. } if *answered == number));
            began.elapsed().as_secs_f64()
        })
        .collect();
    let (p50, max) = (percentile(&times, 0.5), percentile(&times, 1.0));
    println!(
        "{count:8} {opened:9.1} {p50:9.1} {max:9.1} {:12.2} {:10}",
        p50 / 150.0,
        peak_megabytes("self").unwrap_or(0)
    );
    drop(worker);
    std::fs::remove_dir_all(place).unwrap();
}

/// Until an event says that it is over.
fn wait(worker: &Worker, mut is_over: impl FnMut(&Event) -> bool) {
    loop {
        let events = worker.take_events();
        if events.iter().any(|event| matches!(event, Event::QueryFailed { .. } | Event::OpenFailed { .. })) {
            panic!("{events:?}");
        }
        // All are looked at, also behind the last one that counts.
        if events.iter().filter(|event| is_over(event)).count() > 0 {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

//! How long it takes until an unchanged folder can be searched, and until it is known to be unchanged:
//! `cargo bench --bench opening -- [--photos 100000] [--kilobytes 40]`.
//!
//! The peer of the check for changes is the hashing of all files, as programs do that know a file by its content only:
//! with the same SHA-256, on all cores, files in the system's cache.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use florascope::catalog::{Catalog, FileStamp};
use florascope::device::DeviceChoice;
use florascope::ingest::{COMPLETE, YES};
use florascope::job::{Cancel, Outcome};
use florascope::library::DataFolder;
use florascope::photo::ContentHash;
use florascope::random::Random;
use florascope::worker::{Event, Request, Worker};
use support::Real;

#[derive(Parser)]
struct Arguments {
    /// Photos in the library
    #[arg(long, default_value_t = 100_000)]
    photos: usize,
    /// Of each
    #[arg(long, default_value_t = 40)]
    kilobytes: usize,
}

fn main() {
    let Arguments { photos: count, kilobytes } = support::arguments();
    let temporary = tempfile::tempdir().unwrap();
    let data = DataFolder::open(Some(temporary.path().join("data"))).unwrap();
    let real = Real::of(None, &data);
    let photos = temporary.path().join("photos");
    let mut random = Random::new(1);
    let mut bytes = vec![0; kilobytes << 10];
    let mut rows = Vec::new();
    for number in 0..count {
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&random.next_u64().to_le_bytes()[..part.len()]));
        let path = PathBuf::from(format!("{:03}/{number}.jpg", number % 500));
        let file = photos.join(&path);
        if number < 500 {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        std::fs::write(&file, &bytes).unwrap();
        rows.push((path, FileStamp::from(&file.metadata().unwrap())));
    }
    let library = data.library(&photos).unwrap();
    let lock = library.lock().unwrap().unwrap();
    let mut catalog = Catalog::open(&library.folder).unwrap();
    for (part, some) in rows.chunks(10_000).enumerate() {
        let photos = some.iter().enumerate().map(|(number, (path, stamp))| {
            support::photo(part * 10_000 + number, path.clone(), *stamp, real.made_up(&mut random))
        });
        catalog.write(support::key(), photos.collect(), &[]).unwrap();
    }
    catalog.set_fact(COMPLETE, YES).unwrap();
    support::use_general(&mut catalog);
    drop((catalog, lock));

    println!("{count} photos of {kilobytes} KB, warm");
    for _ in 0..3 {
        let began = Instant::now();
        let worker = Worker::start(data.clone(), DeviceChoice::Cpu, || {}).unwrap();
        worker.send(Request::Open(photos.clone()));
        let (mut opened, mut checked) = (None, None);
        while opened.is_none() || checked.is_none() {
            for event in worker.take_events() {
                match event {
                    Event::Gallery { photos, loading: false, .. } if photos == count => {
                        opened.get_or_insert(began.elapsed());
                    }
                    Event::JobEnded(Outcome::Done { completed: 0 }) => checked = Some(began.elapsed()),
                    Event::JobEnded(other) => panic!("{other:?}"),
                    Event::OpenFailed { message } => panic!("{message}"),
                    _ => {}
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let (opened, checked) = (opened.unwrap().as_secs_f64(), checked.unwrap().as_secs_f64());
        println!(
            "searchable after {opened:.2} s (limit 2 s: {:.2} of it); known to be unchanged after {checked:.2} s",
            opened / 2.0
        );
    }
    let began = Instant::now();
    let known = Catalog::open_read_only(&library.folder).unwrap().unwrap().known_files(support::key().name).unwrap();
    let scan = florascope::scan::scan(&library.root, known, &Cancel::default(), |_| {}).unwrap();
    let check = began.elapsed().as_secs_f64();
    assert_eq!((scan.unchanged, scan.to_read.len(), scan.gone.len()), (count as u64, 0, 0));
    let hash = |()| {
        let (next, began) = (AtomicUsize::new(0), Instant::now());
        let work = || {
            while let Some((path, _)) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                std::hint::black_box(ContentHash::of(&std::fs::read(photos.join(path)).unwrap()));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
                scope.spawn(work);
            }
        });
        began.elapsed().as_secs_f64()
    };
    hash(());
    let hashing = hash(());
    println!("the check alone {check:.2} s; hashing all files {hashing:.2} s; ratio {:.1} (goal 5)", hashing / check);
}

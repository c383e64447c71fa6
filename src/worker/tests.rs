use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use image::RgbImage;
use tempfile::TempDir;

use super::{Event, Listing, Request, Worker};
use crate::artefact::{Recipe, TrainOptions};
use crate::device::DeviceChoice;
use crate::library::DataFolder;
use crate::metadata::Metadata;
use crate::photo::{ContentHash, Photo, PhotoId};
use crate::query::Query;

/// Takes events until one is the wanted, and that one too.
fn events_until(worker: &Worker, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
    let end = Instant::now() + Duration::from_secs(60);
    let mut events = Vec::new();
    while !events.iter().any(&wanted) {
        assert!(Instant::now() < end, "{events:?}");
        std::thread::sleep(Duration::from_millis(2));
        events.extend(worker.take_events());
    }
    events
}

fn count(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

/// Can hold the thread that sends the next event, after it has sent it.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<Option<Barrier>>>);

struct Barrier {
    enter: Sender<()>,
    released: Receiver<()>,
}

/// A thread that is held, or will be, until this is dropped.
struct Held {
    entered: Receiver<()>,
    _release: Sender<()>,
}

impl Gate {
    fn hold_next(&self) -> Held {
        let ((enter, entered), (release, released)) = (bounded(1), bounded(0));
        *self.0.lock().unwrap() = Some(Barrier { enter, released });
        Held { entered, _release: release }
    }

    fn pass(&self) {
        let barrier = self.0.lock().unwrap().take();
        if let Some(Barrier { enter, released }) = barrier {
            let _ = enter.send(());
            let _ = released.recv();
        }
    }
}

impl Held {
    fn wait(&self) {
        self.entered.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

/// A worker, and a folder with one photo.
struct Rig {
    worker: Worker,
    gate: Gate,
    photos: TempDir,
    data: DataFolder,
    _data: TempDir,
}

impl Rig {
    fn start() -> Self {
        Self::behind(Gate::default())
    }

    fn behind(gate: Gate) -> Self {
        let (folder, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        RgbImage::new(8, 8).save(photos.path().join("there.png")).unwrap();
        let data = DataFolder::open(Some(folder.path().into())).unwrap();
        let wake = gate.clone();
        let worker = Worker::start(data.clone(), DeviceChoice::Cpu, move || wake.pass()).unwrap();
        Self { worker, gate, photos, data, _data: folder }
    }

    /// Its first event, of the model, holds it: what is asked meanwhile is found all at once.
    fn held() -> (Self, Held) {
        let gate = Gate::default();
        let held = gate.hold_next();
        let rig = Self::behind(gate);
        held.wait();
        rig.worker.take_events();
        (rig, held)
    }

    fn send(&self, request: Request) {
        self.worker.send(request);
    }

    fn open(&self) {
        self.send(Request::Open(self.photos.path().into()));
    }

    fn show(&self, number: u64, query: Option<Query>) {
        self.send(Request::Show { number, listing: Listing { query, ..Listing::default() } });
    }

    fn events_until(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        events_until(&self.worker, wanted)
    }

    /// Opens the folder, and waits until nothing is being done any more.
    fn open_and_rest(&self) {
        self.events_until(|event| matches!(event, Event::ModelReady(_)));
        self.open();
        let mut open = true;
        let mut listed = false;
        while open || !listed {
            let is_news = |event: &Event| matches!(event, Event::JobEnded(_) | Event::Models { .. });
            let events = self.events_until(is_news);
            open &= count(&events, |event| matches!(event, Event::JobEnded(_))) == 0;
            listed |= count(&events, |event| matches!(event, Event::Models { .. })) > 0;
        }
    }
}

#[test]
fn a_newer_choice_of_device_is_not_undone_by_the_answer_to_an_older_one() {
    let (rig, held) = Rig::held();
    let missing = if cfg!(target_os = "macos") { DeviceChoice::Cuda } else { DeviceChoice::Mps };
    rig.send(Request::SetDevice(missing));
    rig.send(Request::SetDevice(DeviceChoice::Auto));
    drop(held);
    let is_answer = |event: &Event| matches!(event, Event::ModelReady(_) | Event::DeviceRefused { .. });
    let events = rig.events_until(is_answer);
    assert_eq!(count(&events, |event| matches!(event, Event::ModelReady(_))), 1, "{events:?}");
    // And one that cannot be used gives way to the one that can.
    rig.send(Request::SetDevice(missing));
    let events = rig.events_until(is_answer);
    let refused = |event: &Event| matches!(event, Event::DeviceRefused { device: DeviceChoice::Auto, .. });
    assert_eq!(count(&events, refused), 1, "{events:?}");
}

#[test]
fn a_library_that_cannot_be_opened_again_stays_open() {
    let rig = Rig::start();
    rig.open_and_rest();
    let catalog = rig.data.library(rig.photos.path()).unwrap().folder.join("catalog.sqlite");
    std::fs::rename(&catalog, catalog.with_extension("away")).unwrap();
    std::fs::create_dir(&catalog).unwrap();
    rig.open();
    rig.events_until(|event| matches!(event, Event::OpenFailed { .. }));
    rig.show(1, None);
    let events = rig.events_until(|event| matches!(event, Event::Answer { number: 1, .. }));
    let has_photo = |event: &Event| matches!(event, Event::Answer { number: 1, hits, .. } if hits.len() == 1);
    assert_eq!(count(&events, has_photo), 1, "{events:?}");
}

#[test]
fn a_task_that_holds_the_lock_is_not_taken_for_another_window() {
    let rig = Rig::start();
    rig.open_and_rest();
    let held = rig.gate.hold_next();
    rig.send(Request::ListModels);
    held.wait();
    // It waits for the one before, with the right to write the open library.
    rig.send(Request::DeleteModel("none".into()));
    rig.open();
    let events = rig.events_until(|event| matches!(event, Event::Opened { .. }));
    assert_eq!(count(&events, |event| matches!(event, Event::Opened { writable: true, .. })), 1, "{events:?}");
    drop(held);
}

#[test]
fn a_window_is_told_that_the_worker_has_died() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(Some(folder.path().into())).unwrap();
    let dies = AtomicBool::new(true);
    let wake = move || {
        if std::thread::current().name() == Some("worker") && dies.swap(false, Ordering::Relaxed) {
            panic!("as a test");
        }
    };
    let worker = Worker::start(data, DeviceChoice::Cpu, wake).unwrap();
    let died = |event: &Event| matches!(event, Event::WorkerDied);
    events_until(&worker, died);
    worker.send(Request::ListModels);
    events_until(&worker, died);
}

#[test]
fn a_check_that_is_asked_for_while_a_job_runs_follows_it_once() {
    let (rig, held) = Rig::held();
    rig.open();
    rig.send(Request::Index);
    rig.send(Request::Index);
    drop(held);
    let (mut events, mut ended) = (Vec::new(), 0);
    while ended < 2 {
        let more = rig.events_until(|event| matches!(event, Event::JobEnded(_)));
        ended += count(&more, |event| matches!(event, Event::JobEnded(_)));
        events.extend(more);
    }
    // A third one would have been begun by the time of this answer.
    rig.show(1, None);
    events.extend(rig.events_until(|event| matches!(event, Event::Answer { number: 1, .. })));
    assert_eq!(count(&events, |event| matches!(event, Event::IndexStarted)), 2, "{events:?}");
    assert_eq!(count(&events, |event| matches!(event, Event::IndexQueued)), 2, "{events:?}");
}

#[test]
fn only_the_newest_estimate_is_made_and_not_while_a_job_runs() {
    let (rig, held) = Rig::held();
    rig.open();
    for seed in 0..20 {
        // Of a model that is gone it takes no time.
        let options = TrainOptions { recipe: Recipe::Full, seed, start: Some("gone".into()), ..Default::default() };
        rig.send(Request::EstimateTraining(options));
    }
    drop(held);
    let events = rig.events_until(|event| matches!(event, Event::TrainingEstimate { .. }));
    let is_newest = |event: &Event| matches!(event, Event::TrainingEstimate { options, .. } if options.seed == 19);
    let (estimate, ended) = (events.iter().position(is_newest), |event: &Event| matches!(event, Event::JobEnded(_)));
    assert!(events.iter().position(ended).is_some_and(|ended| Some(ended) < estimate), "{events:?}");
    assert_eq!(count(&events, |event| matches!(event, Event::TrainingEstimate { .. })), 1, "{events:?}");
}

#[test]
fn the_grid_is_answered_while_a_query_is_being_made() {
    let rig = Rig::start();
    rig.open_and_rest();
    let query = Some(Query::File(rig.photos.path().join("there.png")));
    let held = rig.gate.hold_next();
    rig.show(1, query.clone());
    held.wait();
    rig.show(2, None);
    rig.events_until(|event| matches!(event, Event::Answer { number: 2, .. }));
    // Nor does a newer query wait for the older one.
    rig.show(3, query);
    let events = rig.events_until(|event| matches!(event, Event::Answer { number: 3, .. }));
    drop(held);
    assert_eq!(count(&events, |event| matches!(event, Event::Answer { number: 1, .. })), 0, "{events:?}");
}

#[test]
fn a_search_with_a_photo_that_is_gone_from_the_index_reads_no_file() {
    let (data, photos) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    RgbImage::new(8, 8).save(photos.path().join("there.png")).unwrap();
    let data = DataFolder::open(Some(data.path().into())).unwrap();
    let worker = Worker::start(data, DeviceChoice::Cpu, || {}).unwrap();
    worker.send(Request::Open(photos.path().into()));
    let gone = Photo::new(PhotoId(1 << 40), "there.png".into(), ContentHash([0; 16]), Metadata::default());
    let listing = Listing { query: Some(Query::Photo(Arc::new(gone))), ..Listing::default() };
    worker.send(Request::Show { number: 1, listing });
    let mut events = events_until(&worker, |event| matches!(event, Event::QueryFailed { number: 1, .. }));
    worker.send(Request::Show { number: 2, listing: Listing::default() });
    events.extend(events_until(&worker, |event| matches!(event, Event::Answer { number: 2, .. })));
    assert!(!events.iter().any(|event| matches!(event, Event::Preview { .. })), "{events:?}");
}

#[test]
fn what_changes_in_the_folder_is_found_without_being_asked_for() {
    let rig = Rig::start();
    rig.open_and_rest();
    let photos = |count: usize| move |event: &Event| matches!(event, Event::Gallery { photos, .. } if *photos == count);
    // As a program that copies slowly.
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 7]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    let bytes = bytes.into_inner();
    let mut file = std::fs::File::create(rig.photos.path().join("new.png")).unwrap();
    for part in bytes.chunks(bytes.len() / 4 + 1) {
        std::io::Write::write_all(&mut file, part).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    drop(file);
    let events = rig.events_until(photos(2));
    let problems = |event: &Event| matches!(event, Event::Problems(problems) if !problems.is_empty());
    assert_eq!(count(&events, problems), 0, "{events:?}");
    assert_eq!(count(&events, |event| matches!(event, Event::IndexStarted)), 0, "{events:?}");
    rig.events_until(|event| matches!(event, Event::JobEnded(_)));
    // Many changes at once cost one look, in a folder that is new as well.
    let folder = rig.photos.path().join("many");
    std::fs::create_dir(&folder).unwrap();
    (0..10_000).for_each(|number| std::fs::write(folder.join(format!("{number}.txt")), "").unwrap());
    std::fs::remove_file(rig.photos.path().join("new.png")).unwrap();
    let mut events = rig.events_until(photos(1));
    std::thread::sleep(Duration::from_secs(3));
    events.extend(rig.worker.take_events());
    let looks = count(&events, |event| matches!(event, Event::JobEnded(_)));
    assert!((1..=2).contains(&looks), "one, and one of the folder that is watched from then on: {events:?}");
}

//! The threads that stay are no more than there are cores, as far as libtorch is concerned: a process of its own, so that
//! no other test's are counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use florascope::artefact::Model;
use florascope::device::DeviceChoice;
use florascope::embed::Embedder;
use florascope::model::NetworkInput;

fn embed_threads() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("embed-")).count()
}

#[test]
fn embed_threads_keep_no_helpers() {
    let embedder = Embedder::start(DeviceChoice::Cpu, Model::built_in()).unwrap();
    let info = embedder.info().unwrap();
    let (networks, grey) = (info.parallel, NetworkInput::grey(info.architecture));
    for threads in [1, 3, 1] {
        assert!(embedder.embed_batch_on(vec![grey.clone(); 4], threads).unwrap().iter().all(Option::is_some));
    }
    // They end by themselves, soon; only where they stay is this not enough.
    let end = Instant::now() + Duration::from_secs(60);
    while embed_threads() > networks {
        assert!(Instant::now() < end, "{} threads for {networks} networks", embed_threads());
        std::thread::sleep(Duration::from_millis(10));
    }
}

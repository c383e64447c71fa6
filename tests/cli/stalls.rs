//! A drive that does not answer, to the command line.

use std::time::{Duration, Instant};

use florascope::cli::exit;
use serde_json::json;

use super::common::mount::own_mounts;
use super::common::stalled::mount_stalled;
use super::common::{FLOWERS, PHOTOS};
use super::indexed;

#[test]
fn a_drive_that_does_not_answer_holds_up_its_own_files_only() {
    let place = indexed();
    let drive = place.photos().join("drive");
    std::fs::create_dir(&drive).unwrap();
    place.write("new.jpg", &super::commented(&FLOWERS[0].jpeg, "new"));
    if !own_mounts() {
        return;
    }
    let Some(_stalled) = mount_stalled(&drive) else { return };
    let began = Instant::now();
    let ended = place.run(["index", "--json", "--patience", "3"], [place.photos()]).expect_code(exit::WITH_PROBLEMS);
    let report = ended.json();
    assert_eq!((&report["photos"], &report["outcome"]), (&json!(PHOTOS + 1), &json!("done")), "{report:#}");
    let problem = &report["problems"][0];
    assert_eq!(problem["path"], "drive/stalled.jpg");
    assert!(problem["reason"].as_str().unwrap().starts_with("The drive does not answer"), "{report:#}");
    assert!(began.elapsed() < Duration::from_secs(40));
    let stalled = drive.join("stalled.jpg");
    let query = place.run(["search", "--json", "--patience", "1"], [&place.photos(), &stalled]).json();
    assert!(query[0]["error"].as_str().unwrap().starts_with("The drive does not answer"), "{query:#}");
    // A stop is heard meanwhile.
    let mut command = std::process::Command::new(super::common::BINARY);
    command.args(["index", "--json", "--data-dir"]).arg(place.data()).arg(place.photos());
    let mut program = super::common::plain(&mut command).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    assert!(program.try_wait().unwrap().is_none(), "it waits for the drive");
    rustix::process::kill_process(rustix::process::Pid::from_child(&program), rustix::process::Signal::INT).unwrap();
    let asked = Instant::now();
    assert_eq!(program.wait().unwrap().code(), Some(i32::from(exit::STOPPED)));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

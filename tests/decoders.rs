//! Decoders that do the worst cost their file only: the real program with a decoder that is made to crash, to hang, to take
//! all memory, to write and to speak to a network (`decode::process`, in debug builds).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};

fn index(folder: &Path, data: &Path) -> serde_json::Value {
    let mut program = Command::new(env!("CARGO_BIN_EXE_florascope"));
    program.env("FLORASCOPE_DECODER_SECONDS", "2").args(["index", "--json", "--data-dir"]).args([data, folder]);
    let output = program.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

#[test]
fn whatever_a_decoder_does_costs_its_file_only() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..6_u8 {
        let photo = RgbImage::from_fn(64, 48, |x, y| Rgb([x as u8 * 4, y as u8 * 5, number * 40]));
        photo.save(folder.path().join(format!("photo {number}.png"))).unwrap();
    }
    for what in ["crash", "hang", "eat", "write", "speak"] {
        std::fs::write(folder.path().join(format!("{what}.jpg")), format!("florascope test: {what}")).unwrap();
    }
    let said = index(folder.path(), data.path());
    assert_eq!(said["photos"], 6, "{said}");
    let reason = |name: &str| {
        let problems = said["problems"].as_array().unwrap();
        let found = problems.iter().find(|problem| problem["path"].as_str().unwrap().ends_with(name));
        found.unwrap_or_else(|| panic!("{name} in {said}"))["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("crash.jpg").contains("crashed"), "{said}");
    assert!(reason("hang.jpg").contains("after 2 seconds"), "{said}");
    // All that it may have, or as much as it takes within the time.
    let eaten = reason("eat.jpg");
    assert!(eaten.contains("too much memory") || eaten.contains("after 2 seconds"), "{said}");
    // What is denied is no reason to end: they go on, and are no pictures.
    for name in ["write.jpg", "speak.jpg"] {
        assert!(reason(name).starts_with("Not a picture"), "{said}");
    }
}

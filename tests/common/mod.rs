//! What the tests of the whole program share: photos and folders of them, the real binary, random numbers.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of this")]

#[cfg(target_os = "linux")]
pub mod mount;
mod photos;
pub mod random;
#[cfg(target_os = "linux")]
pub mod stalled;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use florascope::catalog::Catalog;
use florascope::library::{DataFolder, Library};
use serde_json::Value;
use tempfile::TempDir;

pub use photos::{
    FLOWERS, PHOTOS, PHOTOS_EACH, Photos, SPECIES, another_backbone, another_of, commented, described, encode,
    many_drawings, write_file,
};

/// How a run of the program ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect_code(self, code: u8) -> Self {
        assert_eq!(self.code, i32::from(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The problem list of `index` or of `status` of one folder: path and reason.
    #[track_caller]
    pub fn problems(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let report = self.json();
        let problems = report["problems"].as_array().unwrap().iter();
        problems.map(|problem| (text(&problem["path"]), text(&problem["reason"]))).collect()
    }
}

/// A user's folder and the program's data folder, both gone with the test.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn empty() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.photos()).unwrap();
        place
    }

    /// With the photos of [`FLOWERS`], a folder for each species.
    pub fn with_flowers() -> Self {
        let place = Self::empty();
        for flower in FLOWERS.iter() {
            place.write(Path::new(flower.species).join(&flower.name), &flower.jpeg);
        }
        place
    }

    pub fn photos(&self) -> PathBuf {
        self.folder.path().join("photos")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file into the user's folder.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.photos().join(name);
        write_file(&path, bytes);
        path
    }

    pub fn library(&self) -> Library {
        DataFolder::open(Some(self.data())).unwrap().library(&self.photos()).unwrap()
    }

    /// The catalog as any second process sees it.
    pub fn catalog(&self) -> Option<Catalog> {
        Catalog::open_read_only(&self.library().folder).unwrap()
    }

    pub fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.library().folder.join("catalog.sqlite")).unwrap()
    }

    /// `florascope index` of the user's folder, with JSON.
    pub fn index(&self) -> Ended {
        self.run(["index", "--json"], [self.photos()])
    }

    /// When a model was last written; `None` where there is none.
    pub fn last_model(&self) -> Option<SystemTime> {
        let files = std::fs::read_dir(self.data().join("models")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()
    }

    /// The program with its data in this place, ended after two minutes at the latest.
    pub fn run<O: AsRef<OsStr>, P: AsRef<OsStr>>(
        &self,
        options: impl IntoIterator<Item = O>,
        paths: impl IntoIterator<Item = P>,
    ) -> Ended {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "120", BINARY]).args(options).arg("--data-dir").arg(self.data()).args(paths);
        finish(plain(&mut command))
    }
}

pub const BINARY: &str = env!("CARGO_BIN_EXE_florascope");

/// Without what the caller's environment would say to the program.
pub fn plain(command: &mut Command) -> &mut Command {
    command.env_remove("FLORASCOPE_DATA_DIR").env_remove("RUST_LOG").env("FLORASCOPE_DEVICE", "cpu")
}

pub fn finish(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Name, size and time of everything in a folder.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            (entry.into_path(), (metadata.len(), metadata.modified().unwrap()))
        })
        .collect()
}

//! What the tests of the whole program share: small photos, a folder of them, and the real binary run on it.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

use florascope::catalog::Catalog;
use florascope::garden;
use florascope::library::{DataFolder, Library};
use image::{ImageFormat, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

pub const SPECIES: usize = 4;
pub const PHOTOS_EACH: usize = 3;
pub const PHOTOS: usize = SPECIES * PHOTOS_EACH;

/// A drawn photo: its species, a file name, and the bytes of a small JPEG.
pub struct Flower {
    pub species: &'static str,
    pub name: String,
    pub jpeg: Vec<u8>,
}

/// Drawn once for each test binary.
pub static FLOWERS: LazyLock<Vec<Flower>> = LazyLock::new(|| {
    let draw = |species: &'static garden::Species| {
        (1..=PHOTOS_EACH).map(|number| Flower {
            species: species.name,
            name: format!("{number}.jpg"),
            // Portraits of one flower, which a small picture shows best.
            jpeg: encode(&small(&garden::draw(species, 2 * number + 1)), ImageFormat::Jpeg),
        })
    };
    garden::SPECIES.iter().take(SPECIES).flat_map(draw).collect()
});

fn small(picture: &RgbImage) -> RgbImage {
    image::imageops::thumbnail(picture, picture.width() / 2, picture.height() / 2)
}

pub fn encode(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The same picture with a comment in the file: to the program another content.
pub fn commented(jpeg: &[u8], comment: &str) -> Vec<u8> {
    let length = (comment.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xFE], &length, comment.as_bytes(), &jpeg[2..]].concat()
}

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
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
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

    /// The program with its data in this place, ended after two minutes at the latest.
    /// When a model was last written; `None` where there is none.
    pub fn last_model(&self) -> Option<SystemTime> {
        let files = std::fs::read_dir(self.data().join("models")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()
    }

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

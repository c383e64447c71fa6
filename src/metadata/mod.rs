//! What a file tells of its photo beside the picture: when it was taken, with which camera, where, and how many pixels it
//! has. And what its name tells: phones write the date into it.
//!
//! All of this is hearsay: cameras with an empty battery and programs of all ages have written it. What cannot be true, or
//! cannot be read, is nothing, and never a reason to refuse the photo. A file's own time is no date: it changes with each
//! copy.

mod block;
mod taken;

use std::fs::File;
use std::io::{self, BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::taken::{Days, Taken};
use crate::crash::foresee;
use crate::decode::RAW_EXTENSIONS;

/// What is known of a photo beside its picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    pub taken: Option<Taken>,
    /// Maker and model.
    pub camera: Option<Arc<str>>,
    /// Width and height of the upright picture, in pixels.
    pub size: Option<(u32, u32)>,
    pub place: Option<Place>,
}

/// How a camera took a photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposure {
    pub(crate) seconds: Option<f64>,
    /// The focal length divided by the width of the opening.
    pub(crate) f_number: Option<f64>,
    pub(crate) iso: Option<u32>,
    /// In millimetres.
    pub(crate) focal_length: Option<f64>,
    pub(crate) lens: Option<String>,
}

impl Exposure {
    /// What a file tells of it; `None` where that is nothing.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file.
    pub(crate) fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut file = open(path)?;
        Ok(foresee(|| block::read_exposure(&mut file)).ok().filter(|exposure| *exposure != Self::default()))
    }
}

/// Where a photo was taken, in degrees north and east.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub latitude: f64,
    pub longitude: f64,
}

impl Place {
    /// `None` where there is no such place on the earth. Cameras that have not found out write zeros.
    pub(crate) fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_one = latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude, longitude) != (0.0, 0.0);
        is_one.then_some(Self { latitude, longitude })
    }
}

impl Metadata {
    /// What the bytes of a file tell; of its path only the kind of file is asked.
    pub(crate) fn of_bytes(bytes: &[u8], path: &Path) -> Self {
        foresee(|| block::read(&mut Cursor::new(bytes), is_raw(path))).unwrap_or_default()
    }

    /// The same of a file, of which as little is read as possible.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        Ok(foresee(|| block::read(&mut file, is_raw(path))).unwrap_or_default())
    }

    /// With the date that the name of a photo's file tells, where the file itself tells none. The one belongs to a path,
    /// all the rest to a content.
    pub(crate) fn with_name(mut self, path: &Path) -> Self {
        self.taken = self.taken.or_else(|| Taken::by_name(path));
        self
    }
}

/// What a file tells of itself beyond what the catalog keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct FileFacts {
    pub(crate) path: PathBuf,
    /// Its length.
    pub(crate) bytes: Option<u64>,
    pub(crate) exposure: Option<Exposure>,
}

impl FileFacts {
    /// As far as the file can be read.
    pub(crate) fn of(path: PathBuf) -> Self {
        let bytes = std::fs::metadata(&path).ok().map(|metadata| metadata.len());
        let exposure = Exposure::of_file(&path).ok().flatten();
        Self { path, bytes, exposure }
    }
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    // Opening a named pipe would wait for whoever writes it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(BufReader::new(File::open(path)?))
}

/// Whether a file's name says that it is what a camera's sensor saw, with a small picture for a quick look.
pub(crate) fn is_raw(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| RAW_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

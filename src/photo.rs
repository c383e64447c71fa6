//! The nouns that every room shares: a photo's identity, its place in the folder, its embedding.
//!
//! They are newtypes so that an id cannot be taken for a count, nor a raw network output for a normalised embedding.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{Date, OffsetDateTime};

use crate::metadata::Metadata;
use crate::names::composed;

/// A photo's row in the catalog and its id in the index. Never used again once the photo is gone or its content changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhotoId(pub i64);

/// The first 16 bytes of the SHA-256 of a file: what makes a renamed or copied file known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// Hash of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One indexed photo, as the worker and the window hold it in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    pub id: PhotoId,
    /// Relative to the library's folder.
    pub path: PathBuf,
    pub content: ContentHash,
    /// Of the content, and a date of the path.
    pub metadata: Metadata,
    /// When the file was last written as it was indexed, in nanoseconds since 1970; 0 where that is not known.
    pub modified: i64,
}

impl Photo {
    /// With what is known of its content; its path may tell a date.
    pub fn new(id: PhotoId, path: PathBuf, content: ContentHash, metadata: Metadata) -> Self {
        let metadata = metadata.with_name(&path);
        Self { id, path, content, metadata, modified: 0 }
    }

    /// With the time of the file's last change.
    pub(crate) fn modified_at(self, modified: i64) -> Self {
        Self { modified, ..self }
    }

    /// The day of the file's last change, in universal time, where it is known.
    pub(crate) fn changed(&self) -> Option<Date> {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(self.modified.into()).ok()?;
        (self.modified != 0).then_some(moment.date())
    }

    /// The name of the sub-folder that the photo lies in; `None` right in the library's folder.
    pub fn label(&self) -> Option<Cow<'_, OsStr>> {
        label_of(&self.path)
    }

    /// The file's name for people; bytes that are not text show as `�`.
    pub(crate) fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The label that a path relative to the library carries: the name of its folder, composed.
pub(crate) fn label_of(relative: &Path) -> Option<Cow<'_, OsStr>> {
    relative.parent().and_then(Path::file_name).map(composed)
}

/// A path as the bytes that the catalog stores. On Unix these are the path's own bytes, so any name round-trips.
pub fn path_to_bytes(path: &Path) -> Vec<u8> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        path.as_os_str().as_bytes().to_vec()
    }
    #[cfg(not(unix))]
    {
        path.to_string_lossy().into_owned().into_bytes()
    }
}

/// The inverse of [`path_to_bytes`].
pub fn bytes_to_path(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// How two embeddings of a model are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// The cosine of the angle between them; they have length 1.
    #[default]
    #[serde(rename = "cosine")]
    Cosine,
    /// Their squared Euclidean distance; they have any length.
    #[serde(rename = "euclidean")]
    Euclidean,
}

impl Metric {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Euclidean => "Euclidean",
        }
    }
}

/// A photo's embedding: `dimension` floats, with [`Metric::Cosine`] of Euclidean length 1, so that an inner product is a
/// cosine similarity.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// An embedding as the metric wants it. `None` where the values are unusable: NaN, infinite, or zeros that cannot be
    /// scaled to length 1.
    pub fn new(values: Vec<f32>, metric: Metric) -> Option<Self> {
        match metric {
            Metric::Cosine => Self::normalised(values),
            Metric::Euclidean => values.iter().all(|v| v.is_finite()).then_some(Self(values)),
        }
    }

    /// Scales to length 1. `None` where that is impossible: a length of zero, NaN or infinity.
    pub fn normalised(mut values: Vec<f32>) -> Option<Self> {
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return None;
        }
        values.iter_mut().for_each(|v| *v /= length);
        Some(Self(values))
    }

    /// The values, `dimension` of them.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The mean of embeddings of one model; `None` of none, or where they cancel each other out.
    pub(crate) fn mean(embeddings: &[Self], metric: Metric) -> Option<Self> {
        let mut sum = vec![0.0; embeddings.first()?.0.len()];
        embeddings.iter().for_each(|one| sum.iter_mut().zip(&one.0).for_each(|(sum, value)| *sum += value));
        sum.iter_mut().for_each(|value| *value /= embeddings.len() as f32);
        Self::new(sum, metric)
    }
}

/// An embedding in half precision, as the catalog and the index keep it: half the space, and no measurable loss in recall.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfEmbedding(Vec<f16>);

impl HalfEmbedding {
    /// The values, `dimension` of them.
    pub(crate) fn values(&self) -> &[f16] {
        &self.0
    }

    /// Little-endian bytes, two a value.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The inverse of [`HalfEmbedding::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.as_chunks::<2>().0.iter().map(|pair| f16::from_le_bytes(*pair)).collect())
    }

    /// In full precision again, with [`Metric::Cosine`] of length 1 again. `None` where it is no embedding.
    pub fn to_embedding(&self, metric: Metric) -> Option<Embedding> {
        let mut values = vec![0.0; self.0.len()];
        self.0.convert_to_f32_slice(&mut values);
        Embedding::new(values, metric)
    }
}

impl From<&Embedding> for HalfEmbedding {
    fn from(embedding: &Embedding) -> Self {
        let mut halves = vec![f16::ZERO; embedding.0.len()];
        halves.convert_from_f32_slice(&embedding.0);
        Self(halves)
    }
}

/// What a model makes of one photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    pub embedding: Embedding,
    /// What the backbone alone gave; `None` where that is the embedding.
    pub features: Option<Embedding>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_the_name_of_the_folder_that_holds_the_photo() {
        let label = |path: &str| label_of(Path::new(path)).map(|l| l.to_string_lossy().into_owned());
        assert_eq!(label("rose/1.jpg").as_deref(), Some("rose"));
        assert_eq!(label("2024/rose/1.jpg").as_deref(), Some("rose"));
        assert_eq!(label("1.jpg"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf8_survives_the_catalog() {
        let bytes = b"ros\xe9/\xff.jpg";
        assert_eq!(path_to_bytes(&bytes_to_path(bytes)), bytes);
    }

    #[test]
    fn an_embedding_has_length_one_also_after_storage() {
        let embedding = Embedding::normalised(vec![3.0, 4.0]).unwrap();
        assert_eq!(embedding.values(), [0.6, 0.8]);
        let bytes = HalfEmbedding::from(&embedding).to_bytes();
        let stored = HalfEmbedding::from_bytes(&bytes).to_embedding(Metric::Cosine).unwrap();
        let length: f32 = stored.values().iter().map(|v| v * v).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert!((stored.values()[0] - 0.6).abs() < 1e-3);
    }

    #[test]
    fn zeros_and_nan_are_no_embedding() {
        assert_eq!(Embedding::normalised(vec![0.0; 4]), None);
        assert_eq!(Embedding::normalised(vec![f32::NAN, 1.0]), None);
    }
}

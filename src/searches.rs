//! The searches of before, kept with their library from one start to the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::decode;
use crate::photo::{bytes_to_path, path_to_bytes};
use crate::query::Query;

/// The file in a library's own folder.
pub(crate) const FILE: &str = "searches.json";
/// Searches that are kept.
pub(crate) const MOST: usize = 24;
/// Of the small pictures.
const QUALITY: u8 = 85;
/// A larger file is none of ours.
const MAX_FILE: u64 = 64 << 20;

/// A search, and its picture, a few dozen pixels large.
pub(crate) type Kept = (Query, RgbImage);

#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(flatten)]
    query: SavedQuery,
    /// JPEG as Base64.
    thumbnail: String,
}

#[derive(Serialize, Deserialize)]
enum SavedQuery {
    /// Paths as Base64.
    #[serde(rename = "files")]
    Files(Vec<String>),
    /// JPEG as Base64.
    #[serde(rename = "picture")]
    Picture(String),
}

/// A query as it comes back from disk: a photo of the library in `root` as its file.
pub(crate) fn as_kept(query: &Query, root: &Path) -> Query {
    match query {
        Query::Photo(photo) => Query::File(root.join(&photo.path)),
        Query::File(_) | Query::Files(_) | Query::Picture(_) => query.clone(),
    }
}

/// The file's content, of queries as [`as_kept`] gives them.
///
/// # Errors
/// When a picture cannot be written as JPEG.
pub(crate) fn to_bytes(searches: &[Kept]) -> io::Result<Vec<u8>> {
    let path = |path: &Path| Base64::encode_string(&path_to_bytes(path));
    let saved = |(query, thumbnail): &Kept| {
        let query = match query {
            Query::File(file) => SavedQuery::Files(vec![path(file)]),
            Query::Files(files) => SavedQuery::Files(files.iter().map(|file| path(file)).collect()),
            Query::Photo(photo) => SavedQuery::Files(vec![path(&photo.path)]),
            Query::Picture(jpeg) => SavedQuery::Picture(Base64::encode_string(jpeg)),
        };
        let side = thumbnail.width().max(thumbnail.height());
        let jpeg = decode::shrunk_jpeg(thumbnail, side, QUALITY).map_err(io::Error::other)?;
        Ok(Saved { query, thumbnail: Base64::encode_string(&jpeg) })
    };
    let saved: Vec<Saved> = searches.iter().take(MOST).map(saved).collect::<io::Result<_>>()?;
    Ok(serde_json::to_vec(&saved)?)
}

/// The searches in a library's own folder; those that cannot be read are passed over, for they are a convenience only.
pub(crate) fn load(folder: &Path) -> Vec<Kept> {
    let file = folder.join(FILE);
    let bytes = match std::fs::metadata(&file).map(|metadata| metadata.len()) {
        Ok(0..=MAX_FILE) => std::fs::read(&file).unwrap_or_default(),
        Ok(_) | Err(_) => return Vec::new(),
    };
    let saved: Vec<Saved> = serde_json::from_slice(&bytes)
        .inspect_err(|error| log::warn!("Earlier searches could not be read ({error}): {}", file.display()))
        .unwrap_or_default();
    saved.into_iter().take(MOST).filter_map(|saved| saved.into_kept()).collect()
}

impl Saved {
    fn into_kept(self) -> Option<Kept> {
        let bytes = |text: &str| Base64::decode_vec(text).ok();
        let query = match self.query {
            SavedQuery::Files(files) => {
                let paths = files.iter().map(|file| Some(bytes_to_path(&bytes(file)?)));
                let mut paths: Vec<PathBuf> = paths.collect::<Option<_>>()?;
                match paths.len() {
                    0 => return None,
                    1 => Query::File(paths.swap_remove(0)),
                    _ => Query::Files(paths.into()),
                }
            }
            SavedQuery::Picture(jpeg) => Query::Picture(Arc::from(bytes(&jpeg)?)),
        };
        Some((query, decode::decode(&bytes(&self.thumbnail)?).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, Photo, PhotoId};

    #[test]
    fn searches_come_back_and_damage_costs_only_them() {
        let folder = tempfile::tempdir().unwrap();
        let picture = RgbImage::from_pixel(40, 30, image::Rgb([200, 30, 90]));
        let photo = Photo::new(PhotoId(3), "rose/1.jpg".into(), ContentHash([0; 16]), Metadata::default());
        let queries = [
            Query::File("/a/ü.jpg".into()),
            Query::Files(Arc::from(["/a/1.jpg".into(), "/a/2.jpg".into()])),
            Query::Photo(Arc::new(photo)),
            Query::Picture(Arc::from([1, 2, 3])),
        ];
        let searches: Vec<Kept> =
            queries.iter().map(|query| (as_kept(query, Path::new("/garden")), picture.clone())).collect();
        let file = folder.path().join(FILE);
        assert!(load(folder.path()).is_empty());
        std::fs::write(&file, to_bytes(&searches).unwrap()).unwrap();
        let loaded = load(folder.path());
        let found: Vec<Query> = loaded.iter().map(|(query, _)| query.clone()).collect();
        let [one, several, _, pasted] = queries;
        assert_eq!(found, [one, several, Query::File("/garden/rose/1.jpg".into()), pasted]);
        assert_eq!(loaded[0].1.dimensions(), (40, 30));
        for damage in
            [&b"{"[..], b"[]", b"[{\"files\":[],\"thumbnail\":\"\"}]", b"[{\"files\":[\"?\"],\"thumbnail\":\"\"}]"]
        {
            std::fs::write(&file, damage).unwrap();
            assert!(load(folder.path()).is_empty());
        }
    }
}

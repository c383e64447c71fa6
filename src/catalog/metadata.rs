//! What is known of contents beside their pictures, and of which that is still to be found out.

use std::path::PathBuf;

use rusqlite::{Row, Transaction, params};

use super::{Catalog, CatalogError, FileStamp};
use crate::metadata::{Metadata, Place, Taken};
use crate::photo::{ContentHash, Photo, PhotoId, bytes_to_path};

/// The columns that [`metadata_of`] reads.
pub(super) const COLUMNS: &str = "taken, camera, width, height, latitude, longitude";

/// A content that nobody has looked at for this, and a photo that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undescribed {
    pub(crate) content: ContentHash,
    /// Relative to the library's folder.
    pub(crate) path: PathBuf,
    pub(crate) stamp: FileStamp,
}

impl Catalog {
    /// How many contents nobody has looked at.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn undescribed_count(&self) -> Result<u64, CatalogError> {
        self.run(|connection| {
            let count =
                "SELECT count(DISTINCT content) FROM photos WHERE content NOT IN (SELECT content FROM metadata)";
            connection.query_row(count, [], |row| row.get::<_, i64>(0)).map(|n| n as u64)
        })
    }

    /// Up to `limit` of them above `after` (from the beginning, for `None`), in order.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn undescribed_after(
        &self,
        after: Option<ContentHash>,
        limit: usize,
    ) -> Result<Vec<Undescribed>, CatalogError> {
        self.run(|connection| {
            // Of several files with a content any one is as good.
            let mut statement = connection.prepare_cached(
                "SELECT content, path, size, modified, changed FROM photos
                 WHERE content > ? AND content NOT IN (SELECT content FROM metadata)
                 GROUP BY content ORDER BY content LIMIT ?",
            )?;
            let after = after.map_or(Vec::new(), |content| content.0.to_vec());
            let rows = statement.query_map(params![after, limit as i64], |row| {
                Ok(Undescribed {
                    content: ContentHash(row.get(0)?),
                    path: bytes_to_path(&row.get::<_, Vec<u8>>(1)?),
                    stamp: FileStamp { size: row.get(2)?, modified: row.get(3)?, changed: row.get(4)? },
                })
            })?;
            rows.collect()
        })
    }

    /// Writes what was found out, and gives the photos that it is about.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn describe(&mut self, described: &[(ContentHash, Metadata)]) -> Result<Vec<Photo>, CatalogError> {
        self.transaction(|transaction| {
            let mut photos = Vec::new();
            for (content, metadata) in described {
                insert_metadata(transaction, *content, metadata)?;
                let mut statement =
                    transaction.prepare_cached("SELECT id, path, modified FROM photos WHERE content = ?")?;
                let mut rows = statement.query([content.0])?;
                while let Some(row) = rows.next()? {
                    let path = bytes_to_path(&row.get::<_, Vec<u8>>(1)?);
                    let photo = Photo::new(PhotoId(row.get(0)?), path, *content, metadata.clone());
                    photos.push(photo.modified_at(row.get(2)?));
                }
            }
            Ok(photos)
        })
    }
}

pub(super) fn insert_metadata(
    transaction: &Transaction,
    content: ContentHash,
    metadata: &Metadata,
) -> rusqlite::Result<()> {
    let Metadata { taken, camera, size, place } = metadata;
    // Some sizes are known by decoding only, which a copy of a photo is spared.
    transaction
        .prepare_cached(&format!(
            "INSERT INTO metadata (content, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (content) DO UPDATE SET taken = excluded.taken, camera = excluded.camera,
                 width = COALESCE(excluded.width, width), height = COALESCE(excluded.height, height),
                 latitude = excluded.latitude, longitude = excluded.longitude"
        ))?
        .execute(params![
            content.0,
            taken.map(|taken| taken.to_string()),
            camera.as_deref(),
            size.map(|(width, _)| width),
            size.map(|(_, height)| height),
            place.map(|place| place.latitude),
            place.map(|place| place.longitude)
        ])?;
    Ok(())
}

/// What a row says in [`COLUMNS`] from this one on; what makes no sense is nothing.
pub(super) fn metadata_of(row: &Row, first: usize) -> rusqlite::Result<Metadata> {
    let taken: Option<String> = row.get(first)?;
    let (width, height): (Option<u32>, Option<u32>) = (row.get(first + 2)?, row.get(first + 3)?);
    let (latitude, longitude): (Option<f64>, Option<f64>) = (row.get(first + 4)?, row.get(first + 5)?);
    Ok(Metadata {
        taken: taken.and_then(|text| Taken::from_iso(&text)),
        camera: row.get(first + 1)?,
        size: width.zip(height),
        place: latitude.zip(longitude).and_then(|(latitude, longitude)| Place::new(latitude, longitude)),
    })
}

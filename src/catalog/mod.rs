//! The truth about a library: which photos there are, their embeddings, what could not be read. The only SQL.
//!
//! One SQLite file per library, written by one process at a time and read by any. Embeddings belong to a content (its
//! hash), not to a path, so a renamed, moved or copied file is not embedded again. Thumbnails can be made again at any
//! time and so live in a second file, attached to the same connection.

mod embeddings;
mod metadata;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, ffi, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::embeddings::{insert_embedding, model_row};
pub(crate) use self::metadata::Undescribed;
use self::metadata::{COLUMNS, insert_metadata, metadata_of};
use crate::library::Obstacle;
use crate::metadata::Metadata;
use crate::names::PathKey;
use crate::photo::{
    ContentHash, Embedded, Embedding, HalfEmbedding, Metric, Photo, PhotoId, bytes_to_path, path_to_bytes,
};

/// SQLite's version.
pub(crate) fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Why the catalog could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("The catalog could not be used ({source}): {path}", path = path.display())]
    Sql { path: PathBuf, source: rusqlite::Error },
    #[error("The disk is full, so nothing more can be kept; what is indexed can be searched. Free some space, then check the folder again: {}", .0.display())]
    DiskFull(PathBuf),
    #[error("The catalog was written by a newer version of Florascope; update the program: {}", .0.display())]
    TooNew(PathBuf),
    #[error("The catalog was written by an older version of Florascope. Index the folder once to bring it up to date: {}", .0.display())]
    TooOld(PathBuf),
}

impl CatalogError {
    fn of(file: &Path, source: rusqlite::Error) -> Self {
        // Room for its shared memory or its log, of which SQLite says no more than that it could not be written.
        const NO_ROOM: [i32; 2] = [ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_WRITE];
        let code = source.sqlite_error().map(|error| (error.code, error.extended_code));
        match code {
            Some((ErrorCode::DiskFull, _)) => Self::DiskFull(file.to_owned()),
            Some((_, extended)) if NO_ROOM.contains(&extended) => Self::DiskFull(file.to_owned()),
            _ => Self::Sql { path: file.to_owned(), source },
        }
    }

    /// Why the catalog cannot be written; `None` where that is not what went wrong.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::DiskFull(_) => Some(Obstacle::DiskFull),
            Self::Sql { source, .. } => match source.sqlite_error_code()? {
                ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Some(Obstacle::NotPermitted),
                ErrorCode::ReadOnly => Some(Obstacle::ReadOnly),
                _ => None,
            },
            Self::TooNew(_) | Self::TooOld(_) => None,
        }
    }
}

/// What is known of a file from the last time it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    pub id: PhotoId,
    pub stamp: FileStamp,
    /// Whether the model in use has embedded it.
    pub embedded: bool,
}

/// A file whose size and times are unchanged is taken for unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Bytes.
    pub size: i64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// When the inode changed, which no program can set back; `None` where that is not known.
    pub changed: Option<i64>,
}

impl FileStamp {
    /// Whether nothing that is known of both speaks against their being of the same state of a file.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let changed = self.changed.zip(other.changed);
        self.size == other.size && self.modified == other.modified && changed.is_none_or(|(one, other)| one == other)
    }
}

impl From<&std::fs::Metadata> for FileStamp {
    fn from(metadata: &std::fs::Metadata) -> Self {
        // A file system without times still has sizes.
        let modified = metadata.modified().ok().and_then(|time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).ok(),
            Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|nanos| -nanos),
        });
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            metadata.ctime().checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let changed = None;
        Self { size: metadata.len() as i64, modified: modified.unwrap_or(0), changed }
    }
}

/// A file that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Relative to the library's folder.
    pub path: PathBuf,
    pub(crate) reason: String,
}

impl Problem {
    /// Of the file itself, whatever state that is in.
    pub(crate) fn of_any_state(self) -> NewProblem {
        NewProblem { problem: self, stamp: None, lasting: false, passing: false }
    }

    /// Of the drive rather than of the file: a photo that is known stays one, and nothing is wrong any more once the file
    /// can be looked at again.
    pub(crate) fn of_the_drive(self) -> NewProblem {
        NewProblem { passing: true, ..self.of_any_state() }
    }
}

/// A problem, ready to be written.
#[derive(Clone, Debug)]
pub struct NewProblem {
    pub problem: Problem,
    /// The state of the file that was read.
    pub(crate) stamp: Option<FileStamp>,
    /// The file is not read again while it is in this state.
    pub(crate) lasting: bool,
    pub(crate) passing: bool,
}

/// What is known of a problem from the last time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownProblem {
    /// The state that it lasts in; `None` where the file is read again.
    pub(crate) lasting: Option<FileStamp>,
    pub(crate) passing: bool,
}

/// One finished photo, ready to be written.
#[derive(Debug)]
pub struct NewPhoto {
    pub path: PathBuf,
    pub stamp: FileStamp,
    pub content: ContentHash,
    pub embedded: Embedded,
    /// JPEG; `None` where the catalog has one of this content.
    pub thumbnail: Option<Vec<u8>>,
    /// What is wrong with the file, which gave a picture all the same: listed as a problem.
    pub damage: Option<String>,
    pub metadata: Metadata,
}

/// Which embeddings are meant.
#[derive(Clone, Copy, Debug)]
pub struct ModelKey<'a> {
    /// Names the model.
    pub name: &'a str,
    /// Names the backbone, whose features heads learn on; the same as `name` for a model without a head.
    pub(crate) backbone: &'a str,
    pub(crate) metric: Metric,
}

impl<'a> ModelKey<'a> {
    /// A backbone by itself: its features.
    pub fn features(backbone: &'a str) -> Self {
        Self { name: backbone, backbone, metric: Metric::Cosine }
    }
}

/// What a write did to the photos: what the index has to follow.
#[derive(Debug, Default)]
pub struct Changes {
    pub added: Vec<(Photo, Embedding)>,
    pub removed: Vec<PhotoId>,
}

/// A library's catalog, open for reading or for reading and writing.
pub struct Catalog {
    connection: Connection,
    file: PathBuf,
    has_thumbnails: bool,
}

impl Catalog {
    /// Does what `work` does, or nothing of it: the only way to write more than one statement. Where `work` fails, all is
    /// as it was, and the next write can begin.
    fn transaction<T>(&mut self, work: impl FnOnce(&Transaction) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run(&mut self.connection).map_err(|source| self.error(source))
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        work(&self.connection).map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> CatalogError {
        CatalogError::of(&self.file, source)
    }

    /// Every file of the catalog by its path's bytes.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn known_files(&self, model: &str) -> Result<HashMap<Vec<u8>, KnownFile>, CatalogError> {
        self.run(|connection| {
            // All of them from the index at once, rather than looked up for each photo.
            let mut statement = connection
                .prepare("SELECT content FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)")?;
            let embedded: HashSet<[u8; 16]> =
                statement.query_map([model], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut statement = connection.prepare("SELECT path, id, size, modified, changed, content FROM photos")?;
            let rows = statement.query_map([], |row| {
                let stamp = FileStamp { size: row.get(2)?, modified: row.get(3)?, changed: row.get(4)? };
                let embedded = embedded.contains(&row.get::<_, [u8; 16]>(5)?);
                Ok((row.get(0)?, KnownFile { id: PhotoId(row.get(1)?), stamp, embedded }))
            })?;
            rows.collect()
        })
    }

    /// Up to `limit` files with a photo, spread evenly over all.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn sample(&self, limit: usize) -> Result<Vec<(PathBuf, FileStamp)>, CatalogError> {
        let step = self.photo_count()?.div_ceil(limit as u64).max(1);
        self.run(|connection| {
            let mut statement = connection.prepare(
                "SELECT path, size, modified
                 FROM (SELECT path, size, modified, row_number() OVER (ORDER BY id) AS number FROM photos)
                 WHERE number % ?1 = 1 % ?1",
            )?;
            let rows = statement.query_map([step as i64], |row| {
                let path: Vec<u8> = row.get(0)?;
                Ok((bytes_to_path(&path), FileStamp { size: row.get(1)?, modified: row.get(2)?, changed: None }))
            })?;
            rows.collect()
        })
    }

    /// Writes finished photos and files that could not be read, in one transaction. A photo keeps its id while its content
    /// is the same; where it is another, the photo of before is removed and a new one is added.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn write(
        &mut self,
        model: ModelKey,
        photos: Vec<NewPhoto>,
        problems: &[NewProblem],
    ) -> Result<Changes, CatalogError> {
        self.transaction(|transaction| {
            let backbone = model_row(transaction, model.backbone)?;
            let model = model_row(transaction, model.name)?;
            let mut changes = Changes::default();
            for photo in photos {
                let path = path_to_bytes(&photo.path);
                let content = photo.content;
                insert_embedding(transaction, content, model, &photo.embedded.embedding)?;
                if let Some(features) = &photo.embedded.features {
                    insert_embedding(transaction, content, backbone, features)?;
                }
                if let Some(jpeg) = &photo.thumbnail {
                    transaction
                        .prepare_cached(
                            "INSERT INTO thumbnails.thumbnails (content, jpeg) VALUES (?, ?)
                             ON CONFLICT (content) DO UPDATE SET jpeg = excluded.jpeg",
                        )?
                        .execute(params![content.0, jpeg])?;
                }
                insert_metadata(transaction, content, &photo.metadata)?;
                transaction.prepare_cached("DELETE FROM problems WHERE path = ?")?.execute([&path])?;
                changes.removed.extend(delete_other_content(transaction, &path, content)?);
                let id = transaction
                    .prepare_cached(
                        "INSERT INTO photos (path, size, modified, changed, content) VALUES (?, ?, ?, ?, ?)
                         ON CONFLICT (path) DO UPDATE
                         SET size = excluded.size, modified = excluded.modified, changed = excluded.changed
                         RETURNING id",
                    )?
                    .query_row(
                        params![path, photo.stamp.size, photo.stamp.modified, photo.stamp.changed, content.0],
                        |row| row.get(0),
                    )?;
                if let Some(reason) = &photo.damage {
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO problems (path, reason) VALUES (?, ?)")?
                        .execute(params![path, reason])?;
                }
                let photo_there = Photo::new(PhotoId(id), photo.path, content, photo.metadata);
                let photo_there = photo_there.modified_at(photo.stamp.modified);
                changes.added.push((photo_there, photo.embedded.embedding));
            }
            for NewProblem { problem, stamp, lasting, passing } in problems {
                let path = path_to_bytes(&problem.path);
                if !passing {
                    changes.removed.extend(delete_path(transaction, &path)?);
                }
                let (size, modified) = (stamp.map(|stamp| stamp.size), stamp.map(|stamp| stamp.modified));
                let changed = stamp.and_then(|stamp| stamp.changed);
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO problems (path, reason, size, modified, changed, lasting, passing)
                         VALUES (?, ?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![path, problem.reason, size, modified, changed, lasting, passing])?;
            }
            Ok(changes)
        })
    }

    /// What is wrong with an indexed photo of this content.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn damage_of(&self, content: ContentHash) -> Result<Option<String>, CatalogError> {
        self.run(|connection| {
            connection
                .prepare_cached(
                    "SELECT reason FROM problems JOIN photos USING (path) WHERE content = ? AND passing = 0 LIMIT 1",
                )?
                .query_row([content.0], |row| row.get(0))
                .optional()
        })
    }

    /// Notes the present stamps of photos whose contents are what they were.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn restamp(&mut self, stamps: &[(PhotoId, FileStamp)]) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            let mut statement =
                transaction.prepare_cached("UPDATE photos SET size = ?, modified = ?, changed = ? WHERE id = ?")?;
            for (id, stamp) in stamps {
                statement.execute(params![stamp.size, stamp.modified, stamp.changed, id.0])?;
            }
            Ok(())
        })
    }

    /// The files that had to be opened to find out that they are no photos, by their paths' bytes.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn others(&self) -> Result<HashMap<Vec<u8>, FileStamp>, CatalogError> {
        self.run(|connection| {
            let mut statement = connection.prepare("SELECT path, size, modified, changed FROM others")?;
            let rows = statement.query_map([], |row| {
                Ok((row.get(0)?, FileStamp { size: row.get(1)?, modified: row.get(2)?, changed: row.get(3)? }))
            })?;
            rows.collect()
        })
    }

    /// Notes which files were opened and are no photos, and forgets those that are not there any more.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn change_others(&mut self, new: &[(PathBuf, FileStamp)], gone: &[Vec<u8>]) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            for path in gone {
                transaction.prepare_cached("DELETE FROM others WHERE path = ?")?.execute([path])?;
            }
            for (path, stamp) in new {
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO others (path, size, modified, changed) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![path_to_bytes(path), stamp.size, stamp.modified, stamp.changed])?;
            }
            Ok(())
        })
    }

    /// The problems of the last time, by their paths' bytes.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn known_problems(&self) -> Result<HashMap<Vec<u8>, KnownProblem>, CatalogError> {
        self.run(|connection| {
            let mut statement =
                connection.prepare("SELECT path, passing, lasting, size, modified, changed FROM problems")?;
            let rows = statement.query_map([], |row| {
                let stamp = match (row.get(3)?, row.get(4)?) {
                    (Some(size), Some(modified)) => Some(FileStamp { size, modified, changed: row.get(5)? }),
                    _ => None,
                };
                let lasting = stamp.filter(|_| row.get(2).unwrap_or(false));
                Ok((row.get(0)?, KnownProblem { lasting, passing: row.get(1)? }))
            })?;
            rows.collect()
        })
    }

    /// Takes photos out whose files are gone, and the problems of files that have none any more.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn remove(&mut self, gone: &[PhotoId], solved: &[PathBuf]) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            for id in gone {
                transaction.prepare_cached("DELETE FROM photos WHERE id = ?")?.execute([id.0])?;
            }
            for path in solved {
                transaction.prepare_cached("DELETE FROM problems WHERE path = ?")?.execute([path_to_bytes(path)])?;
            }
            Ok(())
        })
    }

    /// Throws away embeddings, thumbnails and metadata of contents that no photo has any more. Only after a whole scan: before
    /// its end a moved file may look gone.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn forget_unused(&mut self) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            transaction.execute_batch(
                "DELETE FROM embeddings WHERE content NOT IN (SELECT content FROM photos);
                 DELETE FROM metadata WHERE content NOT IN (SELECT content FROM photos);
                 DELETE FROM thumbnails.thumbnails WHERE content NOT IN (SELECT content FROM photos);",
            )
        })
    }

    /// Up to `limit` photos with ids above `after`, by id, each with its embedding where the model has made one.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn photos_after(
        &self,
        after: PhotoId,
        limit: usize,
        model: ModelKey,
    ) -> Result<Vec<(Photo, Option<HalfEmbedding>)>, CatalogError> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT photos.id, path, photos.content, vector, modified, {COLUMNS} FROM photos
                 LEFT JOIN embeddings ON embeddings.content = photos.content
                     AND model = (SELECT id FROM models WHERE name = ?)
                 LEFT JOIN metadata ON metadata.content = photos.content
                 WHERE photos.id > ? ORDER BY photos.id LIMIT ?"
            ))?;
            let rows = statement.query_map(params![model.name, after.0, limit as i64], |row| {
                let path: Vec<u8> = row.get(1)?;
                let (id, content) = (PhotoId(row.get(0)?), ContentHash(row.get(2)?));
                let photo =
                    Photo::new(id, bytes_to_path(&path), content, metadata_of(row, 5)?).modified_at(row.get(4)?);
                let vector = row.get_ref(3)?.as_blob_or_null()?;
                Ok((photo, vector.map(HalfEmbedding::from_bytes)))
            })?;
            rows.collect()
        })
    }

    /// So many of its `photos`, from all over the folder, without what is known of them.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn spread(&self, photos: u64, count: u64) -> Result<Vec<Photo>, CatalogError> {
        let count = count.min(photos);
        self.run(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id, path, content FROM photos ORDER BY id LIMIT 1 OFFSET ?")?;
            let photo = |number: u64| {
                statement.query_row([(photos * number / count) as i64], |row| {
                    let (id, content) = (PhotoId(row.get(0)?), ContentHash(row.get(2)?));
                    Ok(Photo::new(id, bytes_to_path(&row.get::<_, Vec<u8>>(1)?), content, Metadata::default()))
                })
            };
            (0..count).map(photo).collect()
        })
    }

    /// Photos in the catalog.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn photo_count(&self) -> Result<u64, CatalogError> {
        self.run(|connection| {
            connection.query_row("SELECT count(*) FROM photos", [], |row| row.get::<_, i64>(0)).map(|n| n as u64)
        })
    }

    /// Different contents that the photos have.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn content_count(&self) -> Result<u64, CatalogError> {
        self.run(|connection| {
            connection
                .query_row("SELECT count(DISTINCT content) FROM photos", [], |row| row.get::<_, i64>(0))
                .map(|n| n as u64)
        })
    }

    /// How many files could not be read.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn problem_count(&self) -> Result<usize, CatalogError> {
        self.run(|connection| {
            connection.query_row("SELECT count(*) FROM problems", [], |row| row.get::<_, i64>(0)).map(|n| n as usize)
        })
    }

    /// The files that could not be read, by path.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn problems(&self) -> Result<Vec<Problem>, CatalogError> {
        self.run(|connection| {
            let mut statement = connection.prepare("SELECT path, reason FROM problems")?;
            let rows = statement.query_map([], |row| {
                let path: Vec<u8> = row.get(0)?;
                Ok(Problem { path: bytes_to_path(&path), reason: row.get(1)? })
            })?;
            let mut problems: Vec<Problem> = rows.collect::<Result<_, _>>()?;
            problems.sort_by_cached_key(|problem| PathKey::from(problem.path.as_path()));
            Ok(problems)
        })
    }

    /// The thumbnail of a content, as JPEG.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn thumbnail(&self, content: ContentHash) -> Result<Option<Vec<u8>>, CatalogError> {
        if !self.has_thumbnails {
            return Ok(None);
        }
        self.run(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT jpeg FROM thumbnails.thumbnails WHERE content = ?")?;
            statement.query_row([content.0], |row| row.get(0)).optional()
        })
    }

    /// Whether there is a thumbnail of a content.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn has_thumbnail(&self, content: ContentHash) -> Result<bool, CatalogError> {
        if !self.has_thumbnails {
            return Ok(false);
        }
        self.run(|connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM thumbnails.thumbnails WHERE content = ?")?;
            statement.exists([content.0])
        })
    }

    /// A fact about the whole library, such as when it was last indexed to the end.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        self.run(|connection| {
            connection.query_row("SELECT value FROM facts WHERE name = ?", [name], |row| row.get(0)).optional()
        })
    }

    /// Sets a fact.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), CatalogError> {
        self.run(|connection| {
            connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", params![name, value])?;
            Ok(())
        })
    }

    /// A fact that is kept as JSON; `None` where there is none, or one of another form.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn json_fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, CatalogError> {
        Ok(self.fact(name)?.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// Sets a fact that is kept as JSON; nothing where its value has no such form.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn set_json_fact(&mut self, name: &str, value: &impl Serialize) -> Result<(), CatalogError> {
        serde_json::to_vec(value).map_or(Ok(()), |json| self.set_fact(name, &json))
    }

    /// Strikes a fact out.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn forget_fact(&mut self, name: &str) -> Result<(), CatalogError> {
        self.run(|connection| connection.execute("DELETE FROM facts WHERE name = ?", [name]).map(drop))
    }

    /// SQLite's own check of the file, for tests. `true` when it is sound.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn is_sound(&self) -> Result<bool, CatalogError> {
        self.run(|connection| {
            let answer: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
            Ok(answer == "ok")
        })
    }
}

/// Takes the photo of a path out where its content is another than this.
fn delete_other_content(
    transaction: &Transaction,
    path: &[u8],
    content: ContentHash,
) -> rusqlite::Result<Option<PhotoId>> {
    let mut statement =
        transaction.prepare_cached("DELETE FROM photos WHERE path = ? AND content <> ? RETURNING id")?;
    statement.query_row(params![path, content.0], |row| row.get(0).map(PhotoId)).optional()
}

fn delete_path(transaction: &Transaction, path: &[u8]) -> rusqlite::Result<Option<PhotoId>> {
    let mut statement = transaction.prepare_cached("DELETE FROM photos WHERE path = ? RETURNING id")?;
    statement.query_row([path], |row| row.get(0).map(PhotoId)).optional()
}

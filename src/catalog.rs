//! The truth about a library: which photos there are, their embeddings, what could not be read. The only SQL.
//!
//! One SQLite file per library, written by one process at a time and read by any. Embeddings belong to a content (its
//! hash), not to a path, so a renamed, moved or copied file is not embedded again. Thumbnails can be made again at any
//! time and so live in a second file, attached to the same connection.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};

use crate::photo::{
    ContentHash, Embedded, Embedding, HalfEmbedding, Metric, Photo, PhotoId, bytes_to_path, path_to_bytes,
};

/// Each entry brings the schema from its number to the next; entries are never changed once released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE photos (
        id       INTEGER PRIMARY KEY AUTOINCREMENT,
        path     BLOB NOT NULL UNIQUE,   -- relative to the library's folder, as bytes
        size     INTEGER NOT NULL,       -- bytes
        modified INTEGER NOT NULL,       -- nanoseconds since 1970
        content  BLOB NOT NULL           -- first 16 bytes of the SHA-256
    ) STRICT;
    CREATE INDEX photos_by_content ON photos (content);
    CREATE TABLE models (
        id   INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE embeddings (
        content BLOB NOT NULL,
        model   INTEGER NOT NULL REFERENCES models (id),
        vector  BLOB NOT NULL,           -- little-endian half-precision floats of length 1
        PRIMARY KEY (content, model)
    ) STRICT;
    CREATE TABLE problems (
        path   BLOB PRIMARY KEY,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE facts (
        name  TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

const FILE: &str = "catalog.sqlite";
const THUMBNAIL_FILE: &str = "thumbnails.sqlite";
const THUMBNAIL_SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS thumbnails.thumbnails (content BLOB PRIMARY KEY, jpeg BLOB NOT NULL) STRICT";

/// How long to wait for the locks of other processes, which hold them for moments.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the catalog could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("The catalog could not be used ({source}): {path}", path = path.display())]
    Sql { path: PathBuf, source: rusqlite::Error },
    #[error("The catalog was written by a newer version of Florascope; update the program: {}", .0.display())]
    TooNew(PathBuf),
}

/// What is known of a file from the last time it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    pub id: PhotoId,
    pub stamp: FileStamp,
    /// Whether the model in use has embedded it.
    pub embedded: bool,
}

/// A file whose size and time are unchanged is taken for unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Bytes.
    pub size: i64,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> Self {
        // A file system without times still has sizes.
        let modified = metadata.modified().ok().and_then(|time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).ok(),
            Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|nanos| -nanos),
        });
        Self { size: metadata.len() as i64, modified: modified.unwrap_or(0) }
    }
}

/// A file that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Relative to the library's folder.
    pub path: PathBuf,
    pub reason: String,
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
}

/// Which embeddings are meant.
#[derive(Clone, Copy, Debug)]
pub struct ModelKey<'a> {
    /// Names the model.
    pub name: &'a str,
    /// Names the backbone, whose features heads learn on; the same as `name` for a model without a head.
    pub backbone: &'a str,
    pub metric: Metric,
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
}

impl Catalog {
    /// Opens the catalog in `folder` for writing; makes it, or brings its schema up to date, where needed.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer version.
    pub fn open(folder: &Path) -> Result<Self, CatalogError> {
        patiently(|| Self::open_at_once(folder))
    }

    fn open_at_once(folder: &Path) -> Result<Self, CatalogError> {
        let mut catalog = Self::connect(folder)?;
        catalog.run(|connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(Some("thumbnails"), "journal_mode", "WAL")
        })?;
        let version = catalog.version()?;
        for (number, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            catalog.run(|connection| {
                let transaction = connection.transaction()?;
                transaction.execute_batch(migration)?;
                transaction.pragma_update(None, "user_version", (number + 1) as i64)?;
                transaction.commit()
            })?;
        }
        Ok(catalog)
    }

    /// Opens the catalog in `folder` for reading only; `None` where there is none yet.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer version.
    pub fn open_read_only(folder: &Path) -> Result<Option<Self>, CatalogError> {
        if !folder.join(FILE).exists() {
            return Ok(None);
        }
        let catalog = patiently(|| Self::connect(folder))?;
        catalog.run_shared(|connection| connection.pragma_update(None, "query_only", true))?;
        Ok((catalog.version()? == MIGRATIONS.len()).then_some(catalog))
    }

    fn connect(folder: &Path) -> Result<Self, CatalogError> {
        let file = folder.join(FILE);
        let wrap = |source| CatalogError::Sql { path: file.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&file, flags).map_err(wrap)?;
        connection.busy_timeout(PATIENCE).map_err(wrap)?;
        // WAL survives a kill at any moment with NORMAL; only a power cut may take the last transactions with it.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(wrap)?;
        // In KiB: room for the indexes of some hundred thousand photos, which every row is looked up in.
        connection.pragma_update(None, "cache_size", -65_536).map_err(wrap)?;
        let thumbnails = path_to_bytes(&folder.join(THUMBNAIL_FILE));
        connection.execute("ATTACH DATABASE CAST(? AS TEXT) AS thumbnails", [thumbnails]).map_err(wrap)?;
        // Readers, too, make it where it is missing: it may be thrown away at any time.
        connection.execute_batch(THUMBNAIL_SCHEMA).map_err(wrap)?;
        let catalog = Self { connection, file };
        if catalog.version()? > MIGRATIONS.len() {
            return Err(CatalogError::TooNew(catalog.file));
        }
        Ok(catalog)
    }

    fn version(&self) -> Result<usize, CatalogError> {
        self.run_shared(|connection| {
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok(version as usize)
        })
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        let result = work(&mut self.connection);
        result.map_err(|source| CatalogError::Sql { path: self.file.clone(), source })
    }

    fn run_shared<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        work(&self.connection).map_err(|source| CatalogError::Sql { path: self.file.clone(), source })
    }

    /// Every file of the catalog by its path's bytes.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn known_files(&self, model: &str) -> Result<HashMap<Vec<u8>, KnownFile>, CatalogError> {
        self.run_shared(|connection| {
            // All of them from the index at once, rather than looked up for each photo.
            let mut statement = connection
                .prepare("SELECT content FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)")?;
            let embedded: HashSet<[u8; 16]> =
                statement.query_map([model], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut statement = connection.prepare("SELECT path, id, size, modified, content FROM photos")?;
            let rows = statement.query_map([], |row| {
                let stamp = FileStamp { size: row.get(2)?, modified: row.get(3)? };
                let embedded = embedded.contains(&row.get::<_, [u8; 16]>(4)?);
                Ok((row.get(0)?, KnownFile { id: PhotoId(row.get(1)?), stamp, embedded }))
            })?;
            rows.collect()
        })
    }

    /// The embedding of a content, where the model has made one before.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn embedding_of(&self, content: ContentHash, model: ModelKey) -> Result<Option<Embedding>, CatalogError> {
        self.run_shared(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT vector FROM embeddings WHERE content = ? AND model = (SELECT id FROM models WHERE name = ?)",
            )?;
            let vector: Option<Vec<u8>> =
                statement.query_row(params![content.0, model.name], |row| row.get(0)).optional()?;
            Ok(vector.and_then(|bytes| HalfEmbedding::from_bytes(&bytes).raised(model.metric)))
        })
    }

    /// Writes finished photos and files that could not be read, in one transaction. A photo whose path was known before
    /// is replaced and gets a new id.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn write(
        &mut self,
        model: ModelKey,
        photos: Vec<NewPhoto>,
        problems: &[Problem],
    ) -> Result<Changes, CatalogError> {
        self.run(|connection| {
            let transaction = connection.transaction()?;
            let backbone = model_row(&transaction, model.backbone)?;
            let model = model_row(&transaction, model.name)?;
            let mut changes = Changes::default();
            for photo in photos {
                let path = path_to_bytes(&photo.path);
                let content = photo.content;
                insert_embedding(&transaction, content, model, &photo.embedded.embedding)?;
                if let Some(features) = &photo.embedded.features {
                    insert_embedding(&transaction, content, backbone, features)?;
                }
                if let Some(jpeg) = &photo.thumbnail {
                    transaction
                        .prepare_cached("INSERT OR IGNORE INTO thumbnails.thumbnails (content, jpeg) VALUES (?, ?)")?
                        .execute(params![content.0, jpeg])?;
                }
                transaction.prepare_cached("DELETE FROM problems WHERE path = ?")?.execute([&path])?;
                changes.removed.extend(delete_path(&transaction, &path)?);
                transaction
                    .prepare_cached("INSERT INTO photos (path, size, modified, content) VALUES (?, ?, ?, ?)")?
                    .execute(params![path, photo.stamp.size, photo.stamp.modified, content.0])?;
                let id = PhotoId(transaction.last_insert_rowid());
                changes.added.push((Photo { id, path: photo.path, content }, photo.embedded.embedding));
            }
            for problem in problems {
                let path = path_to_bytes(&problem.path);
                changes.removed.extend(delete_path(&transaction, &path)?);
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO problems (path, reason) VALUES (?, ?)")?
                    .execute(params![path, problem.reason])?;
            }
            transaction.commit()?;
            Ok(changes)
        })
    }

    /// Takes photos out whose files are gone, and forgets problems of files that are not among `still_problems`.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn remove(&mut self, gone: &[PhotoId], solved: &[PathBuf]) -> Result<(), CatalogError> {
        self.run(|connection| {
            let transaction = connection.transaction()?;
            for id in gone {
                transaction.prepare_cached("DELETE FROM photos WHERE id = ?")?.execute([id.0])?;
            }
            for path in solved {
                transaction.prepare_cached("DELETE FROM problems WHERE path = ?")?.execute([path_to_bytes(path)])?;
            }
            transaction.commit()
        })
    }

    /// Throws away embeddings and thumbnails of contents that no photo has any more. Only after a whole scan: before
    /// its end a moved file may look gone.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn forget_unused(&mut self) -> Result<(), CatalogError> {
        self.run(|connection| {
            connection.execute_batch(
                "BEGIN;
                 DELETE FROM embeddings WHERE content NOT IN (SELECT content FROM photos);
                 DELETE FROM thumbnails.thumbnails WHERE content NOT IN (SELECT content FROM photos);
                 COMMIT;",
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
        self.run_shared(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT photos.id, path, photos.content, vector FROM photos
                 LEFT JOIN embeddings ON embeddings.content = photos.content
                     AND model = (SELECT id FROM models WHERE name = ?)
                 WHERE photos.id > ? ORDER BY photos.id LIMIT ?",
            )?;
            let rows = statement.query_map(params![model.name, after.0, limit as i64], |row| {
                let path: Vec<u8> = row.get(1)?;
                let photo =
                    Photo { id: PhotoId(row.get(0)?), path: bytes_to_path(&path), content: ContentHash(row.get(2)?) };
                let vector = row.get_ref(3)?.as_blob_or_null()?;
                Ok((photo, vector.map(HalfEmbedding::from_bytes)))
            })?;
            rows.collect()
        })
    }

    /// Up to `limit` contents that have features of the model's backbone but no embedding of the model, with the
    /// features. Empty for a model without a head.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn features_to_project(
        &self,
        model: ModelKey,
        limit: usize,
    ) -> Result<Vec<(ContentHash, Embedding)>, CatalogError> {
        self.run_shared(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT features.content, features.vector FROM embeddings AS features
                 LEFT JOIN embeddings AS made ON made.content = features.content
                     AND made.model = (SELECT id FROM models WHERE name = ?)
                 WHERE features.model = (SELECT id FROM models WHERE name = ?) AND made.content IS NULL LIMIT ?",
            )?;
            let rows = statement.query_map(params![model.name, model.backbone, limit as i64], |row| {
                let vector: Vec<u8> = row.get(1)?;
                Ok((ContentHash(row.get(0)?), HalfEmbedding::from_bytes(&vector).raised(Metric::Cosine)))
            })?;
            rows.filter_map(|row| row.map(|(content, features)| Some((content, features?))).transpose()).collect()
        })
    }

    /// Adds embeddings of contents that are in the catalog already, in one transaction.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn add_embeddings(
        &mut self,
        model: ModelKey,
        embeddings: &[(ContentHash, Embedding)],
    ) -> Result<(), CatalogError> {
        self.run(|connection| {
            let transaction = connection.transaction()?;
            let model = model_row(&transaction, model.name)?;
            for (content, embedding) in embeddings {
                insert_embedding(&transaction, *content, model, embedding)?;
            }
            transaction.commit()
        })
    }

    /// Throws away all embeddings of a model.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn forget_model(&mut self, name: &str) -> Result<(), CatalogError> {
        self.run(|connection| {
            let transaction = connection.transaction()?;
            transaction
                .execute("DELETE FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)", [name])?;
            transaction.execute("DELETE FROM models WHERE name = ?", [name])?;
            transaction.commit()
        })
    }

    /// Photos in the catalog.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn photo_count(&self) -> Result<u64, CatalogError> {
        self.run_shared(|connection| {
            connection.query_row("SELECT count(*) FROM photos", [], |row| row.get::<_, i64>(0)).map(|n| n as u64)
        })
    }

    /// The files that could not be read, by path.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn problems(&self) -> Result<Vec<Problem>, CatalogError> {
        self.run_shared(|connection| {
            let mut statement = connection.prepare("SELECT path, reason FROM problems ORDER BY path")?;
            let rows = statement.query_map([], |row| {
                let path: Vec<u8> = row.get(0)?;
                Ok(Problem { path: bytes_to_path(&path), reason: row.get(1)? })
            })?;
            rows.collect()
        })
    }

    /// The thumbnail of a content, as JPEG.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn thumbnail(&self, content: ContentHash) -> Result<Option<Vec<u8>>, CatalogError> {
        self.run_shared(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT jpeg FROM thumbnails.thumbnails WHERE content = ?")?;
            statement.query_row([content.0], |row| row.get(0)).optional()
        })
    }

    /// Whether there is a thumbnail of a content.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn has_thumbnail(&self, content: ContentHash) -> Result<bool, CatalogError> {
        self.run_shared(|connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM thumbnails.thumbnails WHERE content = ?")?;
            statement.exists([content.0])
        })
    }

    /// A fact about the whole library, such as when it was last indexed to the end.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        self.run_shared(|connection| {
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

    /// Strikes a fact out.
    ///
    /// # Errors
    /// When nothing could be written.
    pub fn forget_fact(&mut self, name: &str) -> Result<(), CatalogError> {
        self.run(|connection| connection.execute("DELETE FROM facts WHERE name = ?", [name]).map(drop))
    }

    /// SQLite's own check of the file, for tests. `true` when it is sound.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn is_sound(&self) -> Result<bool, CatalogError> {
        self.run_shared(|connection| {
            let answer: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
            Ok(answer == "ok")
        })
    }
}

/// Opens, again and again while others hold locks. SQLite's own waiting does not cover the change to WAL mode.
fn patiently<T>(open: impl Fn() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match open() {
            Err(CatalogError::Sql { source, .. })
                if source.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// The number of a model, which gets one where it has none.
fn model_row(transaction: &Transaction, name: &str) -> rusqlite::Result<i64> {
    transaction.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", [name])?;
    transaction.query_row("SELECT id FROM models WHERE name = ?", [name], |row| row.get(0))
}

fn insert_embedding(
    transaction: &Transaction,
    content: ContentHash,
    model: i64,
    embedding: &Embedding,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO embeddings (content, model, vector) VALUES (?, ?, ?)")?
        .execute(params![content.0, model, HalfEmbedding::from(embedding).to_bytes()])?;
    Ok(())
}

fn delete_path(transaction: &Transaction, path: &[u8]) -> rusqlite::Result<Option<PhotoId>> {
    let mut statement = transaction.prepare_cached("DELETE FROM photos WHERE path = ? RETURNING id")?;
    statement.query_row([path], |row| row.get(0).map(PhotoId)).optional()
}

#[cfg(test)]
mod tests {
    use rusqlite::TransactionBehavior;

    use super::*;

    const M: ModelKey = ModelKey { name: "m", backbone: "m", metric: Metric::Cosine };

    fn photo(path: &str, content: u8) -> NewPhoto {
        NewPhoto {
            path: PathBuf::from(path),
            stamp: FileStamp { size: 1, modified: 2 },
            content: ContentHash([content; 16]),
            embedded: Embedded {
                embedding: Embedding::normalised(vec![1.0, f32::from(content)]).unwrap(),
                features: None,
            },
            thumbnail: Some(vec![content]),
        }
    }

    fn photos_of(changes: &Changes) -> Vec<Photo> {
        changes.added.iter().map(|(photo, _)| photo.clone()).collect()
    }

    #[test]
    fn what_is_written_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let problem = Problem { path: "bad.jpg".into(), reason: "The file is empty".into() };
        let mut catalog = Catalog::open(folder.path()).unwrap();
        let written =
            catalog.write(M, vec![photo("a/1.jpg", 1), photo("a/2.jpg", 2)], std::slice::from_ref(&problem)).unwrap();
        drop(catalog);

        let catalog = Catalog::open_read_only(folder.path()).unwrap().unwrap();
        let stored = catalog.photos_after(PhotoId(0), 10, M).unwrap();
        assert_eq!(stored.iter().map(|(photo, _)| photo.clone()).collect::<Vec<_>>(), photos_of(&written));
        let embedding = stored[1].1.as_ref().unwrap().raised(Metric::Cosine).unwrap();
        let vector = embedding.values();
        assert!((vector[1] / vector[0] - 2.0).abs() < 1e-2);
        assert_eq!(catalog.problems().unwrap(), [problem]);
        assert_eq!(catalog.thumbnail(ContentHash([2; 16])).unwrap(), Some(vec![2]));
        assert!(catalog.is_sound().unwrap());
    }

    #[test]
    fn a_changed_photo_gets_a_new_id_and_a_moved_one_keeps_its_embedding() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::open(folder.path()).unwrap();
        let before = catalog.write(M, vec![photo("1.jpg", 1)], &[]).unwrap();
        let after = catalog.write(M, vec![photo("1.jpg", 2)], &[]).unwrap();
        assert_eq!(after.removed, [before.added[0].0.id]);
        assert_eq!(catalog.photo_count().unwrap(), 1);

        catalog.write(M, vec![photo("moved.jpg", 2)], &[]).unwrap();
        catalog.remove(&[after.added[0].0.id], &[]).unwrap();
        catalog.forget_unused().unwrap();
        assert!(catalog.embedding_of(ContentHash([2; 16]), M).unwrap().is_some());
        assert!(catalog.embedding_of(ContentHash([1; 16]), M).unwrap().is_none());
    }

    #[test]
    fn an_embedding_of_another_model_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::open(folder.path()).unwrap();
        catalog.write(ModelKey::features("old"), vec![photo("1.jpg", 1)], &[]).unwrap();
        assert!(catalog.known_files("old").unwrap()[b"1.jpg".as_slice()].embedded);
        assert!(!catalog.known_files("new").unwrap()[b"1.jpg".as_slice()].embedded);
        assert!(catalog.photos_after(PhotoId(0), 10, ModelKey::features("new")).unwrap()[0].1.is_none());
    }

    #[test]
    fn features_are_kept_beside_the_embeddings_of_a_head() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::open(folder.path()).unwrap();
        catalog.write(M, vec![photo("1.jpg", 1), photo("2.jpg", 2)], &[]).unwrap();
        let head = ModelKey { name: "head", backbone: "m", metric: Metric::Cosine };
        let mut to_project = catalog.features_to_project(head, 10).unwrap();
        assert_eq!(to_project.len(), 2);
        to_project.pop();
        catalog.add_embeddings(head, &to_project).unwrap();
        assert_eq!(catalog.features_to_project(head, 10).unwrap().len(), 1);
        let mut third = photo("3.jpg", 3);
        third.embedded.features = Some(third.embedded.embedding.clone());
        catalog.write(head, vec![third], &[]).unwrap();
        assert!(catalog.embedding_of(ContentHash([3; 16]), M).unwrap().is_some());
        assert!(catalog.features_to_project(M, 10).unwrap().is_empty());
        catalog.forget_model("head").unwrap();
        assert_eq!(catalog.features_to_project(head, 10).unwrap().len(), 3);
    }

    #[test]
    fn thumbnails_can_be_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        Catalog::open(folder.path()).unwrap().write(M, vec![photo("1.jpg", 1)], &[]).unwrap();
        std::fs::remove_file(folder.path().join(THUMBNAIL_FILE)).unwrap();
        let catalog = Catalog::open_read_only(folder.path()).unwrap().unwrap();
        assert_eq!(catalog.photo_count().unwrap(), 1);
        assert_eq!(catalog.thumbnail(ContentHash([1; 16])).unwrap(), None);
    }

    /// Locks one file of a catalog for writing and gives it free after a while, as another process may.
    fn locked_for_a_while(file: &Path) -> std::thread::JoinHandle<()> {
        let mut connection = Connection::open(file).unwrap();
        let (locked, wait) = std::sync::mpsc::channel();
        let lock = std::thread::spawn(move || {
            let _transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
            locked.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        });
        wait.recv().unwrap();
        lock
    }

    #[test]
    fn opening_and_writing_wait_for_the_locks_of_others() {
        let folder = tempfile::tempdir().unwrap();
        // As left by a process that was killed while it made the catalog: not in WAL mode yet.
        let thumbnails = folder.path().join(THUMBNAIL_FILE);
        Connection::open(&thumbnails).unwrap().execute_batch(&THUMBNAIL_SCHEMA.replace("thumbnails.", "")).unwrap();
        for file in [FILE, THUMBNAIL_FILE] {
            let lock = locked_for_a_while(&folder.path().join(file));
            Catalog::open(folder.path()).unwrap();
            lock.join().unwrap();
        }
        let mut catalog = Catalog::open(folder.path()).unwrap();
        for (file, content) in [(FILE, 1), (THUMBNAIL_FILE, 2)] {
            let lock = locked_for_a_while(&folder.path().join(file));
            catalog.write(M, vec![photo("1.jpg", content)], &[]).unwrap();
            lock.join().unwrap();
        }
    }

    #[test]
    fn a_catalog_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path()).unwrap();
        catalog.connection.pragma_update(None, "user_version", MIGRATIONS.len() as i64 + 1).unwrap();
        drop(catalog);
        assert!(matches!(Catalog::open(folder.path()), Err(CatalogError::TooNew(_))));
    }
}

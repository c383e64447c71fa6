//! The catalog's files: made, brought up to date and opened.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Catalog, CatalogError};
use crate::photo::path_to_bytes;

/// Each entry brings the schema from its number to the next; entries are never changed once released.
pub(super) const MIGRATIONS: &[&str] = &[
    "
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
",
    "
    -- When the inode changed, in nanoseconds since 1970; NULL where it is not known yet.
    ALTER TABLE photos ADD COLUMN changed INTEGER;
    -- The file's state when it was read; NULL where it was not.
    ALTER TABLE problems ADD COLUMN size INTEGER;
    ALTER TABLE problems ADD COLUMN modified INTEGER;
    ALTER TABLE problems ADD COLUMN changed INTEGER;
    ALTER TABLE problems ADD COLUMN lasting INTEGER NOT NULL DEFAULT 0;   -- not read again while it is unchanged
    ALTER TABLE problems ADD COLUMN passing INTEGER NOT NULL DEFAULT 0;   -- of the drive rather than of the file
    CREATE TABLE others (   -- files whose names do not tell what they are, and that are no photos by their content
        path     BLOB PRIMARY KEY,
        size     INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        changed  INTEGER
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE metadata (
        content   BLOB PRIMARY KEY,      -- there is a row for each content that was looked at, whatever it tells
        taken     TEXT,                  -- ISO 8601 in local time, with its zone where that is known
        camera    TEXT,
        width     INTEGER,               -- of the upright picture
        height    INTEGER,
        latitude  REAL,                  -- degrees
        longitude REAL
    ) STRICT, WITHOUT ROWID;
",
];
/// Catalogs from this version on can be read as they are; they are brought up to date when they are written.
const OLDEST_READABLE: usize = 1;
/// The version that brought [`super::metadata`]; and what stands for it in a catalog of before that is only read.
const WITH_METADATA: usize = 3;
const NO_METADATA: &str = "CREATE TEMP TABLE metadata (content, taken, camera, width, height, latitude, longitude)";

pub(super) const FILE: &str = "catalog.sqlite";
pub(super) const THUMBNAIL_FILE: &str = "thumbnails.sqlite";
pub(super) const THUMBNAIL_SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS thumbnails.thumbnails (content BLOB PRIMARY KEY, jpeg BLOB NOT NULL) STRICT";

/// How long to wait for the locks of other processes, which hold them for moments.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    /// As files that nobody changes and nothing can be written beside.
    ReadAlone,
    Write,
}

impl Catalog {
    /// The file of the catalog in `folder`.
    pub(crate) fn file_in(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Opens the catalog in `folder` for writing; makes it, or brings its schema up to date, where needed.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer version.
    pub fn open(folder: &Path) -> Result<Self, CatalogError> {
        retry_while_busy(|| Self::open_at_once(folder))
    }

    fn open_at_once(folder: &Path) -> Result<Self, CatalogError> {
        let mut catalog = Self::connect(folder, Access::Write)?;
        catalog.run(|connection| {
            // Before anything is written, or it says nothing.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(Some("thumbnails"), "journal_mode", "WAL")
        })?;
        let version = catalog.version()?;
        for (number, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            catalog.transaction(|transaction| {
                transaction.execute_batch(migration)?;
                transaction.pragma_update(None, "user_version", (number + 1) as i64)
            })?;
        }
        Ok(catalog)
    }

    /// Opens the catalog in `folder` for reading only, and writes nothing; `None` where there is none yet, or another
    /// process is just making it.
    ///
    /// # Errors
    /// When the file cannot be opened, or is of a newer or an older version.
    pub fn open_read_only(folder: &Path) -> Result<Option<Self>, CatalogError> {
        if !folder.join(FILE).exists() {
            return Ok(None);
        }
        let catalog = match retry_while_busy(|| Self::connect(folder, Access::Read)) {
            // Even to read, SQLite makes files beside the catalog, for which there is no room or no permission here. Where
            // nothing waits in the log of the last time, it needs none.
            Err(error) if error.obstacle().is_some() && logs_are_empty(folder) => {
                Self::connect(folder, Access::ReadAlone)?
            }
            catalog => catalog?,
        };
        match catalog.version()? {
            0 => Ok(None),
            version if version < OLDEST_READABLE => Err(CatalogError::TooOld(catalog.file)),
            version => {
                // Of an older catalog nothing is known of when its photos were taken.
                if version < WITH_METADATA {
                    catalog.run(|connection| connection.execute_batch(NO_METADATA))?;
                }
                Ok(Some(catalog))
            }
        }
    }

    fn connect(folder: &Path, access: Access) -> Result<Self, CatalogError> {
        let file = folder.join(FILE);
        let wrap = |source| CatalogError::of(&file, source);
        let flags = match access {
            Access::Read | Access::ReadAlone => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        };
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(address(&file, access), flags).map_err(wrap)?;
        connection.busy_timeout(PATIENCE).map_err(wrap)?;
        // WAL survives a kill at any moment with NORMAL; only a power cut may take the last transactions with it.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(wrap)?;
        // In KiB: room for the indexes of some hundred thousand photos, which every row is looked up in.
        connection.pragma_update(None, "cache_size", -65_536).map_err(wrap)?;
        // Thumbnails may be thrown away at any time; a reader then does without.
        let thumbnails = folder.join(THUMBNAIL_FILE);
        let mut has_thumbnails = access == Access::Write || thumbnails.exists();
        if has_thumbnails {
            let attach = "ATTACH DATABASE CAST(? AS TEXT) AS thumbnails";
            connection.execute(attach, [path_to_bytes(&address(&thumbnails, access))]).map_err(wrap)?;
        }
        match access {
            Access::Write => connection.execute_batch(THUMBNAIL_SCHEMA).map_err(wrap)?,
            Access::Read | Access::ReadAlone if has_thumbnails => {
                has_thumbnails = connection.table_exists(Some("thumbnails"), "thumbnails").map_err(wrap)?;
            }
            Access::Read | Access::ReadAlone => {}
        }
        let catalog = Self { connection, file, has_thumbnails };
        if catalog.version()? > MIGRATIONS.len() {
            return Err(CatalogError::TooNew(catalog.file));
        }
        Ok(catalog)
    }

    fn version(&self) -> Result<usize, CatalogError> {
        self.run(|connection| {
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok(version as usize)
        })
    }
}

/// What SQLite is to open.
fn address(file: &Path, access: Access) -> PathBuf {
    if access != Access::ReadAlone {
        return file.to_owned();
    }
    let path = percent_encode(&path_to_bytes(file), NON_ALPHANUMERIC).to_string();
    format!("file:{path}?immutable=1").into()
}

/// Whether all that was written is in the catalog's files themselves.
fn logs_are_empty(folder: &Path) -> bool {
    let log = |name: &str| folder.join(format!("{name}-wal"));
    [FILE, THUMBNAIL_FILE].iter().all(|name| log(name).metadata().map_or(true, |metadata| metadata.len() == 0))
}

/// Opens, again and again while others hold locks. SQLite's own waiting does not cover the change to WAL mode.
fn retry_while_busy<T>(open: impl Fn() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
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

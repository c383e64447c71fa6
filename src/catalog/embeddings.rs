//! Embeddings by content and model, and what is still to be embedded.

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Catalog, CatalogError, ModelKey};
use crate::photo::{ContentHash, Embedded, Embedding, HalfEmbedding, Metric, bytes_to_path};

/// By the primary key: each page of results goes on where the one before ended, whatever that did with its rows.
pub(super) const FEATURES_TO_PROJECT: &str = "
    SELECT features.content, features.vector FROM embeddings AS features
    LEFT JOIN embeddings AS made ON made.content = features.content
        AND made.model = (SELECT id FROM models WHERE name = ?1)
    WHERE features.content > ?3 AND features.model = (SELECT id FROM models WHERE name = ?2)
        AND made.content IS NULL
    ORDER BY features.content LIMIT ?4";

/// What an embedding takes beside its numbers, in bytes: its content's hash, in the table and in the index.
const ROW_OVERHEAD: i64 = 56;

/// SQLite's number for a file that can give back its free pages.
const INCREMENTAL: i64 = 2;

impl Catalog {
    /// The embedding of a content, where the model has made one before.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn embedding_of(
        &self,
        content: ContentHash,
        model: ModelKey,
    ) -> Result<Option<Embedding>, CatalogError> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT vector FROM embeddings WHERE content = ? AND model = (SELECT id FROM models WHERE name = ?)",
            )?;
            let vector: Option<Vec<u8>> =
                statement.query_row(params![content.0, model.name], |row| row.get(0)).optional()?;
            Ok(vector.and_then(|bytes| HalfEmbedding::from_bytes(&bytes).to_embedding(model.metric)))
        })
    }

    /// Up to `limit` contents above `after` (from the beginning, for `None`), in order, that have features of the model's
    /// backbone but no embedding of the model, with the features; `None` where these are unusable. Empty at the end,
    /// and for a model without a head.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn features_to_project(
        &self,
        model: ModelKey,
        after: Option<ContentHash>,
        limit: usize,
    ) -> Result<Vec<(ContentHash, Option<Embedding>)>, CatalogError> {
        if model.name == model.backbone {
            return Ok(Vec::new());
        }
        self.run(|connection| {
            let mut statement = connection.prepare_cached(FEATURES_TO_PROJECT)?;
            let after = after.map_or(Vec::new(), |content| content.0.to_vec());
            let rows = statement.query_map(params![model.name, model.backbone, after, limit as i64], |row| {
                let vector: Vec<u8> = row.get(1)?;
                Ok((ContentHash(row.get(0)?), HalfEmbedding::from_bytes(&vector).to_embedding(Metric::Cosine)))
            })?;
            rows.collect()
        })
    }

    /// The contents that the model has not embedded, each with the files that hold it, by path.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn contents_to_embed(&self, model: ModelKey) -> Result<Vec<(ContentHash, Vec<PathBuf>)>, CatalogError> {
        self.run(|connection| {
            let mut statement = connection.prepare(
                "SELECT content, path FROM photos WHERE content NOT IN (
                     SELECT content FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?))
                 ORDER BY path",
            )?;
            let mut rows = statement.query([model.name])?;
            let (mut contents, mut positions) = (Vec::<(ContentHash, Vec<PathBuf>)>::new(), HashMap::new());
            while let Some(row) = rows.next()? {
                let content = ContentHash(row.get(0)?);
                let path = bytes_to_path(&row.get::<_, Vec<u8>>(1)?);
                let position = *positions.entry(content).or_insert(contents.len());
                match contents.get_mut(position) {
                    Some((_, paths)) => paths.push(path),
                    None => contents.push((content, vec![path])),
                }
            }
            Ok(contents)
        })
    }

    /// Whether there is a photo that a model has not embedded.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn lacks_embeddings(&self, model: &str) -> Result<bool, CatalogError> {
        self.run(|connection| {
            let lacking = "SELECT EXISTS (SELECT 1 FROM photos WHERE content NOT IN (
                SELECT content FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)))";
            connection.query_row(lacking, [model], |row| row.get(0))
        })
    }

    /// Adds embeddings, and the features that they come with, of contents that are in the catalog already. The photos
    /// stay as they are.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn add_embeddings(
        &mut self,
        model: ModelKey,
        embeddings: &[(ContentHash, Embedded)],
    ) -> Result<(), CatalogError> {
        self.transaction(|transaction| {
            let backbone = model_row(transaction, model.backbone)?;
            let model = model_row(transaction, model.name)?;
            for (content, Embedded { embedding, features }) in embeddings {
                insert_embedding(transaction, *content, model, embedding)?;
                if let Some(features) = features {
                    insert_embedding(transaction, *content, backbone, features)?;
                }
            }
            Ok(())
        })
    }

    /// The names of all models and backbones that have embeddings here.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn models(&self) -> Result<Vec<String>, CatalogError> {
        self.run(|connection| connection.prepare("SELECT name FROM models")?.query_map([], |row| row.get(0))?.collect())
    }

    /// About how many bytes the embeddings of each model and backbone take.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(crate) fn embedding_bytes(&self) -> Result<Vec<(String, u64)>, CatalogError> {
        self.run(|connection| {
            // Counted in the index of contents, which is a fortieth of the table; all of a model's are of one length.
            let mut statement = connection.prepare(
                "SELECT name, count * (? + length(vector))
                 FROM (SELECT model, count(*) AS count, min(content) AS content FROM embeddings GROUP BY model)
                 JOIN embeddings USING (content, model) JOIN models ON models.id = model ORDER BY name",
            )?;
            let rows = statement.query_map([ROW_OVERHEAD], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
            rows.collect()
        })
    }

    /// Throws away all embeddings of some models or backbones, and gives the file's space back.
    ///
    /// # Errors
    /// When nothing could be written.
    pub(crate) fn forget_models(&mut self, names: &[String]) -> Result<(), CatalogError> {
        let forgotten = self.transaction(|transaction| {
            let mut forgotten = 0;
            for name in names {
                forgotten += transaction
                    .execute("DELETE FROM embeddings WHERE model = (SELECT id FROM models WHERE name = ?)", [name])?;
                transaction.execute("DELETE FROM models WHERE name = ?", [name])?;
            }
            Ok(forgotten)
        })?;
        if forgotten == 0 { Ok(()) } else { self.shrink() }
    }

    /// Makes the file as small as what is in it. A catalog of an older version is written anew for that, once.
    fn shrink(&mut self) -> Result<(), CatalogError> {
        self.run(|connection| {
            if connection.pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0))? == INCREMENTAL {
                // It has a step for each page.
                let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
                let mut pages = statement.query([])?;
                while pages.next()?.is_some() {}
            } else {
                connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")?;
            }
            // The file itself shrinks when the log is written into it; readers may put that off.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })
    }
}

/// The number of a model, which gets one where it has none.
pub(super) fn model_row(transaction: &Transaction, name: &str) -> rusqlite::Result<i64> {
    transaction.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", [name])?;
    transaction.query_row("SELECT id FROM models WHERE name = ?", [name], |row| row.get(0))
}

pub(super) fn insert_embedding(
    transaction: &Transaction,
    content: ContentHash,
    model: i64,
    embedding: &Embedding,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO embeddings (content, model, vector) VALUES (?, ?, ?)
             ON CONFLICT (content, model) DO UPDATE SET vector = excluded.vector WHERE vector <> excluded.vector",
        )?
        .execute(params![content.0, model, HalfEmbedding::from(embedding).to_bytes()])?;
    Ok(())
}

//! When photos were taken, and what else their files tell, for those that were indexed by a version that did not ask.
//! Nothing is decoded or embedded, and of most files only the beginning is read.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::account;
use super::reader::Reader;
use crate::catalog::{Catalog, CatalogError, FileStamp, Undescribed};
use crate::job::{Cancel, Progress, Stage};
use crate::library::Library;
use crate::metadata::Metadata;
use crate::photo::{ContentHash, Photo};

/// Photos that are asked of the catalog at a time.
const CHUNK: usize = 256;
/// What has been found out is written this often: a kill loses no more.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Describes every content of the catalog that nobody has looked at, until a stop; the next time goes on from there.
/// `tell` is given the photos that are described now. A file that is gone or changed is left for the next scan.
///
/// # Errors
/// When the catalog cannot be read or written.
pub(crate) fn describe_library(
    library: &Library,
    catalog: &mut Catalog,
    cancel: &Cancel,
    tell: &mut dyn FnMut(Progress, Vec<Photo>),
) -> Result<(), CatalogError> {
    let mut progress = Progress::begin(Stage::ReadingDates, Some(catalog.undescribed_count()?));
    let drives = account(catalog)?.drives().map(PathBuf::from).collect();
    let reader = Reader::new(&library.root, drives, cancel);
    let (mut described, mut committed_at) = (Vec::new(), Instant::now());
    let mut after = None;
    loop {
        let chunk = catalog.undescribed_after(after, CHUNK)?;
        let is_last = chunk.is_empty();
        after = chunk.last().map(|last| last.content);
        for one in chunk {
            if cancel.is_cancelled() {
                break;
            }
            described.extend(describe(&reader, one));
            progress.done += 1;
        }
        let is_over = is_last || cancel.is_cancelled();
        if !described.is_empty() && (is_over || committed_at.elapsed() >= COMMIT_EVERY) {
            tell(progress.clone(), catalog.describe(&described)?);
            described.clear();
            committed_at = Instant::now();
        }
        if is_over {
            return Ok(());
        }
    }
}

/// `None` where the file is not what the catalog knows, or its drive does not answer.
fn describe(reader: &Reader, one: Undescribed) -> Option<(ContentHash, Metadata)> {
    let stamp = one.stamp;
    let answer = reader.ask(&one.path, 0, &|| {}, move |file| {
        let is_the_same = FileStamp::from(&std::fs::metadata(file)?).agrees_with(&stamp);
        Ok(if is_the_same { Some(Metadata::of_file(file)?) } else { None })
    });
    Some((one.content, answer.ok()??))
}

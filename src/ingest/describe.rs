//! When photos were taken, and what else their files tell, for those that were indexed by a version that did not ask.
//! Nothing is decoded or embedded, and of most files only the beginning is read.

use std::time::{Duration, Instant};

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
            described.extend(describe(library, one));
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

/// `None` where the file is not what the catalog knows.
fn describe(library: &Library, one: Undescribed) -> Option<(ContentHash, Metadata)> {
    let file = library.root.join(&one.path);
    let stamp = FileStamp::from(&std::fs::metadata(&file).ok()?);
    stamp.agrees_with(&one.stamp).then_some((one.content, Metadata::of_file(&file).ok()?))
}

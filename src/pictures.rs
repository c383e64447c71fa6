//! Thumbnails and large pictures for the screen, decoded behind its back.
//!
//! Every frame the window says what it wants to see; the newest wish list replaces the one before, so that what has
//! been scrolled past is never decoded.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use crate::catalog::Catalog;
use crate::decode::{self, AtLeast, DecodeError, THUMBNAIL_SIDE};
use crate::job::give_way;
use crate::library::Library;
use crate::photo::{ContentHash, Photo};

/// The longer side of a large picture, in pixels.
const LARGE_SIDE: u32 = 2048;
/// Behind the thread that draws, ahead of the jobs.
const NICE: i32 = 3;

/// Names a picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PictureKey {
    Thumbnail(ContentHash),
    /// A file at screen size.
    Large(PathBuf),
}

/// A picture that the window wants.
#[derive(Clone, Debug)]
pub enum Wish {
    Thumbnail { photo: Arc<Photo>, library: Arc<Library> },
    Large(PathBuf),
}

impl Wish {
    /// The name of the picture.
    pub fn key(&self) -> PictureKey {
        match self {
            Self::Thumbnail { photo, .. } => PictureKey::Thumbnail(photo.content),
            Self::Large(path) => PictureKey::Large(path.clone()),
        }
    }
}

/// A picture, or why there is none.
pub type Loaded<P> = (PictureKey, Result<P, String>);

struct State<P> {
    /// The most wanted last.
    wishes: Vec<Wish>,
    in_work: HashSet<PictureKey>,
    ready: VecDeque<Loaded<P>>,
    closed: bool,
}

struct Shared<P> {
    state: Mutex<State<P>>,
    changed: Condvar,
}

impl<P> Shared<P> {
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the threads that load pictures; they end with it. `P` is a picture as the screen wants it.
pub struct PictureLoader<P> {
    shared: Arc<Shared<P>>,
}

impl<P: Send + 'static> PictureLoader<P> {
    /// Starts the threads. Each picture goes through `convert` there; `wake` is called when one is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(convert: fn(RgbImage) -> P, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let state = State { wishes: Vec::new(), in_work: HashSet::new(), ready: VecDeque::new(), closed: false };
        let loader = Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) };
        let wake = Arc::new(wake);
        // One thread each, so that no thumbnail waits for a large picture. More would only take cores from the thread that
        // draws: one loads twice the thumbnails that are uploaded.
        for (name, is_large) in [("thumbnails", false), ("large pictures", true)] {
            let (shared, wake) = (Arc::clone(&loader.shared), Arc::clone(&wake));
            let work = move || {
                give_way(NICE);
                work(&shared, is_large, convert, &*wake);
            };
            std::thread::Builder::new().name(name.into()).spawn(work)?;
        }
        Ok(loader)
    }

    /// Replaces the wish list; the most wanted first.
    pub fn want(&self, mut wishes: Vec<Wish>) {
        wishes.reverse();
        let mut state = self.shared.lock();
        if !(wishes.is_empty() && state.wishes.is_empty()) {
            state.wishes = wishes;
            self.shared.changed.notify_all();
        }
    }

    /// At most `limit` pictures that have become ready.
    pub fn take_ready(&self, limit: usize) -> Vec<Loaded<P>> {
        let mut state = self.shared.lock();
        let count = state.ready.len().min(limit);
        let ready: Vec<Loaded<P>> = state.ready.drain(..count).collect();
        for (key, _) in &ready {
            state.in_work.remove(key);
        }
        ready
    }

    /// Whether more pictures are waiting to be taken.
    pub fn has_ready(&self) -> bool {
        !self.shared.lock().ready.is_empty()
    }
}

impl<P> Drop for PictureLoader<P> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

fn work<P>(shared: &Shared<P>, is_large: bool, convert: fn(RgbImage) -> P, wake: &dyn Fn()) {
    let mut catalog: Option<(PathBuf, Catalog)> = None;
    while let Some(wish) = next_wish(shared, is_large) {
        let picture = load(&wish, &mut catalog).map(convert).map_err(|error| error.to_string());
        shared.lock().ready.push_back((wish.key(), picture));
        wake();
    }
}

/// Waits for a wish of this kind that is not in work; `None` when the loader is gone.
fn next_wish<P>(shared: &Shared<P>, is_large: bool) -> Option<Wish> {
    let mut state = shared.lock();
    loop {
        if state.closed {
            return None;
        }
        while let Some(at) = state.wishes.iter().rposition(|wish| matches!(wish, Wish::Large(_)) == is_large) {
            let wish = state.wishes.remove(at);
            if state.in_work.insert(wish.key()) {
                return Some(wish);
            }
        }
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn load(wish: &Wish, catalog: &mut Option<(PathBuf, Catalog)>) -> Result<RgbImage, DecodeError> {
    match wish {
        Wish::Large(path) => from_file(path, LARGE_SIDE),
        Wish::Thumbnail { photo, library } => {
            if catalog.as_ref().is_none_or(|(folder, _)| *folder != library.folder) {
                let opened = Catalog::open_read_only(&library.folder).ok().flatten();
                *catalog = opened.map(|opened| (library.folder.clone(), opened));
            }
            let stored = catalog.as_ref().and_then(|(_, catalog)| catalog.thumbnail(photo.content).ok().flatten());
            // Thumbnails can be thrown away at any time: then the photo itself is read.
            match stored.map(|jpeg| decode::decode(&jpeg)) {
                Some(Ok(picture)) => Ok(picture),
                _ => from_file(&library.root.join(&photo.path), THUMBNAIL_SIDE),
            }
        }
    }
}

fn from_file(path: &Path, side: u32) -> Result<RgbImage, DecodeError> {
    decode::shrink_to_fit(&decode::decode_file_at_least(path, AtLeast { shorter: 0, longer: side })?, side)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::photo::PhotoId;

    /// Whether large pictures have to wait.
    static HELD: AtomicBool = AtomicBool::new(true);

    fn width(picture: RgbImage) -> u32 {
        while picture.width() > THUMBNAIL_SIDE && HELD.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        picture.width()
    }

    fn wait_for_one(loader: &PictureLoader<u32>) -> Loaded<u32> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < end, "no picture");
            if let Some(loaded) = loader.take_ready(1).pop() {
                return loaded;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_thumbnail_does_not_wait_for_a_large_picture() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.png");
        RgbImage::new(800, 600).save(&large).unwrap();
        let library = Arc::new(Library { root: folder.path().into(), folder: folder.path().join("none") });
        // The catalog has no thumbnail of it, so that the photo itself is read.
        let photo = Arc::new(Photo { id: PhotoId(1), path: "large.png".into(), content: ContentHash([1; 16]) });
        let loader = PictureLoader::start(width, || {}).unwrap();
        loader.want(vec![Wish::Large(large.clone()), Wish::Thumbnail { photo, library }]);
        let thumbnail = (PictureKey::Thumbnail(ContentHash([1; 16])), Ok(THUMBNAIL_SIDE));
        assert_eq!(wait_for_one(&loader), thumbnail);
        HELD.store(false, Ordering::Relaxed);
        assert_eq!(wait_for_one(&loader), (PictureKey::Large(large), Ok(800)));
    }
}

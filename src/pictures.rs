//! Thumbnails and large pictures for the screen, decoded behind its back.
//!
//! Every frame the window says what it wants to see; the newest wish list replaces the one before, so that what has
//! been scrolled past is never decoded.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use image::RgbImage;

use crate::catalog::Catalog;
use crate::decode::{self, DecodeError, THUMBNAIL_SIDE};
use crate::library::Library;
use crate::photo::{ContentHash, Photo};

/// The longer side of a large picture, in pixels.
const LARGE_SIDE: u32 = 2048;
const THREADS: usize = 2;

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
pub type Loaded = (PictureKey, Result<RgbImage, String>);

#[derive(Default)]
struct State {
    /// The most wanted first.
    wishes: Vec<Wish>,
    in_work: HashSet<PictureKey>,
    ready: Vec<Loaded>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the threads that load pictures; they end with it.
pub struct PictureLoader {
    shared: Arc<Shared>,
}

impl PictureLoader {
    /// Starts the threads. `wake` is called when a picture is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let loader = Self { shared: Arc::default() };
        let wake = Arc::new(wake);
        for number in 1..=THREADS {
            let (shared, wake) = (Arc::clone(&loader.shared), Arc::clone(&wake));
            std::thread::Builder::new().name(format!("pictures-{number}")).spawn(move || work(&shared, &*wake))?;
        }
        Ok(loader)
    }

    /// Replaces the wish list.
    pub fn want(&self, wishes: Vec<Wish>) {
        let mut state = self.shared.lock();
        if !(wishes.is_empty() && state.wishes.is_empty()) {
            state.wishes = wishes;
            self.shared.changed.notify_all();
        }
    }

    /// At most `limit` pictures that have become ready.
    pub fn take_ready(&self, limit: usize) -> Vec<Loaded> {
        let mut state = self.shared.lock();
        let count = state.ready.len().min(limit);
        let ready: Vec<Loaded> = state.ready.drain(..count).collect();
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

impl Drop for PictureLoader {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared, wake: &dyn Fn()) {
    let mut catalog: Option<(PathBuf, Catalog)> = None;
    while let Some(wish) = next_wish(shared) {
        let picture = load(&wish, &mut catalog).map_err(|error| error.to_string());
        shared.lock().ready.push((wish.key(), picture));
        wake();
    }
}

/// Waits for a wish that no other thread is working on; `None` when the loader is gone.
fn next_wish(shared: &Shared) -> Option<Wish> {
    let mut state = shared.lock();
    loop {
        if state.closed {
            return None;
        }
        while !state.wishes.is_empty() {
            let wish = state.wishes.remove(0);
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
    decode::shrink_to_fit(&decode::decode_file(path)?, side)
}

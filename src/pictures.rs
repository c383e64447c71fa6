//! Thumbnails and large pictures for the screen, decoded on threads of their own.
//!
//! Every frame the window says what it wants to see; the newest list of requests replaces the one before, so that what
//! has been scrolled past is never decoded.
//!
//! Of a picture that is zoomed into only the part in view is shown, in tiles: at level n it is cut into 2ⁿ × 2ⁿ of them, each
//! [`TILE_SIDE`] pixels large at most. A photo is decoded whole for that once, and kept for a while.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image::RgbImage;
use image::imageops::crop_imm;

use crate::catalog::{Catalog, CatalogError};
use crate::decode::{self, AtLeast, DecodeError, THUMBNAIL_SIDE};
use crate::job::{Cancel, lower_priority};
use crate::library::Library;
use crate::photo::{ContentHash, Photo};

/// The longer side of a large picture, in pixels.
const LARGE_SIDE: u32 = 2048;
/// The longer side of a tile, in pixels.
pub(crate) const TILE_SIDE: u32 = 512;
/// Whole photos that tiles are cut out of: the query and the result beside it. They go when no tile was wanted for so long.
const WHOLE_PHOTOS: usize = 2;
const KEEP_WHOLE: Duration = Duration::from_secs(10);
/// Behind the thread that draws, ahead of the jobs.
const NICE: i32 = 3;
/// A catalog that could not be used is tried again after this time.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Names a picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PictureKey {
    Thumbnail(ContentHash),
    /// A file at screen size.
    Large(PathBuf),
    Tile(Tile),
}

/// A part of a file's picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) path: PathBuf,
    /// The picture is cut into 2ⁿ columns and rows.
    pub(crate) level: u32,
    pub(crate) column: u32,
    pub(crate) row: u32,
}

impl Tile {
    /// Its place in a picture of this size, in pixels: left, top, width, height. Its neighbours begin where it ends.
    fn place(&self, (width, height): (u32, u32)) -> (u32, u32, u32, u32) {
        let edge = |side: u32, number: u32| ((u64::from(side) * u64::from(number)) >> self.level) as u32;
        let (left, top) = (edge(width, self.column), edge(height, self.row));
        (left, top, edge(width, self.column + 1) - left, edge(height, self.row + 1) - top)
    }
}

/// A picture that the window wants.
#[derive(Clone, Debug)]
pub(crate) enum PictureRequest {
    Thumbnail { photo: Arc<Photo>, library: Arc<Library> },
    Large(PathBuf),
    Tile(Tile),
}

/// What a thread loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Thumbnail,
    Large,
    Tile,
}

impl PictureRequest {
    /// The name of the picture.
    pub(crate) fn key(&self) -> PictureKey {
        match self {
            Self::Thumbnail { photo, .. } => PictureKey::Thumbnail(photo.content),
            Self::Large(path) => PictureKey::Large(path.clone()),
            Self::Tile(tile) => PictureKey::Tile(tile.clone()),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Thumbnail { .. } => Kind::Thumbnail,
            Self::Large(_) => Kind::Large,
            Self::Tile(_) => Kind::Tile,
        }
    }
}

/// A picture, or why there is none.
pub(crate) type Loaded<P> = (PictureKey, Result<P, String>);

struct State<P> {
    /// The most wanted last.
    requests: Vec<PictureRequest>,
    /// With what ends the wait for its drive.
    in_work: HashMap<PictureKey, Cancel>,
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
pub(crate) struct PictureLoader<P> {
    shared: Arc<Shared<P>>,
}

impl<P: Send + 'static> PictureLoader<P> {
    /// Starts the threads. Each picture goes through `convert` there; `wake` is called when one is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(convert: fn(RgbImage) -> P, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let state = State { requests: Vec::new(), in_work: HashMap::new(), ready: VecDeque::new(), closed: false };
        let loader = Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) };
        let wake = Arc::new(wake);
        // One thread each, so that no thumbnail waits for a large picture. More would only take cores from the thread that
        // draws: one loads twice the thumbnails that are uploaded.
        for (name, kind) in [("thumbnails", Kind::Thumbnail), ("large pictures", Kind::Large), ("tiles", Kind::Tile)] {
            let (shared, wake) = (Arc::clone(&loader.shared), Arc::clone(&wake));
            let work = move || {
                lower_priority(NICE);
                work(&shared, kind, convert, &*wake);
            };
            std::thread::Builder::new().name(name.into()).spawn(work)?;
        }
        Ok(loader)
    }

    /// Replaces the list of requests; the most wanted first. What is in work and wanted no more waits for no drive.
    pub(crate) fn request(&self, mut requests: Vec<PictureRequest>) {
        requests.reverse();
        let mut state = self.shared.lock();
        if !state.in_work.is_empty() {
            let wanted: HashSet<PictureKey> = requests.iter().map(PictureRequest::key).collect();
            let unwanted = state.in_work.iter().filter(|(key, _)| !wanted.contains(key));
            unwanted.for_each(|(_, cancel)| cancel.cancel());
        }
        if !(requests.is_empty() && state.requests.is_empty()) {
            state.requests = requests;
            self.shared.changed.notify_all();
        }
    }

    /// At most `limit` pictures that have become ready.
    pub(crate) fn take_ready(&self, limit: usize) -> Vec<Loaded<P>> {
        let mut state = self.shared.lock();
        let count = state.ready.len().min(limit);
        let ready: Vec<Loaded<P>> = state.ready.drain(..count).collect();
        for (key, _) in &ready {
            state.in_work.remove(key);
        }
        ready
    }

    /// Whether more pictures are waiting to be taken.
    pub(crate) fn has_ready(&self) -> bool {
        !self.shared.lock().ready.is_empty()
    }
}

impl<P> Drop for PictureLoader<P> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.in_work.values().for_each(Cancel::cancel);
        drop(state);
        self.shared.changed.notify_all();
    }
}

fn work<P>(shared: &Shared<P>, kind: Kind, convert: fn(RgbImage) -> P, wake: &dyn Fn()) {
    let mut thumbnails = Thumbnails::new(Catalog::open_read_only);
    let mut whole = WholePhotos::default();
    while let Some((request, cancel)) = next_request(shared, kind, &mut whole) {
        let picture = load(&request, &mut thumbnails, &mut whole, &cancel).map(convert);
        let mut state = shared.lock();
        if matches!(picture, Err(DecodeError::NoAnswer)) && cancel.is_cancelled() {
            // Where it is wanted again, it is asked for again.
            state.in_work.remove(&request.key());
            continue;
        }
        state.ready.push_back((request.key(), picture.map_err(|error| error.to_string())));
        drop(state);
        wake();
    }
}

/// Waits for a request of this kind that is not in work; `None` when the loader is gone. What is kept of whole photos goes
/// where that takes long.
fn next_request<P>(shared: &Shared<P>, kind: Kind, whole: &mut WholePhotos) -> Option<(PictureRequest, Cancel)> {
    let mut state = shared.lock();
    loop {
        if state.closed {
            return None;
        }
        while let Some(at) = state.requests.iter().rposition(|request| request.kind() == kind) {
            let request = state.requests.remove(at);
            if let Entry::Vacant(place) = state.in_work.entry(request.key()) {
                let cancel = place.insert(Cancel::default()).clone();
                return Some((request, cancel));
            }
        }
        if whole.is_empty() {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        } else {
            state = shared.changed.wait_timeout(state, KEEP_WHOLE).unwrap_or_else(PoisonError::into_inner).0;
            whole.forget_old();
        }
    }
}

fn load(
    request: &PictureRequest,
    thumbnails: &mut Thumbnails,
    whole: &mut WholePhotos,
    cancel: &Cancel,
) -> Result<RgbImage, DecodeError> {
    match request {
        PictureRequest::Large(path) => from_file(path, LARGE_SIDE, cancel),
        PictureRequest::Tile(tile) => {
            let photo = whole.get(&tile.path, cancel)?;
            let (left, top, width, height) = tile.place(photo.dimensions());
            decode::shrink_to_fit(&crop_imm(photo, left, top, width, height).to_image(), TILE_SIDE)
        }
        // Thumbnails can be thrown away at any time: then the photo itself is read.
        PictureRequest::Thumbnail { photo, library } => {
            match thumbnails.get(library, photo.content).map(|jpeg| decode::decode(&jpeg)) {
                Some(Ok(picture)) => Ok(picture),
                _ => from_file(&library.root.join(&photo.path), THUMBNAIL_SIDE, cancel),
            }
        }
    }
}

/// Photos as large as they are, the one that was wanted last in front, and when that was.
#[derive(Default)]
struct WholePhotos(VecDeque<(PathBuf, RgbImage, Instant)>);

impl WholePhotos {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&mut self, path: &Path, cancel: &Cancel) -> Result<&RgbImage, DecodeError> {
        let kept = self.0.iter().position(|(kept, ..)| kept == path).and_then(|place| self.0.remove(place));
        let photo = match kept {
            Some((_, photo, _)) => photo,
            None => {
                // Before the next one takes as much memory.
                self.0.truncate(WHOLE_PHOTOS - 1);
                decode::decode_file(path, AtLeast::FULL, cancel)?
            }
        };
        self.0.push_front((path.to_owned(), photo, Instant::now()));
        Ok(&self.0[0].1)
    }

    fn forget_old(&mut self) {
        self.0.retain(|(_, _, wanted)| wanted.elapsed() < KEEP_WHOLE);
    }
}

type OpenCatalog = fn(&Path) -> Result<Option<Catalog>, CatalogError>;

/// The catalog that thumbnails are read from.
struct Thumbnails {
    open: OpenCatalog,
    /// The catalog's folder, and since when it could not be used.
    failed: Option<(PathBuf, Instant)>,
    catalog: Option<(PathBuf, Catalog)>,
}

impl Thumbnails {
    fn new(open: OpenCatalog) -> Self {
        Self { open, failed: None, catalog: None }
    }

    /// A thumbnail, as JPEG, where the catalog has it. A catalog that cannot be used is told of once and then left alone
    /// for a while: each try may take as long as another program may keep it locked.
    fn get(&mut self, library: &Library, content: ContentHash) -> Option<Vec<u8>> {
        let folder = &library.folder;
        if self.failed.as_ref().is_some_and(|(failed, since)| failed == folder && since.elapsed() < TRY_AGAIN_AFTER) {
            return None;
        }
        match self.read(folder, content) {
            Ok(thumbnail) => thumbnail,
            Err(error) => {
                log::warn!("Thumbnails are made from the photos for now: {error}");
                (self.failed, self.catalog) = (Some((folder.clone(), Instant::now())), None);
                None
            }
        }
    }

    fn read(&mut self, folder: &Path, content: ContentHash) -> Result<Option<Vec<u8>>, CatalogError> {
        if self.catalog.as_ref().is_none_or(|(opened, _)| opened != folder) {
            self.catalog = (self.open)(folder)?.map(|catalog| (folder.to_owned(), catalog));
        }
        self.catalog.as_ref().map_or(Ok(None), |(_, catalog)| catalog.thumbnail(content))
    }
}

fn from_file(path: &Path, side: u32, cancel: &Cancel) -> Result<RgbImage, DecodeError> {
    decode::shrink_to_fit(&decode::decode_file(path, AtLeast { shorter: 0, longer: side }, cancel)?, side)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::metadata::Metadata;
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
        let photo = Arc::new(Photo::new(PhotoId(1), "large.png".into(), ContentHash([1; 16]), Metadata::default()));
        let loader = PictureLoader::start(width, || {}).unwrap();
        loader.request(vec![PictureRequest::Large(large.clone()), PictureRequest::Thumbnail { photo, library }]);
        let thumbnail = (PictureKey::Thumbnail(ContentHash([1; 16])), Ok(THUMBNAIL_SIDE));
        assert_eq!(wait_for_one(&loader), thumbnail);
        HELD.store(false, Ordering::Relaxed);
        assert_eq!(wait_for_one(&loader), (PictureKey::Large(large), Ok(800)));
    }

    #[test]
    fn the_tiles_of_a_level_cover_the_picture_and_do_not_overlap() {
        for size in [(8064, 6048), (1001, 333), (7, 5)] {
            let mut pixels = 0;
            for (column, row) in (0..8).flat_map(|column| (0..8).map(move |row| (column, row))) {
                let tile = |column, row| Tile { path: PathBuf::new(), level: 3, column, row }.place(size);
                let (left, top, width, height) = tile(column, row);
                assert_eq!((tile(column + 1, row).0, tile(column, row + 1).1), (left + width, top + height));
                pixels += width * height;
            }
            assert_eq!(pixels, size.0 * size.1);
        }
    }

    #[test]
    fn a_tile_is_cut_out_of_the_whole_photo_which_is_kept_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photo.png");
        RgbImage::from_fn(2000, 1000, |x, y| image::Rgb([(x / 8) as u8, (y / 4) as u8, 0])).save(&path).unwrap();
        let mut whole = WholePhotos::default();
        let mut tile = |level, column, row| {
            let request = PictureRequest::Tile(Tile { path: path.clone(), level, column, row });
            load(&request, &mut Thumbnails::new(Catalog::open_read_only), &mut whole, &Cancel::default()).unwrap()
        };
        let part = tile(2, 1, 2);
        assert_eq!((part.dimensions(), part.get_pixel(0, 0).0), ((500, 250), [62, 125, 0]));
        assert_eq!(tile(1, 0, 0).dimensions(), (512, 256));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tile(2, 0, 0).dimensions(), (500, 250));
        whole.0[0].2 -= KEEP_WHOLE;
        whole.forget_old();
        assert!(whole.is_empty());
    }

    #[test]
    fn a_catalog_that_cannot_be_used_is_not_tried_for_each_thumbnail() {
        static TRIES: AtomicUsize = AtomicUsize::new(0);
        let folder = tempfile::tempdir().unwrap();
        let library = Library { root: folder.path().into(), folder: folder.path().into() };
        let mut thumbnails = Thumbnails::new(|folder| {
            TRIES.fetch_add(1, Ordering::Relaxed);
            Err(CatalogError::TooNew(folder.into()))
        });
        for content in 0..5 {
            assert_eq!(thumbnails.get(&library, ContentHash([content; 16])), None);
        }
        assert_eq!(TRIES.load(Ordering::Relaxed), 1);
        // Another library's may well be there.
        thumbnails.get(&Library { folder: "another".into(), ..library }, ContentHash([0; 16]));
        assert_eq!(TRIES.load(Ordering::Relaxed), 2);
    }
}

//! Photos on their way to a network that learns: decoded, cropped and augmented on threads of their own, in batches that
//! come in order.
//!
//! They are read from the catalog's thumbnails: made once at indexing, so that no epoch decodes the user's files again.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use image::{RgbImage, imageops};

use crate::catalog::Catalog;
use crate::decode::{self, AtLeast, DecodeError};
use crate::job::Cancel;
use crate::library::Library;
use crate::photo::Photo;
use crate::random::Random;

/// Batches that each thread keeps ready.
const AHEAD: usize = 2;
/// More threads than this gain nothing.
const MAX_THREADS: usize = 14;

/// What is taken of a photo, and how it is augmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crop {
    /// A random resized crop, flipped at random, with colour jitter (Szegedy et al. 2015, "Going Deeper with
    /// Convolutions").
    Random,
    /// The whole photo, squeezed to a square and flipped at random: the tutorial's.
    Squeezed,
    /// The square in the middle, as photos are embedded.
    Middle,
}

/// One batch to be made: positions in `photos`, and the seed of its crops.
#[derive(Clone, Debug)]
pub(crate) struct BatchSpec {
    pub(crate) positions: Vec<usize>,
    pub(crate) seed: u64,
}

/// Pictures of one batch.
#[derive(Debug)]
pub(crate) struct Batch {
    /// `positions.len() * side * side * 3` bytes, rows first, RGB.
    pub(crate) pixels: Vec<u8>,
    /// The photos that could be read, in the order that was asked for.
    pub(crate) positions: Vec<usize>,
    /// The place of each of them in the spec.
    pub(crate) places: Vec<usize>,
    /// Photos that were asked for.
    pub(crate) asked: usize,
}

/// A thread that makes batches has ended before its last one.
#[derive(Debug, thiserror::Error)]
#[error("A thread that prepares photos for the training ended unexpectedly")]
pub struct CropThreadDied;

/// The threads, and their batches in order.
pub(crate) struct CropLoader {
    lines: Vec<Receiver<Batch>>,
    next: usize,
    batches: usize,
    threads: Vec<JoinHandle<()>>,
    /// Nobody waits for a batch any more.
    closed: Cancel,
}

/// What to make batches of.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) library: Library,
    pub(crate) photos: Arc<[Arc<Photo>]>,
    pub(crate) crop: Crop,
    /// Pixels.
    pub(crate) side: u32,
}

impl CropLoader {
    /// Starts to make batches.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start(source: &Source, specs: Vec<BatchSpec>, threads: usize) -> std::io::Result<Self> {
        let specs: Arc<[BatchSpec]> = specs.into();
        let count = threads.clamp(1, MAX_THREADS);
        let (mut lines, mut handles, closed) = (Vec::new(), Vec::new(), Cancel::default());
        for first in 0..count {
            let (line, batches) = bounded(AHEAD);
            let (source, specs, closed) = (source.clone(), Arc::clone(&specs), closed.clone());
            let work = move || {
                // A catalog that cannot be asked costs time, not correctness: the files are read then.
                let catalog = Catalog::open_read_only(&source.library.folder).ok().flatten();
                for spec in specs.iter().skip(first).step_by(count) {
                    if line.send(source.make(catalog.as_ref(), spec, &closed)).is_err() {
                        return;
                    }
                }
            };
            handles.push(std::thread::Builder::new().name(format!("crop-{first}")).spawn(work)?);
            lines.push(batches);
        }
        Ok(Self { lines, next: 0, batches: specs.len(), threads: handles, closed })
    }

    /// The next batch; `None` after the last one.
    ///
    /// # Errors
    /// When the thread that was to make it is gone.
    pub(crate) fn take(&mut self) -> Result<Option<Batch>, CropThreadDied> {
        if self.next == self.batches {
            return Ok(None);
        }
        let line = self.next % self.lines.len();
        self.next += 1;
        self.lines[line].recv().map(Some).map_err(|_| CropThreadDied)
    }
}

impl Batch {
    /// The rows of whole triplets, for a batch of all anchors, then all positives, then all negatives: a triplet of which
    /// a photo could not be read is left out.
    pub(crate) fn triplets(&self) -> [Vec<i64>; 3] {
        let third = self.asked / 3;
        let row = |place: usize| self.places.binary_search(&place).ok().map(|row| row as i64);
        let mut rows: [Vec<i64>; 3] = Default::default();
        for triplet in 0..third {
            if let [Some(anchor), Some(positive), Some(negative)] = [0, 1, 2].map(|part| row(part * third + triplet)) {
                rows.iter_mut().zip([anchor, positive, negative]).for_each(|(rows, row)| rows.push(row));
            }
        }
        rows
    }
}

impl Drop for CropLoader {
    fn drop(&mut self) {
        self.closed.cancel();
        self.lines.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Source {
    fn make(&self, catalog: Option<&Catalog>, spec: &BatchSpec, closed: &Cancel) -> Batch {
        let side = self.side as usize;
        let asked = spec.positions.len();
        let mut batch =
            Batch { pixels: Vec::with_capacity(asked * side * side * 3), positions: vec![], places: vec![], asked };
        for (number, position) in spec.positions.iter().enumerate() {
            let mut random = Random::new(spec.seed.wrapping_add(number as u64));
            let picture = self.read(catalog, &self.photos[*position], closed);
            match picture.and_then(|picture| crop_square(&picture, self.crop, self.side, &mut random)) {
                Ok(square) => {
                    batch.pixels.extend_from_slice(square.as_raw());
                    batch.positions.push(*position);
                    batch.places.push(number);
                }
                // It was readable when it was indexed; the file has gone since.
                Err(error) => log::warn!("{error}: {}", self.path(*position).display()),
            }
        }
        batch
    }

    fn path(&self, position: usize) -> PathBuf {
        self.library.root.join(&self.photos[position].path)
    }

    fn read(&self, catalog: Option<&Catalog>, photo: &Photo, closed: &Cancel) -> Result<RgbImage, DecodeError> {
        let jpeg = catalog.and_then(|catalog| catalog.thumbnail(photo.content).ok().flatten());
        match jpeg.and_then(|jpeg| decode::decode(&jpeg).ok()) {
            Some(picture) => Ok(picture),
            None => decode::decode_file(&self.library.root.join(&photo.path), AtLeast::FULL, closed),
        }
    }
}

/// A square of `side` pixels.
fn crop_square(picture: &RgbImage, crop: Crop, side: u32, random: &mut Random) -> Result<RgbImage, DecodeError> {
    let mut square = match crop {
        Crop::Random => decode::resize_box(picture, random_box(picture.dimensions(), random), side)?,
        Crop::Squeezed => decode::resize(picture, side, side)?,
        Crop::Middle => return decode::resize_and_crop(picture, side, side),
    };
    if random.unit() < 0.5 {
        imageops::flip_horizontal_in_place(&mut square);
    }
    if crop == Crop::Random {
        jitter_colour(&mut square, random);
    }
    Ok(square)
}

/// A part with 0.3 to 1 of the area, at most a third longer one way than the other: `[left, top, width, height]`.
fn random_box((width, height): (u32, u32), random: &mut Random) -> [f64; 4] {
    let (width, height) = (f64::from(width), f64::from(height));
    let area = width * height * (0.3 + 0.7 * random.unit());
    let ratio = (0.75f64.ln() + random.unit() * (16.0f64 / 9.0).ln()).exp();
    let (w, h) = ((area * ratio).sqrt().min(width).max(1.0), (area / ratio).sqrt().min(height).max(1.0));
    [(width - w) * random.unit(), (height - h) * random.unit(), w, h]
}

/// Brighter or darker by up to a fifth, more or less colourful by up to three tenths.
fn jitter_colour(picture: &mut RgbImage, random: &mut Random) {
    let light = (0.8 + 0.4 * random.unit()) as f32;
    let colour = (0.7 + 0.6 * random.unit()) as f32;
    for pixel in picture.pixels_mut() {
        let [red, green, blue] = pixel.0.map(f32::from);
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        // A cast to an integer saturates.
        pixel.0 = [red, green, blue].map(|channel| ((grey + colour * (channel - grey)) * light) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::photo::{ContentHash, PhotoId};

    /// A folder of `count` photos without a catalog.
    fn source(folder: &std::path::Path, count: usize) -> Source {
        let photo = |number: usize| {
            let path = PathBuf::from(format!("{number}.png"));
            RgbImage::from_pixel(8, 8, image::Rgb([number as u8; 3])).save(folder.join(&path)).unwrap();
            Arc::new(Photo::new(PhotoId(number as i64), path, ContentHash([number as u8; 16]), Metadata::default()))
        };
        let library = Library { root: folder.into(), folder: folder.join("data") };
        Source { library, photos: (0..count).map(photo).collect(), crop: Crop::Middle, side: 4 }
    }

    #[test]
    fn a_thread_that_dies_is_not_the_end_of_the_photos() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), 2);
        // The second position is none: the thread panics.
        let specs = [0, 7, 1].map(|position| BatchSpec { positions: vec![position], seed: 0 });
        let mut crops = CropLoader::start(&source, specs.into(), 1).unwrap();
        assert_eq!(crops.take().unwrap().unwrap().positions, [0]);
        assert!(crops.take().is_err());
        let mut crops = CropLoader::start(&source, vec![BatchSpec { positions: vec![1, 0], seed: 0 }], 1).unwrap();
        assert_eq!(crops.take().unwrap().unwrap().positions, [1, 0]);
        assert!(crops.take().unwrap().is_none());
    }

    #[test]
    fn a_photo_that_cannot_be_read_takes_its_triplet_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), 6);
        // Anchors 0 and 1, positives 2 and 3, negatives 4 and 5; the first positive is gone.
        std::fs::remove_file(folder.path().join("2.png")).unwrap();
        let mut crops =
            CropLoader::start(&source, vec![BatchSpec { positions: (0..6).collect(), seed: 0 }], 1).unwrap();
        let batch = crops.take().unwrap().unwrap();
        assert_eq!(batch.positions, [0, 1, 3, 4, 5]);
        let photos =
            batch.triplets().map(|rows| rows.iter().map(|row| batch.positions[*row as usize]).collect::<Vec<_>>());
        assert_eq!(photos, [[1], [3], [5]]);
    }

    #[test]
    fn crops_are_square_repeatable_and_within_the_photo() {
        let picture = RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 128]));
        for kind in [Crop::Random, Crop::Squeezed, Crop::Middle] {
            let make = |seed| crop_square(&picture, kind, 24, &mut Random::new(seed)).unwrap();
            assert_eq!(make(1).dimensions(), (24, 24));
            assert_eq!(make(1), make(1));
        }
        let mut random = Random::new(0);
        let crops: Vec<_> = (0..100).map(|_| random_box((60, 40), &mut random)).collect();
        assert!(crops.iter().all(|[l, t, w, h]| *l >= 0.0 && *t >= 0.0 && l + w <= 60.0 && t + h <= 40.0));
        assert!(crops.iter().any(|[_, _, w, h]| w * h < 0.5 * 2400.0) && crops[0] != crops[1]);
        assert!(crop_square(&RgbImage::new(1, 1), Crop::Random, 8, &mut random).is_ok());
    }
}

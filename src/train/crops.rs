//! Photos on their way to a network that learns: decoded, cut and altered on threads of their own, in batches that come
//! in order.
//!
//! They are read from the catalog's thumbnails: made once at indexing, so that no epoch decodes the user's files again.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use image::{RgbImage, imageops};

use super::random::Random;
use crate::catalog::Catalog;
use crate::decode::{self, DecodeError};
use crate::library::Library;
use crate::photo::Photo;

/// Batches that each thread keeps ready.
const AHEAD: usize = 2;
/// More threads than this gain nothing.
const MAX_THREADS: usize = 14;

/// What is cut out of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A random part, perhaps mirrored, in a slightly other light (Szegedy et al. 2015, "Going Deeper with
    /// Convolutions").
    Random,
    /// The whole photo, squeezed to a square and perhaps mirrored: the tutorial's.
    Squeezed,
    /// The square in the middle, as photos are embedded.
    Middle,
}

/// One batch to be made: positions in `photos`, and the seed of its cuts.
#[derive(Clone, Debug)]
pub struct Order {
    pub positions: Vec<usize>,
    pub seed: u64,
}

/// Pictures of one batch.
#[derive(Debug)]
pub struct Batch {
    /// `positions.len() * side * side * 3` bytes, rows first, RGB.
    pub pixels: Vec<u8>,
    /// The photos that could be read, in the order that was asked for.
    pub positions: Vec<usize>,
}

/// The threads, and their batches in order.
pub struct Crops {
    lines: Vec<Receiver<Batch>>,
    next: usize,
    threads: Vec<JoinHandle<()>>,
}

/// What to make batches of.
#[derive(Clone)]
pub struct Source {
    pub library: Library,
    pub photos: Arc<[Arc<Photo>]>,
    pub cut: Cut,
    /// Pixels.
    pub side: u32,
}

impl Crops {
    /// Starts to make batches.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(source: &Source, orders: Vec<Order>, threads: usize) -> std::io::Result<Self> {
        let orders: Arc<[Order]> = orders.into();
        let count = threads.clamp(1, MAX_THREADS);
        let (mut lines, mut handles) = (Vec::new(), Vec::new());
        for first in 0..count {
            let (line, batches) = bounded(AHEAD);
            let (source, orders) = (source.clone(), Arc::clone(&orders));
            let work = move || {
                // A catalog that cannot be asked costs time, not correctness: the files are read then.
                let catalog = Catalog::open_read_only(&source.library.folder).ok().flatten();
                for order in orders.iter().skip(first).step_by(count) {
                    if line.send(source.make(catalog.as_ref(), order)).is_err() {
                        return;
                    }
                }
            };
            handles.push(std::thread::Builder::new().name(format!("crop-{first}")).spawn(work)?);
            lines.push(batches);
        }
        Ok(Self { lines, next: 0, threads: handles })
    }

    /// The next batch; `None` after the last one.
    pub fn take(&mut self) -> Option<Batch> {
        let line = self.next % self.lines.len();
        self.next += 1;
        self.lines[line].recv().ok()
    }
}

impl Drop for Crops {
    fn drop(&mut self) {
        self.lines.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Source {
    fn make(&self, catalog: Option<&Catalog>, order: &Order) -> Batch {
        let side = self.side as usize;
        let mut batch =
            Batch { pixels: Vec::with_capacity(order.positions.len() * side * side * 3), positions: vec![] };
        for (number, position) in order.positions.iter().enumerate() {
            let mut random = Random::new(order.seed.wrapping_add(number as u64));
            let picture = self.read(catalog, &self.photos[*position]);
            match picture.and_then(|picture| cut(&picture, self.cut, self.side, &mut random)) {
                Ok(cut) => {
                    batch.pixels.extend_from_slice(cut.as_raw());
                    batch.positions.push(*position);
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

    fn read(&self, catalog: Option<&Catalog>, photo: &Photo) -> Result<RgbImage, DecodeError> {
        let jpeg = catalog.and_then(|catalog| catalog.thumbnail(photo.content).ok().flatten());
        match jpeg.and_then(|jpeg| decode::decode(&jpeg).ok()) {
            Some(picture) => Ok(picture),
            None => decode::decode_file(&self.library.root.join(&photo.path)),
        }
    }
}

/// Cuts a square of `side` pixels.
fn cut(picture: &RgbImage, cut: Cut, side: u32, random: &mut Random) -> Result<RgbImage, DecodeError> {
    let mut square = match cut {
        Cut::Random => decode::resize_box(picture, random_box(picture.dimensions(), random), side)?,
        Cut::Squeezed => decode::resize(picture, side, side)?,
        Cut::Middle => return decode::resize_and_crop(picture, side, side),
    };
    if random.unit() < 0.5 {
        imageops::flip_horizontal_in_place(&mut square);
    }
    if cut == Cut::Random {
        change_light(&mut square, random);
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
fn change_light(picture: &mut RgbImage, random: &mut Random) {
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

    #[test]
    fn cuts_are_square_repeatable_and_within_the_photo() {
        let picture = RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 128]));
        for kind in [Cut::Random, Cut::Squeezed, Cut::Middle] {
            let make = |seed| cut(&picture, kind, 24, &mut Random::new(seed)).unwrap();
            assert_eq!(make(1).dimensions(), (24, 24));
            assert_eq!(make(1), make(1));
        }
        let mut random = Random::new(0);
        let cuts: Vec<_> = (0..100).map(|_| random_box((60, 40), &mut random)).collect();
        assert!(cuts.iter().all(|[l, t, w, h]| *l >= 0.0 && *t >= 0.0 && l + w <= 60.0 && t + h <= 40.0));
        assert!(cuts.iter().any(|[_, _, w, h]| w * h < 0.5 * 2400.0) && cuts[0] != cuts[1]);
        assert!(cut(&RgbImage::new(1, 1), Cut::Random, 8, &mut random).is_ok());
    }
}

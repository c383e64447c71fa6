//! A measure without labels: strongly altered views of photos, each of which has to find its own photo.

use image::{RgbImage, imageops};
use tch::Tensor;

use super::TrainError;
use super::dataset::Dataset;
use super::hyperparameters::MIN_QUERIES;
use crate::artefact::NotMeasured;
use crate::catalog::Catalog;
use crate::decode::{self, AtLeast};
use crate::embed::Embedder;
use crate::job::Cancel;
use crate::library::Library;
use crate::model::NetworkInput;
use crate::random::Random;

/// Views that are made: enough for an interval of three points either way.
const VIEWS: usize = 400;
/// The share of a photo's area that a view shows, from and to.
const AREA: [f64; 2] = [0.12, 0.3];

/// Why views of so many photos would be too few to measure with, where they are.
pub(crate) fn too_few(photos: usize) -> Option<NotMeasured> {
    (photos.min(VIEWS) < MIN_QUERIES).then_some(NotMeasured::TooFewPhotos)
}

/// Features of altered views.
#[derive(Debug)]
pub(crate) struct Views {
    /// Which photos of the data set they were made of.
    pub(crate) positions: Vec<usize>,
    /// `[positions.len(), dimension]`, rows of length 1.
    pub(crate) features: Tensor,
}

/// Makes views of photos spread over the data set, from their thumbnails, and embeds them. The same photos give the
/// same views. `tell` hears how many of how many are done. Ends early where it is cancelled.
///
/// # Errors
/// When the catalog or the model fails. A photo that cannot be read is passed over.
pub(crate) fn altered_views(
    library: &Library,
    catalog: &Catalog,
    data: &Dataset,
    embedder: &Embedder,
    cancel: &Cancel,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Views, TrainError> {
    let mut random = Random::new(0);
    let mut chosen: Vec<usize> = (0..data.photos.len()).collect();
    random.shuffle(&mut chosen);
    chosen.truncate(VIEWS);
    let (mut positions, mut values, mut dimension) = (Vec::new(), Vec::new(), 0);
    let info = embedder.info()?;
    for (done, some) in chosen.chunks(info.batch).enumerate() {
        tell((done * info.batch) as u64, chosen.len() as u64);
        if cancel.is_cancelled() {
            break;
        }
        let (mut inputs, mut of) = (Vec::new(), Vec::new());
        for position in some {
            let photo = &data.photos[*position];
            let small = catalog.thumbnail(photo.content)?.and_then(|jpeg| decode::decode(&jpeg).ok());
            let picture =
                small.or_else(|| decode::decode_file(&library.root.join(&photo.path), AtLeast::FULL, cancel).ok());
            let input = picture.and_then(|picture| {
                NetworkInput::from_picture(&altered(&picture, &mut random), info.architecture).ok()
            });
            if let Some(input) = input {
                inputs.push(input);
                of.push(*position);
            }
        }
        for (embedded, position) in embedder.embed_batch(inputs)?.into_iter().zip(of) {
            if let Some(embedded) = embedded {
                let features = embedded.features.unwrap_or(embedded.embedding);
                dimension = features.values().len();
                values.extend_from_slice(features.values());
                positions.push(position);
            }
        }
    }
    let features = Tensor::f_from_slice(&values)?.f_view([positions.len() as i64, dimension as i64])?;
    Ok(Views { positions, features })
}

/// A small part of the picture, turned to its mirror image, in another light and slightly out of focus.
fn altered(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let between = |random: &mut Random, [low, high]: [f64; 2]| low + (high - low) * random.unit();
    let share = between(random, AREA).sqrt();
    let side = |length: u32| ((f64::from(length) * share) as u32).max(1);
    let (width, height) = (side(picture.width()), side(picture.height()));
    let left = random.below((picture.width() - width + 1) as usize) as u32;
    let top = random.below((picture.height() - height + 1) as usize) as u32;
    let mut view = imageops::crop_imm(picture, left, top, width, height).to_image();
    imageops::flip_horizontal_in_place(&mut view);
    let gain = between(random, [0.6, 1.4]);
    let warmth = between(random, [0.85, 1.15]);
    for pixel in view.pixels_mut() {
        for (channel, factor) in pixel.0.iter_mut().zip([gain * warmth, gain, gain / warmth]) {
            *channel = (f64::from(*channel) * factor).min(255.0) as u8;
        }
    }
    imageops::blur(&view, 0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_smaller_and_repeatable() {
        let picture = RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 128]));
        let view = altered(&picture, &mut Random::new(7));
        assert!(view.width() < 40 && view.height() < 25);
        assert_eq!(view, altered(&picture, &mut Random::new(7)));
        assert_eq!(altered(&RgbImage::new(1, 1), &mut Random::new(1)).dimensions(), (1, 1));
    }
}

//! Whether two files show the same picture, whatever its size and compression.

use image::RgbImage;
use image::imageops::{FilterType, resize};

/// Bits that the hashes of one picture in two sizes differ in at most.
const SAME: u32 = 6;
/// A picture that becomes brighter, or darker, at fewer places is all but plain.
const LEAST: u32 = 8;

/// Where a picture becomes brighter from left to right, on a grid of 8 x 8: Krawetz 2013, "Kind of Like That" (dHash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DifferenceHash(u64);

impl DifferenceHash {
    /// Of a picture of any size; `None` where hardly anything is to be seen in it that could be compared.
    pub(crate) fn of(picture: &RgbImage) -> Option<Self> {
        let grey = image::imageops::grayscale(picture);
        let small = resize(&grey, 9, 8, FilterType::Triangle);
        let brighter = (0..64).filter(|place| {
            let (x, y) = (place % 8, place / 8);
            small.get_pixel(x + 1, y).0 > small.get_pixel(x, y).0
        });
        let bits: u64 = brighter.fold(0, |bits, place| bits | 1 << place);
        (LEAST..=64 - LEAST).contains(&bits.count_ones()).then_some(Self(bits))
    }

    /// Whether both are very likely of one picture.
    pub(crate) fn is_same(self, other: Self) -> bool {
        (self.0 ^ other.0).count_ones() <= SAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{decode, shrunk_jpeg};
    use crate::random::Random;

    /// Some soft patches of light.
    fn picture(seed: u64) -> RgbImage {
        let mut random = Random::new(seed);
        let values = random.normals(16);
        RgbImage::from_fn(640, 480, |x, y| {
            let (x, y) = (x as f32 / 50.0, y as f32 / 50.0);
            let waves = values.chunks(4).map(|v| (v[0] * x + v[1] * y + v[2] * 3.0).sin() * v[3]);
            let light = (waves.sum::<f32>() * 40.0 + 128.0).clamp(0.0, 255.0) as u8;
            image::Rgb([light, light / 2, 255 - light])
        })
    }

    #[test]
    fn plain_pictures_are_not_compared() {
        let plain = RgbImage::from_pixel(64, 48, image::Rgb([90, 120, 30]));
        assert_eq!(DifferenceHash::of(&plain), None);
        let falling = RgbImage::from_fn(64, 48, |x, _| image::Rgb([200 - x as u8; 3]));
        assert_eq!(DifferenceHash::of(&falling), None);
    }

    #[test]
    fn a_smaller_copy_is_the_same_picture_and_another_is_not() {
        for seed in 0..20 {
            let original = picture(seed);
            let hash = DifferenceHash::of(&original).unwrap();
            let copy = decode(&shrunk_jpeg(&original, 200, 60).unwrap()).unwrap();
            assert!(hash.is_same(DifferenceHash::of(&copy).unwrap()), "{seed}");
            assert!(!hash.is_same(DifferenceHash::of(&picture(seed + 1)).unwrap()), "{seed}");
            assert!(!hash.is_same(DifferenceHash::of(&image::imageops::flip_horizontal(&original)).unwrap()), "{seed}");
        }
    }
}

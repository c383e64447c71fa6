//! JPEG through libjpeg-turbo, at a half, a quarter or an eighth of the size where no more is wanted: most of the work
//! is then never done. What it does not give as RGB, or complains of, is left to the common road.

use image::RgbImage;
use image::metadata::Orientation;
use turbojpeg::{Colorspace, Compressor, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

use super::{AtLeast, DecodeError, LARGE_PIXELS, check_pixels, one_large_picture, preview};

/// No camera writes more progressive scans. Each costs as much as a whole picture, but a few bytes in the file.
const MAX_SCANS: usize = 64;
const START_OF_SCAN: u8 = 0xDA;
/// The segment that holds an EXIF block.
const APP1: u8 = 0xE1;

/// The segments between a JPEG's start and its picture data: marker, where the segment starts, what it holds.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Any number of 0xFF may come before a marker.
        while self.bytes.get(self.at..self.at + 2)? == [0xFF, 0xFF] {
            self.at += 1;
        }
        let &[0xFF, marker, high, low] = self.bytes.get(self.at..self.at + 4)? else { return None };
        let start = self.at;
        self.at += 2 + usize::from(u16::from_be_bytes([high, low]));
        Some((marker, start, self.bytes.get(start + 4..self.at).unwrap_or_default()))
    }
}

fn segments(bytes: &[u8]) -> Segments<'_> {
    Segments { bytes, at: 2 }
}

/// What a segment before the picture data holds behind its magic, and where in the file that begins.
pub(super) fn segment<'a>(bytes: &'a [u8], marker: u8, magic: &[u8]) -> Option<(usize, &'a [u8])> {
    segments(bytes).take_while(|(other, ..)| *other != START_OF_SCAN).find_map(|(other, start, data)| {
        let content = (other == marker).then(|| data.strip_prefix(magic)).flatten()?;
        // Behind the marker, the length and the magic.
        Some((start + 4 + magic.len(), content))
    })
}

/// Whether a JPEG's end-of-image marker follows its picture data. A decoder fills a missing rest with grey, and a half
/// grey picture would be indexed as if it were one.
pub(super) fn has_its_end(bytes: &[u8]) -> bool {
    let mut segments = segments(bytes);
    // Only behind the start of the scan: a thumbnail inside EXIF has an end marker of its own.
    match segments.find(|(marker, ..)| *marker == START_OF_SCAN) {
        Some((_, start, _)) => bytes[start..].windows(2).rev().any(|pair| pair == [0xFF, 0xD9]),
        // Cut off among the segments; or no plain sequence of segments: let the decoder judge.
        None => segments.at + 4 <= bytes.len(),
    }
}

/// Scans of the picture: within picture data the marker cannot occur.
fn scans(bytes: &[u8]) -> usize {
    let first = segments(bytes).find(|(marker, ..)| *marker == START_OF_SCAN);
    let rest = first.map_or(bytes, |(_, start, _)| &bytes[start..]);
    rest.windows(2).filter(|pair| *pair == [0xFF, START_OF_SCAN]).count()
}

/// The upright picture, no smaller than wanted where the file is not; `None` where this road cannot be taken.
///
/// # Errors
/// When there are too many pixels or scans, or no pixels.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Result<Option<RgbImage>, DecodeError> {
    let exif = segment(bytes, APP1, b"Exif\0\0").map(|(_, exif)| exif);
    let Ok(mut decoder) = Decompressor::new() else { return Ok(None) };
    let Ok(header) = decoder.read_header(bytes) else { return Ok(None) };
    let (width, height) = (header.width as u32, header.height as u32);
    let pixels = check_pixels(width, height)?;
    if header.is_progressive && scans(bytes) > MAX_SCANS {
        return Err(DecodeError::Damaged(format!("it has more than {MAX_SCANS} progressive scans")));
    }
    let picture = match exif.and_then(|exif| preview::decode(bytes, exif, (width, height), wanted)) {
        Some(preview) => Some(preview),
        None => {
            let scale = if header.is_lossless { ScalingFactor::ONE } else { scale_for((width, height), wanted) };
            // A progressive picture is held whole while it is decoded, whatever the scale.
            let held = if header.is_progressive { pixels } else { pixels / (scale.denom() * scale.denom()) as u64 };
            let _turn = (held > LARGE_PIXELS).then(one_large_picture);
            decompress(&mut decoder, bytes, &header, scale)
        }
    };
    // A broken EXIF block is no reason to refuse the picture.
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    Ok(picture.map(|picture| upright(picture, orientation)))
}

fn upright(picture: RgbImage, orientation: Orientation) -> RgbImage {
    let mut picture = image::DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    picture.into_rgb8()
}

/// `None` where the file is none that libjpeg-turbo gives as RGB without complaint. `header` is of `bytes`.
pub(super) fn decompress(
    decoder: &mut Decompressor,
    bytes: &[u8],
    header: &DecompressHeader,
    scale: ScalingFactor,
) -> Option<RgbImage> {
    decoder.set_scaling_factor(scale).ok()?;
    if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return None;
    }
    let (width, height) = (scale.scale(header.width), scale.scale(header.height));
    let mut picture = RgbImage::new(width as u32, height as u32);
    let output = Image { pixels: &mut *picture, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    decoder.decompress(bytes, output).ok()?;
    Some(picture)
}

/// The smallest of the scales that libjpeg-turbo has vector code for and that gives what is wanted.
pub(super) fn scale_for((width, height): (u32, u32), wanted: AtLeast) -> ScalingFactor {
    let enough = |scale: &ScalingFactor| {
        let scaled = |side: u32| scale.scale(side as usize) as u32;
        wanted.is_met_by((scaled(width), scaled(height)))
    };
    let scales = [ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_HALF];
    scales.into_iter().find(enough).unwrap_or(ScalingFactor::ONE)
}

/// A JPEG of a picture, its colours as fine as its brightness.
///
/// # Errors
/// When the picture has no pixels.
pub(super) fn encode(picture: &RgbImage, quality: u8) -> Result<Vec<u8>, DecodeError> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let image =
        Image { pixels: picture.as_raw().as_slice(), width, pitch: 3 * width, height, format: PixelFormat::RGB };
    let encode = || -> turbojpeg::Result<Vec<u8>> {
        let mut encoder = Compressor::new()?;
        encoder.set_quality(quality.into())?;
        encoder.set_subsamp(Subsamp::None)?;
        encoder.compress_to_vec(image)
    };
    encode().map_err(|error| DecodeError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::super::{decode, decode_at_least};
    use super::*;

    const WANTED: AtLeast = AtLeast { shorter: 30, longer: 40 };
    const BLUE: Rgb<u8> = Rgb([0, 0, 255]);

    fn plain(width: u32, height: u32, colour: Rgb<u8>) -> Vec<u8> {
        encode(&RgbImage::from_pixel(width, height, colour), 90).unwrap()
    }

    fn size(bytes: &[u8], wanted: AtLeast) -> (u32, u32) {
        decode_at_least(bytes, wanted).unwrap().dimensions()
    }

    #[test]
    fn a_large_photo_comes_smaller_but_never_smaller_than_wanted() {
        assert_eq!(size(&plain(400, 300, BLUE), WANTED), (50, 38));
        assert_eq!(size(&plain(300, 400, BLUE), WANTED), (38, 50));
        assert_eq!(size(&plain(160, 120, BLUE), WANTED), (40, 30));
        assert_eq!(size(&plain(159, 120, BLUE), WANTED), (40, 30));
        assert_eq!(size(&plain(156, 120, BLUE), WANTED), (78, 60));
        assert_eq!(size(&plain(300, 39, BLUE), WANTED), (300, 39));
        assert_eq!(size(&plain(20, 10, BLUE), WANTED), (20, 10));
        assert_eq!(size(&plain(400, 300, BLUE), AtLeast::FULL), (400, 300));
    }

    #[test]
    fn a_smaller_scale_shows_the_same_picture() {
        let picture = RgbImage::from_fn(400, 300, |x, y| Rgb([(x / 2) as u8, (y / 2) as u8, 90]));
        let bytes = encode(&picture, 95).unwrap();
        for (wanted, size) in [(150, (200, 150)), (75, (100, 75)), (30, (50, 38))] {
            let small = decode_at_least(&bytes, AtLeast { shorter: wanted, longer: wanted }).unwrap();
            assert_eq!(small.dimensions(), size);
            let exact = super::super::resize(&picture, size.0, size.1).unwrap();
            let far = small.iter().zip(exact.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(far <= 8, "{far} off at {size:?}");
        }
    }

    #[test]
    fn a_file_of_very_many_scans_is_refused() {
        let picture = RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8, y as u8, 0]));
        let mut encoder = Compressor::new().unwrap();
        encoder.set_progressive(true).unwrap();
        let pixels = picture.as_raw().as_slice();
        let image = Image { pixels, width: 64, pitch: 192, height: 64, format: PixelFormat::RGB };
        let bytes = encoder.compress_to_vec(image).unwrap();
        assert!(decode(&bytes).is_ok());
        // The last scan again and again.
        let last = bytes.windows(2).rposition(|pair| pair == [0xFF, START_OF_SCAN]).unwrap();
        let scan = &bytes[last..bytes.len() - 2];
        let many = [&bytes[..last], &scan.repeat(1000), &[0xFF, 0xD9]].concat();
        assert!(decode(&many).is_err());
    }
}

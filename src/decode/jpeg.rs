//! JPEG through libjpeg-turbo, at a half, a quarter or an eighth of the size where no more is wanted: most of the work
//! is then never done.

use std::borrow::Cow;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use turbojpeg::{Compressor, Image, PixelFormat, ScalingFactor, Subsamp};

use super::colour::Colours;
use super::turbo::{Decoder, Pixels, Samples};
use super::{AtLeast, DecodeError, Decoded, LARGE_PIXELS, check_pixels, one_large_picture, preview};

/// No camera writes more progressive scans. Each costs as much as a whole picture, but a few bytes in the file.
const MAX_SCANS: usize = 64;
const START_OF_SCAN: u8 = 0xDA;
const END: [u8; 2] = [0xFF, 0xD9];
/// How libjpeg-turbo says that there are too few data.
const PREMATURE_END: &str = "premature end of data segment";
/// Zeros that are no picture: half a sector of a disk.
const LOST_BYTES: usize = 256;
/// The segment that defines codes, the first tables for values beside the mean, and the value that ends a block.
const HUFFMAN_TABLES: u8 = 0xC4;
const FIRST_AC_TABLE: u8 = 0x10;
const END_OF_BLOCK: u8 = 0;
/// The segment that holds an EXIF block.
const APP1: u8 = 0xE1;
/// Those that hold a colour profile.
pub(super) const APP2: u8 = 0xE2;
/// The one by which Adobe's programs are known.
const APP14: u8 = 0xEE;

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

/// Where the picture data begin.
pub(super) fn start_of_scan(bytes: &[u8]) -> Option<usize> {
    segments(bytes).find(|(marker, ..)| *marker == START_OF_SCAN).map(|(_, start, _)| start)
}

/// Where the header of a picture that is not progressive tells its height, in two bytes.
pub(super) fn height_place(bytes: &[u8]) -> Option<usize> {
    let frame = segments(bytes).find(|(marker, ..)| matches!(marker, 0xC0 | 0xC1));
    // Behind the marker, the length and the bits of a sample.
    frame.map(|(_, start, _)| start + 5)
}

/// Whether a program that is not a camera wrote the file: those write what cameras leave out, the JFIF header or Adobe's
/// and Photoshop's segments.
pub(super) fn is_edited(bytes: &[u8]) -> bool {
    const BY_PROGRAMS: [(u8, &[u8]); 3] = [(0xE0, b"JFIF"), (0xED, b"Photoshop"), (APP14, b"Adobe")];
    BY_PROGRAMS.iter().any(|(marker, magic)| segment(bytes, *marker, magic).is_some())
}

/// Whether a JPEG's end-of-image marker follows its picture data.
pub(super) fn has_its_end(bytes: &[u8]) -> bool {
    let mut segments = segments(bytes);
    // Only behind the start of the scan: a thumbnail inside EXIF has an end marker of its own.
    match segments.find(|(marker, ..)| *marker == START_OF_SCAN) {
        Some((_, start, _)) => bytes[start..].windows(2).rev().any(|pair| pair == END),
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

/// The upright picture, no smaller than wanted where the file is not.
///
/// # Errors
/// When the file is no JPEG that libjpeg-turbo reads, is cut short, or has too many pixels or scans.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    // The picture may be whole without the marker; where it is not, the decoder complains.
    let ended = has_its_end(bytes);
    let bytes = &*if ended { Cow::Borrowed(bytes) } else { Cow::Owned([bytes, &END].concat()) };
    let exif = segment(bytes, APP1, b"Exif\0\0").map(|(_, exif)| exif);
    let mut decoder = Decoder::new().ok_or(DecodeError::TooMuchMemory)?;
    let header = decoder.read_header(bytes).map_err(|error| refusal(ended, error))?;
    if !ended && header.width == 0 {
        return Err(DecodeError::Truncated);
    }
    let pixels = check_pixels(header.width, header.height)?;
    if header.bits > 8 {
        return Err(DecodeError::UnsupportedVariant(format!("JPEG with {} bits a sample", header.bits)));
    }
    if header.is_progressive && scans(bytes) > MAX_SCANS {
        return Err(DecodeError::Damaged(format!("it has more than {MAX_SCANS} progressive scans")));
    }
    let stored = match exif.and_then(|exif| preview::decode(bytes, exif, &header, wanted)) {
        Some(preview) => preview,
        None => {
            let size = (header.width, header.height);
            let scale = if header.is_lossless { ScalingFactor::ONE } else { scale_for(size, wanted) };
            // A progressive picture is held whole while it is decoded, whatever the scale.
            let held = if header.is_progressive { pixels } else { pixels / (scale.denom() * scale.denom()) as u64 };
            let _turn = (held > LARGE_PIXELS).then(one_large_picture);
            decoder.decompress(bytes, &header, scale).map_err(|error| refusal(ended, error))?
        }
    };
    let damage = match stored.damage.clone() {
        Some(words) if !ended && words.contains(PREMATURE_END) => return Err(DecodeError::Truncated),
        // What lies between a whole picture and the end that was put there.
        Some(_) if !ended => None,
        None if !header.is_progressive && has_lost_sector(bytes) => Some("zeros in place of a part of the data".into()),
        damage => damage,
    };
    // A broken EXIF block is no reason to refuse the picture.
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from(in_srgb(stored, header.samples, bytes)?);
    picture.apply_orientation(orientation);
    Ok(Decoded { damage, ..Decoded::sound(picture.into_rgb8()) })
}

/// Whether there are zeros where a disk lost a sector: the decoder takes them for codes. Not in a file whose code for "the
/// rest of this block is nothing" is made of zeros, as a plain area has; nor in a progressive one, where zeros may say that
/// nothing is to be added.
fn has_lost_sector(bytes: &[u8]) -> bool {
    let mut tables = segments(bytes).take_while(|(marker, ..)| *marker != START_OF_SCAN);
    let is_plain = tables.any(|(marker, _, data)| marker == HUFFMAN_TABLES && zeros_end_blocks(data));
    let data = start_of_scan(bytes).and_then(|start| bytes.get(start..)).unwrap_or_default();
    // Such a run covers one of these whole.
    let (chunks, _) = data.as_chunks::<{ LOST_BYTES / 2 }>();
    let zeros = chunks.iter().position(|chunk| chunk.iter().all(|byte| *byte == 0));
    // Many cameras fill their files up behind the picture, in whose data the end's marker does not occur.
    !is_plain && zeros.is_some_and(|at| !chunks[..at].as_flattened().windows(END.len()).any(|pair| pair == END))
}

/// Whether the first AC table of a segment gives the shortest code, which is all zeros, to the end of a block.
fn zeros_end_blocks(mut tables: &[u8]) -> bool {
    while let [kind, rest @ ..] = tables {
        let Some((counts, values)) = rest.split_at_checked(16) else { return false };
        let count = counts.iter().map(|count| usize::from(*count)).sum();
        if *kind == FIRST_AC_TABLE {
            return values.first() == Some(&END_OF_BLOCK);
        }
        tables = values.get(count..).unwrap_or_default();
    }
    false
}

fn refusal(ended: bool, error: String) -> DecodeError {
    if ended { DecodeError::Damaged(error) } else { DecodeError::Truncated }
}

/// The pixels of a file in sRGB.
fn in_srgb(stored: Pixels, samples: Samples, bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let colours = icc_profile(bytes).map(|profile| Colours::icc(&profile)).unwrap_or_default();
    let Pixels { width, height, samples: mut values, .. } = stored;
    if samples == Samples::Cmyk {
        // Adobe's programs write how much of the paper stays white.
        if segment(bytes, APP14, b"Adobe").is_some() {
            values.iter_mut().for_each(|value| *value = 255 - *value);
        }
        return colours.inks_to_srgb(&values, (width, height));
    }
    let picture = match samples {
        Samples::Grey => GrayImage::from_raw(width, height, values).map(DynamicImage::from),
        Samples::Rgb | Samples::Cmyk => RgbImage::from_raw(width, height, values).map(DynamicImage::from),
    };
    Ok(colours.to_srgb(picture.ok_or(DecodeError::NoPixels)?).into_rgb8())
}

/// The ICC profile, which may lie in several segments: each tells its number and how many there are.
fn icc_profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = segments(bytes)
        .take_while(|(marker, ..)| *marker != START_OF_SCAN)
        .filter(|(marker, ..)| *marker == APP2)
        .filter_map(|(.., data)| data.strip_prefix(b"ICC_PROFILE\0"))
        .filter(|part| part.len() > 2)
        .collect();
    parts.sort_by_key(|part| part[0]);
    let profile = parts.iter().flat_map(|part| &part[2..]).copied().collect::<Vec<_>>();
    (!profile.is_empty()).then_some(profile)
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

    fn progressive(picture: &RgbImage) -> Vec<u8> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut encoder = Compressor::new().unwrap();
        encoder.set_progressive(true).unwrap();
        let pixels = picture.as_raw().as_slice();
        encoder.compress_to_vec(Image { pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB }).unwrap()
    }

    #[test]
    fn zeros_that_belong_there_are_no_damage() {
        let damage = |bytes: &[u8]| super::decode(bytes, AtLeast::FULL).unwrap().damage;
        let busy = RgbImage::from_fn(128, 128, |x, y| Rgb([x, y, x ^ y].map(|v| ((v * 2_654_435) >> 8) as u8)));
        // Cameras fill their files up.
        assert_eq!(damage(&[encode(&busy, 90).unwrap(), vec![0; 4096]].concat()), None);
        // A bit for each block says that nothing is to be added to it.
        let plain = progressive(&RgbImage::from_pixel(2000, 2000, Rgb([128; 3])));
        assert!(plain.windows(LOST_BYTES).any(|bytes| bytes.iter().all(|byte| *byte == 0)));
        assert_eq!(damage(&plain), None);
    }

    #[test]
    fn a_file_of_very_many_scans_is_refused() {
        let bytes = progressive(&RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8, y as u8, 0])));
        assert!(decode(&bytes).is_ok());
        // The last scan again and again.
        let last = bytes.windows(2).rposition(|pair| pair == [0xFF, START_OF_SCAN]).unwrap();
        let scan = &bytes[last..bytes.len() - 2];
        let many = [&bytes[..last], &scan.repeat(1000), &[0xFF, 0xD9]].concat();
        assert!(decode(&many).is_err());
    }
}

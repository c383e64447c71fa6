//! The smaller pictures that a camera stores with a photo in the same JPEG: the thumbnail in its EXIF block, and behind the
//! photo those that its Multi-Picture Format index (CIPA DC-007) calls large thumbnails. A large photo is known from one of
//! them in a fraction of the time.

use exif::{Context, Exif, In, Reader, Tag, Value};
use image::RgbImage;
use turbojpeg::ScalingFactor;

use super::jpeg::{APP2, has_its_end, height_place, is_edited, scale_for, segment, start_of_scan};
use super::turbo::{Decoder, Header, Pixels, Samples};
use super::{AtLeast, resize_with};

/// How far the shape of a preview may be from the photo's.
const SHAPE_TOLERANCE: f64 = 0.01;
/// How much larger than wanted a preview has to be, in halves. Cameras compress it strongly: just as large as wanted it
/// costs 1.4 points of recall@1 and 1.8 of MAP@R on Oxford 102, and 0.2 and 0.4 at half as much again.
const SIZE_HALVES: u32 = 3;
/// An EXIF block that is shorter has no thumbnail of any use; most are.
const LEAST_EXIF_BYTES: usize = 4096;
/// How the segment begins that holds the index.
const INDEX_MAGIC: &[u8] = b"MPF\0";
/// The index's field of entries: 16 bytes for each picture, of which the first 4 tell its kind, then its length, then
/// where it begins.
const ENTRIES: Tag = Tag(Context::Tiff, 0xB002);
const ENTRY_BYTES: usize = 16;
/// Of an entry's kind: the bits that tell it, and what they are for a large thumbnail in JPEG of whatever size.
const KIND_MASK: u32 = 0x07FF_0000;
const LARGE_THUMBNAIL: u32 = 0x0001_0000;

/// The photo's rows that are compared with the preview's, in eighths of a pixel's side, and the least of them that tell
/// anything.
const ROWS: u32 = 8;
const LEAST_ROWS: u32 = 5;
/// Rows that the missing rest may have coloured, by the blocks' own height and the smoothing of colours.
const SPOILT_ROWS: u32 = 4;
/// The grid of mean colours that two strips are compared by.
const CELLS: (u32, u32) = (24, 4);
/// How much the cells of a photo and its preview may differ on average: their compression, and a camera's sharpening.
const SAME: f64 = 5.0;

/// The smallest preview that can stand for the photo, as it is stored: larger than wanted, of the photo's shape and turned
/// as it is, in a file as a camera wrote it, and showing along its upper edge what the photo shows there. Programs change
/// photos and leave old previews in them. `None` where there is none, or any doubt.
pub(super) fn decode(bytes: &[u8], exif: &[u8], photo: &Header, wanted: AtLeast) -> Option<Pixels> {
    if wanted == AtLeast::FULL || photo.is_progressive || photo.is_lossless || photo.samples != Samples::Rgb {
        return None;
    }
    let large = large_thumbnails(bytes).unwrap_or_default();
    if exif.len() < LEAST_EXIF_BYTES && large.is_empty() {
        return None;
    }
    let exif = Reader::new().read_raw(exif.to_vec()).ok()?;
    let written_for =
        (number(&exif, Tag::PixelXDimension, In::PRIMARY)?, number(&exif, Tag::PixelYDimension, In::PRIMARY)?);
    if written_for != (photo.width, photo.height) || is_edited(bytes) {
        return None;
    }
    let preview =
        exif_thumbnail(&exif).into_iter().chain(large).find_map(|preview| stand_in(preview, photo, wanted))?;
    shows_the_same(&top(bytes, photo)?, photo, &preview).then_some(preview)
}

fn number(exif: &Exif, tag: Tag, ifd: In) -> Option<u32> {
    exif.get_field(tag, ifd)?.value.get_uint(0)
}

/// The thumbnail, unless it is turned another way than the photo.
fn exif_thumbnail(exif: &Exif) -> Option<&[u8]> {
    let turned = number(exif, Tag::Orientation, In::THUMBNAIL);
    if turned.is_some_and(|turned| number(exif, Tag::Orientation, In::PRIMARY).unwrap_or(1) != turned) {
        return None;
    }
    let start = number(exif, Tag::JPEGInterchangeFormat, In::THUMBNAIL)? as usize;
    let length = number(exif, Tag::JPEGInterchangeFormatLength, In::THUMBNAIL)? as usize;
    exif.buf().get(start..start.checked_add(length)?)
}

/// Those that the Multi-Picture Format index names, the smallest first.
fn large_thumbnails(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (start, index) = segment(bytes, APP2, INDEX_MAGIC)?;
    // It is built as an EXIF block is.
    let index = Reader::new().read_raw(index.to_vec()).ok()?;
    let Value::Undefined(entries, _) = &index.get_field(ENTRIES, In::PRIMARY)?.value else { return None };
    let read = if index.little_endian() { u32::from_le_bytes } else { u32::from_be_bytes };
    let mut large: Vec<&[u8]> = entries
        .chunks_exact(ENTRY_BYTES)
        .filter_map(|entry| {
            let word = |at: usize| Some(read(entry.get(at..at + 4)?.try_into().ok()?));
            let [kind, length, place] = [word(0)?, word(4)?, word(8)?];
            // Places are counted from the index's own beginning.
            let start = start.checked_add(place as usize)?;
            let preview = bytes.get(start..start.checked_add(length as usize)?)?;
            (kind & KIND_MASK == LARGE_THUMBNAIL).then_some(preview)
        })
        .collect();
    large.sort_by_key(|preview| preview.len());
    Some(large)
}

/// A preview of a photo of this size, where it is whole and large enough.
fn stand_in(preview: &[u8], photo: &Header, wanted: AtLeast) -> Option<Pixels> {
    let mut decoder = Decoder::new()?;
    let header = decoder.read_header(preview).ok()?;
    let shape = |of: &Header| f64::from(of.width) / f64::from(of.height);
    let size = (header.width, header.height);
    let larger = AtLeast {
        shorter: wanted.shorter.saturating_mul(SIZE_HALVES) / 2,
        longer: wanted.longer.saturating_mul(SIZE_HALVES) / 2,
    };
    let good = (shape(&header) / shape(photo) - 1.0).abs() <= SHAPE_TOLERANCE
        && size.0 <= photo.width
        && larger.is_met_by(size)
        && header.samples == photo.samples
        && header.bits == photo.bits
        && !(header.is_lossless || header.is_progressive)
        && has_its_end(preview);
    let pixels = good.then(|| decoder.decompress(preview, &header, scale_for(size, wanted)).ok()).flatten()?;
    pixels.damage.is_none().then_some(pixels)
}

/// The upper edge of a photo, at an eighth of its size, from the first part of its data: to read all of them is what a
/// preview saves. `None` where that part holds too few rows.
fn top(bytes: &[u8], photo: &Header) -> Option<RgbImage> {
    let start = start_of_scan(bytes)?;
    let height = photo.height.min(8 * ROWS);
    // A busy edge has more than its share.
    let part = 2 * (bytes.len() - start) as u64 * u64::from(height) / u64::from(photo.height);
    let mut edge = bytes[..bytes.len().min(start + part as usize)].to_vec();
    // So that the decoder does not fill in all the rest.
    let place = height_place(&edge)?;
    edge.get_mut(place..place + 2)?.copy_from_slice(&(height as u16).to_be_bytes());
    let pixels = Decoder::new()?.decompress(&edge, &Header { height, ..*photo }, ScalingFactor::ONE_EIGHTH).ok()?;
    let row_bytes = 3 * pixels.width as usize;
    // Blocks that are missing come out in the middle grey.
    let missing = pixels.samples.rchunks(row_bytes).take_while(|row| row.iter().all(|value| *value == 128)).count();
    let spoilt = if missing == 0 { 0 } else { missing as u32 + SPOILT_ROWS };
    let rows = pixels.height.saturating_sub(spoilt);
    let kept = pixels.samples.get(..rows as usize * row_bytes)?.to_vec();
    (rows >= LEAST_ROWS).then(|| RgbImage::from_raw(pixels.width, rows, kept)).flatten()
}

/// Whether a preview's upper edge shows what the photo's does, and would not do so turned or mirrored as well.
fn shows_the_same(top: &RgbImage, photo: &Header, preview: &Pixels) -> bool {
    let Some(whole) = RgbImage::from_raw(preview.width, preview.height, preview.samples.clone()) else { return false };
    let share = f64::from(top.height() * 8) / f64::from(photo.height);
    let height = f64::from(whole.height());
    let strip = (height * share).min(height);
    let cells = |picture: &RgbImage, from: f64, rows: f64| {
        let wide = f64::from(picture.width());
        resize_with(picture, CELLS.0, CELLS.1, |options| options.crop(0.0, from, wide, rows)).ok()
    };
    let edges =
        (cells(top, 0.0, f64::from(top.height())), cells(&whole, 0.0, strip), cells(&whole, height - strip, strip));
    let (Some(photo), Some(upper), Some(lower)) = edges else { return false };
    use image::imageops::{flip_horizontal, flip_vertical, rotate180};
    let same = difference(&photo, &upper);
    let otherwise = [flip_horizontal(&upper), rotate180(&lower), flip_vertical(&lower)];
    same <= SAME && otherwise.iter().all(|other| difference(&photo, other) > 2.0 * same + 1.0)
}

/// The mean difference of two pictures of one size.
fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    let sum: u64 = one.iter().zip(other.iter()).map(|(one, other)| u64::from(one.abs_diff(*other))).sum();
    sum as f64 / one.len() as f64
}

#[cfg(test)]
#[path = "../../tests/camera/mod.rs"]
mod camera;

#[cfg(test)]
mod tests {
    use image::imageops::{flip_horizontal, flip_vertical, grayscale, rotate180};
    use image::{DynamicImage, Rgb};
    use turbojpeg::{Compressor, Image, PixelFormat};

    use super::super::{decode, decode_at_least, jpeg, resize};
    use super::camera::{FULL_HD, VGA, with_exif, with_previews};
    use super::*;

    const WANTED: AtLeast = AtLeast { shorter: 30, longer: 40 };
    /// What the photo itself comes as where that is wanted; its previews give other sizes.
    const PHOTO: (u32, u32) = (50, 38);
    /// What a phone stores behind a photo; no preview.
    const GAIN_MAP: u32 = 0x0005_0000;

    /// A picture without any symmetry.
    fn photo() -> RgbImage {
        RgbImage::from_fn(400, 300, |x, y| Rgb([(x / 2) as u8, (255 - y / 2) as u8, ((x * y) / 600) as u8]))
    }

    fn stored(picture: &RgbImage) -> Vec<u8> {
        jpeg::encode(picture, 90).unwrap()
    }

    fn small(width: u32, height: u32) -> Vec<u8> {
        stored(&resize(&photo(), width, height).unwrap())
    }

    fn progressive(picture: &RgbImage) -> Vec<u8> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut encoder = Compressor::new().unwrap();
        encoder.set_progressive(true).unwrap();
        let pixels = picture.as_raw().as_slice();
        encoder.compress_to_vec(Image { pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB }).unwrap()
    }

    fn size(bytes: &[u8]) -> (u32, u32) {
        decode_at_least(bytes, WANTED).unwrap().dimensions()
    }

    #[test]
    fn a_good_thumbnail_stands_for_the_photo() {
        let (large, thumbnail) = (stored(&photo()), small(160, 120));
        let good = with_exif(&large, (400, 300), 1, Some(&thumbnail));
        assert_eq!(size(&good), (40, 30));
        // The photo's own orientation holds for it too.
        assert_eq!(size(&with_exif(&large, (400, 300), 6, Some(&thumbnail))), (30, 40));
        // Never in place of the photo at its full size.
        assert_eq!(decode(&good).unwrap().dimensions(), (400, 300));
    }

    #[test]
    fn a_thumbnail_that_may_show_another_picture_is_left_alone() {
        let (large, thumbnail) = (stored(&photo()), small(160, 120));
        let square = stored(&resize(&photo(), 160, 160).unwrap());
        let photo = |written_for, thumbnail: &[u8]| with_exif(&large, written_for, 1, Some(thumbnail));
        let header = b"\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
        let good = photo((400, 300), &thumbnail);
        for (what, bytes) in [
            ("the photo was cut after it was taken", photo((800, 600), &thumbnail)),
            ("another shape", photo((400, 300), &square)),
            ("too small", photo((400, 300), &small(56, 42))),
            ("cut short", photo((400, 300), &thumbnail[..thumbnail.len() / 2])),
            ("no picture", photo((400, 300), b"nothing of the kind")),
            ("written by a program", [&good[..2], header, &good[2..]].concat()),
        ] {
            assert_eq!(size(&bytes), PHOTO, "{what}");
        }
    }

    #[test]
    fn an_edited_photo_is_not_known_by_its_old_thumbnail() {
        let thumbnail = small(160, 120);
        let grey = DynamicImage::from(grayscale(&photo())).into_rgb8();
        let moved = image::imageops::crop_imm(&photo(), 60, 45, 340, 255).to_image();
        for (what, edited) in [
            ("grey", grey),
            ("mirrored", flip_horizontal(&photo())),
            ("upside down", flip_vertical(&photo())),
            ("turned", rotate180(&photo())),
            ("a part of it at the old size", resize(&moved, 400, 300).unwrap()),
        ] {
            let bytes = with_exif(&stored(&edited), (400, 300), 1, Some(&thumbnail));
            assert_eq!(size(&bytes), PHOTO, "{what}");
        }
        // Nothing tells how it is turned.
        let plain = RgbImage::from_pixel(400, 300, Rgb([90, 120, 200]));
        let preview = stored(&RgbImage::from_pixel(160, 120, Rgb([90, 120, 200])));
        assert_eq!(size(&with_exif(&stored(&plain), (400, 300), 1, Some(&preview))), PHOTO);
    }

    #[test]
    fn a_good_preview_behind_the_photo_stands_for_it() {
        let large = with_exif(&stored(&photo()), (400, 300), 1, Some(&small(40, 30)));
        let (smaller, middle) = (small(64, 48), small(200, 150));
        for is_little_endian in [true, false] {
            let previews = [(GAIN_MAP, &*smaller), (FULL_HD, &middle), (VGA, &small(48, 36))];
            let found = with_previews(&large, &previews, is_little_endian);
            // At a quarter of its size, as the photo at an eighth: what matters is that it is read.
            assert_eq!(size(&found), (50, 38));
            assert_eq!(decode(&found).unwrap().dimensions(), (400, 300));
        }
        let previews = [(FULL_HD, &*middle), (VGA, &smaller)];
        assert_eq!(size(&with_previews(&large, &previews, true)), (64, 48), "the smallest that is large enough");
        // A thumbnail in the EXIF block that is large enough is read first.
        let both = with_exif(&stored(&photo()), (400, 300), 1, Some(&small(80, 60)));
        assert_eq!(size(&with_previews(&both, &previews, true)), (40, 30), "the thumbnail");
        let turned = with_exif(&stored(&photo()), (400, 300), 6, None);
        assert_eq!(size(&with_previews(&turned, &[(VGA, &smaller)], true)), (48, 64));
    }

    #[test]
    fn a_preview_that_may_show_another_picture_is_left_alone() {
        let plain_large = stored(&photo());
        let large = with_exif(&plain_large, (400, 300), 1, None);
        let good = small(64, 48);
        let found = with_previews(&large, &[(VGA, &good)], true);
        assert_eq!(size(&found), (64, 48));
        let cut = with_exif(&plain_large, (800, 600), 1, None);
        let square = stored(&resize(&photo(), 64, 64).unwrap());
        let scans = progressive(&resize(&photo(), 64, 48).unwrap());
        for (what, bytes) in [
            ("the file ends before the preview does", &found[..found.len() - 5]),
            ("the previews were dropped, their index was not", &found[..found.len() - good.len()]),
            ("something came between", &[&found[..found.len() - good.len()], b"comment", &good].concat()),
            ("a gain map", &with_previews(&large, &[(GAIN_MAP, &good)], true)),
            ("of any number of scans", &with_previews(&large, &[(VGA, &scans)], true)),
            ("another shape", &with_previews(&large, &[(VGA, &square)], true)),
            ("the photo was cut after it was taken", &with_previews(&cut, &[(VGA, &good)], true)),
            ("nothing tells the photo's size", &with_previews(&plain_large, &[(VGA, &good)], true)),
        ] {
            assert_eq!(size(bytes), PHOTO, "{what}");
        }
    }
}

//! TIFF: its first full-size page, in those of its many variants that can be told apart surely; the others are refused. And
//! which files of this form are a camera's raw data.

use std::collections::HashMap;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{ExtraSamples, Tag};
use tiff::{ColorType, TiffError};

use super::colour::Colours;
use super::{
    AtLeast, DecodeError, Decoded, LARGE_PIXELS, MAX_DECODER_BYTES, Stored, check_pixels, jpeg, one_large_picture,
};

/// Pages and parts of them that are looked at.
const MAX_DIRECTORIES: usize = 32;
const SUBFILE_TYPE: u16 = 254;
const WIDTH: u16 = 256;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const STRIPS: u16 = 273;
const ORIENTATION: u16 = 274;
const STRIP_LENGTHS: u16 = 279;
const SUB_DIRECTORIES: u16 = 330;
const JPEG_START: u16 = 513;
const JPEG_LENGTH: u16 = 514;
const DNG_VERSION: u16 = 50706;
/// Of [`PHOTOMETRIC`]: what single cells of a sensor saw, and that brought to colours.
const FROM_SENSOR: [u64; 2] = [32803, 34892];
/// Of [`COMPRESSION`]: makers' own.
const MAKERS_OWN: [u64; 8] = [32767, 32769, 32770, 32772, 34316, 34713, 65000, 65535];
const PALETTE: u64 = 3;

/// One directory of a file: numbers by their tags, and where in the file each is stored.
struct Directory(HashMap<u16, (Vec<u64>, usize)>);

impl Directory {
    fn number(&self, tag: u16) -> Option<u64> {
        self.0.get(&tag)?.0.first().copied()
    }

    fn is_raw(&self) -> bool {
        self.0.contains_key(&DNG_VERSION) || self.is_from_sensor()
    }

    fn is_from_sensor(&self) -> bool {
        self.number(PHOTOMETRIC).is_some_and(|what| FROM_SENSOR.contains(&what))
            || self.number(COMPRESSION).is_some_and(|how| MAKERS_OWN.contains(&how))
    }

    /// A picture that is stored as a JPEG file is.
    fn jpeg<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let is_one_strip = self.0.get(&STRIPS).is_some_and(|(strips, _)| strips.len() == 1);
        let is_jpeg = matches!(self.number(COMPRESSION), Some(6 | 7)) && !self.is_from_sensor();
        let (start, length) = match (self.number(JPEG_START), self.number(JPEG_LENGTH)) {
            (Some(start), Some(length)) => (start, length),
            _ if is_jpeg && is_one_strip => (self.number(STRIPS)?, self.number(STRIP_LENGTHS)?),
            _ => return None,
        };
        let end = start.checked_add(length)?.min(bytes.len() as u64);
        bytes.get(start as usize..end as usize).filter(|jpeg| jpeg.starts_with(b"\xFF\xD8\xFF"))
    }

    /// Not a smaller version of another page, nor its mask.
    fn is_full_size(&self) -> bool {
        self.number(SUBFILE_TYPE).unwrap_or(0) & 0b101 == 0
    }
}

/// Reads numbers as a file stores them.
struct Words<'a> {
    bytes: &'a [u8],
    is_little_endian: bool,
    /// Offsets have 64 bits.
    is_big: bool,
}

impl Words<'_> {
    fn of(bytes: &[u8]) -> Option<Words<'_>> {
        let is_little_endian = bytes.starts_with(b"II");
        let mut words = Words { bytes, is_little_endian, is_big: false };
        words.is_big = words.read(2, 2)? == 43;
        Some(words)
    }

    fn read(&self, at: usize, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(length)?)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.is_little_endian { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    }

    fn offset_bytes(&self) -> usize {
        if self.is_big { 8 } else { 4 }
    }

    /// A directory, and where the next one is; 0 behind the last.
    fn directory(&self, at: usize) -> Option<(Directory, usize)> {
        let (count_bytes, offset) = (if self.is_big { 8 } else { 2 }, self.offset_bytes());
        let entry_bytes = 4 + 2 * offset;
        let count = self.read(at, count_bytes)?.min(4096) as usize;
        let mut entries = HashMap::new();
        for number in 0..count {
            let entry = at + count_bytes + number * entry_bytes;
            let Some(tag) = self.read(entry, 2) else { break };
            let length = match self.read(entry + 2, 2) {
                Some(1 | 2 | 6 | 7) => 1,
                Some(3 | 8) => 2,
                Some(4 | 9 | 13) => 4,
                Some(16..=18) => 8,
                _ => continue,
            };
            let values = self.read(entry + 4, offset)?.min(MAX_DIRECTORIES as u64) as usize;
            let inside = entry + 4 + offset;
            let start = if values * length <= offset { inside } else { self.read(inside, offset)? as usize };
            let read = (0..values).map_while(|value| self.read(start.checked_add(value * length)?, length)).collect();
            entries.insert(tag as u16, (read, inside));
        }
        let next = self.read(at + count_bytes + count * entry_bytes, offset).unwrap_or(0);
        Some((Directory(entries), next as usize))
    }

    /// Those of the pages, in their order; then those within them.
    fn directories(&self) -> (Vec<Directory>, Vec<Directory>) {
        let first = if self.is_big { self.read(8, 8) } else { self.read(4, 4) };
        let (mut pages, mut at) = (Vec::new(), first.unwrap_or(0) as usize);
        while at != 0 && pages.len() < MAX_DIRECTORIES {
            let Some((directory, next)) = self.directory(at) else { break };
            pages.push(directory);
            at = next;
        }
        let within = pages.iter().filter_map(|page| page.0.get(&SUB_DIRECTORIES)).flat_map(|(places, _)| places);
        let within = within.take(MAX_DIRECTORIES).filter_map(|at| self.directory(*at as usize));
        let within = within.map(|(directory, _)| directory).collect();
        (pages, within)
    }
}

/// Whether this is a camera's raw data, whatever the file is called.
pub(super) fn is_raw(bytes: &[u8]) -> bool {
    let Some(words) = Words::of(bytes) else { return false };
    let (pages, within) = words.directories();
    pages.iter().chain(&within).any(Directory::is_raw)
}

/// The largest picture beside a camera's raw data that can be read without knowing the camera.
pub(super) fn preview(bytes: &[u8], wanted: AtLeast) -> Option<Decoded> {
    let words = Words::of(bytes)?;
    let (pages, within) = words.directories();
    let orientation = pages.first().and_then(|page| page.number(ORIENTATION));
    let orientation = orientation.and_then(|number| Orientation::from_exif(number as u8));
    let jpegs = pages.iter().chain(&within).filter_map(|directory| directory.jpeg(bytes));
    let mut decoded = match jpegs.max_by_key(|jpeg| jpeg.len()) {
        Some(jpeg) => jpeg::decode(jpeg, wanted).ok(),
        None => None,
    };
    if decoded.is_none() {
        let readable = pages.iter().enumerate().filter(|(_, page)| !page.is_from_sensor());
        let (largest, _) = readable.max_by_key(|(_, page)| page.number(WIDTH))?;
        // That road turns it as its own page says.
        // The photo itself may well be larger.
        return read(bytes, largest, false, wanted).ok().map(|decoded| Decoded { size: None, ..decoded });
    }
    if let (Some(decoded), Some(orientation)) = (&mut decoded, orientation) {
        let mut picture = DynamicImage::from(std::mem::take(&mut decoded.picture));
        picture.apply_orientation(orientation);
        decoded.picture = picture.into_rgb8();
    }
    decoded
}

/// # Errors
/// When the file is damaged, cut short, too large, or of a variant that cannot be read surely.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let words = Words::of(bytes).ok_or(DecodeError::Truncated)?;
    let (pages, _) = words.directories();
    let page = pages.iter().position(Directory::is_full_size).unwrap_or(0);
    let is_palette = pages.get(page).is_some_and(|page| page.number(PHOTOMETRIC) == Some(PALETTE));
    // The decoder knows no palettes: it gives their numbers where it takes them for greys.
    let patched = match pages.get(page).and_then(|page| page.0.get(&PHOTOMETRIC)) {
        Some((_, place)) if is_palette => {
            let mut patched = bytes.to_vec();
            let grey: [u8; 2] = if words.is_little_endian { [1, 0] } else { [0, 1] };
            patched.get_mut(*place..place + 2).ok_or(DecodeError::Truncated)?.copy_from_slice(&grey);
            Some(patched)
        }
        _ => None,
    };
    read(patched.as_deref().unwrap_or(bytes), page, is_palette, wanted)
}

fn read(bytes: &[u8], page: usize, is_palette: bool, wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let mut limits = Limits::default();
    let most = MAX_DECODER_BYTES as usize;
    (limits.decoding_buffer_size, limits.intermediate_buffer_size, limits.ifd_value_size) = (most, most, most / 4);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(describe)?.with_limits(limits);
    if page > 0 {
        decoder.seek_to_image(page).map_err(describe)?;
    }
    let (width, height) = decoder.dimensions().map_err(describe)?;
    let pixels = check_pixels(width, height)?;
    let colour_type = decoder.colortype().map_err(describe)?;
    let _turn = (pixels > LARGE_PIXELS).then(one_large_picture);
    // What these say is worth nothing where it cannot be read.
    let mut numbers = |tag| decoder.find_tag_unsigned_vec::<u16>(tag).ok().flatten();
    let orientation = numbers(Tag::Orientation).and_then(|number| Orientation::from_exif(*number.first()? as u8));
    let premultiplied = Some(vec![ExtraSamples::AssociatedAlpha.to_u16()]);
    let is_premultiplied = numbers(Tag::ExtraSamples) == premultiplied;
    let is_planar = numbers(Tag::PlanarConfiguration) == Some(vec![2]);
    let stored = numbers(Tag::SamplesPerPixel).and_then(|count| count.first().copied()).map_or(1, usize::from);
    let palette = is_palette.then(|| numbers(Tag::ColorMap)).flatten();
    let coefficients = decoder.find_tag(Tag::Unknown(529)).ok().flatten().and_then(|value| value.into_f32_vec().ok());
    let icc = decoder.find_tag(Tag::IccProfile).ok().flatten().and_then(|value| value.into_u8_vec().ok());
    let colours = icc.map(|icc| Colours::icc(&icc)).unwrap_or_default();

    let mut values = DecodingResult::U8(Vec::new());
    decoder.read_image_to_buffer(&mut values).map_err(describe)?;
    let picture = Samples { values, width, height, stored, is_planar };
    let picture = match colour_type {
        ColorType::Gray(bits) if is_palette => picture.with_palette(bits, &palette.unwrap_or_default())?,
        ColorType::Gray(bits @ (1 | 2 | 4)) => picture.unpacked(bits, 255 / ((1 << bits) - 1))?.into(),
        ColorType::CMYK(8) => colours.inks_to_srgb(&picture.bytes(4)?, (width, height))?.into(),
        ColorType::YCbCr(8) => from_ycbcr(picture.bytes(3)?, (width, height), coefficients)?,
        ColorType::Gray(8) => image_of::<image::Luma<u8>>(picture.bytes(1)?, (width, height))?.into(),
        ColorType::GrayA(8) => image_of::<image::LumaA<u8>>(picture.bytes(2)?, (width, height))?.into(),
        ColorType::RGB(8) => image_of::<image::Rgb<u8>>(picture.bytes(3)?, (width, height))?.into(),
        ColorType::RGBA(8) => image_of::<image::Rgba<u8>>(picture.bytes(4)?, (width, height))?.into(),
        ColorType::Gray(16 | 32) => image_of::<image::Luma<u16>>(picture.words(1)?, (width, height))?.into(),
        ColorType::GrayA(16 | 32) => image_of::<image::LumaA<u16>>(picture.words(2)?, (width, height))?.into(),
        ColorType::RGB(16 | 32) => image_of::<image::Rgb<u16>>(picture.words(3)?, (width, height))?.into(),
        ColorType::RGBA(16 | 32) => image_of::<image::Rgba<u16>>(picture.words(4)?, (width, height))?.into(),
        other => return Err(variant(&format!("{other:?}"))),
    };
    let colours = if matches!(colour_type, ColorType::CMYK(_)) { Colours::default() } else { colours };
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    // Of BigTIFF and of a later page the header does not tell.
    let is_turned = orientation.to_exif() >= 5;
    let size = if is_turned { (height, width) } else { (width, height) };
    let stored = Stored { picture, colours, orientation, is_premultiplied };
    Ok(Decoded { size: Some(size), ..Decoded::sound(stored.finish(wanted)) })
}

/// What the decoder gives: the samples of each pixel together, or with `is_planar` all of the first kind, then all of the
/// second, and so on.
struct Samples {
    values: DecodingResult,
    width: u32,
    height: u32,
    /// Samples of a pixel; those beside its colours mean nothing that is known.
    stored: usize,
    is_planar: bool,
}

impl Samples {
    fn together<T: Copy>(&self, samples: Vec<T>, each: usize) -> Vec<T> {
        let pixels = self.width as usize * self.height as usize;
        if samples.len() != pixels * self.stored || self.stored < each {
            return samples;
        }
        match (self.is_planar, self.stored) {
            (true, 2..) => {
                let place = |pixel: usize| (0..each).map(move |kind| kind * pixels + pixel);
                (0..pixels).flat_map(place).map(|at| samples[at]).collect()
            }
            (_, stored) if stored > each => {
                samples.chunks_exact(stored).flat_map(|pixel| &pixel[..each]).copied().collect()
            }
            _ => samples,
        }
    }

    fn bytes(mut self, each: usize) -> Result<Vec<u8>, DecodeError> {
        match std::mem::replace(&mut self.values, DecodingResult::U8(Vec::new())) {
            DecodingResult::U8(samples) => Ok(self.together(samples, each)),
            _ => Err(variant("numbers with a sign or a point")),
        }
    }

    /// In 16 bits.
    fn words(mut self, each: usize) -> Result<Vec<u16>, DecodeError> {
        let samples = match std::mem::replace(&mut self.values, DecodingResult::U8(Vec::new())) {
            DecodingResult::U16(samples) => samples,
            DecodingResult::U32(samples) => samples.into_iter().map(|sample| (sample >> 16) as u16).collect(),
            _ => return Err(variant("numbers with a sign or a point")),
        };
        Ok(self.together(samples, each))
    }

    /// Samples of fewer bits than a byte has, each times `factor`. Rows begin with a byte of their own.
    fn unpacked(self, bits: u8, factor: u8) -> Result<image::GrayImage, DecodeError> {
        let (width, height) = (self.width, self.height);
        let packed = self.bytes(1)?;
        let (row_bytes, bits) = ((width as usize * usize::from(bits)).div_ceil(8), usize::from(bits));
        if packed.len() < row_bytes * height as usize {
            return Err(DecodeError::Truncated);
        }
        Ok(ImageBuffer::from_fn(width, height, |x, y| {
            let at = x as usize * bits;
            let byte = packed[y as usize * row_bytes + at / 8];
            let value = byte >> (8 - bits - at % 8) & (((1_u16 << bits) - 1) as u8);
            image::Luma([value * factor])
        }))
    }

    fn with_palette(self, bits: u8, palette: &[u16]) -> Result<DynamicImage, DecodeError> {
        let size = (self.width, self.height);
        let numbers: image::GrayImage = match bits {
            1 | 2 | 4 => self.unpacked(bits, 1)?,
            8 => image_of(self.bytes(1)?, size)?,
            _ => return Err(variant("a palette of more than 256 colours")),
        };
        // All reds, then all greens, then all blues, in 16 bits.
        let colours = 1 << bits;
        if palette.len() < 3 * colours {
            return Err(DecodeError::Damaged("its palette is missing".into()));
        }
        let entry = |number: usize| [0, 1, 2].map(|part| (palette[part * colours + number] >> 8) as u8);
        let table: Vec<[u8; 3]> = (0..colours).map(entry).collect();
        let pixels = numbers.iter().flat_map(|number| table[usize::from(*number)]).collect();
        Ok(image_of::<image::Rgb<u8>>(pixels, size)?.into())
    }
}

fn image_of<P: image::Pixel>(
    samples: Vec<P::Subpixel>,
    (width, height): (u32, u32),
) -> Result<ImageBuffer<P, Vec<P::Subpixel>>, DecodeError> {
    if samples.len() > width as usize * height as usize * usize::from(P::CHANNEL_COUNT) {
        return Err(variant("more samples than its colours need"));
    }
    ImageBuffer::from_raw(width, height, samples).ok_or(DecodeError::Truncated)
}

/// By the weights that the file gives, or those of ITU-R BT.601; over the full range.
fn from_ycbcr(
    mut samples: Vec<u8>,
    size: (u32, u32),
    coefficients: Option<Vec<f32>>,
) -> Result<DynamicImage, DecodeError> {
    let [red, green, blue] = match coefficients.as_deref() {
        Some(&[red, green, blue]) if green > 0.1 && red >= 0.0 && blue >= 0.0 => [red, green, blue],
        _ => [0.299, 0.587, 0.114],
    };
    for pixel in samples.as_chunks_mut::<3>().0 {
        let [luma, cb, cr] = pixel.map(f32::from);
        let (cb, cr) = (cb - 128.0, cr - 128.0);
        let (r, b) = (luma + cr * (2.0 - 2.0 * red), luma + cb * (2.0 - 2.0 * blue));
        let g = (luma - red * r - blue * b) / green;
        *pixel = [r, g, b].map(|value| value.round().clamp(0.0, 255.0) as u8);
    }
    Ok(image_of::<image::Rgb<u8>>(samples, size)?.into())
}

fn variant(what: &str) -> DecodeError {
    DecodeError::UnsupportedVariant(format!("TIFF with {what}"))
}

fn describe(error: TiffError) -> DecodeError {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
        TiffError::UnsupportedError(what) => variant(&what.to_string()),
        TiffError::LimitsExceeded => DecodeError::TooMuchMemory,
        other => DecodeError::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use tiff::encoder::colortype::{Gray8, RGB8, RGB32};
    use tiff::encoder::{ImageEncoder, TiffEncoder, TiffKindBig, TiffKindStandard};

    use super::super::{decode, decode_at_least};
    use super::*;

    const ORANGE: [u8; 3] = [250, 130, 20];

    fn is_orange(bytes: &[u8], what: &str) {
        let picture = decode(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        let Rgb(found) = *picture.get_pixel(3, 3);
        assert!(found.iter().zip(ORANGE).all(|(found, wanted)| found.abs_diff(wanted) <= 2), "{what}: {found:?}");
    }

    fn written(write: impl FnOnce(&mut TiffEncoder<Cursor<&mut Vec<u8>>, TiffKindStandard>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut TiffEncoder::new(Cursor::new(&mut bytes)).unwrap());
        bytes
    }

    #[test]
    fn each_variant_comes_out_in_its_colours() {
        let pixels = ORANGE.repeat(64);
        let mut big = Vec::new();
        let mut encoder = TiffEncoder::<_, TiffKindBig>::new_big(Cursor::new(&mut big)).unwrap();
        encoder.write_image::<RGB8>(8, 8, &pixels).unwrap();
        is_orange(&big, "BigTIFF");
        let deep: Vec<u32> = pixels.iter().map(|value| u32::from(*value) * 0x0101_0101).collect();
        is_orange(&written(|tiff| tiff.write_image::<RGB32>(8, 8, &deep).unwrap()), "32 bits");
        let palette = written(|tiff| {
            let mut image = tiff.new_image::<Gray8>(8, 8).unwrap();
            let colours: Vec<u16> = ORANGE
                .iter()
                .flat_map(|value| (0..256).map(|number| if number == 7 { u16::from(*value) * 257 } else { 0 }))
                .collect();
            image.encoder().write_tag(Tag::ColorMap, &*colours).unwrap();
            image.encoder().write_tag(Tag::PhotometricInterpretation, 3_u16).unwrap();
            image.write_data(&[7; 64]).unwrap();
        });
        is_orange(&palette, "palette");
        let premultiplied = written(|tiff| {
            let mut image: ImageEncoder<'_, _, tiff::encoder::colortype::RGBA8, _> = tiff.new_image(8, 8).unwrap();
            image.encoder().write_tag(Tag::ExtraSamples, &[1_u16][..]).unwrap();
            // Half of it, over white.
            image.write_data(&[122, 2, 0, 128].repeat(64)).unwrap();
        });
        let Rgb(found) = *decode(&premultiplied).unwrap().get_pixel(3, 3);
        assert_eq!(found, [249, 129, 127], "premultiplied alpha");
        let with_more = written(|tiff| {
            let mut image: ImageEncoder<'_, _, tiff::encoder::colortype::RGBA8, _> = tiff.new_image(8, 8).unwrap();
            // A fourth sample that nothing is said of.
            image.encoder().write_tag(Tag::ExtraSamples, &[0_u16][..]).unwrap();
            image.write_data(&[ORANGE[0], ORANGE[1], ORANGE[2], 7].repeat(64)).unwrap();
        });
        is_orange(&with_more, "a fourth sample");
    }

    #[test]
    fn the_first_page_of_full_size_counts() {
        let pages = written(|tiff| {
            let mut small = tiff.new_image::<RGB8>(4, 4).unwrap();
            small.encoder().write_tag(Tag::NewSubfileType, 1_u32).unwrap();
            small.write_data(&[0; 48]).unwrap();
            tiff.write_image::<RGB8>(8, 8, &ORANGE.repeat(64)).unwrap();
        });
        is_orange(&pages, "the second page");
    }

    #[test]
    fn a_raw_file_is_known_whatever_it_is_called_and_shows_its_preview() {
        let raw = |side: u32| {
            written(|tiff| {
                let mut preview = tiff.new_image::<RGB8>(side, side).unwrap();
                preview.encoder().write_tag(Tag::Unknown(DNG_VERSION), &[1_u8, 4, 0, 0][..]).unwrap();
                preview.write_data(&ORANGE.repeat((side * side) as usize)).unwrap();
            })
        };
        let wanted = AtLeast { shorter: 224, longer: 320 };
        assert!(is_raw(&raw(400)));
        match decode_at_least(&raw(400), wanted) {
            Ok(picture) => assert_eq!(picture.dimensions(), (400, 400)),
            Err(error) => panic!("{error}"),
        }
        let error = decode_at_least(&raw(100), wanted).unwrap_err();
        assert!(matches!(error, DecodeError::SmallPreview { width: 100, height: 100 }), "{error}");
    }
}

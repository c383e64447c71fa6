//! Bytes of a file -> an upright RGB picture; and that picture at a wanted size. The only decode path: embeddings,
//! thumbnails, queries and the large view all come through here, so that orientation and colour are the same for all.
//!
//! A user's folder holds anything. Each file is bounded (bytes, pixels, memory), and a panic in a decoder is caught and
//! becomes that file's problem.

mod jpeg;
mod preview;

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use fast_image_resize as fir;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::crash::foresee;

/// Larger files are refused: no photo is, and a file is read whole.
pub(crate) const MAX_FILE_BYTES: u64 = 512 << 20;
/// Pictures with more pixels are refused (160 megapixels are about 480 MB as RGB).
pub(crate) const MAX_PIXELS: u64 = 160_000_000;
/// Pictures above this are decoded one at a time, however many threads decode, so that memory stays bounded.
const LARGE_PIXELS: u64 = 40_000_000;
/// What a decoder may allocate beyond the file itself.
const MAX_DECODER_BYTES: u64 = 1 << 30;
/// The longer side of a stored thumbnail, in pixels.
pub(crate) const THUMBNAIL_SIDE: u32 = 320;
const THUMBNAIL_QUALITY: u8 = 82;

/// Endings of the files that are taken for photos, in lower case.
pub(crate) const EXTENSIONS: &[&str] = &["jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "gif", "bmp"];
/// Endings of photo files that cannot be read yet: they are named in the problem list rather than passed over.
pub(crate) const UNSUPPORTED_EXTENSIONS: &[&str] =
    &["heic", "heif", "avif", "jxl", "jp2", "cr2", "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "psd"];
/// Endings of what a camera's sensor saw, in lower case.
pub(crate) const RAW_EXTENSIONS: &[&str] = &[
    "dng", "nef", "nrw", "cr2", "cr3", "crw", "arw", "sr2", "srf", "orf", "rw2", "raf", "pef", "srw", "3fr", "fff",
    "iiq", "mos", "mrw", "erf", "kdc", "dcr", "mef", "x3f", "rwl", "gpr",
];

/// Why a file gave no picture. The text is what the problem list shows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("The file could not be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("Not a file: a folder, a pipe or a device")]
    NotAFile,
    #[error("The file is empty")]
    Empty,
    #[error("The file is larger than {} MB", MAX_FILE_BYTES >> 20)]
    FileTooLarge,
    #[error("Not a picture, whatever its name says")]
    NotAPicture,
    #[error("{kind} is not supported yet; save a copy as JPEG{more}", kind = .0, more = how_to_save(.0))]
    Unsupported(String),
    #[error("This kind of picture is not supported yet ({0}); save a copy as JPEG or PNG")]
    UnsupportedVariant(String),
    #[error("{width} x {height} pixels are more than the limit of {} megapixels", MAX_PIXELS / 1_000_000)]
    TooManyPixels { width: u32, height: u32 },
    #[error("The picture needs more than {} MB of memory", MAX_DECODER_BYTES >> 20)]
    TooMuchMemory,
    #[error("The picture has no pixels")]
    NoPixels,
    #[error("The file is cut short: the end of the picture is missing")]
    Truncated,
    #[error("The file is damaged: {0}")]
    Damaged(String),
    #[error("The decoder failed on this file ({0}); the file is probably damaged")]
    Panicked(String),
}

/// Where most files of a kind come from, and how to have others from there.
fn how_to_save(kind: &str) -> &'static str {
    match kind {
        "HEIC" | "HEIF" => " (on an iPhone: Settings, Camera, Formats, Most Compatible)",
        _ => " or PNG",
    }
}

/// Reads a file whole, bounded by [`MAX_FILE_BYTES`].
///
/// # Errors
/// When the file cannot be read, is empty or is too large.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    // Opening a named pipe would wait for whoever writes it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(DecodeError::NotAFile);
    }
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > MAX_FILE_BYTES {
        return Err(DecodeError::FileTooLarge);
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // The file may grow while it is read.
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    Ok(bytes)
}

/// The least size that a picture is of use in: a decoder may give any that is no smaller, and that is quicker for large
/// photos. A photo that is smaller itself comes as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLeast {
    /// Pixels of the shorter side.
    pub shorter: u32,
    /// Pixels of the longer side.
    pub longer: u32,
}

impl AtLeast {
    /// As large as the photo is.
    pub const FULL: Self = Self { shorter: u32::MAX, longer: u32::MAX };

    fn is_met_by(self, (width, height): (u32, u32)) -> bool {
        width.min(height) >= self.shorter && width.max(height) >= self.longer
    }
}

/// [`read_file`], then [`decode`].
///
/// # Errors
/// Theirs.
pub(crate) fn decode_file(path: &Path) -> Result<RgbImage, DecodeError> {
    decode_file_at_least(path, AtLeast::FULL)
}

/// [`read_file`], then [`decode_at_least`].
///
/// # Errors
/// Theirs.
pub fn decode_file_at_least(path: &Path, wanted: AtLeast) -> Result<RgbImage, DecodeError> {
    decode_at_least(&read_file(path)?, wanted)
}

/// Decodes a file's bytes to an upright RGB picture: EXIF orientation applied, transparency laid on white, 16 bits
/// brought to 8, CMYK and grey to RGB, the first frame of an animation.
///
/// # Errors
/// When the bytes are no picture of a known kind, are damaged or cut short, or ask for more than the limits.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    decode_at_least(bytes, AtLeast::FULL)
}

/// As [`decode`], at any size that is no smaller than `wanted`.
///
/// # Errors
/// As [`decode`].
pub fn decode_at_least(bytes: &[u8], wanted: AtLeast) -> Result<RgbImage, DecodeError> {
    guarded(|| decode_unguarded(bytes, wanted))
}

/// Turns a panic into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    foresee(work).unwrap_or_else(|panic| Err(DecodeError::Panicked(panic_text(panic.as_ref()))))
}

/// The message of a caught panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

fn decode_unguarded(bytes: &[u8], wanted: AtLeast) -> Result<RgbImage, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let format = image::guess_format(bytes).map_err(|_| unknown_kind(bytes))?;
    if !format.reading_enabled() {
        let kind = format.extensions_str().first().unwrap_or(&"image");
        return Err(DecodeError::Unsupported(kind.to_uppercase()));
    }
    if format == ImageFormat::Jpeg {
        if !jpeg::has_its_end(bytes) {
            return Err(DecodeError::Truncated);
        }
        if let Some(picture) = jpeg::decode(bytes, wanted)? {
            return Ok(picture);
        }
    }
    if format == ImageFormat::Png {
        // Its decoder asks for the first picture data before it tells the size.
        let side = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
        check_pixels(side(16), side(20))?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    let pixels = check_pixels(width, height)?;
    if decoder.total_bytes() > MAX_DECODER_BYTES {
        return Err(DecodeError::TooMuchMemory);
    }
    let _turn = (pixels > LARGE_PIXELS).then(one_large_picture);
    // A broken EXIF block is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(describe)?;
    picture.apply_orientation(orientation);
    Ok(if picture.color().has_alpha() { on_white(&picture) } else { picture.into_rgb8() })
}

/// Waits until no other large picture is being decoded.
fn one_large_picture() -> MutexGuard<'static, ()> {
    static ONE_LARGE_PICTURE: Mutex<()> = Mutex::new(());
    ONE_LARGE_PICTURE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The number of pixels, where it is one that is accepted.
fn check_pixels(width: u32, height: u32) -> Result<u64, DecodeError> {
    match u64::from(width) * u64::from(height) {
        0 => Err(DecodeError::NoPixels),
        pixels if pixels > MAX_PIXELS => Err(DecodeError::TooManyPixels { width, height }),
        pixels => Ok(pixels),
    }
}

fn unknown_kind(bytes: &[u8]) -> DecodeError {
    // ISO media files name their brand behind "ftyp": a HEIC that is called .jpg is common on phones.
    match bytes.get(4..12) {
        Some(b"ftypheic" | b"ftypheix" | b"ftypmif1" | b"ftypmsf1" | b"ftyphevc") => {
            DecodeError::Unsupported("HEIC".into())
        }
        Some(b"ftypavif" | b"ftypavis") => DecodeError::Unsupported("AVIF".into()),
        _ => DecodeError::NotAPicture,
    }
}

fn describe(error: image::ImageError) -> DecodeError {
    use image::ImageError as E;
    match error {
        E::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
        E::Unsupported(e) => DecodeError::UnsupportedVariant(e.to_string()),
        E::Limits(_) => DecodeError::TooMuchMemory,
        other => DecodeError::Damaged(other.to_string()),
    }
}

fn on_white(picture: &DynamicImage) -> RgbImage {
    let rgba = picture.to_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u32::from);
        image::Rgb([r, g, b].map(|c| ((c * a + 255 * (255 - a) + 127) / 255) as u8))
    })
}

/// Resizes to exactly `width` x `height` with an antialiased bicubic filter, as Pillow does.
///
/// # Errors
/// When a side is zero.
pub(crate) fn resize(picture: &RgbImage, width: u32, height: u32) -> Result<RgbImage, DecodeError> {
    resize_part(picture, None, width, height)
}

/// Cuts the largest middle part with the shape of `width` x `height` and resizes it to that.
///
/// # Errors
/// When a side is zero.
pub(crate) fn resize_and_crop(picture: &RgbImage, width: u32, height: u32) -> Result<RgbImage, DecodeError> {
    resize_part(picture, Some((0.5, 0.5)), width, height)
}

/// Cuts out `[left, top, width, height]`, in pixels, and resizes that to a square.
///
/// # Errors
/// When the part does not lie within the picture or has no pixels.
pub(crate) fn resize_box(picture: &RgbImage, part: [f64; 4], side: u32) -> Result<RgbImage, DecodeError> {
    let [left, top, width, height] = part;
    resize_with(picture, side, side, |options| options.crop(left, top, width, height))
}

fn resize_part(
    picture: &RgbImage,
    crop_at: Option<(f64, f64)>,
    width: u32,
    height: u32,
) -> Result<RgbImage, DecodeError> {
    resize_with(picture, width, height, |options| match crop_at {
        Some(centre) => options.fit_into_destination(Some(centre)),
        None => options,
    })
}

fn resize_with(
    picture: &RgbImage,
    width: u32,
    height: u32,
    part: impl FnOnce(fir::ResizeOptions) -> fir::ResizeOptions,
) -> Result<RgbImage, DecodeError> {
    let damaged = |e: &dyn std::fmt::Display| DecodeError::Damaged(e.to_string());
    let source = fir::images::ImageRef::new(picture.width(), picture.height(), picture.as_raw(), fir::PixelType::U8x3)
        .map_err(|e| damaged(&e))?;
    let mut target = fir::images::Image::new(width, height, fir::PixelType::U8x3);
    let options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom));
    let options = part(options);
    fir::Resizer::new().resize(&source, &mut target, &options).map_err(|e| damaged(&e))?;
    RgbImage::from_raw(width, height, target.into_vec()).ok_or(DecodeError::NoPixels)
}

/// Shrinks so that the longer side is at most `side` pixels; smaller pictures stay as they are.
///
/// # Errors
/// When the picture has no pixels.
pub fn shrink_to_fit(picture: &RgbImage, side: u32) -> Result<RgbImage, DecodeError> {
    let longer = picture.width().max(picture.height());
    if longer <= side {
        return Ok(picture.clone());
    }
    let scaled = |length: u32| ((u64::from(length) * u64::from(side) / u64::from(longer)) as u32).max(1);
    resize(picture, scaled(picture.width()), scaled(picture.height()))
}

/// The picture as the catalog keeps it for the grid: a JPEG of at most [`THUMBNAIL_SIDE`] pixels.
///
/// # Errors
/// When the picture has no pixels.
pub fn thumbnail(picture: &RgbImage) -> Result<Vec<u8>, DecodeError> {
    shrunk_jpeg(picture, THUMBNAIL_SIDE, THUMBNAIL_QUALITY)
}

/// A JPEG of the picture, with a longer side of at most `side` pixels.
///
/// # Errors
/// When the picture has no pixels.
pub(crate) fn shrunk_jpeg(picture: &RgbImage, side: u32, quality: u8) -> Result<Vec<u8>, DecodeError> {
    jpeg::encode(&shrink_to_fit(picture, side)?, quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, Rgb, Rgba, RgbaImage};

    const RED: [u8; 3] = [255, 0, 0];
    const GREEN: [u8; 3] = [0, 255, 0];
    const BLUE: [u8; 3] = [0, 0, 255];
    const GREY: [u8; 3] = [127, 127, 127];
    const WHITE: [u8; 3] = [255, 255, 255];

    /// 32 x 16: red top left, green top right, blue bottom left, white bottom right.
    fn four_colours() -> RgbImage {
        RgbImage::from_fn(32, 16, |x, y| {
            Rgb(match (x < 16, y < 8) {
                (true, true) => RED,
                (false, true) => GREEN,
                (true, false) => BLUE,
                (false, false) => WHITE,
            })
        })
    }

    fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// The middles of the four quarters, row by row.
    fn quarters(picture: &RgbImage) -> [[u8; 3]; 4] {
        let (w, h) = picture.dimensions();
        [(w / 4, h / 4), (3 * w / 4, h / 4), (w / 4, 3 * h / 4), (3 * w / 4, 3 * h / 4)]
            .map(|(x, y)| picture.get_pixel(x, y).0)
    }

    fn assert_near(found: &[[u8; 3]], wanted: &[[u8; 3]], tolerance: u8, what: &str) {
        let near = |a: &[u8; 3], b: &[u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= tolerance);
        assert!(
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| near(a, b)),
            "{what}: {found:?} instead of {wanted:?}"
        );
    }

    fn assert_four_colours(bytes: &[u8], tolerance: u8, what: &str) {
        let picture = decode(bytes).unwrap();
        assert_eq!(picture.dimensions(), (32, 16), "{what}");
        assert_near(&quarters(&picture), &[RED, GREEN, BLUE, WHITE], tolerance, what);
    }

    fn assert_plain(picture: impl Into<DynamicImage>, format: ImageFormat, wanted: [u8; 3], tolerance: u8) {
        let bytes = encode(picture, format);
        assert_near(&quarters(&decode(&bytes).unwrap()), &[wanted; 4], tolerance, &format!("{format:?}"));
    }

    /// Puts an EXIF block with nothing but the orientation behind a JPEG's start marker.
    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        // One entry: tag 0x0112, type SHORT, one value.
        let exif =
            [b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]]
                .concat();
        [&jpeg[..2], &[0xFF, 0xE1, 0, exif.len() as u8 + 2], &exif, &jpeg[2..]].concat()
    }

    /// A PNG chunk, with its checksum.
    fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let body = [kind, data].concat();
        let crc = !body.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
        });
        [(data.len() as u32).to_be_bytes().as_slice(), &body, &crc.to_be_bytes()].concat()
    }

    fn png_header(width: u32, height: u32, bits: u8, colour: u8) -> Vec<u8> {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &[&sides[..], &[bits, colour, 0, 0, 0]].concat())].concat()
    }

    #[test]
    fn every_exif_orientation_comes_out_upright() {
        let upright = DynamicImage::from(four_colours());
        // How a camera that was held that way stored the picture.
        let stored = [
            upright.clone(),
            upright.fliph(),
            upright.rotate180(),
            upright.flipv(),
            upright.rotate90().fliph(),
            upright.rotate270(),
            upright.rotate270().fliph(),
            upright.rotate90(),
        ];
        for (number, picture) in (1..).zip(stored) {
            let jpeg = with_orientation(&encode(picture, ImageFormat::Jpeg), number);
            assert_four_colours(&jpeg, 24, &format!("orientation {number}"));
        }
    }

    #[test]
    fn a_broken_exif_block_does_not_cost_the_picture() {
        let jpeg = encode(four_colours(), ImageFormat::Jpeg);
        assert_four_colours(&with_orientation(&jpeg, 99), 24, "no such orientation");
        let mut broken = with_orientation(&jpeg, 6);
        broken[12..20].fill(0xFF);
        assert_four_colours(&broken, 24, "no TIFF header");
    }

    #[test]
    fn every_format_keeps_its_colours() {
        use ImageFormat::*;
        for format in [Png, WebP, Tiff, Gif, Bmp] {
            assert_four_colours(&encode(four_colours(), format), 0, &format!("{format:?}"));
        }
        assert_four_colours(&encode(four_colours(), Jpeg), 24, "Jpeg");
    }

    #[test]
    fn the_first_frame_of_an_animation_counts() {
        let mut gif = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
        for picture in [four_colours(), RgbImage::from_pixel(32, 16, Rgb(GREEN))] {
            encoder.encode_frame(image::Frame::new(DynamicImage::from(picture).into_rgba8())).unwrap();
        }
        drop(encoder);
        assert_four_colours(&gif, 0, "two frames");
    }

    #[test]
    fn grey_and_16_bits_come_out_as_8_bit_rgb() {
        let deep = |value: u8| u16::from(value) * 257;
        let [r, g, b] = [200, 100, 50];
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            assert_plain(GrayImage::from_pixel(8, 8, Luma([127])), format, GREY, 0);
            assert_plain(ImageBuffer::from_pixel(8, 8, Luma([deep(127)])), format, GREY, 1);
            assert_plain(ImageBuffer::from_pixel(8, 8, Rgb([r, g, b].map(deep))), format, [r, g, b], 1);
        }
        assert_plain(GrayImage::from_pixel(8, 8, Luma([127])), ImageFormat::Jpeg, GREY, 2);
        let half_clear = ImageBuffer::from_pixel(8, 8, Rgba([deep(r), deep(g), deep(b), deep(0)]));
        assert_plain(half_clear, ImageFormat::Png, WHITE, 1);
    }

    #[test]
    fn transparency_is_laid_on_white() {
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
            assert_plain(RgbaImage::from_pixel(8, 8, Rgba([255, 0, 0, 0])), format, WHITE, 0);
            assert_plain(RgbaImage::from_pixel(8, 8, Rgba([255, 0, 0, 128])), format, [255, 127, 127], 1);
            assert_plain(RgbaImage::from_pixel(8, 8, Rgba([255, 0, 0, 255])), format, RED, 0);
        }
        assert_plain(RgbaImage::from_pixel(8, 8, Rgba([255, 0, 0, 0])), ImageFormat::Gif, WHITE, 0);
        assert_plain(GrayAlphaImage::from_pixel(8, 8, image::LumaA([0, 0])), ImageFormat::Png, WHITE, 0);
        assert_plain(GrayAlphaImage::from_pixel(8, 8, image::LumaA([0, 128])), ImageFormat::Png, GREY, 1);
    }

    #[test]
    fn cmyk_comes_out_in_its_colours() {
        // Written by Pillow, which stores CMYK in JPEG inverted, as Adobe does.
        let jpeg = decode(include_bytes!("../../tests/data/cmyk.jpg")).unwrap();
        assert_near(&quarters(&jpeg), &[RED, GREEN, BLUE, GREY], 6, "JPEG");
        let tiff = decode(include_bytes!("../../tests/data/cmyk.tif")).unwrap();
        assert_near(&quarters(&tiff), &[RED, GREEN, BLUE, GREY], 1, "TIFF");
    }

    #[test]
    fn a_file_that_is_cut_short_is_refused() {
        use ImageFormat::*;
        // Noise, so that most of the bytes are picture data.
        let noise = RgbImage::from_fn(64, 64, |x, y| Rgb([x, y, x ^ y].map(|v| ((v * 2_654_435) >> 8) as u8)));
        let jpeg = with_orientation(&encode(noise.clone(), Jpeg), 1);
        for end in [3, 20, jpeg.len() / 2, jpeg.len() - 2] {
            let error = decode(&jpeg[..end]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated), "{end} bytes of a JPEG: {error}");
        }
        for format in [Png, WebP, Tiff, Gif, Bmp] {
            let bytes = encode(noise.clone(), format);
            for end in [bytes.len() / 8, bytes.len() / 2, bytes.len() * 7 / 8] {
                let result = decode(&bytes[..end]);
                assert!(result.is_err(), "{end} of {} bytes of a {format:?} gave a picture", bytes.len());
            }
        }
    }

    #[test]
    fn a_thumbnail_inside_a_cut_jpeg_is_not_its_end() {
        let jpeg = encode(four_colours(), ImageFormat::Jpeg);
        let segment = [&[0xFF, 0xE2], (jpeg.len() as u16 + 2).to_be_bytes().as_slice(), &jpeg].concat();
        let whole = [&jpeg[..2], &segment, &jpeg[2..]].concat();
        assert_four_colours(&whole, 24, "with a picture inside");
        assert!(matches!(decode(&whole[..whole.len() - 20]), Err(DecodeError::Truncated)));
    }

    #[test]
    fn what_is_no_picture_is_refused_with_the_reason() {
        assert!(matches!(decode(b""), Err(DecodeError::Empty)));
        assert!(matches!(decode(b"A shopping list: seeds, pots, a spade\n"), Err(DecodeError::NotAPicture)));
        assert!(
            matches!(decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), Err(DecodeError::Unsupported(kind)) if kind == "HEIC")
        );
        assert!(matches!(decode(b"\0\0\0\x1cftypavif\0\0\0\0"), Err(DecodeError::Unsupported(kind)) if kind == "AVIF"));
        assert!(matches!(decode(&png_header(0, 5, 8, 2)), Err(DecodeError::NoPixels)));
    }

    #[test]
    fn too_many_pixels_are_refused_before_memory_is_taken() {
        let refused = |bytes: &[u8]| match decode(bytes) {
            Err(DecodeError::TooManyPixels { width: 20_000, height: 10_000 }) => {}
            other => panic!("{other:?}"),
        };
        for (bits, colour) in [(8, 0), (8, 2), (8, 6), (16, 6)] {
            let header = png_header(20_000, 10_000, bits, colour);
            refused(&[&header[..], &chunk(b"IDAT", b"\x78\x9c"), &chunk(b"IEND", b"")].concat());
            // Nothing behind the header.
            refused(&header);
        }
    }

    #[test]
    fn a_picture_that_needs_too_much_memory_is_not_called_damaged() {
        // 150 megapixels of 8 bytes each.
        let deep = [png_header(15_000, 10_000, 16, 6), chunk(b"IDAT", b"\x78\x9c"), chunk(b"IEND", b"")].concat();
        let error = decode(&deep).unwrap_err();
        assert!(matches!(error, DecodeError::TooMuchMemory), "{error}");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let failed = guarded::<()>(|| panic!("pixel {} is not there", 7));
        assert!(matches!(failed, Err(DecodeError::Panicked(text)) if text == "pixel 7 is not there"));
        assert_eq!(guarded(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_file(folder.path()), Err(DecodeError::NotAFile)));
        assert!(matches!(read_file(&folder.path().join("none.jpg")), Err(DecodeError::Io(_))));
        let empty = folder.path().join("empty.jpg");
        std::fs::write(&empty, b"").unwrap();
        assert!(matches!(read_file(&empty), Err(DecodeError::Empty)));
        std::fs::write(&empty, b"some").unwrap();
        assert_eq!(read_file(&empty).unwrap(), b"some");
    }

    #[test]
    fn shrinking_keeps_the_shape() {
        let shrunk = |width, height| shrink_to_fit(&RgbImage::new(width, height), 100).unwrap().dimensions();
        assert_eq!(shrunk(400, 200), (100, 50));
        assert_eq!(shrunk(200, 400), (50, 100));
        assert_eq!(shrunk(3000, 2), (100, 1));
        assert_eq!(shrunk(100, 70), (100, 70));
        assert_eq!(shrunk(3, 2), (3, 2));
    }

    #[test]
    fn a_thumbnail_has_at_most_320_pixels_and_the_colours_of_the_photo() {
        for (size, wanted) in [((1280, 640), (320, 160)), ((500, 1000), (160, 320)), ((32, 16), (32, 16))] {
            let photo = image::imageops::resize(&four_colours(), size.0, size.1, image::imageops::FilterType::Nearest);
            let thumbnail = decode(&thumbnail(&photo).unwrap()).unwrap();
            assert_eq!(thumbnail.dimensions(), wanted);
            assert_near(&quarters(&thumbnail), &[RED, GREEN, BLUE, WHITE], 24, "thumbnail");
        }
    }
}

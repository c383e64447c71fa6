//! Bytes of a file -> an upright RGB picture; and that picture at a wanted size. The only decode path: embeddings,
//! thumbnails, queries and the large view all come through here, so that orientation and colour are the same for all.
//!
//! A user's folder holds anything. Each file is bounded (bytes, pixels, memory), and a panic in a decoder is caught and
//! becomes that file's problem.

use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use fast_image_resize as fir;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

/// Larger files are refused: no photo is, and a file is read whole.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// Pictures with more pixels are refused (160 megapixels are about 480 MB as RGB).
pub const MAX_PIXELS: u64 = 160_000_000;
/// Pictures above this are decoded one at a time, however many threads decode, so that memory stays bounded.
const LARGE_PIXELS: u64 = 40_000_000;
/// What a decoder may allocate beyond the file itself.
const MAX_DECODER_BYTES: u64 = 1 << 30;
/// The longer side of a stored thumbnail, in pixels.
pub const THUMBNAIL_SIDE: u32 = 320;
const THUMBNAIL_QUALITY: u8 = 82;

/// Endings of the files that are taken for photos, in lower case.
pub const EXTENSIONS: &[&str] = &["jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "gif", "bmp"];
/// Endings of photo files that cannot be read yet: they are named in the problem list rather than passed over.
pub const UNSUPPORTED_EXTENSIONS: &[&str] =
    &["heic", "heif", "avif", "jxl", "jp2", "cr2", "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "psd"];

/// Why a file gave no picture. The text is what the problem list shows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("The file could not be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("The file is empty")]
    Empty,
    #[error("The file is larger than {} MB", MAX_FILE_BYTES >> 20)]
    FileTooLarge,
    #[error("Not a picture: the content is of no known kind, whatever the name says")]
    NotAPicture,
    #[error("{0} pictures cannot be read yet; convert the file to JPEG or PNG")]
    Unsupported(String),
    #[error("{width} x {height} pixels are more than the limit of {} megapixels", MAX_PIXELS / 1_000_000)]
    TooManyPixels { width: u32, height: u32 },
    #[error("The picture has no pixels")]
    NoPixels,
    #[error("The file is cut short: the end of the picture is missing")]
    Truncated,
    #[error("The file is damaged: {0}")]
    Damaged(String),
    #[error("The decoder failed on this file ({0}); the file is probably damaged")]
    Panicked(String),
}

/// Reads a file whole, bounded by [`MAX_FILE_BYTES`].
///
/// # Errors
/// When the file cannot be read, is empty or is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
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

/// Decodes a file's bytes to an upright RGB picture: EXIF orientation applied, transparency laid on white, 16 bits
/// brought to 8, CMYK and grey to RGB, the first frame of an animation.
///
/// # Errors
/// When the bytes are no picture of a known kind, are damaged or cut short, or ask for more than the limits.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    catch_unwind(AssertUnwindSafe(|| decode_unguarded(bytes)))
        .unwrap_or_else(|panic| Err(DecodeError::Panicked(panic_text(panic.as_ref()))))
}

/// The message of a caught panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

fn decode_unguarded(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let format = image::guess_format(bytes).map_err(|_| unknown_kind(bytes))?;
    if format == ImageFormat::Jpeg && !jpeg_has_its_end(bytes) {
        return Err(DecodeError::Truncated);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(DecodeError::TooManyPixels { width, height });
    }
    if pixels == 0 {
        return Err(DecodeError::NoPixels);
    }
    static ONE_LARGE_PICTURE: Mutex<()> = Mutex::new(());
    let _turn =
        (pixels > LARGE_PIXELS).then(|| ONE_LARGE_PICTURE.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    // A broken EXIF block is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(describe)?;
    picture.apply_orientation(orientation);
    Ok(if picture.color().has_alpha() { on_white(&picture) } else { picture.into_rgb8() })
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
        E::Unsupported(e) => DecodeError::Unsupported(e.format_hint().to_string()),
        other => DecodeError::Damaged(other.to_string()),
    }
}

/// Whether a JPEG's end-of-image marker follows its picture data. The decoder fills a missing rest with grey, and a
/// half grey picture would be indexed as if it were one.
fn jpeg_has_its_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    // Walk the segments up to the start of the scan: a thumbnail inside EXIF has an end marker of its own.
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4).and_then(|s| <&[u8; 4]>::try_from(s).ok()) {
        match marker {
            0xDA => return bytes[at..].windows(2).rev().any(|pair| pair == [0xFF, 0xD9]),
            0xFF => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    // Not a plain sequence of segments: let the decoder judge.
    at < bytes.len()
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
pub fn resize(picture: &RgbImage, width: u32, height: u32) -> Result<RgbImage, DecodeError> {
    resize_part(picture, None, width, height)
}

/// Cuts the largest middle part with the shape of `width` x `height` and resizes it to that.
///
/// # Errors
/// When a side is zero.
pub fn resize_and_crop(picture: &RgbImage, width: u32, height: u32) -> Result<RgbImage, DecodeError> {
    resize_part(picture, Some((0.5, 0.5)), width, height)
}

fn resize_part(
    picture: &RgbImage,
    crop_at: Option<(f64, f64)>,
    width: u32,
    height: u32,
) -> Result<RgbImage, DecodeError> {
    let damaged = |e: &dyn std::fmt::Display| DecodeError::Damaged(e.to_string());
    let source = fir::images::ImageRef::new(picture.width(), picture.height(), picture.as_raw(), fir::PixelType::U8x3)
        .map_err(|e| damaged(&e))?;
    let mut target = fir::images::Image::new(width, height, fir::PixelType::U8x3);
    let mut options = fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom));
    if let Some(centre) = crop_at {
        options = options.fit_into_destination(Some(centre));
    }
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
    let small = shrink_to_fit(picture, THUMBNAIL_SIDE)?;
    let mut jpeg = Vec::with_capacity(24 << 10);
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, THUMBNAIL_QUALITY)
        .encode_image(&small)
        .map_err(describe)?;
    Ok(jpeg)
}

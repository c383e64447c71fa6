//! Bytes of a file -> an upright RGB picture; and that picture at a wanted size. The only decode path: embeddings,
//! thumbnails, queries and the large view all come through here, so that orientation and colour are the same for all.
//!
//! A user's folder holds anything. Each file is bounded (bytes, pixels, memory), and a panic in a decoder is caught and
//! becomes that file's problem.

mod colour;
mod heif;
mod jpeg;
mod jxl;
mod kind;
mod png;
mod preview;
#[cfg(target_os = "linux")]
pub mod process;
mod raw;
mod tiff;
mod turbo;

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use fast_image_resize as fir;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, Rgba};
use serde::{Deserialize, Serialize};

use self::colour::Colours;
pub(crate) use self::kind::{EXTENSIONS, HEAD, RAW_EXTENSIONS, UNSUPPORTED, is_picture};
use self::kind::{Kind, unsupported};
use crate::crash::foresee;
use crate::job::Cancel;
use crate::patience::answer_in_time;
use crate::text::sanitise_line;

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

/// Why a file gave no picture. The text is what the problem list shows.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum DecodeError {
    #[error("The file could not be read: {0}")]
    #[serde(skip)]
    Io(#[from] std::io::Error),
    #[error("The drive does not answer. Check its connection, then try again")]
    NoAnswer,
    #[error("Not a file: a folder, a pipe or a device")]
    NotAFile,
    #[error("The file is empty")]
    Empty,
    #[error("The file is larger than {} MB", MAX_FILE_BYTES >> 20)]
    FileTooLarge,
    #[error("Not a picture, whatever its name says")]
    NotAPicture,
    #[error("{0} is not supported yet; save a copy as JPEG or PNG")]
    Unsupported(String),
    #[error("This kind of picture is not supported yet ({0}); save a copy as JPEG or PNG")]
    UnsupportedVariant(String),
    #[error("{width} x {height} pixels are more than the limit of {} megapixels", MAX_PIXELS / 1_000_000)]
    TooManyPixels { width: u32, height: u32 },
    #[error("The picture needs more than {} MB of memory", MAX_DECODER_BYTES >> 20)]
    TooMuchMemory,
    #[error("The picture has no pixels")]
    NoPixels,
    #[error("{kind} photos need a library of the system's that is not there: install the package {package}")]
    NoLibrary { kind: String, package: String },
    #[error("This raw file holds no preview that can be shown; save a copy as JPEG")]
    NoPreview,
    #[error(
        "The preview in this raw file is too small to tell anything ({width} x {height} pixels); save a copy as JPEG"
    )]
    SmallPreview { width: u32, height: u32 },
    #[error("The system's library LibRaw does not know the raw files of this camera; save a copy as JPEG")]
    UnknownCamera,
    #[error("The file is cut short: the end of the picture is missing")]
    Truncated,
    #[error("Damaged; it is searched as far as it can be read: {0}")]
    Spoilt(String),
    #[error("The file is damaged: {0}")]
    Damaged(String),
    #[error(
        "The decoder crashed on this file, or needed too much memory; it is not tried again until the file changes"
    )]
    Crashed,
    #[error(
        "The decoder had not finished with this file after {0} seconds; it is not tried again until the file changes"
    )]
    TookTooLong(u64),
    #[error("The decoder failed on this file ({0}); the file is probably damaged")]
    Panicked(String),
}

impl DecodeError {
    /// A decoder's words may be any, and many.
    fn on_one_line(self) -> Self {
        const MOST: usize = 300;
        match self {
            Self::Damaged(words) => Self::Damaged(sanitise_line(&words, MOST)),
            Self::UnsupportedVariant(words) => Self::UnsupportedVariant(sanitise_line(&words, MOST)),
            Self::Panicked(words) => Self::Panicked(sanitise_line(&words, MOST)),
            other => other,
        }
    }

    /// Whether reading the file again would do harm again: its decoder crashed, hung, or took all memory.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Crashed | Self::TookTooLong(_))
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A file's picture, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Upright, in sRGB, on white.
    pub(crate) picture: RgbImage,
    /// The decoder's words, where the data are damaged but give a picture.
    pub(crate) damage: Option<String>,
    /// Width and height of the whole photo, upright, where its file's header does not tell them plainly.
    pub(crate) size: Option<(u32, u32)>,
}

impl Decoded {
    fn sound(picture: RgbImage) -> Self {
        Self { picture, damage: None, size: None }
    }
}

/// [`read_file`], then [`decode_at_least`]. Waits neither longer for a drive than is usual, nor after a stop.
///
/// # Errors
/// Theirs, and [`DecodeError::NoAnswer`].
pub fn decode_file(path: &Path, wanted: AtLeast, cancel: &Cancel) -> Result<RgbImage, DecodeError> {
    let file = path.to_owned();
    let bytes = answer_in_time(cancel, move || read_file(&file));
    match decode_at_least(&bytes.map_err(|_| DecodeError::NoAnswer)??, wanted) {
        // In the words that the problem list has for such a file.
        Err(DecodeError::NotAPicture) => Err(kind_by_name(path).unwrap_or(DecodeError::NotAPicture)),
        decoded => decoded,
    }
}

fn kind_by_name(path: &Path) -> Option<DecodeError> {
    let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
    unsupported(&ending).map(|kind| DecodeError::Unsupported(kind.into()))
}

/// Decodes a file's bytes to an upright picture in sRGB: orientation and colour profile applied, transparency laid on
/// white, 16 bits brought to 8, CMYK and grey to RGB, the first frame of an animation, a raw file's preview. In this
/// process: for the program's own pictures.
///
/// # Errors
/// When the bytes are no picture of a known kind, are damaged or cut short, or ask for more than the limits.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    decode_here(bytes, AtLeast::FULL).map(|decoded| decoded.picture)
}

/// As [`decode`], at any size that is no smaller than `wanted`, and in a process of its own (see [`process`]).
///
/// # Errors
/// As [`decode`].
pub fn decode_at_least(bytes: &[u8], wanted: AtLeast) -> Result<RgbImage, DecodeError> {
    decode_photo(bytes, wanted).map(|decoded| decoded.picture)
}

/// As [`decode_at_least`], with what is wrong with the data.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_photo(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    #[cfg(target_os = "linux")]
    if let Some(decoded) = process::decode(bytes, wanted) {
        return decoded;
    }
    decode_here(bytes, wanted)
}

fn decode_here(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    guarded(|| decode_unguarded(bytes, wanted)).map_err(DecodeError::on_one_line)
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

fn decode_unguarded(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    match Kind::of(bytes) {
        _ if bytes.is_empty() => Err(DecodeError::Empty),
        Kind::Jpeg => jpeg::decode(bytes, wanted),
        Kind::Png => png::decode(bytes, wanted),
        Kind::WebP => common(bytes, ImageFormat::WebP, wanted),
        Kind::Gif => common(bytes, ImageFormat::Gif, wanted),
        Kind::Bmp => common(bytes, ImageFormat::Bmp, wanted),
        Kind::Tiff if tiff::is_raw(bytes) => raw::decode(bytes, wanted),
        Kind::Tiff => tiff::decode(bytes, wanted),
        Kind::Heif(kind) => heif::decode(bytes, kind, wanted),
        Kind::JpegXl => jxl::decode(bytes, wanted),
        Kind::Raw => raw::decode(bytes, wanted),
        Kind::Unsupported(kind) => Err(DecodeError::Unsupported(kind.into())),
        Kind::Unknown => Err(DecodeError::NotAPicture),
    }
}

/// WebP, GIF and BMP, which need no more than their decoders give.
fn common(bytes: &[u8], format: ImageFormat, wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    let pixels = check_pixels(width, height)?;
    let colours = decoder.icc_profile().ok().flatten().map(|icc| Colours::icc(&icc)).unwrap_or_default();
    let _turn = (pixels > LARGE_PIXELS).then(one_large_picture);
    Ok(Decoded::sound(Stored::by(decoder, colours)?.finish(wanted)))
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}

/// A picture as its file stores it, and what is to be done to it before it can be shown.
struct Stored {
    picture: DynamicImage,
    colours: Colours,
    orientation: Orientation,
    /// Its colours are stored as they are over black.
    is_premultiplied: bool,
}

impl Stored {
    fn by(mut decoder: impl ImageDecoder, colours: Colours) -> Result<Self, DecodeError> {
        if decoder.total_bytes() > MAX_DECODER_BYTES {
            return Err(DecodeError::TooMuchMemory);
        }
        // A broken EXIF block is no reason to refuse the picture. Some programs leave the mark of a JPEG's block before it.
        let exif = decoder.exif_metadata().ok().flatten().unwrap_or_default();
        let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
        let orientation = Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms);
        let picture = DynamicImage::from_decoder(decoder).map_err(describe)?;
        Ok(Self { picture, colours, orientation, is_premultiplied: false })
    }

    /// Upright, in sRGB, on white; where no more is wanted, smaller, which all the rest is done to then.
    fn finish(self, wanted: AtLeast) -> RgbImage {
        let mut picture = self.colours.to_srgb(shrunk(self.picture, wanted));
        picture.apply_orientation(self.orientation);
        on_white(picture, self.is_premultiplied)
    }
}

/// Means of squares of pixels, so many that the picture stays twice as large as wanted: whoever makes it smaller still has
/// enough to choose from. One that is partly transparent stays as it is.
fn shrunk(picture: DynamicImage, wanted: AtLeast) -> DynamicImage {
    let picture = match picture {
        DynamicImage::ImageRgba8(rgba) if rgba.pixels().all(|pixel| pixel.0[3] == 255) => {
            DynamicImage::from(DynamicImage::from(rgba).into_rgb8())
        }
        picture => picture,
    };
    let (width, height) = (picture.width(), picture.height());
    let times = |side: u32, wanted: u32| side / wanted.saturating_mul(2).max(1);
    let times = times(width.min(height), wanted.shorter).min(times(width.max(height), wanted.longer));
    if times < 2 || picture.color().has_alpha() {
        return picture;
    }
    let (width, height) = (width / times, height / times);
    match &picture {
        DynamicImage::ImageRgb8(rgb) => {
            let boxes =
                |options: fir::ResizeOptions| options.resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Box));
            resize_with(rgb, width, height, boxes).map_or(picture, DynamicImage::from)
        }
        _ => picture.thumbnail_exact(width, height),
    }
}

/// Waits until no other large picture is being decoded.
fn one_large_picture() -> MutexGuard<'static, ()> {
    static ONE_LARGE_PICTURE: Mutex<()> = Mutex::new(());
    #[cfg(target_os = "linux")]
    process::wait_for_turn();
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

fn describe(error: image::ImageError) -> DecodeError {
    use image::ImageError as E;
    match error {
        E::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => DecodeError::Truncated,
        E::Unsupported(e) => DecodeError::UnsupportedVariant(e.to_string()),
        E::Limits(_) => DecodeError::TooMuchMemory,
        other => DecodeError::Damaged(other.to_string()),
    }
}

/// A picture in 8-bit RGB, what is transparent laid on white.
fn on_white(picture: DynamicImage, is_premultiplied: bool) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let Rgba([r, g, b, a]) = *rgba.get_pixel(x, y);
        let (white, alpha) = (255 * (255 - u32::from(a)), if is_premultiplied { 255 } else { u32::from(a) });
        image::Rgb([r, g, b].map(|value| ((u32::from(value) * alpha + white + 127) / 255).min(255) as u8))
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
    fn a_webp_is_turned_whichever_way_its_exif_block_begins() {
        let turned = DynamicImage::from(four_colours()).rotate270().into_rgb8();
        let block = [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[6, 0, 0, 0, 0, 0, 0, 0]].concat();
        for mark in [&b""[..], b"Exif\0\0"] {
            let exif = [mark, &block].concat();
            let mut webp = Vec::new();
            let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
            image::ImageEncoder::set_exif_metadata(&mut encoder, exif).unwrap();
            encoder.encode(&turned, turned.width(), turned.height(), image::ExtendedColorType::Rgb8).unwrap();
            assert_four_colours(&webp, 0, &format!("{mark:?}"));
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
        for end in [3, 20, jpeg.len() / 2, jpeg.len() - 100] {
            let error = decode(&jpeg[..end]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated), "{end} bytes of a JPEG: {error}");
        }
        // What ends behind the picture, but without the marker, is whole.
        assert_eq!(decode(&jpeg[..jpeg.len() - 2]).unwrap(), decode(&jpeg).unwrap());
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

    /// What a test cannot show where the system lacks the library.
    fn skipped(error: &DecodeError) -> bool {
        let is_missing = matches!(error, DecodeError::NoLibrary { .. });
        if is_missing {
            println!("Skipped: {error}");
        }
        is_missing
    }

    #[test]
    fn phones_pictures_come_out_as_they_are_meant() {
        let files: [(&str, &[u8]); 3] = [
            // Turned by its container; its EXIF block, which says the same, does not turn it once more.
            ("HEIC", include_bytes!("../../tests/data/turned.heic")),
            ("AVIF", include_bytes!("../../tests/data/plain.avif")),
            ("JPEG XL", include_bytes!("../../tests/data/plain.jxl")),
        ];
        for (what, bytes) in files {
            match decode(bytes) {
                Ok(picture) => {
                    assert_eq!(picture.dimensions(), (128, 64), "{what}");
                    assert_near(&quarters(&picture), &[RED, GREEN, BLUE, WHITE], 16, what);
                }
                Err(error) => assert!(skipped(&error), "{what}: {error}"),
            }
            assert!(decode(&bytes[..bytes.len() / 2]).is_err(), "half of a {what}");
        }
    }

    #[test]
    fn colours_of_other_profiles_are_brought_to_srgb() {
        use image::ImageEncoder;
        use moxcms::{ColorProfile, Layout, TransformOptions};
        let picture = four_colours();
        let soft = RgbImage::from_fn(32, 16, |x, y| Rgb(picture.get_pixel(x, y).0.map(|value| 60 + value / 2)));
        for profile in [
            ColorProfile::new_display_p3(),
            ColorProfile::new_adobe_rgb(),
            ColorProfile::new_pro_photo_rgb(),
            ColorProfile::new_srgb(),
        ] {
            let options = TransformOptions::default();
            let from_srgb = ColorProfile::new_srgb();
            let transform = from_srgb.create_transform_8bit(Layout::Rgb, &profile, Layout::Rgb, options).unwrap();
            let mut twin = RgbImage::new(32, 16);
            transform.transform(&soft, &mut twin).unwrap();
            let icc = profile.encode().unwrap();
            let mut bytes = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
            encoder.set_icc_profile(icc.clone()).unwrap();
            encoder.write_image(&twin, 32, 16, image::ExtendedColorType::Rgb8).unwrap();
            assert_near(&quarters(&decode(&bytes).unwrap()), &quarters(&soft), 3, "PNG");
            let mut bytes = Vec::new();
            let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
            encoder.set_icc_profile(icc).unwrap();
            encoder.write_image(&twin, 32, 16, image::ExtendedColorType::Rgb8).unwrap();
            assert_near(&quarters(&decode(&bytes).unwrap()), &quarters(&soft), 8, "JPEG");
        }
    }

    #[test]
    fn a_png_s_own_words_on_colour_count() {
        let png = encode(RgbImage::from_pixel(8, 8, Rgb([128; 3])), ImageFormat::Png);
        // Behind the header, which is 33 bytes with the magic.
        let with = |chunk: Vec<u8>| [&png[..33], &chunk, &png[33..]].concat();
        // Linear light: half of it is brighter than the number 128.
        let linear = with(chunk(b"gAMA", &100_000_u32.to_be_bytes()));
        assert_near(&quarters(&decode(&linear).unwrap()), &[[188; 3]; 4], 2, "linear");
        let usual = with(chunk(b"gAMA", &45_455_u32.to_be_bytes()));
        assert_near(&quarters(&decode(&usual).unwrap()), &[[128; 3]; 4], 0, "sRGB's");
        // Display P3, by number.
        let red = encode(RgbImage::from_pixel(8, 8, Rgb([200, 60, 60])), ImageFormat::Png);
        let red = [&red[..33], &chunk(b"cICP", &[12, 13, 0, 1]), &red[33..]].concat();
        let [found, ..] = quarters(&decode(&red).unwrap());
        assert!(found[0] > 208 && found[1] < 58, "{found:?}");
        // For bright screens: white paper stays almost white, the middle grey of one the middle grey of the other.
        for (transfer, white, middle) in [(16, 148, 105), (18, 191, 111)] {
            let grey = |value| encode(RgbImage::from_pixel(8, 8, Rgb([value; 3])), ImageFormat::Png);
            let shown = |value| {
                let png = grey(value);
                quarters(&decode(&[&png[..33], &chunk(b"cICP", &[9, transfer, 0, 1]), &png[33..]].concat()).unwrap())
            };
            assert_near(&shown(white), &[[233; 3]; 4], 3, "paper");
            assert_near(&shown(middle), &[[118; 3]; 4], 4, "middle grey");
            assert_near(&shown(0), &[[0; 3]; 4], 0, "black");
        }
    }

    #[test]
    fn damaged_data_are_told_of() {
        let noise = RgbImage::from_fn(128, 128, |x, y| Rgb([x, y, x ^ y].map(|v| ((v * 2_654_435) >> 8) as u8)));
        let jpeg = encode(noise, ImageFormat::Jpeg);
        let damage = |bytes: &[u8]| decode_here(bytes, AtLeast::FULL).unwrap().damage;
        assert_eq!(damage(&jpeg), None);
        let third = jpeg.len() / 3;
        let cut = [&jpeg[..third], &[0xFF, 0xD9]].concat();
        assert!(damage(&cut).unwrap().contains("premature end"));
        let lost = [&jpeg[..2 * third], &[0; 512], &jpeg[2 * third + 512..]].concat();
        assert!(damage(&lost).is_some());
        // At a smaller size as well.
        assert!(decode_here(&cut, AtLeast { shorter: 10, longer: 10 }).unwrap().damage.is_some());
        // Something else behind a picture without its end marker.
        let trailer = [&jpeg[..jpeg.len() - 2], b"SEFH".as_slice(), &[0; 800]].concat();
        assert_eq!(decode(&trailer).unwrap(), decode(&jpeg).unwrap());
    }

    #[test]
    fn apple_s_png_is_named() {
        let header = png_header(8, 8, 8, 6);
        let apple = [&header[..8], &chunk(b"CgBI", &[0x50, 0, 0x20, 2]), &header[8..]].concat();
        assert!(decode(&apple).unwrap_err().to_string().contains("Apple's variant of PNG"));
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

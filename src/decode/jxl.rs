//! JPEG XL.

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use jxl_oxide::{AllocTracker, JxlImage, PixelFormat};

use super::colour::Colours;
use super::{AtLeast, DecodeError, Decoded, LARGE_PIXELS, MAX_DECODER_BYTES, Stored, check_pixels, one_large_picture};

/// The first frame, upright, on white, in sRGB.
///
/// # Errors
/// When the file is damaged, cut short or too large.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let damaged = |error: Box<dyn std::error::Error + Send + Sync>| DecodeError::Damaged(error.to_string());
    let tracker = AllocTracker::with_limit(2 * MAX_DECODER_BYTES as usize);
    let mut image = JxlImage::builder().alloc_tracker(tracker).read(bytes).map_err(damaged)?;
    let pixels = check_pixels(image.width(), image.height())?;
    if image.num_loaded_keyframes() == 0 || !image.is_loading_done() {
        return Err(DecodeError::Truncated);
    }
    let format = image.pixel_format();
    if matches!(format, PixelFormat::Cmyk | PixelFormat::Cmyka) {
        return Err(DecodeError::UnsupportedVariant("JPEG XL with inks".into()));
    }
    let _turn = (pixels > LARGE_PIXELS).then(one_large_picture);
    image.set_render_spot_color(true);
    let frame = image.render_frame(0).map_err(damaged)?;
    let mut stream = frame.stream();
    let (width, height) = (stream.width(), stream.height());
    let mut samples = vec![0_u8; width as usize * height as usize * stream.channels() as usize];
    stream.write_to_buffer(&mut samples);
    let picture = match stream.channels() {
        1 => GrayImage::from_raw(width, height, samples).map(DynamicImage::from),
        2 => GrayAlphaImage::from_raw(width, height, samples).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
        _ => RgbaImage::from_raw(width, height, samples).map(DynamicImage::from),
    };
    let is_premultiplied =
        image.image_header().metadata.ec_info.iter().any(|channel| channel.alpha_associated() == Some(true));
    let stored = Stored {
        picture: picture.ok_or(DecodeError::NoPixels)?,
        colours: Colours::icc(&image.rendered_icc()),
        // It has been turned already.
        orientation: Orientation::NoTransforms,
        is_premultiplied,
    };
    Ok(Decoded { size: Some((width, height)), ..Decoded::sound(stored.finish(wanted)) })
}

//! Colour profiles: whatever a file's numbers mean, what is shown and what is embedded is sRGB. Applied once, to the picture
//! as it was decoded: shrunk, where the decoder can.

use std::sync::Arc;

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Pixel, Rgb, RgbImage, Rgba};
use moxcms::{
    CicpColorPrimaries, CicpProfile, CmsError, ColorProfile, DataColorSpace, Layout, MatrixCoefficients,
    TransferCharacteristics, TransformExecutor, TransformOptions,
};

use super::DecodeError;

type Transform<T> = Result<Arc<dyn TransformExecutor<T> + Send + Sync>, CmsError>;

/// What a file's numbers mean; sRGB where nothing is said.
#[derive(Default)]
pub(super) struct Colours(Option<Box<ColorProfile>>);

impl Colours {
    /// Of an ICC profile. One that cannot be read says nothing: no reason to refuse the picture.
    pub(super) fn icc(profile: &[u8]) -> Self {
        Self(ColorProfile::new_from_slice(profile).ok().map(Box::new))
    }

    /// By their numbers in ITU-T H.273.
    pub(super) fn of_numbers(primaries: u8, transfer: u8) -> Self {
        // sRGB's own, and none.
        if matches!((primaries, transfer), (0..=2, 0..=2 | 6 | 13..=15)) {
            return Self::default();
        }
        let profile = || {
            let color_primaries = CicpColorPrimaries::try_from(primaries).ok()?;
            let transfer_characteristics = match transfer {
                // Television's curves are shown as sRGB's is, everywhere.
                0..=2 | 6 | 14 | 15 => TransferCharacteristics::Srgb,
                other => TransferCharacteristics::try_from(other).ok()?,
            };
            let matrix_coefficients = MatrixCoefficients::Identity;
            let numbers =
                CicpProfile { color_primaries, transfer_characteristics, matrix_coefficients, full_range: true };
            let mut profile = ColorProfile::new_srgb();
            // Whatever it returns: where it cannot, the profile stays sRGB.
            profile.update_rgb_colorimetry_from_cicp(numbers);
            Some(profile)
        };
        profile().map(Self::profile).unwrap_or_default()
    }

    pub(super) fn profile(profile: ColorProfile) -> Self {
        Self(Some(Box::new(profile)))
    }

    /// A grey or RGB picture in sRGB, its transparency as it was. Where the profile is of other colours, or one that cannot
    /// be computed with, the picture as it is.
    pub(super) fn to_srgb(&self, picture: DynamicImage) -> DynamicImage {
        let Some(profile) = self.0.as_deref() else { return picture };
        let is_grey = !picture.color().has_color();
        match profile.color_space {
            DataColorSpace::Gray if is_grey => grey_to_srgb(profile, &picture),
            // A grey picture with a profile of RGB: all three are the same.
            DataColorSpace::Rgb if is_grey => rgb_to_srgb(profile, to_rgb(&picture)),
            DataColorSpace::Rgb => rgb_to_srgb(profile, picture),
            _ => picture,
        }
    }

    /// A picture in inks, of which 255 is the most, in sRGB: four bytes a pixel.
    ///
    /// # Errors
    /// When there are fewer bytes than pixels ask for.
    pub(super) fn inks_to_srgb(&self, inks: &[u8], (width, height): (u32, u32)) -> Result<RgbImage, DecodeError> {
        let mut pixels = RgbImage::new(width, height);
        let inks = inks.get(..pixels.len() / 3 * 4).ok_or(DecodeError::Truncated)?;
        let profile = self.0.as_deref().filter(|profile| profile.color_space == DataColorSpace::Cmyk);
        let transform =
            profile.map(|profile| profile.create_transform_8bit(Layout::Rgba, &srgb(), Layout::Rgb, options()));
        if transform.and_then(Result::ok).is_none_or(|transform| transform.transform(inks, &mut pixels).is_err()) {
            for (pixel, [c, m, y, k]) in pixels.pixels_mut().zip(inks.as_chunks::<4>().0) {
                let light = |ink: &u8| (u32::from(255 - ink) * u32::from(255 - k) + 127) / 255;
                pixel.0 = [c, m, y].map(|ink| light(ink) as u8);
            }
        }
        Ok(pixels)
    }
}

fn srgb() -> ColorProfile {
    ColorProfile::new_srgb()
}

fn options() -> TransformOptions {
    TransformOptions::default()
}

fn rgb_to_srgb(profile: &ColorProfile, picture: DynamicImage) -> DynamicImage {
    let bytes = |layout| profile.create_transform_8bit(layout, &srgb(), layout, options());
    let words = |layout| profile.create_transform_16bit(layout, &srgb(), layout, options());
    let changed: Option<DynamicImage> = match &picture {
        DynamicImage::ImageRgb8(pixels) => transformed::<Rgb<u8>, Rgb<u8>>(&bytes(Layout::Rgb), pixels).map(Into::into),
        DynamicImage::ImageRgba8(pixels) => transformed::<_, Rgba<u8>>(&bytes(Layout::Rgba), pixels).map(Into::into),
        DynamicImage::ImageRgb16(pixels) => transformed::<_, Rgb<u16>>(&words(Layout::Rgb), pixels).map(Into::into),
        DynamicImage::ImageRgba16(pixels) => transformed::<_, Rgba<u16>>(&words(Layout::Rgba), pixels).map(Into::into),
        _ => None,
    };
    changed.unwrap_or(picture)
}

fn grey_to_srgb(profile: &ColorProfile, picture: &DynamicImage) -> DynamicImage {
    let bytes = |from, to| profile.create_transform_8bit(from, &srgb(), to, options());
    let words = |from, to| profile.create_transform_16bit(from, &srgb(), to, options());
    let [(grey, rgb), (grey_alpha, rgba)] = [(Layout::Gray, Layout::Rgb), (Layout::GrayAlpha, Layout::Rgba)];
    let changed: Option<DynamicImage> = match picture {
        DynamicImage::ImageLuma8(pixels) => transformed::<Luma<u8>, Rgb<u8>>(&bytes(grey, rgb), pixels).map(Into::into),
        DynamicImage::ImageLumaA8(pixels) => {
            transformed::<LumaA<u8>, Rgba<u8>>(&bytes(grey_alpha, rgba), pixels).map(Into::into)
        }
        DynamicImage::ImageLuma16(pixels) => transformed::<_, Rgb<u16>>(&words(grey, rgb), pixels).map(Into::into),
        DynamicImage::ImageLumaA16(pixels) => {
            transformed::<_, Rgba<u16>>(&words(grey_alpha, rgba), pixels).map(Into::into)
        }
        _ => None,
    };
    changed.unwrap_or_else(|| picture.clone())
}

fn transformed<P, Q>(
    transform: &Transform<P::Subpixel>,
    pixels: &ImageBuffer<P, Vec<P::Subpixel>>,
) -> Option<ImageBuffer<Q, Vec<P::Subpixel>>>
where
    P: Pixel,
    P::Subpixel: Copy + Default,
    Q: Pixel<Subpixel = P::Subpixel>,
{
    let mut changed = ImageBuffer::new(pixels.width(), pixels.height());
    transform.as_ref().ok()?.transform(pixels, &mut changed).ok()?;
    Some(changed)
}

fn to_rgb(picture: &DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageLuma8(_) => picture.to_rgb8().into(),
        DynamicImage::ImageLumaA8(_) => picture.to_rgba8().into(),
        DynamicImage::ImageLuma16(_) => picture.to_rgb16().into(),
        _ => picture.to_rgba16().into(),
    }
}

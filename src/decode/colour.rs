//! Colour profiles: whatever a file's numbers mean, what is shown and what is embedded is sRGB. Applied once, to the picture
//! as it was decoded: shrunk, where the decoder can.

use std::sync::Arc;

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Pixel, Rgb, RgbImage, Rgba};
use moxcms::{
    CicpColorPrimaries, CicpProfile, CmsError, ColorProfile, DataColorSpace, Layout, MatrixCoefficients, ToneReprCurve,
    TransferCharacteristics, TransformExecutor, TransformOptions,
};

use super::DecodeError;

/// Transfer functions of ITU-R BT.2100 by their numbers in ITU-T H.273.
const PQ: u8 = 16;
const HLG: u8 = 18;
/// How bright such pictures show white paper, in candelas a square metre (ITU-R BT.2408).
const WHITE: f64 = 203.0;
/// Tones up to this part of white stay as they are.
const KNEE: f64 = 0.5;

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
                // Television's curves are shown as sRGB's is, everywhere; those of bright screens follow below.
                0..=2 | 6 | 14 | 15 | PQ | HLG => TransferCharacteristics::Srgb,
                other => TransferCharacteristics::try_from(other).ok()?,
            };
            let matrix_coefficients = MatrixCoefficients::Identity;
            let numbers =
                CicpProfile { color_primaries, transfer_characteristics, matrix_coefficients, full_range: true };
            let mut profile = ColorProfile::new_srgb();
            // Whatever it returns: where it cannot, the profile stays sRGB.
            profile.update_rgb_colorimetry_from_cicp(numbers);
            if matches!(transfer, PQ | HLG) {
                // The numbers would count for more.
                profile.cicp = None;
                let curve = Some(tone_curve(transfer));
                (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
            }
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

/// From the numbers of ITU-R BT.2100, which are for screens that are brighter than white paper, to linear light of which
/// paper is the most: dark and middle tones as they are, what is brighter pressed together.
fn tone_curve(transfer: u8) -> ToneReprCurve {
    const STEPS: u16 = 1024;
    let light = |number: f64| match transfer {
        PQ => {
            let root = number.powf(1.0 / 78.84375);
            10_000.0 * ((root - 0.8359375).max(0.0) / (18.8515625 - 18.6875 * root)).powf(1.0 / 0.1593017578125)
        }
        _ => {
            let (a, b, c) = (0.17883277, 0.28466892, 0.55991073);
            let scene = if number <= 0.5 { number * number / 3.0 } else { (((number - c) / a).exp() + b) / 12.0 };
            // As on a screen of that many candelas a square metre.
            1000.0 * scene.powf(1.2)
        }
    };
    let pressed =
        |light: f64| if light <= KNEE { light } else { 1.0 - (1.0 - KNEE) * ((KNEE - light) / (1.0 - KNEE)).exp() };
    let step = |step: u16| pressed(light(f64::from(step) / f64::from(STEPS - 1)) / WHITE);
    ToneReprCurve::Lut((0..STEPS).map(|number| (step(number) * 65535.0).round() as u16).collect())
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

//! PNG, with its own ways to tell what its colours mean.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use moxcms::{Chromaticity, ColorPrimaries, ColorProfile, ToneReprCurve, XyY};
use png::{Info, ScaledFloat};

use super::colour::Colours;
use super::{AtLeast, DecodeError, Decoded, LARGE_PIXELS, Stored, check_pixels, describe, limits, one_large_picture};

/// How much a chromaticity or a gamma may differ from sRGB's and mean the same.
const ROUNDING: f32 = 0.001;
const SRGB_GAMMA: f32 = 1.0 / 2.2;
const SRGB_CHROMATICITIES: [(f32, f32); 4] = [(0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)];

/// # Errors
/// When the file is damaged, cut short or too large, or is Apple's variant for its own programs.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    match bytes.get(12..16) {
        Some(b"IHDR") => {}
        Some(b"CgBI") => {
            return Err(DecodeError::UnsupportedVariant("Apple's variant of PNG, as apps for iPhones hold".into()));
        }
        Some(_) => return Err(DecodeError::Damaged("it does not begin with a header".into())),
        None => return Err(DecodeError::Truncated),
    }
    // The decoder asks for the first picture data before it tells the size.
    let side = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let pixels = check_pixels(side(16), side(20))?;
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits()).map_err(describe)?;
    let _turn = (pixels > LARGE_PIXELS).then(one_large_picture);
    Ok(Decoded::sound(Stored::by(decoder, colours(bytes))?.finish(wanted)))
}

/// What the chunks before the picture say, the strongest of them: cICP, iCCP, sRGB, then gAMA and cHRM.
fn colours(bytes: &[u8]) -> Colours {
    let Ok(reader) = png::Decoder::new(Cursor::new(bytes)).read_info() else { return Colours::default() };
    let info = reader.info();
    if let Some(numbers) = info.coding_independent_code_points {
        return Colours::of_numbers(numbers.color_primaries, numbers.transfer_function);
    }
    if let Some(profile) = &info.icc_profile {
        return Colours::icc(profile);
    }
    if info.srgb.is_some() { Colours::default() } else { of_gamma(info).unwrap_or_default() }
}

/// `None` where they say nothing, or that it is as good as sRGB.
fn of_gamma(info: &Info) -> Option<Colours> {
    let near = |one: f32, other: f32| (one - other).abs() <= ROUNDING;
    let gamma = info.gama_chunk.map(ScaledFloat::into_value);
    let chromaticities = info.chrm_chunk.map_or(SRGB_CHROMATICITIES, |chunk| {
        [chunk.white, chunk.red, chunk.green, chunk.blue].map(|(x, y)| (x.into_value(), y.into_value()))
    });
    let usual =
        chromaticities.iter().zip(SRGB_CHROMATICITIES).all(|(one, other)| near(one.0, other.0) && near(one.1, other.1));
    // What files of old programs say of a screen with sRGB's colours.
    if usual && gamma.is_none_or(|gamma| near(gamma, SRGB_GAMMA)) {
        return None;
    }
    let [white, red, green, blue] = chromaticities;
    let is_sane = |(x, y): (f32, f32)| x.is_finite() && y > 0.01 && x >= 0.0 && x + y <= 1.01;
    if !chromaticities.into_iter().all(is_sane) || gamma.is_some_and(|gamma| !(0.05..=5.0).contains(&gamma)) {
        return None;
    }
    let mut profile = ColorProfile::new_srgb();
    let primary = |(x, y)| Chromaticity { x, y };
    profile.update_rgb_colorimetry(
        XyY { x: white.0.into(), y: white.1.into(), yb: 1.0 },
        ColorPrimaries { red: primary(red), green: primary(green), blue: primary(blue) },
    );
    if let Some(gamma) = gamma.filter(|gamma| !near(*gamma, SRGB_GAMMA)) {
        let curve = ToneReprCurve::Parametric(vec![1.0 / gamma]);
        (profile.red_trc, profile.green_trc, profile.blue_trc) =
            (Some(curve.clone()), Some(curve.clone()), Some(curve));
    }
    Some(Colours::profile(profile))
}

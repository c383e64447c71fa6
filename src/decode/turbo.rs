//! libjpeg-turbo, with its warnings: where the data are damaged it gives a picture and says so, while the `turbojpeg` crate
//! takes that for an error and gives none.

#![allow(unsafe_code, reason = "a C library")]

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use turbojpeg::{ScalingFactor, raw};

/// How the warnings begin that speak of damage: others tell of an unusual but whole file.
const DAMAGE: [&str; 3] = ["Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression sequence"];

/// A decompressor; one a thread.
pub(super) struct Decoder(NonNull<std::ffi::c_void>);

/// What a JPEG's header says.
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// Pixels across.
    pub(super) width: u32,
    /// Pixels down.
    pub(super) height: u32,
    pub(super) samples: Samples,
    pub(super) is_lossless: bool,
    pub(super) is_progressive: bool,
    /// Of a sample.
    pub(super) bits: u8,
}

/// What a pixel comes as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Samples {
    Grey,
    Rgb,
    Cmyk,
}

impl Samples {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }

    fn format(self) -> c_int {
        match self {
            Self::Grey => raw::TJPF_TJPF_GRAY,
            Self::Rgb => raw::TJPF_TJPF_RGB,
            Self::Cmyk => raw::TJPF_TJPF_CMYK,
        }
    }
}

/// A picture as it is stored.
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    /// [`Samples::count`] bytes a pixel.
    pub(super) samples: Vec<u8>,
    /// The library's words for what is wrong with the data.
    pub(super) damage: Option<String>,
}

impl Decoder {
    /// `None` without memory for it.
    pub(super) fn new() -> Option<Self> {
        // SAFETY: it takes no pointers; what it gives is destroyed once, in `drop`.
        NonNull::new(unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) }).map(Self)
    }

    /// # Errors
    /// The library's words.
    pub(super) fn read_header(&mut self, bytes: &[u8]) -> Result<Header, String> {
        // SAFETY: the bytes are only read, and only during the call.
        let result = unsafe { raw::tj3DecompressHeader(self.0.as_ptr(), bytes.as_ptr(), bytes.len() as raw::size_t) };
        self.outcome(result)?;
        let samples = match self.get(raw::TJPARAM_TJPARAM_COLORSPACE) as raw::TJCS {
            raw::TJCS_TJCS_GRAY => Samples::Grey,
            raw::TJCS_TJCS_CMYK | raw::TJCS_TJCS_YCCK => Samples::Cmyk,
            _ => Samples::Rgb,
        };
        Ok(Header {
            width: self.get(raw::TJPARAM_TJPARAM_JPEGWIDTH).max(0) as u32,
            height: self.get(raw::TJPARAM_TJPARAM_JPEGHEIGHT).max(0) as u32,
            samples,
            is_lossless: self.get(raw::TJPARAM_TJPARAM_LOSSLESS) != 0,
            is_progressive: self.get(raw::TJPARAM_TJPARAM_PROGRESSIVE) != 0,
            bits: self.get(raw::TJPARAM_TJPARAM_PRECISION).clamp(0, 16) as u8,
        })
    }

    /// The picture at a scale; `bytes` are those that the header was read from, or begin as they do.
    ///
    /// # Errors
    /// The library's words, where it gives no picture.
    pub(super) fn decompress(&mut self, bytes: &[u8], header: &Header, scale: ScalingFactor) -> Result<Pixels, String> {
        let Header { width, height, samples, .. } = *header;
        let [width, height] = [width, height].map(|side| scale.scale(side as usize));
        let pitch = width * samples.count();
        let mut pixels = vec![0; pitch * height];
        let factor = raw::tjscalingfactor { num: scale.num() as c_int, denom: scale.denom() as c_int };
        // SAFETY: the handle is alive.
        let result = unsafe { raw::tj3SetScalingFactor(self.0.as_ptr(), factor) };
        self.outcome(result)?;
        // SAFETY: the library writes as many rows of `pitch` bytes as the header's height at this scale.
        let result = unsafe {
            raw::tj3Decompress8(
                self.0.as_ptr(),
                bytes.as_ptr(),
                bytes.len() as raw::size_t,
                pixels.as_mut_ptr(),
                pitch as c_int,
                samples.format(),
            )
        };
        let damage = self.outcome(result)?.filter(|warning| DAMAGE.iter().any(|begin| warning.starts_with(begin)));
        Ok(Pixels { width: width as u32, height: height as u32, samples: pixels, damage })
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the handle is alive.
        unsafe { raw::tj3Get(self.0.as_ptr(), parameter as c_int) }
    }

    /// A warning, where there is one; an error where the library could not go on.
    fn outcome(&self, result: c_int) -> Result<Option<String>, String> {
        if result == 0 {
            return Ok(None);
        }
        // SAFETY: the handle is alive, and the text belongs to it until the next call.
        let (code, text) = unsafe {
            let text = CStr::from_ptr(raw::tj3GetErrorStr(self.0.as_ptr()));
            (raw::tj3GetErrorCode(self.0.as_ptr()), text.to_string_lossy().into_owned())
        };
        if code as raw::TJERR == raw::TJERR_TJERR_WARNING { Ok(Some(text)) } else { Err(text) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: it was made by `tj3Init` and is destroyed here only.
        unsafe { raw::tj3Destroy(self.0.as_ptr()) };
    }
}

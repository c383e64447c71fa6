//! HEIC and AVIF through the system's libheif, opened at run time: systems have versions of it that are too different to be
//! built for. Turned and mirrored as the container says; what EXIF says of that is not counted in these files.

#![allow(unsafe_code, reason = "a C library")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};
use libloading::Library;

use super::colour::Colours;
use super::{AtLeast, DecodeError, Decoded, LARGE_PIXELS, Stored, check_pixels, one_large_picture};

const LIBRARY: &str = "libheif.so.1";
const PACKAGE: &str = "libheif1";
/// From libheif's enums.
const COLOURSPACE_RGB: c_int = 1;
const CHROMA_RGB: c_int = 10;
const CHROMA_RGBA: c_int = 11;
const CHANNEL_INTERLEAVED: c_int = 10;
const UNSUPPORTED_FEATURE: c_int = 4;
const PLUGIN_LOADING_ERROR: c_int = 11;
const UNSUPPORTED_CODEC: c_int = 3000;
/// Where `heif_decoding_options` keeps, from its second version on, that more than 8 bits are brought to 8.
const CONVERT_TO_8_BITS: usize = 40;

/// A result as libheif gives it; the text is the library's own, and always there.
#[repr(C)]
struct HeifError {
    code: c_int,
    subcode: c_int,
    message: *const c_char,
}

/// The head of `heif_color_profile_nclx`: ITU-T H.273 numbers.
#[repr(C)]
struct Nclx {
    version: u8,
    primaries: c_int,
    transfer: c_int,
    matrix: c_int,
    full_range: u8,
}

macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Those functions of libheif that are used, under their own names.
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?),* }

        impl Functions {
            fn load() -> Option<Self> {
                // SAFETY: libheif's initialisers ask for nothing that holds here; the types are those of its header since 1.11.
                unsafe {
                    let library = Library::new(LIBRARY).ok()?;
                    let functions = Self { $($name: *library.get(concat!(stringify!($name), "\0").as_bytes()).ok()?),* };
                    // The functions are used until the process ends.
                    std::mem::forget(library);
                    Some(functions)
                }
            }
        }
    };
}

functions! {
    heif_context_alloc() -> *mut c_void;
    heif_context_free(*mut c_void);
    heif_context_read_from_memory_without_copy(*mut c_void, *const c_void, usize, *const c_void) -> HeifError;
    heif_context_set_max_decoding_threads(*mut c_void, c_int);
    heif_context_get_primary_image_handle(*mut c_void, *mut *mut c_void) -> HeifError;
    heif_image_handle_release(*const c_void);
    heif_image_handle_get_width(*const c_void) -> c_int;
    heif_image_handle_get_height(*const c_void) -> c_int;
    heif_image_handle_has_alpha_channel(*const c_void) -> c_int;
    heif_image_handle_is_premultiplied_alpha(*const c_void) -> c_int;
    heif_image_handle_get_raw_color_profile_size(*const c_void) -> usize;
    heif_image_handle_get_raw_color_profile(*const c_void, *mut c_void) -> HeifError;
    heif_image_handle_get_nclx_color_profile(*const c_void, *mut *mut Nclx) -> HeifError;
    heif_nclx_color_profile_free(*mut Nclx);
    heif_decoding_options_alloc() -> *mut u8;
    heif_decoding_options_free(*mut u8);
    heif_decode_image(*const c_void, *mut *mut c_void, c_int, c_int, *const u8) -> HeifError;
    heif_image_get_width(*const c_void, c_int) -> c_int;
    heif_image_get_height(*const c_void, c_int) -> c_int;
    heif_image_get_plane_readonly(*const c_void, c_int, *mut c_int) -> *const u8;
    heif_image_release(*const c_void);
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(Functions::load).as_ref()
}

/// Opens the library and its plug-ins now: in a confined process no file can be opened later.
pub(super) fn preload() {
    if let Some(functions) = functions() {
        // SAFETY: a context is made and freed; that loads the plug-ins.
        unsafe { (functions.heif_context_free)((functions.heif_context_alloc)()) };
    }
}

/// Frees what libheif has made, by the function that does it.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made by the library, is freed by its function, and only here.
        unsafe { (self.1)(self.0) };
    }
}

/// The primary picture, upright, on white, in sRGB. `kind` is what such files are called.
///
/// # Errors
/// When the library or its plug-in is missing, or the file damaged or too large.
pub(super) fn decode(bytes: &[u8], kind: &'static str, wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let missing = || DecodeError::NoLibrary { kind: kind.into(), package: PACKAGE.into() };
    let functions = functions().ok_or_else(missing)?;
    let check = |error: HeifError| check(&error, kind);
    // SAFETY: every pointer that goes in was given by the library or points to what lives during the call; what it makes is
    // freed once, pictures before the handle and that before the context, in the opposite order of their declaration.
    unsafe {
        let context = Owned((functions.heif_context_alloc)(), functions.heif_context_free);
        (functions.heif_context_set_max_decoding_threads)(context.0, 0);
        let length = bytes.len();
        check((functions.heif_context_read_from_memory_without_copy)(
            context.0,
            bytes.as_ptr().cast(),
            length,
            null(),
        ))?;
        let mut handle = null_mut();
        check((functions.heif_context_get_primary_image_handle)(context.0, &raw mut handle))?;
        let handle = Handle(functions, handle);
        let side = |side: c_int| u32::try_from(side).unwrap_or(0);
        let pixels = check_pixels(
            side((functions.heif_image_handle_get_width)(handle.1)),
            side((functions.heif_image_handle_get_height)(handle.1)),
        )?;
        let _turn = (pixels > LARGE_PIXELS).then(one_large_picture);
        let has_alpha = (functions.heif_image_handle_has_alpha_channel)(handle.1) != 0;
        let is_premultiplied = has_alpha && (functions.heif_image_handle_is_premultiplied_alpha)(handle.1) != 0;
        let options = Owned((functions.heif_decoding_options_alloc)(), functions.heif_decoding_options_free);
        if options.0.is_null() {
            return Err(DecodeError::TooMuchMemory);
        }
        if *options.0 >= 2 {
            *options.0.add(CONVERT_TO_8_BITS) = 1;
        }
        let chroma = if has_alpha { CHROMA_RGBA } else { CHROMA_RGB };
        let mut image = null_mut();
        check((functions.heif_decode_image)(handle.1, &raw mut image, COLOURSPACE_RGB, chroma, options.0))?;
        let image = Image(functions, image);
        let (width, height) = (
            side((functions.heif_image_get_width)(image.1, CHANNEL_INTERLEAVED)),
            side((functions.heif_image_get_height)(image.1, CHANNEL_INTERLEAVED)),
        );
        check_pixels(width, height)?;
        let mut stride = 0;
        let plane = (functions.heif_image_get_plane_readonly)(image.1, CHANNEL_INTERLEAVED, &raw mut stride);
        let row_bytes = width as usize * if has_alpha { 4 } else { 3 };
        let stride = usize::try_from(stride).unwrap_or(0);
        if plane.is_null() || stride < row_bytes {
            return Err(DecodeError::NoPixels);
        }
        let mut samples = Vec::with_capacity(row_bytes * height as usize);
        for row in 0..height as usize {
            samples.extend_from_slice(std::slice::from_raw_parts(plane.add(row * stride), row_bytes));
        }
        let picture = if has_alpha {
            RgbaImage::from_raw(width, height, samples).map(DynamicImage::from)
        } else {
            RgbImage::from_raw(width, height, samples).map(DynamicImage::from)
        };
        let stored = Stored {
            picture: picture.ok_or(DecodeError::NoPixels)?,
            colours: colours(functions, &handle),
            orientation: Orientation::NoTransforms,
            is_premultiplied,
        };
        Ok(Decoded { size: Some((width, height)), ..Decoded::sound(stored.finish(wanted)) })
    }
}

/// A picture within a file.
struct Handle(&'static Functions, *mut c_void);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it was given by the library, and is released here only.
        unsafe { (self.0.heif_image_handle_release)(self.1) };
    }
}

/// A decoded picture.
struct Image(&'static Functions, *mut c_void);

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: it was given by the library, and is released here only.
        unsafe { (self.0.heif_image_release)(self.1) };
    }
}

/// What the picture's numbers mean: its ICC profile, or else the numbers of ITU-T H.273.
fn colours(functions: &Functions, handle: &Handle) -> Colours {
    // SAFETY: the profile is written to a buffer of the size that the library asks for; the numbers are read before they
    // are freed.
    unsafe {
        let size = (functions.heif_image_handle_get_raw_color_profile_size)(handle.1);
        if size > 0 {
            let mut profile = vec![0; size];
            let result = (functions.heif_image_handle_get_raw_color_profile)(handle.1, profile.as_mut_ptr().cast());
            return if result.code == 0 { Colours::icc(&profile) } else { Colours::default() };
        }
        let mut nclx = null_mut();
        let result = (functions.heif_image_handle_get_nclx_color_profile)(handle.1, &raw mut nclx);
        if result.code != 0 || nclx.is_null() {
            return Colours::default();
        }
        let nclx = Owned(nclx, functions.heif_nclx_color_profile_free);
        let number = |number: c_int| u8::try_from(number).unwrap_or(0);
        Colours::of_numbers(number((*nclx.0).primaries), number((*nclx.0).transfer))
    }
}

fn check(error: &HeifError, kind: &str) -> Result<(), DecodeError> {
    match (error.code, error.subcode) {
        (0, _) => Ok(()),
        (PLUGIN_LOADING_ERROR, _) | (UNSUPPORTED_FEATURE, UNSUPPORTED_CODEC) => {
            let package = if kind == "AVIF" { "libheif-plugin-dav1d" } else { "libheif-plugin-libde265" };
            Err(DecodeError::NoLibrary { kind: kind.into(), package: package.into() })
        }
        _ => {
            // SAFETY: the text is the library's, and always there.
            let text = unsafe { CStr::from_ptr(error.message) };
            Err(DecodeError::Damaged(text.to_string_lossy().into_owned()))
        }
    }
}

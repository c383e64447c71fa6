//! Raw files by the preview that the camera put in, which the system's LibRaw finds: every maker hides it elsewhere.

#![allow(unsafe_code, reason = "a C library")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use libloading::Library;

use super::{AtLeast, DecodeError, Decoded, THUMBNAIL_SIDE, check_pixels, jpeg, tiff};

/// Versions of the library whose first functions are the same.
const LIBRARIES: [&str; 4] = ["libraw.so.20", "libraw.so.23", "libraw.so.24", "libraw.so"];
const PACKAGE: &str = "libraw20 / libraw23t64";
/// From LibRaw's enums.
const NO_CALLBACKS: c_uint = 3;
const FILE_UNSUPPORTED: c_int = -2;
const NO_IMAGE: c_int = -3;
const NO_THUMBNAIL: c_int = -5;
const UNSUPPORTED_THUMBNAIL: c_int = -6;
const INPUT_ERROR: c_int = -100_009;
const IMAGE_JPEG: c_uint = 1;
/// Where `libraw_data_t` keeps how the camera was held, as a number of its own.
const FLIP: usize = 40;

/// The head of `libraw_processed_image_t`; the data follow it.
#[repr(C)]
struct Processed {
    kind: c_uint,
    height: u16,
    width: u16,
    colours: u16,
    bits: u16,
    bytes: c_uint,
}

/// Those functions of LibRaw that are used.
struct Functions {
    init: unsafe extern "C" fn(c_uint) -> *mut c_void,
    open_buffer: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    unpack_thumb: unsafe extern "C" fn(*mut c_void) -> c_int,
    make_mem_thumb: unsafe extern "C" fn(*mut c_void, *mut c_int) -> *mut Processed,
    clear_mem: unsafe extern "C" fn(*mut Processed),
    get_iwidth: unsafe extern "C" fn(*mut c_void) -> c_int,
    get_iheight: unsafe extern "C" fn(*mut c_void) -> c_int,
    close: unsafe extern "C" fn(*mut c_void),
    strerror: unsafe extern "C" fn(c_int) -> *const c_char,
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(load).as_ref()
}

fn load() -> Option<Functions> {
    // SAFETY: LibRaw's initialisers ask for nothing that holds here; the types are those of its C interface since 0.18.
    unsafe {
        let library = LIBRARIES.iter().find_map(|name| Library::new(name).ok())?;
        let functions = Functions {
            init: *library.get(b"libraw_init\0").ok()?,
            open_buffer: *library.get(b"libraw_open_buffer\0").ok()?,
            unpack_thumb: *library.get(b"libraw_unpack_thumb\0").ok()?,
            make_mem_thumb: *library.get(b"libraw_dcraw_make_mem_thumb\0").ok()?,
            clear_mem: *library.get(b"libraw_dcraw_clear_mem\0").ok()?,
            get_iwidth: *library.get(b"libraw_get_iwidth\0").ok()?,
            get_iheight: *library.get(b"libraw_get_iheight\0").ok()?,
            close: *library.get(b"libraw_close\0").ok()?,
            strerror: *library.get(b"libraw_strerror\0").ok()?,
        };
        // The functions are used until the process ends.
        std::mem::forget(library);
        Some(functions)
    }
}

/// Opens the library now: in a confined process no file can be opened later.
pub(super) fn preload() {
    functions();
}

/// The camera's preview, upright, in sRGB.
///
/// # Errors
/// When the library is missing, the file is damaged or of a camera that it does not know, or the preview is missing or
/// too small to be of use.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let decoded = match by_library(bytes, wanted) {
        // A camera that is newer than the library, or no library: most of these files are a TIFF with JPEGs in it.
        Err(error @ (DecodeError::NoLibrary { .. } | DecodeError::UnknownCamera | DecodeError::NoPreview)) => {
            tiff::preview(bytes, wanted).ok_or(error)?
        }
        decoded => decoded?,
    };
    let (width, height) = decoded.picture.dimensions();
    if width.max(height) < THUMBNAIL_SIDE {
        return Err(DecodeError::SmallPreview { width, height });
    }
    Ok(decoded)
}

fn by_library(bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
    let missing = || DecodeError::NoLibrary { kind: "Raw".into(), package: PACKAGE.into() };
    let Preview { inside, orientation, size } = preview(functions().ok_or_else(missing)?, bytes)?;
    let decoded = match inside {
        Inside::Jpeg(jpeg) => jpeg::decode(&jpeg, wanted)?,
        Inside::Pixels(picture) => {
            let mut picture = DynamicImage::from(picture);
            picture.apply_orientation(orientation);
            Decoded::sound(picture.into_rgb8())
        }
    };
    Ok(Decoded { size, ..decoded })
}

/// What LibRaw has found in a file.
struct Preview {
    inside: Inside,
    /// Of pixels; a JPEG tells its own.
    orientation: Orientation,
    /// Of the photo itself, upright.
    size: Option<(u32, u32)>,
}

enum Inside {
    /// With an EXIF block that tells how it is turned.
    Jpeg(Vec<u8>),
    Pixels(RgbImage),
}

fn preview(functions: &Functions, bytes: &[u8]) -> Result<Preview, DecodeError> {
    // SAFETY: the library is alive until `close`, which is called once on every way out; the file's bytes outlive it. What
    // it makes is read within the length that it tells, and freed once.
    unsafe {
        let library = (functions.init)(NO_CALLBACKS);
        if library.is_null() {
            return Err(DecodeError::TooMuchMemory);
        }
        let outcome = || {
            check(functions, (functions.open_buffer)(library, bytes.as_ptr().cast(), bytes.len()))?;
            let orientation = orientation(library.byte_add(FLIP).cast::<c_int>().read());
            let side = |side: c_int| u32::try_from(side).ok().filter(|side| *side > 0);
            let size = side((functions.get_iwidth)(library)).zip(side((functions.get_iheight)(library)));
            let is_turned = matches!(orientation, Orientation::Rotate90 | Orientation::Rotate270);
            let size = size.map(|(width, height)| if is_turned { (height, width) } else { (width, height) });
            check(functions, (functions.unpack_thumb)(library))?;
            let mut error = 0;
            let preview = (functions.make_mem_thumb)(library, &raw mut error);
            if preview.is_null() {
                return Err(check(functions, error).err().unwrap_or(DecodeError::NoPreview));
            }
            let Processed { kind, height, width, colours, bits, bytes } = preview.read();
            let data = std::slice::from_raw_parts(preview.add(1).cast::<u8>(), bytes as usize).to_vec();
            (functions.clear_mem)(preview);
            let (width, height) = (u32::from(width), u32::from(height));
            let inside = match (kind, colours, bits) {
                (IMAGE_JPEG, ..) => Some(Inside::Jpeg(data)),
                (_, 3, 8) => {
                    check_pixels(width, height)?;
                    RgbImage::from_raw(width, height, data).map(Inside::Pixels)
                }
                _ => None,
            };
            Ok(Preview { inside: inside.ok_or(DecodeError::NoPreview)?, orientation, size })
        };
        let outcome = outcome();
        (functions.close)(library);
        outcome
    }
}

/// Of dcraw's number for how the camera was held.
fn orientation(flip: c_int) -> Orientation {
    match flip {
        3 => Orientation::Rotate180,
        5 => Orientation::Rotate270,
        6 => Orientation::Rotate90,
        _ => Orientation::NoTransforms,
    }
}

fn check(functions: &Functions, result: c_int) -> Result<(), DecodeError> {
    match result {
        0 => Ok(()),
        NO_IMAGE | NO_THUMBNAIL | UNSUPPORTED_THUMBNAIL => Err(DecodeError::NoPreview),
        FILE_UNSUPPORTED => Err(DecodeError::UnknownCamera),
        INPUT_ERROR => Err(DecodeError::Truncated),
        _ => {
            // SAFETY: the text is the library's own, and there for every number.
            let text = unsafe { CStr::from_ptr((functions.strerror)(result)) };
            Err(DecodeError::Damaged(text.to_string_lossy().into_owned()))
        }
    }
}

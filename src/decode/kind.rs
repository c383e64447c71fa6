//! What kind of file this is, by its content: names are often wrong.

/// Endings of the files that are taken for photos, in lower case.
pub(crate) const EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "pjpeg", "pjp", "jps", "mpo", "png", "webp", "tif", "tiff", "gif", "bmp", "dib",
    "heic", "heif", "hif", "avif", "jxl",
];
/// Endings of raw files, which are known by the preview that the camera put in.
pub(crate) const RAW_EXTENSIONS: &[&str] = &[
    "dng", "nef", "nrw", "cr2", "cr3", "crw", "arw", "sr2", "srf", "orf", "rw2", "raf", "pef", "srw", "3fr", "fff",
    "iiq", "mos", "mrw", "erf", "kdc", "dcr", "dcs", "mef", "x3f", "rwl", "gpr", "raw", "bay", "cap", "k25", "ptx",
    "pxn", "ari", "arq", "ori", "eip", "drf", "mfw", "rdc", "cs1", "cine", "qtk", "sti", "mdc", "rw1",
];
/// Endings of pictures that cannot be read, and what they are called: they are named in the problem list rather than passed
/// over.
pub(crate) const UNSUPPORTED: &[(&str, &str)] = &[
    ("jp2", "JPEG 2000"),
    ("j2k", "JPEG 2000"),
    ("j2c", "JPEG 2000"),
    ("jpc", "JPEG 2000"),
    ("jpf", "JPEG 2000"),
    ("jpx", "JPEG 2000"),
    ("jpm", "JPEG 2000"),
    ("jxr", "JPEG XR"),
    ("wdp", "JPEG XR"),
    ("hdp", "JPEG XR"),
    ("psd", "Photoshop"),
    ("psb", "Photoshop"),
    ("xcf", "GIMP"),
    ("kra", "Krita"),
    ("ora", "OpenRaster"),
    ("afphoto", "Affinity Photo"),
    ("exr", "OpenEXR"),
    ("hdr", "Radiance HDR"),
    ("tga", "Targa"),
    ("dds", "DirectDraw"),
    ("ico", "Icon"),
    ("pcx", "PCX"),
    ("pict", "PICT"),
    ("pnm", "Netpbm"),
    ("pbm", "Netpbm"),
    ("pgm", "Netpbm"),
    ("ppm", "Netpbm"),
    ("qoi", "QOI"),
    ("svg", "SVG"),
    ("eps", "EPS"),
    ("ai", "Illustrator"),
    ("clip", "Clip Studio"),
    ("svgz", "SVG"),
    ("cur", "Icon"),
    ("icns", "Icon"),
    ("pam", "Netpbm"),
    ("wmf", "Windows Metafile"),
    ("emf", "Windows Metafile"),
    ("cdr", "CorelDRAW"),
    ("pct", "PICT"),
    ("bpg", "BPG"),
    ("flif", "FLIF"),
    ("mng", "MNG"),
    ("xbm", "X bitmap"),
    ("xpm", "X bitmap"),
    ("sgi", "SGI"),
    ("djvu", "DjVu"),
    ("psp", "PaintShop"),
    ("pspimage", "PaintShop"),
];

/// What reads a file, or what it is called where nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    /// HEIC or AVIF, as it is called.
    Heif(&'static str),
    JpegXl,
    Raw,
    Unsupported(&'static str),
    Unknown,
}

impl Kind {
    pub(super) fn of(bytes: &[u8]) -> Self {
        const MAGIC: &[(&[u8], Kind)] = &[
            (b"\xFF\xD8\xFF", Kind::Jpeg),
            (b"\x89PNG\r\n\x1a\n", Kind::Png),
            (b"GIF87a", Kind::Gif),
            (b"GIF89a", Kind::Gif),
            (b"\xFF\x0A", Kind::JpegXl),
            (b"\0\0\0\x0cJXL \r\n\x87\n", Kind::JpegXl),
            (b"FUJIFILMCCD-RAW", Kind::Raw),
            (b"II\x1a\0\0\0HEAPCCDR", Kind::Raw),
            (b"II*\0\x10\0\0\0CR", Kind::Raw),
            (b"IIRO", Kind::Raw),
            (b"IIRS", Kind::Raw),
            (b"MMOR", Kind::Raw),
            (b"IIU\0", Kind::Raw),
            (b"FOVb", Kind::Raw),
            (b"\0MRM", Kind::Raw),
            (b"II*\0", Kind::Tiff),
            (b"MM\0*", Kind::Tiff),
            (b"II+\0", Kind::Tiff),
            (b"MM\0+", Kind::Tiff),
            (b"\0\0\0\x0cjP  ", Kind::Unsupported("JPEG 2000")),
            (b"\xFF\x4F\xFF\x51", Kind::Unsupported("JPEG 2000")),
            (b"II\xBC", Kind::Unsupported("JPEG XR")),
            (b"8BPS", Kind::Unsupported("Photoshop")),
            (b"gimp xcf", Kind::Unsupported("GIMP")),
            (b"v/1\x01", Kind::Unsupported("OpenEXR")),
            (b"#?RADIANCE", Kind::Unsupported("Radiance HDR")),
            (b"DDS ", Kind::Unsupported("DirectDraw")),
            (b"\0\0\x01\0", Kind::Unsupported("Icon")),
            (b"qoif", Kind::Unsupported("QOI")),
            (b"P5", Kind::Unsupported("Netpbm")),
            (b"P6", Kind::Unsupported("Netpbm")),
            (b"%!PS-Adobe", Kind::Unsupported("EPS")),
            (b"%PDF-", Kind::Unsupported("PDF")),
            (b"<svg", Kind::Unsupported("SVG")),
        ];
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return *kind;
        }
        // Two letters are the beginning of many a text; the size of the header that follows them is not.
        if bytes.starts_with(b"BM")
            && matches!(bytes.get(14..18), Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
        {
            return Self::Bmp;
        }
        match bytes.get(..12) {
            Some([b'R', b'I', b'F', b'F', .., b'W', b'E', b'B', b'P']) => Self::WebP,
            Some([_, _, _, _, b'f', b't', b'y', b'p', brand @ ..]) => Self::of_brand(brand, bytes),
            _ => Self::Unknown,
        }
    }

    /// Of an ISO media file: its main brand, or where that is a general one, the others that it is compatible with.
    fn of_brand(brand: &[u8], bytes: &[u8]) -> Self {
        match brand {
            b"crx " => Self::Raw,
            b"avif" | b"avis" => Self::Heif("AVIF"),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Self::Heif("HEIC"),
            b"mif1" | b"msf1" | b"mif2" | b"miaf" => {
                let length = bytes[..4].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                let others = bytes.get(16..length.min(bytes.len())).unwrap_or_default();
                let is_avif = others.chunks_exact(4).any(|brand| brand == b"avif" || brand == b"avis");
                Self::Heif(if is_avif { "AVIF" } else { "HEIC" })
            }
            _ => Self::Unsupported("Video"),
        }
    }
}

/// Of the beginning of a file, what tells its kind.
pub(crate) const HEAD: usize = 32;

/// Whether a file that begins like this is a picture of a kind that can be read.
pub(crate) fn is_picture(head: &[u8]) -> bool {
    !matches!(Kind::of(head), Kind::Unsupported(_) | Kind::Unknown)
}

/// What a file with this ending, in lower case, is called where it is a picture that cannot be read.
pub(crate) fn unsupported(extension: &str) -> Option<&'static str> {
    UNSUPPORTED.iter().find(|(ending, _)| *ending == extension).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_content() {
        for (bytes, kind) in [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), Kind::Heif("HEIC")),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", Kind::Heif("AVIF")),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", Kind::Heif("HEIC")),
            (b"\0\0\0\x18ftypcrx \0\0\0\0", Kind::Raw),
            (b"\0\0\0\x18ftypqt  \0\0\0\0", Kind::Unsupported("Video")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::WebP),
            (b"RIFF\0\0\0\0WAVEfmt ", Kind::Unknown),
            (b"II+\0\x08\0\0\0", Kind::Tiff),
            (b"A shopping list", Kind::Unknown),
            (b"", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(bytes), kind, "{}", bytes.escape_ascii());
        }
        // However long it says that its list of brands is.
        assert_eq!(Kind::of(b"\xFF\xFF\xFF\xFFftypmif1\0\0\0\0mif1"), Kind::Heif("HEIC"));
        assert_eq!(unsupported("psd"), Some("Photoshop"));
        assert_eq!(unsupported("txt"), None);
    }

    #[test]
    fn a_picture_is_known_by_its_beginning() {
        let bitmap = [b"BM".as_slice(), &[0; 12], &[40, 0, 0, 0]].concat();
        for head in [&b"\xff\xd8\xff\xe1"[..], b"RIFF\0\0\0\0WEBPVP8 ", b"\0\0\0\x18ftypheic", &bitmap, b"II*\0"] {
            assert!(is_picture(head), "{head:?}");
        }
        for head in [&b""[..], b"BM is two letters of a text", b"RIFF\0\0\0\0AVI ", b"\0\0\0\x18ftypmp42", b"%PDF-1.7"]
        {
            assert!(!is_picture(head), "{head:?}");
        }
    }
}

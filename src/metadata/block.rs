//! Where in a file the EXIF block lies, and what it says.
//!
//! Such a block is a small TIFF file, in whatever container; raw files of most makers are TIFF files themselves. So there
//! is one reader, which goes where the block says, reads no more of the file than that, and passes over what is broken.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use image::ImageReader;

use super::{Exposure, Metadata, Place, Taken};
use crate::text::sanitise_line;

/// Bytes of a block in a container that are read at most.
const MAX_BLOCK: u64 = 1 << 20;
/// A field of more bytes says nothing of interest.
const MAX_FIELD: usize = 1024;
/// Fields of a directory that are looked at; cameras write some fifty.
const MAX_ENTRIES: u16 = 1024;
/// Parts of a container that are passed over in the search at most.
const MAX_PARTS: usize = 10_000;
/// Letters of a camera's name.
const MAX_CAMERA: usize = 60;
/// Of a lens's.
const MAX_LENS: usize = 80;
/// Words that a maker's name may end with and nobody says.
const COMPANY: [&str; 7] = ["corporation", "corp.", "corp", "imaging", "co.,ltd.", "ltd.", "inc."];

/// Reads what a file tells. The size of a raw file's picture is in none of its plain fields.
pub(super) fn read(source: &mut (impl BufRead + Seek), is_raw: bool) -> Metadata {
    let mut found = Found::default();
    // What came before the damage is as good as ever.
    let _ = found.search(source);
    let fields = &found.fields;
    let size = match found.size {
        _ if is_raw => None,
        Some(size) => Some(size),
        None if fields.has_preview_first => None,
        None => header_size(source),
    };
    let is_turned = fields.orientation.is_some_and(|orientation| (5..=8).contains(&orientation));
    Metadata {
        taken: fields.taken(),
        camera: fields.camera().map(Into::into),
        size: size
            .filter(|(width, height)| *width > 0 && *height > 0)
            .map(|(width, height)| if is_turned { (height, width) } else { (width, height) }),
        place: fields.place,
    }
}

/// Reads how a photo was taken.
pub(super) fn read_exposure(source: &mut (impl BufRead + Seek)) -> Exposure {
    let mut found = Found::default();
    let _ = found.search(source);
    found.fields.exposure
}

/// As the header of a file tells it, of the kinds that `image` knows.
fn header_size(source: &mut (impl BufRead + Seek)) -> Option<(u32, u32)> {
    source.rewind().ok()?;
    ImageReader::new(source).with_guessed_format().ok()?.into_dimensions().ok()
}

/// What a file was found to hold.
#[derive(Default)]
struct Found {
    fields: Fields,
    /// As the picture is stored.
    size: Option<(u32, u32)>,
}

impl Found {
    fn search(&mut self, source: &mut (impl BufRead + Seek)) -> io::Result<()> {
        let mut start = Vec::new();
        source.by_ref().take(16).read_to_end(&mut start)?;
        source.rewind()?;
        match start.as_slice() {
            [0xFF, 0xD8, ..] => self.jpeg(source),
            // Olympus and Panasonic have marks of their own in the place of TIFF's.
            [b'I', b'I', b'*' | b'R' | b'U', ..] | [b'M', b'M', 0 | b'O', ..] => self.fields.read(source),
            [0x89, b'P', b'N', b'G', ..] => self.parts(source, 8, &PNG),
            [b'R', b'I', b'F', b'F', ..] => self.parts(source, 12, &RIFF),
            [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => self.parts(source, 0, &BOXES),
            [_, _, _, _, b'f', b't', b'y', b'p', b'c', b'r', b'x', ..] => self.canon(source),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => self.heif(source),
            [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..] => {
                source.seek(SeekFrom::Start(84))?;
                let jpeg = u32::from_be_bytes(array(source)?);
                source.seek(SeekFrom::Start(jpeg.into()))?;
                self.jpeg(source)
            }
            _ => Ok(()),
        }
    }

    /// Its segments, up to the one that tells the size.
    fn jpeg(&mut self, source: &mut (impl BufRead + Seek)) -> io::Result<()> {
        const MAGIC: &[u8] = b"Exif\0\0";
        source.seek_relative(2)?;
        for _ in 0..MAX_PARTS {
            let mut marker = array::<1>(source)?;
            while marker != [0xFF] {
                marker = array(source)?;
            }
            while marker == [0xFF] {
                marker = array(source)?;
            }
            let length = u16::from_be_bytes(array(source)?).saturating_sub(2);
            match marker[0] {
                0xE1 => {
                    let segment = bytes(source, length.into())?;
                    if let (Some(block), true) = (segment.strip_prefix(MAGIC), self.fields.is_empty()) {
                        let _ = self.fields.read(&mut Cursor::new(block));
                    }
                }
                // Start of frame; C4, C8 and CC mean other things.
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    let [_, height @ .., a, b] = array::<5>(source)?;
                    self.size = Some((u16::from_be_bytes([a, b]).into(), u16::from_be_bytes(height).into()));
                    return Ok(());
                }
                0xD9 | 0xDA => return Ok(()),
                _ => source.seek_relative(length.into())?,
            }
        }
        Ok(())
    }

    /// A container of parts one behind the other, each with its kind and length before it.
    fn parts(&mut self, source: &mut (impl Read + Seek), first: i64, form: &Form) -> io::Result<()> {
        source.seek_relative(first)?;
        for _ in 0..MAX_PARTS {
            let (kind, length) = (form.header)(array(source)?);
            if kind == form.kind {
                let block = bytes(source, length)?;
                return self.fields.read(&mut Cursor::new(block.get(form.before_block..).unwrap_or_default()));
            }
            source.seek_relative(i64::try_from((form.whole)(length)).map_err(io::Error::other)?)?;
        }
        Ok(())
    }

    fn heif(&mut self, source: &mut (impl BufRead + Seek)) -> io::Result<()> {
        let exif = exif::Reader::new().continue_on_error(true).read_from_container(source);
        let exif = exif.or_else(|error| error.distill_partial_result(|_| {})).map_err(io::Error::other)?;
        self.fields.read(&mut Cursor::new(exif.buf()))
    }

    /// Canon's CR3 has the directories of an EXIF block one by one, in boxes near its beginning.
    fn canon(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        let head = bytes(source, MAX_BLOCK)?;
        let block = |kind: &[u8]| {
            let at = head.windows(4).position(|bytes| bytes == kind)?;
            Some(&head[at + 4..])
        };
        for block in [b"CMT1", b"CMT2"].into_iter().filter_map(|kind| block(kind)) {
            self.fields.read(&mut Cursor::new(block))?;
        }
        if let Some(block) = block(b"CMT4") {
            let mut block = Cursor::new(block);
            let mut tiff = Tiff::open(&mut block)?;
            let first = tiff.first;
            self.fields.place = tiff.place(first);
        }
        Ok(())
    }
}

/// How a container is put together.
struct Form {
    /// Of the part that holds the EXIF block.
    kind: [u8; 4],
    /// Kind and length of a part, from the 8 bytes before it.
    header: fn([u8; 8]) -> ([u8; 4], u64),
    /// What a part of that length takes.
    whole: fn(u64) -> u64,
    /// Bytes of the part before the block itself.
    before_block: usize,
}

const PNG: Form = Form {
    kind: *b"eXIf",
    header: |[a, b, c, d, kind @ ..]| (kind, u32::from_be_bytes([a, b, c, d]).into()),
    // A checksum follows.
    whole: |length| length + 4,
    before_block: 0,
};

const RIFF: Form = Form {
    kind: *b"EXIF",
    header: |[a, b, c, d, length @ ..]| ([a, b, c, d], u32::from_le_bytes(length).into()),
    whole: |length| length.next_multiple_of(2),
    before_block: 0,
};

/// Of JPEG XL. A length of 0, to the end of the file, is that of the picture.
const BOXES: Form = Form {
    kind: *b"Exif",
    header: |[a, b, c, d, kind @ ..]| (kind, u64::from(u32::from_be_bytes([a, b, c, d])).saturating_sub(8)),
    whole: |length| length,
    before_block: 4,
};

/// What is wanted of a block's fields.
#[derive(Default)]
struct Fields {
    taken: Option<String>,
    fraction: Option<String>,
    offset: Option<String>,
    maker: Option<String>,
    model: Option<String>,
    orientation: Option<u32>,
    place: Option<Place>,
    exposure: Exposure,
    /// The first picture in this file is a small one: that of a raw file, whatever it is called.
    has_preview_first: bool,
}

impl Fields {
    fn is_empty(&self) -> bool {
        self.taken.is_none() && self.maker.is_none() && self.model.is_none() && self.orientation.is_none()
    }

    fn read(&mut self, source: &mut (impl Read + Seek)) -> io::Result<()> {
        const NEW_SUBFILE_TYPE: u16 = 0x00FE;
        const DNG_VERSION: u16 = 0xC612;
        // WebP and old programs leave the mark of a JPEG's block before it.
        if array::<4>(source)? == *b"Exif" {
            source.seek_relative(2)?;
        } else {
            source.seek_relative(-4)?;
        }
        let mut tiff = Tiff::open(source)?;
        let first = tiff.first;
        let mut places = None;
        let mut directories = [Some(first), None];
        for number in 0..directories.len() {
            let Some(at) = directories[number] else { continue };
            // One that is broken does not cost the others.
            for entry in tiff.directory(at).unwrap_or_default() {
                match entry.tag {
                    0x010F => self.maker = self.maker.take().or(tiff.text(&entry)),
                    0x0110 => self.model = self.model.take().or(tiff.text(&entry)),
                    0x0112 => self.orientation = self.orientation.or(tiff.number(&entry)),
                    0x9003 => self.taken = self.taken.take().or(tiff.text(&entry)),
                    0x9291 => self.fraction = self.fraction.take().or(tiff.text(&entry)),
                    0x9011 => self.offset = self.offset.take().or(tiff.text(&entry)),
                    0x8769 if number == 0 => directories[1] = tiff.number(&entry),
                    0x8825 if number == 0 => places = tiff.number(&entry),
                    NEW_SUBFILE_TYPE => self.has_preview_first |= tiff.number(&entry).is_some_and(|kind| kind & 1 == 1),
                    DNG_VERSION => self.has_preview_first = true,
                    tag => self.exposure.take(tag, &mut tiff, &entry),
                }
            }
        }
        self.place = self.place.or(places.and_then(|at| tiff.place(at)));
        Ok(())
    }

    fn taken(&self) -> Option<Taken> {
        Taken::by_exif(self.taken.as_deref()?, self.fraction.as_deref(), self.offset.as_deref())
    }

    /// Maker and model; most models begin with their maker's name, or a part of it.
    fn camera(&self) -> Option<String> {
        let [maker, model] =
            [&self.maker, &self.model].map(|text| sanitise_line(text.as_deref().unwrap_or_default(), MAX_CAMERA));
        let is_company = |word: &str| COMPANY.contains(&word.to_lowercase().as_str());
        let mut words: Vec<&str> = maker.split(' ').collect();
        let is_in_model = |word: &&str| model.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case(word));
        if words.iter().any(is_in_model) {
            words.clear();
        }
        while words.len() > 1 && words.last().is_some_and(|word| is_company(word)) {
            words.pop();
        }
        words.push(&model);
        Some(sanitise_line(&words.join(" "), MAX_CAMERA)).filter(|name| name.chars().any(char::is_alphanumeric))
    }
}

impl Exposure {
    fn take<S: Read + Seek>(&mut self, tag: u16, tiff: &mut Tiff<'_, S>, entry: &Entry) {
        match tag {
            0x829A => self.seconds = self.seconds.or(tiff.fraction(entry)),
            0x829D => self.f_number = self.f_number.or(tiff.fraction(entry)),
            0x8827 => self.iso = self.iso.or(tiff.number(entry)),
            0x920A => self.focal_length = self.focal_length.or(tiff.fraction(entry)),
            0xA434 => {
                let lens = tiff.text(entry).map(|lens| sanitise_line(&lens, MAX_LENS));
                self.lens = self.lens.take().or(lens.filter(|lens| !lens.is_empty()));
            }
            _ => {}
        }
    }
}

/// A TIFF file, whole or as a block in another.
struct Tiff<'a, S> {
    source: &'a mut S,
    /// Where it begins in its source.
    start: u64,
    is_little_endian: bool,
    /// Where its first directory lies.
    first: u32,
}

/// A field of a directory.
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    /// Its value or, where that takes more than 4 bytes, the place of it.
    value: [u8; 4],
}

const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;

impl<'a, S: Read + Seek> Tiff<'a, S> {
    fn open(source: &'a mut S) -> io::Result<Self> {
        let start = source.stream_position()?;
        let [order, _, _, _, first @ ..] = array::<8>(source)?;
        let mut tiff = Self { source, start, is_little_endian: order == b'I', first: 0 };
        tiff.first = tiff.long(first);
        Ok(tiff)
    }

    fn short(&self, bytes: [u8; 2]) -> u16 {
        if self.is_little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    fn long(&self, bytes: [u8; 4]) -> u32 {
        if self.is_little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    /// The fields of a directory, as many as there are.
    fn directory(&mut self, at: u32) -> io::Result<Vec<Entry>> {
        self.source.seek(SeekFrom::Start(self.start + u64::from(at)))?;
        let count = array(self.source)?;
        let count = self.short(count).min(MAX_ENTRIES);
        let mut entries = Vec::new();
        for _ in 0..count {
            let Ok([t0, t1, k0, k1, c0, c1, c2, c3, value @ ..]) = array::<12>(self.source) else { break };
            let (tag, kind) = (self.short([t0, t1]), self.short([k0, k1]));
            entries.push(Entry { tag, kind, count: self.long([c0, c1, c2, c3]), value });
        }
        Ok(entries)
    }

    /// The value of a field of elements of this many bytes.
    fn value(&mut self, entry: &Entry, size: usize) -> Option<Vec<u8>> {
        let length = size.checked_mul(entry.count as usize).filter(|length| *length <= MAX_FIELD)?;
        if let Some(value) = entry.value.get(..length) {
            return Some(value.to_vec());
        }
        self.source.seek(SeekFrom::Start(self.start + u64::from(self.long(entry.value)))).ok()?;
        bytes(self.source, length as u64).ok().filter(|value| value.len() == length)
    }

    fn text(&mut self, entry: &Entry) -> Option<String> {
        let value = if entry.kind == ASCII { self.value(entry, 1)? } else { return None };
        let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn number(&mut self, entry: &Entry) -> Option<u32> {
        let [a, b, ..] = entry.value;
        match (entry.kind, entry.count) {
            (SHORT, 1) => Some(self.short([a, b]).into()),
            (LONG, 1) => Some(self.long(entry.value)),
            _ => None,
        }
    }

    /// A number above 0, written as one by another.
    fn fraction(&mut self, entry: &Entry) -> Option<f64> {
        let value = if (entry.kind, entry.count) == (RATIONAL, 1) { self.value(entry, 8)? } else { return None };
        let [above, below] = value.as_chunks::<4>().0 else { return None };
        let fraction = f64::from(self.long(*above)) / f64::from(self.long(*below));
        Some(fraction).filter(|fraction| fraction.is_finite() && *fraction > 0.0)
    }

    /// Degrees, from those, minutes and seconds.
    fn angle(&mut self, entry: &Entry) -> Option<f64> {
        let value = if (entry.kind, entry.count) == (RATIONAL, 3) { self.value(entry, 8)? } else { return None };
        let numbers: Vec<f64> = value.as_chunks::<4>().0.iter().map(|bytes| self.long(*bytes).into()).collect();
        let [degrees, d, minutes, m, seconds, s] = numbers.try_into().ok()?;
        // Nothing divided by nothing is no number, and stays none.
        let (minutes, seconds) = (minutes / m, seconds / s);
        let is_one = minutes < 60.0 && seconds <= 60.0;
        Some(degrees / d + minutes / 60.0 + seconds / 3600.0).filter(|angle| is_one && angle.is_finite())
    }

    /// What a directory of the satellites' says.
    fn place(&mut self, at: u32) -> Option<Place> {
        let (mut angles, mut signs) = ([None; 2], [None; 2]);
        for entry in self.directory(at).ok()? {
            match (entry.tag, entry.value[0].to_ascii_uppercase()) {
                (1, b'N') => signs[0] = Some(1.0),
                (1, b'S') => signs[0] = Some(-1.0),
                (3, b'E') => signs[1] = Some(1.0),
                (3, b'W') => signs[1] = Some(-1.0),
                (2, _) => angles[0] = self.angle(&entry),
                (4, _) => angles[1] = self.angle(&entry),
                _ => {}
            }
        }
        Place::new(angles[0]? * signs[0]?, angles[1]? * signs[1]?)
    }
}

fn array<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// So many bytes, or those that are there; never more than a block has.
fn bytes(source: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(length.min(MAX_BLOCK)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use exif::experimental::Writer;
    use exif::{Field, In, Rational, Tag, Value};
    use image::{DynamicImage, ImageFormat};

    use super::*;

    /// A camera's words: tag and value.
    type Words<'a> = &'a [(Tag, Value)];

    fn text(text: &str) -> Value {
        Value::Ascii(vec![text.as_bytes().to_vec()])
    }

    fn angle(numbers: [(u32, u32); 3]) -> Value {
        Value::Rational(numbers.map(|(num, denom)| Rational { num, denom }).to_vec())
    }

    /// What a good camera writes.
    fn good() -> Vec<(Tag, Value)> {
        vec![
            (Tag::Make, text("Canon")),
            (Tag::Model, text("Canon EOS R5")),
            (Tag::Orientation, Value::Short(vec![6])),
            (Tag::DateTimeOriginal, text("2024:05:12 10:15:30")),
            (Tag::OffsetTimeOriginal, text("+02:00")),
            (Tag::SubSecTimeOriginal, text("25")),
            (Tag::GPSLatitudeRef, text("S")),
            (Tag::GPSLatitude, angle([(33, 1), (30, 1), (36, 1)])),
            (Tag::GPSLongitudeRef, text("E")),
            (Tag::GPSLongitude, angle([(151, 1), (1230, 100), (0, 1)])),
        ]
    }

    fn tiff(words: Words, is_little_endian: bool) -> Vec<u8> {
        let fields: Vec<Field> =
            words.iter().map(|(tag, value)| Field { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() }).collect();
        let (mut writer, mut tiff) = (Writer::new(), Cursor::new(Vec::new()));
        fields.iter().for_each(|field| writer.push_field(field));
        writer.write(&mut tiff, is_little_endian).unwrap();
        tiff.into_inner()
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(40, 30).write_to(&mut file, format).unwrap();
        file.into_inner()
    }

    fn jpeg(block: &[u8]) -> Vec<u8> {
        let plain = encoded(ImageFormat::Jpeg);
        let length = (block.len() as u16 + 8).to_be_bytes();
        [&plain[..2], &[0xFF, 0xE1], &length, b"Exif\0\0", block, &plain[2..]].concat()
    }

    fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let crc = crc32fast::hash(&[kind, data].concat()).to_be_bytes();
        [(data.len() as u32).to_be_bytes().as_slice(), kind, data, &crc].concat()
    }

    fn jpeg_box(kind: &[u8], data: &[u8]) -> Vec<u8> {
        [(data.len() as u32 + 8).to_be_bytes().as_slice(), kind, data].concat()
    }

    fn of(bytes: &[u8]) -> Metadata {
        Metadata::of_bytes(bytes, Path::new("photo.jpg"))
    }

    fn taken(metadata: &Metadata) -> String {
        metadata.taken.map(|taken| taken.to_string()).unwrap_or_default()
    }

    fn assert_good(metadata: &Metadata, size: Option<(u32, u32)>, what: &str) {
        assert_eq!(taken(metadata), "2024-05-12T10:15:30.25+02:00", "{what}");
        assert_eq!(metadata.camera.as_deref(), Some("Canon EOS R5"), "{what}");
        assert_eq!(metadata.size, size, "{what}");
        let place = metadata.place.unwrap();
        assert!((place.latitude + 33.51).abs() < 1e-9 && (place.longitude - 151.205).abs() < 1e-9, "{what}: {place:?}");
    }

    #[test]
    fn every_container_tells_the_same() {
        for is_little_endian in [true, false] {
            let block = tiff(&good(), is_little_endian);
            let upright = Some((30, 40));
            assert_good(&of(&jpeg(&block)), upright, "JPEG");

            let png = encoded(ImageFormat::Png);
            let exif = chunk(b"eXIf", &block);
            let end = png.len() - 12;
            for at in [33, end] {
                assert_good(&of(&[&png[..at], &exif, &png[at..]].concat()), upright, "PNG");
            }

            let webp = encoded(ImageFormat::WebP);
            let part = |block: &[u8]| {
                let odd = if block.len() % 2 == 1 { &[0][..] } else { &[] };
                [b"EXIF", (block.len() as u32).to_le_bytes().as_slice(), block, odd].concat()
            };
            for block in [block.clone(), [b"Exif\0\0", block.as_slice()].concat()] {
                assert_good(&of(&[webp.as_slice(), &part(&block)].concat()), upright, "WebP");
            }

            let jxl = [
                jpeg_box(b"JXL ", b"\r\n\x87\n"),
                jpeg_box(b"jxlc", &[0; 99]),
                jpeg_box(b"Exif", &[&[0; 4], block.as_slice()].concat()),
            ];
            assert_good(&of(&jxl.concat()), None, "JPEG XL");
            assert_good(&of(&block), None, "TIFF");
            let mark: &[u8] = if is_little_endian { b"IIRO" } else { b"MMOR" };
            assert_good(&of(&[mark, &block[4..]].concat()), None, "ORF");

            let picture = jpeg(&block);
            let mut raf = b"FUJIFILMCCD-RAW 0201".to_vec();
            raf.resize(84, 0);
            raf.extend(148_u32.to_be_bytes());
            raf.resize(148, 0);
            raf.extend(&picture);
            assert_good(&Metadata::of_bytes(&raf, Path::new("a/DSCF1.RAF")), None, "RAF");
        }
    }

    #[test]
    fn a_size_is_the_upright_picture_s_and_none_of_a_raw_file() {
        use ImageFormat::*;
        for format in [Jpeg, Png, WebP, Tiff, Gif, Bmp] {
            let metadata = of(&encoded(format));
            assert_eq!(metadata, Metadata { size: Some((40, 30)), ..Metadata::default() }, "{format:?}");
        }
        // The first picture of such a file is a small one for a quick look.
        assert_eq!(Metadata::of_bytes(&encoded(Tiff), Path::new("_DSC1.NEF")).size, None);
        let dng = [(Tag(exif::Context::Tiff, 0xC612), Value::Byte(vec![1, 4, 0, 0]))];
        assert!(of(&tiff(&dng, true)).size.is_none());
    }

    #[test]
    fn a_file_on_disk_tells_the_same_also_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let png = encoded(ImageFormat::Png);
        let end = png.len() - 12;
        let padding = chunk(b"juNk", &vec![0; 3 << 20]);
        let late = [&png[..end], &padding, &chunk(b"eXIf", &tiff(&good(), true)), &png[end..]].concat();
        let path = folder.path().join("late.png");
        std::fs::write(&path, late).unwrap();
        assert_good(&Metadata::of_file(&path).unwrap(), Some((30, 40)), "PNG");
        assert!(Metadata::of_file(folder.path()).is_err());
        assert!(Metadata::of_file(&folder.path().join("none.png")).is_err());
    }

    #[test]
    fn an_exposure_is_told_and_nonsense_is_not() {
        let fraction = |num, denom| Value::Rational(vec![Rational { num, denom }]);
        let exposure = |words: Words<'_>| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("photo.jpg");
            std::fs::write(&path, jpeg(&tiff(words, true))).unwrap();
            Exposure::of_file(&path).unwrap()
        };
        let words = [
            (Tag::ExposureTime, fraction(1, 250)),
            (Tag::FNumber, fraction(28, 10)),
            (Tag::PhotographicSensitivity, Value::Short(vec![400])),
            (Tag::FocalLength, fraction(50, 1)),
            (Tag::LensModel, text("RF50mm\n F1.8")),
        ];
        let expected = Exposure {
            seconds: Some(0.004),
            f_number: Some(2.8),
            iso: Some(400),
            focal_length: Some(50.0),
            lens: Some("RF50mm F1.8".into()),
        };
        assert_eq!(exposure(&words), Some(expected));
        assert_eq!(exposure(&[(Tag::ExposureTime, fraction(1, 0)), (Tag::FNumber, fraction(0, 10))]), None);
        assert_eq!(exposure(&[(Tag::FNumber, Value::Short(vec![3]))]), None);
    }

    #[test]
    fn a_maker_is_not_named_twice() {
        let camera = |maker: &str, model: &str| {
            of(&jpeg(&tiff(&[(Tag::Make, text(maker)), (Tag::Model, text(model))], true)))
                .camera
                .map(|camera| camera.to_string())
        };
        for (maker, model, wanted) in [
            ("Canon", "Canon EOS R5", "Canon EOS R5"),
            ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
            ("OLYMPUS IMAGING CORP.", "E-M1", "OLYMPUS E-M1"),
            ("Apple", "iPhone 15 Pro", "Apple iPhone 15 Pro"),
            ("FUJIFILM\0\0", " X-T4  ", "FUJIFILM X-T4"),
            ("", "DMC-G9", "DMC-G9"),
            ("LEICA CAMERA AG", "LEICA Q2", "LEICA Q2"),
            ("Evil\u{1b}[31m\n", "Cam\u{202e}era", "Evil [31m Cam era"),
        ] {
            assert_eq!(camera(maker, model).as_deref(), Some(wanted));
        }
        assert_eq!(camera("   ", "\u{1}\u{2}---"), None);
        assert!(camera("Canon", &"x".repeat(900)).unwrap().chars().count() <= MAX_CAMERA);
        assert_eq!(camera("Canon", &"x".repeat(5000)).as_deref(), Some("Canon"));
    }

    #[test]
    fn a_place_that_cannot_be_is_none_and_costs_nothing_else() {
        let with = |tag: Tag, value: Value| {
            let mut words = good();
            words.iter_mut().filter(|(known, _)| *known == tag).for_each(|(_, old)| *old = value.clone());
            of(&jpeg(&tiff(&words, true)))
        };
        for metadata in [
            with(Tag::GPSLatitude, angle([(0, 0), (0, 0), (0, 0)])),
            with(Tag::GPSLatitude, angle([(91, 1), (0, 1), (0, 1)])),
            with(Tag::GPSLatitude, angle([(1, 0), (0, 1), (0, 1)])),
            with(Tag::GPSLatitude, angle([(33, 1), (75, 1), (0, 1)])),
            with(Tag::GPSLongitude, angle([(u32::MAX, 1), (0, 1), (0, 1)])),
            with(Tag::GPSLongitudeRef, text("?")),
            with(Tag::GPSLatitude, text("33.5")),
            with(Tag::GPSLatitude, Value::Double(vec![f64::NAN])),
        ] {
            assert_eq!(metadata.place, None);
            assert_eq!(taken(&metadata), "2024-05-12T10:15:30.25+02:00");
        }
        let metadata = with(Tag::DateTimeOriginal, text("0000:00:00 00:00:00"));
        assert!(metadata.taken.is_none() && metadata.place.is_some() && metadata.camera.is_some());
    }

    #[test]
    fn whatever_is_broken_costs_only_itself() {
        let mut random = crate::random::Random::new(7);
        let files = [jpeg(&tiff(&good(), true)), tiff(&good(), false), encoded(ImageFormat::Tiff)];
        for file in &files {
            for end in 0..file.len().min(400) {
                of(&file[..end]);
            }
            for _ in 0..500 {
                let mut broken = file.clone();
                for _ in 0..=random.below(4) {
                    let at = random.below(broken.len().min(400));
                    broken[at] = random.below(256) as u8;
                }
                of(&broken);
            }
        }
        // The directory of the camera's words leads to itself.
        let block = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0";
        assert_eq!(of(&jpeg(block)).size, Some((40, 30)));
    }
}

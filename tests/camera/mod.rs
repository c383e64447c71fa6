//! What a camera puts around a photo: an EXIF block with a thumbnail, and larger previews behind the photo.

#![allow(dead_code, reason = "tests and benchmarks each use a part")]

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Context, Field, In, Tag, Value};

/// Kinds of previews.
pub const VGA: u32 = 0x0001_0001;
pub const FULL_HD: u32 = 0x0001_0002;
/// That of the photo.
const PRIMARY: u32 = 0x0003_0000;

fn segment(marker: u8, magic: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(2 + magic.len() + data.len()).expect("what fits into a segment").to_be_bytes();
    [&[0xFF, marker], &length, magic, data].concat()
}

fn tiff(fields: &[Field], thumbnail: Option<&[u8]>, is_little_endian: bool) -> Vec<u8> {
    let (mut writer, mut tiff) = (Writer::new(), Cursor::new(Vec::new()));
    fields.iter().for_each(|field| writer.push_field(field));
    if let Some(jpeg) = thumbnail {
        writer.set_jpeg(jpeg, In::THUMBNAIL);
    }
    writer.write(&mut tiff, is_little_endian).expect("written to memory");
    tiff.into_inner()
}

/// A JPEG with an EXIF block that was written for a photo of this size and orientation.
pub fn with_exif(jpeg: &[u8], (width, height): (u32, u32), orientation: u16, thumbnail: Option<&[u8]>) -> Vec<u8> {
    let field = |tag, value| Field { tag, ifd_num: In::PRIMARY, value };
    let fields = [
        field(Tag::Orientation, Value::Short(vec![orientation])),
        field(Tag::PixelXDimension, Value::Long(vec![width])),
        field(Tag::PixelYDimension, Value::Long(vec![height])),
        // So that the block is as long as one with a thumbnail of any use.
        field(Tag::ImageDescription, Value::Ascii(vec![vec![b' '; 5000]])),
    ];
    // Cameras write no JFIF header.
    let behind = if jpeg[2..4] == [0xFF, 0xE0] { 4 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]])) } else { 2 };
    [&jpeg[..2], &segment(0xE1, b"Exif\0\0", &tiff(&fields, thumbnail, true)), &jpeg[behind..]].concat()
}

/// A JPEG with pictures behind it, and the Multi-Picture Format index that names them and their kinds.
pub fn with_previews(photo: &[u8], previews: &[(u32, &[u8])], is_little_endian: bool) -> Vec<u8> {
    let index = |bytes_of_photo: usize| {
        // Places are counted from the index's own beginning, behind start marker, marker, length and magic.
        let mut place = bytes_of_photo - 10;
        let entry = |kind: u32, length: usize, place: usize| {
            let words = [kind, length as u32, place as u32];
            let bytes = words.map(|word| if is_little_endian { word.to_le_bytes() } else { word.to_be_bytes() });
            [bytes.as_flattened(), &[0; 4]].concat()
        };
        let mut entries = entry(PRIMARY, bytes_of_photo, 0);
        for (kind, preview) in previews {
            entries.extend(entry(*kind, preview.len(), place));
            place += preview.len();
        }
        let field = |number, value| Field { tag: Tag(Context::Tiff, number), ifd_num: In::PRIMARY, value };
        let fields = [
            field(0xB000, Value::Undefined(b"0100".to_vec(), 0)),
            field(0xB001, Value::Long(vec![1 + previews.len() as u32])),
            field(0xB002, Value::Undefined(entries, 0)),
        ];
        segment(0xE2, b"MPF\0", &tiff(&fields, None, is_little_endian))
    };
    let index = index(photo.len() + index(photo.len()).len());
    let behind: Vec<u8> = previews.iter().flat_map(|(_, preview)| preview.iter().copied()).collect();
    [&photo[..2], &index, &photo[2..], &behind].concat()
}

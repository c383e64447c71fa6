//! Files of others, changed at random: ten thousand for every reader of foreign bytes. None makes it panic, hang, or take
//! more memory than it may. The inputs are the same at each run (`common/random.rs`); a failure prints the one that it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "memory can only be counted where it is given out")]

mod camera;
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::encode;
use common::random::{Random, any, seed};
use florascope::artefact::{Card, GENERAL, Model, ModelFolder, NamedTensor, TrainedBy};
use florascope::decode::{self, AtLeast, DecodeError};
use florascope::desktop::pasted_path;
use florascope::model::weight_file;
use florascope::model::{Architecture, Head, HeadPart};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

const INPUTS: usize = 10_000;
/// No reader takes a second for one of these inputs. Whoever takes this long will not come back.
const HANGS: Duration = Duration::from_secs(60);
/// What a picture may take: the decoder's own limit, and the largest picture that is read before and after it is turned.
const PICTURE_BYTES: usize = 2 << 30;

/// Counts the bytes that each thread has.
struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn count(taken: usize, given_back: usize) {
    // What another thread took may be given back here.
    let bytes = BYTES.get().saturating_add(taken).saturating_sub(given_back);
    BYTES.set(bytes);
    MOST.set(MOST.get().max(bytes));
}

// SAFETY: the system's allocator does all the work; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A sound file, and the part of it that is changed.
#[derive(Clone)]
struct Sound {
    bytes: Vec<u8>,
    part: Range<usize>,
}

impl From<Vec<u8>> for Sound {
    fn from(bytes: Vec<u8>) -> Self {
        Self { part: 0..bytes.len(), bytes }
    }
}

/// One of the files with one to eight changes.
fn changed(random: &mut Random, files: &[Sound]) -> Vec<u8> {
    let Sound { bytes, part } = any(random, files);
    let mut bytes = bytes.clone();
    for _ in 0..=random.below(8) {
        let end = part.end.min(bytes.len());
        if end <= part.start {
            break;
        }
        // Most of them near the beginning, where a format says what follows.
        let reach = 1 + random.below(end - part.start);
        let at = part.start + random.below(reach);
        let length = (1 + random.below(16)).min(bytes.len() - at);
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = *any(random, &[0, 1, b' ', b'0', b'\n', b'"', 0x7F, 0x80, 0xFE, 0xFF]),
            2 => bytes[at] = bytes[at].wrapping_add(random.below(17) as u8).wrapping_sub(8),
            3 | 4 => {
                let lengths = bytes.len() as u64;
                let number = *any(random, &[0, 1, lengths, lengths - at as u64, 1 << 15, 1 << 31, 1 << 63, u64::MAX]);
                let number = number.wrapping_add(random.below(5) as u64).wrapping_sub(2);
                let width = *any(random, &[2, 4, 8]);
                let ends = if random.below(2) == 0 {
                    number.to_le_bytes()
                } else {
                    number.rotate_left(64 - 8 * width as u32).to_be_bytes()
                };
                bytes.iter_mut().skip(at).zip(&ends[..width]).for_each(|(byte, new)| *byte = *new);
            }
            5 => drop(bytes.drain(at..at + length)),
            6 => {
                let again = bytes[at..at + length].repeat(1 + random.below(40));
                bytes.splice(at..at, again);
            }
            7 => {
                let other = &any(random, files).bytes;
                let from = random.below(other.len());
                bytes.splice(at..at + length, other[from..].iter().take(length).copied());
            }
            _ if random.below(4) == 0 => bytes.truncate(at),
            _ => bytes[at..at + length].reverse(),
        }
    }
    bytes
}

/// Reads the sound files, then ten thousand of what `make` makes. `read` says whether an input was taken for sound; it may
/// take `most` bytes for an input of a length.
fn try_all(
    first_seed: u64,
    sound: &[Vec<u8>],
    mut make: impl FnMut(&mut Random) -> Vec<u8> + Send + 'static,
    mut read: impl FnMut(&[u8]) -> bool + Send + 'static,
    most: impl Fn(usize) -> usize + Send + 'static,
) {
    for bytes in sound {
        assert!(read(bytes), "a sound file is refused: {}", bytes.escape_ascii());
    }
    let mut random = Random::new(seed(first_seed));
    let begun = Arc::new(AtomicUsize::new(0));
    let (counter, input) = (Arc::clone(&begun), Arc::new(Mutex::new(Vec::new())));
    let current = Arc::clone(&input);
    let (end, ended) = sync_channel(1);
    let reader = thread::Builder::new().name("reader".into()).spawn(move || {
        let (mut accepted, mut largest) = (0, 0);
        for number in 1..=INPUTS {
            let bytes = make(&mut random);
            current.lock().unwrap().clone_from(&bytes);
            counter.store(number, Ordering::Relaxed);
            let before = BYTES.get();
            MOST.set(before);
            accepted += usize::from(read(&bytes));
            let taken = MOST.get() - before;
            assert!(taken <= most(bytes.len()), "{taken} bytes of memory for {} bytes", bytes.len());
            largest = largest.max(taken);
        }
        end.send(()).unwrap();
        (accepted, largest)
    });
    let mut seen = 0;
    let says_how_it_ended = loop {
        match ended.recv_timeout(HANGS) {
            Err(RecvTimeoutError::Timeout) if begun.load(Ordering::Relaxed) == seen => break false,
            Err(RecvTimeoutError::Timeout) => seen = begun.load(Ordering::Relaxed),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break true,
        }
    };
    let describe = || {
        let (number, input) = (begun.load(Ordering::Relaxed), input.lock().unwrap_or_else(PoisonError::into_inner));
        format!("input {number}, {} bytes: {}", input.len(), input.escape_ascii())
    };
    assert!(says_how_it_ended, "no answer in {HANGS:?} at {}", describe());
    let Ok((accepted, largest)) = reader.unwrap().join() else { panic!("failed at {}", describe()) };
    println!("{accepted} of {INPUTS} were taken for sound; at most {largest} bytes of memory for one");
    // Otherwise the changes are too small or too large to say anything.
    assert!(accepted > 0 && accepted < INPUTS, "{accepted} of {INPUTS} were taken for sound");
}

/// The same for changes of sound files.
fn try_changed(
    first_seed: u64,
    files: Vec<Sound>,
    read: impl FnMut(&[u8]) -> bool + Send + 'static,
    most: impl Fn(usize) -> usize + Send + 'static,
) {
    let sound: Vec<Vec<u8>> = files.iter().map(|file| file.bytes.clone()).collect();
    try_all(first_seed, &sound, move |random| changed(random, &files), read, most);
}

#[test]
fn a_panic_and_too_much_memory_are_noticed() {
    let fails = |read: fn(&[u8]) -> bool| {
        let make = |random: &mut Random| vec![random.below(100) as u8];
        std::panic::catch_unwind(|| try_all(11, &[], make, read, |_| 1000)).is_err()
    };
    assert!(!fails(|bytes| bytes[0] != 7));
    assert!(fails(|bytes| bytes[0] != 7 || panic!("for the test")));
    assert!(fails(|bytes| bytes[0] != 7 && vec![0; 100 * usize::from(bytes[0])].len() > 1));
    // Nothing to be said where all are sound.
    assert!(fails(|_| true));
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 9) as u8, (y * 9) as u8, (x * y) as u8]))
}

/// The same at any size, as a photo and its preview are.
fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([x * 255 / width, 255 - y * 200 / height, y * 90 / height].map(|v| v as u8))
    })
}

/// At its full size and as the indexing job decodes it. A decoder's panic is caught by the program, and is a bug even so.
fn is_picture(bytes: &[u8]) -> bool {
    let decoded = [AtLeast::FULL, AtLeast { shorter: 8, longer: 12 }].map(|size| decode::decode_at_least(bytes, size));
    for error in decoded.iter().filter_map(|decoded| decoded.as_ref().err()) {
        assert!(!matches!(error, DecodeError::Panicked(_)), "{error}");
    }
    decoded.iter().all(Result::is_ok)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

/// A PNG with right checksums, without which its decoder looks at nothing.
fn with_checksums(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = at + 8 + length;
        let Some(crc) = png.get(at + 4..end).map(crc32) else { break };
        png.iter_mut().skip(end).zip(crc.to_be_bytes()).for_each(|(byte, new)| *byte = new);
        at = end + 4;
    }
    png
}

#[test]
fn pictures_of_every_format() {
    let small = picture(21, 13);
    let mut files: Vec<Sound> =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::Bmp]
            .map(|format| encode(&small, format).into())
            .into();
    let as_format = |picture: DynamicImage, format| {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner().into()
    };
    let small = DynamicImage::from(small);
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        files.extend([small.to_rgba16().into(), small.to_luma8().into()].map(|picture| as_format(picture, format)));
    }
    files.extend([ImageFormat::WebP, ImageFormat::Gif].map(|format| as_format(small.to_rgba8().into(), format)));
    files.push(as_format(small.to_luma8().into(), ImageFormat::Jpeg));
    files.extend([include_bytes!("data/cmyk.jpg").to_vec().into(), include_bytes!("data/cmyk.tif").to_vec().into()]);
    let mut encoder = turbojpeg::Compressor::new().unwrap();
    encoder.set_progressive(true).unwrap();
    let rgb = small.to_rgb8();
    let image = turbojpeg::Image {
        pixels: rgb.as_raw().as_slice(),
        width: 21,
        pitch: 63,
        height: 13,
        format: turbojpeg::PixelFormat::RGB,
    };
    files.push(encoder.compress_to_vec(image).unwrap().into());

    let sound: Vec<Vec<u8>> = files.iter().map(|file| file.bytes.clone()).collect();
    let make = move |random: &mut Random| {
        let bytes = changed(random, &files);
        if bytes.starts_with(b"\x89PNG") && random.below(4) > 0 { with_checksums(bytes) } else { bytes }
    };
    try_all(1, &sound, make, is_picture, |_| PICTURE_BYTES);
}

/// That a photo which is stored lying on its side is known from a preview of 24 x 18 pixels, at half its size.
#[track_caller]
fn assert_known_from_preview(bytes: &[u8]) {
    let size = decode::decode_at_least(bytes, AtLeast { shorter: 8, longer: 12 }).unwrap().dimensions();
    assert_eq!(size, (9, 12));
}

/// Where `needle` first lies in a file.
fn place(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).expect("it is there")
}

#[test]
fn previews_of_cameras() {
    let photo = camera::with_exif(&encode(&scene(64, 48), ImageFormat::Jpeg), (64, 48), 6, None);
    let previews = [(24, 18), (32, 24)].map(|(width, height)| encode(&scene(width, height), ImageFormat::Jpeg));
    let kinds = [camera::VGA, camera::FULL_HD];
    let previews: Vec<(u32, &[u8])> = kinds.into_iter().zip(&previews).map(|(kind, jpeg)| (kind, &**jpeg)).collect();
    let files = [true, false].map(|is_little_endian| {
        let bytes = camera::with_previews(&photo, &previews, is_little_endian);
        assert_known_from_preview(&bytes);
        let index = place(&bytes, b"MPF\0");
        // Its index with what stands around it.
        Sound { bytes, part: index - 4..index + 120 }
    });
    let behind = files.clone().map(|Sound { bytes, .. }| Sound { part: photo.len()..bytes.len(), bytes });
    try_changed(2, [files, behind].concat(), is_picture, |_| PICTURE_BYTES);
}

#[test]
fn exif_blocks() {
    let (photo, thumbnail) = (scene(64, 48), encode(&scene(24, 18), ImageFormat::Jpeg));
    let bytes = camera::with_exif(&encode(&photo, ImageFormat::Jpeg), (64, 48), 6, Some(&thumbnail));
    assert_known_from_preview(&bytes);
    let (block, description) = (place(&bytes, b"Exif\0\0"), place(&bytes, &[b' '; 5000]));
    let behind = description + 5000;
    let files = [block - 4..description, behind..behind + 60, behind..behind + thumbnail.len()];
    let files = files.map(|part| Sound { bytes: bytes.clone(), part });
    try_changed(3, files.to_vec(), is_picture, |_| PICTURE_BYTES);
}

/// Whether the tensors of a file of weights were read.
fn is_read(bytes: &[u8], file: &Path) -> bool {
    std::fs::write(file, bytes).unwrap();
    weight_file::read(file).is_ok()
}

/// What a file of weights may take: its numbers four times over, and a description of which a byte makes a value.
fn weights_bytes(length: usize) -> usize {
    (1 << 16) + 400 * length
}

const STATE_DICTS: [&[u8]; 2] = [include_bytes!("data/state_dict.pt"), include_bytes!("data/state_dict_4.pt")];
const OLD_STATE_DICTS: [&[u8]; 2] =
    [include_bytes!("data/state_dict_old.pt"), include_bytes!("data/state_dict_old_4.pt")];

#[test]
fn pickles_of_the_old_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.pt");
    let files = OLD_STATE_DICTS.map(|bytes| bytes.to_vec().into());
    try_changed(4, files.to_vec(), move |bytes| is_read(bytes, &file), weights_bytes);
    drop(folder);
}

/// The stored entries of an archive by name, where that is sound.
fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let number =
        |at: usize, size: usize| archive[at..at + size].iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
    let mut entries = BTreeMap::new();
    let mut at = number(archive.len() - 6, 4);
    while archive[at..].starts_with(b"PK\x01\x02") {
        let (length, start) = (number(at + 24, 4), number(at + 42, 4));
        let [name, extra, comment] = [28, 30, 32].map(|field| number(at + field, 2));
        let bytes = start + 30 + number(start + 26, 2) + number(start + 28, 2);
        let name_of = String::from_utf8(archive[at + 46..at + 46 + name].to_vec()).unwrap();
        entries.insert(name_of, archive[bytes..bytes + length].to_vec());
        at += 46 + name + extra + comment;
    }
    entries
}

/// An archive that stores these entries, with right checksums.
fn archive(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let [crc, length, start] = [crc32(bytes), bytes.len() as u32, file.len() as u32].map(u32::to_le_bytes);
        let name_length = (name.len() as u16).to_le_bytes();
        file.extend(
            [b"PK\x03\x04", &[0; 10][..], &crc, &length, &length, &name_length, &[0; 2], name.as_bytes(), bytes]
                .concat(),
        );
        let middle = [&crc[..], &length, &length, &name_length, &[0; 12], &start].concat();
        table.extend([b"PK\x01\x02", &[0; 12][..], &middle, name.as_bytes()].concat());
    }
    let [length, start] = [table.len() as u32, file.len() as u32].map(u32::to_le_bytes);
    let count = (entries.len() as u16).to_le_bytes();
    [file, table, b"PK\x05\x06\0\0\0\0".to_vec(), [count, count].concat(), length.to_vec(), start.to_vec(), vec![0; 2]]
        .concat()
}

#[test]
fn pickles_in_archives() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.pt");
    let archives = STATE_DICTS.map(entries);
    let sound = archives.iter().map(archive).collect::<Vec<_>>();
    let is_pickle = |name: &&String| name.ends_with("/data.pkl");
    let pickles: Vec<Sound> = archives.iter().map(|a| a[a.keys().find(is_pickle).unwrap()].clone().into()).collect();
    let make = move |random: &mut Random| {
        let mut entries = any(random, &archives).clone();
        let name = entries.keys().find(is_pickle).unwrap().clone();
        entries.insert(name, changed(random, &pickles));
        archive(&entries)
    };
    try_all(5, &sound, make, move |bytes| is_read(bytes, &file), weights_bytes);
    drop(folder);
}

#[test]
fn tables_of_archives() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.pt");
    let table = |bytes: &[u8]| Sound { part: place(bytes, b"PK\x01\x02")..bytes.len(), bytes: bytes.to_vec() };
    let end = |bytes: &[u8]| Sound { part: place(bytes, b"PK\x05\x06")..bytes.len(), bytes: bytes.to_vec() };
    let local = |bytes: &[u8]| Sound::from(bytes.to_vec());
    let small = archive(&entries(STATE_DICTS[0]));
    let files = [STATE_DICTS[0], STATE_DICTS[1], &small].map(|bytes| [table(bytes), end(bytes), local(bytes)]);
    try_changed(6, files.concat(), move |bytes| is_read(bytes, &file), weights_bytes);
    drop(folder);
}

#[test]
fn safetensors_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let numbers: Vec<u8> = (0..48).collect();
    let kinds = [(Dtype::F32, 4), (Dtype::F16, 2), (Dtype::BF16, 2), (Dtype::F64, 8), (Dtype::I64, 8)];
    let tensors = kinds.map(|(kind, size)| {
        let view = TensorView::new(kind, vec![2, 24 / size], &numbers).unwrap();
        (format!("module.{kind:?}"), view)
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).unwrap();
    let header = Sound { part: 0..bytes.len() - 5 * numbers.len(), bytes: bytes.clone() };
    try_changed(7, vec![header, bytes.into()], move |bytes| is_read(bytes, &file), weights_bytes);
    drop(folder);
}

/// A model as its export writes it, trained by no one or by a training.
fn exported(trained: Option<TrainedBy>) -> Vec<u8> {
    let inputs = Architecture::EfficientNetLite0.dimension();
    let part = HeadPart { weight: 0.5, power: 1.0, centre: vec![0.25; inputs], matrix: vec![0.5; inputs] };
    let card = Card { title: "Roses".into(), trained, ..Card::clone(&Model::general().card) };
    let model = Model::pack(card, Vec::new(), Some(&Head { parts: vec![part] })).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    ModelFolder::new(folder.path().join("models")).export(&model, &file).unwrap();
    std::fs::read(file).unwrap()
}

/// Whether it is a model, as far as that can be told without opening its network.
fn is_model(bytes: &[u8]) -> bool {
    let Ok(model) = Model::from_bytes(bytes.to_vec(), Path::new("model.safetensors")) else { return false };
    assert!(model.head().is_ok() && model.backbone_tensors().is_ok());
    assert!(model.dimension > 0 && !model.summary().id.is_empty());
    true
}

/// What a model's file may take: its bytes, its numbers, and what its description says.
fn model_bytes(length: usize) -> usize {
    (1 << 16) + 40 * length
}

#[test]
fn exported_models() {
    let files = [exported(None), exported(Some(TrainedBy::default()))].map(|bytes| {
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        Sound { part: 0..header, bytes }
    });
    try_changed(8, files.to_vec(), is_model, model_bytes);
}

/// A model's description and tensors under ids that are right, as somebody could make them who knows the format.
fn forged(mut description: serde_json::Value, tensors: &[NamedTensor]) -> Vec<u8> {
    let mut sorted: Vec<&NamedTensor> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| &tensor.name);
    let id = |kind: &str, base: &str, tensors: &[&NamedTensor]| {
        let mut hasher = Sha256::new_with_prefix(base);
        for tensor in tensors {
            hasher.update(format!("\0{}{:?}", tensor.name, tensor.shape));
            hasher.update(tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
        }
        hasher.finalize().iter().take(6).fold(format!("{kind}-"), |id, byte| format!("{id}{byte:02x}"))
    };
    let (weights, head): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|tensor| tensor.name.starts_with("backbone."));
    let architecture = serde_json::from_value::<Architecture>(description["card"]["architecture"].clone());
    let architecture = architecture.map_or("", Architecture::id);
    let backbone = if weights.is_empty() { GENERAL.to_owned() } else { id(architecture, "", &weights) };
    let kind = if description["card"]["trained"].is_null() { "head" } else { "quick" };
    let model = if head.is_empty() { backbone.clone() } else { id(kind, &backbone, &head) };
    description["id"] = model.into();
    if let Some(card) = description["card"].as_object_mut() {
        card.insert("backbone".to_owned(), backbone.into());
    }
    let tensors: BTreeMap<&str, &NamedTensor> = tensors.iter().map(|tensor| (&*tensor.name, tensor)).collect();
    safetensors::serialize(tensors, Some(HashMap::from([("florascope".to_owned(), description.to_string())]))).unwrap()
}

#[test]
fn models_with_right_checksums() {
    let bytes = exported(Some(TrainedBy::default()));
    let description = &SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap()["florascope"];
    let description = Sound::from(description.clone().into_bytes());
    let inputs = Architecture::EfficientNetLite0.dimension();
    let tensor = |name: &str, shape: &[usize]| NamedTensor {
        name: name.into(),
        shape: shape.into(),
        values: vec![0.5; shape.iter().product()],
    };
    let good = [
        tensor("head.0.weight", &[1]),
        tensor("head.0.power", &[1]),
        tensor("head.0.centre", &[inputs]),
        tensor("head.0.matrix", &[1, inputs]),
    ];
    let sound = forged(serde_json::from_slice(&description.bytes).unwrap(), &good);
    assert_eq!(is_model(&sound), is_model(&bytes));
    let make = move |random: &mut Random| {
        let mut tensors = good.to_vec();
        for _ in 0..random.below(4) {
            let at = random.below(tensors.len().max(1));
            let Some(tensor) = tensors.get_mut(at) else { break };
            match random.below(6) {
                0 => drop(tensors.remove(at)),
                1 => {
                    tensor.name = (*any(
                        random,
                        &["head.0.matrix", "head.1.weight", "head.0.centre", "backbone.a", "a", "\n", ""],
                    ))
                    .to_owned();
                }
                2 => tensor.shape = [&[1, 1][..random.below(3)], &tensor.shape].concat(),
                3 => (tensor.shape, tensor.values) = (vec![0, random.below(3)], Vec::new()),
                4 => {
                    let length = random.below(3 * inputs);
                    (tensor.shape, tensor.values) = (vec![length], vec![1.0; length]);
                }
                _ => {
                    let value = *any(random, &[f32::NAN, f32::INFINITY, f32::MAX, 0.0, -1.0]);
                    tensor.values.iter_mut().take(1 + random.below(2000)).for_each(|number| *number = value);
                }
            }
        }
        let text = if random.below(2) == 0 {
            changed(random, std::slice::from_ref(&description))
        } else {
            description.bytes.clone()
        };
        // What is no JSON any more is for the other test.
        let description: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        forged(if description.is_object() { description } else { serde_json::Value::Null }, &tensors)
    };
    try_all(9, &[sound], make, is_model, model_bytes);
}

#[test]
fn lists_of_addresses() {
    let texts = [
        "file:///home/anna/rose%201.jpg\r\nfile:///home/anna/r%C3%B6schen.jpg\r\n",
        "copy\nfile://localhost/a%2Cb.jpg",
        "/home/anna/rose 1.jpg",
        "\n\n  cut\n file:///%00%ff%zz%",
    ];
    let files = texts.map(|text| text.as_bytes().to_vec().into());
    let read = |bytes: &[u8]| pasted_path(&String::from_utf8_lossy(bytes)).is_some();
    try_changed(10, files.to_vec(), read, |length| 1024 + 20 * length);
}

//! The zip archives that `torch.save` writes: entries are stored, not compressed, so each is a slice of the file.
//!
//! Reading needs no memory beyond the list of entries, whatever a damaged or hostile file claims.

use std::collections::BTreeMap;

use super::weight_format::WeightFormatError;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
/// The end of the archive's table without its comment.
const END_LENGTH: usize = 22;
/// Stands for a number that is found in the 64-bit extension.
const IN_EXTENSION: u64 = u32::MAX as u64;

/// The archive's table.
#[derive(Debug)]
pub(super) struct StoredZip<'a> {
    file: &'a [u8],
    /// By name.
    entries: BTreeMap<&'a str, Entry>,
}

#[derive(Debug)]
struct Entry {
    compressed: bool,
    checksum: u32,
    length: u64,
    /// Where its local header lies.
    start: u64,
}

fn damaged() -> WeightFormatError {
    WeightFormatError::Damaged("the archive's table is broken".into())
}

/// A little-endian number of `size` bytes at a place.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let slice = bytes.get(at..at.checked_add(size)?)?;
    Some(slice.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

impl<'a> StoredZip<'a> {
    /// Whether a file begins as such an archive does.
    pub(crate) fn has_signature(file: &[u8]) -> bool {
        file.starts_with(LOCAL)
    }

    /// Reads the table.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn open(file: &'a [u8]) -> Result<Self, WeightFormatError> {
        Self::table(file).map(|entries| Self { file, entries }).ok_or_else(damaged)
    }

    fn table(file: &'a [u8]) -> Option<BTreeMap<&'a str, Entry>> {
        let search_from = file.len().saturating_sub(END_LENGTH + usize::from(u16::MAX));
        let end = search_from + file.get(search_from..)?.windows(END.len()).rposition(|window| window == END)?;
        (file.len() >= end + END_LENGTH).then_some(())?;
        let mut start = number(file, end + 16, 4)?;
        if let Some(locator) = end.checked_sub(20).filter(|at| file[*at..].starts_with(LOCATOR_64)) {
            let end_64 = usize::try_from(number(file, locator + 8, 8)?).ok()?;
            file.get(end_64..)?.starts_with(END_64).then_some(())?;
            start = number(file, end_64 + 48, 8)?;
        }
        let mut rest = file.get(usize::try_from(start).ok()?..end)?;
        let mut entries = BTreeMap::new();
        // No two lie in the same place: so nothing costs more than the file is long.
        let mut room = file.len() as u64;
        while rest.starts_with(CENTRAL) {
            let [name, extra, comment] = [28, 30, 32].map(|at| number(rest, at, 2).map(|length| length as usize));
            let (extra_start, extra_end) = (46 + name?, 46 + name? + extra?);
            let mut entry = Entry {
                compressed: number(rest, 10, 2)? != 0,
                checksum: number(rest, 16, 4)? as u32,
                length: number(rest, 24, 4)?,
                start: number(rest, 42, 4)?,
            };
            let small = number(rest, 20, 4)?;
            entry.extend(rest.get(extra_start..extra_end)?, small)?;
            room = room.checked_sub(entry.length)?;
            entries.insert(std::str::from_utf8(rest.get(46..extra_start)?).ok()?, entry);
            rest = rest.get(extra_end + comment?..)?;
        }
        Some(entries)
    }

    /// The folder that holds an entry of this name: what comes before it in the full name.
    pub(crate) fn folder_of(&self, name: &str) -> Option<&'a str> {
        self.entries.keys().find_map(|entry| entry.strip_suffix(name))
    }

    /// The bytes of an entry, checked against its checksum; `None` where there is none of this name.
    ///
    /// # Errors
    /// When it is compressed or damaged.
    pub(crate) fn entry(&self, name: &str) -> Result<Option<&'a [u8]>, WeightFormatError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if entry.compressed {
            return Err(WeightFormatError::Damaged("its parts are compressed, which PyTorch does not do".into()));
        }
        let bytes = self.bytes(entry).ok_or_else(damaged)?;
        if crc32fast::hash(bytes) != entry.checksum {
            return Err(WeightFormatError::Damaged(format!("the checksum of its part {name} is wrong")));
        }
        Ok(Some(bytes))
    }

    fn bytes(&self, entry: &Entry) -> Option<&'a [u8]> {
        let header = self.file.get(usize::try_from(entry.start).ok()?..)?;
        header.starts_with(LOCAL).then_some(())?;
        let data = 30 + number(header, 26, 2)? as usize + number(header, 28, 2)? as usize;
        header.get(data..data.checked_add(usize::try_from(entry.length).ok()?)?)
    }
}

impl Entry {
    /// Takes from the 64-bit extension what did not fit into 32 bits. `small` is the compressed length: skipped there.
    fn extend(&mut self, mut extra: &[u8], small: u64) -> Option<()> {
        while let (Some(kind), Some(length)) = (number(extra, 0, 2), number(extra, 2, 2)) {
            let end = 4 + length as usize;
            let field = extra.get(4..end)?;
            if kind == 1 {
                let mut at = 0;
                let mut next = |fits: bool, value: u64| {
                    let taken = if fits { Some(value) } else { number(field, at, 8) };
                    at += if fits { 0 } else { 8 };
                    taken
                };
                self.length = next(self.length != IN_EXTENSION, self.length)?;
                next(small != IN_EXTENSION, small)?;
                self.start = next(self.start != IN_EXTENSION, self.start)?;
            }
            extra = extra.get(end..)?;
        }
        Some(())
    }
}

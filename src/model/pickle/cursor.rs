//! The bytes of a pickle, read from front to back.

use super::{WeightFormatError, cut_off, damaged};

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], WeightFormatError> {
        let length = usize::try_from(length).map_err(|_| cut_off())?;
        let end = self.position.checked_add(length).ok_or_else(cut_off)?;
        let taken = self.bytes.get(self.position..end).ok_or_else(cut_off)?;
        self.position = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WeightFormatError> {
        self.take(1)?.first().copied().ok_or_else(cut_off)
    }

    /// A little-endian number without sign, of up to 8 bytes.
    pub(super) fn number(&mut self, size: u64) -> Result<u64, WeightFormatError> {
        Ok(self.take(size)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn text(&mut self, length: u64) -> Result<&'a str, WeightFormatError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| damaged("a name in it is no text"))
    }

    /// The rest of the line, as the oldest protocols end their arguments.
    pub(super) fn line(&mut self) -> Result<&'a str, WeightFormatError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut_off)?;
        let line = self.text(length as u64)?;
        self.position += 1;
        Ok(line)
    }
}

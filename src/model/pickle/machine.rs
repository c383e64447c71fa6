//! The stack machine that a pickle is a program for. It has no opcodes that make objects; its calls are in `calls`.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::{Id, Value, WeightFormatError, cut_off, damaged};
use crate::model::weight_format::short;

pub(super) struct Machine<'a> {
    cursor: Cursor<'a>,
    pub(super) values: Vec<Value<'a>>,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Entries of tables that were made from lists: one list can be named again and again.
    pub(super) copied: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copied: 0,
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.cursor.position
    }

    /// Executes one opcode; gives the pickle's value when it was the last.
    pub(super) fn step(&mut self) -> Result<Option<Id>, WeightFormatError> {
        match self.cursor.byte()? {
            b'.' => Ok(Some(self.pop()?)),
            opcode => self.execute(opcode).map(|()| None),
        }
    }

    fn execute(&mut self, opcode: u8) -> Result<(), WeightFormatError> {
        match opcode {
            // PROTO, FRAME: said again by what follows.
            0x80 => drop(self.cursor.byte()?),
            0x95 => drop(self.cursor.number(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' => self.push(Value::Opaque),
            0x88 => self.push(Value::Integer(1)),
            0x89 => self.push(Value::Integer(0)),
            b'K' => self.push_integer(1)?,
            b'M' => self.push_integer(2)?,
            b'J' => {
                let number = self.cursor.number(4)? as u32 as i32;
                self.push(Value::Integer(number.into()));
            }
            0x8a => {
                let length = self.cursor.byte()?;
                self.push_long(length)?;
            }
            b'I' | b'L' => {
                let line = self.cursor.line()?.trim_end_matches('L');
                self.push(Value::Integer(line.parse().map_err(|_| damaged("a number in it cannot be read"))?));
            }
            b'F' => {
                self.cursor.line()?;
                self.push(Value::Opaque);
            }
            b'G' => self.push_opaque(8)?,
            b'C' => {
                let length = self.cursor.number(1)?;
                self.push_opaque(length)?;
            }
            b'B' => {
                let length = self.cursor.number(4)?;
                self.push_opaque(length)?;
            }
            b'U' | 0x8c => self.push_text(1)?,
            b'T' | b'X' => self.push_text(4)?,
            0x8d => self.push_text(8)?,
            b'S' | b'V' => {
                let line = self.cursor.line()?;
                let text = if opcode == b'S' { line.trim_matches(['\'', '"']) } else { line };
                if text.contains('\\') {
                    return Err(damaged("a name in it is no plain text"));
                }
                self.push(Value::Text(text));
            }
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(pairs(&items)));
            }
            0x85..=0x87 => self.pop_tuple(usize::from(opcode - 0x84))?,
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let place = self.cursor.number(1)?;
                self.remember(place)?;
            }
            b'r' => {
                let place = self.cursor.number(4)?;
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let place = self.cursor.number(1)?;
                self.recall(place)?;
            }
            b'j' => {
                let place = self.cursor.number(4)?;
                self.recall(place)?;
            }
            b'p' | b'g' => {
                let place = self.cursor.line()?.parse().map_err(|_| damaged("a number in it cannot be read"))?;
                if opcode == b'p' { self.remember(place)? } else { self.recall(place)? }
            }
            b'c' => {
                let (module, name) = (self.cursor.line()?, self.cursor.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.get(module), self.values.get(name)) {
                    (Some(Value::Text(module)), Some(Value::Text(name))) => self.global(module, name)?,
                    _ => return Err(damaged("a call in it has no name")),
                }
            }
            b'i' => return Err(refused(self.cursor.line()?, self.cursor.line()?)),
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            other => {
                return Err(WeightFormatError::Damaged(format!("its description holds the unknown code {other:#04x}")));
            }
        }
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    pub(super) fn pop(&mut self) -> Result<Id, WeightFormatError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(damaged("its description takes more than it holds"));
        }
        self.stack.pop().ok_or_else(cut_off)
    }

    pub(super) fn top(&self) -> Result<Id, WeightFormatError> {
        self.stack.last().copied().ok_or_else(|| damaged("its description takes more than it holds"))
    }

    /// What was pushed since the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, WeightFormatError> {
        let mark = self.marks.pop().ok_or_else(|| damaged("its description lacks a beginning"))?;
        Ok(self.stack.drain(mark.min(self.stack.len())..).collect())
    }

    fn pop_tuple(&mut self, length: usize) -> Result<(), WeightFormatError> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, place: u64) -> Result<(), WeightFormatError> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), WeightFormatError> {
        let id = self.memo.get(&place).ok_or_else(|| damaged("its description names what is not there"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn push_integer(&mut self, size: u64) -> Result<(), WeightFormatError> {
        let number = self.cursor.number(size)?;
        self.push(Value::Integer(number.into()));
        Ok(())
    }

    /// A little-endian number with sign, of any size up to 16 bytes.
    fn push_long(&mut self, length: u8) -> Result<(), WeightFormatError> {
        let bytes = self.cursor.take(length.into())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut full = [if negative { 0xff } else { 0 }; 16];
        full.get_mut(..bytes.len()).ok_or_else(|| damaged("a number in it is too large"))?.copy_from_slice(bytes);
        self.push(Value::Integer(i128::from_le_bytes(full)));
        Ok(())
    }

    fn push_opaque(&mut self, length: u64) -> Result<(), WeightFormatError> {
        self.cursor.take(length)?;
        self.push(Value::Opaque);
        Ok(())
    }

    fn push_text(&mut self, size: u64) -> Result<(), WeightFormatError> {
        let length = self.cursor.number(size)?;
        let text = self.cursor.text(length)?;
        self.push(Value::Text(text));
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), WeightFormatError> {
        let top = self.top()?;
        let Some(Value::List(list)) = self.values.get_mut(top) else { return Err(damaged("a list in it is none")) };
        list.extend(items);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), WeightFormatError> {
        let top = self.top()?;
        let Some(Value::Dict(dict)) = self.values.get_mut(top) else { return Err(damaged("a table in it is none")) };
        dict.extend(pairs(items));
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

pub(super) fn refused(module: &str, name: &str) -> WeightFormatError {
    WeightFormatError::Refused(format!("{}.{}", short(module), short(name)))
}

//! Pickles, read as data: a small interpreter of the opcodes that `torch.save` writes. It builds plain values and
//! descriptions of tensors; it cannot run anything, since the few calls that it knows are answered here.
//!
//! Values lie side by side in one list and name each other by number, so that neither depth nor cycles cost anything.
//! The format: Python's `pickletools`; protocols 0 to 4 without what `torch.save` has no use for.

use std::collections::HashMap;

use super::weight_file::{WeightFileError, short};

/// Opcodes in a pickle, and with them its memory. The largest network here has fewer than ten thousand.
const MAX_STEPS: usize = 1 << 20;
/// No weight has more dimensions.
const MAX_DIMENSIONS: usize = 8;

/// A value's place in [`Pickle::values`].
pub(super) type Id = usize;

/// A value that a pickle holds; texts lie in the file.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// Integers and truth values.
    Integer(i128),
    Text(&'a str),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Call(Call),
    Kind(Kind),
    Storage(Storage<'a>),
    Tensor(Tensor),
    /// None, floating-point numbers, bytes: carried along, never looked at.
    Opaque,
}

/// The calls that are understood.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    OrderedDict,
    /// Also its second version, with more after the strides.
    RebuildTensor,
    RebuildParameter,
}

/// The numbers in a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    F32,
    F64,
    /// Integers of so many bytes: counters, no weights.
    Integer(usize),
}

impl Kind {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Integer(size) => size,
        }
    }

    /// A number out of its little-endian bytes; `None` for integers and for another amount of bytes.
    pub fn float(self, bytes: &[u8]) -> Option<f32> {
        Some(match self {
            Self::F16 => half::f16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            Self::Bf16 => half::bf16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            Self::F32 => f32::from_le_bytes(bytes.try_into().ok()?),
            Self::F64 => f64::from_le_bytes(bytes.try_into().ok()?) as f32,
            Self::Integer(_) => return None,
        })
    }
}

/// A run of numbers that lies outside the pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub kind: Kind,
    pub key: &'a str,
    /// Numbers in it.
    pub count: usize,
}

/// A view on a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// A [`Value::Storage`].
    pub storage: Id,
    /// In numbers, as are the strides.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// As many as the shape has sides.
    pub strides: Vec<usize>,
}

/// What one pickle holds.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    pub root: Id,
    /// Bytes that it takes.
    pub length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with.
    ///
    /// # Errors
    /// When it is damaged, too long, or wants something called that is no part of tensors.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WeightFileError> {
        let mut reader = Reader {
            bytes,
            position: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        for _ in 0..MAX_STEPS {
            let opcode = reader.byte()?;
            if opcode == b'.' {
                let root = reader.pop()?;
                return Ok(Self { values: reader.values, root, length: reader.position });
            }
            reader.step(opcode)?;
        }
        Err(damaged("its description is too long"))
    }

    pub fn value(&self, id: Id) -> Option<&Value<'a>> {
        self.values.get(id)
    }

    /// All storages that tensors could lie in.
    pub fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.values.iter().filter_map(|value| if let Value::Storage(storage) = value { Some(storage) } else { None })
    }
}

fn damaged(what: &str) -> WeightFileError {
    WeightFileError::Damaged(what.to_owned())
}

fn cut_off() -> WeightFileError {
    damaged("it ends too early")
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], WeightFileError> {
        let length = usize::try_from(length).map_err(|_| cut_off())?;
        let end = self.position.checked_add(length).ok_or_else(cut_off)?;
        let taken = self.bytes.get(self.position..end).ok_or_else(cut_off)?;
        self.position = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, WeightFileError> {
        self.take(1)?.first().copied().ok_or_else(cut_off)
    }

    /// A little-endian number without sign, of up to 8 bytes.
    fn number(&mut self, size: u64) -> Result<u64, WeightFileError> {
        Ok(self.take(size)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, length: u64) -> Result<&'a str, WeightFileError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| damaged("a name in it is no text"))
    }

    /// The rest of the line, as the oldest protocols end their arguments.
    fn line(&mut self) -> Result<&'a str, WeightFileError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut_off)?;
        let line = self.text(length as u64)?;
        self.position += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, WeightFileError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(damaged("its description takes more than it holds"));
        }
        self.stack.pop().ok_or_else(cut_off)
    }

    fn top(&self) -> Result<Id, WeightFileError> {
        self.stack.last().copied().ok_or_else(|| damaged("its description takes more than it holds"))
    }

    /// What was pushed since the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, WeightFileError> {
        let mark = self.marks.pop().ok_or_else(|| damaged("its description lacks a beginning"))?;
        Ok(self.stack.drain(mark.min(self.stack.len())..).collect())
    }

    fn pop_tuple(&mut self, length: usize) -> Result<(), WeightFileError> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, place: u64) -> Result<(), WeightFileError> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), WeightFileError> {
        let id = self.memo.get(&place).ok_or_else(|| damaged("its description names what is not there"))?;
        self.stack.push(*id);
        Ok(())
    }

    fn step(&mut self, opcode: u8) -> Result<(), WeightFileError> {
        match opcode {
            // PROTO, FRAME: said again by what follows.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.number(8)?),
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
                let number = self.number(4)? as u32 as i32;
                self.push(Value::Integer(number.into()));
            }
            0x8a => {
                let length = self.byte()?;
                self.push_long(length)?;
            }
            b'I' | b'L' => {
                let line = self.line()?.trim_end_matches('L');
                self.push(Value::Integer(line.parse().map_err(|_| damaged("a number in it cannot be read"))?));
            }
            b'F' => {
                self.line()?;
                self.push(Value::Opaque);
            }
            b'G' => self.push_opaque(8)?,
            b'C' => {
                let length = self.number(1)?;
                self.push_opaque(length)?;
            }
            b'B' => {
                let length = self.number(4)?;
                self.push_opaque(length)?;
            }
            b'U' | 0x8c => self.push_text(1)?,
            b'T' | b'X' => self.push_text(4)?,
            0x8d => self.push_text(8)?,
            b'S' | b'V' => {
                let line = self.line()?;
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
                let place = self.number(1)?;
                self.remember(place)?;
            }
            b'r' => {
                let place = self.number(4)?;
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let place = self.number(1)?;
                self.recall(place)?;
            }
            b'j' => {
                let place = self.number(4)?;
                self.recall(place)?;
            }
            b'p' | b'g' => {
                let place = self.line()?.parse().map_err(|_| damaged("a number in it cannot be read"))?;
                if opcode == b'p' { self.remember(place)? } else { self.recall(place)? }
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.get(module), self.values.get(name)) {
                    (Some(Value::Text(module)), Some(Value::Text(name))) => self.global(module, name)?,
                    _ => return Err(damaged("a call in it has no name")),
                }
            }
            b'i' => return Err(refused(self.line()?, self.line()?)),
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            b'Q' => self.persistent()?,
            other => {
                return Err(WeightFileError::Damaged(format!("its description holds the unknown code {other:#04x}")));
            }
        }
        Ok(())
    }

    fn push_integer(&mut self, size: u64) -> Result<(), WeightFileError> {
        let number = self.number(size)?;
        self.push(Value::Integer(number.into()));
        Ok(())
    }

    /// A little-endian number with sign, of any size up to 16 bytes.
    fn push_long(&mut self, length: u8) -> Result<(), WeightFileError> {
        let bytes = self.take(length.into())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut full = [if negative { 0xff } else { 0 }; 16];
        full.get_mut(..bytes.len()).ok_or_else(|| damaged("a number in it is too large"))?.copy_from_slice(bytes);
        self.push(Value::Integer(i128::from_le_bytes(full)));
        Ok(())
    }

    fn push_opaque(&mut self, length: u64) -> Result<(), WeightFileError> {
        self.take(length)?;
        self.push(Value::Opaque);
        Ok(())
    }

    fn push_text(&mut self, size: u64) -> Result<(), WeightFileError> {
        let length = self.number(size)?;
        let text = self.text(length)?;
        self.push(Value::Text(text));
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), WeightFileError> {
        let top = self.top()?;
        let Some(Value::List(list)) = self.values.get_mut(top) else { return Err(damaged("a list in it is none")) };
        list.extend(items);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), WeightFileError> {
        let top = self.top()?;
        let Some(Value::Dict(dict)) = self.values.get_mut(top) else { return Err(damaged("a table in it is none")) };
        dict.extend(pairs(items));
        Ok(())
    }

    /// The only names that a pickle may speak of. The mere mention of another ends the reading.
    fn global(&mut self, module: &str, name: &str) -> Result<(), WeightFileError> {
        let value = match (module, name) {
            ("collections", "OrderedDict") => Value::Call(Call::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Value::Call(Call::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Value::Call(Call::RebuildParameter),
            ("torch", "HalfStorage") => Value::Kind(Kind::F16),
            ("torch", "BFloat16Storage") => Value::Kind(Kind::Bf16),
            ("torch", "FloatStorage") => Value::Kind(Kind::F32),
            ("torch", "DoubleStorage") => Value::Kind(Kind::F64),
            ("torch", "BoolStorage" | "ByteStorage" | "CharStorage") => Value::Kind(Kind::Integer(1)),
            ("torch", "ShortStorage") => Value::Kind(Kind::Integer(2)),
            ("torch", "IntStorage") => Value::Kind(Kind::Integer(4)),
            ("torch", "LongStorage") => Value::Kind(Kind::Integer(8)),
            _ => return Err(refused(module, name)),
        };
        self.push(value);
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), WeightFileError> {
        let (arguments, call) = (self.pop()?, self.pop()?);
        let (Some(Value::Tuple(arguments)), Some(Value::Call(call))) =
            (self.values.get(arguments), self.values.get(call))
        else {
            return Err(damaged("a call in it is none"));
        };
        match (call, arguments.as_slice()) {
            (Call::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Call::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides);
                self.push(Value::Tensor(tensor.ok_or_else(|| damaged("a tensor in it is described wrongly"))?));
            }
            (Call::RebuildParameter, [tensor, ..]) => self.stack.push(*tensor),
            _ => return Err(damaged("a call in it has the wrong arguments")),
        }
        Ok(())
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<Tensor> {
        let (shape, strides) = (self.lengths(shape)?, self.lengths(strides)?);
        let is_storage = matches!(self.values.get(storage), Some(Value::Storage(_)));
        let offset = self.length(offset)?;
        (is_storage && shape.len() == strides.len()).then_some(Tensor { storage, offset, shape, strides })
    }

    fn length(&self, id: Id) -> Option<usize> {
        if let Some(Value::Integer(number)) = self.values.get(id) { usize::try_from(*number).ok() } else { None }
    }

    fn lengths(&self, id: Id) -> Option<Vec<usize>> {
        let Some(Value::Tuple(items)) = self.values.get(id) else { return None };
        if items.len() > MAX_DIMENSIONS {
            return None;
        }
        items.iter().map(|item| self.length(*item)).collect()
    }

    /// Gives an object a state. The one that PyTorch writes are the versions of a state dict's layers: no matter here.
    fn build(&mut self) -> Result<(), WeightFileError> {
        self.pop()?;
        match self.values.get(self.top()?) {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err(damaged("an object in it cannot have a state")),
        }
    }

    /// `("storage", kind, key, device, count)`, and at the end of an old file's a view on a larger storage.
    fn persistent(&mut self) -> Result<(), WeightFileError> {
        let id = self.pop()?;
        let storage = match self.values.get(id) {
            Some(Value::Tuple(items)) => self.storage(items),
            _ => None,
        };
        self.push(Value::Storage(storage.ok_or_else(|| damaged("a storage in it is described wrongly"))?));
        Ok(())
    }

    fn storage(&self, items: &[Id]) -> Option<Storage<'a>> {
        let (head, view) = items.split_at_checked(5)?;
        let values: Vec<_> = head.iter().filter_map(|id| self.values.get(*id)).collect();
        let whole = view.iter().all(|id| matches!(self.values.get(*id), Some(Value::Opaque)));
        match values.as_slice() {
            [Value::Text("storage"), Value::Kind(kind), Value::Text(key), _, _] if whole => {
                Some(Storage { kind: *kind, key, count: self.length(head[4])? })
            }
            _ => None,
        }
    }
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn refused(module: &str, name: &str) -> WeightFileError {
    WeightFileError::Refused(format!("{}.{}", short(module), short(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_anything_else_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ran");
        let shell = format!("cposix\nsystem\n(S'touch {}'\ntR.", file.display());
        let old_object = format!("(S'touch {}'\nios\nsystem\n.", file.display());
        let stacked = b"\x80\x04\x8c\x02os\x8c\x06system\x93.".to_vec();
        for (bytes, name) in
            [(shell.into_bytes(), "posix.system"), (old_object.into_bytes(), "os.system"), (stacked, "os.system")]
        {
            let error = Pickle::read(&bytes).unwrap_err();
            assert!(matches!(&error, WeightFileError::Refused(found) if found == name), "{error}");
            assert!(error.to_string().contains(&format!("wants to call {name}")), "{error}");
        }
        assert!(!file.exists());
    }

    #[test]
    fn plain_values_of_every_protocol_are_read() {
        let old = b"(lp0\nI7\naL-3L\naV a\na.";
        let new = b"\x80\x04\x95\x0f\0\0\0\0\0\0\0]\x94(K\x07\x8a\x01\xfd\x8c\x02 ae.";
        for bytes in [&old[..], &new[..]] {
            let pickle = Pickle::read(bytes).unwrap();
            let Some(Value::List(items)) = pickle.value(pickle.root) else { panic!("{pickle:?}") };
            let values: Vec<_> = items.iter().map(|id| pickle.value(*id).unwrap()).collect();
            assert!(
                matches!(values.as_slice(), [Value::Integer(7), Value::Integer(-3), Value::Text(" a")]),
                "{values:?}"
            );
            assert_eq!(pickle.length, bytes.len());
        }
    }

    #[test]
    fn depth_cycles_and_lengths_that_lie_do_no_harm() {
        // A list that holds itself; a hundred thousand lists in each other; a text of 4 GB that is not there.
        assert!(Pickle::read(b"]q\0h\0a.").is_ok());
        let deep = [vec![b']'; 100_000], vec![b'a'; 99_999], vec![b'.']].concat();
        assert!(Pickle::read(&deep).is_ok());
        assert!(matches!(Pickle::read(b"X\xff\xff\xff\xffab"), Err(WeightFileError::Damaged(_))));
        let endless = vec![b'N'; MAX_STEPS + 1];
        assert!(matches!(Pickle::read(&endless), Err(WeightFileError::Damaged(_))));
    }
}

//! Pickles, read as data: a small interpreter of the opcodes that `torch.save` writes. It builds plain values and
//! descriptions of tensors; it cannot run anything, since the few calls that it knows are answered here.
//!
//! Values lie side by side in one list and name each other by number, so that neither depth nor cycles cost anything.
//! The format: Python's `pickletools`; protocols 0 to 4 without what `torch.save` has no use for.

mod calls;
mod cursor;
mod machine;

use super::weight_format::WeightFormatError;
use machine::Machine;

/// Opcodes in a pickle, and with them its memory. The largest network here has fewer than ten thousand.
const MAX_STEPS: usize = 1 << 20;

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
    DType(DType),
    Storage(Storage<'a>),
    Tensor(TensorView),
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
pub(crate) enum DType {
    F16,
    Bf16,
    F32,
    F64,
    /// Integers of so many bytes: counters, no weights.
    Integer(usize),
}

impl DType {
    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Integer(size) => size,
        }
    }

    /// A number out of its little-endian bytes; `None` for integers and for another amount of bytes.
    pub(crate) fn float(self, bytes: &[u8]) -> Option<f32> {
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
    pub(crate) dtype: DType,
    pub(crate) key: &'a str,
    /// Numbers in it.
    pub(crate) count: usize,
}

/// A view on a storage.
#[derive(Clone, Debug)]
pub(super) struct TensorView {
    /// A [`Value::Storage`].
    pub(crate) storage: Id,
    /// In numbers, as are the strides.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    /// As many as the shape has sides.
    pub(crate) strides: Vec<usize>,
}

/// What one pickle holds.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    pub(crate) root: Id,
    /// Bytes that it takes.
    pub(crate) length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` begin with.
    ///
    /// # Errors
    /// When it is damaged, too long, or wants something called that is no part of tensors.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, WeightFormatError> {
        let mut machine = Machine::new(bytes);
        for _ in 0..MAX_STEPS {
            if let Some(root) = machine.step()? {
                return Ok(Self { length: machine.position(), values: machine.values, root });
            }
        }
        Err(too_long())
    }

    pub(crate) fn value(&self, id: Id) -> Option<&Value<'a>> {
        self.values.get(id)
    }

    /// All storages that tensors could lie in.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.values.iter().filter_map(|value| if let Value::Storage(storage) = value { Some(storage) } else { None })
    }
}

fn damaged(what: &str) -> WeightFormatError {
    WeightFormatError::Damaged(what.to_owned())
}

fn too_long() -> WeightFormatError {
    damaged("its description is too long")
}

fn cut_off() -> WeightFormatError {
    damaged("it ends too early")
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
            assert!(matches!(&error, WeightFormatError::Refused(found) if found == name), "{error}");
            assert!(error.to_string().contains(&format!("wants to call {name}")), "{error}");
        }
        assert!(!file.exists());
    }

    #[test]
    fn what_could_make_objects_is_no_part_of_the_language() {
        let ordered = b"ccollections\nOrderedDict\n";
        let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n";
        for (what, code) in [
            ("OBJ", [b"(", &ordered[..], b"o."].concat()),
            ("NEWOBJ", [&ordered[..], b")\x81."].concat()),
            ("NEWOBJ_EX", [&ordered[..], b")}\x92."].concat()),
            ("EXT1", b"\x82\x01.".to_vec()),
            ("EXT4", b"\x84\x01\0\0\0.".to_vec()),
            ("PERSID", b"Pwhatever\n.".to_vec()),
            ("a state for a call", [&ordered[..], b"}b."].concat()),
            ("a call of a text", b"S'x'\n)R.".to_vec()),
            ("a dict made of a number", [&ordered[..], b"(K\x01tR."].concat()),
            ("a dict made of numbers", [&ordered[..], b"(](K\x01etR."].concat()),
            ("a tensor of no storage", [&tensor[..], b"(NK\0))tR."].concat()),
            ("a tensor of nothing", [&tensor[..], b")R."].concat()),
            ("a storage by a text", b"S'storage'\nQ.".to_vec()),
            ("a number of 2 GB", b"\x8b\xff\xff\xff\x7f.".to_vec()),
            ("a negative number of bytes", b"T\xff\xff\xff\xff.".to_vec()),
            ("more than there is", b"0.".to_vec()),
            ("what lies under a mark", b"N(0.".to_vec()),
            ("a place that was never filled", b"h\x07.".to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert!(matches!(Pickle::read(&code), Err(WeightFormatError::Damaged(_))), "{what}");
        }
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
    fn a_table_may_be_a_list_of_pairs() {
        // As Python 2 wrote it: what a state dict published before 2019 looks like.
        let pickle = b"\x80\x02ccollections\nOrderedDict\nq\0]q\x01(]q\x02(U\x01aK\x01e]q\x03(U\x01bK\x02ee\x85R.";
        let pickle = Pickle::read(pickle).unwrap();
        let Some(Value::Dict(entries)) = pickle.value(pickle.root) else { panic!("{pickle:?}") };
        let [(a, _), (_, two)] = entries.as_slice() else { panic!("{entries:?}") };
        assert!(matches!((pickle.value(*a), pickle.value(*two)), (Some(Value::Text("a")), Some(Value::Integer(2)))));
    }

    #[test]
    fn depth_cycles_and_lengths_that_lie_do_no_harm() {
        // A list that holds itself; a hundred thousand lists in each other; a text of 4 GB that is not there.
        assert!(Pickle::read(b"]q\0h\0a.").is_ok());
        let deep = [vec![b']'; 100_000], vec![b'a'; 99_999], vec![b'.']].concat();
        assert!(Pickle::read(&deep).is_ok());
        assert!(matches!(Pickle::read(b"X\xff\xff\xff\xffab"), Err(WeightFormatError::Damaged(_))));
        // Each list holds the one before it twice: a million million million million values, if they were counted.
        let doubled = |number: u8| vec![b']', b'q', number, b'(', b'h', number - 1, b'h', number - 1, b'e'];
        let bomb = [b"]q\0".to_vec(), (1..80).flat_map(doubled).collect(), vec![b'.']].concat();
        assert_eq!(Pickle::read(&bomb).unwrap().values.len(), 80);
        // A table of a thousand entries, made two thousand times.
        let entries = [&b"(K\0K\0lq\0"[..], b"0]q\x01("].concat();
        let entries = [entries, b"h\0".repeat(1000), b"e0".to_vec()].concat();
        let tables = [entries, b"ccollections\nOrderedDict\nh\x01\x85R0".repeat(2000), b"N.".to_vec()].concat();
        assert!(matches!(Pickle::read(&tables), Err(WeightFormatError::Damaged(text)) if text.contains("too long")));
        let endless = vec![b'N'; MAX_STEPS + 1];
        assert!(matches!(Pickle::read(&endless), Err(WeightFormatError::Damaged(_))));
    }
}

//! What `torch.save` writes of a network: a pickle that describes named tensors, and their numbers. Both the zip archive
//! of PyTorch 1.6 and later and the older sequence of pickles.

use std::collections::HashMap;

use super::NamedTensor;
use super::pickle::{DType, Id, Pickle, Storage, TensorView, Value};
use super::stored_zip::StoredZip;
use super::weight_format::{WeightFormatError, short};

/// The older form begins with a pickle of this number.
const OLD_MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// More than that pickle takes in any protocol.
const MAGIC_LENGTH: usize = 64;
/// Where checkpoints keep the state dict, the first of them first.
const NESTED: [&str; 5] = ["state_dict", "model_state_dict", "model", "teacher", "student"];
/// Tables in each other.
const MAX_NESTING: usize = 4;

/// Whether a file begins as `torch.save` begins one.
pub(crate) fn has_signature(file: &[u8]) -> bool {
    let is_magic = |pickle: Pickle| matches!(pickle.value(pickle.root), Some(Value::Integer(OLD_MAGIC)));
    StoredZip::has_signature(file) || Pickle::read(&file[..file.len().min(MAGIC_LENGTH)]).is_ok_and(is_magic)
}

/// The floating-point tensors of a file, by name in the file's order.
///
/// # Errors
/// When the file is damaged, holds no state dict, or wants more than tensors.
pub(crate) fn read(file: &[u8]) -> Result<Vec<NamedTensor>, WeightFormatError> {
    if StoredZip::has_signature(file) { read_archive(file) } else { read_sequence(file) }
}

fn damaged(what: &str) -> WeightFormatError {
    WeightFormatError::Damaged(what.to_owned())
}

fn read_archive(file: &[u8]) -> Result<Vec<NamedTensor>, WeightFormatError> {
    const PICKLE: &str = "data.pkl";
    let archive = StoredZip::open(file)?;
    let folder = archive.folder_of(PICKLE).ok_or(WeightFormatError::NoWeights("a zip archive of something else"))?;
    let entry = |name: &str| archive.entry(&format!("{folder}{name}"));
    if entry("byteorder")?.is_some_and(|order| order != b"little") {
        return Err(big_endian());
    }
    let pickle = Pickle::read(entry(PICKLE)?.unwrap_or_default())?;
    let mut storages = HashMap::new();
    for storage in pickle.storages().filter(|storage| !matches!(storage.dtype, DType::Integer(_))) {
        if !storages.contains_key(storage.key) {
            let bytes = entry(&format!("data/{}", storage.key))?.ok_or_else(|| damaged("a part of it is missing"))?;
            storages.insert(storage.key, bytes);
        }
    }
    tensors(&pickle, &storages, file.len())
}

/// Magic number, version, the computer's properties, the object, the storages' keys; then the storages in that order,
/// each with its count before it.
fn read_sequence(file: &[u8]) -> Result<Vec<NamedTensor>, WeightFormatError> {
    let mut rest = file;
    let mut next = || {
        let pickle = Pickle::read(rest)?;
        rest = rest.get(pickle.length..).unwrap_or_default();
        Ok::<_, WeightFormatError>(pickle)
    };
    let (_magic, _version, computer, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if matches!(entry(&computer, computer.root, "little_endian"), Some(Value::Integer(0))) {
        return Err(big_endian());
    }
    let Some(Value::List(keys_list)) = keys.value(keys.root) else { return Err(damaged("its parts have no names")) };
    let dtypes: HashMap<&str, DType> = object.storages().map(|storage| (storage.key, storage.dtype)).collect();
    let mut storages = HashMap::new();
    for id in keys_list {
        let Some(Value::Text(key)) = keys.value(*id) else { return Err(damaged("its parts have no names")) };
        let dtype = dtypes.get(key).ok_or_else(|| damaged("a part of it belongs to nothing"))?;
        let split = rest.split_first_chunk::<8>().and_then(|(count, rest)| {
            let length = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(dtype.size())?;
            rest.split_at_checked(length)
        });
        let (bytes, after) = split.ok_or_else(|| damaged("it ends too early"))?;
        storages.insert(*key, bytes);
        rest = after;
    }
    tensors(&object, &storages, file.len())
}

fn big_endian() -> WeightFormatError {
    damaged("it was written on a computer with another byte order")
}

/// A dict's value for a text.
fn entry<'p, 'a>(pickle: &'p Pickle<'a>, dict: Id, name: &str) -> Option<&'p Value<'a>> {
    pickle.value(entry_id(pickle, dict, name)?)
}

fn entry_id(pickle: &Pickle, dict: Id, name: &str) -> Option<Id> {
    let Some(Value::Dict(entries)) = pickle.value(dict) else { return None };
    let found = entries.iter().find(|(key, _)| matches!(pickle.value(*key), Some(Value::Text(text)) if *text == name));
    found.map(|(_, value)| *value)
}

/// `room`: how many floats there may be. As tensors can share numbers, a small file could claim any amount.
fn tensors(
    pickle: &Pickle,
    storages: &HashMap<&str, &[u8]>,
    mut room: usize,
) -> Result<Vec<NamedTensor>, WeightFormatError> {
    let mut dict = pickle.root;
    for _ in 0..MAX_NESTING {
        let inner = NESTED.iter().filter_map(|name| entry_id(pickle, dict, name));
        let Some(inner) = inner.into_iter().find(|id| matches!(pickle.value(*id), Some(Value::Dict(_)))) else { break };
        dict = inner;
    }
    let Some(Value::Dict(entries)) = pickle.value(dict) else {
        return Err(WeightFormatError::NoWeights("a PyTorch file that holds no table of tensors"));
    };
    let mut found = Vec::new();
    for (key, value) in entries {
        let (Some(Value::Text(name)), Some(Value::Tensor(tensor))) = (pickle.value(*key), pickle.value(*value)) else {
            continue;
        };
        let Some(Value::Storage(storage)) = pickle.value(tensor.storage) else { continue };
        if matches!(storage.dtype, DType::Integer(_)) {
            continue;
        }
        let bytes = storages.get(storage.key).copied().unwrap_or_default();
        let wrong = || WeightFormatError::Damaged(format!("the weight {} reaches beyond its numbers", short(name)));
        let values = gather(tensor, storage, bytes, &mut room).ok_or_else(wrong)?;
        found.push(NamedTensor { name: (*name).to_owned(), shape: tensor.shape.clone(), values });
    }
    Ok(found)
}

/// A tensor's numbers in the order of its shape. `None` where they are not all there, or `room` is used up.
fn gather(tensor: &TensorView, storage: &Storage, bytes: &[u8], room: &mut usize) -> Option<Vec<f32>> {
    let count = tensor.shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
    *room = room.checked_sub(count)?;
    if count == 0 {
        return Some(Vec::new());
    }
    let sides = || tensor.shape.iter().zip(&tensor.strides);
    let last =
        sides().try_fold(tensor.offset, |last, (side, stride)| last.checked_add(stride.checked_mul(side - 1)?))?;
    let size = storage.dtype.size();
    if last >= storage.count || bytes.len() / size < storage.count {
        return None;
    }
    let offset_of = |number: usize| {
        let (mut rest, mut offset) = (number, tensor.offset);
        for (side, stride) in sides().rev() {
            offset += rest % side * stride;
            rest /= side;
        }
        offset
    };
    (0..count).map(offset_of).map(|at| storage.dtype.float(bytes.get(at * size..(at + 1) * size)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by PyTorch 2.15 (`tests/data/make_references.py`), with pickle protocols 2 and 4.
    const FILES: [&[u8]; 4] = [
        include_bytes!("../../tests/data/state_dict.pt"),
        include_bytes!("../../tests/data/state_dict_4.pt"),
        include_bytes!("../../tests/data/state_dict_old.pt"),
        include_bytes!("../../tests/data/state_dict_old_4.pt"),
    ];

    #[test]
    fn tensors_of_both_forms_are_read() {
        for file in FILES {
            assert!(has_signature(file));
            let found = read(file).unwrap();
            let tensor = |name: &str, shape: &[usize], values: &[f32]| NamedTensor {
                name: format!("module.{name}"),
                shape: shape.to_vec(),
                values: values.to_vec(),
            };
            let expected = [
                tensor("turned", &[4, 3], &[0.0, 1.0, 2.0, 0.25, 1.25, 2.25, 0.5, 1.5, 2.5, 0.75, 1.75, 2.75]),
                tensor("part", &[2, 3], &[1.25, 1.5, 1.75, 2.25, 2.5, 2.75]),
                tensor("half", &[2], &[0.5, -2.0]),
                tensor("bf16", &[2], &[1.5, 3.0]),
                tensor("double", &[1], &[0.25]),
                tensor("scalar", &[], &[9.0]),
            ];
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        for file in FILES {
            for length in 0..file.len() {
                assert!(read(&file[..length]).is_err(), "{length} of {}", file.len());
            }
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        for file in FILES {
            let mut refused = 0;
            for bit in 0..file.len() * 8 {
                let mut flipped = file.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                refused += usize::from(read(&flipped).is_err());
            }
            assert!(refused > file.len(), "{refused} of {}", file.len() * 8);
        }
    }

    #[test]
    fn tensors_that_claim_too_much_cost_no_memory() {
        let storage = Storage { dtype: DType::F32, key: "0", count: 1 };
        // A million million times the same number; a stride beyond all numbers.
        for (shape, strides) in [(vec![1_000_000, 1_000_000], vec![0, 0]), (vec![2], vec![usize::MAX])] {
            let tensor = TensorView { storage: 0, offset: 1, shape, strides };
            assert_eq!(gather(&tensor, &storage, &[0; 4], &mut 1000), None);
        }
    }
}

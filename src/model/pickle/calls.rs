//! The calls that a pickle may make, answered here; the mere mention of any other ends the reading.

use super::machine::{Machine, refused};
use super::{Call, DType, Id, MAX_STEPS, Storage, TensorView, Value, WeightFormatError, damaged, too_long};

/// No weight has more dimensions.
const MAX_DIMENSIONS: usize = 8;

impl<'a> Machine<'a> {
    /// The only names that a pickle may speak of. The mere mention of another ends the reading.
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), WeightFormatError> {
        let value = match (module, name) {
            ("collections", "OrderedDict") => Value::Call(Call::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Value::Call(Call::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Value::Call(Call::RebuildParameter),
            ("torch", "HalfStorage") => Value::DType(DType::F16),
            ("torch", "BFloat16Storage") => Value::DType(DType::Bf16),
            ("torch", "FloatStorage") => Value::DType(DType::F32),
            ("torch", "DoubleStorage") => Value::DType(DType::F64),
            ("torch", "BoolStorage" | "ByteStorage" | "CharStorage") => Value::DType(DType::Integer(1)),
            ("torch", "ShortStorage") => Value::DType(DType::Integer(2)),
            ("torch", "IntStorage") => Value::DType(DType::Integer(4)),
            ("torch", "LongStorage") => Value::DType(DType::Integer(8)),
            _ => return Err(refused(module, name)),
        };
        self.push(value);
        Ok(())
    }

    pub(super) fn reduce(&mut self) -> Result<(), WeightFormatError> {
        let (arguments, call) = (self.pop()?, self.pop()?);
        let (Some(Value::Tuple(arguments)), Some(Value::Call(call))) =
            (self.values.get(arguments), self.values.get(call))
        else {
            return Err(damaged("a call in it is none"));
        };
        match (call, arguments.as_slice()) {
            (Call::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Call::OrderedDict, [list]) => {
                let entries = self.entries(*list).ok_or_else(|| damaged("a table in it is none"))?;
                self.copied += entries.len();
                if self.copied > MAX_STEPS {
                    return Err(too_long());
                }
                self.push(Value::Dict(entries));
            }
            (Call::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides);
                self.push(Value::Tensor(tensor.ok_or_else(|| damaged("a tensor in it is described wrongly"))?));
            }
            (Call::RebuildParameter, [tensor, ..]) => self.stack.push(*tensor),
            _ => return Err(damaged("a call in it has the wrong arguments")),
        }
        Ok(())
    }

    /// A table as a list of pairs, the way Python 2 wrote it.
    fn entries(&self, list: Id) -> Option<Vec<(Id, Id)>> {
        let Some(Value::List(pairs)) = self.values.get(list) else { return None };
        let pair = |id: &Id| match self.values.get(*id) {
            Some(Value::List(pair) | Value::Tuple(pair)) => Some((*pair.first()?, *pair.get(1)?)),
            _ => None,
        };
        pairs.iter().map(pair).collect()
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<TensorView> {
        let (shape, strides) = (self.lengths(shape)?, self.lengths(strides)?);
        let is_storage = matches!(self.values.get(storage), Some(Value::Storage(_)));
        let offset = self.length(offset)?;
        (is_storage && shape.len() == strides.len()).then_some(TensorView { storage, offset, shape, strides })
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
    pub(super) fn build(&mut self) -> Result<(), WeightFormatError> {
        self.pop()?;
        match self.values.get(self.top()?) {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err(damaged("an object in it cannot have a state")),
        }
    }

    /// `("storage", dtype, key, device, count)`, and at the end of an old file's a view on a larger storage.
    pub(super) fn persistent(&mut self) -> Result<(), WeightFormatError> {
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
            [Value::Text("storage"), Value::DType(dtype), Value::Text(key), _, _] if whole => {
                Some(Storage { dtype: *dtype, key, count: self.length(head[4])? })
            }
            _ => None,
        }
    }
}

"""Turns a PyTorch state dict in the old (before 1.6) pickle format into a safetensors file.

Needs the standard library only, and runs nothing that the pickle names: every name it may look up is in
`ALLOWED` below, and each of those only describes data.
"""

import collections
import hashlib
import io
import json
import os
import pickle
import struct
import sys
from pathlib import Path
from typing import NamedTuple

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class UnsupportedPickle(Exception):
    """The file is not a plain state dict in the old format."""


class StorageType(NamedTuple):
    name: str
    bytes_per_number: int


FLOAT = StorageType("F32", 4)
LONG = StorageType("I64", 8)


class Storage(NamedTuple):
    """The numbers of one or more tensors; they stand behind the pickle, found by key."""

    type: StorageType
    key: str
    numbers: int


class Tensor(NamedTuple):
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple

    def numbers(self):
        count = 1
        for side in self.shape:
            count *= side
        return count


def rebuild_tensor(storage, offset, shape, strides, _requires_grad, _backward_hooks, *_metadata):
    if not isinstance(storage, Storage):
        raise UnsupportedPickle("a tensor without a storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch", "FloatStorage"): FLOAT,
    ("torch", "LongStorage"): LONG,
}


class StateDictUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise UnsupportedPickle(f"the pickle asks for {module}.{name}, which no state dict needs") from None

    def persistent_load(self, saved_id):
        kind, storage_type, key, _location, numbers, view = saved_id
        if kind != "storage" or not isinstance(storage_type, StorageType) or view is not None:
            raise UnsupportedPickle(f"unknown kind of storage: {saved_id!r}")
        return Storage(storage_type, key, numbers)


def read_state_dict(file):
    """Returns the tensors by name and the bytes of each storage by key."""
    if StateDictUnpickler(file).load() != MAGIC or StateDictUnpickler(file).load() != PROTOCOL:
        raise UnsupportedPickle("not a PyTorch file of the old format")
    system = StateDictUnpickler(file).load()
    if not system.get("little_endian"):
        raise UnsupportedPickle("written on a big-endian machine")
    tensors = StateDictUnpickler(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UnsupportedPickle("not a state dict: something else than tensors by name")

    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    data = {}
    for key in StateDictUnpickler(file).load():
        (numbers,) = struct.unpack("<q", file.read(8))
        storage = storages.get(key)
        if storage is None or storage.numbers != numbers:
            raise UnsupportedPickle(f"storage {key} is not the one that the tensors name")
        data[key] = file.read(numbers * storage.type.bytes_per_number)
        if len(data[key]) != numbers * storage.type.bytes_per_number:
            raise UnsupportedPickle("the file ends too early")
    return tensors, data


def in_row_order(tensor, numbers):
    """The tensor's numbers (a memoryview of four-byte ones) in row order: many were saved transposed."""

    def walk(axis, start):
        if axis == len(tensor.shape):
            return numbers[start : start + 1].tobytes()
        side, stride = tensor.shape[axis], tensor.strides[axis]
        if axis == len(tensor.shape) - 1:
            return numbers[start : start + (side - 1) * stride + 1 : stride].tobytes()
        return b"".join(walk(axis + 1, start + index * stride) for index in range(side))

    if min(tensor.shape, default=1) < 1 or min(tensor.strides, default=1) < 1:
        raise UnsupportedPickle("a tensor without numbers, or with steps that go nowhere")
    return walk(0, tensor.offset)


def safetensors_bytes(tensors, data):
    """The floating-point tensors, sorted by name; the same tensors give the same bytes."""
    header = {}
    body = io.BytesIO()
    for name in sorted(tensors):
        tensor = tensors[name]
        if tensor.storage.type is not FLOAT:
            continue  # num_batches_tracked: a count that only training uses
        numbers = in_row_order(tensor, memoryview(data[tensor.storage.key]).cast("I"))
        if len(numbers) != tensor.numbers() * FLOAT.bytes_per_number:
            raise UnsupportedPickle(f"{name} reaches beyond its storage")
        start = body.tell()
        body.write(numbers)
        header[name] = {"dtype": FLOAT.name, "shape": list(tensor.shape), "data_offsets": [start, body.tell()]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body.getvalue()


def convert(pickled):
    """Bytes of a state dict in the old pickle format to bytes of a safetensors file."""
    try:
        return safetensors_bytes(*read_state_dict(io.BytesIO(pickled)))
    except UnsupportedPickle:
        raise
    except Exception as error:  # a damaged pickle can fail in any way that Python has
        raise UnsupportedPickle(f"damaged file: {error!r}") from error


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: pickle_to_safetensors.py STATE_DICT.pth RESULT.safetensors")
    result = convert(Path(sys.argv[1]).read_bytes())
    target = Path(sys.argv[2])
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(result)
    os.replace(partial, target)
    print(f"{target}: {len(result):,} bytes, SHA-256 {hashlib.sha256(result).hexdigest()}")


if __name__ == "__main__":
    main()

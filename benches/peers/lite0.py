"""EfficientNet-Lite0 in plain PyTorch, as the peers run it."""

import json
import struct
from pathlib import Path

import numpy
import torch
from torch.nn import functional

# Expansion, channels, blocks, stride, kernel.
STAGES = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]


def read_safetensors(file):
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)

    def tensor(entry):
        start, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + length + start : 8 + length + end], numpy.float32)
        return torch.from_numpy(values.copy()).view(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}


def built_in_weights():
    """The ones that `make setup` made."""
    return read_safetensors(Path(__file__).resolve().parents[2] / ".deps/weights/efficientnet_lite0.safetensors")


def same_padding(x, kernel, stride):
    """Left, right, top, bottom, as TensorFlow pads."""
    pads = []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        pads += [total // 2, total - total // 2]
    return pads


class Lite0:
    """As the paper has it, batch norm and all. `inplace`: activations overwrite what they are computed from."""

    def __init__(self, weights, inplace):
        self.weights, self.inplace = weights, inplace

    def relu6(self, x):
        return functional.relu6(x, inplace=self.inplace)

    def convolve(self, x, name, norm, stride=1, depthwise=False):
        weight = self.weights[name + ".weight"]
        pads = same_padding(x, weight.shape[-1], stride)
        x = functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=x.shape[1] if depthwise else 1)
        of = lambda part: self.weights[f"{norm}.{part}"]
        return functional.batch_norm(x, of("running_mean"), of("running_var"), of("weight"), of("bias"), eps=1e-3)

    def __call__(self, x):
        x = self.relu6(self.convolve(x, "_conv_stem", "_bn0", 2))
        number, channels = 0, 32
        for expansion, outputs, blocks, first_stride, _ in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                name, before = f"_blocks.{number}.", x
                if expansion > 1:
                    x = self.relu6(self.convolve(x, name + "_expand_conv", name + "_bn0"))
                x = self.relu6(self.convolve(x, name + "_depthwise_conv", name + "_bn1", stride, True))
                x = self.convolve(x, name + "_project_conv", name + "_bn2")
                if stride == 1 and channels == outputs:
                    x = x + before
                number, channels = number + 1, outputs
        return self.relu6(self.convolve(x, "_conv_head", "_bn1")).mean((2, 3))

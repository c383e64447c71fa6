#!/usr/bin/env python3
"""The peer that indexing is measured against: a plain Python loop, one photo at a time.

Pillow decodes, PyTorch runs EfficientNet-Lite0 (batch norm and all, eager, channels first) on one photo after the other.
The weights are the ones that `make setup` made, in `.deps/weights`. Needs torch 2.11.0, pillow and numpy.

usage: embed_loop.py FOLDER [COUNT]     prints photos a second over COUNT photos (default 400)
"""

import json
import struct
import sys
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch.nn import functional

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


class Lite0:
    def __init__(self, weights):
        self.weights = weights

    def convolve(self, x, name, norm, stride=1, depthwise=False):
        weight = self.weights[name + ".weight"]
        kernel = weight.shape[-1]
        pads = []
        for length in (x.shape[3], x.shape[2]):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        x = functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=x.shape[1] if depthwise else 1)
        of = lambda part: self.weights[f"{norm}.{part}"]
        return functional.batch_norm(x, of("running_mean"), of("running_var"), of("weight"), of("bias"), eps=1e-3)

    def __call__(self, x):
        x = functional.relu6(self.convolve(x, "_conv_stem", "_bn0", 2))
        number, channels = 0, 32
        for expansion, outputs, blocks, first_stride, _ in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                name, before = f"_blocks.{number}.", x
                if expansion > 1:
                    x = functional.relu6(self.convolve(x, name + "_expand_conv", name + "_bn0"))
                x = functional.relu6(self.convolve(x, name + "_depthwise_conv", name + "_bn1", stride, True))
                x = self.convolve(x, name + "_project_conv", name + "_bn2")
                if stride == 1 and channels == outputs:
                    x = x + before
                number, channels = number + 1, outputs
        return functional.relu6(self.convolve(x, "_conv_head", "_bn1")).mean((2, 3))


@torch.inference_mode()
def main(folder, count):
    weights = Path(__file__).resolve().parents[2] / ".deps/weights/efficientnet_lite0.safetensors"
    network = Lite0(read_safetensors(weights))
    files = sorted(Path(folder).rglob("*.jpg"))
    files = files[:: max(len(files) // count, 1)][:count]
    begun = time.perf_counter()
    for number, file in enumerate(files):
        if number == 10:  # the first ones warm up
            begun = time.perf_counter()
        picture = Image.open(file).convert("RGB")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side)).resize((224, 224), Image.BICUBIC)
        x = torch.from_numpy(numpy.asarray(picture, numpy.float32)).permute(2, 0, 1)[None]
        features = network((x / 255 - 0.498) / 0.502)
        functional.normalize(features)
    seconds = time.perf_counter() - begun
    print(f"{(len(files) - 10) / seconds:.1f} photos a second ({len(files)} photos, {torch.get_num_threads()} threads)")


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 400)

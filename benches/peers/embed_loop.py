#!/usr/bin/env python3
"""The peers that indexing is measured against. Prints photos a second.

tutorial: Pillow decodes, PyTorch runs EfficientNet-Lite0 (batch norm and all, eager, channels first), one photo after the
other. batched: batch norm folded, channels-last, batches, a DataLoader with a process a core. Neither hashes a file or
keeps anything. The weights are the ones that `make setup` made, in `.deps/weights`.
"""

import argparse
import io
import os
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch.nn import functional

from lite0 import Lite0, built_in_weights, same_padding


def folded(weights):
    """The weights with each batch norm in the convolution before it."""
    result = {}
    for name in [name for name in weights if weights[name].dim() == 4]:
        norm = name.removesuffix(".weight")
        if norm.startswith("_blocks"):
            part = norm.rsplit(".", 1)[1]
            norm = norm.rsplit(".", 1)[0] + {"_expand_conv": "._bn0", "_depthwise_conv": "._bn1", "_project_conv": "._bn2"}[part]
        else:
            norm = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}[norm]
        scale = weights[norm + ".weight"] / torch.sqrt(weights[norm + ".running_var"] + 1e-3)
        weight = weights[name] * scale.view(-1, 1, 1, 1)
        result[name] = weight.contiguous(memory_format=torch.channels_last)
        result[name.removesuffix("weight") + "bias"] = weights[norm + ".bias"] - weights[norm + ".running_mean"] * scale
    return result


class Folded(Lite0):
    def convolve(self, x, name, norm, stride=1, depthwise=False):
        weight, bias = self.weights[name + ".weight"], self.weights[name + ".bias"]
        pads = same_padding(x, weight.shape[-1], stride)
        even = pads[0] == pads[1] and pads[2] == pads[3]
        x = x if even else functional.pad(x, pads)
        padding = (pads[2], pads[0]) if even else 0
        return functional.conv2d(x, weight, bias, stride, padding, groups=x.shape[1] if depthwise else 1)


def prepared(file, options):
    """The network's input, 8 bits, rows first; with --thumbnails also a thumbnail as JPEG."""
    picture = Image.open(file)
    if options.draft:
        picture.draft("RGB", (320, 320))
    picture = picture.convert("RGB")
    if options.thumbnails == "yes":
        small = picture.copy()
        small.thumbnail((320, 320), Image.BICUBIC)
        small.save(io.BytesIO(), "JPEG", quality=82, subsampling=0)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return numpy.asarray(picture.resize((224, 224), Image.BICUBIC, box))


class Photos(torch.utils.data.Dataset):
    def __init__(self, files, options):
        self.files, self.options = files, options

    def __len__(self):
        return len(self.files)

    def __getitem__(self, number):
        return torch.from_numpy(prepared(self.files[number], self.options).copy())


def evict(files):
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def tutorial(weights, files, options):
    network = Lite0(weights, inplace=True)

    def run(some):
        for file in some:
            x = torch.from_numpy(prepared(file, options).astype(numpy.float32)).permute(2, 0, 1)[None]
            functional.normalize(network((x / 255 - 0.498) / 0.502))

    return run


def batched(weights, files, options):
    kind = torch.bfloat16 if options.bfloat16 else torch.float32
    network = Folded({name: weight.to(kind) for name, weight in folded(weights).items()}, inplace=True)

    def run(some):
        loader = torch.utils.data.DataLoader(Photos(some, options), options.batch, num_workers=os.cpu_count())
        for pictures in loader:
            x = pictures.permute(0, 3, 1, 2).float()
            functional.normalize(network(((x / 255 - 0.498) / 0.502).to(kind)).float())

    return run


@torch.inference_mode()
def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--loop", choices=["tutorial", "batched"], default="tutorial")
    arguments.add_argument("--thumbnails", choices=["yes", "no"], default="no")
    arguments.add_argument("--draft", action="store_true", help="let libjpeg decode at a smaller scale")
    arguments.add_argument("--batch", type=int, default=8)
    arguments.add_argument("--bfloat16", action="store_true")
    options = arguments.parse_args()
    weights = built_in_weights()
    files = sorted(Path(options.folder).rglob("*.jpg"))
    run = {"tutorial": tutorial, "batched": batched}[options.loop](weights, files, options)
    run(files[: 2 * options.batch])  # warms up
    evict(files)
    begun = time.perf_counter()
    run(files)
    print(f"{len(files) / (time.perf_counter() - begun):.1f}")


main()

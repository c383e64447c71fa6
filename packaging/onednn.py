#!/usr/bin/env python3
"""Makes `assets/onednn.pt`: names by which the program reaches oneDNN's fused convolutions.

libtorch has them as operators (`torch.compile` uses them), but `tch` wraps none of them; a TorchScript module may call any.
Needs torch of the version that the program links. usage: onednn.py
"""

from pathlib import Path

import torch

SOURCE = """
def pack(self, weight: Tensor, padding: List[int], stride: List[int], groups: int) -> Tensor:
    return torch.ops.mkldnn._reorder_convolution_weight(weight, padding, stride, [1, 1], groups)

def plain(self, x: Tensor, w: Tensor, b: Tensor, padding: List[int], stride: List[int], groups: int) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.mkldnn._convolution_pointwise(x, w, b, padding, stride, [1, 1], groups, "none", none, "")

def relu(self, x: Tensor, w: Tensor, b: Tensor, padding: List[int], stride: List[int], groups: int) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.mkldnn._convolution_pointwise(x, w, b, padding, stride, [1, 1], groups, "relu", none, "")

def relu6(self, x: Tensor, w: Tensor, b: Tensor, padding: List[int], stride: List[int], groups: int) -> Tensor:
    limits: List[Optional[number]] = [0.0, 6.0]
    return torch.ops.mkldnn._convolution_pointwise(x, w, b, padding, stride, [1, 1], groups, "hardtanh", limits, "")

def add(self, x: Tensor, w: Tensor, b: Tensor, padding: List[int], stride: List[int], groups: int, to: Tensor) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.mkldnn._convolution_pointwise_(
        to, x, w, b, padding, stride, [1, 1], groups, "add", 1.0, None, none, None)

def add_relu(self, x: Tensor, w: Tensor, b: Tensor, padding: List[int], stride: List[int], groups: int, to: Tensor) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.mkldnn._convolution_pointwise_(
        to, x, w, b, padding, stride, [1, 1], groups, "add", 1.0, "relu", none, None)
"""

module = torch.jit.script(torch.nn.Identity())
module.define(SOURCE)
torch.jit.save(module, Path(__file__).resolve().parents[1] / "assets/onednn.pt")

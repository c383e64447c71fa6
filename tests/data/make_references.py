"""Makes what the tests of `src/model` compare with: small state dicts as PyTorch writes them, and features of the
networks with weights that follow from a formula. Needs torch, torchvision, timm and transformers; run it in this folder.

`python make_references.py` writes the state dicts and prints the features.
"""

import collections
import math

import numpy
import timm
import torch
import torchvision


def save_state_dicts():
    numbers = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 4
    weights = collections.OrderedDict()
    weights["module.turned"] = numbers.t()
    weights["module.part"] = numbers[1:, 1:]
    weights["module.half"] = torch.tensor([0.5, -2.0]).half()
    weights["module.bf16"] = torch.tensor([1.5, 3.0]).bfloat16()
    weights["module.double"] = torch.tensor([0.25], dtype=torch.float64)
    weights["module.count"] = torch.tensor(7)
    weights["module.scalar"] = torch.nn.Parameter(torch.tensor(9.0))
    weights._metadata = collections.OrderedDict({"": {"version": 1}})
    checkpoint = {"epoch": 3, "lr": 0.1, "state_dict": weights}
    torch.save(checkpoint, "state_dict.pt")
    torch.save(checkpoint, "state_dict_4.pt", pickle_protocol=4)
    torch.save(checkpoint, "state_dict_old.pt", _use_new_zipfile_serialization=False)
    torch.save(checkpoint, "state_dict_old_4.pt", _use_new_zipfile_serialization=False, pickle_protocol=4)


def formula(name, shape):
    """The weights that `model::formula` fills in, too."""
    x = numpy.arange(math.prod(shape), dtype=numpy.uint64) * 2654435761 + sum(name.encode()) * 40503
    x &= 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x2C1B3C6D & 0xFFFFFFFF
    x ^= x >> 12
    unit = x.astype(numpy.float64) / 2**32
    if name in ("pos_embed", "cls_token", "register_tokens"):
        values = 2 * unit - 1
    elif len(shape) > 1:
        values = (2 * unit - 1) * math.sqrt(3 / math.prod(shape[1:]))
    elif name.endswith(("bias", "running_mean")):
        values = (unit - 0.5) / 5
    else:
        values = unit + 0.5
    return torch.from_numpy(values.reshape(shape)).double()


def fill(network):
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = formula(name, tuple(tensor.shape))
    network.double().load_state_dict(state)
    return network.eval()


def picture(mean, deviation, side):
    i = torch.arange(side * side * 3)
    pixels = (7 * (i // 3 // side) + 13 * (i // 3 % side) + 29 * (i % 3)) % 256
    scaled = pixels.double().reshape(1, side, side, 3).permute(0, 3, 1, 2) / 255
    as_channels = lambda values: torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1, 1)
    return (scaled - as_channels(mean)) / as_channels(deviation)


def dinov2(size, width):
    network = timm.create_model(f"vit_{size}_patch14_dinov2", img_size=224, num_classes=0)
    # As facebookresearch/dinov2 interpolates: by the scale, with an offset, without antialiasing.
    trained = formula("pos_embed", (1, 1370, width))
    grid = trained[:, 1:].reshape(1, 37, 37, width).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic")
    positions = torch.cat([trained[:, :1], grid.permute(0, 2, 3, 1).reshape(1, 256, width)], 1)
    fill(network)
    network.pos_embed.data = positions
    return network


def dinov2_with_registers(size, width):
    network = timm.create_model(f"vit_{size}_patch14_reg4_dinov2", img_size=224, num_classes=0)
    # As facebookresearch/dinov2 interpolates for these: by the size, with antialiasing.
    trained = formula("pos_embed", (1, 1370, width))
    grid = trained[:, 1:].reshape(1, 37, 37, width).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(16, 16), mode="bicubic", antialias=True)
    fill(network)
    network.pos_embed.data = grid.permute(0, 2, 3, 1).reshape(1, 256, width)
    # The class token has its position in it.
    network.cls_token.data = formula("cls_token", (1, 1, width)) + trained[:, :1]
    network.reg_token.data = formula("register_tokens", (1, 4, width))
    return network


def efficientnet_lite(number):
    """timm's network under the names of efficientnet_lite_pytorch, whose padding it has."""
    network = timm.create_model(f"tf_efficientnet_lite{number}", num_classes=0)
    names = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    other = {
        **{"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"},
        **{"conv_pwl": "_project_conv", "bn3": "_bn2"},
    }
    blocks = [(f"blocks.{stage}.{n}", b) for stage, bs in enumerate(network.blocks) for n, b in enumerate(bs)]
    for place, (name, _) in enumerate(blocks):
        parts = (first if place == 0 else other).items()
        names.update({f"{name}.{part}": f"_blocks.{place}.{ours}" for part, ours in parts})
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            module, part = name.rsplit(".", 1)
            state[name] = formula(f"{names[module]}.{part}", tuple(tensor.shape))
    network.double().load_state_dict(state)
    return network.eval()


def report_names():
    """What the two packages call the weights of DINOv2: `formula::as_timm` and `as_hugging_face` do the same."""
    import transformers

    for name in ("vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"):
        state = timm.create_model(name, num_classes=0).state_dict()
        print(name, {n: list(t.shape) for n, t in state.items() if not n.startswith("blocks.") or n.startswith("blocks.0.")})
    for config, make in (
        (transformers.Dinov2Config, transformers.Dinov2Model),
        (transformers.Dinov2WithRegistersConfig, transformers.Dinov2WithRegistersModel),
    ):
        state = make(config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)).state_dict()
        print(make.__name__, {n: list(t.shape) for n, t in state.items() if ".layer." not in n or ".layer.0." in n})


def report(name, network, mean, deviation, side=224):
    with torch.no_grad():
        features = network(picture(mean, deviation, side)).flatten()
    first = ", ".join(f"{value:.6f}" for value in features[:6].tolist())
    print(f"{name}: {features.numel()} floats, first [{first}], length {features.norm():.6f}, sum {features.sum():.6f}")


def resnet(make, pooled=True):
    network = fill(make())
    if pooled:
        network.fc = torch.nn.Identity()
    return network


if __name__ == "__main__":
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    tutorial = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    save_state_dicts()
    report("resnet18", resnet(torchvision.models.resnet18), *imagenet)
    report("resnet34", resnet(torchvision.models.resnet34), *imagenet)
    report("resnet50", resnet(torchvision.models.resnet50), *imagenet)
    report("siamese-resnet18", resnet(torchvision.models.resnet18, pooled=False), *tutorial)
    report("dinov2-small", dinov2("small", 384), *imagenet)
    report("dinov2-small-registers", dinov2_with_registers("small", 384), *imagenet)
    report("dinov2-base", dinov2("base", 768), *imagenet)
    report("dinov2-base-registers", dinov2_with_registers("base", 768), *imagenet)
    lite = ((0.498,) * 3, (0.502,) * 3)
    report("efficientnet-lite1", efficientnet_lite(1), *lite, side=240)
    report("efficientnet-lite2", efficientnet_lite(2), *lite, side=260)
    report_names()

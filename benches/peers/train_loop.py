#!/usr/bin/env python3
"""The peers that training is measured against, in plain PyTorch.

usage: train_loop.py quick FEATURES LABELS DIMENSION
           The same arithmetic as `src/train/head.rs`: whitening within the classes, then a normalised softmax. FEATURES
           holds 32-bit floats, a row of length 1 a photo, LABELS 64-bit integers from 0.
       train_loop.py full FOLDER STEPS
           The loop of a tutorial: an image folder of JPEGs that are decoded by Pillow in each epoch, a DataLoader with two
           workers, random crops of 192 pixels and flips, EfficientNet-Lite0 in 32 bits with frozen batch norms, AdamW.

Prints seconds of the fit, or photos a second after five steps of warming up. Needs torch 2.11.0, pillow and numpy.
"""

import math
import random
import sys
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch.nn import functional

from lite0 import Lite0, built_in_weights

SIDE, BATCH, WARM_UP = 192, 32, 5


def normalised_softmax(embeddings, labels, weights):
    scores = functional.normalize(embeddings) @ functional.normalize(weights).T * 16
    return functional.cross_entropy(scores, labels, label_smoothing=0.1)


def fit(features, labels):
    """What `head::fit` does with the options that it has by default."""
    rows = features.sqrt()
    count, inputs = rows.shape
    classes = int(labels.max()) + 1
    with torch.no_grad():
        counts = torch.bincount(labels, minlength=classes).float()[:, None]
        means = torch.zeros(classes, inputs).index_add(0, labels, rows) / counts
        rest = rows - means[labels]
        within = rest.T @ rest / count
        centre = rows.mean(0)
        apart = means - centre
        total = within + apart.T @ (apart * counts) / count
        shrinkage = 7.5 * inputs / (count + 7.5 * inputs)
        identity = torch.eye(inputs)
        shrunk = within * (1 - shrinkage) + identity * (within.trace() / inputs * shrinkage)
        whitening = torch.linalg.solve_triangular(torch.linalg.cholesky(shrunk), identity, upper=False)
        variances, directions = torch.linalg.eigh(whitening @ total @ whitening.T)
        stretch = variances.flip(0).clamp_min(1e-9).pow(0.15)[:, None]
        space = directions.flip(1).T @ whitening * stretch
        first = space[:512]
        learnt_on = (rows - centre) @ first.T
        learnt_on /= learnt_on.norm(dim=1).mean()
    matrix = torch.eye(len(first)).requires_grad_()
    weights = torch.randn(classes, len(first)).requires_grad_()
    optimiser = torch.optim.AdamW([{"params": [matrix], "lr": 1e-3}, {"params": [weights], "lr": 1e-2}], weight_decay=0)
    steps = 20 * math.ceil(count / 256)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    for _ in range(20):
        for batch in torch.randperm(count).split(256):
            some = functional.dropout(learnt_on[batch], 0.7)
            loss = normalised_softmax(some @ matrix.T, labels[batch], weights)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                raise SystemExit("the loss became infinite")
    with torch.no_grad():
        return torch.cat([((matrix - torch.eye(len(first))) * 0.8 + torch.eye(len(first))) @ first, space[len(first):]])


def quick(features, labels, dimension):
    features = torch.from_numpy(numpy.fromfile(features, numpy.float32)).view(-1, dimension)
    labels = torch.from_numpy(numpy.fromfile(labels, numpy.int64))
    fit(features[:2000], labels[:2000].unique(return_inverse=True)[1])
    begun = time.perf_counter()
    fit(features, labels)
    print(f"{time.perf_counter() - begun:.3f}")


class Photos(torch.utils.data.Dataset):
    def __init__(self, folder):
        files = sorted(file for kind in ("jpg", "jpeg", "JPG") for file in Path(folder).rglob(f"*.{kind}"))
        species = {name: number for number, name in enumerate(sorted({file.parent.name for file in files}))}
        self.photos = [(file, species[file.parent.name]) for file in files]
        self.species = len(species)

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, number):
        file, label = self.photos[number]
        picture = Image.open(file).convert("RGB")
        area = picture.width * picture.height * random.uniform(0.3, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width = min(round(math.sqrt(area * ratio)), picture.width)
        height = min(round(math.sqrt(area / ratio)), picture.height)
        left, top = random.randint(0, picture.width - width), random.randint(0, picture.height - height)
        picture = picture.resize((SIDE, SIDE), Image.BILINEAR, (left, top, left + width, top + height))
        if random.random() < 0.5:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).float() / 255
        return (pixels - 0.498) / 0.502, label


def full(folder, steps):
    weights = built_in_weights()
    for name, weight in weights.items():
        weight.requires_grad_("running" not in name and "num_batches" not in name)
    network = Lite0(weights, inplace=False)
    photos = Photos(folder)
    matrix = torch.eye(1280).requires_grad_()
    proxies = torch.randn(photos.species, 1280).requires_grad_()
    learnt = [weight for weight in weights.values() if weight.requires_grad]
    groups = [(learnt, 2e-4, 1e-2), ([matrix], 1e-4, 0), ([proxies], 1e-2, 0)]
    optimiser = torch.optim.AdamW([{"params": p, "lr": rate, "weight_decay": decay} for p, rate, decay in groups])
    loader = torch.utils.data.DataLoader(photos, BATCH, shuffle=True, num_workers=2, drop_last=True)
    for step, (pictures, labels) in enumerate(loader):
        if step == WARM_UP:
            begun = time.perf_counter()
        embeddings = functional.normalize(network(pictures)) @ matrix.T
        loss = normalised_softmax(embeddings, labels, proxies)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if not math.isfinite(loss.item()):
            raise SystemExit("the loss became infinite")
        if step == WARM_UP + steps - 1:
            break
    print(f"{(step - WARM_UP + 1) * BATCH / (time.perf_counter() - begun):.3f}")


match sys.argv[1:]:
    case ["quick", features, labels, dimension]:
        quick(features, labels, int(dimension))
    case ["full", folder, steps]:
        full(folder, int(steps))
    case _:
        sys.exit(__doc__)

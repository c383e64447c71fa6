#!/usr/bin/env python3
"""Pillow with its plug-ins, format by format: `make PNG FOLDER` writes a picture in each, `measure FILE` prints how many
times a second it is decoded, brought to sRGB and made a thumbnail of, on one core. Needs pillow, pillow_heif, imagecodecs,
numpy and tifffile.
"""

import io
import sys
import time
from pathlib import Path

import imagecodecs
import numpy
import pillow_heif
import tifffile
from PIL import Image, ImageCms

pillow_heif.register_heif_opener()
SECONDS = 3


def make(png, folder):
    picture = Image.open(png).convert("RGB")
    pixels = numpy.asarray(picture)
    folder = Path(folder)
    for name, options in [
        ("plain.jpg", {"quality": 90}), ("plain.webp", {"quality": 90}), ("plain.gif", {}), ("plain.bmp", {}),
        ("plain.heic", {"quality": 80}), ("plain.avif", {"quality": 80}), ("plain.tif", {"compression": "tiff_lzw"}),
    ]:  # fmt: skip
        picture.save(folder / name, **options)
    (folder / "plain.png").write_bytes(Path(png).read_bytes())
    (folder / "plain.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, level=90))
    tifffile.imwrite(folder / "ycbcr.tif", pixels, photometric="rgb", compression="jpeg")
    tifffile.imwrite(folder / "big.tif", pixels, photometric="rgb", bigtiff=True)
    picture.quantize(256).save(folder / "palette.tif")
    with tifffile.TiffWriter(folder / "camera.dng") as raw:
        preview = numpy.asarray(picture.resize((1440, 1080)))
        dng = [(50706, "B", 4, (1, 4, 0, 0), True)]
        raw.write(preview, photometric="rgb", compression="jpeg", subfiletype=1, extratags=dng)


def read(file):
    if file.endswith(".jxl"):
        return Image.fromarray(imagecodecs.jpegxl_decode(Path(file).read_bytes()))
    picture = Image.open(file)
    picture.draft("RGB", (320, 320))
    profile = picture.info.get("icc_profile")
    if profile:
        picture = ImageCms.profileToProfile(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"))
    return picture.convert("RGB")


def measure(file):
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        picture = read(file)
        picture.thumbnail((320, 320), Image.BICUBIC)
        picture.save(io.BytesIO(), "JPEG", quality=82, subsampling=0)
        count += 1
    print(count / (time.perf_counter() - begun))


if sys.argv[1] == "make":
    make(sys.argv[2], sys.argv[3])
    print(1)
else:
    measure(sys.argv[2])

#!/usr/bin/env python3
"""Runs a Python peer in an environment of its own, which it makes first where it is missing: `target/peers`, 5 GB.

usage: environment.py SCRIPT [ARGUMENT…]
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = [
    "torch==2.11.0", "pillow==13.0.0", "numpy==2.4.6", "pillow-heif==1.8.1", "imagecodecs==2026.3.6", "tifffile==2026.3.3",
]  # fmt: skip
FOLDER = Path(__file__).resolve().parents[2] / "target/peers"


def main(arguments):
    python = FOLDER / "bin/python"
    complete = FOLDER / "complete"
    if not complete.exists() or complete.read_text().split() != PACKAGES:
        print(f"making an environment for the peers: {FOLDER}", file=sys.stderr)
        venv.create(FOLDER, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stdout=sys.stderr)
        complete.write_text("\n".join(PACKAGES))
    os.execv(python, [python, *arguments])


main(sys.argv[1:])

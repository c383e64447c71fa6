#!/usr/bin/env python3
"""Lets an installed Florascope compute on an NVIDIA GPU: fetches the CUDA half of libtorch and NVIDIA's CUDA libraries.

    python3 fetch_cuda.py             fetches 2.5 GB into your data folder, where they take 3.3 GB; not as root
    python3 fetch_cuda.py --remove    deletes them again

The files come by package name through pip, as the package index that it is set up for has them; each is of one version
and checked by its SHA-256. They go to

    ~/.local/share/florascope/libtorch-VERSION/cuda    (XDG_DATA_HOME moves it)

where the program looks for them at its next start. They are under NVIDIA's licences, which you accept by fetching them.
Needed: Python 3.11 or newer with pip, and NVIDIA's driver 580 or newer. The program itself fetches nothing, ever.
"""

import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import setup  # noqa: E402


def data_folder():
    configured = os.environ.get("XDG_DATA_HOME", "")
    base = Path(configured) if os.path.isabs(configured) else Path.home() / ".local/share"
    return base / f"florascope/libtorch-{setup.TORCH_VERSION}"


def component(platform):
    """What is fetched: the set-up's own, and the two libraries that a package has stand-ins for."""
    (cuda,) = platform.gpu
    two = next(component for component in platform.always if component.folder == "nvidia")
    return cuda._replace(
        sources=cuda.sources + two.sources,
        megabytes_on_disk=cuda.megabytes_on_disk + two.megabytes_on_disk,
    )


def fetch(platform, folder, cache):
    cuda = component(platform)
    if setup.is_complete(cuda, folder):
        setup.say(f"They are there already: {folder}")
        return
    with setup.wait_for_lock(cache):
        setup.bring([cuda], cache / "downloads", folder)
    setup.say(f"Done: {folder}\nFlorascope uses them from its next start on, where there is an NVIDIA GPU.")


def main():
    if sys.version_info < (3, 11):
        sys.exit("This needs Python 3.11 or newer.")
    if sys.argv[1:] not in ([], ["--remove"]):
        sys.exit(__doc__)
    with setup.telling_what_stopped_it():
        folder = data_folder()
        if sys.argv[1:]:
            shutil.rmtree(folder, ignore_errors=True)
            setup.say(f"Removed: {folder}")
        else:
            fetch(setup.this_platform(), folder, setup.cache_folder())


if __name__ == "__main__":
    main()

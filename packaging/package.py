#!/usr/bin/env python3
"""Makes what users install, into target/packages. Run it through `make package`, on Debian 12, the oldest system served.

    florascope_VERSION_amd64.deb                 Debian 12 and later, Ubuntu 24.04 and later
    florascope-VERSION-linux-x86_64.tar.gz       the same, to unpack anywhere and run

Both hold one tree, `florascope` with its libraries in `lib/` beside it, which it finds from there; the archive also the
libraries that a system may lack. The same commit gives the same bytes: all times are the commit's, or SOURCE_DATE_EPOCH.

    --quick             compress little: for trials

Environment: DEBFULLNAME and DEBEMAIL name who answers for the package. SCREENSHOT_URL is where assets/window.jpg can be
had from: software centres show only pictures that are on the web.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path

sys.dont_write_bytecode = True
import licences  # noqa: E402
import setup  # noqa: E402
import stand_ins  # noqa: E402
from elf import Elf  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGING = CHECKOUT / "packaging"
# A build of its own: other paths in it, and other places to look for libraries.
TARGET = CHECKOUT / "target/package"
RESULT = CHECKOUT / "target/packages"

# What this needs beyond the set-up.
SYSTEM_PACKAGES = ("binutils", "dpkg-dev", "librsvg2-bin")

# Libraries that the window opens by name while it runs, so that no tool finds them: the names that
# `strings florascope | grep '^lib.*so'` shows. Without the second group it still opens, under X11 or Xwayland.
FOR_A_WINDOW = {
    "libegl1": "libEGL.so.1, which draws under Wayland",
    "libgl1": "libGL.so.1, which draws under X11",
    "libx11-6": "libX11.so.6",
    "libx11-xcb1": "libX11-xcb.so.1",
    "libxcursor1": "libXcursor.so.1, and libXrender.so.1, which it needs itself",
    "libxi6": "libXi.so.6",
    "libxkbcommon0": "libxkbcommon.so.0",
    "libxkbcommon-x11-0": "libxkbcommon-x11.so.0",
}
THAT_HELP = {
    "libfontconfig1": "libfontconfig.so.1, which knows the system's fonts",
    "libdbus-1-3": "libdbus-1.so.3, by which file dialogs are asked for",
    "libgl1-mesa-dri": "drivers that draw",
    "libwayland-client0": "libwayland-client.so.0",
    "libwayland-egl1": "libwayland-egl.so.1",
    "xdg-desktop-portal | zenity": "file dialogs",
    # The smallest first, for those who have none.
    "fonts-dejavu-core | fonts-noto-core": "names of folders in other scripts",
    "libheif1": "HEIC and AVIF photos",
    "libheif-plugin-libde265 | libheif1 (<< 1.16)": "its decoder for HEIC, where that is a part of its own",
    "libheif-plugin-dav1d | libheif-plugin-aomdec | libheif1 (<< 1.16)": "and for AVIF",
    "libraw23t64 | libraw23 | libraw20": "previews in raw files",
    "fonts-droid-fallback | fonts-noto-cjk | fonts-wqy-zenhei": "and in Chinese, Japanese and Korean",
}
# For fetch_cuda.py.
SUGGESTED = ("python3 (>= 3.11)", "python3-pip")

# What a system may lack, and the archive holds: as the program asks for it, and the package that it is from here.
SYSTEM_LIBRARIES = {
    "libblas.so.3": "libopenblas0-pthread",
    "liblapack.so.3": "libopenblas0-pthread",
    "libopenblas.so.0": "libopenblas0-pthread",
    "libgfortran.so.5": "libgfortran5",
    "libquadmath.so.0": "libquadmath0",
    "libgomp.so.1": "libgomp1",
}
METAINFO = "invalid.florascope.florascope.metainfo.xml"
ICON_SIZES = (16, 22, 24, 32, 48, 64, 96, 128, 256, 512)


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def output_of(*command, **options):
    return run(*command, stdout=subprocess.PIPE, text=True, **options).stdout


def version():
    return tomllib.loads((CHECKOUT / "Cargo.toml").read_text())["package"]["version"]


def source_date():
    """The time that all files get, in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given) if given else int(output_of("git", "-C", CHECKOUT, "log", "-1", "--format=%ct"))


def maintainer():
    # Names that end in .invalid belong to nobody, by RFC 2606.
    name = os.environ.get("DEBFULLNAME", "The Florascope contributors")
    return f"{name} <{os.environ.get('DEBEMAIL', 'nobody@florascope.invalid')}>"


# ---- Building ---------------------------------------------------------------------------------------------------


def build_environment():
    """Keeps the paths of this computer out of the program, where panics and assertions would tell them."""
    cargo_home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    replaced = {cargo_home / "registry/src": "crates", CHECKOUT: "florascope"}
    for_rust = [f"--remap-path-prefix={path}={name}" for path, name in replaced.items()]
    for_c = " ".join(f"-ffile-prefix-map={path}={name}" for path, name in replaced.items())
    return {
        **os.environ,
        "FLORASCOPE_PACKAGE": "1",
        "CARGO_TARGET_DIR": str(TARGET),
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(for_rust),
        "CFLAGS": for_c,
        "CXXFLAGS": for_c,
    }


def build(deps, manual):
    """Builds the program, and has it write its manual into a folder."""
    environment = build_environment()
    cargo = ["cargo", "build", "--release", "--locked"]
    run(*cargo, cwd=CHECKOUT, env=environment)
    run(*cargo, "--example=manual", cwd=CHECKOUT, env=environment)
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(deps / "torch/lib")}
    run(TARGET / "release/examples/manual", manual, env=libraries)
    return TARGET / "release/florascope"


# ---- The tree that both packages hold ----------------------------------------------------------------------------


def put(source, target, executable=False):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if executable else 0o644)


def strip(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    run("strip", "--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", "-o", target, source)


def put_program(binary, deps, folder):
    """The program with libtorch beside it, and what fetches the rest for a GPU."""
    strip(binary, folder / "florascope")
    (folder / "florascope").chmod(0o755)
    for name in ("libc10.so", "libtorch_cpu.so"):
        library = folder / "lib" / name
        strip(deps / "torch/lib" / name, library)
        elf = Elf(library)
        elf.set_search_path("$ORIGIN")
        elf.save(library)
    stand_ins.replace_cuda(folder / "lib/libtorch_cpu.so")
    for library in folder.glob("lib/*"):
        library.chmod(0o644)
    for name in ("fetch_cuda.py", "setup.py", "pickle_to_safetensors.py"):
        put(PACKAGING / name, folder / "gpu" / name)


def metainfo(date):
    text = (PACKAGING / "desktop" / METAINFO).read_text()
    text = text.replace("@VERSION@", version()).replace("@DATE@", time.strftime("%Y-%m-%d", time.gmtime(date)))
    screenshot = os.environ.get("SCREENSHOT_URL")
    if screenshot:
        return text.replace("@SCREENSHOT@", screenshot)
    return re.sub(r" *<screenshots>.*</screenshots>\n", "", text, flags=re.DOTALL)


def put_share(manual, date, share):
    """What a desktop and a shell look for below `share/`."""
    put(PACKAGING / "desktop/florascope.desktop", share / "applications/florascope.desktop")
    target = share / "metainfo" / METAINFO
    target.parent.mkdir(parents=True)
    target.write_text(metainfo(date))
    icon = CHECKOUT / "assets/icon.svg"
    put(icon, share / "icons/hicolor/scalable/apps/florascope.svg")
    for size in ICON_SIZES:
        target = share / f"icons/hicolor/{size}x{size}/apps/florascope.png"
        target.parent.mkdir(parents=True)
        run("rsvg-convert", f"--width={size}", f"--height={size}", icon, "--output", target)
    for page in sorted(manual.glob("*.1")):
        write_gzip(share / "man/man1" / f"{page.name}.gz", page.read_bytes())
    put(manual / "florascope.bash", share / "bash-completion/completions/florascope")
    put(manual / "_florascope", share / "zsh/vendor-completions/_florascope")
    put(manual / "florascope.fish", share / "fish/vendor_completions.d/florascope.fish")


def write_gzip(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def settle(folder, date):
    """One time and two kinds of rights for all files."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (date, date), follow_symlinks=False)


# ---- The Debian package ------------------------------------------------------------------------------------------


def computed_dependencies(root):
    """What the program and its libraries need of Debian's packages, as dpkg's own tool finds it."""
    folder = root / "usr/lib/florascope"
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "debian").mkdir()
        (Path(work) / "debian/control").write_text("Source: florascope\n\nPackage: florascope\nArchitecture: amd64\n")
        files = [folder / "florascope", *sorted(folder.glob("lib/*"))]
        command = ["dpkg-shlibdeps", "-O", "--warnings=0", "--ignore-missing-info", f"-S{root}", f"-l{folder / 'lib'}"]
        # It warns that libtorch's libraries are no Debian packages: shown only where it fails.
        found = output_of(*command, *(f"-e{file}" for file in files), cwd=work, stderr=subprocess.PIPE)
    dependencies = found.removeprefix("shlibs:Depends=").strip().split(", ")
    # OpenBLAS before the slow reference that these mean.
    faster = {"libblas3": "libopenblas0", "liblapack3": "libopenblas0"}
    return [re.sub(r"^\w+3(?= \|)", lambda name: faster.get(name[0], name[0]), one) for one in dependencies]


def control(depends, installed_size):
    return f"""Package: florascope
Version: {version()}
Architecture: amd64
Maintainer: {maintainer()}
Installed-Size: {installed_size}
Depends: {", ".join(depends)}
Recommends: {", ".join(THAT_HELP)}
Suggests: {", ".join(SUGGESTED)}
Section: graphics
Priority: optional
Description: finds the flower photos that look most like a given one
 Drop a photo of a flower on the window, and see the most similar photos in
 your own folder. Florascope reads a folder of photos once, with a neural
 network on your own computer, and from then on finds, for any photo, the
 ones that look most like it.
 .
 Your photos stay where they are: nothing leaves the computer, and nothing in
 the folder is ever changed. It also works without a window, from the command
 line.
 .
 On an NVIDIA GPU it computes once libraries have been fetched for that:
 /usr/share/doc/florascope/README.md tells how.
"""


COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Florascope
Comment: What the program is built from and what lies beside it, libtorch among
 it, has licences of its own: they are in THIRD-PARTY-LICENCES.gz beside this
 file. Intel's oneMKL inside of libtorch is no free software.

Files: *
Copyright: {year} The Florascope contributors
License: Expat or Apache-2.0

License: Expat
{mit}

License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
"""

# An override says why.
LINTIAN_OVERRIDES = """# libjpeg-turbo as the crate turbojpeg-sys brings it: newer than Debian 12's, with functions that this lacks.
florascope: embedded-library libjpeg [usr/lib/florascope/florascope]
# They answer that there is no GPU, and need nothing for that.
florascope: shared-library-lacks-prerequisites [usr/lib/florascope/lib/libnocuda.so.13]
florascope: shared-library-lacks-prerequisites [usr/lib/florascope/lib/libnocup.so.13]
"""


def indented(text):
    return "\n".join(f" {line}" if line else " ." for line in text.splitlines())


def put_documents(licence_text, date, doc):
    doc.mkdir(parents=True)
    mit = (CHECKOUT / "LICENSE-MIT").read_text().split("\n\n", 2)[2]
    (doc / "copyright").write_text(COPYRIGHT.format(mit=indented(mit), year=time.gmtime(date).tm_year))
    write_gzip(doc / "THIRD-PARTY-LICENCES.gz", licence_text)
    when = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(date))
    changelog = f"florascope ({version()}) unstable; urgency=medium\n\n  * What has changed: CHANGELOG.md.\n\n"
    write_gzip(doc / "changelog.gz", f"{changelog} -- {maintainer()}  {when}\n".encode())
    for name in ("README.md", "CHANGELOG.md"):
        put(CHECKOUT / name, doc / name)
    put(CHECKOUT / "assets/window.jpg", doc / "assets/window.jpg")


def make_deb(program, share, licence_text, date, quick):
    root = TARGET / "stage/deb"
    shutil.copytree(program, root / "usr/lib/florascope")
    shutil.copytree(share, root / "usr/share")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/florascope").symlink_to("../lib/florascope/florascope")
    put_documents(licence_text, date, root / "usr/share/doc/florascope")
    overrides = root / "usr/share/lintian/overrides/florascope"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(LINTIAN_OVERRIDES)

    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    sums = "".join(f"{output_of('md5sum', path).split()[0]}  {path.relative_to(root)}\n" for path in files)
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    (root / "DEBIAN").mkdir()
    depends = sorted(set(computed_dependencies(root)) | set(FOR_A_WINDOW))
    (root / "DEBIAN/md5sums").write_text(sums)
    (root / "DEBIAN/control").write_text(control(depends, size))
    settle(root, date)
    deb = RESULT / f"florascope_{version()}_amd64.deb"
    level = "-z1" if quick else "-z9"
    run(
        "dpkg-deb", "--root-owner-group", "-Zxz", level, "--threads-max=2", "--build", root, deb,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(date)},
    )  # fmt: skip
    return deb


# ---- The archive -------------------------------------------------------------------------------------------------


def system_library(name):
    """The library of this name that programs get here, and that it is the one that is meant."""
    for line in output_of("/sbin/ldconfig", "-p").splitlines():
        if line.split()[:1] == [name] and "x86-64" in line:
            file = Path(line.split(" => ")[1]).resolve()
            owner = output_of("dpkg-query", "--search", file).split(":")[0]
            if owner != SYSTEM_LIBRARIES[name]:
                raise setup.SetupError(f"{name} is that of {owner} here, not that of {SYSTEM_LIBRARIES[name]}.")
            return file
    raise setup.SetupError(f"{name} is not there; it is in the package {SYSTEM_LIBRARIES[name]}.")


def make_archive(program, share, licence_text, date, quick):
    name = f"florascope-{version()}-linux-x86_64"
    root = TARGET / "stage/tar" / name
    shutil.copytree(program, root)
    shutil.copytree(share, root / "share")
    for library in SYSTEM_LIBRARIES:
        strip(system_library(library), root / "lib" / library)
    put(PACKAGING / "desktop/install-to-menu", root / "install-to-menu", executable=True)
    for document in ("README.md", "CHANGELOG.md", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "assets/window.jpg"):
        put(CHECKOUT / document, root / document)
    (root / "THIRD-PARTY-LICENCES.txt").write_bytes(licence_text)
    for library in root.glob("lib/*"):
        library.chmod(0o644)
    settle(root, date)
    archive = RESULT / f"{name}.tar.gz"

    def plain(member):
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with open(archive, "wb") as file, gzip.GzipFile("", "wb", 1 if quick else 9, file, mtime=date) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in [root, *sorted(root.rglob("*"))]:
                tar.add(path, str(path.relative_to(root.parent)), recursive=False, filter=plain)
    return archive


# ---- The whole ---------------------------------------------------------------------------------------------------


def make(deps, quick):
    date = source_date()
    stage = TARGET / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.rmtree(RESULT, ignore_errors=True)
    RESULT.mkdir(parents=True)
    binary = build(deps, stage / "manual")
    program, share = stage / "program", stage / "share"
    put_program(binary, deps, program)
    put_share(stage / "manual", date, share)
    of_program = licences.text(deps)
    of_archive = licences.text(deps, sorted(set(SYSTEM_LIBRARIES.values())))
    for package in (
        make_deb(program, share, of_program, date, quick),
        make_archive(program, share, of_archive, date, quick),
    ):
        setup.say(f"{setup.megabytes(package.stat().st_size):>8}  {package.relative_to(CHECKOUT)}")
    for file in sorted(stage.glob("tar/*/**/*"), key=lambda path: -path.stat().st_size)[:6]:
        setup.say(f"{setup.megabytes(file.stat().st_size):>8}    unpacked: {file.name}")


def main():
    if sys.argv[1:] not in ([], ["--quick"]):
        sys.exit(__doc__)
    with setup.telling_what_stopped_it():
        missing = setup.missing_system_packages(SYSTEM_PACKAGES)
        if missing:
            setup.install_system_packages(missing)
        deps = setup.set_up(setup.this_platform(), False, setup.cache_folder(), CHECKOUT, for_package=True)
        try:
            make(deps, bool(sys.argv[1:]))
        except subprocess.CalledProcessError as error:
            said = error.stderr or "What it said stands above."
            raise setup.SetupError(f"This failed: {error.cmd[0]}\n{said}") from error
        except licences.MissingLicence as error:
            raise setup.SetupError(str(error)) from error


if __name__ == "__main__":
    main()

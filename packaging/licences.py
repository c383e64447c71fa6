"""Gathers the licences of everything that a package holds into one text, each wording once.

They come from where the parts themselves come from: the crates' sources that cargo has unpacked, the wheels that the set-up
has fetched, and Debian's packages. Nothing is fetched. A part that brings no licence stops this, unless it may be used
under Apache-2.0, whose wording is always the same.
"""

import json
import os
import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

# Names of files with licences in them, whatever their ending but those of code.
LICENCE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense|ofl\.|ufl\.|readme\.ijg|patents)", re.IGNORECASE)
CODE = re.compile(r"\.(rs|py|c|h|cc|cpp|hpp|go|sh|in|cmake|toml|json|ya?ml|html|rtf|m4|S)$")
# Fonts have theirs beside them, under their own names.
BESIDE_FONTS = re.compile(r"fonts/[^/]*\.txt$")


def metadata():
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version=1"]
    command.append("--filter-platform=x86_64-unknown-linux-gnu")
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def crates(metadata):
    """What the program is built from, with what builds it and without what only tests need."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, ahead = set(), [root]
    while ahead:
        this = ahead.pop()
        if this not in seen:
            seen.add(this)
            for dependency in nodes[this]["deps"]:
                if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"]):
                    ahead.append(dependency["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in seen - {root}]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def is_licence(path):
    name = path.name
    return (LICENCE.match(name) and not CODE.search(name)) or bool(BESIDE_FONTS.search(path.as_posix()))


def licence_files(folder):
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            if is_licence(path.relative_to(folder)):
                yield path


class MissingLicence(Exception):
    pass


def texts_of_crate(package, packages=()):
    """The licences that a crate brings; Apache-2.0's where it brings none of its own and offers that.

    Some stand at the head of the source; others in another one of `packages` that comes from the same repository.
    """
    folder = Path(package["manifest_path"]).parent
    files = list(licence_files(folder))
    texts = [read(path) for path in files]
    if all(path.parent != folder for path in files):
        stated = package["license"] or "no licence stated"
        if "Apache-2.0" in stated:
            texts.append(read(CHECKOUT / "LICENSE-APACHE"))
        elif head := licence_at_head(folder / "src/lib.rs"):
            texts.append(head)
        elif siblings := texts_of_siblings(package, packages):
            texts.extend(siblings)
        elif not files:
            name = f"{package['name']} {package['version']}"
            raise MissingLicence(f"The crate {name} ({stated}) brings no text of its licence")
    return texts


def texts_of_siblings(package, packages):
    """Those of the first crate from the same repository, under the same licence, that brings any."""
    def origin(crate):
        return crate.get("repository"), crate.get("license")

    siblings = [other for other in packages if all(origin(package)) and origin(other) == origin(package)]
    folders = [Path(sibling["manifest_path"]).parent for sibling in siblings]
    return next((texts for folder in folders if (texts := [read(path) for path in licence_files(folder)])), [])


def licence_at_head(source):
    comment = re.match(r"\s*/\*(.*?)\*/", read(source), re.DOTALL) if source.exists() else None
    return comment[1].strip() if comment and "Permission is hereby granted" in comment[1] else None


def read(path):
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").replace("\f", "\n")
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def gather(parts):
    """The whole text, from (what, licence that it states, texts); the same wording is there once."""
    users, lines = {}, []
    for what, stated, texts in parts:
        numbers = []
        for text in texts:
            # How it is broken into lines makes no other wording.
            key = " ".join(text.split())
            users.setdefault(key, (len(users) + 1, text))
            numbers.append(users[key][0])
        of_each = ", ".join(str(number) for number in sorted(set(numbers)))
        lines.append(f"{what}: {stated}. Texts: {of_each}" if numbers else f"{what}: {stated}")
    rule = "=" * 80
    body = [f"{rule}\nText {number}\n{rule}\n\n{text}\n" for number, text in users.values()]
    return "\n".join(lines) + "\n\n" + "\n".join(body)


HEAD = """Florascope itself may be used under the MIT licence or the Apache License 2.0, at your choice.
This is what it is built from and what lies beside it, each with its licences and the numbers of
their texts, which follow. Where a choice is offered, the first of MIT, Apache-2.0 is taken.

libtorch holds Intel's oneMKL, which may be handed on unchanged under Intel's terms, and is no
free software. This software is based in part on the work of the Independent JPEG Group.

"""


def parts(deps, system_packages):
    apache, mit = read(CHECKOUT / "LICENSE-APACHE"), read(CHECKOUT / "LICENSE-MIT")
    yield "Florascope", "MIT OR Apache-2.0", [mit, apache]
    licences = deps / "licences"
    torch = [read(licences / "LICENSE"), read(licences / "NOTICE")]
    yield "libtorch (lib/libtorch_cpu.so, lib/libc10.so)", "BSD-3-Clause, parts under others", torch
    mkl = [read(path) for path in licence_files(licences) if "mkl" in path.as_posix()]
    mkl += [read(path) for path in sorted(licences.rglob("third-party-programs.txt"))]
    yield "Intel oneMKL, inside libtorch", "Intel Simplified Software License", mkl
    yield "EfficientNet-Lite0 weights, (c) 2020 ML Illustrated", "Apache-2.0", [apache]
    yield "The standard library of Rust", "MIT OR Apache-2.0", [apache]
    yield "SQLite, from the crate libsqlite3-sys", "public domain", []
    for name in system_packages:
        yield f"{name}, from Debian", "see the text", [read(Path("/usr/share/doc", name, "copyright"))]
    packages = crates(metadata())
    for package in packages:
        what = f"Crate {package['name']} {package['version']}"
        yield what, package["license"] or "see the text", texts_of_crate(package, packages)


def text(deps, system_packages=()):
    """The text for a package that also holds libraries of these system packages."""
    return (HEAD + gather(parts(deps, system_packages))).encode()

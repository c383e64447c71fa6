"""Reads and changes what a 64-bit ELF library says of itself: which libraries it needs, where it looks for them, and which
of their functions it asks for."""

import struct
from pathlib import Path

SHT_DYNAMIC, SHT_DYNSYM, SHT_VERNEED, SHT_VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 14, 15, 29
HIDDEN = 0x8000


class Elf:
    def __init__(self, path):
        self.data = bytearray(Path(path).read_bytes())
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF file")
        (table,) = struct.unpack_from("<Q", self.data, 0x28)
        size, count = struct.unpack_from("<HH", self.data, 0x3A)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, table + size * i) for i in range(count)]

    def section(self, kind):
        """Offset, size, the offset of its names, and a number that means something to each kind."""
        for _, this, _, _, offset, size, link, info, _, _ in self.sections:
            if this == kind:
                return offset, size, self.sections[link][4], info
        return 0, 0, 0, 0

    def text(self, offset):
        return self.data[offset : self.data.index(0, offset)].decode()

    def dynamic(self):
        """(tag, offset of the text that its value means)"""
        offset, size, names, _ = self.section(SHT_DYNAMIC)
        for at in range(offset, offset + size, 16):
            tag, value = struct.unpack_from("<qQ", self.data, at)
            if tag in (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH):
                yield tag, names + value

    def needed(self):
        return [self.text(offset) for tag, offset in self.dynamic() if tag == DT_NEEDED]

    def search_paths(self):
        return [self.text(offset) for tag, offset in self.dynamic() if tag in (DT_RPATH, DT_RUNPATH)]

    def wanted_versions(self):
        """Number, library and version that some functions are asked for by; the texts as offsets, and that of the entry."""
        at, _, names, count = self.section(SHT_VERNEED)
        for _ in range(count):
            _, versions, file, first, following = struct.unpack_from("<HHIII", self.data, at)
            entry = at + first
            for _ in range(versions):
                _, _, number, name, following_entry = struct.unpack_from("<IHHII", self.data, entry)
                yield number, names + file, names + name, entry
                entry += following_entry
            at += following

    def wanted_functions(self, library):
        """What it asks of a library, by name."""
        numbers = {number for number, file, _, _ in self.wanted_versions() if self.text(file) == library}
        symbols, size, names, _ = self.section(SHT_DYNSYM)
        versions = self.section(SHT_VERSYM)[0]
        found = []
        for i in range(size // 24):
            name, _, _, defined_in = struct.unpack_from("<IBBH", self.data, symbols + 24 * i)
            (number,) = struct.unpack_from("<H", self.data, versions + 2 * i)
            if defined_in == 0 and number & ~HIDDEN in numbers:
                found.append(self.text(names + name))
        return sorted(found)

    def set_search_path(self, path):
        """Replaces the path to look for libraries, which must be as long at least."""
        for tag, offset in self.dynamic():
            if tag in (DT_RPATH, DT_RUNPATH):
                self.overwrite(offset, path)

    def rename_library(self, old, new):
        """Has it ask for the library `new`, and for functions of the version `new`, instead of `old`."""
        offsets = {offset for tag, offset in self.dynamic() if tag == DT_NEEDED}
        for _, file, version, entry in self.wanted_versions():
            offsets |= {file, version}
            if self.text(version) == old:
                struct.pack_into("<I", self.data, entry, hash_of(new))
        for offset in [offset for offset in offsets if self.text(offset) == old]:
            self.overwrite(offset, new)

    def overwrite(self, offset, text):
        room = len(self.text(offset).encode())
        new = text.encode()
        if len(new) > room:
            raise ValueError(f"{text} is longer than {self.text(offset)}")
        self.data[offset : offset + room] = new.ljust(room, b"\0")

    def save(self, path):
        Path(path).write_bytes(self.data)


def hash_of(name):
    """The hash by which the linker compares versions."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value & 0xFFFFFFFF

"""Tests of what makes the packages: without a network and without a build of the program."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
import fetch_cuda  # noqa: E402
import licences  # noqa: E402
import package  # noqa: E402
import setup  # noqa: E402
import stand_ins  # noqa: E402
from elf import Elf, hash_of  # noqa: E402

MENU_SCRIPT = package.PACKAGING / "desktop/install-to-menu"

# As libtorch asks NVIDIA's library, and what that library would answer where there is a GPU.
CALLER = """
int cudaGetDeviceCount(int *);
int cudaDeviceSynchronize(void);
int devices(int *count) { return cudaGetDeviceCount(count); }
int synchronize(void) { return cudaDeviceSynchronize(); }
"""
REAL = """
int cudaGetDeviceCount(int *count) { *count = 3; return 0; }
int cudaDeviceSynchronize(void) { return 0; }
"""


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def compile(self, name, code, *options):
        source = self.folder / f"{name}.c"
        source.write_text(code)
        folder = self.folder / "lib"
        folder.mkdir(exist_ok=True)
        command = ["cc", "-shared", "-fPIC", "-o", folder / name, source, f"-Wl,-soname,{name}", *options]
        subprocess.run(command, check=True)
        return folder / name


class StandIns(Folder):
    def setUp(self):
        super().setUp()
        versions = self.folder / "versions"
        versions.write_text("libcudart.so.13 { global: *; };")
        self.real = self.compile("libcudart.so.13", REAL, f"-Wl,--version-script={versions}")
        self.caller = self.compile("libcaller.so", CALLER, self.real, "-Wl,-rpath,/some/long/place:$ORIGIN")

    def in_another_process(self, code):
        """What Python prints that has loaded the caller; in this one a library would stay."""
        program = f"import ctypes; caller = ctypes.CDLL('{self.caller}')\n{code}"
        return subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout

    def test_what_a_library_says_of_itself_is_read(self):
        elf = Elf(self.caller)
        self.assertIn("libcudart.so.13", elf.needed())
        self.assertEqual(elf.search_paths(), ["/some/long/place:$ORIGIN"])
        self.assertEqual(elf.wanted_functions("libcudart.so.13"), ["cudaDeviceSynchronize", "cudaGetDeviceCount"])
        self.assertEqual(elf.wanted_functions("libcupti.so.13"), [])
        # From the ELF specification's example of the hash.
        self.assertEqual(hash_of("printf"), 0x077905A6)

    def test_a_stand_in_answers_that_there_is_no_gpu(self):
        self.stand_in()
        code = "count = ctypes.c_int(5); print(caller.devices(ctypes.byref(count)), count.value, caller.synchronize())"
        self.assertEqual(self.in_another_process(code).split(), ["100", "0", "801"])

    def test_the_real_library_is_loaded_beside_its_stand_in(self):
        self.stand_in()
        code = (
            "second = ctypes.CDLL('{0}', ctypes.RTLD_GLOBAL); count = ctypes.c_int(5)\n"
            "print(second.cudaGetDeviceCount(ctypes.byref(count)), count.value, caller.synchronize())"
        ).format(self.real)
        self.assertEqual(self.in_another_process(code).split(), ["0", "3", "801"])

    def test_who_asks_for_the_real_one_later_gets_it(self):
        second = self.caller.with_name("libsecond.so")
        shutil.copyfile(self.caller, second)
        self.stand_in()
        code = f"second = ctypes.CDLL('{second}', ctypes.RTLD_GLOBAL); count = ctypes.c_int(5)\n"
        code += "print(second.devices(ctypes.byref(count)), count.value, second.synchronize(), caller.synchronize())"
        self.assertEqual(self.in_another_process(code).split(), ["0", "3", "0", "801"])

    def test_every_answer_compiles_and_none_crashes(self):
        for library, name in stand_ins.NAMES.items():
            prefix = "cuda" if "cudart" in library else "cupti"
            functions = sorted({name for name in stand_ins.ANSWERS if name.startswith(prefix)} | {f"{prefix}Other"})
            stand_ins.build(library, functions, self.folder)
            loaded = ctypes.CDLL(str(self.folder / name))
            place = ctypes.create_string_buffer(64)
            for function in functions:
                getattr(loaded, function)(place, place, place)
            self.assertEqual(getattr(loaded, f"{prefix}Other")(), stand_ins.CODES[library])

    def stand_in(self):
        elf = Elf(self.caller)
        stand_ins.build("libcudart.so.13", elf.wanted_functions("libcudart.so.13"), self.caller.parent)
        elf.set_search_path("$ORIGIN")
        elf.rename_library("libcudart.so.13", stand_ins.NAMES["libcudart.so.13"])
        elf.save(self.caller)


class Licences(Folder):
    def crate(self, stated, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return {"name": "a", "version": "1", "license": stated, "manifest_path": str(self.folder / "Cargo.toml")}

    def test_the_texts_of_a_crate_and_of_what_it_holds_are_found(self):
        crate = self.crate("MIT", LICENSE="one", inner__COPYING="two", license_rs="code", README_md="about")
        self.assertEqual(sorted(licences.texts_of_crate(crate)), ["one", "two"])

    def test_a_crate_without_a_text_is_refused_unless_apaches_will_do(self):
        self.assertIn("Apache License", licences.texts_of_crate(self.crate("MIT OR Apache-2.0"))[0])
        with self.assertRaises(licences.MissingLicence):
            licences.texts_of_crate(self.crate("MIT"))

    def test_a_licence_may_stand_at_the_head_of_the_source(self):
        crate = self.crate("MIT", src__lib_rs="/* Copyright: A\n\nPermission is hereby granted … */\nfn f() {}\n")
        self.assertEqual(licences.texts_of_crate(crate), ["Copyright: A\n\nPermission is hereby granted …"])

    def test_a_licence_may_stand_in_another_crate_of_the_same_repository(self):
        bare, other = self.crate("MIT"), self.crate("MIT", sibling__LICENSE="of both")
        other["manifest_path"] = str(self.folder / "sibling/Cargo.toml")
        bare["manifest_path"] = str(self.folder / "bare/Cargo.toml")
        bare["repository"] = other["repository"] = "r"
        self.assertEqual(licences.texts_of_crate(bare, [bare, other]), ["of both"])
        for key in ("repository", "license"):
            with self.assertRaises(licences.MissingLicence):
                licences.texts_of_crate(bare, [bare, {**other, key: "another"}])

    def test_the_same_wording_is_there_once(self):
        text = licences.gather([("one", "MIT", ["a\nb"]), ("two", "MIT", ["a b", "c"]), ("three", "none", [])])
        self.assertIn("one: MIT. Texts: 1\ntwo: MIT. Texts: 1, 2\nthree: none\n", text)
        self.assertEqual(text.count("Text 1\n"), 1)


class Cuda(Folder):
    def test_what_is_fetched_includes_what_packages_have_stand_ins_for(self):
        for platform in setup.PLATFORMS.values():
            patterns = [pattern for source in fetch_cuda.component(platform).sources for pattern in source.patterns]
            for library in stand_ins.NAMES:
                self.assertTrue(any(pattern.endswith(library) for pattern in patterns), library)

    def test_it_goes_to_the_users_own_data(self):
        with mock.patch.dict(os.environ, XDG_DATA_HOME=str(self.folder)):
            self.assertEqual(fetch_cuda.data_folder(), self.folder / f"florascope/libtorch-{setup.TORCH_VERSION}")
        with mock.patch.dict(os.environ, XDG_DATA_HOME="relative", HOME=str(self.folder)):
            self.assertEqual(fetch_cuda.data_folder().parent, self.folder / ".local/share/florascope")


class Metainfo(unittest.TestCase):
    def read(self, **environment):
        with mock.patch.dict(os.environ, environment):
            if not environment:
                os.environ.pop("SCREENSHOT_URL", None)
            return ElementTree.fromstring(package.metainfo(0))

    def test_it_names_the_version_and_its_day(self):
        release = self.read().find("releases/release")
        self.assertEqual((release.get("version"), release.get("date")), (package.version(), "1970-01-01"))

    def test_a_screenshot_is_there_where_its_address_is_known(self):
        self.assertIsNone(self.read().find("screenshots"))
        image = self.read(SCREENSHOT_URL="https://example.org/window.jpg").find("screenshots/screenshot/image")
        self.assertEqual(image.text, "https://example.org/window.jpg")


class Menu(Folder):
    def setUp(self):
        super().setUp()
        self.home = self.folder / "home"
        self.home.mkdir()
        self.program = self.folder / 'my "programs" $x 100%'
        package.put(MENU_SCRIPT, self.program / "install-to-menu", executable=True)
        share = self.program / "share"
        package.put(package.PACKAGING / "desktop/florascope.desktop", share / "applications/florascope.desktop")
        package.put(package.CHECKOUT / "assets/icon.svg", share / "icons/hicolor/scalable/apps/florascope.svg")

    def call(self, *arguments):
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        subprocess.run([self.program / "install-to-menu", *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)

    def files(self):
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())

    def test_it_goes_into_the_menu_and_out_again(self):
        self.call()
        entry = (self.home / ".local/share/applications/florascope.desktop").read_text()
        # Quoted as the desktop entry specification wants it: for a command line, then as a text.
        inside = str(self.folder) + r"/my \\"+ '"' + r"programs\\" + '"' + r" \\$x 100%%/florascope"
        self.assertIn(f'\nExec="{inside}" %f\n', entry)
        self.assertIn(".local/share/icons/hicolor/scalable/apps/florascope.svg", self.files())
        self.call("--remove")
        self.assertEqual(self.files(), [])

    def test_the_entries_of_others_stay(self):
        other = self.home / ".local/share/applications/other.desktop"
        other.parent.mkdir(parents=True)
        other.symlink_to("/nowhere")
        self.call()
        self.call("--remove")
        self.assertTrue(other.is_symlink())


if __name__ == "__main__":
    unittest.main()

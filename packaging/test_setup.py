"""Tests of the set-up's own logic: without a network (a server of our own stands in) and in temporary folders."""

import array
import contextlib
import hashlib
import http.server
import io
import json
import os
import pickle
import struct
import sys
import tempfile
import threading
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
import pickle_to_safetensors  # noqa: E402
import setup  # noqa: E402


class Foreign:
    """What a state dict never holds: something that runs a command when it is read."""

    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return (os.mkdir, (str(self.sign),))


def named(module, name):
    """A pickle opcode that looks up a name."""
    return b"c" + f"{module}\n{name}\n".encode()


def state_dict(numbers, shape, strides):
    """A state dict in the old format that holds one tensor `t` and a count `n`."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def integers(values):
        return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"

    def tensor(storage_type, key, count, shape, strides):
        storage = b"(" + text("storage") + named("torch", storage_type) + text(key) + text("cpu")
        storage += b"K" + bytes([count]) + b"NtQ"
        no_hooks = named("collections", "OrderedDict") + b")R"
        return (
            named("torch._utils", "_rebuild_tensor_v2")
            + b"(" + storage + b"K\x00" + integers(shape) + integers(strides) + b"\x89" + no_hooks + b"tR"
        )  # fmt: skip

    tensors = b"\x80\x02" + named("collections", "OrderedDict") + b")R("
    tensors += text("t") + tensor("FloatStorage", "0", len(numbers), shape, strides)
    tensors += text("n") + tensor("LongStorage", "1", 1, (1,), (1,)) + b"u."
    head = [pickle_to_safetensors.MAGIC, pickle_to_safetensors.PROTOCOL, {"little_endian": True}]
    result = b"".join(pickle.dumps(value, 2) for value in head) + tensors + pickle.dumps(["0", "1"], 2)
    result += struct.pack("<q", len(numbers)) + array.array("f", numbers).tobytes()
    return result + struct.pack("<qq", 1, 7)


class PickleToSafetensors(unittest.TestCase):
    def test_transposed_tensor_comes_out_in_row_order(self):
        result = pickle_to_safetensors.convert(state_dict([1, 2, 3, 4, 5, 6], (2, 3), (1, 2)))
        (length,) = struct.unpack("<Q", result[:8])
        self.assertEqual(length % 8, 0)
        header = json.loads(result[8 : 8 + length])
        self.assertEqual(header, {"t": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}})
        self.assertEqual(list(array.array("f", result[8 + length :])), [1, 3, 5, 2, 4, 6])

    def test_tensor_beyond_its_storage_is_refused(self):
        with self.assertRaises(pickle_to_safetensors.UnsupportedPickle):
            pickle_to_safetensors.convert(state_dict([1, 2, 3], (2, 3), (3, 1)))

    def test_a_pickle_that_runs_something_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            sign = Path(folder, "it-ran")
            head = [pickle_to_safetensors.MAGIC, pickle_to_safetensors.PROTOCOL, {"little_endian": True}]
            pickled = b"".join(pickle.dumps(value, 2) for value in [*head, {"t": Foreign(sign)}])
            with self.assertRaisesRegex(pickle_to_safetensors.UnsupportedPickle, "mkdir"):
                pickle_to_safetensors.convert(pickled)
            self.assertFalse(sign.exists())


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file, in ranges too; `break_at` ends the first answers early."""

    content = b""
    break_at = []
    requests = []

    def do_GET(self):
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.requests.append(start)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : self.break_at.pop(0) if self.break_at else None])

    def log_message(self, *_):
        pass


class SetUp(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = Path(folder.name, "cache")
        self.checkout = Path(folder.name, "checkout")
        self.checkout.mkdir()
        self.said = io.StringIO()
        self.enterContext(contextlib.redirect_stdout(self.said))
        self.enterContext(mock.patch.object(setup.time, "sleep"))
        self.enterContext(mock.patch.dict(os.environ, {"no_proxy": "*"}))

        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("lib/include/", "")
            archive.writestr("lib/include/a.h", "header")
            archive.writestr("lib/so/b.so", bytes(range(256)) * 4000)
            archive.writestr("lib/not-wanted", "")
        Server.content, Server.break_at, Server.requests = packed.getvalue(), [], []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        address = f"http://127.0.0.1:{server.server_port}/x"
        self.enterContext(mock.patch.object(setup, "address_from_pip", lambda wheel: address))
        self.enterContext(mock.patch.object(setup, "fetch_with_pip", mock.Mock(side_effect=AssertionError)))

        sha256 = hashlib.sha256(Server.content).hexdigest()
        self.wheel = setup.Wheel("some_lib-1.0-py3-none-any.whl", len(Server.content), sha256)
        source = setup.Source(self.wheel, ("lib/include/*", "lib/so/*"))
        self.pinned = setup.Platform((setup.Component("lib", "a library", 1, (source,), "lib/"),), ())

    def set_up(self):
        return setup.set_up(self.pinned, False, self.cache, self.checkout)

    def part(self):
        downloads = self.cache / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        return downloads / (self.wheel.file + ".part")

    def test_brings_what_is_wanted_and_nothing_else(self):
        deps = self.set_up()
        self.assertEqual((self.checkout / ".deps").resolve(), deps.resolve())
        files = sorted(str(path.relative_to(deps)) for path in deps.rglob("*") if path.is_file())
        self.assertEqual(files, ["lib/files.txt", "lib/include/a.h", "lib/so/b.so"])
        self.assertEqual(list((self.cache / "downloads").iterdir()), [])

    def test_says_what_it_fetches(self):
        self.set_up()
        self.assertIn("some-lib 1.0, 1.0 MB", self.said.getvalue())

    def test_fetches_nothing_when_nothing_is_missing(self):
        self.set_up()
        self.said.truncate(0)
        Server.requests.clear()
        self.set_up()
        self.assertEqual(Server.requests, [])
        self.assertEqual(self.said.getvalue().strip("\0"), "")

    def test_brings_back_what_was_deleted_from_the_cache(self):
        deps = self.set_up()
        (deps / "lib/include/a.h").unlink()
        self.set_up()
        self.assertEqual((deps / "lib/include/a.h").read_text(), "header")

    def test_goes_on_where_a_killed_set_up_stopped(self):
        self.part().write_bytes(Server.content[:500_000])
        self.set_up()
        self.assertEqual(Server.requests, [500_000])

    def test_goes_on_where_the_connection_broke(self):
        Server.break_at = [300_000, 700_000]
        self.set_up()
        self.assertEqual(Server.requests, [0, 300_000, 700_000])

    def test_fetches_anew_when_the_part_is_damaged(self):
        self.part().write_bytes(bytes(500_000))
        self.set_up()
        self.assertEqual(Server.requests, [500_000, 0])

    def test_refuses_another_file_than_the_pinned_one(self):
        Server.content = Server.content[:-1] + b"?"
        with self.assertRaisesRegex(setup.SetupError, "SHA-256"):
            self.set_up()
        self.assertFalse((self.checkout / ".deps").exists())
        self.assertEqual(list((self.cache / "downloads").iterdir()), [])

    def test_a_kill_while_unpacking_leaves_nothing_half_made(self):
        with mock.patch.object(setup.shutil, "copyfileobj", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                self.set_up()
        self.assertEqual(list(self.cache.glob("deps-*/lib")), [])
        deps = self.set_up()
        self.assertEqual((deps / "lib/include/a.h").read_text(), "header")
        self.assertEqual(Server.requests, [0])

    def test_falls_back_to_pip_where_addresses_cannot_be_had(self):
        def by_pip(_wheel, target):
            target.write_bytes(Server.content)

        with mock.patch.object(setup, "address_from_pip", lambda wheel: None):
            with mock.patch.object(setup, "fetch_with_pip", by_pip):
                self.set_up()
        self.assertEqual(Server.requests, [])

    def test_does_not_replace_a_folder_of_the_user(self):
        (self.checkout / ".deps").mkdir()
        with self.assertRaisesRegex(setup.SetupError, "Move it away"):
            self.set_up()


class Pins(unittest.TestCase):
    def test_no_linked_folder_holds_cuda(self):
        # `torch-sys` would link the program to it, and it would not start without CUDA.
        for pinned in setup.PLATFORMS.values():
            for component in pinned.always:
                for source in component.sources:
                    self.assertFalse([name for name in getattr(source, "patterns", ()) if "torch_cuda" in name])

    def test_pip_is_asked_for_exactly_the_pinned_file(self):
        wheel = setup.CUDART_LINUX_X86_64
        self.assertEqual((wheel.package, wheel.version), ("nvidia-cuda-runtime", "13.0.96"))
        command = setup.pip("download", wheel)
        self.assertIn("--platform=manylinux2014_x86_64", command)
        self.assertIn("--platform=manylinux_2_17_x86_64", command)


if __name__ == "__main__":
    unittest.main()

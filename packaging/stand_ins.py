"""Stand-ins for the two CUDA libraries that libtorch's CPU library is linked to.

`libtorch_cpu.so` asks NVIDIA's libcudart and libcupti for some thirty functions, all of them for its profiler of GPU work,
which this program never starts. Their licence allows them to be handed on, but only inside of an application, on terms
that pass NVIDIA's own on to everybody: nobody who got Florascope could hand it on as freely as it is meant to be. So a
package holds two small libraries of our own, in which each of these functions answers that there is no GPU.

They have names of their own, `libnocuda` and `libnocup`, and versions of their own, and the package's copy of
`libtorch_cpu.so` is made to ask for these. A computer with a GPU loads the real ones beside them: under one name the
linker would take the stand-in, which is there first, for the real one.
"""

import subprocess
from pathlib import Path

from elf import Elf

# As long as the real ones, as the names are changed in place.
NAMES = {"libcudart.so.13": "libnocuda.so.13", "libcupti.so.13": "libnocup.so.13"}

CODES = {
    "libcudart.so.13": 801,  # cudaErrorNotSupported
    "libcupti.so.13": 15,  # CUPTI_ERROR_NOT_INITIALIZED
}

# Those that answer with more than a code. Whatever a function is given, it may be called as if it took less.
ANSWERS = {
    "cudaGetDeviceCount": "int cudaGetDeviceCount(int *count) { *count = 0; return 100; /* cudaErrorNoDevice */ }",
    "cudaRuntimeGetVersion": "int cudaRuntimeGetVersion(int *version) { *version = 0; return 0; }",
    "cudaDriverGetVersion": "int cudaDriverGetVersion(int *version) { *version = 0; return 0; /* no driver */ }",
    "cudaGetErrorString": 'const char *cudaGetErrorString(int error) { (void)error; return "no CUDA here"; }',
    "cudaGetErrorName": 'const char *cudaGetErrorName(int error) { (void)error; return "cudaErrorNotSupported"; }',
    "cuptiGetVersion": "int cuptiGetVersion(unsigned *version) { *version = 0; return 0; }",
    "cuptiGetResultString": (
        'int cuptiGetResultString(int code, const char **text) { (void)code; *text = "no CUPTI here"; return 0; }'
    ),
}


def source_of(library, functions):
    """The stand-in for a library as C."""
    code = CODES[library]
    return "".join(ANSWERS.get(name, f"int {name}(void) {{ return {code}; }}") + "\n" for name in functions)


def build(library, functions, folder):
    """Compiles the stand-in for a library into a folder."""
    name = NAMES[library]
    source, versions = folder / f"{name}.c", folder / f"{name}.map"
    source.write_text(source_of(library, functions))
    versions.write_text(f"{name} {{ global: {'; '.join(functions)}; local: *; }};\n")
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-nostdlib", "-s", f"-Wl,-soname,{name}"]
    command += [f"-Wl,--version-script={versions}", "-Wl,-z,relro,-z,now", "-o", folder / name, source]
    subprocess.run(command, check=True)
    source.unlink()
    versions.unlink()


def replace_cuda(libtorch_cpu: Path):
    """Makes a copy of `libtorch_cpu.so` need stand-ins, which come to lie beside it, rather than CUDA."""
    elf = Elf(libtorch_cpu)
    for library, name in NAMES.items():
        build(library, elf.wanted_functions(library), libtorch_cpu.parent)
        elf.rename_library(library, name)
    elf.save(libtorch_cpu)

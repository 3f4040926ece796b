"""The kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, and bugs these must report.

A copy of the sources is built with the sanitizer and with a plain BLAS in place of OpenBLAS, so that what the kernels
have BLAS read and write is checked too. Races are sought with clang, libomp and Archer, which tells ThreadSanitizer of
the barriers of OpenMP; GCC's libgomp does not, and every loop would look like a race.

    PYTHONPATH=src:tests python -m torture.sanitizers
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torture import seeded_bugs
from torture.runs import patience
from torture.seeded_bugs import SeededBug

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path("src", "lfmm2")
HERE = Path(__file__).resolve().parent
THREADED_KERNELS = "tests/kernels/test_threaded_kernels.py"
KERNEL_MODULES = (
    "_core", "kernels/_bgen", "kernels/_calls", "kernels/_gram", "kernels/_gram_float32", "kernels/_impute",
    "kernels/_ld", "kernels/_missing", "kernels/_numbers", "kernels/_pack", "kernels/_pairs", "kernels/_pieces",
    "kernels/_products", "kernels/_symmetric", "kernels/_vcf",
)  # fmt: skip
CORE_TESTS = ("tests/kernels/test_core.py", THREADED_KERNELS)
# those that these tests call
CORE_MODULES = ("_core", "kernels/_products")
KERNEL_TESTS = (
    *CORE_TESTS,
    "tests/genotypes/test_matrix.py",
    "tests/genotypes/test_imputation.py",
    "tests/kernels/test_bgen.py",
    "tests/kernels/test_calls.py",
    "tests/kernels/test_gram.py",
    "tests/kernels/test_impute.py",
    "tests/kernels/test_missing.py",
    "tests/kernels/test_numbers.py",
    "tests/kernels/test_pack.py",
    "tests/kernels/test_pairs.py",
    "tests/kernels/test_pieces.py",
    "tests/kernels/test_symmetric.py",
    "tests/kernels/test_gram_float32.py",
    "tests/kernels/test_products.py",
    "tests/genotypes/test_engine.py",
    "tests/genotypes/test_thinning.py",
)
REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")
# a report ends the process with this code
REPORTED = 86
SECONDS = 600

# ThreadSanitizer must be set up before the constructors of other libraries, and a preloaded one depends on libstdc++,
# whose constructors run first and call it; the linker's `initfirst` puts this one before them
INITIALISE_FIRST = """
void __tsan_init(void);
__attribute__((constructor)) static void initialise(void) { __tsan_init(); }
"""


@dataclass(frozen=True)
class Toolchain:
    """How to build with a sanitizer, and how to run what was built."""

    compiler: str
    version: str
    setup: tuple[str, ...]
    preload: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def run_command(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output; the program has ten minutes on an idle machine."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=patience(SECONDS),
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def must_succeed(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    code, output = run_command(command, environment)
    assert code == 0, f"exit code {code} of {' '.join(map(str, command))}\n{output[-4000:]}"
    return output


# --- what is installed ----------------------------------------------------------------------------------------


def search_path() -> str:
    """PATH with the programs of this Python's environment: ninja and cython."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def missing_build_tools() -> str:
    """What a build lacks; empty if nothing."""
    missing = [name for name in ("mesonbuild", "Cython") if importlib.util.find_spec(name) is None]
    missing += [name for name in ("ninja", "cython") if shutil.which(name, path=search_path()) is None]
    return ", ".join(missing)


def file_of_compiler(compiler: str, *names: str) -> str:
    """The first of these files of its runtime that a compiler has, or an empty string."""
    for name in names:
        path = run_command([compiler, f"-print-file-name={name}"])[1].strip()
        if Path(path).is_absolute() and Path(path).is_file():
            return path
    return ""


def version_of(compiler: str, name: str, option: str) -> str:
    return f"{name} {'.'.join(run_command([compiler, option])[1].strip().split('.')[:2])}"


def find_gcc() -> Toolchain | None:
    """GCC with its AddressSanitizer and UndefinedBehaviorSanitizer."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    libraries = tuple(file_of_compiler(compiler, name) for name in ("libasan.so", "libubsan.so"))
    if not all(libraries):
        return None
    return Toolchain(
        compiler,
        version_of(compiler, "gcc", "-dumpfullversion"),
        (
            "-Db_sanitize=address,undefined",
            "-Dc_args=-fno-sanitize-recover=all -fsanitize=float-divide-by-zero,float-cast-overflow",
        ),
        libraries,
        {
            # Python never frees everything; its own allocator would hide the ends of small arrays
            "ASAN_OPTIONS": f"detect_leaks=0:halt_on_error=1:detect_stack_use_after_return=1:exitcode={REPORTED}",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:exitcode={REPORTED}",
            "PYTHONMALLOC": "malloc",
        },
    )


def find_clang() -> Toolchain | None:
    """The newest clang with ThreadSanitizer, libomp and Archer."""
    if sys.platform != "linux":
        return None
    names = {
        path.name
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        for path in Path(folder or ".").glob("clang*")
        if re.fullmatch(r"clang(-\d+)?", path.name)
    }
    for name in sorted(names, key=lambda name: int(name.partition("-")[2] or 1000), reverse=True):
        compiler = shutil.which(name)
        if compiler is None:
            continue
        machine = os.uname().machine
        runtime = file_of_compiler(compiler, f"libclang_rt.tsan-{machine}.so", "libclang_rt.tsan.so")
        # the runtime is in lib/clang/<version>/lib of the folder whose lib has Archer
        archer = [parent / "libarcher.so" for parent in Path(runtime).parents] if runtime else []
        found = [file_of_compiler(compiler, "libarcher.so"), *(str(path) for path in archer if path.is_file())]
        found = [path for path in found if path]
        if not found or file_of_compiler(compiler, "include/omp.h") == "":
            continue
        return Toolchain(
            compiler,
            version_of(compiler, "clang", "-dumpversion"),
            ("-Db_sanitize=thread", "-Dc_link_args=-shared-libsan"),
            (runtime,),
            {
                "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1:halt_on_error=1:exitcode={REPORTED}",
                "OMP_TOOL_LIBRARIES": found[0],
                "ARCHER_OPTIONS": "verbose=1",
            },
        )
    return None


# --- a build --------------------------------------------------------------------------------------------------


class Build:
    """A package folder in `folder` with some kernels built by `toolchain` from a copy of the sources.

    The others are those of the installed package.
    """

    def __init__(self, toolchain: Toolchain, folder: Path, modules: Sequence[str] = KERNEL_MODULES) -> None:
        self.toolchain, self.modules = toolchain, modules
        self.sources = folder / "sources"
        self.objects = folder / "objects"
        self.package = folder / "package" / "lfmm2"
        self.temporary = folder / "temporary"
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
        self.environment |= {"PATH": search_path(), "CC": toolchain.compiler, "OPENBLAS_NUM_THREADS": "1"}
        # more threads than processors, and other work beside: waiting must not take the processor from the work
        self.environment["OMP_WAIT_POLICY"] = "passive"
        self.preload = list(toolchain.preload)
        self.temporary.mkdir()
        self.copy_sources()
        shutil.copytree(self.sources / SOURCES, self.package)
        self.copy_installed()
        if "-Db_sanitize=thread" in toolchain.setup:
            self.preload.append(self.build_first_library(folder))
        meson: list[str | Path] = [sys.executable, "-m", "mesonbuild.mesonmain", "setup", self.objects, self.sources]
        options = ["--buildtype=debug", "-Doptimization=1", "-Db_lundef=false", "-Dopenmp=enabled"]
        must_succeed([*meson, *options, *toolchain.setup], self.environment)
        self.compile()

    def copy_sources(self) -> None:
        """The sources as they are, BLAS exchanged."""
        self.sources.mkdir()
        for name in ("meson.build", "meson.options"):
            shutil.copy(ROOT / name, self.sources)
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / SOURCES, self.sources / SOURCES, ignore=ignored)
        shutil.copy(HERE / "plain_blas.pxi", self.sources / SOURCES)
        exchange = (
            ("from scipy.linalg.cython_blas cimport dgemm, dsyrk\n", ""),
            ('include "blas_int.pxi"\n', 'include "blas_int.pxi"\ninclude "plain_blas.pxi"\n'),
        )
        for old, new in exchange:
            SeededBug("a plain BLAS", "_core.pyx", old, new, "").apply(self.sources / SOURCES)

    def copy_installed(self) -> None:
        """Put the modules of kernels that are not built here into the package."""
        import lfmm2

        for name in set(KERNEL_MODULES) - set(self.modules):
            (module,) = Path(lfmm2.__file__).parent.glob(f"{name}.*.so")
            shutil.copy(module, (self.package / name).parent)

    def build_first_library(self, folder: Path) -> str:
        source, library = folder / "first.c", folder / "first.so"
        source.write_text(INITIALISE_FIRST)
        must_succeed([self.toolchain.compiler, "-shared", "-fPIC", "-Wl,-z,initfirst", source, "-o", library])
        return str(library)

    def compile(self) -> None:
        """Build from the sources as they stand, and put the modules of kernels into the package."""
        targets = [f"{SOURCES}/{name}{sysconfig.get_config_var('EXT_SUFFIX')}" for name in self.modules]
        must_succeed(["ninja", "-C", self.objects, *targets], self.environment)
        for name in self.modules:
            (module,) = (self.objects / SOURCES).glob(f"{name}.*.so")
            folder = (self.package / name).parent
            (folder / module.name).unlink(missing_ok=True)
            shutil.copy(module, folder)

    def python(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of Python with the sanitizer before all other libraries."""
        command = ["env", f"LD_PRELOAD={' '.join(self.preload)}", sys.executable, *arguments]
        environment = self.environment | self.toolchain.environment
        environment["PYTHONPATH"] = os.pathsep.join([str(self.package.parent), str(ROOT / "tests")])
        # the map of ThreadSanitizer does not fit beside addresses that are spread too far
        fixed = ["setarch", "-R"]
        if shutil.which("setarch") and run_command([*fixed, "true"])[0] == 0:
            command = fixed + command
        return run_command(command, environment)

    def check(self) -> None:
        """Python loads the module of the package folder; Archer answers where it is asked for."""
        code = (
            "import numpy, lfmm2._core as core\n"
            "core.count_genotypes(numpy.zeros((9, 2), numpy.uint8), 8, numpy.zeros((9, 4), numpy.int64), 3)\n"
            "print(core.__file__, core.OPENMP)"
        )
        status, output = self.python("-c", code)
        assert status == 0, output[-4000:]
        assert str(self.package) in output, f"another package was loaded: {output}"
        assert output.split()[-1] == "True", "the kernels were built without OpenMP"
        if "ARCHER_OPTIONS" in self.toolchain.environment:
            assert "Archer detected OpenMP application with TSan" in output, f"Archer is not active: {output}"

    def pytest(self, tests: Sequence[str]) -> tuple[int, str]:
        """Exit code and output of the tests; output goes past pytest, whose buffer would be lost with the process."""
        options = ["-q", "--capture=no", "--tb=short", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
        folder = f"--basetemp={self.temporary / 'pytest'}"
        return self.python("-m", "pytest", *options, folder, *tests)


# --- runs -----------------------------------------------------------------------------------------------------


def excerpt(output: str) -> str:
    """The output from the first report on, or its end."""
    found = REPORT.search(output)
    return output[max(0, found.start() - 200) :][:6000] if found else output[-6000:]


def run_tests(build: Build, tests: Sequence[str]) -> dict[str, object]:
    """Counts of a run of the tests that all pass without a report."""
    build.check()
    status, output = build.pytest(tests)
    assert REPORT.search(output) is None, f"{build.toolchain.version} reports:\n{excerpt(output)}"
    assert status == 0, f"exit code {status} under the sanitizers of {build.toolchain.version}:\n{excerpt(output)}"
    passed, skipped = (re.search(rf"(\d+) {word}", output) for word in ("passed", "skipped"))
    assert passed is not None, output[-2000:]
    return {
        "compiler": build.toolchain.version,
        "tests_passed": int(passed[1]),
        "tests_skipped": int(skipped[1]) if skipped else 0,
        "reports": 0,
    }


def catch(build: Build, bug: SeededBug, tests: Sequence[str]) -> None:
    """The sanitizer ends the tests of kernels with the bug, and names its kind."""
    path = build.sources / SOURCES / bug.file
    sound = path.read_bytes()
    try:
        bug.apply(build.sources / SOURCES)
        build.compile()
        status, output = build.pytest(tests)
    finally:
        path.write_bytes(sound)
    assert re.search(bug.report, output), f"{bug.name}: exit code {status}, no {bug.report!r} in\n{excerpt(output)}"
    assert status == REPORTED, f"{bug.name}: reported, but the exit code is {status}, not {REPORTED}"


def run(full: bool) -> dict[str, object]:
    """Counts of tests under each sanitizer and of seeded bugs caught; "missing" says what could not be run.

    The quick tier has AddressSanitizer and UndefinedBehaviorSanitizer on the kernels' own tests and one bug of theirs.
    """
    result: dict[str, object] = {}
    lacks = missing_build_tools()
    gcc, clang = (None, None) if lacks else (find_gcc(), find_clang())
    both = (*seeded_bugs.ADDRESS, *seeded_bugs.UNDEFINED)
    jobs: list[tuple[str, Toolchain | None, str, tuple[SeededBug, ...]]]
    jobs = [("address_and_undefined", gcc, "gcc with libasan and libubsan", both if full else both[:1])]
    if full:
        jobs.append(("thread", clang, "clang with libclang-rt, libomp and libarcher", seeded_bugs.THREAD))
    for name, toolchain, needed, bugs in jobs:
        if toolchain is None:
            result[name] = {"missing": lacks or needed}
            continue
        with tempfile.TemporaryDirectory(prefix="lfmm2-sanitizers-") as folder:
            build = Build(toolchain, Path(folder), KERNEL_MODULES if full else CORE_MODULES)
            counts = run_tests(build, KERNEL_TESTS if full else CORE_TESTS)
            for bug in bugs:
                catch(build, bug, CORE_TESTS)
        result[name] = counts | {"seeded_bugs": len(bugs), "seeded_bugs_caught": len(bugs)}
    return result


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))

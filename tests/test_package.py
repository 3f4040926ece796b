"""The package as a whole: what is installed, what importing it costs, and which module may know which."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lfmm2

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "lfmm2"
MODULES = sorted(path.stem for path in SOURCE.glob("*.py"))

# Lowest first: a module imports from its own layer and those before it.
LAYERS = (
    ("errors", "_core", "_impute", "_interrupt", "_ld", "_threads"),
    (
        "text_tables",
        "packed_bed",
        "plink",
        "id_tables",
        "covariates",
        "distributions",
        "whole_files",
        "output",
        "plink_writer",
        "checksums",
        "folder_lock",
        "run_state",
        "spool",
        "verification",
        "stored_facts",
        "stored_record",
    ),
    ("stream", "imputation", "genotypes", "remembered", "ridge", "simulation"),
    (
        "order_statistics",
        "q_values",
        "empirical_null",
        "local_fdr",
        "scree",
        "thinning",
        "eigensolvers",
        "factors",
        "association",
        "calibration",
        "sweep",
        "sweep_summary",
        "identity",
        "inputs",
        "snps",
        "tables",
        "results",
        "stored_run",
        "progress",
        "factors_file",
        "statistics_store",
    ),
    ("memory", "plan", "record", "result_files", "result_writer", "preparation", "pipeline", "api"),
    (
        "environments",
        "loci",
        "offset",
        "hits",
        "picture_sums",
        "summaries",
        "canvas",
        "k_plots",
        "plots",
        "report_words",
        "html_parts",
        "html_report",
        "report",
    ),
    ("terminal", "cli_run", "cli_results", "cli", "demo", "machine", "__main__", "__init__"),
)
LAYER_OF = {module: i for i, modules in enumerate(LAYERS) for module in modules}


def imported_modules(path: Path) -> set[str]:
    """Modules of lfmm2 that a source file names in any import, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, ("lfmm2" if node.level else "", node.module)))
            # `from lfmm2 import x` names the module x or, if there is none, something in __init__
            names = (f"lfmm2.{alias.name if alias.name in LAYER_OF else '__init__'}" for alias in node.names)
            found.update(names if origin == "lfmm2" else (origin,))
    return {name.removeprefix("lfmm2.").split(".")[0] for name in found if name.startswith("lfmm2.")}


def text_files() -> Iterator[Path]:
    """What people write: folders known by name, and files of known kinds beside them."""
    kinds = {"", ".build", ".cff", ".md", ".options", ".toml", ".yaml"}
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in kinds)
    for folder in ("src", "tests", "docs", "bench", ".ci", ".github"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
                yield path


def test_every_source_file_is_installed() -> None:
    installed = re.search(r"py\.install_sources\((.*?)subdir:", (SOURCE / "meson.build").read_text(), re.DOTALL)
    assert installed is not None
    listed = re.findall(r"'([^']+)'", installed[1])
    present = [path.name for path in SOURCE.iterdir() if path.suffix in {".py", ".pyi", ".pxd", ".typed"}]
    assert listed == sorted(present)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__main__"])
def test_module_imports_from_the_installed_package(module: str) -> None:
    assert Path(lfmm2.__path__[0], f"{module}.py").is_file()
    importlib.import_module("lfmm2" if module == "__init__" else f"lfmm2.{module}")


def test_import_is_lazy() -> None:
    heavy = "{'click', 'matplotlib', 'numpy', 'pandas', 'pyarrow', 'scipy', 'tqdm'}"
    code = f"import sys, lfmm2; print(*sorted({heavy} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_every_module_has_a_layer() -> None:
    assert set(MODULES) | {"_core", "_impute", "_interrupt", "_ld"} == set(LAYER_OF)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    upward = {name for name in imported_modules(SOURCE / f"{module}.py") if LAYER_OF[name] > LAYER_OF[module]}
    assert upward == set()


def test_imports_have_no_cycle() -> None:
    graph = {module: imported_modules(SOURCE / f"{module}.py") for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_no_file_names_a_folder_of_one_machine() -> None:
    # after a letter, dot, brace or ~ it is the rest of a relative path or an address
    pattern = re.compile(rb"(?<![\w.})~*/])/(?:home|mnt|root|Users|work)/")
    found = [str(path.relative_to(ROOT)) for path in text_files() if pattern.search(path.read_bytes())]
    assert found == []


def test_version_is_in_the_changelog() -> None:
    version = re.search(r"^  version: '(.+)',$", (ROOT / "meson.build").read_text(), re.MULTILINE)
    assert version is not None
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

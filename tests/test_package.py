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

# Lowest first: a folder, or a module beside the folders, imports from those before it.
FLOORS = (
    "_words",
    "_html",
    "errors",
    "_checks",
    "_choices",
    "_typing",
    "_version",
    "_lazy",
    "_lapack",
    "_core",
    "kernels",
    "process",
    "files",
    "genotypes",
    "formats",
    "distributed",
    "statistics",
    "model",
    "results",
    "pipeline",
    "downstream",
    "report",
    "simulation",
    "plots",
    "testing",
    "api",
    "scatter",
    "estimator",
    "cli",
    "__init__",
    "__main__",
)
FOLDERS = tuple(name for name in FLOORS if (SOURCE / name).is_dir())
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
EXTENSIONS = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.pyx"))


def floor_of(path: Path) -> str:
    """The folder of a file of the package, or its own name where it lies beside the folders."""
    return path.parts[0].partition(".")[0]


def module_of(path: Path) -> str:
    """Dotted name of a file of the package."""
    names = path.with_suffix("").parts
    return ".".join(("lfmm2", *(names[:-1] if names[-1] == "__init__" else names)))


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import of lfmm2 in a file, at its top or inside a function."""
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("lfmm2"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module and node.module.split(".")[0] == "lfmm2":
                yield from ((node.module, alias.name) for alias in node.names)


def imported_floor(module: str, name: str) -> str:
    """The floor that an import reaches: ``from lfmm2 import x`` reaches x, or ``__init__`` where x is no module."""
    if module == "lfmm2":
        return name if name in FLOORS else "__init__"
    return module.split(".")[1]


def public_names(folder: str) -> set[str]:
    """``__all__`` of a folder."""
    tree = ast.parse((SOURCE / folder / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def text_files() -> Iterator[Path]:
    """What people write: folders known by name, and files of known kinds beside them."""
    kinds = {"", ".build", ".cff", ".md", ".options", ".toml", ".yaml"}
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in kinds)
    for folder in ("src", "tests", "docs", "bench", "packaging", ".ci", ".github"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so":
                yield path


@pytest.mark.parametrize("folder", ["", *FOLDERS])
def test_every_source_file_is_installed(folder: str) -> None:
    text = (SOURCE / folder / "meson.build").read_text()
    lists = re.search(r"py\.install_sources\((.*?)subdir: '([^']+)'", text, re.DOTALL)
    assert lists is not None
    present = [path.name for path in (SOURCE / folder).iterdir() if path.suffix in {".py", ".pyi", ".pxd", ".typed"}]
    assert re.findall(r"'([^']+)',", lists[1]) == sorted(present)
    assert lists[2] == f"lfmm2/{folder}".rstrip("/")
    # One by one, or in a loop over a list of names.
    built = re.findall(r"py\.extension_module\(\s*'([^']+)'", text)
    if named := re.search(r"^kernels = \[(.*?)\]", text, re.DOTALL | re.MULTILINE):
        built += re.findall(r"'([^']+)',", named[1])
    assert built == sorted(path.stem for path in (SOURCE / folder).glob("*.pyx"))


def test_every_folder_is_built() -> None:
    built = re.findall(r"^subdir\('([^']+)'\)", (SOURCE / "meson.build").read_text(), re.MULTILINE)
    assert sorted(built) == sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file())


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__main__.py"], ids=str)
def test_module_imports_from_the_installed_package(path: Path) -> None:
    assert Path(lfmm2.__path__[0], path).is_file()
    importlib.import_module(module_of(path))


def test_import_is_lazy() -> None:
    heavy = "{'click', 'matplotlib', 'numpy', 'pandas', 'pyarrow', 'scipy', 'tqdm'}"
    code = f"import sys, lfmm2; print(*sorted({heavy} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_every_file_has_a_floor() -> None:
    assert {floor_of(path) for path in (*FILES, *EXTENSIONS)} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downward(path: Path) -> None:
    height = FLOORS.index(floor_of(path))
    assert [(m, name) for m, name in imports_of(path) if FLOORS.index(imported_floor(m, name)) > height] == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_other_folders_are_used_through_their_public_names(path: Path) -> None:
    for module, name in imports_of(path):
        folder = imported_floor(module, name)
        if folder == floor_of(path) or folder not in FOLDERS or floor_of(path) == "__init__":
            continue
        inside = module.split(".")[2:] or [name]
        assert inside[0] in public_names(folder), f"{path}: {module} is private to the folder {folder}"
        private = name.startswith("_") and name != "__all__"
        assert folder == "kernels" or not private, f"{path}: {name} of {module} is private"


def kinds_of_genotypes() -> set[str]:
    """Classes of the folder genotypes that are one kind of source or matrix, and what opens one kind."""
    kinds = {"open_bed", "open_bgen", "open_pgen"}
    for module in ("array_matrix", "array_source", "bed_matrix", "bgen_file", "packed_bed", "pgen_file", "plink"):
        tree = ast.parse((SOURCE / "genotypes" / f"{module}.py").read_text(encoding="utf-8"))
        # those with "Protocol" among their bases are what others implement
        kinds |= {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef) and not any(ast.unparse(base) == "Protocol" for base in node.bases)
        }
    assert {"ArrayMatrix", "ArraySource", "BedFile", "BedMatrix", "PackedBed"} <= kinds
    return kinds


@pytest.mark.parametrize("path", [path for path in FILES if floor_of(path) not in ("genotypes", "__init__")], ids=str)
def test_no_other_folder_knows_a_kind_of_genotypes(path: Path) -> None:
    tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named & kinds_of_genotypes() == set(), f"{path}: what depends on the kind belongs into its source"


def test_imports_have_no_cycle() -> None:
    graph = {}
    for path in FILES:
        named = {f"{module}.{name}" for module, name in imports_of(path)} | {m for m, _ in imports_of(path)}
        graph[module_of(path)] = {module_of(other) for other in FILES if module_of(other) in named} - {module_of(path)}
    # a folder's __init__ imports its modules and is imported by those outside of it: the module itself is the node
    for folder in FOLDERS:
        graph.pop(f"lfmm2.{folder}", None)
    graph.pop("lfmm2", None)
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("package", [path.parent for path in FILES if path.name == "__init__.py"], ids=str)
def test_names_of_a_package_are_there(package: Path) -> None:
    module = importlib.import_module(module_of(package / "__init__.py"))
    assert (module.__doc__ or "").strip()
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None


def test_public_functions_survive_the_import_of_every_module() -> None:
    # a folder of the same name as a function would take its place
    code = f"import importlib; [importlib.import_module(name) for name in {[module_of(p) for p in FILES[:-1]]!r} "
    code += "if not name.endswith('__main__')]; import lfmm2; assert all(map(callable, (lfmm2.run, lfmm2.verify)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_file_names_a_folder_of_one_machine() -> None:
    # after a letter, dot, brace or ~ it is the rest of a relative path or an address
    pattern = re.compile(rb"(?<![\w.})~*/])/(?:home|mnt|root|Users|work)/")
    found = [str(path.relative_to(ROOT)) for path in text_files() if pattern.search(path.read_bytes())]
    assert found == []


def test_version_is_in_changelog_citation_and_recipe() -> None:
    version = re.search(r"^  version: '(.+)',$", (ROOT / "meson.build").read_text(), re.MULTILINE)
    assert version is not None
    assert f"\n## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    recipe = ROOT / "packaging" / "conda-forge" / "recipe.yaml"
    assert f'version: "{version[1]}"' in recipe.read_text(encoding="utf-8")

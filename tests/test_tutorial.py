"""The tutorial: its blocks run in order and give what the page shows, with pictures that exist."""

from __future__ import annotations

import gzip
import importlib.util
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
DOCS = Path(__file__).parent.parent / "docs"
PICTURES = DOCS / "tutorial"


def _load_build():
    spec = importlib.util.spec_from_file_location("tutorial_build", PICTURES / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


build = _load_build()


@pytest.fixture(scope="module")
def page() -> str:
    return build.PAGE.read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


@pytest.fixture(scope="module")
def steps(page: str, folder: Path) -> list:
    return build.run_page(page, folder)


def _size(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    header = picture.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:])


def test_page_shows_what_its_blocks_give(steps: list) -> None:
    different = [f"{step.block.text}gives\n{step.output}not\n{step.shown.text}" for step in steps if not step.agrees]
    assert not different, "python docs/tutorial/build.py --write\n" + "\n".join(different)


def test_every_output_that_the_page_shows_is_of_a_block_that_ran(page: str, steps: list) -> None:
    outputs = [block.start for block in build.blocks_of(page) if block.language == "text"]
    assert outputs == [step.shown.start for step in steps if step.shown is not None]
    assert all(step.shown.text for step in steps if step.shown is not None)
    # fences that the parser does not know would be neither run nor compared
    assert page.count("```") == 2 * len(build.blocks_of(page))


def test_pictures_are_those_that_the_blocks_make(page: str, steps: list, folder: Path) -> None:
    shown = build.pictures_of(page)
    assert shown
    assert sorted(shown) == sorted(path.name for path in PICTURES.glob("*.png"))
    assert len(shown) == page.count("![")
    for name in shown:
        stored, made = _size(PICTURES / name), _size(build.made_picture(name, folder))
        # texts have other widths with other fonts
        assert stored == pytest.approx(made, rel=0.05), name


def test_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in PICTURES.glob("*.png")) < 1_000_000


def test_links_lead_to_files_and_headings(page: str) -> None:
    headings = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in re.findall(r"^#+ (.*)$", page, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", page):
        name, _, heading = target.partition("#")
        assert not name or (DOCS / name).is_file(), target
        assert not heading or heading in headings, target


def test_most_causal_genes_are_found_and_few_others(steps: list) -> None:
    found = re.search(r"any test: (\d+) of (\d+) causal genes found, (\d+) other", steps[-1].output)
    assert found is not None
    n_found, n_causal, n_others = map(int, found.groups())
    assert n_found >= 0.75 * n_causal
    assert n_others <= 0.1 * n_found


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
def test_filtered_fileset_is_that_of_plink2(steps: list, folder: Path, tmp_path: Path) -> None:
    build.filtered_fileset(folder / "trees.vcf.gz", tmp_path / "trees")
    for name in ("trees.bed", "trees.bim", "trees.fam"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_page_runs_without_plink2(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    before_the_sweep = page[: page.index("## 3.")]
    steps = build.run_page(before_the_sweep, tmp_path)
    assert (tmp_path / "trees.bed").is_file()
    assert not (tmp_path / "trees.log").exists()
    assert all(step.agrees for step in steps)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("17 hits", "18 hits"),
        ("GIF 1.204", "GIF 1.206"),
        ("p 2.3e-16", "p 2.5e-16"),
        ("p 2.3e-05", "p 2.3e-06"),
        ("tree114", "tree113"),
        ("g1087 rain", "g1087 joint"),
        ("one\ntwo", "one"),
        ("threads: 2\nSNPs: 5", "threads: 8\nSNPs: 6"),
    ],
)
def test_same_output_sees_a_difference(shown: str, output: str) -> None:
    assert not build.same_output(shown, output)


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("GIF 1.204", "GIF 1.205"),
        ("largest residual 8.8e-16", "largest residual 1.1e-15"),
        ("a   1.5\n", "a 1.5"),
        ("threads:  2\npeak memory:  69 MiB of 1\nSNPs: 5", "threads:  8\npeak memory:  71 MiB of 2\nSNPs: 5"),
    ],
)
def test_same_output_lets_rounding_and_the_machine_pass(shown: str, output: str) -> None:
    assert build.same_output(shown, output)


def test_with_outputs_replaces_only_what_differs(tmp_path: Path) -> None:
    page = "```sh\necho 1.5\n```\n```text\n1.4\n```\n\n```sh\necho 7\n```\n```text\n8\n```\nend\n"
    steps = build.run_page(page, tmp_path)
    assert [step.agrees for step in steps] == [True, False]
    assert build.with_outputs(page, steps) == page.replace("8", "7")
    assert build.with_outputs(page, steps, every=True) == page.replace("8", "7").replace("1.4", "1.5")


def test_run_page_says_which_block_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3 of\n(.|\n)*exit 3\n(.|\n)*said"):
        build.run_page("```sh\necho said\nexit 3\n```\n", tmp_path)


def test_simulation_is_the_same_each_time(steps: list, folder: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, PICTURES / "simulate.py"], cwd=tmp_path, check=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 6
    for name in names:
        # a .gz holds the time at which it was written
        read = gzip.open if name.endswith(".gz") else open
        with read(tmp_path / name, "rb") as again, read(folder / name, "rb") as first:
            assert again.read() == first.read(), name

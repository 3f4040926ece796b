"""The three quickstarts of the documentation: their blocks run in order, and find what was simulated."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
DOCS = Path(__file__).parent.parent / "docs"


def run_page(name: str, folder: Path) -> list:
    """Run the blocks of a page as those of the tutorial, and compare the outputs that it shows."""
    spec = importlib.util.spec_from_file_location("quickstart_build", DOCS / "tutorial" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = build
    spec.loader.exec_module(build)
    steps: list = build.run_page((DOCS / name).read_text(encoding="utf-8"), folder)
    assert [step.output for step in steps if not step.agrees] == []
    return steps


def record_of(folder: Path, out: str) -> dict:
    record: dict = json.loads((folder / f"{out}.lfmm2.json").read_text())
    return record


def test_landscape_quickstart_finds_the_causal_genes(tmp_path: Path) -> None:
    run_page("start-landscape.md", tmp_path)
    record = record_of(tmp_path, "first")
    assert record["factors"]["K"] == 3
    assert all(found >= 10 for found in record["discoveries"].values())
    assert (tmp_path / "first.report.html").is_file()
    assert len((tmp_path / "first.hits.tsv").read_text().splitlines()) > 10


def test_ewas_quickstart_finds_the_features_that_follow_smoking(tmp_path: Path) -> None:
    run_page("start-ewas.md", tmp_path)
    hits = [line.split("\t") for line in (tmp_path / "ewas.hits.tsv").read_text().splitlines()]
    found = {row[hits[0].index("ID")] for row in hits[1:]}
    causal = {f"cg{i:06d}" for i in range(10)}
    assert len(found & causal) >= 9
    assert len(found - causal) <= 2


def test_biobank_quickstart_plans_runs_and_verifies(tmp_path: Path) -> None:
    steps = run_page("start-biobank.md", tmp_path)
    assert "peak memory:" in steps[1].output
    assert "as written" in steps[2].output
    assert pq.read_metadata(tmp_path / "results.env1.parquet").num_rows == 20_000

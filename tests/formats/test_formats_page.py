"""The page on foreign formats: its blocks run in order, and its table has every format."""

from __future__ import annotations

import gzip
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_genotypes import dosage_vcf_text, simulate, vcf_text
from made_zarr import write_zarr

import lfmm2
from lfmm2.formats import ENDINGS
from lfmm2.formats.kinds import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning", "ignore::UserWarning")
def test_blocks_of_the_page_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    truth = simulate(60, 400)
    Path("plants.vcf.gz").write_bytes(gzip.compress(vcf_text(truth).encode()))
    values = np.random.default_rng(3).standard_normal(60).round(3).tolist()
    Path("climate.csv").write_text("ID,temp\n" + "".join(f"{i},{v}\n" for i, v in zip(truth.iid, values, strict=True)))
    Path("imputed.vcf.gz").write_bytes(gzip.compress(dosage_vcf_text(truth).encode()))
    has_zarr = importlib.util.find_spec("zarr") is not None
    if has_zarr:
        write_zarr(truth, "plants.vcz")
    command = str(Path(sys.executable).with_name("lfmm2"))
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["sh", "sh", "sh", "python", "sh", "sh", "sh"]
    for kind, text in blocks:
        if kind == "python":
            exec(text, {})
            continue
        for line in text.splitlines():
            program, *arguments = line.split()
            assert program == "lfmm2"
            if "--zarr" in arguments and not has_zarr:
                continue
            subprocess.run([command, *arguments], check=True, capture_output=True)
    assert "'multiallelic': " in capsys.readouterr().out
    assert Path("plants.report.html").stat().st_size > 10_000
    assert Path("plants.hits.tsv").exists()
    assert not list(Path().glob("*.genotypes.*"))
    # The store lacks the last record of the VCF, which has no GT, so both have the same SNPs.
    if has_zarr:
        assert np.array_equal(lfmm2.read_results("plants-zarr").t, lfmm2.read_results("plants").t, equal_nan=True)


def test_page_has_every_format():
    assert all(f"`{end}`" in PAGE for end in ENDINGS if not end.startswith((".vcf", ".bcf")))
    table = [row for row in PAGE.splitlines() if row.startswith("|")]
    assert len(table) - 2 == len(KINDS) - 1  # VCF and BCF share a row

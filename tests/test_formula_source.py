"""The seam of genotype sources: 10⁶ SNPs that are computed and stored nowhere go through everything."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

import lfmm2
from lfmm2.cli.program import cli
from lfmm2.files import Samples
from lfmm2.genotypes import VARIANT_SCHEMA, NumberSource
from lfmm2.genotypes.source_kinds import KINDS_OF_FILE
from lfmm2.testing import check_genotype_source

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

N, P, EVERY = 40, 1_000_000, 50_000
FOLLOWERS = {f"f{number}" for number in range(7, P, EVERY)}


class FormulaSource(NumberSource):
    """Dosages with one axis of structure; each `EVERY`-th SNP follows the variable."""

    name = "the formula"
    ploidy = 2

    def __init__(self, n_samples=N, n_snps=P):
        self.n_samples, self.n_snps = n_samples, n_snps
        self.samples = Samples(("0",) * n_samples, tuple(f"s{row}" for row in range(n_samples)))

    def read(self, samples, snps):
        share = 0.5 + 0.2 * np.outer(np.cos(snps), np.cos(samples))
        share[snps % EVERY == 7] = 0.5 + 0.49 * variable_of(samples)
        chance = 1e5 * np.sin(np.add.outer(0.7390851 * snps, 31.7 * samples)) % 1
        dosage = 1.0 * (chance < share**2) + (chance < 1 - (1 - share) ** 2)
        dosage[(snps[:, None] + 17 * samples) % 101 == 0] = np.nan
        return dosage

    def iter_variants(self):
        for first in range(0, self.n_snps, 100_000):
            numbers = np.arange(first, min(first + 100_000, self.n_snps))
            ids = [f"f{number}" for number in numbers.tolist()]
            chromosomes = (1 + numbers * 5 // self.n_snps).astype(str)
            letters = ([letter] * len(numbers) for letter in "AC")
            columns = [chromosomes, numbers + 1, ids, *letters]
            yield pa.table([pa.array(column) for column in columns], schema=VARIANT_SCHEMA)

    def identity(self):
        return {"(formula)": f"{self.n_samples} × {self.n_snps}"}


def variable_of(samples):
    """The variable of some samples, from -1 to 1 and not along the axis of structure."""
    return np.cos(2.5 * samples + 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formula")
    table = pd.DataFrame({"rain": variable_of(np.arange(N))}, index=[f"s{row}" for row in range(N)])
    table.iloc[::-1].to_csv(folder / "env.csv", index_label="IID")
    (folder / "dosages.formula").write_text(f"{N} {P}")
    return folder


@pytest.fixture(scope="module")
def result(folder):
    """A run of the function, whose files lie at the prefix f."""
    return lfmm2.run(None, FormulaSource(), folder / "env.csv", K=1, out=folder / "f", est_rate=0.02, seed=1)


def test_the_formula_keeps_the_rules():
    check_genotype_source(FormulaSource(n_snps=20_000))


def test_results_are_those_of_the_formula(result, folder):
    stored = lfmm2.read_results(folder / "f")
    table = stored.table("rain")
    assert len(table) == P
    assert table["ID"][P - 1].as_py() == f"f{P - 1}"
    assert sorted(set(table["CHROM"].to_pylist())) == list("12345")
    snps = np.array([7, 123_456, P - 1])
    dosage = FormulaSource().read(np.arange(N), snps).T
    means = np.nanmean(dosage, axis=0)
    assert np.array_equal(stored.n_called[snps], (~np.isnan(dosage)).sum(axis=0))
    assert np.allclose(stored.frequency[snps], means / 2, rtol=0, atol=1e-15)
    design = np.column_stack([variable_of(np.arange(N)), np.ones(N), result.factors.U])
    effects, *_ = np.linalg.lstsq(design, np.where(np.isnan(dosage), means, dosage), rcond=None)
    assert np.allclose(stored.beta[snps, 0], effects[0], rtol=1e-9)


def test_chosen_snps_of_the_formula_are_found(folder):
    few = [f"f{number}" for number in range(3, P, 2000)]
    result = lfmm2.run(None, FormulaSource(), folder / "env.csv", K=1, extract=few)
    assert result.table("rain")["ID"].to_pylist() == few
    with pytest.raises(lfmm2.UsageError, match="maf applies to hard calls, but the formula gives numbers"):
        lfmm2.run(None, FormulaSource(), folder / "env.csv", K=1, maf=0.1)


def test_hits_of_the_formula_are_the_snps_that_follow_the_variable(result, folder):
    hits = lfmm2.find_hits(folder / "f", fdr=0.05)
    assert set(hits["ID"].to_pylist()[: len(FOLLOWERS)]) == FOLLOWERS


def test_record_and_log_name_the_formula(result, folder):
    record = json.loads((folder / "f.lfmm2.json").read_text())
    described = {"source": "the formula", "n_samples": N, "n_snps": P}
    assert record["tested"] == {"n_samples_used": N, "n_snps_used": P, **described}
    assert record["estimation"] == {"n_samples_used": N, "n_snps_used": P // 50, **described}
    assert record["identity"]["genotypes (formula)"] == f"{N} × {P}"
    assert [item["path"] for item in record["inputs"]] == [str(folder / "env.csv")]
    assert "1 000 000" in (folder / "f.lfmm2.log").read_text()
    assert lfmm2.verify(folder / "f") is not False


def test_report_shows_the_formula(result, folder):
    pytest.importorskip("matplotlib")
    paths = lfmm2.write_report(folder / "f")
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_command_line_runs_the_formula(folder, monkeypatch):
    def open_formula(path):
        return FormulaSource(*map(int, path.read_text().split()))

    monkeypatch.setitem(KINDS_OF_FILE, ".formula", open_formula)
    (folder / "few").write_text("".join(f"f{number}\n" for number in range(7, P, 500)))
    arguments = ["run", "--bed", folder / "dosages.formula", "--env", folder / "env.csv", "-K", 1]
    arguments += ["--extract", folder / "few", "--out", folder / "c"]
    for more, exists in ((["--dry-run"], False), ([], True)):
        ended = CliRunner().invoke(cli, [*map(str, arguments), *more], catch_exceptions=False)
        assert ended.exit_code == 0
        assert "SNPs to test:     2 000 of 1 000 000" in ended.output
        assert "counted allele" not in ended.output
        assert (folder / "c.rain.parquet").exists() == exists
    assert set(lfmm2.find_hits(folder / "c")["ID"].to_pylist()[: len(FOLLOWERS)]) == FOLLOWERS
    record = json.loads((folder / "c.lfmm2.json").read_text())
    assert record["tested"]["n_snps_used"] == P // 500

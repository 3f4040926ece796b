"""The record: strict JSON with all that repeats and judges a run, and a log to read."""

import json

import numpy as np
import pytest

import lfmm2
from lfmm2.process.versions import software
from lfmm2.results.record import as_json
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning", "ignore::lfmm2.errors.InputWarning")


def strict(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    record = json.loads(text, parse_constant=refuse)
    assert len(record.pop("sha256")) == 64
    return record


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on some of the samples and SNPs of a fileset, its record and its log."""
    folder = tmp_path_factory.mktemp("record")
    data = simulate(folder / "d", n_samples=80, n_snps=600, n_causal=3, seed=4)
    iids = [line.split()[1] for line in data.fam.read_text().splitlines()]
    (folder / "keep").write_text("\n".join(iids[:70]))
    result = lfmm2.run(
        None, data.bed, data.env, 2, out=folder / "r", keep=folder / "keep", maf=0.1, est_rate=0.5, solver="krylov"
    )
    return data, result, strict((folder / "r.json").read_text()), (folder / "r.log").read_text()


def test_record_names_inputs_with_their_sizes(run):
    data, _, record, _ = run
    sizes = {entry["path"]: entry["bytes"] for entry in record["inputs"]}
    assert set(sizes) == {str(p) for p in (data.bed, data.bim, data.fam, data.env, data.bed.with_name("keep"))}
    assert sizes[str(data.env)] == data.env.stat().st_size


def test_record_counts_samples_and_snps_in_and_out(run):
    _, result, record, log = run
    tested = record["tested"]
    assert (tested["n_samples"], tested["n_samples_used"], tested["n_snps"]) == (80, 70, 600)
    assert tested["n_snps_used"] == len(result.t) == sum(record["status"].values())
    assert record["estimation"]["n_snps_used"] == round(0.5 * len(result.t)) == result.factors.n_snps
    assert "70 of 80" in log
    assert f"{len(result.t)} of 600" in log


def test_record_holds_certificate_inflation_and_passes(run):
    _, result, record, log = run
    assert record["factors"]["solver"] == "krylov"
    assert record["factors"]["converged"] is True
    assert record["factors"]["residuals"] == result.factors.residuals.tolist()
    assert record["gif"] == dict(zip(result.variables, result.gif.tolist(), strict=True))
    labels = [entry["label"] for entry in record["passes"]]
    assert labels[0] == "filters"
    assert labels[-1] == "tests"
    assert len(labels) == result.factors.n_passes + 2
    assert all(entry["seconds"] > 0 for entry in record["passes"])
    assert f"GIF of env1:      {result.gif[0]:.4f}" in log


def test_record_holds_versions_command_and_parameters(run):
    record = run[2]
    assert record["command"] == "lfmm2.run"
    assert {"lfmm2", "python", "numpy", "scipy", "pyarrow", "blas", "machine"} <= set(record["software"])
    assert record["software"] == software()
    wanted = {
        "K": 2,
        "lambda": 1e-5,
        "solver": "krylov",
        "maf": 0.1,
        "est_rate": 0.5,
        "df": "paper",
        "format": "parquet",
    }
    assert wanted.items() <= record["parameters"].items()


def test_as_json_has_no_nan_and_takes_numpy():
    record = {"a": float("nan"), "b": [np.inf, np.float64(2.5)], "c": {"d": np.int64(3), 4: (np.bool_(True), None)}}
    assert strict(as_json(record)) == {"a": None, "b": [None, 2.5], "c": {"d": 3, "4": [True, None]}}


def test_as_json_takes_paths_that_are_no_utf8():
    assert strict(as_json({"a": "x\udcff"}).decode().replace("\\udcff", "?")) == {"a": "x?"}


def test_warnings_are_in_record_and_log(tmp_path):
    data = simulate(tmp_path / "d", n_samples=60, n_snps=800, n_causal=0, n_variables=1, seed=1)
    with pytest.warns(lfmm2.CalibrationWarning):
        lfmm2.run(None, data.bed, np.sort(np.random.default_rng(0).standard_normal(60)), 1, out=tmp_path / "r")
    record = strict((tmp_path / "r.json").read_text())
    assert "genomic inflation factor" in record["warnings"][0]
    assert f"Warning: {record['warnings'][0]}" in (tmp_path / "r.log").read_text()


def test_array_genotypes_are_described(tmp_path):
    rng = np.random.default_rng(0)
    lfmm2.run(None, rng.standard_normal((50, 300)), rng.standard_normal(50), 2, out=tmp_path / "r")
    record = strict((tmp_path / "r.json").read_text())
    assert record["tested"]["array"] == [50, 300]
    assert record["plan"]["n_bytes_read"] == 0

"""The record: strict JSON with all that repeats and judges a run, and a log to read."""

import copy
import functools
import json
import operator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import lfmm2
from lfmm2._words import with_error
from lfmm2.files import read_record, seal_json
from lfmm2.process.versions import software
from lfmm2.results.record import RunRecord
from lfmm2.results.run_log import as_log
from lfmm2.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning", "ignore::lfmm2.errors.InputWarning")

DATA = Path(__file__).parents[1] / "data" / "record"
EXAMPLES = ("sweep", "array")  # with every stage; and with as few as possible, of an array


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
    return data, result, strict((folder / "r.lfmm2.json").read_text()), (folder / "r.lfmm2.log").read_text()


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
    assert f"GIF of env1:      {with_error(result.gif[0], result.gif_se[0])}\n" in log


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
        "df": "intercept",
        "format": "parquet",
    }
    assert wanted.items() <= record["parameters"].items()


@pytest.mark.parametrize("name", EXAMPLES)
def test_bytes_of_stored_records_and_logs_are_made_again(name):
    record = RunRecord.from_json(read_record(DATA / f"{name}.json"))
    assert seal_json(record.to_json()) == (DATA / f"{name}.json").read_bytes()
    log = (DATA / f"{name}.log").read_bytes()
    plan = log.decode().split("\n\n")[2]
    assert as_log(record, plan) == log


@pytest.mark.parametrize("name", EXAMPLES)
def test_record_is_the_same_from_json(name):
    entries = read_record(DATA / f"{name}.json")
    assert list(entries) == [of.name for of in fields(RunRecord) if of.name != "others"]
    record = RunRecord.from_json(entries)
    assert record.to_json() == entries
    # NaN is not equal to itself
    assert repr(RunRecord.from_json(record.to_json())) == repr(record)


def test_record_of_a_run_has_the_keys_of_the_stored_one_in_their_order(run):
    def keys(entries):
        return [(name, keys(part) if isinstance(part, dict) else None) for name, part in entries.items()]

    stored = read_record(DATA / "sweep.json")
    for name in ("software", "parameters", "estimation", "tested", "factors", "filters", "status", "plan"):
        assert keys(run[2][name]) == keys(stored[name])
    assert list(run[2]) == list(stored)
    assert list(run[2]["passes"][0]) == list(stored["passes"][0])


def places(kind, value, where=""):
    """Every place of a record whose type is known: its keys, its type, and its name in messages."""
    inner = {}
    if is_dataclass(kind):
        types = get_type_hints(kind)
        named = [of.name for of in fields(kind) if of.name in value]
        inner = {name: (types[name], f"{where}.{name}".lstrip(".")) for name in named}
    elif get_origin(kind) is dict:
        inner = {name: (get_args(kind)[1], f"{where}.{name}") for name in value}
    elif get_origin(kind) is list:
        inner = {i: (get_args(kind)[0], f"{where}[{i}]") for i in range(len(value))}
    for key, (of, name) in inner.items():
        if of is Any:
            continue
        yield [key], of, name
        known = get_args(of)[0] if isinstance(of, UnionType) else of
        if value[key] is not None:
            yield from (([key, *more], deeper, text) for more, deeper, text in places(known, value[key], name))


ENTRIES = read_record(DATA / "sweep.json")
PLACES = list(places(RunRecord, ENTRIES))
WRONG = {
    str: ([5, None, ["a"]], "not text"),
    int: (["5", 1.5, True, -1, None], "not a whole number from 0 on"),
    float: (["5", True, [1.0]], "not a number"),
    bool: ([1, "true", None], "not true or false"),
    list: ([{}, "a", None], "not a list"),
    dict: ([[], "a", None], "not an object"),
}


def with_part(keys, change):
    entries = copy.deepcopy(ENTRIES)
    part = entries
    for key in keys[:-1]:
        part = part[key]
    change(part, keys[-1])
    return entries


@pytest.mark.parametrize(("keys", "kind", "name"), PLACES, ids=[name for *_, name in PLACES])
def test_another_type_is_malformed_and_named(keys, kind, name):
    optional = isinstance(kind, UnionType)
    kind = get_args(kind)[0] if optional else kind
    values, fact = WRONG[dict if is_dataclass(kind) else get_origin(kind) or kind]
    for value in values:
        entries = with_part(keys, lambda part, key, value=value: operator.setitem(part, key, value))
        if optional and value is None:
            assert RunRecord.from_json(entries).to_json() == entries
            continue
        with pytest.raises(lfmm2.MalformedInputError) as caught:
            RunRecord.from_json(entries, "r.json")
        shown = json.dumps(value)
        assert str(caught.value) == f"r.json: {name} is {shown}, {fact}; no record as lfmm2 writes it, run again"


def test_types_of_the_fields_are_those_of_a_stored_record():
    for keys, kind, name in PLACES:
        value = functools.reduce(operator.getitem, keys, ENTRIES)
        known = get_args(kind)[0] if isinstance(kind, UnionType) else kind
        if known in (str, int, float, bool) and value is not None:
            assert type(value) is known, name


@pytest.mark.parametrize("name", [of.name for of in fields(RunRecord) if of.name != "others"])
def test_absent_entry_is_malformed_and_named(name):
    with pytest.raises(lfmm2.MalformedInputError, match=f"^the record: {name} is absent; no record"):
        RunRecord.from_json(with_part([name], operator.delitem))


def test_absent_entry_of_a_part_is_named_with_the_part():
    entries = with_part(["calibration", "variables", "env1", "sd"], operator.delitem)
    with pytest.raises(lfmm2.MalformedInputError, match=r"calibration\.variables\.env1\.sd is absent"):
        RunRecord.from_json(entries)


@pytest.mark.parametrize("keys", [["df"], ["scree", "bulk_edge"], ["factors", "residuals", 1]])
def test_numbers_beyond_any_are_malformed(keys):
    entries = with_part(keys, lambda part, key: operator.setitem(part, key, 10**400))
    with pytest.raises(lfmm2.MalformedInputError, match=r"is 10{58}…, beyond any that a run has"):
        RunRecord.from_json(entries)


def test_numbers_that_are_null_are_not_defined():
    entries = with_part(["gif", "env1"], lambda part, key: operator.setitem(part, key, None))
    record = RunRecord.from_json(entries)
    assert np.isnan(record.gif["env1"])
    assert record.to_json()["gif"]["env1"] is None


def test_entries_of_another_version_are_kept():
    entries = ENTRIES | {"weather": {"rain": [1, None]}}
    record = RunRecord.from_json(entries)
    assert record.others == {"weather": {"rain": [1, None]}}
    assert record.to_json() == entries


def test_json_of_a_record_has_no_nan_and_takes_numpy():
    odd = {"a": float("nan"), "b": [np.inf, np.float64(2.5)], "c": {"d": np.int64(3), 4: (np.bool_(True), None)}}
    entries = replace(RunRecord.from_json(ENTRIES), parameters=odd).to_json()
    expected = {"a": None, "b": [None, 2.5], "c": {"d": 3, "4": [True, None]}}
    assert strict(seal_json(entries))["parameters"] == expected


def test_json_of_a_record_takes_paths_that_are_no_utf8():
    text = seal_json(replace(RunRecord.from_json(ENTRIES), command="x\udcff").to_json()).decode()
    assert strict(text.replace("\\udcff", "?"))["command"] == "x?"


def test_warnings_are_in_record_and_log(tmp_path):
    data = simulate(tmp_path / "d", n_samples=60, n_snps=4000, n_causal=0, n_variables=1, seed=1)
    with pytest.warns(lfmm2.CalibrationWarning):
        lfmm2.run(None, data.bed, np.sort(np.random.default_rng(0).standard_normal(60)), 1, out=tmp_path / "r")
    record = strict((tmp_path / "r.lfmm2.json").read_text())
    assert any("genomic inflation factor" in text for text in record["warnings"])
    log = (tmp_path / "r.lfmm2.log").read_text()
    assert all(f"Warning: {text}" in log for text in record["warnings"])


def test_array_genotypes_are_described(tmp_path):
    rng = np.random.default_rng(0)
    lfmm2.run(None, rng.standard_normal((50, 300)), rng.standard_normal(50), 2, out=tmp_path / "r")
    record = strict((tmp_path / "r.lfmm2.json").read_text())
    assert record["tested"]["array"] == [50, 300]
    assert record["plan"]["n_bytes_read"] == 0

"""Arguments of any type, to every function: an LfmmError that says what to give, never a TypeError from within."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2._checks import is_flag, is_number, is_path, is_whole, quoted
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.pipeline.options import OPTIONS, TABLE

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


ANY = [
    "0.1", "", b"x", True, -1, 0, 2.5, float("nan"), float("inf"), 10**400, 1j, object(), [], [1],
    ["a", 1], [None], [[]], (), {}, set(), np.array([1, 2]), np.array(0.1), np.bool_(True), "a\0b", "\ud800", "a\nb",
    "x" * 5000, Path("a\0b"), print, int, range(3), pd.NA, np.datetime64(0, "s"), np.ma.masked, slice(1),
    pd.DataFrame(), pd.Series([1.0]),
]  # fmt: skip


class Accepted(Exception):
    pass


def outcome(call: Callable[[], object]) -> None:
    """Call a function, which may do what it should or raise an LfmmError."""
    with contextlib.suppress(lfmm2.LfmmError, Accepted):
        call()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [option.name for option in TABLE if option.functions])
def test_option_of_any_type(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute_run(prepared: Any) -> None:
        prepared.inputs.close()
        raise Accepted

    monkeypatch.setattr("lfmm2.api.execute_run", execute_run)
    base = {"est_bed": None, "full_bed": "d", "X": "env.csv", "K": 2, "n_threads": 1}
    for value in ANY:
        outcome(lambda value=value: lfmm2.run(**(base | {name: value})))  # type: ignore[misc]


@pytest.mark.usefixtures("folder")
def test_other_functions_with_arguments_of_any_type() -> None:
    lfmm2.run(None, "d", "env.csv", 2, out="r", n_threads=1)
    calls: list[Callable[[Any], object]] = [
        lfmm2.verify,
        lfmm2.read_results,
        lfmm2.read_factors,
        lfmm2.open_bed,
        lambda v: lfmm2.PackedBed(v, 2, 2),
        lambda v: lfmm2.estimate_factors("d", "env.csv", v),
        lambda v: lfmm2.test_associations("d", "env.csv", v),
        *(lambda v, n=n: lfmm2.find_hits("r", **{n: v}) for n in ("fdr", "by", "clump", "variables")),
        *(
            lambda v, n=n: lfmm2.genetic_offset(**({"results": "r", "env": None, "new_env": "env.csv"} | {n: v}))
            for n in ("results", "env", "new_env", "effects", "loci", "joint", "scale", "missing_code", "progress")
        ),
        *(
            lambda v, n=n: lfmm2.simulate(**({"out": "s", "n_samples": 9, "n_snps": 9, "n_causal": 1} | {n: v}))
            for n in ("n_samples", "n_snps", "n_variables", "n_causal", "missing_rate", "fst", "seed", "overwrite")
        ),
    ]
    for call in calls:
        for value in ANY:
            outcome(lambda call=call, value=value: call(value))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("rule", "fits", "others"),
    [
        (is_flag, [True, np.False_], [1, "yes", None, np.array(True)]),
        (is_number, [1, 0.5, np.float32(1), np.int8(1), float("inf")], [True, "1", None, 1j, 10**400, np.array(1.0)]),
        (is_whole, [1, np.int64(1), 10**400], [True, 1.0, "1", np.True_]),
        (is_path, ["a", Path("a"), "é", "", "\udce9"], [b"a", 1, None, "a\0", "\ud800", Path("a\0")]),
    ],
)
def test_rules_of_types(rule: Callable[[object], bool], fits: list[object], others: list[object]) -> None:
    assert [rule(value) for value in fits] == [True] * len(fits)
    assert [rule(value) for value in others] == [False] * len(others)


def test_values_are_quoted_on_one_short_line() -> None:
    assert quoted("a\n b") == r"'a\n b'"
    assert quoted(Unprintable()) == "a value of the type Unprintable"
    assert len(quoted("x" * 999)) == 60
    assert "\n" not in quoted(pd.DataFrame({"a": [1, 2]}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maf", np.float32(0.1)), ("maf", 0), ("seed", np.int64(3)), ("intersect", np.False_), ("variables", ["x"]),
        ("keep", ["a.txt", Path("b.txt")]), ("extract", pd.Index(["rs1"])), ("extract", np.array(["rs1", "rs2"])),
        ("extract", {1, 2}), ("extract", [Path("a"), Path("b")]), ("out", Path("r")), ("out", "results é"),
        ("maf", None),
    ],
)  # fmt: skip
def test_sound_arguments_pass(name: str, value: object) -> None:
    OPTIONS[name].check(value)


def test_number_in_the_place_of_the_variables() -> None:
    Y, x = np.zeros((9, 9)), np.arange(9.0)
    for wrong in (lambda: lfmm2.run(Y, x, 5), lambda: lfmm2.run(Y, x, np.int64(5))):
        with pytest.raises(lfmm2.UsageError, match=r"write lfmm2\.run\(Y=genotypes, X=variables, K=.*5\)?\)$"):
            wrong()


# What cannot be read again as it was written.
SOUND: dict[str, Any] = {
    "iid": ["a", "b", "c"], "fid": ["f", "f", "g"], "snp_ids": ["x", "y"], "chromosomes": [1, "X"],
    "positions": [5, 6], "alleles": [("A", "G"), ("0", "T")],
}  # fmt: skip
WORDS = ["", "a b", "a\tb", "a\nb", "a\0b", "a\x1fb", "\x1b[2J", "\u2028", "\xa0", "\ud800", None, 1.5, b"a", ["a"]]


@pytest.mark.parametrize("name", ["iid", "fid", "snp_ids", "chromosomes"])
@pytest.mark.parametrize("value", WORDS, ids=ascii)
def test_fileset_with_a_name_that_cannot_be_read_is_not_written(tmp_path: Path, name: str, value: object) -> None:
    columns = copy.deepcopy(SOUND)
    columns[name][1] = value
    with pytest.raises(lfmm2.UsageError, match=rf"^{name}: number 1 .*; give at least one letter, and no blanks"):
        write_plink(tmp_path / "d", [[0, 1, 2], [2, 1, 0]], **columns)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "column", "match"),
    [
        ("positions", [5, -1], r"^positions: number 1 .* is -1; give a whole number from 0 to 2 147 483 646"),
        ("positions", [5, 2**31], "^positions: number 1"),
        ("positions", [5, 1.5], "^positions: number 1"),
        ("positions", [5, "6"], "^positions: number 1"),
        ("positions", [5, True], "^positions: number 1"),
        ("alleles", [("A", "G"), ("A", "G T")], r"^alleles \(A2\): number 1"),
        ("alleles", [("A", "G"), ("", "G")], r"^alleles \(A1\): number 1"),
        ("alleles", [("A", "G"), ("A",)], "^alleles has .*; give A1 and A2 of each SNP"),
        ("alleles", [("A", "G"), 5], "^alleles has 5; give A1 and A2 of each SNP"),
        ("iid", ["a", "a", "c"], "^f a: FID and IID stand for several samples; give each sample its own IID"),
        ("fid", ["FID", "f", "g"], "^the first fid is 'FID', as in a header, .*; rename it"),
    ],
)
def test_fileset_that_cannot_be_read_is_not_written(tmp_path: Path, name: str, column: list[Any], match: str) -> None:
    with pytest.raises(lfmm2.UsageError, match=match):
        write_plink(tmp_path / "d", [[0, 1, 2], [2, 1, 0]], **(SOUND | {name: column}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_fileset_of_nothing_is_not_written(tmp_path: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(lfmm2.UsageError, match="no samples or no SNPs"):
        write_plink(tmp_path / "d", np.zeros(shape))


@pytest.mark.parametrize("value", [3, -2, 0.5, 9, np.inf])
def test_dosage_that_is_none_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(lfmm2.UsageError, match="at SNP 1, sample 2"):
        write_plink(tmp_path / "d", [[0, 1, 2], [2, 1, value]])


@pytest.mark.parametrize("value", ["é", "東京", "a-b.c:1_2", '"q"', "'", "#1", "a,b", "IID", "-9", "0", "NA", 7])
def test_fileset_with_odd_but_sound_names_is_read_as_it_was_written(tmp_path: Path, value: str | int) -> None:
    columns = copy.deepcopy(SOUND)
    for name in ("iid", "fid", "snp_ids", "chromosomes"):
        columns[name][1] = value
    with lfmm2.open_bed(write_plink(tmp_path / "d", [[0, 1, 2], [2, 1, 0]], **columns)) as bed:
        assert bed.samples.iid == ("a", str(value), "c")
        assert bed.samples.fid[1] == str(value)
        assert bed.variants()["ID"].to_pylist() == ["x", str(value)]
        assert bed.variants()["CHROM"].to_pylist() == ["1", str(value)]

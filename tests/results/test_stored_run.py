"""`StoredRun`: results read block by block, in every format, and every way in which they can be other than written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_records import changed, record_entries, seal_again
from stored_results import COLUMNS, variants, write_results

import lfmm2
from lfmm2.files.seals import read_record, seal_json
from lfmm2.files.table_files import read_columns
from lfmm2.results.file_names import FIXED_ENDINGS, SMALL_ENDINGS
from lfmm2.results.stored_record import find_record
from lfmm2.results.stored_run import BLOCK_ROWS, StoredRun, open_run
from lfmm2.results.tables import column_types
from lfmm2.simulation import simulate

FORMATS = ["parquet", "tsv", "tsv.gz", "tsv.zst"]
N_LONG = 2 * BLOCK_ROWS + 5


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a real run in each format, prefix p.<format>."""
    folder = tmp_path_factory.mktemp("stored")
    data = simulate(folder / "d", n_samples=60, n_snps=500, n_causal=3, seed=4)
    for form in FORMATS:
        lfmm2.run(None, data.bed, data.env, 2, out=folder / f"p.{form}", format=form, loadings=True)
    return folder


@pytest.fixture(scope="module")
def long_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two blocks and five rows, prefixes p (Parquet), g (in other row groups), t (text)."""
    folder = tmp_path_factory.mktemp("long")
    table = {"BETA": np.arange(N_LONG, dtype=float)}
    write_results(folder / "p", {"v": table})
    write_results(folder / "g", {"v": table}, group_rows=100_000)
    write_results(folder / "t", {"v": table}, form="tsv")
    return folder


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["env1", "joint", "loadings"])
def test_blocks_are_the_table(results: Path, form: str, name: str) -> None:
    run = StoredRun(results / f"p.{form}")
    whole = read_columns(results / f"p.{form}.{name}.{form}", types=column_types(run.declared))
    columns = run.columns(name)
    assert list(columns) == whole.column_names
    blocks = list(run.blocks(name, columns, block_rows=130))
    assert [len(block) for block in blocks] == [130, 130, 130, 110]
    assert pa.concat_tables(blocks).combine_chunks().equals(whole.combine_chunks())


@pytest.mark.parametrize("form", FORMATS)
def test_columns_come_as_asked_for_in_one_chunk(results: Path, form: str) -> None:
    run = StoredRun(results / f"p.{form}")
    (block,) = run.blocks("env2", ["Q", "CHROM", "POS"])
    assert block.schema == pa.schema([("Q", pa.float64()), ("CHROM", pa.string()), ("POS", pa.int64())])
    assert [column.num_chunks for column in block.columns] == [1, 1, 1]


@pytest.mark.parametrize("form", FORMATS)
def test_text_may_come_as_dictionaries(results: Path, form: str) -> None:
    run = StoredRun(results / f"p.{form}")
    names = ["CHROM", "ID", "A1", "OMITTED", "STATUS", "BETA"]
    plain = pa.concat_tables(run.blocks("env1", names, block_rows=7)).combine_chunks()
    coded = pa.concat_tables(run.blocks("env1", names, dictionaries=True, block_rows=7), promote_options="default")
    kinds = {name: pa.types.is_dictionary(coded[name].type) for name in names}
    assert kinds == {"CHROM": True, "ID": False, "A1": True, "OMITTED": True, "STATUS": True, "BETA": False}
    assert coded.cast(plain.schema).combine_chunks().equals(plain)


@pytest.mark.parametrize("form", FORMATS)
def test_names_that_read_na_are_names_and_missing_numbers_are_null(tmp_path: Path, form: str) -> None:
    snps = variants(2, ID=["NA", "nan"], CHROM=["NA", '"1"'], A1=["NA", ""])
    write_results(tmp_path / "r", {"v": {"BETA": [np.nan, 1.5]}}, snps=snps, form=form)
    (block,) = StoredRun(tmp_path / "r").blocks("v", ["ID", "CHROM", "A1", "BETA"])
    expected = {"ID": ["NA", "nan"], "CHROM": ["NA", '"1"'], "A1": ["NA", ""], "BETA": [None, 1.5]}
    assert block.to_pydict() == expected


@pytest.mark.parametrize(
    "end", ["", ".lfmm2.json", ".env1.tsv.gz", ".joint.tsv.gz", ".factors.npz", ".lfmm2.log", ".loadings.tsv.gz"]
)
def test_any_file_of_a_run_stands_for_it(results: Path, end: str) -> None:
    run = StoredRun(f"{results / 'p.tsv.gz'}{end}")
    assert run.prefix == results / "p.tsv.gz"
    assert (run.variables, run.tables) == (("env1", "env2"), ("env1", "env2", "joint"))
    assert (run.n_snps, run.n_factors, run.format) == (500, 2, "tsv.gz")
    assert "500 SNPs, K=2, env1, env2" in repr(run)


def test_one_variable_has_no_joint_table(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", {"v": {"BETA": [1.0]}}))
    assert run.tables == ("v",)
    assert run.path("joint") is None
    with pytest.raises(lfmm2.UsageError, match="has no table 'joint'; it has v"):
        run.blocks("joint", ["Q"])


def test_files_by_name(results: Path) -> None:
    run = StoredRun(results / "p.tsv")
    ends = {
        "env1": ".env1.tsv", "joint": ".joint.tsv", "loadings": ".loadings.tsv", "factors": ".factors.npz",
        "log": ".lfmm2.log", "record": ".lfmm2.json",
    }  # fmt: skip
    assert {name: run.path(name) for name in ends} == {name: results / f"p.tsv{end}" for name, end in ends.items()}
    assert run.path("sweep") is None
    assert run.path("other") is None


def test_file_that_no_record_lists_is_refused(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "c")
    (tmp_path / "c" / "p.tsv.strange").write_text("x")
    with pytest.raises(lfmm2.ReadError, match=r"p\.tsv\.strange: no record"):
        StoredRun(tmp_path / "c" / "p.tsv.strange")


@pytest.mark.parametrize("name", ["r", "r.lfmm2.json"])
def test_name_without_results_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(lfmm2.ReadError, match=rf"{name}: no results of this name; give the --out of a run$"):
        StoredRun(tmp_path / name)
    (tmp_path / "r.state").mkdir()
    with pytest.raises(lfmm2.ReadError, match="of a run, or go on with --resume if it was interrupted"):
        StoredRun(tmp_path / name)


def test_folders_and_nothing_are_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").mkdir()
    for name in ("f", "f/", ".", "..", "/"):
        with pytest.raises(lfmm2.ReadError, match=": is a folder; give the --out of a run"):
            StoredRun(name)
    with pytest.raises(lfmm2.UsageError, match="name of the results is empty; give the --out"):
        StoredRun("")
    write_results(tmp_path / "f", {"v": {"BETA": [1.0]}})
    assert StoredRun("f/").prefix == Path("f")


def test_record_that_may_not_be_read_is_not_called_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    for method in ("open", "is_file"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, refuse)
            with pytest.raises(lfmm2.ReadError, match=r"cannot be read \(Permission denied\); check path and disk"):
                StoredRun(tmp_path / "r")


def test_name_too_long_for_the_disk_is_an_error_of_reading(tmp_path: Path) -> None:
    with pytest.raises(lfmm2.ReadError, match=r"cannot be read|no results of this name"):
        StoredRun(tmp_path / ("r" * 300))


def test_copies_under_a_new_prefix_warn_that_the_others_are_read(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})
    for path in list(tmp_path.iterdir()):
        shutil.copy(path, tmp_path / f"x{path.name[1:]}")
    fact = (
        r"x\.lfmm2\.json lists the files of .*r, which are read; keep copies under their own names, in another folder"
    )
    with pytest.warns(lfmm2.InputWarning, match=fact):
        run = StoredRun(tmp_path / "x")
    assert run.path("v") == tmp_path / "r.v.parquet"
    (tmp_path / "r.lfmm2.json").unlink()
    with pytest.warns(lfmm2.InputWarning, match=r"which are read; rename it to .*r\.lfmm2\.json"):
        StoredRun(tmp_path / "x")


def write_as_earlier(folder: Path) -> None:
    """Write results r under the names of version 0.1: r.json and r.log."""
    write_results(folder / "r", {"v": {"BETA": [1.0]}}, small={".log": "log"})
    entries = read_record(folder / "r.lfmm2.json")
    (folder / "r.lfmm2.json").unlink()
    (folder / "r.json").write_bytes(seal_json(entries))


@pytest.mark.parametrize("name", ["r", "r.json", "r.v.parquet", "r.log"])
def test_results_of_an_earlier_version_are_read(tmp_path: Path, name: str) -> None:
    write_as_earlier(tmp_path)
    run = StoredRun(tmp_path / name)
    assert run.prefix == tmp_path / "r"
    assert (run.path("record"), run.path("log")) == (tmp_path / "r.json", tmp_path / "r.log")
    assert len(lfmm2.verify(tmp_path / name)) == 4


@pytest.mark.parametrize("other", ["{}", "no JSON", '{"sha256": "", "files": 3}', '["r.v.parquet"]'])
def test_json_of_another_program_is_not_taken_for_the_record(tmp_path: Path, other: str) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})
    (tmp_path / "r.json").write_text(other)
    assert StoredRun(tmp_path / "r").path("record") == tmp_path / "r.lfmm2.json"
    (tmp_path / "r.lfmm2.json").unlink()
    for name, fact in (("r", "no results of this name"), ("r.v.parquet", "no record")):
        with pytest.raises(lfmm2.ReadError, match=fact):
            StoredRun(tmp_path / name)


def test_result_stands_for_its_files(tmp_path: Path) -> None:
    class Result:
        def __init__(self) -> None:
            self.paths: dict[str, Path] = {}

    prefix = write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})
    result = Result()
    with pytest.raises(lfmm2.UsageError, match="this result was not written to files; give out="):
        open_run(result)
    result.paths = {"v": tmp_path / "r.v.parquet", "record": tmp_path / "r.lfmm2.json"}
    assert open_run(result).prefix == prefix
    run = StoredRun(prefix)
    assert open_run(run) is run
    assert open_run(str(prefix)).prefix == prefix


def test_endings_have_one_home(results: Path) -> None:
    from lfmm2.pipeline import result_files

    run = StoredRun(results / "p.tsv")
    assert all(str(run.path(name)).endswith(f"p.tsv{ending}") for name, ending in FIXED_ENDINGS.items())
    assert result_files.FIXED_ENDINGS == FIXED_ENDINGS
    assert result_files.SMALL_ENDINGS == SMALL_ENDINGS


def test_every_absent_or_shortened_file_is_named(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}, "w": {"BETA": [1.0]}})
    (tmp_path / "r.v.parquet").unlink()
    with (tmp_path / "r.w.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(lfmm2.MalformedInputError, match=r"r\.v\.parquet is absent; r\.w\.parquet has .* bytes, not"):
        StoredRun(tmp_path / "r")


def test_record_of_something_else_is_refused(tmp_path: Path) -> None:
    entries = record_entries(["v"], 1) | {"files": {}}
    for record, fact in (({"files": {}}, "command is absent; no record as lfmm2"), (entries, "lists no factors file")):
        (tmp_path / "r.lfmm2.json").write_bytes(seal_json(record))
        with pytest.raises(lfmm2.MalformedInputError, match=rf"r\.lfmm2\.json: {fact}"):
            StoredRun(tmp_path / "r")


STAMP = {"bytes": 1, "sha256": "0"}
JOINT = record_entries(["v", "w"], 1)["calibration"]["joint"]


@pytest.mark.parametrize(
    ("part", "value", "fact"),
    [
        ("files", {"../r.v.parquet": STAMP}, r"lists '\.\./r\.v\.parquet', which is no name of a file"),
        ("files", {"/etc/passwd": STAMP}, "no name of a file"),
        ("files", {"": STAMP}, "lists '', which is no name"),
        ("files", {"..": STAMP}, "no name of a file"),
        ("files", {"a\0b": STAMP}, "no name of a file"),
        ("files", {"\ud800": STAMP}, "no name of a file"),
        ("files", {"r.v.parquet": 5}, r"files\.r\.v\.parquet is 5, not an object"),
        (
            "files",
            {"r.v.parquet": {"bytes": -1, "sha256": ""}},
            r"r\.v\.parquet\.bytes is -1, not a whole number from 0",
        ),
        ("files", {"r.v.parquet": {"bytes": 1.0, "sha256": ""}}, r"r\.v\.parquet\.bytes is 1\.0, not a whole number"),
        ("files", {"r.v.parquet": {"bytes": 1}}, r"r\.v\.parquet\.sha256 is absent"),
        ("variables", "v", 'variables is "v", not a list'),
        ("variables", [1], r"variables\[0\] is 1, not text"),
        ("variables", None, "variables is null, not a list"),
        ("variables", [""], "it lists no variables"),
        ("variables", ["w"], "its calibration is not of w"),
        ("variables", [], "it lists no variables"),
        ("variables", ["v", "v"], "it lists v twice"),
        ("tested", None, "tested is null, not an object"),
        ("tested", {"n_snps_used": "3"}, 'tested.n_snps_used is "3", not a whole number'),
        ("tested", {"n_snps_used": True}, "tested.n_snps_used is true, not a whole number"),
        ("factors", {"K": -1}, "factors.K is -1, not a whole number from 0 on"),
        ("factors", [], r"factors is \[\], not an object"),
        ("gif", None, "gif is null, not an object"),
        ("gif", {"v": "a"}, 'gif.v is "a", not a number'),
        ("calibration", {"variables": {"v": 5}}, "calibration.variables.v is 5"),
        ("calibration", {"variables": {}}, "its calibration is not of v"),
        (
            "calibration",
            {"joint": record_entries(["v", "w"], 1)["calibration"]["joint"]},
            "its calibration is not of v",
        ),
        ("software", 5, "software is 5"),
    ],
)
def test_record_of_odd_contents_is_malformed(tmp_path: Path, part: str, value: object, fact: str) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})
    record = changed(read_record(tmp_path / "r.lfmm2.json"), {part: value})
    (tmp_path / "r.lfmm2.json").write_bytes(seal_json(record))
    with pytest.raises(lfmm2.MalformedInputError, match=rf"r\.lfmm2\.json: .*{fact}"):
        StoredRun(tmp_path / "r")


def test_number_of_snps_beyond_any_is_an_error(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})
    record = changed(read_record(tmp_path / "r.lfmm2.json"), {"tested": {"n_snps_used": 10**30}})
    (tmp_path / "r.lfmm2.json").write_bytes(seal_json(record))
    with pytest.raises(lfmm2.MalformedInputError, match="1 row, but the run has tested 1 000"):
        list(StoredRun(tmp_path / "r").blocks("v", ["BETA"], only=[0]))


def test_counts_have_the_singular(tmp_path: Path) -> None:
    assert ": 1 SNP, K=1" in repr(StoredRun(write_results(tmp_path / "r", {"v": {"BETA": [1.0]}})))


@pytest.mark.parametrize("name", ["r", "r.lfmm2.json", "r.v.parquet", "r.log.more.tsv"])
def test_record_is_found_by_files_of_damaged_results(tmp_path: Path, name: str) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": [1.0]}}, small={".log.more.tsv": "x"})
    (tmp_path / "r.factors.npz").unlink()
    assert find_record(tmp_path / name) == tmp_path / "r.lfmm2.json"


@pytest.mark.parametrize("form", ["parquet", "tsv"])
def test_another_number_of_rows_is_an_error_at_the_end(tmp_path: Path, form: str) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": np.arange(3.0)}}, form=form)
    write_results(tmp_path / "s", {"v": {"BETA": np.arange(2.0)}}, form=form)
    shutil.copy(tmp_path / f"s.v.{form}", tmp_path / f"r.v.{form}")
    seal_again(tmp_path / "r")
    blocks = StoredRun(tmp_path / "r").blocks("v", ["BETA"])
    assert len(next(blocks)) == 2
    with pytest.raises(lfmm2.MalformedInputError, match="2 rows, but the run has tested 3 SNPs"):
        next(blocks)


@pytest.mark.parametrize("form", FORMATS)
def test_damage_of_the_same_size_is_an_error(tmp_path: Path, form: str) -> None:
    write_results(tmp_path / "r", {"v": {"BETA": np.random.default_rng(0).normal(size=3000)}}, form=form)
    path = tmp_path / f"r.v.{form}"
    raw = path.read_bytes()
    middle = 4 if form == "parquet" else len(raw) // 2  # numbers of a page may be changed to others unnoticed
    path.write_bytes(raw[:middle] + b"\t\0\t" * 20 + raw[middle + 60 :])
    run = StoredRun(tmp_path / "r")
    with pytest.raises(lfmm2.MalformedInputError, match=rf"r\.v\.{form}: damaged"):
        list(run.blocks("v", COLUMNS))


def test_text_cut_off_with_its_size_is_an_error(tmp_path: Path) -> None:
    for form in ("tsv.gz", "tsv.zst"):
        write_results(tmp_path / "r", {"v": {"BETA": np.random.default_rng(0).normal(size=3000)}}, form=form)
        path = tmp_path / f"r.v.{form}"
        path.write_bytes(path.read_bytes()[:-500])
        seal_again(tmp_path / "r")
        run = StoredRun(tmp_path / "r")
        with pytest.raises(lfmm2.MalformedInputError, match=r"damaged|rows, but"):
            list(run.blocks("v", ["BETA"]))


def test_absent_column_is_missed_only_when_asked_for(tmp_path: Path) -> None:
    for form in ("parquet", "tsv"):
        write_results(tmp_path / "r", {"v": {"BETA": [2.0]}}, lacking=("LFDR", "Q_STOREY"), form=form)
        run = StoredRun(tmp_path / "r")
        assert next(run.blocks("v", ["BETA"]))["BETA"].to_pylist() == [2.0]
        with pytest.raises(lfmm2.InconsistentInputError, match="no column LFDR; run again"):
            run.blocks("v", ["BETA", "LFDR"])
        (tmp_path / "r.lfmm2.json").unlink()


@pytest.mark.parametrize("name", ["p", "g", "t"])
def test_default_blocks_are_those_of_one_size(long_results: Path, name: str) -> None:
    blocks = list(StoredRun(long_results / name).blocks("v", ["BETA"]))
    assert [len(block) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 5]
    assert np.array_equal(np.concatenate([b["BETA"].to_numpy() for b in blocks]), np.arange(N_LONG))


@pytest.mark.parametrize("name", ["p", "g", "t"])
@pytest.mark.parametrize("only", [[1], [2, 0], []])
def test_chosen_blocks_are_those_of_all(long_results: Path, name: str, only: list[int]) -> None:
    run = StoredRun(long_results / name)
    everything = list(run.blocks("v", ["BETA", "ID"]))
    chosen = list(run.blocks("v", ["BETA", "ID"], only=only))
    assert chosen == [everything[number] for number in sorted(only)]


def test_blocks_not_chosen_are_not_read(long_results: Path, tmp_path: Path) -> None:
    for path in long_results.glob("p.*"):
        shutil.copy(path, tmp_path)
    raw = bytearray((tmp_path / "p.v.parquet").read_bytes())
    raw[1000:50_000] = bytes(49_000)
    (tmp_path / "p.v.parquet").write_bytes(raw)
    run = StoredRun(tmp_path / "p")
    (block,) = run.blocks("v", COLUMNS, only=[1])
    assert block["BETA"][0].as_py() == BLOCK_ROWS
    with pytest.raises(lfmm2.MalformedInputError, match="damaged"):
        list(run.blocks("v", COLUMNS, only=[0]))


def test_factors_and_design(tmp_path: Path, results: Path) -> None:
    X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    tables = {"v": {"BETA": [1.0]}, "w": {"BETA": [1.0]}}
    run = StoredRun(write_results(tmp_path / "r", tables, X=X, sample_ids=["a", "b", "c"]))
    names, values = run.design()
    assert names == ("v", "w")
    assert np.array_equal(values, X)
    assert run.factors().sample_ids == ("a", "b", "c")
    assert StoredRun(results / "p.tsv").factors().n_factors == 2


def test_factors_file_without_variables_is_malformed(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", {"v": {"BETA": [1.0]}}))
    with pytest.raises(lfmm2.MalformedInputError, match=r"is not a factors file \('variables is not"):
        run.design()


def test_damaged_design_is_malformed(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", {"v": {"BETA": [1.0]}}, X=np.ones((2, 1))))
    path = tmp_path / "r.factors.npz"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(lfmm2.MalformedInputError, match="not a factors file"):
        run.design()


def test_small_tables_have_types_by_name(tmp_path: Path) -> None:
    small = {
        ".sweep.tsv": "K\tVARIABLE\tGIF\tN_FDR05\n1\t7\tNA\t3\n2\tNA\t1\t4\n",
        ".sweep-histograms.tsv": "K\tVARIABLE\tP\tBIN_LOW\tBIN_HIGH\tCOUNT\n1\tv\traw\t0\t0.02\t9\n",
        ".scree.tsv": "AXIS\tEIGENVALUE\tTW_P\n1\t12\t0.5\n",
    }
    run = StoredRun(write_results(tmp_path / "r", {"v": {"BETA": [1.0]}}, small=small))
    sweep = run.small_table("sweep")
    assert sweep.to_pydict() == {"K": [1, 2], "VARIABLE": ["7", "NA"], "GIF": [None, 1.0], "N_FDR05": [3, 4]}
    assert sweep.schema.field("GIF").type == pa.float64()
    histograms = run.small_table("sweep-histograms")
    assert histograms["P"].to_pylist() == ["raw"]
    assert histograms["COUNT"].to_pylist() == [9]
    assert run.small_table("scree").to_pydict() == {"AXIS": [1], "EIGENVALUE": [12.0], "TW_P": [0.5]}


def test_small_table_that_was_not_written_says_what_writes_it(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", {"v": {"BETA": [1.0]}}))
    with pytest.raises(lfmm2.InconsistentInputError, match="has no sweep table; it comes with --sweep"):
        run.small_table("sweep")
    with pytest.raises(lfmm2.InconsistentInputError, match="it comes with a run that estimates its factors"):
        run.small_table("scree")
    with pytest.raises(lfmm2.UsageError, match="none of scree, sweep"):
        run.small_table("v")

"""Matrix files of every format, with samples as rows and as columns, hold the numbers that were written to them."""

from __future__ import annotations

import bz2
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lfmm2.errors import InconsistentInputError, InputWarning, LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.formats import MatrixOptions, open_matrix
from lfmm2.genotypes import Engine
from lfmm2.genotypes import number_file as number_file_module
from lfmm2.testing import check_genotype_source

RNG = np.random.default_rng(7)
N, P = 11, 37
IDS = [f"S{i:02d}" for i in range(N)]
NAMES = [f"cg{i:04d}" for i in range(P)]
Y = RNG.normal(0.5, 0.1, (N, P)).round(5)
Y[RNG.random((N, P)) < 0.05] = np.nan
FRAME = pd.DataFrame(Y, index=IDS, columns=NAMES)
ENV = "sample,x\n" + "".join(f"{iid},{k}\n" for k, iid in enumerate(reversed(IDS)))
Frame = pd.DataFrame
Maker = Callable[[Frame, Path], None]


def write_h5ad(frame: Frame, path: Path, **layout: Any) -> None:
    """Write the part of an .h5ad that is read, as anndata 0.10 does."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=frame.to_numpy(), **layout)
        file.create_dataset("layers/counts", data=frame.to_numpy() + 1)
        for table, names in (("obs", frame.index), ("var", frame.columns)):
            group = file.create_group(table)
            group.attrs["_index"] = "_index"
            group["_index"] = np.array(names, dtype=object)


# name of the file, and the function that writes a frame to it
FORMATS: list[tuple[str, Maker]] = [
    ("m.csv", lambda frame, path: frame.to_csv(path)),
    ("m.csv.gz", lambda frame, path: frame.to_csv(path)),
    ("m.tsv.bz2", lambda frame, path: frame.to_csv(path, sep="\t", na_rep="NA")),
    ("m.csv.zst", lambda frame, path: path.write_bytes(pa.compress(frame.to_csv(None).encode(), "zstd", asbytes=True))),
    ("m.txt", lambda frame, path: frame.rename_axis("ID").to_csv(path, sep=" ", na_rep="nan")),
    ("quoted.csv", lambda frame, path: frame.to_csv(path, quoting=2)),
    ("of_R.txt", lambda frame, path: path.write_text(frame.to_csv(None, sep="\t", na_rep="NA").removeprefix("\t"))),
    ("windows.csv", lambda frame, path: path.write_text("\ufeff" + frame.to_csv(None), newline="\r\n")),
    ("m.parquet", lambda frame, path: frame.to_parquet(path)),
    ("column.parquet", lambda frame, path: frame.reset_index(names="ID").to_parquet(path, row_group_size=5)),
    ("m.feather", lambda frame, path: frame.reset_index(names="name").to_feather(path, chunksize=4)),
    ("lz4.arrow", lambda frame, path: frame.reset_index(names="name").to_feather(path, compression="lz4")),
    ("m.h5ad", write_h5ad),
    ("chunks.h5ad", lambda frame, path: write_h5ad(frame, path, chunks=(3, 4), compression="gzip")),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with env.csv, which is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("env.csv").write_text(ENV)
    # So that pieces are smaller than the matrix.
    monkeypatch.setattr(number_file_module, "PIECE_BYTES", 200)
    return tmp_path


def opened(path: object, tables: tuple[str, ...] = ("env.csv",), **options: Any) -> Any:
    return open_matrix(path, Path(), [Path(table) for table in tables], MatrixOptions(**options))


def numbers_of(source: Any) -> np.ndarray:
    """All numbers, shape (n_samples, n_snps)."""
    return source.read(np.arange(source.n_samples), np.arange(source.n_snps)).T


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("side", ["rows", "columns"])
@pytest.mark.parametrize(("name", "write"), FORMATS, ids=[name for name, _ in FORMATS])
def test_numbers_and_names_are_those_of_the_frame(name: str, write: Maker, side: str) -> None:
    write(FRAME if side == "rows" else FRAME.T, Path(name))
    source = opened(name).source
    try:
        np.testing.assert_array_equal(numbers_of(source), Y)
        assert source.samples.iid == source.samples.fid == tuple(IDS)
        assert source.has_ids
        assert pa.concat_tables(source.iter_variants())["ID"].to_pylist() == NAMES
        assert source.describe()["samples_are"] == side
    finally:
        source.close()
    assert {path.name for path in Path().iterdir()} == {"env.csv", name}


@pytest.mark.usefixtures("folder")
def test_source_keeps_the_rules_of_sources() -> None:
    FRAME.to_parquet("m.parquet")
    source = opened("m.parquet", ploidy=1).source
    check_genotype_source(source)
    assert source.ploidy == 1
    source.close()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16])
def test_small_types_are_stored_in_single_precision(dtype: Any) -> None:
    frame = (FRAME.fillna(0) * 100).astype(dtype)
    frame.to_parquet("m.parquet")
    source = opened("m.parquet").source
    assert source.dtype == np.float32
    np.testing.assert_array_equal(numbers_of(source), frame.to_numpy())
    source.close()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("side", ["rows", "columns"])
def test_npy_is_named_by_lists(order: Any, side: str) -> None:
    np.save("m.npy", np.asarray(Y if side == "rows" else Y.T, order=order))
    Path("ids.txt").write_text("\n".join(IDS))
    Path("features.csv").write_text("Name,CHR,MAPINFO\n" + "".join(f"{name},7,{k}\n" for k, name in enumerate(NAMES)))
    found = opened("m.npy", sample_ids="ids.txt", features="features.csv")
    np.testing.assert_array_equal(numbers_of(found.source), Y)
    variants = pa.concat_tables(found.source.iter_variants())
    assert variants["ID"].to_pylist() == NAMES
    assert variants["POS"].to_pylist() == list(range(P))
    assert variants["CHROM"].to_pylist() == [".", *["7"] * (P - 1)]
    assert found.source.samples.iid == tuple(IDS)
    found.source.close()
    nameless = opened("m.npy", samples_are=side).source
    assert not nameless.has_ids
    assert "needs names of features" in nameless.refusal("extract")
    nameless.close()


@pytest.mark.usefixtures("folder")
def test_families_are_read_beside_samples() -> None:
    FRAME.rename_axis("IID").reset_index().assign(FID="f").set_index(["FID", "IID"]).to_csv("m.csv")
    source = opened("m.csv").source
    assert (source.samples.fid, source.samples.iid) == (("f",) * N, tuple(IDS))
    source.close()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_row_numbers_before_the_names_are_left_out(end: str) -> None:
    numbered = FRAME.T.rename_axis("probe").reset_index().reset_index(names="")
    getattr(numbered, f"to_{end}")(f"m.{end}", index=False)
    source = opened(f"m.{end}").source
    assert pa.concat_tables(source.iter_variants())["ID"].to_pylist() == NAMES
    source.close()


@pytest.mark.usefixtures("folder")
def test_decimal_commas_and_layers() -> None:
    FRAME.T.to_csv("m.csv", sep=";", decimal=",")
    source = opened("m.csv", decimal=",").source
    np.testing.assert_array_equal(numbers_of(source), Y)
    source.close()
    write_h5ad(FRAME, Path("m.h5ad"))
    source = opened("m.h5ad", layer="counts").source
    np.testing.assert_array_equal(numbers_of(source), Y + 1)
    source.close()


@pytest.mark.usefixtures("folder")
def test_codes_that_are_named_become_missing_and_others_are_asked_about() -> None:
    coded = FRAME.fillna(-9)
    coded.to_csv("m.csv")
    source = opened("m.csv", missing_genotype=-9.0).source
    np.testing.assert_array_equal(numbers_of(source), Y)
    source.close()
    source = opened("m.csv").source
    with pytest.raises(MalformedInputError, match=r"give --missing-genotype -9 if .* or --missing-genotype none if it"):
        source.matrix(Engine(1, 1 << 30), np.arange(N), None)
    source.close()
    source = opened("m.csv", missing_genotype=[]).source
    assert source.ploidy is None
    source.close()


@pytest.mark.usefixtures("folder")
def test_manifest_of_illumina_gives_places() -> None:
    FRAME.T.to_csv("m.csv")
    order = RNG.permutation(P)
    rows = [f"x{k},{NAMES[k]},{'X' if k % 2 else k % 5 + 1},{1000 + k}" for k in order if k != 3]
    rows.append("x3,cg0003,,")
    head = "Illumina, Inc.,,,\n[Heading],,,\nAssay Format,Infinium 2,,\n[Assay],,,\nIlmnID,Name,CHR,MAPINFO\n"
    Path("manifest.csv.gz").write_bytes(gzip.compress((head + "\n".join(rows) + "\n[Controls],,,\n1,2,3\n").encode()))
    found = opened("m.csv", features="manifest.csv.gz")
    variants = pa.concat_tables(found.source.iter_variants())
    expected = [1000 + k if k != 3 else 0 for k in range(P)]
    assert variants["POS"].to_pylist() == expected
    assert variants["CHROM"].to_pylist()[:5] == ["1", "X", "3", ".", "5"]
    assert found.notes[1:] == ("places by 'Name' of manifest.csv.gz", "1 feature without a place in manifest.csv.gz")
    found.source.close()
    pd.DataFrame({"ID": NAMES[:5], "chrom": "2", "pos": [1.0, 2, 3, 4, 1e5]}).to_parquet("places.parquet")
    found = opened("m.csv", features="places.parquet")
    variants = pa.concat_tables(found.source.iter_variants())
    assert variants["POS"].to_pylist()[:6] == [1, 2, 3, 4, 100_000, 0]
    assert found.notes[2] == "32 features without a place in places.parquet, of which 32 are not in the table"
    found.source.close()


@pytest.mark.usefixtures("folder")
def test_number_at_fault_is_named() -> None:
    wrong = FRAME.fillna(0.5)
    wrong.iloc[4, 8] = np.inf
    wrong.to_csv("m.csv")
    source = opened("m.csv").source
    with pytest.raises(MalformedInputError, match=r"m\.csv, feature 9 \(cg0008\), sample S04: is infinite; use NaN"):
        assert source.ploidy
    source.close()


@pytest.mark.usefixtures("folder")
def test_last_line_without_an_end_is_warned_of() -> None:
    Path("m.csv").write_text(FRAME.T.to_csv().rstrip("\n"))
    with pytest.warns(InputWarning, match=r"m\.csv: its last line has no end; if the file was cut off"):
        opened("m.csv").source.close()


CSV = FRAME.T.fillna(0.5).to_csv()
TABLE = "Name,chr,pos\n" + "".join(f"{name},1,{k + 1}\n" for k, name in enumerate(NAMES))


def line(number: int, text: str) -> str:
    """The CSV with another line."""
    lines = CSV.splitlines()
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


def cells(number: int, change: Callable[[list[str]], list[str]]) -> str:
    """The CSV with changed cells of a line."""
    return line(number, ",".join(change(CSV.splitlines()[number - 1].split(","))))


# name of the file, its content, options, error, what the message says
CASES: list[tuple[str, str | bytes | None, dict[str, Any], type[LfmmError], str]] = [
    ("absent.csv", None, {}, ReadError, r"absent\.csv: cannot be opened"),
    ("empty.csv", "", {}, MalformedInputError, "is empty or has one line; give a header and rows"),
    ("header.csv", CSV.splitlines()[0] + "\n", {}, MalformedInputError, "is empty or has one line"),
    ("one.csv", "ID\ncg1\n", {}, MalformedInputError, "is one column"),
    ("word.csv", cells(5, lambda c: [*c[:4], "high", *c[5:]]), {}, MalformedInputError,
     r"word\.csv, line 5 \(cg0003\), column 'S03': 'high' is not a number; correct it, or leave the column out"),
    ("comma.csv", cells(5, lambda c: [*c[:4], '"0,5"', *c[5:]]), {}, MalformedInputError,
     r"comma\.csv, line 5: 13 cell\(s\), but the header has 12"),
    ("short.csv", cells(7, lambda c: c[:-1]), {}, MalformedInputError, r"line 7: 11 cell\(s\), but the header has 12"),
    ("cut.csv", CSV[:-40], {}, MalformedInputError, r"line 38: \d+ cell\(s\), but the header has 12; .*cut off"),
    ("cut.csv.gz", gzip.compress(CSV.encode())[:-30], {}, MalformedInputError, "compressed with gzip, and damaged"),
    ("cut.csv.bz2", bz2.compress(CSV.encode())[:-30], {}, MalformedInputError, "compressed with bzip2, and damaged"),
    ("blank.csv", line(6, ""), {}, MalformedInputError, r"line 6: 1 cell\(s\)|line 6: 2 cell\(s\)"),
    ("latin.csv", CSV.replace("cg0004", "cg\xe9").encode("latin-1"), {}, MalformedInputError, "line 6: is not UTF-8"),
    ("quote.csv", CSV.replace("cg0004", '"cg0004'), {}, MalformedInputError, "line 6: a quote is opened and not"),
    ("numbers.csv", "\n".join(CSV.splitlines()[1:]).replace("cg", ""), {}, MalformedInputError,
     "line 1: is numbers, not a header"),
    ("no_names.csv", CSV.replace(",S00", "x,S00", 1).replace("cg", ""), {}, InconsistentInputError,
     "first column, 'x', has numbers, and no column has names of the rows"),
    ("twice.csv", CSV.replace(",S01", ",S00", 1), {}, InconsistentInputError, r"repeated sample IDs \(S00\)"),
    ("unnamed.csv", CSV.replace(",S01", ",", 1), {}, MalformedInputError, "sample 2 has no name; add it"),
    ("text.csv", "probe,chr," + ",".join(IDS) + "\n" + "".join(
        ",".join([(c := row.split(","))[0], "chr1", *c[1:]]) + "\n" for row in CSV.splitlines()[1:]), {},
     MalformedInputError, r"line 2 \(cg0000\), column 'chr': 'chr1' is not a number; .*--features"),
    ("other.csv", CSV.replace("S0", "T0").replace("S1", "T1"), {}, InconsistentInputError,
     r"neither rows \(cg0000, .*\) nor columns \(T00, .*\) are called by IDs of env\.csv.*--samples-are rows or"),
    ("case.csv", CSV.replace("S0", "s0").replace("S1", "s1"), {}, InconsistentInputError, "columns: 11 .*case"),
    ("both.csv", CSV.replace("cg0003", "S07"), {}, InconsistentInputError,
     r"both 1 of its rows \(.*\) and 11 of its columns \(S00, .*\) have names that are IDs in env\.csv; say which"),
    ("list.csv", CSV, {"sample_ids": "env.csv"}, UsageError, r"--samples env\.csv names samples, but list\.csv has"),
    ("layer.csv", CSV, {"layer": "counts"}, UsageError, r"--layer names a layer of an \.h5ad, and layer\.csv is none"),
    ("series.txt", '!Series_title\t"x"\n!Series_geo\t"y"\n' + CSV, {}, MalformedInputError,
     r"series\.txt, line 1: begins with '!', as lines of GEO about a series do"),
    ("a.npz", b"PK\x03\x04aaaa", {}, MalformedInputError, r"is a zip archive, as \.npz and \.xlsx are"),
    ("a.bed", b"\x6c\x1b\x01aaaa", {}, MalformedInputError, r"is a \.bed of PLINK; give it with --bed"),
    ("a.vcf", "##fileformat=VCFv4.2\n", {}, MalformedInputError, "is a VCF; give it with --vcf"),
    ("a.parquet", b"PAR1" + bytes(50), {}, MalformedInputError, r"a\.parquet: damaged, or no table"),
    ("a.feather", b"ARROW1\0\0" + bytes(50), {}, MalformedInputError, r"a\.feather: damaged, or no table"),
    ("a.npy", b"\x93NUMPY\x01\0", {}, MalformedInputError, r"a\.npy: has a damaged header"),
    ("a.h5ad", b"\x89HDF\r\n\x1a\n" + bytes(50), {}, MalformedInputError, r"a\.h5ad: damaged, or no \.h5ad"),
    ("places.csv", CSV, {"features": TABLE.replace("pos", "where")}, InconsistentInputError,
     r"t\.csv: no column is called as a position \(Name, chr, where\); call it POS"),
    ("two.csv", CSV, {"features": TABLE.replace("chr", "CHROM,chr").replace(",1,", ",1,1,")}, InconsistentInputError,
     r"several columns may have the chromosome \(CHROM, chr\)"),
    ("strange.csv", CSV, {"features": TABLE.replace("cg", "ch")}, InconsistentInputError,
     r"t\.csv: none of 37 features \(cg0000, .*\) is in Name"),
    ("half.csv", CSV, {"features": TABLE.replace(",5\n", ",5.5\n")}, MalformedInputError,
     r"t\.csv, row 5 \(cg0004\): '5\.5' is no position"),
    ("again.csv", CSV, {"features": TABLE + "cg0004,2,9\n"}, InconsistentInputError,
     r"t\.csv, row 38: cg0004 has another place in a row before"),
]  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "content", "options", "error", "message"), CASES, ids=[case[0] for case in CASES])
def test_bad_matrix_is_refused(
    name: str, content: str | bytes | None, options: dict[str, Any], error: type[LfmmError], message: str
) -> None:
    if name.endswith("h5ad"):
        pytest.importorskip("h5py")
    if content is not None:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    if "features" in options:
        Path("t.csv").write_text(options["features"])
        options = {"features": "t.csv"}
    with pytest.raises(error) as raised:
        opened(name, **options)
    assert type(raised.value) is error
    assert re.search(message, str(raised.value)), str(raised.value)


# what the frame is, maker, error, what the message says
FRAMES: list[tuple[str, Maker, type[LfmmError], str]] = [
    ("words", lambda frame, path: frame.assign(sex="F").to_parquet(path), MalformedInputError,
     r"column 'sex' is of type .*, not of numbers; leave it out; chromosomes and positions are read from --features"),
    ("truths", lambda frame, path: (frame > 0.5).to_parquet(path), MalformedInputError, "of type bool, not of numbers"),
    ("no names", lambda frame, path: frame.to_parquet(path, index=False), InconsistentInputError,
     "first column, 'cg0000', has numbers, and no column has names of the rows"),
    ("three levels", lambda frame, path: frame.assign(a=1, b=2).set_index(["a", "b"], append=True).to_parquet(path),
     InconsistentInputError, "the index has 3 levels"),
    ("no rows", lambda frame, path: frame.iloc[:0].to_parquet(path), MalformedInputError, "has no rows; add them"),
    ("IID is last", lambda frame, path: frame.reset_index(names="IID")[[*NAMES, "IID"]].to_parquet(path),
     InconsistentInputError, "column IID is not the first"),
    ("cut Parquet", lambda frame, path: (frame.to_parquet(path), path.write_bytes(path.read_bytes()[:-200])),
     MalformedInputError, "damaged, or no table"),
    ("cut Feather", lambda frame, path: (frame.reset_index(names="ID").to_feather(path),
                                         path.write_bytes(path.read_bytes()[:-200])),
     MalformedInputError, "damaged, or no table"),
    ("cut .npy", lambda frame, path: np.save(path.open("wb"), frame.to_numpy()[:, :0]), MalformedInputError,
     "an array of shape"),
    ("objects", lambda frame, path: np.save(path.open("wb"), frame.to_numpy().astype(str)), MalformedInputError,
     "an array of shape .* and type"),
    ("nameless .npy", lambda frame, path: np.save(path.open("wb"), frame.to_numpy()), InconsistentInputError,
     "has 11 rows and 37 columns without names; say which it is with --samples-are rows or"),
]  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("what", "write", "error", "message"), FRAMES, ids=[case[0] for case in FRAMES])
def test_bad_frame_is_refused(what: str, write: Maker, error: type[LfmmError], message: str) -> None:
    write(FRAME, Path("m"))
    with pytest.raises(error) as raised:
        opened("m")
    assert type(raised.value) is error
    assert re.search(message, str(raised.value)), str(raised.value)


def break_h5ad(file: Any, what: str) -> None:
    """Break an .h5ad in one way."""
    if what == "sparse":
        del file["X"]
        file.create_group("X").attrs["encoding-type"] = "csr_matrix"
    elif what == "fewer names":
        cells = file["obs/_index"][:-1]
        del file["obs/_index"]
        file["obs"]["_index"] = cells
    elif what == "no index":
        del file["var"].attrs["_index"]
    else:
        del file[what]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("sparse", r"X is sparse \(csr_matrix\); write it dense"),
        ("fewer names", "obs has 10 names, but X has shape"),
        ("no index", "var has no index as AnnData 0.7 and later write it"),
        ("X", "has no X; it has --layer counts"),
        ("obs", r"is HDF5, but no \.h5ad"),
    ],
)
def test_bad_h5ad_is_refused(what: str, message: str) -> None:
    h5py = pytest.importorskip("h5py")
    write_h5ad(FRAME, Path("m.h5ad"))
    with h5py.File("m.h5ad", "r+") as file:
        break_h5ad(file, what)
    with pytest.raises((MalformedInputError, InconsistentInputError), match=message):
        opened("m.h5ad")


@pytest.mark.usefixtures("folder")
def test_absent_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(
        UsageError, match=r"m\.h5ad: is an \.h5ad, for which h5py is needed; pip install 'lfmm2\[h5ad\]'"
    ):
        opened("m.h5ad")

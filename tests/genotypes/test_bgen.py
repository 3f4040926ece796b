"""BGEN: dosages of the second allele, as plink2, the package bgen and bytes made by hand write them."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import reference
from click.testing import CliRunner
from made_bgen import bgen_of, data_of, snp
from made_genotypes import simulate, vcf_text

import lfmm2
from lfmm2.cli.program import cli
from lfmm2.errors import (
    ChangedInputError,
    InconsistentInputError,
    InputWarning,
    LfmmError,
    MalformedInputError,
    UsageError,
)
from lfmm2.genotypes import open_source
from lfmm2.testing import check_genotype_source

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
needs_plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")


def plink2(folder: Path, *arguments: str) -> None:
    subprocess.run(["plink2", "--allow-extra-chr", *arguments], cwd=folder, check=True, capture_output=True)


IDS = ["a", "b", "c"]


def small() -> bytes:
    """Two SNPs of three samples, 8 bits a probability."""
    return bgen_of([snp(data_of([2, 2, 2], 8, [255, 0, 0, 255, 0, 51], missing=()), j) for j in (1, 2)], IDS)


def opened(folder: Path, data: bytes) -> Any:
    (folder / "x.bgen").write_bytes(data)
    return open_source(folder / "x.bgen")


@needs_plink2
@pytest.mark.parametrize("form", ["bgen-1.1", "bgen-1.2 bits=8", "bgen-1.3 bits=16", "bgen-1.2 bits=8 ref-first"])
def test_files_of_plink2_are_read(tmp_path: Path, form: str) -> None:
    truth = simulate(42)
    (tmp_path / "a.vcf").write_text(vcf_text(truth, others=False))
    plink2(tmp_path, "--vcf", "a.vcf", "--vcf-half-call", "m", "--export", *form.split(), "--out", "x")
    options = {"sample": tmp_path / "x.sample"} if "1.1" in form else {}
    expected = 2 - truth.dosages if "ref-first" in form else truth.dosages
    with closing(open_source(tmp_path / "x.bgen", **options)) as source:
        # Where some calls of a SNP are phased, plink2 writes the others as two halves, which are no multiples of 1/255.
        error = 0 if "1.1" in form else 1.01 / (255 if "bits=8" in form else 65535)
        np.testing.assert_allclose(source.read(np.arange(42), np.arange(90)), expected, rtol=0, atol=error)
        assert source.samples.iid == tuple(truth.iid)
        table = pa.concat_tables(source.iter_variants())
        alleles = list(zip(table["A1"].to_pylist(), table["A2"].to_pylist(), strict=True))
        assert alleles == [pair[::-1] for pair in truth.alleles] if "ref-first" in form else truth.alleles
        assert table["CHROM"].to_pylist() == [name.removeprefix("chr") for name in truth.chromosomes]
        assert table["POS"].to_pylist() == truth.positions
        assert table["ID"].to_pylist() == ["." if j % 3 == 0 else truth.ids[j] for j in range(90)]
        check_genotype_source(source)


@pytest.mark.parametrize(("compression", "layout"), [(None, 2), ("zlib", 2), ("zstd", 2), ("zlib", 1), (None, 1)])
def test_files_of_the_package_bgen_are_read(tmp_path: Path, compression: str | None, layout: int) -> None:
    bgen = pytest.importorskip("bgen")
    rng, n, p = np.random.default_rng(3), 43, 60
    probabilities = rng.dirichlet([0.4, 0.4, 0.4], (p, n))
    probabilities[rng.random((p, n)) < 0.05] = 0 if layout == 1 else np.nan
    path, ids = tmp_path / "x.bgen", [f"i{k}" for k in range(n)]
    with bgen.BgenWriter(path, n, samples=ids, compression=compression, layout=layout) as writer:
        for j, rows in enumerate(probabilities):
            writer.add_variant(
                f"v{j}", f"rs{j}", "X", j + 1, ["G", "T"], rows, **({"bit_depth": 16} if layout == 2 else {})
            )
    with bgen.BgenReader(path) as reader:
        theirs = np.array([variant.alt_dosage for variant in reader])
    with closing(open_source(path)) as source:
        ours = source.read(np.arange(n), np.arange(p))
        rows, snps = np.array([40, 2, 3]), np.array([0, 7, 8, 59])
        np.testing.assert_array_equal(source.read(rows, snps), ours[np.ix_(snps, rows)])
        check_genotype_source(source)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 if layout == 1 else 3e-7)


def test_a_run_agrees_with_the_dense_reference(tmp_path: Path) -> None:
    rng, n, p = np.random.default_rng(4), 42, 150
    first = rng.integers(0, 256, (p, n))
    second = rng.integers(0, 256, (p, n)) % (256 - first)
    values = (510 - 2 * first - second) / 255
    ids = [f"i{k}" for k in range(n)]
    pairs = np.stack([first, second], axis=2).reshape(p, -1).tolist()
    (tmp_path / "x.bgen").write_bytes(bgen_of([snp(data_of([2] * n, 8, row), j) for j, row in enumerate(pairs)], ids))
    X = rng.normal(size=(n, 1))
    env = tmp_path / "env.csv"
    env.write_text("IID,rain\n" + "".join(f"{iid},{x!r}\n" for iid, x in zip(ids, X[:, 0].tolist(), strict=True)))
    result = lfmm2.run(None, tmp_path / "x.bgen", env, K=2, surrogates=0)
    dense = reference.lfmm2(values.T, values.T, X, 2, df="intercept", standardize=True)
    np.testing.assert_allclose(result.t, dense.t, rtol=1e-8, atol=1e-8)
    table = result.table()
    assert set(table["A1"].to_pylist()) == {"C"}
    np.testing.assert_allclose(table["A1_FREQ"].to_numpy(), values.mean(axis=1) / 2)
    other = lfmm2.run(None, tmp_path / "x.bgen", env, K=2, surrogates=0, count_allele="a1").table()
    assert set(other["A1"].to_pylist()) == {"A"}
    np.testing.assert_allclose(other["BETA"].to_numpy(), -table["BETA"].to_numpy(), rtol=1e-9, atol=1e-12)
    with pytest.raises(UsageError, match=r"geno applies to hard calls, but .*x\.bgen has probabilities, read as"):
        lfmm2.run(None, tmp_path / "x.bgen", env, K=2, geno=0.1)
    out = str(tmp_path / "r")
    command = [
        "run",
        "--bgen",
        str(tmp_path / "x.bgen"),
        "--env",
        str(env),
        "-K",
        "2",
        "--surrogates",
        "0",
        "--out",
        out,
    ]
    CliRunner().invoke(cli, command, catch_exceptions=False)
    assert lfmm2.read_results(out).table().equals(table)


def test_variants_of_more_alleles_are_left_out(tmp_path: Path) -> None:
    good = data_of([2, 2, 2], 8, [255, 0, 0, 255, 0, 51])
    three = data_of([2, 2, 2], 8, [0] * 15, n_alleles=3)
    with pytest.warns(InputWarning, match=r"x\.bgen: 1 variant with more than two alleles \(rs2\), left out; .* split"):
        source = opened(tmp_path, bgen_of([snp(good, 1), snp(three, 2, ("A", "C", "GG")), snp(good, 3)], IDS))
    with closing(source):
        assert source.left_out.tolist() == [1]
        np.testing.assert_allclose(source.read(np.arange(3), np.arange(3)), [[0, 1, 1.8], [np.nan] * 3, [0, 1, 1.8]])
        assert pa.concat_tables(source.iter_variants())["A2"].to_pylist() == ["C", "C,GG", "C"]
        check_genotype_source(source)


def test_variants_are_listed_again_where_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lfmm2.genotypes.bgen_file._HELD_BYTES", 0)
    monkeypatch.setattr("lfmm2.genotypes.bgen_file._TABLE_SNPS", 1)
    monkeypatch.setattr("lfmm2.genotypes.bgen_layout._WINDOW_BYTES", 1)
    with closing(opened(tmp_path, small())) as source:
        assert [table["ID"].to_pylist() for table in source.iter_variants()] == [["rs1"], ["rs2"]]
        check_genotype_source(source)


SAMPLE = "ID_1 ID_2 missing sex pop\n0 0 0 D D\nf a 0 1 north\nf b 0 2 south\ng c 0 1 north\n"


@pytest.mark.parametrize(
    ("text", "fid", "column"),
    [
        (SAMPLE, ("f", "f", "g"), "POP"),
        ("ID missing pop\n0 0 D\na 0 north\nb 0 south\nc 0 north\n", ("0", "0", "0"), "pop"),
    ],
)
def test_samples_of_a_sample_file_are_those_of_the_run(tmp_path: Path, text: str, fid: Any, column: str) -> None:
    data = bytearray(small())
    data[4 + 16 + 3] &= 0x7F  # without IDs
    (tmp_path / "x.bgen").write_bytes(data)
    (tmp_path / "x.sample").write_text(text)
    with pytest.raises(InconsistentInputError, match=r"has no IDs of samples; give them with --sample .*x\.sample"):
        open_source(tmp_path / "x.bgen")
    with closing(open_source(tmp_path / "x.bgen", sample=tmp_path / "x.sample")) as source:
        assert (source.samples.fid, source.samples.iid) == (fid, ("a", "b", "c"))
        assert source.sample_column(column) == ("north", "south", "north")
        with pytest.raises(UsageError, match=r"env_by is 'height', but .*x\.sample has no such column; give one that"):
            source.sample_column("height")
    with (
        closing(opened(tmp_path, small())) as source,
        pytest.raises(UsageError, match="has IDs of samples alone; give"),
    ):
        source.sample_column("pop")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (SAMPLE.replace("0 0 0 D D\n", ""), MalformedInputError, "begins with the lines 'ID_1 .* types such as 0 0 0"),
        (
            SAMPLE + "h d 0 1 north\n",
            InconsistentInputError,
            r"x\.bgen: 3 samples, but 4 in .*x\.sample; the files do not",
        ),
        (SAMPLE.replace("f b", "f a"), InconsistentInputError, "1 repeated FID IID"),
        (SAMPLE.replace("sex", "pop"), MalformedInputError, "repeated column names"),
        (SAMPLE.replace("f a 0 1", "f a 0"), MalformedInputError, r"line 3: 4 column\(s\), line 1 has 5"),
        ("", MalformedInputError, "begins with the lines"),
        (
            SAMPLE.replace("f a 0", "f x 0").replace("f b 0", "f a 0").replace("f x 0", "f b 0"),
            InconsistentInputError,
            "has its samples in another order than .* is a and b",
        ),
    ],
)
def test_a_sample_file_that_does_not_fit_is_told(tmp_path: Path, text: str, error: Any, message: str) -> None:
    (tmp_path / "x.bgen").write_bytes(small())
    (tmp_path / "x.sample").write_text(text)
    with pytest.raises(error, match=message):
        open_source(tmp_path / "x.bgen", sample=tmp_path / "x.sample")


GOOD = data_of([2, 2, 2], 8, [255, 0, 0, 255, 0, 51])
# What the file is, and what is said of it when it is opened.
UNOPENED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "byte 0: .* looks truncated or damaged"),
    "text": (lambda: b"ID_1 ID_2 missing\n" * 9, "is no BGEN, or its header is damaged"),
    "layout 3": (lambda: bgen_of([snp(GOOD)], IDS, flags=12), "is of layout 3 and compression 0, which no BGEN has"),
    "compression 3": (lambda: bgen_of([snp(GOOD)], IDS, flags=11), "of layout 2 and compression 3, which no BGEN has"),
    "no variants": (lambda: bgen_of([], IDS), "0 variants of 3 samples; the file is empty or damaged"),
    "cut off": (lambda: small()[:-1], r"SNP 2 of 2: ends after the file, which has .* it looks truncated"),
    "fewer variants": (lambda: bgen_of([snp(GOOD)], IDS, n_snps=2), "looks truncated or damaged, copy it again"),
    "more bytes": (lambda: small() + b"\0", "1 bytes after its 2 SNPs; the file looks damaged"),
    "blank in a name": (lambda: bgen_of([snp(GOOD, chromosome="1 2")], IDS), "no variant that can stand in a table"),
    "one allele": (lambda: bgen_of([snp(GOOD, alleles=("A",))], IDS), "no variant that can stand in a table"),
    "no UTF-8": (lambda: small().replace(b"rs2", b"r\xff2"), "is not UTF-8; correct it"),
    "repeated samples": (lambda: bgen_of([snp(GOOD)], ["a", "b", "a"]), "1 repeated FID IID"),
}


@pytest.mark.parametrize("name", UNOPENED)
def test_a_damaged_file_is_told_when_it_is_opened(tmp_path: Path, name: str) -> None:
    make, message = UNOPENED[name]
    with pytest.raises((MalformedInputError, InconsistentInputError), match=message):
        opened(tmp_path, make())


def packed(data: bytes, length: int | None = None) -> bytes:
    """Data of a SNP, compressed with zlib."""
    return struct.pack("<I", len(data) if length is None else length) + zlib.compress(data)


# What the data of a SNP are, the flags of the file, and what is said when they are read.
UNREAD: dict[str, tuple[bytes, int, str]] = {
    "polyploid": (data_of([2, 4, 2], 8, [0] * 8), 8, r"SNP 1 \(sample 2\): has a ploidy above 2; give an array of"),
    "above 1": (data_of([2, 2, 2], 8, [0, 0, 0, 0, 200, 200]), 8, r"\(sample 3\): has probabilities that add"),
    "short": (GOOD[:-1], 8, "has fewer probabilities than its samples need; the file looks damaged"),
    "long": (GOOD + b"\0", 8, "has more probabilities than its samples need"),
    "other samples": (data_of([2, 2], 8, [0] * 4) + bytes(8), 8, "another number of samples than the header says"),
    "other alleles": (data_of([2, 2, 2], 8, [0] * 6, n_alleles=3), 8, "another number of alleles than its names"),
    "no bits": (data_of([2, 2, 2], 0, [0]) + bytes(8), 8, "probabilities of no bits, or of more than 32"),
    "not packed": (b"\x13\0\0\0" + GOOD, 9, "cannot be unpacked"),
    "another length": (packed(GOOD, 18), 9, "unpacks to another length than it says"),
    "a bomb": (packed(bytes(1 << 20)), 9, "1 048 576 bytes of probabilities, more than diploids need; polyploids"),
    "not zstd": (b"\x13\0\0\0" + GOOD, 10, "cannot be unpacked"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_damaged_probabilities_are_told_when_they_are_read(tmp_path: Path, name: str) -> None:
    data, flags, message = UNREAD[name]
    with (
        closing(opened(tmp_path, bgen_of([snp(data)], IDS, flags=4 * 2 | flags & 3))) as source,
        pytest.raises(MalformedInputError, match=message),
    ):
        source.read(np.arange(3), np.arange(1))


def test_any_byte_may_be_damaged(tmp_path: Path) -> None:
    whole = bgen_of([snp(packed(GOOD), 1), snp(packed(GOOD), 2)], IDS, flags=9)
    rng = np.random.default_rng(5)
    for at in range(len(whole)):
        data = whole[:at] + bytes([rng.integers(256)]) + whole[at + 1 :] if at % 3 else whole[:at]
        try:
            with closing(opened(tmp_path, data)) as source:
                dosages = source.read(np.arange(3), np.arange(source.n_snps))
                assert not (dosages > 2).any()
                assert not (dosages < 0).any()
        except (LfmmError, InputWarning):
            continue


def test_a_file_that_changes_is_told(tmp_path: Path) -> None:
    with closing(opened(tmp_path, small())) as source:
        (tmp_path / "x.bgen").write_bytes(small()[:-4])
        with pytest.raises(ChangedInputError, match=r"x\.bgen: was changed since it was opened"):
            source.read(np.arange(3), np.arange(2))


def test_threads_share_the_decoding_and_the_first_fault_is_told(tmp_path: Path) -> None:
    rng, n, p = np.random.default_rng(6), 21, 200
    rows = rng.integers(0, 128, (p, 2 * n)).tolist()
    variants = [snp(data_of([2] * n, 8, row), j) for j, row in enumerate(rows)]
    ids = [f"i{k}" for k in range(n)]
    samples, snps = np.arange(n), np.arange(p)
    with closing(opened(tmp_path, bgen_of(variants, ids))) as source:
        alone = source.read(samples, snps)
        for n_threads in (1, 2, 3, 7):
            shared = source.read_in_threads(n_threads)
            np.testing.assert_array_equal(shared.read(samples, snps), alone)
            np.testing.assert_array_equal(shared.read(samples[::-1], snps[3::2]), alone[3::2, ::-1])
            assert shared.reading_memory(n_threads) == n_threads * source.reading_memory(1)
        check_genotype_source(source)
    for damaged in (150, 60):
        variants[damaged] = snp(data_of([3] * n, 8, rng.integers(0, 64, 3 * n).tolist()), damaged)
    with closing(opened(tmp_path, bgen_of(variants, ids))) as source:
        for n_threads in (1, 2, 5):
            with pytest.raises(MalformedInputError, match=r"SNP 61 \(sample 1\): has a ploidy above 2"):
                source.read_in_threads(n_threads).read(samples, snps)

"""PLINK 2 filesets: hard calls are those of the .bed, to the bit; dosages are numbers that count REF."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import reference
from click.testing import CliRunner
from made_genotypes import Truth, simulate, vcf_text
from made_pgen import pvar_text, write_pgen

import lfmm2
from lfmm2.cli.program import cli
from lfmm2.errors import (
    ChangedInputError,
    InconsistentInputError,
    InputWarning,
    LfmmError,
    MalformedInputError,
    ReadError,
    UsageError,
)
from lfmm2.genotypes import open_source
from lfmm2.testing import check_genotype_source

pytest.importorskip("pgenlib")
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
needs_plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
SMALL = 7


def packed(source: Any) -> np.ndarray:
    """All calls of a source, packed."""
    calls = np.empty((source.n_snps, source.bytes_per_snp), np.uint8)
    source.read_packed(0, calls)
    return calls


def variable(truth: Truth, path: Path) -> Path:
    """Write a table of one variable."""
    values = np.random.default_rng(0).normal(size=len(truth.iid))
    path.write_text("IID,rain\n" + "".join(f"{iid},{x!r}\n" for iid, x in zip(truth.iid, values.tolist(), strict=True)))
    return path


def plink2(folder: Path, *arguments: str) -> None:
    command = ["plink2", "--allow-extra-chr", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A fileset of seven samples and 90 SNPs, whose files a test may change."""
    return write_pgen(simulate(SMALL), tmp_path / "x")


@pytest.mark.parametrize("n_samples", [41, 42, 43, 44])
def test_hard_calls_are_those_of_the_bed(tmp_path: Path, n_samples: int) -> None:
    truth = simulate(n_samples)
    with open_source(truth.write_bed(tmp_path / "b")) as bed, open_source(write_pgen(truth, tmp_path / "x")) as pgen:
        assert (pgen.n_samples, pgen.n_snps, pgen.ploidy, pgen.left_out) == (n_samples, 90, 2, None)
        assert pgen.samples == bed.samples
        assert pa.concat_tables(pgen.iter_variants()).equals(pa.concat_tables(bed.iter_variants()))
        np.testing.assert_array_equal(packed(pgen), packed(bed))
        snps = np.array([0, 3, 4, 50, 89])
        some = np.empty((5, pgen.bytes_per_snp), np.uint8)
        pgen.read_snps(snps, some)
        np.testing.assert_array_equal(some, packed(bed)[snps])
        check_genotype_source(pgen)


@needs_plink2
def test_a_run_has_the_bits_of_the_bed_that_plink2_makes(tmp_path: Path) -> None:
    truth = simulate(42, 300)
    (tmp_path / "a.vcf").write_text(vcf_text(truth).replace("<DEL>", "ATT"))
    plink2(tmp_path, "--vcf", "a.vcf", "--vcf-half-call", "m", "--make-pgen", "vzs", "--out", "p")
    plink2(tmp_path, "--pfile", "p", "vzs", "--max-alleles", "2", "--make-bed", "--out", "b")
    env = variable(truth, tmp_path / "env.csv")
    options = {"K": 2, "maf": 0.1, "geno": 0.2, "est_thin": "r2=0.8,window=20", "surrogates": 0}
    theirs = lfmm2.run(None, tmp_path / "b.bed", env, **options)
    with pytest.warns(InputWarning, match=r"p\.pvar\.zst: 4 variants with more than two alleles .*left out"):
        ours = lfmm2.run(None, tmp_path / "p.pgen", env, **options)
    assert ours.table().equals(theirs.table())
    assert 100 < len(ours.table()) < 300
    with pytest.warns(InputWarning, match="left out"):
        ours = lfmm2.run(tmp_path / "p.pgen", tmp_path / "b.bed", env, K=2, surrogates=0)
    assert ours.table().equals(lfmm2.run(None, tmp_path / "b.bed", env, K=2, surrogates=0).table())


@needs_plink2
def test_phased_calls_of_rare_alleles_and_linked_snps_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n, rows = 203, []
    for j in range(120):
        if j % 5 != 4:
            calls = rng.random((n, 2)) < (0.01, 0.3, 0.99, 0.5)[j % 4]
        text = [f"{int(a)}|{int(b)}" if rng.random() > 0.02 else "./." for a, b in calls]
        rows.append("\t".join(["1", str(j + 1), f"s{j}", "A", "C", ".", ".", ".", "GT", *text]))
    head = [
        "##fileformat=VCFv4.2",
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]),
    ]
    head[1] += "".join(f"\ti{k}" for k in range(n))
    (tmp_path / "a.vcf").write_text("\n".join([*head, *rows]) + "\n")
    plink2(tmp_path, "--vcf", "a.vcf", "--make-pgen", "--out", "p")
    plink2(tmp_path, "--pfile", "p", "--make-bed", "--out", "b")
    with open_source(tmp_path / "p.pgen") as pgen, open_source(tmp_path / "b.bed") as bed:
        np.testing.assert_array_equal(packed(pgen), packed(bed))


@pytest.fixture
def dosages(tmp_path: Path) -> tuple[Truth, np.ndarray, Path]:
    """Dosages of A2 that are no whole numbers for some samples, in steps of 1/16384 as a .pgen has them."""
    truth = simulate(42, 200)
    rng = np.random.default_rng(2)
    noise = np.where(rng.random(truth.dosages.shape) < 0.4, rng.normal(0, 0.3, truth.dosages.shape), 0)
    values = np.round(np.clip(truth.dosages + noise, 0, 2) * 16384) / 16384
    return truth, values, write_pgen(truth, tmp_path / "d", values)


def test_dosages_are_read_and_count_the_named_allele(tmp_path: Path, dosages: tuple[Truth, np.ndarray, Path]) -> None:
    truth, values, path = dosages
    with closing(open_source(path)) as source:
        np.testing.assert_array_equal(source.read(np.arange(42), np.arange(200)), values)
        rows, snps = np.array([40, 2, 3]), np.array([0, 7, 8, 199])
        np.testing.assert_array_equal(source.read(rows, snps), values[np.ix_(snps, rows)])
        check_genotype_source(source)
    env = variable(truth, tmp_path / "env.csv")
    result = lfmm2.run(None, path, env, K=2, surrogates=0, impute="mean")
    X = np.loadtxt(env, delimiter=",", skiprows=1, usecols=1)[:, None]
    dense = reference.lfmm2(values.T, values.T, X, 2, df="intercept", standardize=True)
    np.testing.assert_allclose(result.t, dense.t, rtol=1e-8, atol=1e-8)
    table = result.table()
    assert table["A1"].to_pylist() == [ref for _, ref in truth.alleles]
    np.testing.assert_allclose(table["A1_FREQ"].to_numpy(), np.nanmean(values, axis=1) / 2, rtol=1e-12)
    other = lfmm2.run(None, path, env, K=2, surrogates=0, count_allele="a1").table()
    assert other["A1"].to_pylist() == [alt for alt, _ in truth.alleles]
    np.testing.assert_allclose(other["BETA"].to_numpy(), -table["BETA"].to_numpy(), rtol=1e-9, atol=1e-12)


def test_hard_calls_are_taken_where_they_are_asked_for(tmp_path: Path, dosages: tuple[Truth, np.ndarray, Path]) -> None:
    truth, _, path = dosages
    env = variable(truth, tmp_path / "env.csv")
    with pytest.raises(UsageError, match=r"maf applies to hard calls, but the dosages of .*d\.pgen .*--hard-calls"):
        lfmm2.run(None, path, env, K=2, maf=0.05)
    result = lfmm2.run(None, path, env, K=2, maf=0.05, hard_calls=True, surrogates=0)
    assert len(result.table()) > 100
    with open_source(path, hard_calls=True) as source:
        check_genotype_source(source)
    bed = truth.write_bed(tmp_path / "b")
    with pytest.raises(UsageError, match=r"--hard-calls tells how to read a \.pgen, and none is given"):
        lfmm2.run(None, bed, env, K=2, hard_calls=True)


def with_mode(truth: Truth, mode: int) -> bytes:
    """A .pgen of the truth whose records have one length."""
    codes = np.array(truth.codes)
    n_snps, n = codes.shape
    calls = np.zeros((n_snps, 4 * -(-n // 4)), np.uint8)
    calls[:, :n] = np.where(codes < 0, 3, 2 - codes)
    two_bits = (calls.reshape(n_snps, -1, 4) << np.array([0, 2, 4, 6], np.uint8)).sum(2).astype(np.uint8)
    parts = [two_bits]
    if mode > 2:
        numbers = np.where(codes < 0, 65535, (2 - codes) * 16384).astype("<u2")
        parts.append(numbers.view(np.uint8).reshape(n_snps, -1))
    if mode > 3:
        parts.append(np.where(codes < 0, -32768, 0).astype("<i2").view(np.uint8).reshape(n_snps, -1))
    head = b"\x6c\x1b" + bytes([mode]) + n_snps.to_bytes(4, "little") + n.to_bytes(4, "little") + b"\x40"
    return head + np.hstack(parts).tobytes()


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
@pytest.mark.parametrize("n_samples", [5, 8])
def test_records_of_one_length_are_read(tmp_path: Path, mode: int, n_samples: int) -> None:
    truth = simulate(n_samples, 30)
    path, bed = write_pgen(truth, tmp_path / "x"), truth.write_bed(tmp_path / "b")
    path.write_bytes(bed.read_bytes() if mode == 1 else with_mode(truth, mode))
    with closing(open_source(path)) as source:
        assert source.describe()["values"] == ("hard calls" if mode < 3 else "dosages")
        check_genotype_source(source)
    with open_source(path, hard_calls=True) as source, open_source(bed) as other:
        np.testing.assert_array_equal(packed(source), packed(other))


def test_an_index_apart_is_read_or_asked_for(small: Path) -> None:
    data = small.read_bytes()
    start = int.from_bytes(data[12:20], "little")
    header = bytearray(data[:start])
    header[2] = 0x30
    header[12:20] = (3).to_bytes(8, "little")
    with open_source(small) as source:
        expected = packed(source)
    small.write_bytes(b"\x6c\x1b\x20" + data[start:])
    with pytest.raises(ReadError, match=r"x\.pgen\.pgi: cannot be opened .*has its header in this file, copy it too"):
        open_source(small)
    index = small.with_name("x.pgen.pgi")
    index.write_bytes(b"\x6c\x1b\x10" + header[3:])
    with pytest.raises(MalformedInputError, match=r"x\.pgen\.pgi: begins with 6c 1b 10, but an index of a \.pgen"):
        open_source(small)
    index.write_bytes(header)
    with open_source(small) as source:
        np.testing.assert_array_equal(packed(source), expected)


HEADERS: dict[str, Callable[[Truth], tuple[str, str]]] = {
    "INFO and CM": lambda truth: (".pvar", pvar_text(truth, info=True)),
    "header of a VCF": lambda truth: (".pvar", pvar_text(truth, "##fileformat=VCFv4.2\n##source=a b\n")),
    "no header": lambda truth: (".pvar", bim_text(truth)),
    ".bim": lambda truth: (".bim", bim_text(truth)),
}


def bim_text(truth: Truth) -> str:
    return "".join("\t".join(row) + "\n" for row in truth.bim_rows())


@pytest.mark.parametrize("form", HEADERS)
@pytest.mark.parametrize("compressed", [False, True])
def test_forms_of_the_pvar_are_read(small: Path, monkeypatch: pytest.MonkeyPatch, form: str, compressed: bool) -> None:
    with open_source(small) as source:
        expected = pa.concat_tables(source.iter_variants())
    small.with_suffix(".pvar").unlink()
    end, text = HEADERS[form](simulate(SMALL))
    if compressed:
        monkeypatch.setattr("lfmm2.genotypes.plink._HELD_BIM", 0)
        with pa.output_stream(small.with_suffix(f"{end}.zst"), compression="zstd") as file:
            file.write(text.encode())
    else:
        small.with_suffix(end).write_text(text)
    with open_source(small) as source:
        assert pa.concat_tables(source.iter_variants()).combine_chunks().equals(expected.combine_chunks())
        assert source.find({"rs1", "rs2"})[0].tolist() == [1, 2]


def psam_of(header: str, row: str) -> str:
    names = simulate(SMALL).iid
    return header + "".join(row.format(iid=iid, k=k % 2) + "\n" for k, iid in enumerate(names))


@pytest.mark.parametrize(
    ("text", "fid", "column"),
    [
        (psam_of("##made by hand\n#FID\tIID\tSEX\tpop\n", "f{k}\t{iid}\t1\tp{k}"), "f0", "pop"),
        (psam_of("\ufeff#IID SID SEX pop\r\n", "{iid} 1 NA p{k}\r"), "0", "POP"),
        (psam_of("", "f{k} {iid} 0 0 1 p{k}"), "f0", "PHENO1"),
    ],
)
def test_forms_of_the_psam_are_read(small: Path, text: str, fid: str, column: str) -> None:
    small.with_suffix(".psam").write_text(text)
    with open_source(small) as source:
        assert source.samples.iid == tuple(simulate(SMALL).iid)
        assert source.samples.fid[0] == fid
        assert source.sample_column(column) == ("p0", "p1", "p0", "p1", "p0", "p1", "p0")
        with pytest.raises(UsageError, match=r"env_by is 'height', but .*x\.psam has no such column; give one that"):
            source.sample_column("height")


def change(at: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + new + data[at + len(new) :]


# File, how it is changed, error and message.
FAULTS = [
    (".pgen", lambda d: b"", MalformedInputError, r"x\.pgen: begins with nothing, but a \.pgen with 6c 1b"),
    (".pgen", lambda d: b"hello", MalformedInputError, r"begins with 68 65 6c, but a \.pgen"),
    (".pgen", change(2, b"\x00"), MalformedInputError, r"is a sample-major \.bed; convert it with plink2"),
    (".pgen", change(2, b"\x11"), MalformedInputError, r"storage mode 0x11, which is not read; write it again"),
    (".pgen", lambda d: d[:9], MalformedInputError, "ends within its header; the file looks truncated"),
    (".pgen", lambda d: d[:60], MalformedInputError, "ends within its header; the file looks truncated"),
    (".pgen", lambda d: d[:-1], MalformedInputError, r"bytes, but 90 SNPs of 7 samples, .* need .* looks truncated"),
    (".pgen", lambda d: d + b"\0", MalformedInputError, r"bytes, but 90 SNPs of 7 samples, .* need .* looks damaged"),
    (".pgen", change(3, b"\0\0\0\0"), MalformedInputError, "0 SNPs of 7 samples; the header looks damaged"),
    (".pgen", change(11, b"\x48"), MalformedInputError, "coded in a rare way; write it again with plink2"),
    (".pgen", change(12, b"\x01"), MalformedInputError, "begin at byte 1, before 3; the header looks damaged"),
    (".pgen", change(12, b"\x10"), MalformedInputError, "begin at byte 16, within the header"),
    (".pgen", change(20, b"\x02"), MalformedInputError, "SNP 1 is stored by its differences from one before"),
    (".psam", lambda d: d + b"more\tNA\n", InconsistentInputError, r"7 samples, but 8 in x\.psam; the files do not"),
    (".psam", lambda d: d + b"tree-0\tNA\n", InconsistentInputError, "1 repeated FID IID"),
    (".psam", lambda d: d.replace(b"#IID", b"#NAME"), MalformedInputError, r"the header is '#NAME.*has #FID IID"),
    (".psam", lambda d: d.replace(b"SEX", b"IID"), MalformedInputError, "repeated column names"),
    (".psam", lambda d: b"", MalformedInputError, "is empty"),
    (".psam", lambda d: b"#IID\tSEX\n", MalformedInputError, "is empty"),
    (".pvar", lambda d: d.replace(b"ALT", b"ALLELE"), MalformedInputError, r"last line of the header is .* but a"),
    (".pvar", lambda d: d.replace(b"\tID\t", b"\tID\tID\t"), MalformedInputError, "repeated columns ID; leave out"),
    (".pvar", lambda d: d[: d.rindex(b"\n", 0, -1) + 1], InconsistentInputError, r"90 SNPs, but 89 in x\.pvar"),
    (".pvar", lambda d: d.replace(b"\t101\t", b"\there\t"), MalformedInputError, "line 4: position here is no integer"),
    (".pvar", lambda d: b"", MalformedInputError, r"is empty, but a \.pvar has columns"),
    (".pvar", None, ReadError, r"x\.pvar: cannot be opened"),
]  # fmt: skip


@pytest.mark.parametrize(("end", "edit", "error", "message"), FAULTS)
def test_a_faulty_file_is_told(
    small: Path, end: str, edit: Callable[[bytes], bytes] | None, error: type[LfmmError], message: str
) -> None:
    path = small.with_suffix(end)
    if edit is None:
        path.unlink()
    else:
        path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(error, match=message):
        open_source(small)


def test_a_pvar_of_other_alleles_is_refused(tmp_path: Path) -> None:
    truth = simulate(SMALL, 3)
    library = pytest.importorskip("pgenlib")
    path = write_pgen(truth, tmp_path / "x")
    with library.PgenWriter(str(path).encode(), SMALL, variant_ct=3, allele_ct_limit=3, nonref_flags=False) as writer:
        codes = np.array([[0, 1, 1, 2, 2, 2, 0, 0, 1, 1, -9, -9, 0, 2]] * 3, np.int32)
        writer.append_alleles_batch(codes, allele_cts=np.full(3, 3, np.uint32))
    with pytest.raises(InconsistentInputError, match=r"SNP 1 has more than two alleles, but two in x\.pvar"):
        open_source(path)
    text = pvar_text(truth)
    path.with_suffix(".pvar").write_text(text.replace("\tA\tC\n", "\tA\tC,T\n").replace("\tG\tT\n", "\tG\tT,C\n"))
    with (
        pytest.warns(InputWarning, match="2 variants with more than two alleles"),
        pytest.raises(InconsistentInputError, match=r"SNP 3 has more than two alleles"),
    ):
        open_source(path)


def test_calls_of_more_than_two_alleles_are_missing(tmp_path: Path) -> None:
    truth = simulate(SMALL, 3)
    library = pytest.importorskip("pgenlib")
    path = write_pgen(truth, tmp_path / "x")
    with library.PgenWriter(str(path).encode(), SMALL, variant_ct=3, allele_ct_limit=3, nonref_flags=False) as writer:
        calls = np.array([[0, 1, 1, 1, 0, 0, 0, 0, 1, 1, -9, -9, 0, 0]] * 3, np.int32)
        calls[1, 6:8] = 2
        writer.append_alleles_batch(calls, allele_cts=np.array([2, 3, 2], np.uint32))
    path.with_suffix(".pvar").write_text(pvar_text(truth).replace("\tG\tT\n", "\tG\tT,C\n"))
    with pytest.warns(InputWarning, match=r"1 variant with more than two alleles \(rs1\)"):
        source = open_source(path)
    with closing(source):
        assert source.left_out.tolist() == [1]
        calls = packed(source)
        np.testing.assert_array_equal(calls[1], [0x55, 0x15])
        np.testing.assert_array_equal(calls[0], calls[2])
        assert calls[0, 0] == 0b11_11_00_10
        check_genotype_source(source)


def test_damaged_records_are_told_when_they_are_read(tmp_path: Path) -> None:
    rare = simulate(400, 30)
    rare = Truth(np.where(np.arange(400) % 97 == 5, 1.0, 2.0) * np.ones((30, 1)), rare.iid, rare.chromosomes,
                 rare.positions, rare.ids, rare.alleles)  # fmt: skip
    path = write_pgen(rare, tmp_path / "x")
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[12:20], "little")
    data[start:] = b"\xff" * (len(data) - start)
    path.write_bytes(data)
    with (
        open_source(path) as source,
        pytest.raises(MalformedInputError, match=r"x\.pgen, SNPs 1 to 30: is damaged .*Pgen"),
    ):
        packed(source)


def test_a_file_that_changes_is_told(small: Path) -> None:
    with open_source(small) as source:
        small.write_bytes(small.read_bytes()[:-1])
        with pytest.raises(ChangedInputError, match=r"x\.pgen: was changed since it was opened"):
            source.check_unchanged()
        with pytest.raises(ChangedInputError):
            list(
                source.matrix(lfmm2.genotypes.Engine(1, 1 << 28), np.arange(SMALL), None).cross_products(
                    np.ones((SMALL, 1))
                )
            )


def test_without_pgenlib_it_is_said_what_to_install(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pgenlib", None)
    with pytest.raises(UsageError, match=r"Pgenlib, which is not installed .*; pip install 'lfmm2\[pgen\]', or make"):
        open_source(small)


def test_all_snps_left_out_is_an_error(small: Path, tmp_path: Path) -> None:
    text = small.with_suffix(".pvar").read_text()
    small.with_suffix(".pvar").write_text(
        "".join(f"{row},AA\n" if not row.startswith("#") else f"{row}\n" for row in text.splitlines())
    )
    env = variable(simulate(SMALL), tmp_path / "env.csv")
    with (
        pytest.warns(InputWarning, match="90 variants with more than two alleles"),
        pytest.raises(InconsistentInputError, match=r"x\.pvar: all of its SNPs are left out: 90 variants"),
    ):
        lfmm2.run(None, small, env, K=1)


def test_the_command_line_takes_a_prefix(tmp_path: Path) -> None:
    truth = simulate(42, 120)
    write_pgen(truth, tmp_path / "x")
    env, out = variable(truth, tmp_path / "env.csv"), str(tmp_path / "r")
    command = ["run", "--pfile", str(tmp_path / "x"), "--env", str(env), "-K", "2", "--out", out]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CliRunner().invoke(cli, command, catch_exceptions=False)
    bed = truth.write_bed(tmp_path / "b")
    expected = lfmm2.run(None, bed, env, K=2).table()
    assert lfmm2.read_results(out).table().equals(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bed", "x"], r"x: there is no x\.bed, but x\.pgen; give it with --pfile x"),
        (["--bed", "x", "--pfile", "x"], "--bed and --pfile both give the genotypes to test"),
        (["--pfile", "none"], r"none\.pgen: cannot be opened"),
        (["--bgen", "x.pgen"], r"--bgen is x\.pgen, whose name does not end in \.bgen"),
        (["--pfile", "x", "--sample", "a.sample"], r"--sample tells how to read a \.bgen, and none is given"),
        ([], "there are no genotypes to test; give --bed PREFIX or --vcf FILE, or --pfile, --bgen, --zarr or --matrix"),
    ],
)
def test_wrong_options_are_answered(
    small: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(small.parent)
    variable(simulate(SMALL), small.parent / "env.csv")
    with pytest.raises(LfmmError, match=message):
        CliRunner().invoke(
            cli,
            ["run", *arguments, "--env", "env.csv", "-K", "1", "--out", "r"],
            catch_exceptions=False,
            standalone_mode=False,
        )

"""Names of several filesets: patterns with @, and files with a name a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lfmm2.errors import MalformedInputError, ReadError, UsageError
from lfmm2.genotypes.fileset_names import expand_pattern, list_filesets, names_filesets, read_fileset_list
from lfmm2.genotypes.source_kinds import is_in_memory

ENDS = (".bed", ".other")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def values(pattern: str) -> list[str]:
    found = expand_pattern(pattern, ENDS)
    assert found is not None
    assert {item.pattern for item in found} == {pattern}
    return [item.value for item in found]


@pytest.mark.parametrize("pattern", ["chr@.bed", "chr@", "./chr@", "../{}/chr@.bed"])
def test_pattern_fits_files_in_natural_order(tmp_path, pattern):
    touch(*(f"chr{v}.bed" for v in ("10", "2", "X", "MT", "Y", "1", "XY", "scaffold_10", "scaffold_9", "Un", "22")))
    touch("chr3.bim", "chr.bed", "xchr4.bed", "chr5.bed.gz", "chr6.other")
    wanted = ["1", "2", "10", "22", "X", "Y", "XY", "MT", "scaffold_9", "scaffold_10", "Un"]
    assert values(pattern.format(tmp_path.name)) == wanted


def test_pattern_names_files_with_their_folder(tmp_path):
    touch("data/x.1.bed", "data/x.2.1.bed")
    found = expand_pattern(tmp_path / "data" / "x.@", ENDS)
    assert [item.fileset for item in found] == [tmp_path / "data" / "x.1.bed", tmp_path / "data" / "x.2.1.bed"]


def test_pattern_of_another_kind_of_file():
    touch("chr1.bed", "chr2.other")
    assert values("chr@.other") == ["2"]


def test_text_is_the_same_wherever_it_stands():
    touch("chr1/c1.bed", "chr2/c2.bed", "chr3/c4.bed", "chr4/c4.bim", "a1_1.bed", "a1_2.bed", "a12_12.bed")
    assert values("chr@/c@.bed") == ["1", "2"]
    assert values("chr@/c@") == ["1", "2"]
    assert values("a@_@") == ["1", "12"]


def test_folder_with_the_sign_in_its_name_is_no_pattern():
    touch("me@lab/chr1.bed", "me@lab/chr2.bed", "me@lab/all.bed")
    assert expand_pattern("me@lab/all.bed", ENDS) is None
    assert expand_pattern("me@lab/none.bed", ENDS) is None
    assert values("me@lab/chr@.bed") == ["1", "2"]


def test_characters_of_other_patterns_stand_for_themselves():
    touch("chr[1]*+1.bed", "chr[1]x.bed", "chr11.bed")
    assert values("chr[1]*+@") == ["1"]


def test_hidden_files_are_left_out():
    touch("1.bed", "._1.bed", ".2.bed")
    assert values("@.bed") == ["1"]


def test_file_with_the_sign_in_its_name_is_that_file():
    touch("a@.bed", "b.bed")
    assert expand_pattern("a@", ENDS) is None
    assert expand_pattern("a@.bed", ENDS) is None
    touch("a1.bed")
    with pytest.raises(UsageError, match=r"a@: is a file, and the pattern of others \(a1\.bed\); rename it, or list"):
        expand_pattern("a@", ENDS)


def test_pattern_that_fits_nothing_is_an_error():
    with pytest.raises(ReadError, match=r"chr@: no file has a name of this form, in which @ stands for .*; check the"):
        expand_pattern("chr@", ENDS)
    with pytest.raises(ReadError, match=r"absent: cannot be listed \(No such file or directory\); check the path"):
        expand_pattern("absent/chr@", ENDS)


def test_lists_of_filesets_are_told_from_arrays():
    assert names_filesets(["a"])
    assert names_filesets(("a", Path("b")))
    for numbers in ([[0, 1]], [], [0.5, 1.5], [["a", "b"]], "ab", None):
        assert not names_filesets(numbers)
    assert not is_in_memory(["a.bed"])
    assert is_in_memory([[0, 1], [2, 1]])
    assert list_filesets([[0, 1]], ENDS) is None
    assert list_filesets("a.bed", ENDS) is None


def test_patterns_in_a_list_stay_in_their_places():
    touch("a1.bed", "a2.bed", "z.bed")
    found = list_filesets(["z", "a@", Path("b.bed")], ENDS)
    assert [str(item.fileset) for item in found] == ["z", "a1.bed", "a2.bed", "b.bed"]


# --- files with a name a line ---------------------------------------------------------------------------------


def test_list_has_paths_prefixes_and_patterns(tmp_path):
    touch("a.bed", "b c.bed", "d/e.bed", "f1.bed", "g.bed")
    lines = ["\ufeff# filesets", "", "a", "  b c.bed\t", f"{tmp_path}/d/e", "f@", "", "g.bed g.bim g.fam", "#end"]
    Path("list").write_text("\r\n".join(lines))
    assert read_fileset_list("list") == ["a", "b c.bed", f"{tmp_path}/d/e", "f@", "g.bed"]


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        (b"", MalformedInputError, "list: names no fileset; give a path or prefix a line"),
        (b"# a\n\n", MalformedInputError, "list: names no fileset"),
        (b"a\nb\n", ReadError, "list, line 2: there is no fileset b; correct it, paths are taken from the current"),
        (b"\nd/inner\n", ReadError, r"d/list, line 2: there is no fileset d/inner; correct it"),
        (b"in\n", ReadError, r"d/list, line 1: there is no fileset in \(it lies beside the list\); correct it"),
        (b"a.bed a.bim b.fam\n", ReadError, "line 1: there is no fileset a.bed a.bim b.fam"),
        (b"\xff\n", MalformedInputError, "line 1: .*xff' is not UTF-8; convert the file"),
        (b"a" * 5000 + b"\n", ReadError, "line 1: there is no fileset a+…"),
        (b"a" * 10_000, MalformedInputError, "line 1: is too long for a name; give a name a line"),
        (b"a\x00\n", MalformedInputError, "line 1: a NUL byte"),
        (b"\x6c\x1b\x01\x00", MalformedInputError, r"is a \.bed; give a text file"),
    ],
)
def test_fault_of_a_list(content, error, match):
    touch("a.bed", "d/in.bed")
    path = Path("d/list") if b"in" in content else Path("list")
    path.write_bytes(content)
    with pytest.raises(error, match=match):
        read_fileset_list(path)


def test_absent_list_is_told():
    with pytest.raises(ReadError, match=r"nothing: cannot be opened \(No such file or directory\); check the path"):
        read_fileset_list("nothing")

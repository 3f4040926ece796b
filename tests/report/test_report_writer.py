"""The report: what stands in it, that nothing in it acts or calls out, and that a browser shows it."""

from __future__ import annotations

import fcntl
import html
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from made_records import seal_again
from made_results import write_results

pytest.importorskip("matplotlib")

from lfmm2 import plots
from lfmm2.errors import MalformedInputError, OutputExistsError, UsageError, WriteError
from lfmm2.report import picture_sums, report_words
from lfmm2.report import report_writer as report
from lfmm2.report.figure_style import as_png
from lfmm2.report.picture_sums import Discoveries, Layout, Manhattan, QuantilePoints
from lfmm2.report.report_writer import check_report, write_report
from lfmm2.report.summaries import TableSummary
from lfmm2.results.stored_run import StoredRun

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = '<script>alert("x")&'


def scores(d: int = 2, p: int = 2000) -> Any:
    z = np.random.default_rng(8).standard_normal((p, d))
    z[::200, 0] += 6
    return z


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    record = {
        "warnings": [f"a warning of {EVIL}"],
        "imputation": {"method": "factors", "n_held_out": 1000, "rmse_mean": 0.5, "rmse_factors": 0.4, "ratio": 0.8}
        | {"n_left_at_mean": 0},
        "sample_filter": {"mind": 0.2, "n_samples": 83, "n_kept": 80, "left_out": ["i<7>", "i31", "i9"]},
        "filters": {"n_snps": 9999, "no_call": 0, "below_maf": 12, "above_geno": 34, "n_passed": 9953},
        "thinning": {"r2": 0.2, "window": "200", "n_kept": 777, "n_snps": 2000},
    }
    return write_results(folder / "r", scores(), variables=("env1", EVIL), sweep=(1, 2, 3), record=record)


@pytest.fixture(scope="module")
def page(prefix: Path) -> str:
    (path,) = write_report(prefix, dpi=60)
    assert path == Path(f"{prefix}.report.html")
    return path.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Start tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_is_well_formed_and_has_its_sections(page: str) -> None:
    elements = Elements(page)
    assert elements.open == []
    headings = re.findall(r"<h2 [^>]*>([^<]*)</h2>", page)
    assert headings == ["Summary", "Tests", "Choice of K", "Factors", "Data", "Top loci", "Run record"]
    ids = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [attributes["href"] for tag, attributes in elements.tags if tag == "a"]
    assert len(links) >= 7 + 3
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_nothing_acts_or_calls_out(page: str) -> None:
    elements = Elements(page)
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "iframe", "link", "object", "form", "svg"})
    for _, attributes in elements.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "url(" not in page
    assert "@import" not in page


def test_every_picture_has_words(page: str) -> None:
    images = [attributes for tag, attributes in Elements(page).tags if tag == "img"]
    assert len(images) == 3 * 3 + 1 + 2 + 2 + 3 + 2
    assert all(len(image["alt"]) > 20 for image in images)
    assert len({image["alt"] for image in images}) == len(images)


def test_names_of_users_are_text(page: str) -> None:
    assert EVIL not in page
    assert page.count(html.escape(EVIL)) > 10
    assert f"a warning of {EVIL}" in Elements(page).text


def test_summary_has_the_numbers_of_the_run(prefix: Path, page: str) -> None:
    text = Elements(page).text
    assert "60 samples, 2 000 SNPs on 3 contigs, 2 variables, K = 3 latent factors" in text
    q = np.concatenate([block["Q"].to_numpy() for block in StoredRun(prefix).blocks("env1", ["Q"])])
    row = re.search(r">env1</a></td>(.*?)</tr>", page)
    assert row is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1])
    assert cells[:3] == ["1.200 ± 0.010", str((q < 0.05).sum()), str((q < 0.1).sum())]


def test_data_has_filters_imputation_and_thinning(page: str) -> None:
    text = Elements(page).text
    assert "3 of 83 with more than 0.2 of their calls missing (--mind): i<7>, i31, i9" in text
    assert "9 999 SNPs in the file, 0 without a call, 12 below --maf, 34 above --geno" in text
    assert "of 1 000 calls held out: error 0.4 by the factors, 0.5 by the mean, ratio 0.8" in text
    assert "777 of 2 000 SNPs for the factors (r² 0.2, window 200)" in text


def test_choice_of_k_has_the_suggestion_and_the_criteria(page: str) -> None:
    text = Elements(page).text
    assert "Suggested: K = 1. GIF nearest to 1." in text
    assert "3 axes stand out from chance" in text
    assert text.count("R² on the factors") == 2


def test_top_loci_have_twenty_rows_and_mark_discoveries(page: str) -> None:
    table = page.split('<h2 id="loci">')[1].split("<tbody>")[1].split("</tbody>")[0]
    assert table.count("<tr") == 20
    assert table.count('<tr class="found">') == 10


def test_record_is_folded(page: str) -> None:
    (folded,) = re.findall(r"<details><summary>The whole record</summary><pre>(.*?)</pre></details>", page, re.DOTALL)
    assert json.loads(html.unescape(folded))["sweep"]["suggested"] == 1


def test_existing_files_need_overwrite(prefix: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError) as error:
        write_report(prefix, path)
    assert error.value.exit_code == 9
    assert path.read_text() == "mine"
    with pytest.raises(OutputExistsError, match="not a file that lfmm2 has written here"):
        write_report(prefix, path, overwrite=True)
    assert path.read_text() == "mine"
    path.unlink()
    assert write_report(prefix, path, dpi=30) == [path]
    assert write_report(prefix, path, overwrite=True, dpi=40) == [path]
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_results_are_never_replaced(prefix: Path) -> None:
    for name in ("lfmm2.json", "env1.parquet"):
        with pytest.raises(UsageError, match="is a file of the run"):
            write_report(prefix, f"{prefix}.{name}", overwrite=True)
    StoredRun(prefix)


def test_pictures_have_the_same_size_on_the_page_at_any_resolution(prefix: Path, page: str, tmp_path: Path) -> None:
    (path,) = write_report(prefix, tmp_path / "a.html", dpi=30)
    widths = [
        [int(of["width"]) for tag, of in Elements(text).tags if tag == "img"]
        for text in (page, path.read_text(encoding="utf-8"))
    ]
    np.testing.assert_allclose(widths[0], widths[1], atol=5)
    assert max(widths[0]) == 1080


def test_a_folder_that_cannot_be_made_is_an_error(prefix: Path, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="absent"):
        write_report(prefix, tmp_path / "a.html", png=f"{tmp_path}/absent/deep/")


def test_pictures_are_written_beside_it(prefix: Path, tmp_path: Path) -> None:
    path, *pictures = write_report(prefix, tmp_path / "a.html", png=f"{tmp_path}/png/", dpi=40)
    assert sorted(pictures) == sorted((tmp_path / "png").glob("*.png"))
    names = {picture.name for picture in pictures}
    assert {"manhattan-env1.png", "manhattan-joint.png", "scree.png", "histograms-by-k-env1.png"} <= names
    assert all(re.fullmatch(r"[a-zA-Z0-9.+_-]+", name) for name in names)
    assert len(pictures) == path.read_text(encoding="utf-8").count("<img ")
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    with pytest.raises(OutputExistsError):
        write_report(prefix, tmp_path / "b.html", png=tmp_path / "png", dpi=40)
    _, first, *_ = write_report(prefix, tmp_path / "b.html", png=tmp_path / "png" / "b", dpi=40)
    assert first == tmp_path / "png" / "b.manhattan-env1.png"


def test_variables_that_differ_in_signs_only_have_files_of_their_own(tmp_path: Path) -> None:
    write_results(tmp_path / "r", scores(3, 100), variables=("a b", "a_b", "A_B"))
    paths = write_report(tmp_path / "r", png=f"{tmp_path}/png/", dpi=30)
    assert (
        len({path.name.casefold() for path in paths}) == len(paths) == len(list((tmp_path / "png").glob("*.png"))) + 1
    )


def test_a_failure_leaves_nothing(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> bytes:
        raise WriteError("no space")

    monkeypatch.setattr(report, "as_html", full)
    with pytest.raises(WriteError):
        write_report(prefix, tmp_path / "a.html", png=tmp_path / "p", dpi=30)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_nothing_is_begun(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match="pip install"):
        write_report(prefix, tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def cells_of(page: str, name: str) -> dict[str, str]:
    """The row of a table in the summary, by column."""
    table = page.split('<h2 id="summary">')[1].split("</table>")[0]
    columns = re.findall(r"<th[^>]*>(.*?)</th>", table)
    row = next(
        row for row in table.split("<tbody>")[1].split("</tr>") if f">{name}</a>" in row or f">{name}</td>" in row
    )
    cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
    return dict(zip(columns, cells, strict=True))


def shown_text(page: str) -> str:
    """What a reader sees, without the record of the run."""
    return Elements(page.partition("<main>")[2].partition('<section aria-labelledby="record">')[0]).text


def columns_of_loci(page: str) -> list[list[str]]:
    tables = page.split('<h2 id="loci">')[1].split("<h2")[0].split("<table>")[1:]
    return [re.findall(r"<th[^>]*>(.*?)</th>", table) for table in tables]


def test_report_without_calibration_says_nothing_of_calibrated_p(tmp_path: Path) -> None:
    prefix = write_results(tmp_path / "r", scores(), method="none", sweep=(1, 2), gif=1.3)
    (path,) = write_report(prefix, dpi=40)
    page = path.read_text(encoding="utf-8")
    shown = shown_text(page)
    alts = " ".join(of.get("alt", "") for _, of in Elements(page).tags)
    assert "The p-values are not calibrated." in shown
    assert "Benjamini–Hochberg, of p)" in shown
    # nothing else is said to be calibrated, and no remedy is said to be taken
    rest = re.sub(r"not calibrated|nothing removes: --calibrate", "", shown + alts)
    assert "calibrat" not in rest
    assert "raw" not in alts
    assert "p, calibrated" not in cells_of(page, "env1")
    assert cells_of(page, "env1")["p"] not in ("", "—")


def test_raw_and_calibrated_p_stand_side_by_side(prefix: Path, page: str) -> None:
    cells = cells_of(page, "env1")
    columns = ("NEG_LOG10_P_CAL", "NEG_LOG10_P")
    rows = [row for block in StoredRun(prefix).blocks("env1", columns) for row in block.to_pylist()]
    top = max((row["NEG_LOG10_P_CAL"], row["NEG_LOG10_P"]) for row in rows)
    assert [cells["p, calibrated"], cells["p"]] == [report_words.small_p(y) for y in top]
    assert cells["p, calibrated"] != cells["p"]


def test_numbers_have_one_format(page: str) -> None:
    text = shown_text(page)
    assert re.search(r"\d·10⁻[⁰¹²³⁴⁵⁶⁷⁸⁹]", text)
    assert re.findall(r"\d[eE][-+−]\d+", text) == []


def test_one_of_each_is_singular(tmp_path: Path) -> None:
    write_results(
        tmp_path / "r",
        np.full((1, 1), 2.0),
        K=1,
        record={
            "scree": {
                "n_axes": 1,
                "effective_snps": 1.0,
                "bulk_edge": 1.3,
                "is_hidden": False,
                "n_snps": 9,
                "thinning": None,
                "n_axes_unthinned": None,
            },
        },
    )
    (path,) = write_report(tmp_path / "r", dpi=30)
    page = path.read_text(encoding="utf-8")
    text = shown_text(page)
    assert "1 SNP on 1 contig, 1 variable, K = 1 latent factor." in text
    alts = " ".join(of.get("alt", "") for _, of in Elements(page).tags)
    assert re.findall(r"(?<!\d)1 (?:SNPs|factors|samples|axes|loci|variables|calls)\b", text + alts) == []


def test_a_result_is_reported_by_its_files(prefix: Path, tmp_path: Path) -> None:
    class Result:
        paths: ClassVar[dict[str, Path]] = {}

    with pytest.raises(UsageError, match="not written to files; give out="):
        write_report(Result(), tmp_path / "a.html")
    with pytest.raises(UsageError, match="not written to files; give out="):
        plots.manhattan(Result())
    Result.paths = {"record": Path(f"{prefix}.lfmm2.json")}
    assert write_report(Result(), tmp_path / "a.html", dpi=30) == [tmp_path / "a.html"]
    assert plots.qq(Result()).get_title(loc="left").startswith("env1")


@pytest.mark.parametrize(
    "odd",
    [
        {"filters": 5},
        {"gif": None},
        {"gif": {"env1": "1"}},
        {"imputation": "mean"},
        {"imputation": {"n_held_out": 5.5}},
        {"sweep": "1:20"},
        {"sweep": {"K": ["1"]}},
        {"scree": [1]},
        {"thinning": {"n_kept": True, "n_snps": 2}},
        {"calibration": {"method": "student", "variables": {"env1": 1.0}}},
        {"calibration": "student"},
        {"status": ["OK"]},
        {"passes": [1]},
        {"inputs": {"path": "a"}},
        {"warnings": "none"},
        {"software": None},
        {"df": 10**400},
        {"passes": [None]},
        {"tested": {"n_samples_used": None}},
    ],
)
def test_records_that_no_run_has_written_are_malformed(tmp_path: Path, odd: dict[str, Any]) -> None:
    prefix = write_results(tmp_path / "r", scores(1, 50), sweep=(1, 2), record=odd)
    with pytest.raises(MalformedInputError, match=rf"{next(iter(odd))}.*run again"):
        write_report(prefix, dpi=30)


@pytest.mark.parametrize(
    ("ending", "kept", "fact"),
    [
        ("sweep-histograms", 1 + 37, "bins of raw p of env1 at K = 1 do not fill"),
        ("sweep-histograms", 1 + 100, "at K = 2 do not fill"),
        ("sweep-histograms", 1 + 50, "bins of calibrated p"),
        ("sweep-histograms", 1, "has no rows"),
        ("sweep", 2, "has no row of env1 at K = 2"),
        ("scree", 1, "has no rows"),
    ],
)
def test_tables_that_were_cut_off_are_malformed(tmp_path: Path, ending: str, kept: int, fact: str) -> None:
    prefix = write_results(tmp_path / "r", scores(1, 50), sweep=(1, 2))
    path = Path(f"{prefix}.{ending}.tsv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    seal_again(prefix)
    with pytest.raises(MalformedInputError, match=fact):
        write_report(prefix, dpi=30)


def test_factors_of_another_shape_are_malformed(tmp_path: Path) -> None:
    prefix = write_results(tmp_path / "r", scores(1, 50))
    path = Path(f"{prefix}.factors.npz")
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"X": arrays["X"][:-1]}))
    seal_again(prefix)
    with pytest.raises(MalformedInputError, match=r"factors\.npz.*run again"):
        write_report(prefix, dpi=30)


def test_tables_of_more_factors_than_there_are_are_malformed(tmp_path: Path) -> None:
    prefix = write_results(tmp_path / "r", scores(1, 50), record={"factors": {"K": 4}})
    with pytest.raises(MalformedInputError, match="3 factors, but the tables are of K = 4"):
        write_report(prefix, dpi=30)


def test_pictures_alone_leave_the_page_as_it_is(tmp_path: Path) -> None:
    prefix = write_results(tmp_path / "r", scores(1, 50))
    page = Path(f"{prefix}.report.html")
    first, *_ = write_report(prefix, png=f"{tmp_path}/a/", dpi=30)
    assert first == page
    page.write_text("mine")
    pictures = write_report(prefix, png=f"{tmp_path}/b/", dpi=30)
    assert page.read_text() == "mine"
    assert sorted(pictures) == sorted((tmp_path / "b").glob("*.png"))
    with pytest.raises(OutputExistsError):
        write_report(prefix, png=f"{tmp_path}/b/", dpi=30)
    with pytest.raises(OutputExistsError):
        write_report(prefix, page, png=f"{tmp_path}/c/", dpi=30)
    assert not (tmp_path / "c").exists()
    with pytest.raises(OutputExistsError, match=r"r\.report\.html: not a file that lfmm2 has written here"):
        write_report(prefix, png=f"{tmp_path}/b/", overwrite=True, dpi=30)
    page.unlink()
    assert write_report(prefix, png=f"{tmp_path}/b/", overwrite=True, dpi=30)[0] == page
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_png_that_is_empty_or_a_file_is_refused(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.bed").write_bytes(b"x")
    with pytest.raises(UsageError, match="png is empty"):
        write_report(prefix, "a.html", png="")
    with pytest.raises(UsageError, match=r"s\.bed/ is a file"):
        write_report(prefix, "a.html", png="s.bed/")
    assert [path.name for path in tmp_path.iterdir()] == ["s.bed"]


def test_a_folder_made_for_pictures_goes_with_them(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> bytes:
        raise WriteError("no space")

    monkeypatch.setattr(report, "as_html", full)
    with pytest.raises(WriteError, match="no space"):
        write_report(prefix, tmp_path / "a.html", png=f"{tmp_path}/png/", dpi=30)
    assert list(tmp_path.iterdir()) == []


def test_check_report_says_before_a_run_what_would_stop_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_report(tmp_path / "r")
    check_report(f"{tmp_path}/r")
    with pytest.raises(WriteError, match="absent"):
        check_report(tmp_path / "absent" / "r")
    (tmp_path / "r.report.html").write_text("mine")
    with pytest.raises(OutputExistsError):
        check_report(tmp_path / "r")
    with pytest.raises(OutputExistsError, match="not a file that lfmm2 has written here"):
        check_report(tmp_path / "r", overwrite=True)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match="pip install"):
        check_report(tmp_path / "r", overwrite=True)


def test_many_variables_get_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_VARIABLES", 2)
    write_results(tmp_path / "r", scores(100, 300), sweep=(1, 2))
    (path,) = write_report(tmp_path / "r", dpi=60)
    page = path.read_text(encoding="utf-8")
    assert page.count('alt="Manhattan plot of') == 2 + 1
    assert "the first 2 variables have pictures below" in page
    assert ">env100</td>" in page


def test_the_largest_report_stays_below_5_mb() -> None:
    rng = np.random.default_rng(1)
    n_points, n_contigs = picture_sums._MOST_POINTS, 24
    ones = np.ones(n_contigs, np.int64)
    layout = Layout(tuple(map(str, range(n_contigs))), 1000 * ones, ones, 10_000_000 * ones)
    # every cell taken, and strong SNPs everywhere
    grid = np.ones(picture_sums._GRID, np.int64)
    x, contigs = rng.uniform(0, layout.total, n_points), rng.integers(0, n_contigs, n_points)
    points = Manhattan(x, 3 + rng.exponential(9.0, n_points), contigs, 3.0, grid, 0.025)
    found = (Discoveries(0.05, 1000, 40.0), Discoveries(0.1, 2000, 30.0))
    quantiles = QuantilePoints(10**7, *rng.uniform(0, 7, (4, 2500)))
    counts = rng.integers(0, 10**6, 50)
    table = TableSummary(
        "env1", 20, 10**7, 10**7, True, 1.1, 0.01, layout, points, quantiles, quantiles, counts, counts, found, ()
    )
    per_table = sum(len(as_png(draw(table))) for draw in (plots.manhattan, plots.qq, plots.p_histogram))
    # small pictures of a variable, and of the run, are 25 kB at most; base64 makes 3 bytes 4
    assert 4 / 3 * ((report.MOST_VARIABLES + 1) * (per_table + 2 * 25_000) + 8 * 25_000) < 4.5e6


@pytest.mark.parametrize(
    ("p", "options"),
    [
        (1, {}),
        (40, {"K": 0, "sweep": (0, 1)}),
        (300, {"chrom": [f"scaffold{i}" for i in range(300)]}),
        (40, {"chrom": ["<b>&\"'" + "long" * 50] * 40}),
    ],
)
def test_odd_runs_have_a_report(tmp_path: Path, p: int, options: dict[str, Any]) -> None:
    write_results(tmp_path / "r", np.full((p, 1), 2.0), **options)
    (path,) = write_report(tmp_path / "r", dpi=30)
    assert Elements(path.read_text(encoding="utf-8")).open == []


def test_run_without_any_p_has_a_report(tmp_path: Path) -> None:
    write_results(tmp_path / "r", np.full((30, 2), np.nan), gif=np.nan)
    (path,) = write_report(tmp_path / "r", dpi=30)
    page = path.read_text(encoding="utf-8")
    assert "Top loci" not in page
    assert "nan" not in Elements(page).text.split("Run record")[1]


class Browser:
    """Headless Chromium without network, spoken to over its pipe."""

    def __init__(self, folder: Path) -> None:
        for_it, ours = os.pipe()
        theirs, from_it = os.pipe()[::-1]
        # not 3 or 4, which become its ends
        for_it, theirs = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (for_it, theirs))

        def connect() -> None:
            os.dup2(for_it, 3)
            os.dup2(theirs, 4)

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        offline = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            [str(BROWSER), *options, *offline, "about:blank"],
            preexec_fn=connect,
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(for_it)
        os.close(theirs)
        self._to = os.fdopen(ours, "wb", 0)
        self._from = os.fdopen(from_it, "rb", 1 << 20)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask_page(f"{domain}.enable")

    def ask_page(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.ask(method, self._session, **parameters)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._to.write(json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path) -> None:
        self.ask_page("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        return self.ask_page("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = self._from.read1(1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._to.close()
        self._from.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip("needs Chromium")
    made = Browser(tmp_path / "profile")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_browser_shows_all_pictures_without_network_or_complaint(prefix: Path, page: str, browser: Browser) -> None:
    browser.open(Path(f"{prefix}.report.html"))
    images = browser.value("[...document.images].map(i => i.complete && i.naturalWidth > 0 && i.clientWidth > 0)")
    assert images == [True] * page.count("<img ")
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth") is True
    methods = [event.get("method") for event in browser.events]
    assert not {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed"} & {
        *methods
    }
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url[:5] for url in asked if not url.startswith("data:")] == ["file:"]


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_browser_would_complain(tmp_path: Path, browser: Browser) -> None:
    path = tmp_path / "bad.html"
    path.write_text('<img src="http://example.org/a.png"><script>console.error("x")</script>')
    browser.open(path)
    methods = {event.get("method") for event in browser.events}
    assert {"Runtime.consoleAPICalled", "Network.loadingFailed"} <= methods
    assert browser.value("document.images[0].naturalWidth") == 0

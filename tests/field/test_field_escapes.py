"""Names in files of strangers may hold commands for the terminal: none of them reaches it, nor a page, nor the log."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import unicodedata
import warnings
from pathlib import Path

import pytest
from input_cases import IIDS
from made_records import record_entries

import lfmm2
from lfmm2._words import aligned, visible
from lfmm2.cli.program import main
from lfmm2.files import seal_json
from lfmm2.report.html_parts import escaped
from lfmm2.results.record import RunRecord
from lfmm2.results.run_log import as_log

# A new title of the window, a cleared screen, a colour, the clipboard, a C1 control, an end of line with a false
# message, a mark that turns the direction of writing, a line separator, half a character.
ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x1b[31m\x1b]52;c;cm0gLXJm\x07\x9b1m\x7f\u202e\u2066\u2028\u200b"
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
RUN = ("run", "--bed", "d", "--env", "env.csv", "-K", "2", "--threads", "1", "--out", "o")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command; return what it printed, which has the marks in letters and not one of them as it is."""
    with pytest.raises(SystemExit), warnings.catch_warnings():
        main(list(arguments))
    said = "".join(capsys.readouterr())
    assert not UNSEEN.search(said), ascii(UNSEEN.findall(said))
    assert "Traceback" not in said
    return said


def replace(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new, 1), errors="surrogatepass", newline="")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("temperature, °C – Jänner 東京 Ω", "temperature, °C – Jänner 東京 Ω"),
        ("a b", "a b"),
        (r"C:\new", r"C:\new"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\tb\r\nc", r"a\tb\r\nc"),
        ("\x85\x9b", r"\x85\x9b"),
        ("\u202eabc\u2069", r"\u202eabc\u2069"),
        ("\u2028\u2029\ufeff", r"\u2028\u2029\ufeff"),
        ("\udce9", r"\udce9"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_visible_shows_letters_as_they_are_and_the_rest_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_visible_leaves_no_character_that_is_not_seen() -> None:
    every = "".join(map(chr, [*range(0x3000), *range(0xD800, 0x10000), *range(0xE0000, 0xE0080)]))
    left = {unicodedata.category(char) for char in visible(every)}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert visible("a\nb\x1b", in_lines=True) == "a\nb\\x1b"


def test_columns_of_text_keep_their_lines() -> None:
    assert aligned({"a\nb": "1\n2"}).splitlines() == [r"a\nb:             1\n2"]


def test_errors_and_warnings_can_be_seen_in_python_too() -> None:
    for kind in (lfmm2.UsageError, lfmm2.ReadError, lfmm2.OutputExistsError, lfmm2.InputWarning):
        assert str(kind(f"a{ESCAPES}b\nError: c")) == visible(f"a{ESCAPES}b\nError: c")
    with pytest.warns(lfmm2.InputWarning, match=r"^a\\x1b\[2J$"):
        warnings.warn("a\x1b[2J", lfmm2.InputWarning, stacklevel=1)


@pytest.mark.usefixtures("folder")
class TestFilesOfStrangers:
    """The places of which some passed characters on as they were."""

    def test_sample_of_the_fam(self, capsys: pytest.CaptureFixture[str]) -> None:
        replace("d.fam", IIDS[0], ESCAPES)
        assert r"\x1b]0;pwned" in printed(capsys, *RUN)

    def test_sample_of_the_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        replace("env.csv", IIDS[0], f'"{ESCAPES}"')
        assert r"\x1b]0;pwned" in printed(capsys, *RUN)

    def test_cell_of_the_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = Path("env.csv").read_text().splitlines()[1]
        replace("env.csv", line, line.rpartition(",")[0] + f",{ESCAPES}")
        assert r"\x1b]0;pwned" in printed(capsys, *RUN)

    def test_repeated_snp(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = [line.split("\t") for line in Path("d.bim").read_text().splitlines()]
        lines[0][1] = lines[1][1] = ESCAPES
        Path("d.bim").write_text("".join("\t".join(line) + "\n" for line in lines))
        said = printed(capsys, *RUN)
        assert "Warning" in said
        assert r"\x1b]0;pwned" in said
        # The tables keep the bytes of the .bim.
        assert lfmm2.read_results("o").table()["ID"][0].as_py() == ESCAPES

    def test_name_of_the_files(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in ("bed", "bim", "fam"):
            shutil.copy(f"d.{kind}", f"\x1b[2J.{kind}")
        arguments = [*RUN[:2], "\x1b[2J", *RUN[3:-1], "\x1b[31m"]
        monkeypatch.setattr("sys.argv", ["lfmm2", *arguments])
        said = printed(capsys, *arguments)
        assert r"\x1b[31m.factors.npz" in said
        assert r"\x1b[2J" in Path("\x1b[31m.lfmm2.log").read_text()
        assert r"\x1b[3" in printed(capsys, "verify", "\x1b[31m")
        assert r"\x1b[9" in printed(capsys, "verify", "\x1b[9m")

    def test_holder_of_the_lock(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("o.state").mkdir()
        Path("o.state/lock").write_text(json.dumps({"pid": ESCAPES, "host": "h\nError: x", "since": "s"}))
        with Path("o.state/lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            said = printed(capsys, *RUN)
        assert r"process \x1b]0;pwned" in said
        assert said.count("\n") == 1

    def test_record_of_a_stranger(self, capsys: pytest.CaptureFixture[str]) -> None:
        printed(capsys, *RUN)
        record = json.loads(Path("o.lfmm2.json").read_text())
        del record["sha256"]
        for change in ({"variables": [ESCAPES]}, {"command": ESCAPES, "warnings": [ESCAPES]}, {ESCAPES: 1}):
            Path("o.lfmm2.json").write_bytes(seal_json(record | change))
            printed(capsys, "verify", "o")
            printed(capsys, "hits", "o", "--overwrite")
        files = {f"o.{ESCAPES}": {"bytes": 1, "sha256": "0"}}
        Path("o.lfmm2.json").write_bytes(seal_json(record | {"files": record["files"] | files}))
        assert r"\x1b]0;pwned" in printed(capsys, "verify", "o")

    def test_arguments(self, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in ([ESCAPES], ["run", f"--{ESCAPES}"], ["run", "--solver", ESCAPES], ["hits", "o", ESCAPES]):
            assert "pwned" in printed(capsys, *arguments)
        with pytest.raises(SystemExit):
            main(["--debug", *RUN[:-1], f"{ESCAPES}/o"])
        said = capsys.readouterr().err
        assert said.startswith("Traceback")
        assert not UNSEEN.search(said)

    def test_variable(self, capsys: pytest.CaptureFixture[str]) -> None:
        replace("env.csv", "x", ESCAPES)
        assert r"\x1b]0;pwned" in printed(capsys, *RUN)


def test_log_and_page_of_a_record_of_a_stranger() -> None:
    entries = record_entries(["x"], 10) | {"files": {}, "command": ESCAPES, "warnings": [f"{ESCAPES}\nGIF: 1"]}
    entries["software"]["numpy"] = ESCAPES
    log = as_log(RunRecord.from_json(entries), "plan").decode()
    assert not UNSEEN.search(log)
    assert not re.search("^GIF: 1", log, re.MULTILINE)
    assert escaped(f"<{ESCAPES}>") == "&lt;" + visible(ESCAPES) + "&gt;"

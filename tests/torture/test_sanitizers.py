"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer: the quick tier of tests/torture/sanitizers.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from torture import sanitizers, seeded_bugs

BUGS = (*seeded_bugs.ADDRESS, *seeded_bugs.UNDEFINED, *seeded_bugs.THREAD)


def test_kernels_pass_under_sanitizers_that_catch_a_seeded_bug() -> None:
    lacks = sanitizers.missing_build_tools()
    if lacks or sanitizers.find_gcc() is None:
        pytest.skip(f"not installed: {lacks or 'gcc with libasan and libubsan'}")
    counts = sanitizers.run(full=False)["address_and_undefined"]
    assert isinstance(counts, dict)
    assert counts["tests_passed"] > 600
    assert counts["reports"] == 0
    assert counts["seeded_bugs_caught"] == counts["seeded_bugs"] == 1


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_seeded_bug_finds_its_place_in_the_sources(bug: seeded_bugs.SeededBug, tmp_path: Path) -> None:
    source = (sanitizers.ROOT / sanitizers.SOURCES / bug.file).read_text(encoding="utf-8")
    (tmp_path / bug.file).parent.mkdir(exist_ok=True)
    (tmp_path / bug.file).write_text(source, encoding="utf-8")
    bug.apply(tmp_path)
    assert (tmp_path / bug.file).read_text(encoding="utf-8") != source


def test_seeded_bug_refuses_sources_that_have_changed(tmp_path: Path) -> None:
    bug = seeded_bugs.ADDRESS[0]
    (tmp_path / bug.file).write_text("other kernels\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"its text occurs 0 times in _core\.pyx; adapt it"):
        bug.apply(tmp_path)

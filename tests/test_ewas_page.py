"""The code of docs/ewas.md runs, finds what was simulated, and calls columns features."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lfmm2.downstream.hits import collect_hits

PAGE = Path(__file__).parents[1] / "docs" / "ewas.md"


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_code_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    parts = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec("\n".join(parts), names)
    causal = set(names["cpgs"][:12])
    found = names["found"]
    assert len(causal & set(found["ID"])) >= 10
    assert len(set(found["ID"]) - causal) <= 2
    place = names["manifest"].loc[found["ID"]]
    assert found["CHROM"].tolist() == place["CHR"].astype(str).tolist()
    assert found["POS"].tolist() == place["MAPINFO"].tolist()
    of_m, result = names["of_m"], names["result"]
    assert np.corrcoef(of_m.t[:, 0], result.t[:, 0])[0, 1] > 0.9
    assert "cg" in capsys.readouterr().out
    page = Path("ewas.report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(style|script|pre).*?</\1>|data:[^\"]*", " ", page))
    for shown in (text, Path("ewas.lfmm2.log").read_text(encoding="utf-8"), str(collect_hits("ewas").summary())):
        assert "feature" in shown
        assert not re.search(r"\bSNPs?\b|frequency of A1|allele", shown), re.findall(r".{40}\bSNPs?\b.{40}", shown)[:5]

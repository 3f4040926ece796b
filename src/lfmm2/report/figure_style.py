"""Where pictures are drawn: figures of our own style whatever the host has set, written as PNG; what pictures share.

matplotlib is imported when the first picture is drawn, without pyplot.
"""

from __future__ import annotations

import contextlib
import io
import unicodedata
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lfmm2.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# distinct to the colour-blind (Okabe and Ito)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7F00")
MARKERS = "osD^vPX*"
DARK, LIGHT, HIT, LINE, GREY = "#33567A", "#8FABC7", "#D55E00", "#555555", "#9AA3AD"

_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "path.simplify": True,
}
# those that may hold letters which the first lacks
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Arial Unicode MS")


def require_matplotlib() -> None:
    """Raise UsageError with the remedy where matplotlib is absent."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(f"pictures need matplotlib ({error}); pip install 'lfmm2[plot]'") from error


@contextlib.contextmanager
def style() -> Iterator[None]:
    """matplotlib as it comes, with our changes, whatever the host has set; its settings are back at the end."""
    require_matplotlib()
    from matplotlib import font_manager
    from matplotlib.style import context

    known = {font.name for font in font_manager.fontManager.ttflist}
    fonts = {"font.family": [name for name in _FONTS if name in known] or ["sans-serif"]}
    with context(["default", _STYLE | fonts]):
        yield


@contextlib.contextmanager
def canvas(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """`ax`, or one that fills a new figure of this size in inches."""
    if ax is not None:
        yield ax
        return
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.add_subplot()


def as_png(ax: Axes, dpi: float = 150) -> bytes:
    """The figure of `ax`, which `canvas` has made, as PNG with a palette: a third of the bytes of one without."""
    with style(), warnings.catch_warnings():
        # letters that no font has are boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        from PIL import Image

        figure: Any = ax.figure
        figure.set_dpi(dpi)
        figure.canvas.draw()
        picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        packed = io.BytesIO()
        picture.quantize(128, dither=Image.Dither.NONE).save(packed, format="png", optimize=True)
    return packed.getvalue()


def plain(text: str, most: int = 40) -> str:
    """A name of the user's as matplotlib may draw it: one line, no formula, not too long."""
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    # a label that begins with _ is left out of legends
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


def say(ax: Any, text: str) -> None:
    """A picture without data says why."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=LINE)
    ax.set_xticks([])
    ax.set_yticks([])


def p_bars(axes: Any, calibrated: Any, raw: Any | None) -> None:
    """Counts of calibrated p as bars and of raw p as an outline; of raw p as bars where `raw` is None."""
    edges = np.linspace(0, 1, len(calibrated) + 1)
    axes.stairs(calibrated, edges, fill=True, color="#9DBBD8", label="raw" if raw is None else "calibrated")
    if raw is not None:
        axes.stairs(raw, edges, color="#444444", linewidth=0.8, label="raw")
    even = float(np.sum(calibrated)) / len(calibrated)
    axes.axhline(even, color=HIT, linewidth=0.9, linestyle="--", label="uniform")
    axes.set_xlim(0, 1)


def ticks(low: int, high: int) -> list[int]:
    """Round whole numbers from `low` to `high`, and `low` itself."""
    from matplotlib.ticker import MaxNLocator

    round_ones = MaxNLocator(10, integer=True, min_n_ticks=1).tick_values(low, high)
    step = round_ones[1] - round_ones[0] if len(round_ones) > 1 else 1
    return [low, *(int(tick) for tick in round_ones if low + 0.6 * step <= tick <= high)]

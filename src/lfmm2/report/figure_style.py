"""The style of all pictures, whatever settings matplotlib has, their writing as PNG, and parts that pictures share.

matplotlib is imported when the first picture is drawn; pyplot is used where the user has made it interactive.
"""

from __future__ import annotations

import contextlib
import io
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from lfmm2.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that colour-blind readers can tell apart (Okabe and Ito); the last one is a colour of our own.
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
# Fonts by preference; those after the first have letters that the first lacks, such as Chinese ones.
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Arial Unicode MS")

# Whether pictures are drawn for files only.
_is_off_screen: ContextVar[bool] = ContextVar("lfmm2 draws for files", default=False)


def require_matplotlib() -> None:
    """Raise UsageError with the remedy if matplotlib is absent."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(f"pictures need matplotlib ({error}); pip install 'lfmm2[plot]'") from error


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Use the defaults of matplotlib with our style until the block ends, then restore the user's settings."""
    require_matplotlib()
    from matplotlib import font_manager
    from matplotlib.style import context

    known = {font.name for font in font_manager.fontManager.ttflist}
    fonts = {"font.family": [name for name in _FONTS if name in known] or ["sans-serif"]}
    with context(["default", _STYLE | fonts]):
        yield


@contextlib.contextmanager
def canvas(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Give `ax`, or if it is None the Axes of a new figure of this size in inches, drawn in our style.

    Where pyplot is interactive, as it is in notebooks, the figure is one of pyplot's, which shows it; but not within
    `off_screen`.
    """
    if ax is not None:
        yield ax
        return
    with style():
        pyplot = None if _is_off_screen.get() else sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and pyplot.isinteractive():
            yield pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()
            return
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.add_subplot()


@contextlib.contextmanager
def off_screen() -> Iterator[None]:
    """Draw pictures for files until the block ends: none of them is shown."""
    before = _is_off_screen.set(True)
    try:
        yield
    finally:
        _is_off_screen.reset(before)


def as_png(ax: Axes, dpi: float = 150) -> bytes:
    """Return the figure of `ax`, which `canvas` has made, as PNG with a palette, which takes a third of the bytes."""
    with style(), warnings.catch_warnings():
        # matplotlib warns of letters that no font has, and draws them as boxes.
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
    """Return a name of the user's that matplotlib draws as it is: one line, no formula, at most `most` letters."""
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    # matplotlib leaves a label that begins with _ out of legends.
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


def say(ax: Any, text: str) -> None:
    """Write a sentence into a picture that has no data."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=LINE)
    ax.set_xticks([])
    ax.set_yticks([])


def p_bars(axes: Any, calibrated: Any, raw: Any | None) -> None:
    """Draw counts of calibrated p as bars and of raw p as an outline; if `raw` is None, the bars are the raw p."""
    edges = np.linspace(0, 1, len(calibrated) + 1)
    axes.stairs(calibrated, edges, fill=True, color="#9DBBD8", label="raw" if raw is None else "calibrated")
    if raw is not None:
        axes.stairs(raw, edges, color="#444444", linewidth=0.8, label="raw")
    even = float(np.sum(calibrated)) / len(calibrated)
    axes.axhline(even, color=HIT, linewidth=0.9, linestyle="--", label="uniform")
    axes.set_xlim(0, 1)


def ticks(low: int, high: int) -> list[int]:
    """Return ticks at `low` and at round whole numbers up to `high`."""
    from matplotlib.ticker import MaxNLocator

    round_ones = MaxNLocator(10, integer=True, min_n_ticks=1).tick_values(low, high)
    step = round_ones[1] - round_ones[0] if len(round_ones) > 1 else 1
    return [low, *(int(tick) for tick in round_ones if low + 0.6 * step <= tick <= high)]

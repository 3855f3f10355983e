"""Comparisons as one page that holds all it needs: it loads nothing, and its only script is its own."""

from __future__ import annotations

from collections.abc import Sequence

from aecodec.benchmarks.comparison import Comparison
from aecodec.benchmarks.viewer import render


def page(comparisons: Sequence[Comparison]) -> str:
    """The page of one picture or several, HTML; see docs/compare.md for what it can do."""
    return render("compare.html", comparisons, title=title(comparisons))


def title(comparisons: Sequence[Comparison]) -> str:
    """What the page is called."""
    names = [comparison.name for comparison in comparisons]
    what = names[0] if len(names) == 1 else f"{len(names)} pictures"
    return f"{what} at equal bytes"

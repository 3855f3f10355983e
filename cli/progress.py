"""How far a command has come: a bar in the last line of a terminal, and nothing elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LONG = 10  # tiles; a pass of fewer is not shown. Those of the codec's networks have 0.8 megapixels


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of a command, which --quiet hides."""

    quiet: bool

    @property
    def visible(self) -> bool:
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    def show(self, task: str, done: int, of: int) -> None:
        """Draws the bar over what the line held."""
        if self.visible:
            label = f"{task} {done}/{of}"
            width = max(shutil.get_terminal_size().columns - len(label) - 4, 1)
            sys.stderr.write(f"\r\033[K[{'#' * (width * done // of):{width}}] {label}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leaves the line empty."""
        if self.visible:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    @contextmanager
    def within_pictures(self) -> Iterator[None]:
        """Within, the bar shows long passes of networks over pictures, one after the other."""
        from codec.progress import watching

        try:
            with watching(self.show_pass):
                yield
        finally:
            self.clear()

    def show_pass(self, task: str, done: int, of: int) -> None:
        if of >= LONG:
            self.show(task, done, of)

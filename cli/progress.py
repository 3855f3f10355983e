"""A progress bar in the last line of a terminal; nothing is written if the output is no terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

# Seconds left below which no time is shown: the estimate of so short a rest jumps about.
SOON = 10.0
# Tiles from which a pass is shown. A tile of the codec's networks has 0.8 megapixels, so smaller pictures are
# done before a bar could be read.
LONG = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of a command, which --quiet hides."""

    quiet: bool

    @property
    def visible(self) -> bool:
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    def show(self, task: str, done: int, of: int, left: float = 0) -> None:
        """Draw the bar over the last line. `left` is the estimate of the seconds to the end, 0 if unknown."""
        if self.visible:
            label = f"{task} {done}/{of}"
            if left >= SOON:
                label += f", {timedelta(seconds=int(left))} left"
            width = max(shutil.get_terminal_size().columns - len(label) - 4, 1)
            sys.stderr.write(f"\r\033[K[{'#' * (width * done // of):{width}}] {label}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Clear the line."""
        if self.visible:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    @contextmanager
    def within_pictures(self) -> Iterator[None]:
        """A context in which the bar shows long passes of networks over pictures, one after the other."""
        from aecodec.progress import progress_listener

        try:
            with progress_listener(Passes(self).show):
                yield
        finally:
            self.clear()


@dataclass(frozen=True, slots=True)
class Passes:
    """Shows passes of at least LONG tiles in a bar, with an estimate of their end."""

    bar: Bar
    began: dict[str, float] = field(default_factory=dict)  # by task, when its first tile was done

    def show(self, task: str, done: int, of: int) -> None:
        if of < LONG:
            return
        now = time.monotonic()
        if done == 1:
            self.began[task] = now
        spent = now - self.began.get(task, now)
        self.bar.show(task, done, of, spent * (of - done) / max(done - 1, 1))

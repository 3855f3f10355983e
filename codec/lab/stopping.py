"""Whether a process that trains for a command is to stop.

A signal that the command gets alone reaches none of its processes.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from aecodec.parallel import end_with_parent

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

asked: Event | None = None  # of this process, set by the command


def begin(event: Event) -> None:
    """Let this process end with its parent, and let an event and SIGTERM stop what it trains."""
    global asked
    asked = event
    signal.signal(signal.SIGTERM, lambda caught, _: sys.exit(128 + caught))  # after saving
    end_with_parent()


def check_stop() -> None:
    """Raise KeyboardInterrupt if this process is to stop."""
    if asked and asked.is_set():
        raise KeyboardInterrupt

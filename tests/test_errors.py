"""The tree of errors is the one that the docstring draws."""

from __future__ import annotations

import re

from aecodec import errors


def drawn_parents() -> dict[str, str]:
    """Each class in the drawing and the class it hangs from."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = [(-1, "Exception")]
    for margin, name in re.findall(r"^([ │├└─]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        while path[-1][0] >= len(margin):
            path.pop()
        parents[name] = path[-1][1]
        path.append((len(margin), name))
    return parents


def test_every_class_hangs_where_it_is_drawn() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    bases = {value.__name__: value.__bases__[0].__name__ for value in classes}
    assert bases == drawn_parents()


def test_every_class_says_what_it_means() -> None:
    assert all(getattr(errors, name).__doc__ for name in drawn_parents())

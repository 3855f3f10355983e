"""Rows of a CSV file: their numbers, a column of labels, and whether a line of names stands above them.

Where that cannot be known, the file is refused.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aecodec.errors import ImageError

Cells = list[list[str]]  # of rows, without blanks around them
EXCERPT = 60  # characters of a row in an error


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers (N, D), labels (N,) where a column holds them, and whether the first line is of names."""

    values: NDArray[np.float64]
    labels: NDArray[np.str_] | None
    named: bool

    @property
    def says(self) -> str:
        """What was taken for rows."""
        rows, columns = self.values.shape
        return f"{rows} rows of {columns} numbers, {'a' if self.named else 'no'} line of names"


def parse_table(source: Path, data: bytes, label: str | None) -> Table:
    """The rows of a file's bytes; `label` is the number of the column of labels, or its name.

    Raises ImageError.
    """
    rows = split_rows(source, data)
    column, named = layout_of(source, rows, label)
    width, rows = len(rows[0]), rows[named:]
    values = np.empty((len(rows), width - (column is not None)))
    for line, row in enumerate(rows, 1):
        if len(row) != width:
            raise ImageError(f"{source}: row {line} has {len(row)} values, not {width}: mend it")
        for place, cell in enumerate(without(row, column)):
            if (value := number(cell)) is None:
                raise ImageError(
                    f"{source}: row {line} holds {cell[:40]!r}, no number: name its column with --labels"
                )
            values[line - 1, place] = value
    labels = None if column is None else np.array([row[column] for row in rows], np.str_)
    return Table(values, labels, named)


def split_rows(source: Path, data: bytes) -> Cells:
    """The cells of a text, whatever separates them; raises ImageError where there are none."""
    try:
        text = data.decode("utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t ") if text.strip() else csv.excel
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), dialect) if row]
    except UnicodeDecodeError as error:
        raise ImageError(f"{source} is no text, so it has no rows of numbers: save it in UTF-8") from error
    except csv.Error:  # one column has no separator to be known by
        rows = [[line.strip()] for line in text.splitlines() if line.strip()]
    if not rows:
        raise ImageError(f"{source} is empty: give rows of numbers")
    return rows


def layout_of(source: Path, rows: Cells, label: str | None) -> tuple[int | None, bool]:
    """Which column holds the labels, and whether the first row is of names; raises ImageError."""
    first = rows[0]
    if label is None:
        return None, has_names(source, rows, None)
    by_name = first.index(label) if label in first else None
    if label.isdecimal() and 1 <= int(label) <= len(first):
        column = int(label) - 1
        named = has_names(source, rows, column)
        if named and by_name is not None and by_name != column:
            raise ImageError(
                f"{source}: {label} is column {label} or column {by_name + 1}, which is named so: rename that"
            )
        return column, named
    if by_name is None:
        raise ImageError(f"{source} has no column {label!r}: name one, or give its number, 1 to {len(first)}")
    if first.count(label) > 1:
        raise ImageError(f"{source} has several columns {label!r}: give the number of one, 1 to {len(first)}")
    if label in labels_below(rows, by_name):
        raise ImageError(
            f"{source}: {label!r} is a label, not a name: give the column's number, {by_name + 1}"
        )
    return by_name, True


def has_names(source: Path, rows: Cells, column: int | None) -> bool:
    """Whether the first row is of names: its values, beside the label, are no numbers, or 0, 1, 2 and so on.

    Raises ImageError where it may be either.
    """
    first = rows[0]
    cells = [cell for cell in without(first, column) if cell]  # a column of row numbers may have no name
    numbers = [cell for cell in cells if number(cell) is not None]
    if not numbers:
        return bool(cells)
    worded = column is not None and number(first[column]) is None
    recurs = column is not None and first[column] in labels_below(rows, column)
    if worded and recurs:
        return False
    if len(numbers) == len(cells):
        counting = counts_up(cells) or counts_up([cell for cell in first if cell])
        if counting and not recurs:
            return True
        if not (counting or worded):
            return False
    raise ImageError(
        f"{source}: the first row may be of names or of numbers ({', '.join(first)[:EXCERPT]}): "
        "give columns words for names, or take that row out"
    )


def labels_below(rows: Cells, column: int) -> set[str]:
    """The labels of all rows but the first."""
    return {row[column] for row in rows[1:] if len(row) > column}


def counts_up(cells: list[str]) -> bool:
    """Whether cells are 0, 1, 2 and so on, as pandas names columns."""
    return len(cells) > 1 and cells == [str(place) for place in range(len(cells))]


def without(row: list[str], column: int | None) -> list[str]:
    """The cells of a row beside that of its label."""
    return [cell for place, cell in enumerate(row) if place != column]


def number(cell: str) -> float | None:
    """The number in a cell, None where it holds none."""
    try:
        return float(cell)
    except ValueError:
        return None

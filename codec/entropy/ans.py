"""The ANS coder of the stream: symbols on a stack, by `constriction` or, where that is missing, in Python.

Both write the same bytes. The coder is the streaming form of asymmetric numeral systems (Duda 2013, arXiv
1311.2540) with 32-bit words, a 64-bit state and frequencies that sum to 2**24. docs/format.md specifies it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aecodec.errors import ModelError

FREQUENCY_BITS = 24  # frequencies of a table sum to 2**24
WORD_BITS = 32
STATE_BITS = 64
FREQUENCY_MASK = 2**FREQUENCY_BITS - 1
WORD_MASK = 2**WORD_BITS - 1
TOTAL_LIMIT = 2 ** (63 - FREQUENCY_BITS)  # of the counts of a table
STATE_MINIMUM = 2**WORD_BITS  # below it the state takes a word from the stack, if there is one

Codes = NDArray[np.int32]


class Stack(Protocol):
    """Symbols on a stack: what is pushed last is popped first."""

    def encode_reverse(self, codes: Codes, model: Any) -> None:
        """Push codes (n,) under a table, the last first, so that they are popped in their order."""

    def decode(self, model: Any, count: int) -> Codes:
        """Pop codes (count,) under a table."""

    def get_compressed(self) -> NDArray[np.uint32]:
        """The words of all that is on the stack; the top stands last."""

    def is_empty(self) -> bool:
        """Whether nothing is left to pop."""


class Ans(Protocol):
    """An implementation of the coder."""

    def categorical(self, counts: NDArray[np.uint32]) -> Any:
        """The table of codes 0 to n - 1 with these counts (n,), each above 0; n is 2 or more."""

    def uniform(self, size: int) -> Any:
        """The table of codes 0 to size - 1 that are all as likely; `size` is a power of two up to 2**24."""

    def stack(self, words: NDArray[np.uint32] | None = None) -> Stack:
        """A stack, empty or with words (n,) that `get_compressed` gave; raises ValueError for others."""


@cache
def installed_ans() -> Ans:
    """`constriction` where it is installed, 15 times as fast at decoding as `PythonAns`; else that."""
    try:
        from constriction import stream
    except ImportError:  # it has no wheels for Linux and Windows on ARM
        return PythonAns()
    return ConstrictionAns(stream.model.Categorical, stream.model.Uniform, stream.stack.AnsCoder)


@dataclass(frozen=True)
class ConstrictionAns:
    """The coder of `constriction`, by that package's own classes."""

    table: Callable[..., Any]  # of floats
    uniform: Callable[[int], Any]
    stack: Callable[..., Stack]

    def categorical(self, counts: NDArray[np.uint32]) -> Any:
        """See `Ans`. It takes shares, of which each code gets 1 more: from floats, which are exact here."""
        shares = np.diff(cumulative_frequencies(counts)) - 1
        return self.table(shares.astype(np.float64), perfect=False)


class PythonAns:
    """The coder in plain Python."""

    def categorical(self, counts: NDArray[np.uint32]) -> Frequencies:
        return Frequencies(cumulative_frequencies(counts))

    def uniform(self, size: int) -> Frequencies:
        return Frequencies(np.arange(size + 1) << FREQUENCY_BITS - (size.bit_length() - 1))

    def stack(self, words: NDArray[np.uint32] | None = None) -> PythonStack:
        return PythonStack(words)


def cumulative_frequencies(counts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The frequencies (n + 1,) of all codes below each, from 0 to 2**24, of counts (n,).

    Each code has a frequency of 1; the other 2**24 - n are shared by the counts, rounded down where one ends.
    All in integers. Raises ModelError for counts whose products with 2**24 do not fit 64 bits.
    """
    below = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    if below[-1] >= TOTAL_LIMIT:
        raise ModelError(
            f"counts of a table sum to {below[-1]}, over {TOTAL_LIMIT - 1}: export the model anew"
        )
    shared = below * (2**FREQUENCY_BITS - len(counts)) // below[-1]
    cumulative: NDArray[np.int64] = shared + np.arange(len(below))
    return cumulative


class Frequencies:
    """A table: where the interval of each code begins, and how long it is, of 2**24."""

    def __init__(self, cumulative: NDArray[np.int64]) -> None:
        ends: list[int] = cumulative.tolist()
        self.starts, self.ends = ends[:-1], ends[1:]
        self.frequencies = [end - start for start, end in pairwise(ends)]


class PythonStack:
    """The words of a stack and the state, a number below 2**64, that stands above them."""

    def __init__(self, words: NDArray[np.uint32] | None = None) -> None:
        self.words: list[int] = [] if words is None else words.tolist()
        self.state = 0
        if self.words and not self.words[-1]:
            raise ValueError("the last word is 0")
        while self.words and self.state < STATE_MINIMUM:
            self.state = self.state << WORD_BITS | self.words.pop()

    def encode_reverse(self, codes: Codes, model: Frequencies) -> None:
        """See `Stack`; raises ValueError for codes that are not in the table."""
        starts, frequencies, words, state = model.starts, model.frequencies, self.words, self.state
        if codes.min(initial=0) < 0 or codes.max(initial=0) >= len(starts):
            raise ValueError("a code is not in the table")
        for code in reversed(codes.tolist()):
            frequency = frequencies[code]
            if state >> STATE_BITS - FREQUENCY_BITS >= frequency:
                words.append(state & WORD_MASK)
                state >>= WORD_BITS
            share, rest = divmod(state, frequency)
            state = share << FREQUENCY_BITS | starts[code] + rest
        self.state = state

    def decode(self, model: Frequencies, count: int) -> Codes:
        """See `Stack`; any words give some codes."""
        starts, ends, frequencies = model.starts, model.ends, model.frequencies
        words, state, find = self.words, self.state, bisect_right
        codes = []
        for _ in range(count):
            place = state & FREQUENCY_MASK
            code = find(ends, place)
            codes.append(code)
            state = (state >> FREQUENCY_BITS) * frequencies[code] + place - starts[code]
            if state < STATE_MINIMUM and words:
                state = state << WORD_BITS | words.pop()
        self.state = state
        return np.array(codes, np.int32)

    def get_compressed(self) -> NDArray[np.uint32]:
        """See `Stack`."""
        top = [self.state & WORD_MASK, self.state >> WORD_BITS]
        while top and not top[-1]:
            top.pop()
        return np.array(self.words + top, np.uint32)

    def is_empty(self) -> bool:
        """See `Stack`."""
        return not self.words and not self.state

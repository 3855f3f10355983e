"""The arrays that pass between modules, named by what they hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3)
Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Symbols = NDArray[np.int16]  # (M, 2h, 2w)
ScaleIndices = NDArray[np.uint8]  # (M, 2h, 2w), 0 to 63
Places = NDArray[np.intp]
Window = tuple[slice, slice]  # rows and columns
Finish = Callable[[Floats, Window], Floats]  # of levels (h, w, 3), 0 to 255, at a place of the picture

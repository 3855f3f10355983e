"""The one place that imports ONNX Runtime, which reports to its maker unless it is told not to.

From 1.29 on, the import of an official Linux build leaves an identifier of the device and a database of
events under ~/.cache, and a thread looks up a host some seconds later. The variable must be set before the
import; child processes inherit it. It is set whatever its value was: "0" and even "" would let the reports
through, and which pictures are coded here is nobody else's business.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # noqa: TID251

onnxruntime.disable_telemetry_events()  # those of Windows, which do not ask for the variable

# One arena for all networks of the process that ask for it, as each would keep the most that it ever took.
kinds = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *kinds), None)

__all__ = ["onnxruntime"]

"""The only module that imports onnxruntime, and the reason why it may be imported at all.

onnxruntime wheels since 1.29 carry a telemetry client that is on by default. The one full opt-out is an
environment variable that is read when the library initialises, so it is set before the import, here.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

RUNTIME_VERSION: str = ort.__version__

FloatArray = NDArray[np.float32]


class Session:
    """One loaded graph: one thread, no memory arena, from bytes only (a path could pull in other files)."""

    def __init__(self, model_bytes: bytes) -> None:
        """Raises RuntimeRefusalError when the bytes are no graph this runtime can run."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        # Spinning worker threads would eat a gateway's core; with one thread this only guards against a change.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(
                model_bytes, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises bare RuntimeError subclasses of its own
            raise RuntimeRefusalError(str(error).strip().splitlines()[0]) from error

    def metadata(self) -> dict[str, str]:
        """The file's custom metadata, as stored."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def input_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Shape by input name; a text in a shape is a dynamic axis."""
        return {node.name: tuple(node.shape) for node in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, FloatArray]) -> list[FloatArray]:
        """All outputs in the graph's order. Raises RuntimeRefusalError when the run fails."""
        try:
            return list(self._session.run(None, dict(inputs)))
        except Exception as error:
            raise RuntimeRefusalError(str(error).strip().splitlines()[0]) from error


class RuntimeRefusalError(Exception):
    """onnxruntime would not load or run a graph; the text is its own first line."""

"""A small ONNX graph builder: float32, fixed shapes, opset 17 + ai.onnx.ml 3, IR 8.

The versions are written, not left to the onnx package: each onnx release otherwise breaks older runtimes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8

NDAny = NDArray[Any]


class GraphBuilder:
    """Collects nodes; every method returns the name of the value it made."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._by_value: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def const(self, value: NDAny | float | Sequence[float], dtype: type = np.float32) -> str:
        """A constant; equal ones are stored once."""
        array: NDAny = np.ascontiguousarray(np.asarray(value, dtype=dtype))
        if np.ndim(value) == 0:
            array = array.reshape(())
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._by_value:
            name = f"c{len(self._constants)}"
            self._constants.append(numpy_helper.from_array(array, name))
            self._by_value[key] = name
        return self._by_value[key]

    def ints(self, value: NDAny | Sequence[int]) -> str:
        return self.const(np.asarray(value, dtype=np.int64), np.int64)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One node with one output."""
        self._count += 1
        name = f"v{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def add(self, a: str, b: str) -> str:
        return self.op("Add", a, b)

    def sub(self, a: str, b: str) -> str:
        return self.op("Sub", a, b)

    def mul(self, a: str, b: str) -> str:
        return self.op("Mul", a, b)

    def gather(self, data: str, index: NDAny | Sequence[int] | int, axis: int = 0) -> str:
        return self.op("Gather", data, self.const(np.asarray(index, dtype=np.int32), np.int32), axis=axis)

    def concat(self, parts: Sequence[str], axis: int) -> str:
        return self.op("Concat", *parts, axis=axis)

    def reshape(self, data: str, shape: Sequence[int]) -> str:
        return self.op("Reshape", data, self.ints(list(shape)))

    def sum(self, data: str, axis: int) -> str:
        return self.op("ReduceSum", data, self.ints([axis]), keepdims=0)

    def finite_or(self, data: str, fill: str) -> str:
        return self.op("Where", self.op("IsNaN", data), fill, data)

    def known(self, data: str) -> str:
        """1.0 where a value is there, 0.0 where it is missing."""
        return self.op("Cast", self.op("Not", self.op("IsNaN", data)), to=TensorProto.FLOAT)

    def weighted_mean(self, zero_filled: str, weight: str, axis: int) -> str:
        """Mean along an axis, NaN where no weight is left. `weight` is already 0 where the value is missing."""
        total = self.sum(weight, axis)
        enough = self.op("Greater", total, self.const(1e-9))
        safe = self.op("Where", enough, total, self.const(1.0))
        mean = self.op("Div", self.sum(self.mul(zero_filled, weight), axis), safe)
        return self.op("Where", enough, mean, self.const(float("nan")))

    def build(self, outputs: Mapping[str, tuple[str, Sequence[int]]], meta: Mapping[str, str]) -> bytes:
        """The serialised model; `outputs` maps public name to (value, shape). Raises onnx.checker.ValidationError."""
        infos = []
        nodes = list(self._nodes)
        for public, (value, shape) in outputs.items():
            nodes.append(helper.make_node("Identity", [value], [public]))
            infos.append(helper.make_tensor_value_info(public, TensorProto.FLOAT, list(shape)))
        graph = helper.make_graph(nodes, "forecast", self._inputs, infos, self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="trimload-train"
        )
        helper.set_model_props(model, dict(meta))
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

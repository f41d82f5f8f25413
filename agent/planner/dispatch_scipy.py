"""The dispatch programme solved by scipy's linprog: always there, cold every time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from agent.planner.dispatch import Bounds, Program
from agent.planner.tables import Floats


class ScipyBody:
    """Splits the rows once into equalities and one-sided inequalities."""

    def __init__(self, program: Program) -> None:
        """Build the sparse matrix."""
        self._program = program
        self._matrix = csr_array(
            (program.values, (program.rows, program.columns)),
            shape=(program.row_count, program.layout.columns),
        )

    def solve(self, bounds: Bounds) -> tuple[float, Floats, Floats] | None:
        """Objective, columns and row duals at the optimum; None otherwise."""
        low, high = bounds.row_low, bounds.row_high
        equal = low == high
        upper = ~equal & np.isfinite(high)
        lower = ~equal & np.isfinite(low) & ~upper
        inequality = [self._matrix[upper], -self._matrix[lower]]
        stacked = _stack(inequality)
        result = linprog(
            self._program.cost,
            A_ub=stacked if stacked.shape[0] else None,
            b_ub=np.concatenate([high[upper], -low[lower]]) if stacked.shape[0] else None,
            A_eq=self._matrix[equal],
            b_eq=high[equal],
            bounds=np.stack([bounds.column_low, bounds.column_high], axis=1),
            method="highs",
        )
        if result.status != 0:
            return None
        duals = np.zeros(len(low))
        duals[equal] = result.eqlin.marginals
        count = int(upper.sum())
        if stacked.shape[0]:
            duals[upper] = result.ineqlin.marginals[:count]
            duals[lower] = -result.ineqlin.marginals[count:]
        return float(result.fun), np.asarray(result.x), duals


def _stack(parts: list[csr_array]) -> csr_array:
    from scipy.sparse import vstack

    return csr_array(vstack(parts))

"""The dispatch programme in a persistent highspy model: bounds change, the basis stays warm."""

from __future__ import annotations

import highspy
import numpy as np

from agent.planner.dispatch import Bounds, Program
from agent.planner.tables import Floats

# The binding itself, not its Python shell: the shell prints a banner before it can be told to be
# silent, and its callbacks refer back to it, which keeps the model's memory.
_MODEL = vars(highspy).get("_Highs", highspy.Highs)


class HighspyBody:
    """A model that lives as long as its problem; one thread, no output, no presolve when warm."""

    def __init__(self, program: Program) -> None:
        """Load the matrix column by column; each solve moves the bounds that differ from the last."""
        order = np.lexsort((program.rows, program.columns))
        counts = np.bincount(program.columns, minlength=program.layout.columns)
        lp = highspy.HighsLp()
        lp.num_col_ = program.layout.columns
        lp.num_row_ = program.row_count
        lp.col_cost_ = program.cost
        still = np.zeros(program.layout.columns), np.zeros(program.row_count)
        lp.col_lower_ = lp.col_upper_ = still[0]
        lp.row_lower_ = lp.row_upper_ = still[1]
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        lp.a_matrix_.index_ = program.rows[order].astype(np.int32)
        lp.a_matrix_.value_ = program.values[order]
        self._last = Bounds(still[0], still[0], still[1], still[1], 0.0)
        self._model = _MODEL()
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("presolve", "off"),
            ("solver", "simplex"),
            ("random_seed", 1),
        ):
            self._model.setOptionValue(option, value)
        self._model.passModel(lp)

    def solve(self, bounds: Bounds) -> tuple[float, Floats, Floats] | None:
        """Objective, columns and row duals at the optimum; None otherwise."""
        model = self._model
        last = self._last
        moved = (bounds.column_low != last.column_low) | (bounds.column_high != last.column_high)
        columns = np.flatnonzero(moved).astype(np.int32)
        low, high = bounds.column_low[columns], bounds.column_high[columns]
        model.changeColsBounds(len(columns), columns, low, high)
        moved = (bounds.row_low != last.row_low) | (bounds.row_high != last.row_high)
        rows = np.flatnonzero(moved).astype(np.int32)
        model.changeRowsBounds(len(rows), rows, bounds.row_low[rows], bounds.row_high[rows])
        self._last = bounds
        model.run()
        if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            # Once more from scratch: a warm basis can be a bad start, the problem never is.
            model.clearSolver()
            model.run()
            if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                return None
        solution = model.getSolution()
        return (
            float(model.getInfo().objective_function_value),
            np.array(solution.col_value),
            np.array(solution.row_dual),
        )

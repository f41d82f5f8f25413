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
        """Load the matrix column by column; bounds follow with each solve."""
        order = np.lexsort((program.rows, program.columns))
        counts = np.bincount(program.columns, minlength=program.layout.columns)
        lp = highspy.HighsLp()
        lp.num_col_ = program.layout.columns
        lp.num_row_ = program.row_count
        lp.col_cost_ = program.cost
        lp.col_lower_ = np.zeros(program.layout.columns)
        lp.col_upper_ = np.zeros(program.layout.columns)
        lp.row_lower_ = np.zeros(program.row_count)
        lp.row_upper_ = np.zeros(program.row_count)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        lp.a_matrix_.index_ = program.rows[order].astype(np.int32)
        lp.a_matrix_.value_ = program.values[order]
        self._columns = np.arange(program.layout.columns, dtype=np.int32)
        self._rows = np.arange(program.row_count, dtype=np.int32)
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
        model.changeColsBounds(len(self._columns), self._columns, bounds.column_low, bounds.column_high)
        model.changeRowsBounds(len(self._rows), self._rows, bounds.row_low, bounds.row_high)
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

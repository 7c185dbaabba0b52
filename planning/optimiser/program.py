"""A linear programme built from blocks of columns and rows, and solved by HiGHS.

The only module that knows the solver, which it imports when it is first needed. Nothing here knows what is planned.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planning.model import FloatArray, IntArray

Values = float | FloatArray
PRIMAL_WHERE_FEASIBLE = 0
"""HiGHS's simplex strategy "choose": after columns were added, the basis before is feasible, and primal simplex goes on
from it in half the time that dual simplex takes."""


class SolverError(RuntimeError):
    """The solver ended without a solution of a programme that has one."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Values per column, prices (duals) per row, and the objective."""

    values: FloatArray
    row_duals: FloatArray
    objective: float


class Program:
    """A minimisation; ``columns`` and ``rows`` return the indices of what they add."""

    def __init__(self) -> None:
        self.column_count = self.row_count = 0
        self._columns: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._rows: list[tuple[FloatArray, FloatArray]] = []
        self._entries: list[tuple[IntArray, IntArray, FloatArray]] = []
        self._switches: list[IntArray] = []

    def switches(self, count: int) -> IntArray:
        """Add ``count`` variables that are either 0 or 1."""
        added = self.columns(count, high=1.0)
        self._switches.append(added)
        return added

    def columns(self, count: int, *, cost: Values = 0.0, low: Values = 0.0, high: Values = np.inf) -> IntArray:
        """Add ``count`` variables; cost and bounds are numbers or arrays of that length."""
        self._columns.append((_fill(cost, count), _fill(low, count), _fill(high, count)))
        self.column_count += count
        return np.arange(self.column_count - count, self.column_count)

    def rows(self, count: int, *, low: Values = -np.inf, high: Values = np.inf) -> IntArray:
        """Add ``count`` constraints ``low ≤ row ≤ high``."""
        self._rows.append((_fill(low, count), _fill(high, count)))
        self.row_count += count
        return np.arange(self.row_count - count, self.row_count)

    def put(self, rows: IntArray, columns: IntArray, values: Values) -> None:
        """Set coefficients; the three are broadcast against one another."""
        row, column, value = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=np.float64))
        self._entries.append((row.ravel(), column.ravel(), value.ravel()))

    def solve(self, *, solver: str = "choose") -> Solution:
        """Solve by ``simplex``, ``ipm`` (with crossover) or the solver's ``choose``.

        Raises:
            SolverError: there is no optimum, or it was not found.
        """
        return self.open(solver=solver).solve()

    def open(self, *, solver: str = "choose", nodes: int = 0, gap: float = 0.0) -> "OpenProgram":
        """Hand the programme to the solver, to be solved, added to, and solved again from where it was.

        A search over switches ends after so many ``nodes``, or where its cost is within ``gap`` of the best possible.
        """
        import highspy  # noqa: PLC0415  (a tenth of a second that importers of the model need not pay)

        library: Any = highspy
        highs = library.Highs()
        options = library.HighsOptions()
        options.output_flag = False
        # HiGHS returns at once with nothing when the number of threads changes between solves of a process.
        options.threads = 1
        options.solver = solver
        options.simplex_strategy = PRIMAL_WHERE_FEASIBLE
        # Nodes rather than seconds, so that the same programme always gives the same answer.
        options.mip_max_nodes, options.mip_abs_gap, options.mip_rel_gap = nodes, gap, 0.0
        highs.passOptions(options)
        highs.passModel(self._model(library))
        return OpenProgram(library, highs, self.column_count)

    def _model(self, library: Any) -> Any:  # noqa: ANN401  (the solver has no types)
        model = library.HighsLp()
        model.num_col_, model.num_row_ = self.column_count, self.row_count
        model.col_cost_, model.col_lower_, model.col_upper_ = map(np.concatenate, zip(*self._columns, strict=True))
        model.row_lower_, model.row_upper_ = map(np.concatenate, zip(*self._rows, strict=True))
        row, column, value = map(np.concatenate, zip(*self._entries, strict=True))
        order = np.lexsort((row, column))
        starts = np.searchsorted(column[order], np.arange(self.column_count + 1))
        model.a_matrix_.format_ = library.MatrixFormat.kColwise
        model.a_matrix_.start_, model.a_matrix_.index_ = starts, row[order]
        model.a_matrix_.value_ = value[order]
        if self._switches:
            kinds = [library.HighsVarType.kContinuous] * self.column_count
            for column_index in np.concatenate(self._switches):
                kinds[column_index] = library.HighsVarType.kInteger
            model.integrality_ = kinds
        return model


class OpenProgram:
    """A programme in the solver's hands; every solve starts from the basis of the one before."""

    def __init__(self, library: Any, highs: Any, column_count: int) -> None:  # noqa: ANN401  (the solver has no types)
        self._library, self._highs = library, highs
        self.column_count = column_count

    def solve(self) -> Solution:
        """Solve what is there now.

        Raises:
            SolverError: there is no optimum, or it was not found.
        """
        self._highs.run()
        if self._highs.getModelStatus() == self._library.HighsModelStatus.kUnknown:
            # Now and then the way from an old basis ends a hair outside the tolerances; from nothing there is another.
            self._highs.clearSolver()
            self._highs.run()
        status = self._highs.getModelStatus()
        info = self._highs.getInfo()
        is_solved = status == self._library.HighsModelStatus.kOptimal
        # A search that ran out of nodes has a solution that is good, if not the best.
        stopped_early = status == self._library.HighsModelStatus.kSolutionLimit and info.primal_solution_status == 2
        if not (is_solved or stopped_early):
            raise SolverError(f"HiGHS ended with {self._highs.modelStatusToString(status)!r}")
        solution = self._highs.getSolution()
        return Solution(
            values=np.array(solution.col_value, dtype=np.float64),
            row_duals=np.array(solution.row_dual, dtype=np.float64),
            objective=float(info.objective_function_value),
        )

    def start_from(self, columns: IntArray, values: FloatArray) -> None:
        """Give values of some columns (all switches) that a search begins with; the solver completes them."""
        self._highs.setSolution(len(columns), columns.astype(np.int32), values)

    def add_columns(self, costs: FloatArray, coefficients: FloatArray, rows: IntArray) -> IntArray:
        """Add a non-negative variable per line of dense ``coefficients`` [k, rows]; return their indices."""
        line, place = np.nonzero(coefficients)
        starts = np.searchsorted(line, np.arange(len(costs))).astype(np.int32)
        free = np.full(len(costs), self._library.kHighsInf)
        index, value = rows[place].astype(np.int32), coefficients[line, place]
        self._highs.addCols(len(costs), costs, np.zeros(len(costs)), free, len(value), starts, index, value)
        self.column_count += len(costs)
        return np.arange(self.column_count - len(costs), self.column_count)

    def set_costs(self, columns: IntArray, costs: FloatArray) -> None:
        """Change the costs of columns."""
        self._highs.changeColsCost(len(columns), columns.astype(np.int32), costs)

    def set_upper_bounds(self, columns: IntArray, bound: float) -> None:
        """Change the upper bound of columns whose lower bound is zero."""
        high = np.full(len(columns), min(bound, self._library.kHighsInf))
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), np.zeros(len(columns)), high)


def _fill(values: Values, count: int) -> FloatArray:
    return np.broadcast_to(np.asarray(values, dtype=np.float64), (count,))

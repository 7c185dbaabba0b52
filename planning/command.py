"""Reads a problem, plans, writes the plan: what ``depotwise plan`` does, with nothing heavy imported.

The file appears whole or not at all. Messages and exit codes are the command line's business.
"""

import json
from pathlib import Path
from typing import Any

from core.files import write_text_atomic
from planning.solve import plan_document


def run(problem_path: Path, output_path: Path | None = None) -> dict[str, Any]:
    """Plan a ``planning_problem/1`` file and write its ``plan/1``; return the plan's document.

    Without ``output_path`` nothing is written.

    Raises:
        ProblemError: the problem contradicts itself; the error names every field.
        OSError: the problem cannot be read, or the plan not written.
    """
    document = plan_document(problem_path.read_bytes())
    if output_path is not None:
        write_text_atomic(output_path, json.dumps(document))
    return document

"""How commands speak: one JSON line for scripts, tables and colours for people, errors that say what to do next."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

console = Console(stderr=False, highlight=False)
errors = Console(stderr=True, highlight=False)


def say_json(document: Mapping[str, Any]) -> None:
    """Print one JSON object as the last line on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextmanager
def friendly(*expected: type[Exception]) -> Iterator[None]:
    """Turn an expected error into its message and exit code 1; anything unexpected keeps its traceback."""
    try:
        yield
    except expected as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", markup=True, soft_wrap=True)
        raise typer.Exit(1) from None

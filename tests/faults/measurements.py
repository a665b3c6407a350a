"""Logs what the fault tests measure, on request; the figures in docs/reliability.md come from this log."""

import json
import os
from pathlib import Path

VARIABLE = "CURATOR_FIGURES"


def record(promise: str, **figures: float | str) -> None:
    """Append one JSON line to the file that `CURATOR_FIGURES` names; do nothing if the variable is not set."""
    if file := os.environ.get(VARIABLE):
        with Path(file).open("a") as handle:
            handle.write(json.dumps({"promise": promise, **figures}) + "\n")

"""Measured figures of the fault tests, kept where a person asks for them; docs/reliability.md is written from these."""

import json
import os
from pathlib import Path

VARIABLE = "CURATOR_FIGURES"


def note(promise: str, **figures: float | str) -> None:
    """Append one JSON line to the file that `CURATOR_FIGURES` names; without it, nothing is kept."""
    if file := os.environ.get(VARIABLE):
        with Path(file).open("a") as handle:
            handle.write(json.dumps({"promise": promise, **figures}) + "\n")

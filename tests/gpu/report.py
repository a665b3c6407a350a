"""The table that is printed: one line a check."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "not run", "measured"]


@dataclass(frozen=True)
class Result:
    """The result of a check.

    Attributes:
        check: what is checked.
        of: network, or part of the project.
        found: what was measured, with its unit; or why it was not run.
        limit: what it must be; empty where nothing is asked.
        outcome: `measured` where there is no limit.
    """

    check: str
    of: str
    found: str
    limit: str = ""
    outcome: Outcome = "measured"


def at_most(check: str, of: str, found: float, limit: float) -> Result:
    """A result that passes where a number is finite and at most the limit."""
    return Result(check, of, f"{found:.1e}", f"at most {limit:.0e}", "passed" if found <= limit else "failed")


def is_true(check: str, of: str, found: str, limit: str, *, holds: bool) -> Result:
    """A result that passes where a condition holds."""
    return Result(check, of, found, limit, "passed" if holds else "failed")


def not_run(check: str, of: str, why: str) -> Result:
    """A check that could not be made here."""
    return Result(check, of, why, outcome="not run")


Check = Callable[[], Iterable[Result]]


def run(checks: Iterable[tuple[str, Check]]) -> Iterator[tuple[Result, float]]:
    """Each result with the seconds that its check took until then; a check that raises is a failed one."""
    for name, check in checks:
        started = time.perf_counter()
        try:
            for result in check():
                yield result, time.perf_counter() - started
                started = time.perf_counter()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are run, and the table tells
            text = " ".join(str(error).split())[:400]
            yield Result(name, "", f"{type(error).__name__}: {text}", outcome="failed"), time.perf_counter() - started


HEADER = "| check | of | found | limit | outcome | s |\n| --- | --- | --- | --- | --- | --- |"


def line(result: Result, seconds: float) -> str:
    """The line of a result in a table of Markdown."""
    cells = (result.check, result.of, result.found, result.limit, result.outcome, f"{seconds:.1f}")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def summary(results: Iterable[Result]) -> str:
    """How many results of each outcome there are."""
    outcomes = [result.outcome for result in results]
    return ", ".join(f"{outcomes.count(each)} {each}" for each in ("passed", "failed", "measured", "not run"))

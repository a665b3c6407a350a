"""What a check returns for one partition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Scalar = str | int | float
Record = Mapping[str, Scalar]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check on one partition.

    Attributes:
        passed: the table is as the check requires.
        description: what was found, in a sentence; of a failed check also what to do.
        metadata: the numbers that it was decided by.
        details: further numbers, as a table.
        excess: how far the limit is exceeded, 0 or less where it is not; of several failed results the largest is
            the worst.
        is_evaluated: False where the check could not be evaluated.
    """

    passed: bool
    description: str
    metadata: Record = field(default_factory=lambda: {})
    details: Sequence[Record] = ()
    excess: float = 0.0
    is_evaluated: bool = True


def worst_first(results: Mapping[str, CheckResult]) -> list[tuple[str, CheckResult]]:
    """Failed partitions, then those that could not be evaluated, then the others; each by decreasing excess."""
    return sorted(results.items(), key=lambda each: (each[1].passed, not each[1].is_evaluated, -each[1].excess))

"""The order of clips in the gallery, so that the first ones are a sample of all outcomes, reasons and partitions."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from curator_dagster.report.final_outcomes import FinalOutcome
from stages.storage import digest

GroupKey = Callable[[FinalOutcome], str]

GROUP_KEYS: tuple[GroupKey, ...] = (
    lambda outcome: outcome.status,
    lambda outcome: f"{outcome.asset} {outcome.reason}",
    lambda outcome: outcome.partition,
)


def round_robin_order(outcomes: Iterable[FinalOutcome], keys: Sequence[GroupKey] = GROUP_KEYS) -> list[FinalOutcome]:
    """Alternate between statuses, within a status between reasons, within a reason between partitions; then by hash."""
    if not keys:
        return sorted(outcomes, key=lambda outcome: digest(outcome.id))
    groups: dict[str, list[FinalOutcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[keys[0](outcome)].append(outcome)
    # Not by name: of many partitions the last by name would never be shown.
    names = sorted(groups, key=digest)
    return list(_round_robin(round_robin_order(groups[name], keys[1:]) for name in names))


def _round_robin(groups: Iterable[list[FinalOutcome]]) -> Iterator[FinalOutcome]:
    for turn in zip_longest(*groups):
        yield from (outcome for outcome in turn if outcome is not None)

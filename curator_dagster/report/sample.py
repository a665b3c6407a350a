"""An order in which every beginning is a fair sample."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from curator_dagster.report.fates import Fate
from stages.storage import digest

Trait = Callable[[Fate], str]

TRAITS: tuple[Trait, ...] = (
    lambda fate: fate.status,
    lambda fate: f"{fate.asset} {fate.reason}",
    lambda fate: fate.partition,
)


def fair_order(fates: Iterable[Fate], traits: Sequence[Trait] = TRAITS) -> list[Fate]:
    """Fates take turns, in a fate its reasons, in a reason the partitions; the rest is by chance, and repeatable."""
    if not traits:
        return sorted(fates, key=lambda fate: digest(fate.id))
    groups: dict[str, list[Fate]] = defaultdict(list)
    for fate in fates:
        groups[traits[0](fate)].append(fate)
    # Not by name: of many partitions the last ones in the alphabet would never be seen.
    names = sorted(groups, key=digest)
    return list(_in_turns(fair_order(groups[name], traits[1:]) for name in names))


def _in_turns(groups: Iterable[list[Fate]]) -> Iterator[Fate]:
    for turn in zip_longest(*groups):
        yield from (fate for fate in turn if fate is not None)

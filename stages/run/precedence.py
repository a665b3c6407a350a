"""Which of two runs at once prevails in a table: the one with the newer view of the sources, whoever commits first.

The view of `videos` is the last entry of the register that concerns its partition; that of any other table is what it
was made from, the numbers of its inputs' commits. Of equal views the run that started later prevails. Where each of two
views is newer in a part, the table is made again from the newer parts of both, unless the later run has other
parameters.

A run that does not prevail commits nothing: the version that is there stays the newest. What it computed stays in row
files, where a run with the same parameters finds it.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from stages.errors import PhaseError
from stages.manifest import ALL, Commit, ManifestRef
from stages.params import Params
from stages.phase import Phase, PhaseReport
from stages.run.changes import describe_changes
from stages.run.inputs import Inputs
from stages.run_records import read_run
from stages.storage import Storage, file_numbers, map_concurrently

logger = logging.getLogger(__name__)

Versions = Mapping[str, Mapping[str, int]]
"""Numbers of commits by asset and partition."""


class _Age(Enum):
    """How one view compares with another."""

    EQUAL = auto()
    OLDER = auto()
    NEWER = auto()
    MIXED = auto()


@dataclass(frozen=True)
class Superseded:
    """Why the version of another run stands in the place of this run's.

    Attributes:
        number: of that version.
        text: in words.
        inputs: what that version was made from.
        has_other_params: it was made with other parameters, code or models.
        is_mixed: each of the two is newer in a part, so that the table should be made again from both.
    """

    number: int
    text: str
    inputs: Versions
    has_other_params: bool
    is_mixed: bool


class Precedence:
    """Compares the version of a table that a run is to commit with versions of other runs.

    Args:
        phase: that makes the table.
        output: the table.
        lineage: of the version that is to be committed.

    Attributes:
        superseded: set once a version of another run prevails.
    """

    def __init__(self, phase: Phase[Any], output: ManifestRef, lineage: Mapping[str, Any]) -> None:
        self.superseded: Superseded | None = None
        self._phase = phase
        self._output = output
        self._lineage = lineage
        self._storage = Storage(output.root)

    def gives_way(self, other: Commit) -> bool:
        """Whether another version stays the newest, instead of the run's own; see `superseded`.

        Raises:
            StorageError: the root does not answer.
        """
        self.superseded = None
        own, theirs = self._lineage, other.lineage
        if not own.get("run") or not theirs.get("run") or theirs["run_id"] == own["run_id"]:
            return False  # of a release without records of runs
        age = self._age_of_own(theirs)
        changes = describe_changes(self._phase.params, own["identity"], theirs)
        why = ""
        if age is _Age.OLDER:
            why = "has a newer view of the sources" if "sources" in own else "was made from newer tables"
        elif age is not _Age.NEWER and self._started_later(theirs):
            why = "started later"
        elif age is _Age.MIXED:
            why = "was made from tables of which some are newer"
        if not why:
            return False
        is_mixed = age is _Age.MIXED and not (changes and why == "started later")
        text = f"{self.describe(other)}, which {why}"
        text += f"; against it, this run has {' and '.join(changes)}" if changes else ""
        self.superseded = Superseded(other.number, text, theirs["inputs"], bool(changes), is_mixed)
        return True

    def describe(self, other: Commit) -> str:
        """Names a version and its run: "version 4 of run 7 (5f1c...)"."""
        return f"version {other.number} of run {other.lineage.get('run', '?')} ({other.lineage['run_id'][:12]})"

    def _age_of_own(self, theirs: Mapping[str, Any]) -> _Age:
        own_sources, other_sources = self._lineage.get("sources", 0), theirs.get("sources", 0)
        if own_sources != other_sources:
            is_older = own_sources < other_sources and self._phase.knows_sources(other_sources)
            return _Age.OLDER if is_older else _Age.NEWER
        own, others = self._lineage["inputs"], theirs["inputs"]
        common = own.keys() & others.keys()  # by other parameters a phase may read other tables
        return self._age_of_inputs(_flat(own, common), _flat(others, common))

    def _age_of_inputs(self, own: dict[tuple[str, str], int], theirs: dict[tuple[str, str], int]) -> _Age:
        newer_there = [table for table, number in theirs.items() if number > own.get(table, 0)]
        is_newer_here = any(number > theirs.get(table, 0) for table, number in own.items())
        # Who deleted tables by hand let their numbers begin again: then a higher number is no newer version.
        if newer_there and all(map_concurrently(lambda table: self._is_there(table, theirs[table]), newer_there)):
            return _Age.MIXED if is_newer_here else _Age.OLDER
        return _Age.NEWER if is_newer_here or newer_there else _Age.EQUAL

    def _is_there(self, table: tuple[str, str], number: int) -> bool:
        ref = ManifestRef(self._output.root, *table)
        return max(file_numbers(self._storage.list(f"{ref.folder}/_commits")), default=0) >= number

    def _started_later(self, theirs: Mapping[str, Any]) -> bool:
        if theirs["run"] < self._lineage["run"]:
            return False
        entry = read_run(self._storage, theirs["run"])  # records that were deleted by hand begin to count again
        return entry is not None and entry.run_id == theirs["run_id"]


def is_mixed(superseded: Superseded | None) -> bool:
    """Whether a table should be made again from the newer parts of two views."""
    return superseded is not None and superseded.is_mixed


def with_tables_of(
    superseded: Mapping[str, Superseded | None], inputs: Inputs, outputs: Sequence[ManifestRef]
) -> Inputs:
    """The inputs; of a table that spans all partitions also those that the prevailing version was made from."""
    found = {asset: list(refs) for asset, refs in inputs.items()}
    for output in outputs:
        theirs = superseded.get(output.partition)
        if theirs is None or output.partition != ALL:
            continue
        for refs in found.values():
            known = {ref.partition for ref in refs}
            names = theirs.inputs.get(refs[0].asset, {})
            refs += [replace(refs[0], partition=name) for name in names if name not in known]
    return found


def raise_for_superseded(
    params: Params, reports: Mapping[str, PhaseReport], superseded: Mapping[str, Superseded | None]
) -> None:
    """Log what prevailed over this run's tables.

    Raises:
        PhaseError: a version that was made with other parameters did; what this run would make next hangs on its own.
    """
    lost = {name: each for name, each in superseded.items() if each and each.has_other_params}
    for name, each in superseded.items():
        if each:
            logger.warning("%s of partition %r is superseded by %s", params.table, name, each.text)
    if lost:
        name, first = next(iter(lost.items()))
        raise PhaseError(
            f"{params.title}: {len(lost)} of {len(reports)} tables are superseded, the first is {params.table} of "
            f"partition {name!r}, by {first.text}. What this run computed stays; one with its parameters uses it.",
            dict(reports),
        )


def _flat(versions: Versions, assets: Collection[str]) -> dict[tuple[str, str], int]:
    return {(asset, name): number for asset in assets for name, number in versions[asset].items()}

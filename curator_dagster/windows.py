"""How sources become partitions: batches of what is new, or the days or hours that their paths name."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import dagster as dg


class Partitioning(ABC):
    """Which keys there are."""

    @abstractmethod
    def definition(self, name: str) -> dg.PartitionsDefinition:
        """The keys as Dagster counts them; `name` is free for those that are added one by one."""


@dataclass(frozen=True)
class Batches(Partitioning):
    """A key a batch of sources that were new together. Members of a batch never change."""

    def definition(self, name: str) -> dg.PartitionsDefinition:
        """Keys that are added as sources are found."""
        return dg.DynamicPartitionsDefinition(name=name)


@dataclass(frozen=True)
class Windows(Partitioning):
    """A key a day or an hour, for sources whose paths begin with it.

    Attributes:
        every: length of a window.
        start: first window, as "2026-01-31" or "2026-01-31-23:00".
        pattern: strftime pattern at the beginning of a path below the source, as ``%Y/%m/%d``.
        timezone: IANA name of the zone that the paths are written in.
    """

    every: Literal["day", "hour"]
    start: str
    pattern: str
    timezone: str = "UTC"

    def definition(self, name: str) -> dg.PartitionsDefinition:
        """Every window from the start until now."""
        if self.every == "day":
            return dg.DailyPartitionsDefinition(start_date=self.start, timezone=self.timezone)
        return dg.HourlyPartitionsDefinition(start_date=self.start, timezone=self.timezone)

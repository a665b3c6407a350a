"""How sources become partitions: batches of what is new, or the days or hours that their paths name."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import dagster as dg

from stages.params import Params, ReadParams
from stages.sources import Register, list_source_pages, parse_time_window, register_time_windows
from stages.storage import Storage

_COARSE = {"daily": "Ymdjy", "hourly": "YmdjyH"}
"""Directives of a pattern that are the same for all sources of a window."""


class Partitioning(ABC):
    """Which keys there are."""

    @abstractmethod
    def definition(self, name: str) -> dg.PartitionsDefinition:
        """The keys as Dagster counts them; `name` is that of keys which are added one by one."""

    @abstractmethod
    def takes(self, path: str) -> bool:
        """True where a source of this path below the source's folder may get a partition now."""


@dataclass(frozen=True)
class Batches(Partitioning):
    """A key a batch of sources that were new together. Members of a batch never change."""

    def definition(self, name: str) -> dg.PartitionsDefinition:
        """Keys that are added as sources are found."""
        return dg.DynamicPartitionsDefinition(name=name)

    def takes(self, path: str) -> bool:
        """Any does."""
        return True


@dataclass(frozen=True)
class Windows(Partitioning):
    """A key a day or an hour, for sources whose paths begin with it.

    Attributes:
        every: how long a window is.
        start: first window, as "2026-01-31" or "2026-01-31-23:00".
        pattern: strftime pattern at the beginning of a path below the source, as ``%Y/%m/%d``.
        timezone: IANA name of the zone that the paths are written in.
    """

    every: Literal["daily", "hourly"]
    start: str
    pattern: str
    timezone: str = "UTC"

    def definition(self, name: str) -> dg.PartitionsDefinition:
        """Every window from the start until now."""
        if self.every == "daily":
            return dg.DailyPartitionsDefinition(start_date=self.start, timezone=self.timezone)
        return dg.HourlyPartitionsDefinition(start_date=self.start, timezone=self.timezone)

    def takes(self, path: str) -> bool:
        """One that names a window which is over does."""
        return self.closed_window_of(path) is not None

    @property
    def _keys(self) -> dg.TimeWindowPartitionsDefinition:
        return self.definition("")  # type: ignore[return-value]

    def closed_window_of(self, path: str) -> str | None:
        """The window that a path below the source names, once it is over; None where it is not, or names none."""
        begins = parse_time_window(path, self.pattern)
        if begins is None:
            return None
        if self.every == "hourly":
            begins = begins.replace(minute=0, second=0, tzinfo=ZoneInfo(self.timezone))
            # An hour that the clock leaves out in spring is the one after it.
            begins = datetime.fromtimestamp(begins.timestamp(), begins.tzinfo)
        key = begins.strftime(self._keys.fmt)
        return key if self._keys.has_partition_key(key) else None

    def take_up(self, keys: Iterable[str], storage: Storage, location: str, params: Params) -> None:
        """Register what is there of these windows; of one without videos, a partition without members."""
        read = ReadParams.model_validate(params.model_dump())
        listed = {
            key: [
                source
                for page in list_source_pages(location, read, prefix=self._prefix_of(key), excluded_folder=storage.root)
                for source in page.sources
                if self.closed_window_of(source.path) == key
            ]
            for key in keys
        }
        register_time_windows(Register(storage), listed)

    def _prefix_of(self, key: str) -> str:
        """What the paths of all sources of a window begin with."""
        same = re.match(rf"(?:%%|%-?[{_COARSE[self.every]}]|[^%*])*", self.pattern)
        return self._keys.time_window_for_partition_key(key).start.strftime(same[0] if same else "")

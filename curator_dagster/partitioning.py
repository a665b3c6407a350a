"""How sources are partitioned: by batch of new sources, or by the day or hour that their paths name."""

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

_WINDOW_DIRECTIVES = {"daily": "Ymdjy", "hourly": "YmdjyH"}
"""strftime directives that have one value within a time window."""


class Partitioning(ABC):
    """Maps sources to partition keys."""

    @abstractmethod
    def partitions_def(self, name: str) -> dg.PartitionsDefinition:
        """Dagster's definition of the partitions; `name` is that of the dynamic partitions, if they are such."""

    @abstractmethod
    def accepts(self, path: str) -> bool:
        """True where a source of this path, relative to the source folder, may be registered now."""


@dataclass(frozen=True)
class BatchPartitioning(Partitioning):
    """Dynamic partitions: one for each batch of sources that were new in one scan. Members never change."""

    def partitions_def(self, name: str) -> dg.PartitionsDefinition:
        """Dynamic partitions, added as sources are found."""
        return dg.DynamicPartitionsDefinition(name=name)

    def accepts(self, path: str) -> bool:
        """Always True."""
        return True


@dataclass(frozen=True)
class TimeWindowPartitioning(Partitioning):
    """Time-window partitions: one for each day or hour, for sources whose paths begin with it.

    Attributes:
        every: length of a window.
        start: first window, as "2026-01-31" or "2026-01-31-23:00".
        pattern: strftime pattern at the beginning of a path below the source, as ``%Y/%m/%d``.
        timezone: IANA name of the zone that the paths are written in.
    """

    every: Literal["daily", "hourly"]
    start: str
    pattern: str
    timezone: str = "UTC"

    def partitions_def(self, name: str) -> dg.TimeWindowPartitionsDefinition:
        """Every time window from the start until now."""
        if self.every == "daily":
            return dg.DailyPartitionsDefinition(start_date=self.start, timezone=self.timezone)
        return dg.HourlyPartitionsDefinition(start_date=self.start, timezone=self.timezone)

    def accepts(self, path: str) -> bool:
        """True where the path names a time window that has ended."""
        return self.closed_window_key(path) is not None

    @property
    def _window_partitions(self) -> dg.TimeWindowPartitionsDefinition:
        return self.partitions_def("")

    def closed_window_key(self, path: str) -> str | None:
        """Key of the time window that a path names; None where it names none, or the window has not ended."""
        window_start = parse_time_window(path, self.pattern)
        if window_start is None:
            return None
        if self.every == "hourly":
            window_start = window_start.replace(minute=0, second=0, tzinfo=ZoneInfo(self.timezone))
            # An hour skipped by daylight saving time is the hour after it.
            window_start = datetime.fromtimestamp(window_start.timestamp(), window_start.tzinfo)
        key = window_start.strftime(self._window_partitions.fmt)
        return key if self._window_partitions.has_partition_key(key) else None

    def register_window_sources(self, keys: Iterable[str], storage: Storage, location: str, params: Params) -> None:
        """List and register the sources of these time windows; one without videos gets a partition without members."""
        read = ReadParams.model_validate(params.model_dump())
        listed = {
            key: [
                source
                for page in list_source_pages(
                    location, read, prefix=self._path_prefix(key), excluded_folder=storage.root
                )
                for source in page.sources
                if self.closed_window_key(source.path) == key
            ]
            for key in keys
        }
        register_time_windows(Register(storage), listed)

    def _path_prefix(self, key: str) -> str:
        """The common beginning of the paths of all sources of a time window."""
        prefix = re.match(rf"(?:%%|%-?[{_WINDOW_DIRECTIVES[self.every]}]|[^%*])*", self.pattern)
        return self._window_partitions.time_window_for_partition_key(key).start.strftime(prefix[0] if prefix else "")

"""Grouping of new sources into partitions: by count, by bytes, by folder, or by day or hour."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache

from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources.batch_keys import folder_of
from stages.sources.source_listing import Source

TIME_WINDOW_KEY_FORMATS = {"daily": "%Y-%m-%d", "hourly": "%Y-%m-%d-%H:%M"}
"""Formats of the keys of daily and hourly partitions."""

_DIRECTIVES = {
    **{"Y": "[0-9]{4}", "j": "[0-9]{3}", **dict.fromkeys("mdHMSy", "[0-9]{2}")},
    **dict.fromkeys(("-m", "-d", "-H"), "[0-9]{1,2}"),
}
_TOKEN = re.compile(r"%(-?[A-Za-z%])|(\*)|(.)", re.DOTALL)


def group_sources(sources: Sequence[Source], params: ReadParams) -> list[list[Source]]:
    """Divide the sources into groups of at most `read.partition_size`, by `read.partition_by`."""
    if params.partition_by == "bytes":
        return list(_group_by_bytes(sources, params))
    if params.partition_by == "count":
        return _chunks(sources, params.partition_size)
    folders: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        folders.setdefault(folder_of(source, params), []).append(source)
    return [group for members in folders.values() for group in _chunks(members, params.partition_size)]


def _chunks(sources: Sequence[Source], size: int) -> list[list[Source]]:
    return [list(sources[start : start + size]) for start in range(0, len(sources), size)]


def _group_by_bytes(sources: Sequence[Source], params: ReadParams) -> Iterator[list[Source]]:
    """Groups up to `partition_gb`; a larger source forms a group of its own."""
    limit = params.partition_gb * 1e9
    group: list[Source] = []
    num_bytes = 0
    for source in sources:
        if group and (num_bytes + source.size_bytes > limit or len(group) == params.partition_size):
            yield group
            group, num_bytes = [], 0
        group.append(source)
        num_bytes += source.size_bytes
    if group:
        yield group


def parse_time_window(path: str, pattern: str) -> datetime | None:
    """Parse the time at the beginning of a path; None where the pattern does not match, or the date does not exist.

    Args:
        path: below the listed folder.
        pattern: directives of strftime (Y m d H M S j y, and -m -d -H for numbers without a leading zero), `*` for any
            part of a name, and literal text: ``%Y/%m/%d/*``, ``day=%Y-%m-%d/hour=%H/*``.

    Raises:
        ParamsError: the pattern has another directive, or no year.
    """
    expression, form = _window_pattern(pattern)
    found = expression.match(path)
    if found is None:
        return None
    values = found.groupdict()
    try:
        return datetime.strptime(" ".join(values.values()), form)  # noqa: DTZ007 - a window has no time zone
    except ValueError:  # the 30th of February
        return None


@lru_cache(maxsize=64)
def _window_pattern(pattern: str) -> tuple[re.Pattern[str], str]:
    """The expression for the parts of a time in a path, and the strptime format of these parts, separated by spaces."""
    expression, names = "", list[str]()
    for directive, star, character in _TOKEN.findall(pattern):
        name = directive.removeprefix("-")
        if directive == "%":
            expression += "%"
        elif directive and directive not in _DIRECTIVES:
            raise ParamsError(
                f"A pattern of times must be made of {', '.join(f'%{each}' for each in _DIRECTIVES)}, "
                f"got %{directive} in {pattern!r}."
            )
        elif directive:
            # A directive that occurs twice must match the same number.
            expression += f"(?P={name})" if name in names else f"(?P<{name}>{_DIRECTIVES[directive]})"
            names += [] if name in names else [name]
        else:
            expression += "[^/]*" if star else re.escape(character)
    if not {"Y", "y"} & set(names):
        raise ParamsError(f"A pattern of times must name the year, got {pattern!r}. Begin it with %Y.")
    return re.compile(expression), " ".join(f"%{name}" for name in names)

"""Which new sources form a partition together: so many of them, so many bytes, one folder, or one day or hour."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache

from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources.listing import Source

WINDOW_KEYS = {"daily": "%Y-%m-%d", "hourly": "%Y-%m-%d-%H:%M"}
"""How the key of a partition that is a day or an hour is written."""

_DIRECTIVES = {
    **{"Y": "[0-9]{4}", "j": "[0-9]{3}", **dict.fromkeys("mdHMSy", "[0-9]{2}")},
    **dict.fromkeys(("-m", "-d", "-H"), "[0-9]{1,2}"),
}
_TOKEN = re.compile(r"%(-?[A-Za-z%])|(\*)|(.)", re.DOTALL)


def group_sources(sources: Sequence[Source], params: ReadParams) -> list[list[Source]]:
    """The sources in groups of `read.partition_size` at most, by `read.partition_by`."""
    if params.partition_by == "bytes":
        return list(_by_bytes(sources, params))
    if params.partition_by == "count":
        return _cut(sources, params.partition_size)
    folders: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        folders.setdefault(tuple(source.path.split("/")[:-1][: params.prefix_depth]), []).append(source)
    return [group for members in folders.values() for group in _cut(members, params.partition_size)]


def _cut(sources: Sequence[Source], size: int) -> list[list[Source]]:
    return [list(sources[start : start + size]) for start in range(0, len(sources), size)]


def _by_bytes(sources: Sequence[Source], params: ReadParams) -> Iterator[list[Source]]:
    """Groups below the limit; a source that is above it alone stands alone."""
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


def window_of(path: str, pattern: str) -> datetime | None:
    """The time that stands in the beginning of a path; None where the pattern does not match, or that is no time.

    Args:
        path: below the listed folder.
        pattern: directives of strftime (Y m d H M S j y, and -m -d -H for numbers without a leading zero), `*` for any
            part of a name, and what stands between them: ``%Y/%m/%d/*``, ``day=%Y-%m-%d/hour=%H/*``.

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
    """What finds the parts of a time in a path, and how strptime reads them, parted by spaces."""
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
            # A number that stands twice must be the same.
            expression += f"(?P={name})" if name in names else f"(?P<{name}>{_DIRECTIVES[directive]})"
            names += [] if name in names else [name]
        else:
            expression += "[^/]*" if star else re.escape(character)
    if not {"Y", "y"} & set(names):
        raise ParamsError(f"A pattern of times must name the year, got {pattern!r}. Begin it with %Y.")
    return re.compile(expression), " ".join(f"%{name}" for name in names)

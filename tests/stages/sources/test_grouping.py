from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources import Source, parse_time_window
from stages.sources.grouping import group_sources


def source(path: str, size: int = 1) -> Source:
    return Source(f"/in/{path}", "1", size, path=path)


def grouped(sources: list[Source], **params: object) -> list[list[str]]:
    return [[each.path for each in group] for group in group_sources(sources, ReadParams.model_validate(params))]


def test_group_sources_by_count_fills_each_but_the_last() -> None:
    assert grouped([source(name) for name in "abcde"], partition_size=2) == [["a", "b"], ["c", "d"], ["e"]]


def test_group_sources_by_bytes_stays_below_the_limit() -> None:
    sizes = {"a": 3, "b": 4, "c": 1, "large": 30, "d": 9, "e": 1, "f": 0, "g": 0}
    sources = [source(name, size * 10**9) for name, size in sizes.items()]
    assert grouped(sources, partition_by="bytes", partition_gb=10, partition_size=3) == [
        ["a", "b", "c"],
        ["large"],
        ["d", "e", "f"],
        ["g"],
    ]


@pytest.mark.parametrize(
    ("depth", "groups"),
    [
        (1, [["1", "2"], ["a/1", "a/x/1"], ["a/x/2", "a/y/1"], ["b/1"]]),
        (2, [["1", "2"], ["a/1"], ["a/x/1", "a/x/2"], ["a/y/1"], ["b/1"]]),
    ],
)
def test_group_sources_by_prefix_keeps_folders_apart(depth: int, groups: list[list[str]]) -> None:
    sources = [source(path) for path in ("1", "a/1", "a/x/1", "a/x/2", "a/y/1", "b/1", "2")]
    assert grouped(sources, partition_by="prefix", prefix_depth=depth, partition_size=2) == groups


@given(
    st.lists(st.tuples(st.sampled_from(["", "a/", "a/b/", "c/"]), st.integers(0, 10**10)), max_size=40),
    st.sampled_from(["count", "bytes", "prefix"]),
    st.integers(1, 8),
)
def test_group_sources_gives_every_source_one_group(files: list[tuple[str, int]], by: str, most: int) -> None:
    sources = [source(f"{folder}{number}", size) for number, (folder, size) in enumerate(files)]
    groups = group_sources(sources, ReadParams.model_validate({"partition_by": by, "partition_size": most}))
    assert sorted(each.path for group in groups for each in group) == sorted(each.path for each in sources)
    assert all(1 <= len(group) <= most for group in groups)
    assert group_sources([], ReadParams.model_validate({"partition_by": by})) == []


@pytest.mark.parametrize(
    ("path", "pattern", "window"),
    [
        ("2026/01/31/cam1/a.mp4", "%Y/%m/%d/*", "2026-01-31 00"),
        ("2026/01/31/a.mp4", "%Y/%m/%d", "2026-01-31 00"),
        ("2026/1/3/7.mp4", "%Y/%-m/%-d/%-H", "2026-01-03 07"),
        ("cam 1/2026/01/31-23.mp4", "*/%Y/%m/%d-%H", "2026-01-31 23"),
        ("dt=2026-01-31/hour=05/a.mp4", "dt=%Y-%m-%d/hour=%H/*", "2026-01-31 05"),
        ("2026/2026-01-31/a", "%Y/%Y-%m-%d/*", "2026-01-31 00"),
        ("2025/2026-01-31/a", "%Y/%Y-%m-%d/*", None),
        ("26060", "%y%j", "2026-03-01 00"),
        ("100%/2026", "100%%/%Y", "2026-01-01 00"),
        ("2026/02/30/a", "%Y/%m/%d/*", None),
        ("a/2026/01/31/a", "%Y/%m/%d/*", None),
        ("2026/01/31", "%Y/%m/%d/*", None),
        ("٢٠٢٦/01/31/a", "%Y/%m/%d/*", None),
        ("2026+01", "%Y.%m", None),
    ],
)
def test_parse_time_window_reads_the_beginning_of_a_path(path: str, pattern: str, window: str | None) -> None:
    found = parse_time_window(path, pattern)
    assert (found and f"{found:%Y-%m-%d %H}") == window


@given(
    st.datetimes(
        datetime(1000, 1, 1)  # noqa: DTZ001 - a window has no time zone
    ),
    st.sampled_from(["%Y/%m/%d/%H/*", "%Y/%j/%H/*", "*/%d.%m.%Y %H"]),
)
def test_parse_time_window_reads_what_strftime_writes(moment: datetime, pattern: str) -> None:
    path = moment.strftime(pattern.replace("*", "x y.mp4"))
    assert parse_time_window(path, pattern) == moment.replace(minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("pattern", "text"), [("%Y/%b/*", "must be made of .*got %b"), ("%m/%d", "name the year"), ("", "name the year")]
)
def test_parse_time_window_rejects_a_pattern_without_a_time(pattern: str, text: str) -> None:
    with pytest.raises(ParamsError, match=text):
        parse_time_window("2026/01/01", pattern)

"""Conditions against the same ones computed by Python, row by row, with SQL's three values of truth."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from stages.errors import ParamsError
from stages.search.where import MAX_CHARS, parse_where, unknown_column
from stages.tasks import Row

ROWS: list[Row] = [
    {"motion": motion, "height": height, "speed": speed, "is_hdr": is_hdr}
    for motion in ("pan", "static", "it's 100 %", None)
    for height in (480, 720, None)
    for speed in (0.25, -1.5, None)
    for is_hdr in (True, False, None)
]
TABLE = pa.Table.from_pylist(ROWS)


def expression_of(text: str) -> Any:
    return parse_where(text).expression({name: TABLE[name].type for name in TABLE.column_names})


def known(*values: Any) -> bool:
    return None not in values


CONDITIONS: dict[str, Callable[[Any, Any, Any, Any], bool]] = {
    "motion = 'pan' and height >= 720": lambda m, h, s, d: m == "pan" and known(h) and h >= 720,
    "motion == 'pan' AND NOT height >= 720": lambda m, h, s, d: m == "pan" and known(h) and h < 720,
    "height > 500 OR motion = 'static'": lambda m, h, s, d: (known(h) and h > 500) or m == "static",
    "NOT (height > 500 OR motion = 'static')": lambda m, h, s, d: known(h, m) and h <= 500 and m != "static",
    "motion IN ('pan', 'roll') AND is_hdr": lambda m, h, s, d: m == "pan" and d is True,
    "motion NOT IN ('pan', 'roll')": lambda m, h, s, d: known(m) and m != "pan",
    "motion <> 'pan'": lambda m, h, s, d: known(m) and m != "pan",
    "speed BETWEEN -2 AND 0.25": lambda m, h, s, d: known(s) and -2 <= s <= 0.25,
    "speed < -1.5e0 OR speed > 1e-1": lambda m, h, s, d: known(s) and s > 0.1,
    "motion LIKE 'it''s 1%' OR motion ILIKE 'P_N'": lambda m, h, s, d: known(m) and m[0] in "ip",
    "motion IS NULL": lambda m, h, s, d: m is None,
    "motion IS NOT NULL AND is_hdr IS NOT TRUE": lambda m, h, s, d: known(m) and d is not True,
    "is_hdr = false": lambda m, h, s, d: d is False,
    "height / 2 > 240 + speed * 4": lambda m, h, s, d: known(h, s) and h / 2 > 240 + s * 4,
    "height / 0 > 1 OR height / (height - 480) = 3": lambda m, h, s, d: h == 720,
    "-height < -500": lambda m, h, s, d: known(h) and h > 500,
    '"height" - speed = 479.75': lambda m, h, s, d: h == 480 and s == 0.25,
    "height < 99999999999999999999": lambda m, h, s, d: known(h),
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_condition_keeps_the_rows_that_python_keeps(text: str) -> None:
    found = TABLE.filter(expression_of(text)).to_pylist()
    assert found == [row for row in ROWS if CONDITIONS[text](*row.values())]


def test_names_are_told_before_columns_are_read() -> None:
    condition = parse_where("a > 1 AND (b IS NULL OR scores.motion < a)")
    assert condition.names == ["a", "b", "scores.motion"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "height", "height >", "height > 1; DROP TABLE clips", "height = (SELECT 1)", "lower(motion) = 'pan'"),
        *("motion = 'a' -- \n OR", "height = CAST('1' AS INT)", "height::int = 3", "motion LIKE motion", "a.b > 1"),
        *(
            "motion = NULL",
            "height = '720'",
            "motion > 3",
            "is_hdr > 1",
            "motion + 1 = 2",
            "motion ILIKE 'a' ESCAPE '!'",
        ),
        *("height BETWEEN SYMMETRIC 1 AND 2", "height IN (SELECT 1)", "EXISTS(SELECT 1)", "1 < height < 3", "*"),
        *(
            "read_text('/etc/passwd') = 'a'",
            "(" * 3000 + "height > 1" + ")" * 3000,
            " " * (MAX_CHARS + 1),
            "@height > 1",
        ),
        *("motion NOT LIKE ANY ('a')", "height > :limit", "motion = ?"),
    ],
)
def test_where_rejects_all_else(text: str) -> None:
    with pytest.raises(ParamsError, match="where must"):
        expression_of(text)


def test_where_tells_a_text_without_quotes_and_a_name_that_is_meant() -> None:
    with pytest.raises(ParamsError, match=r"compares text with number\. A text stands in single quotes"):
        expression_of("motion = 3")
    assert "Did you mean camera_motion?" in str(unknown_column("camera_moton", ["camera_motion", "height"]))
    assert "A text stands in single quotes: 'pan'" in str(unknown_column("pan", ["camera_motion"]))

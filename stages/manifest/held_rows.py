"""Kept rows of a small table, as its commit holds them itself.

Who plans over very many small tables reads their commits, and opens no row file. What a commit holds says nothing that
its row files do not say: where it holds nothing, as those of large tables and of earlier versions, or not every column
that is wanted, or where it is damaged, row files are read.

    base64(gzip(lines))     a line a column: its name, a space, a JSON list with the value of each kept row

The checksum of gzip tells damage. Only the lines of wanted columns are parsed, those of all commits together: that
takes a tenth of the time that opening a Parquet file of ten rows takes.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from stages.manifest.tables import layout_of
from stages.table_names import asset_of

HELD_ROWS = 128
"""Rows of a table up to which its commit holds those that are kept; of more, a row file costs little a row."""
_ASSETS = ("embeddings", "filtered_clips")
"""Those that a plan over all partitions reads."""
_UNREAD = ("status", "reason", "error", "decision_key", "text")
_GZIP = 31

HeldRows = Mapping[str, str]
"""By column, the JSON values of kept rows, separated by commas."""


def held_columns(asset: str) -> list[str]:
    """The columns that commits of an asset hold; none of an asset that no plan over all partitions reads."""
    if asset_of(asset) not in _ASSETS:
        return []
    return [field.name for field in layout_of(asset).schema if field.name not in _UNREAD and _is_short(field)]


def encode_kept_rows(asset: str, rows: pa.Table) -> str:
    """The kept ones of all rows of a table, with `held_columns` and ``status``; empty where there are too many."""
    names = held_columns(asset)
    if not names or len(rows) > HELD_ROWS:
        return ""
    is_kept = [status == "kept" for status in rows["status"].to_pylist()]
    kept = rows if all(is_kept) else rows.filter(pa.array(is_kept))  # of so many columns, it takes longer than the rest
    lines = [f"{name} {json.dumps(kept[name].to_pylist(), separators=(',', ':'))}" for name in names]
    return base64.b64encode(zlib.compress("\n".join(lines).encode(), wbits=_GZIP)).decode()


def decode_kept_rows(text: str, columns: Iterable[str]) -> HeldRows | None:
    """Some columns of what `encode_kept_rows` made; None where it does not hold all of them, or is damaged."""
    if not text:
        return None
    try:
        lines = zlib.decompress(base64.b64decode(text), wbits=_GZIP).decode().split("\n")
        held = dict(line.split(" ", 1) for line in lines)
        return {name: held[name][1:-1] for name in columns}
    except (binascii.Error, zlib.error, ValueError, KeyError):
        return None


def table_of(held: Sequence[HeldRows], schema: pa.Schema) -> pa.Table:
    """The rows of many commits, one after another, with the columns of a schema."""
    columns = [_column([values for each in held if (values := each[field.name])], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(parts: Iterable[str], kind: pa.DataType) -> pa.Array:
    values = json.loads(f"[{','.join(parts)}]")
    if pa.types.is_map(kind):
        values = [None if each is None else [tuple(pair) for pair in each] for each in values]
    return pa.array(values, kind)


def _is_short(field: pa.Field) -> bool:
    """A number, a flag, a text, or the scores that clips are ranked by."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    return field.name == "scores" or any(is_kind(field.type) for is_kind in kinds)

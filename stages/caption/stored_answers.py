"""Answers of the first model that a table holds already, whatever second model or similarity came after them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from stages.caption.checks import NEAR_DUPLICATES, SIMILARITY
from stages.manifest import CommittedFile, ManifestRef, read_row_file
from stages.storage import Storage, map_concurrently
from stages.tasks import Row, Window

ANSWERS_KEY = "answers_key"
"""Column with a hash of all that the first model's answers depend on."""
ANSWER_COLUMNS = (
    *("model", "weights_hash", "dtype", "prompt_id", "caption", "field", "fields", "problem", "language"),
    *("finish_reason", "tokens", "prompt_tokens", "cost"),
)
"""Columns of a row that its answer gives, beside its scores."""
_LATER_SCORES = (SIMILARITY, NEAR_DUPLICATES)
"""Names of scores that do not follow from the answer alone."""


def read_stored_answers(
    storage: Storage, output: ManifestRef, files: Iterable[CommittedFile], wanted: Collection[str]
) -> dict[str, list[Row]]:
    """By answers key, the rows of an item whose windows the first model has all answered, in their order.

    Args:
        storage: of the root.
        output: the table.
        files: row files.
        wanted: answers keys.

    Raises:
        ManifestError: a file is missing or damaged.
    """
    found = map_concurrently(lambda entry: _answered_items(storage, output, entry, wanted), list(files))
    places = {key: (entry, row_key) for each in found for key, (entry, row_key) in each.items()}
    by_file: dict[str, tuple[CommittedFile, list[str]]] = {}
    for entry, row_key in places.values():
        by_file.setdefault(entry.path, (entry, []))[1].append(row_key)
    chosen = [replace(entry, items=row_keys) for entry, row_keys in by_file.values()]
    rows: dict[str, list[Row]] = {}
    for table in map_concurrently(lambda entry: read_row_file(storage, output.asset, entry), chosen):
        for row in table.to_pylist():
            if row["refined_from"] is None:
                rows.setdefault(row[ANSWERS_KEY], []).append(row)
    return {
        key: sorted(each, key=lambda row: (row["window_index"], row["caption_index"])) for key, each in rows.items()
    }


def _answered_items(
    storage: Storage, output: ManifestRef, entry: CommittedFile, wanted: Collection[str]
) -> Mapping[str, tuple[CommittedFile, str]]:
    """By answers key, the file and an item in it without a failed answer of the first model."""
    keys: dict[str, str] = {}
    failed: set[str] = set()
    columns = ["row_key", ANSWERS_KEY, "refined_from", "status"]
    for row in read_row_file(storage, output.asset, entry, columns).to_pylist():
        if row["refined_from"] is None and row["status"] == "failed":
            failed.add(row["row_key"])
        elif row[ANSWERS_KEY] in wanted:
            keys[row["row_key"]] = row[ANSWERS_KEY]
    return {key: (entry, row_key) for row_key, key in keys.items() if row_key not in failed}


def first_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows that an item has of these answers alone, to be judged again."""
    return [
        {**row, **_answer(row), "caption_index": index}
        for _, window in groupby(rows, key=lambda row: row["window_index"])
        for index, row in enumerate(window)
    ]


def _answer(row: Row) -> Row:
    """What a stored row tells of its answer, to be judged again."""
    scores = {name: value for name, value in dict(row["scores"] or {}).items() if name not in _LATER_SCORES}
    return {
        **{name: row[name] for name in ANSWER_COLUMNS},
        "status": "kept",
        "reason": None,
        "error": None,
        "scores": scores,
    }


def answered_windows(rows: Iterable[Row]) -> tuple[Window, ...]:
    """Windows with their answers, for a task; their pictures are chosen later."""
    windows: list[Window] = []
    for index, group in groupby(rows, key=lambda row: row["window_index"]):
        each = list(group)
        bounds = [each[0][f"window_{name}"] for name in ("start_frame", "end_frame", "start_s", "end_s")]
        windows.append(Window(index, *bounds, captions=tuple(map(_answer, each))))
    return tuple(windows)

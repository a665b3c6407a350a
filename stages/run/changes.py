"""Describes the changes of code, parameters and models since the last version of a table."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stages.params import Params

_MAX_CHARS = 60
_CHARS_BEFORE_CHANGE = 10
"""Of two long strings, so much is shown before the first character in which they differ."""

_ENTRY_NAMES = ("filter", "by")
"""What an entry of `filter.custom` is called after, and one of `dedup.quotas`."""


def describe_changes(params: Params, identity: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[str]:
    """Describe each change on which rows depend, as "split.threshold changed from 0.4 to 0.3"; none for a new table.

    Args:
        params: parameters of the phase in this run.
        identity: models with hashes of their weights, and the code of users' own classes, in this run.
        before: lineage of the table's newest commit.
    """
    return list(_describe_changes(params, identity, before)) if before else []


def _describe_changes(params: Params, identity: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    if before.get("code_version") != params.code_version:
        yield f"{params.phase}'s code changed from version {before.get('code_version')} to {params.code_version}"
    yield from params_changes(params, before.get("params", {}))
    old_identity: Mapping[str, Any] = before.get("identity", {})
    for name, value in identity.items():
        is_code = name.endswith("'s code")
        if name in old_identity and old_identity[name] != value:
            old, new = (old_identity[name], value) if is_code else (_short(old_identity[name]), _short(value))
            yield f"{params.phase}: {name} changed from {old} to {new}"
        elif is_code and name not in old_identity and _named_own_class(params, before):
            # The rows were made when the code of users' classes entered no key, or by a class of another name.
            yield f"{params.phase}: {name} was not recorded before"


def params_changes(params: Params, before: Mapping[str, Any]) -> Iterator[str]:
    """Describe each parameter on which rows depend and whose value differs from the one before.

    Args:
        params: parameters of the phase in this run.
        before: values by name, as a commit's lineage holds them; a parameter that is missing there is not compared.
    """
    fields = type(params).model_fields
    emptied = {name for name in fields if getattr(params, name) == [] and before.get(name)}  # unused now, used before
    effective = {*params.used("work"), *params.used("decision")} | {
        name for name in emptied if params.effect_of(name) != "none"
    }
    for name, value in params.model_dump(mode="json", include=effective).items():
        if name in before and before[name] != value:
            yield f"{params.phase}.{name}{_difference(before[name], value)}"


def _named_own_class(params: Params, before: Mapping[str, Any]) -> bool:
    """True where the parameters before named a user's own class."""
    old = type(params).model_construct(**{**params.model_dump(), **before.get("params", {})})
    return any(":" in name for _, name in old.plugin_names())


def _difference(old: Any, new: Any) -> str:
    """How a value differs, to stand behind its name; of a list or mapping, only the entries that differ."""
    if _is_list_of_names(old) and _is_list_of_names(new):
        return ": " + ("; ".join(_came_and_went(old, new)) or f"now in the order {', '.join(new)}")
    old_entries, new_entries = _entries(old), _entries(new)
    if old_entries is not None and new_entries is not None:
        both = [name for name in new_entries if name in old_entries and old_entries[name] != new_entries[name]]
        changed = [f"{name}{_difference(old_entries[name], new_entries[name])}" for name in both]
        return ": " + ("; ".join([*_came_and_went(old_entries, new_entries), *changed]) or "now in another order")
    if isinstance(old, str) and isinstance(new, str):
        start = max(0, _common_length(old, new) - _CHARS_BEFORE_CHANGE)
        return f" changed from {_short(old, start)} to {_short(new, start)}"
    return f" changed from {_short(old)} to {_short(new)}"


def _entries(value: Any) -> dict[str, Any] | None:
    """Entries by name of a mapping, or of a list of mappings that each name what they are of; else None."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return None
    for key in _ENTRY_NAMES:
        if all(isinstance(entry, dict) and key in entry for entry in value):
            return {str(entry[key]): {name: entry[name] for name in entry if name != key} for entry in value}
    return None


def _came_and_went(old: Collection[str], new: Collection[str]) -> list[str]:
    """Names that are in only one of two collections, each group behind its verb."""
    groups = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
    }
    return [f"{verb} {', '.join(names)}" for verb, names in groups.items() if names]


def _common_length(old: str, new: str) -> int:
    return next((index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _short(value: object, start: int = 0) -> str:
    """The value as text, at most 60 characters of it; of a longer string, such as a prompt, those from `start` on."""
    text = repr(value)
    if len(text) > _MAX_CHARS and isinstance(value, str):
        text = ("..." if start else "") + repr(value[start:])
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 3]}..."

"""Why rows are made again: what differs between how a table was made and how it is to be made."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.params import Params


def changes(params: Params, identity: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[str]:
    """Each difference that undoes rows, in words, as "split.threshold changed from 0.4 to 0.3"; none for a new table.

    Args:
        params: of the phase, as it runs now.
        identity: the model and the hash of its weights, as of now.
        before: lineage of the table's newest version.
    """
    return list(_changes(params, identity, before)) if before else []


def _changes(params: Params, identity: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    if before.get("code_version") != params.code_version:
        yield f"{params.phase}'s code changed from version {before.get('code_version')} to {params.code_version}"
    was: Mapping[str, Any] = before.get("params", {})
    read = {*params.affecting("work"), *params.affecting("decision")}
    for name, value in params.model_dump(mode="json", include=read).items():
        if name in was and was[name] != value:
            yield f"{params.phase}.{name} changed from {_short(was[name])} to {_short(value)}"
    known: Mapping[str, Any] = before.get("identity", {})
    for name, value in identity.items():
        if name in known and known[name] != value:
            yield f"{params.phase}: {name} changed from {_short(known[name])} to {_short(value)}"


def _short(value: object) -> str:
    """A prompt may be long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Describes the changes of code, parameters and models that invalidate the rows of a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.params import Params


def describe_changes(params: Params, identity: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[str]:
    """Describe each change that invalidates rows, as "split.threshold changed from 0.4 to 0.3"; none for a new table.

    Args:
        params: parameters of the phase in this run.
        identity: model and hash of its weights in this run.
        before: lineage of the table's newest commit.
    """
    return list(_describe_changes(params, identity, before)) if before else []


def _describe_changes(params: Params, identity: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    if before.get("code_version") != params.code_version:
        yield f"{params.phase}'s code changed from version {before.get('code_version')} to {params.code_version}"
    old_params: Mapping[str, Any] = before.get("params", {})
    effective = {*params.affecting("work"), *params.affecting("decision")}
    for name, value in params.model_dump(mode="json", include=effective).items():
        if name in old_params and old_params[name] != value:
            yield f"{params.phase}.{name} changed from {_short(old_params[name])} to {_short(value)}"
    old_identity: Mapping[str, Any] = before.get("identity", {})
    for name, value in identity.items():
        if name in old_identity and old_identity[name] != value:
            yield f"{params.phase}: {name} changed from {_short(old_identity[name])} to {_short(value)}"


def _short(value: object) -> str:
    """The value as text, cut to 60 characters: a prompt may be long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

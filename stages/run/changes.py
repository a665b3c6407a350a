"""Describes the changes of code, parameters and models since the last version of a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.params import Params


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
    effective = {*params.affecting("work"), *params.affecting("decision")}
    for name, value in params.model_dump(mode="json", include=effective).items():
        if name in before and before[name] != value:
            yield f"{params.phase}.{name}{_difference(before[name], value)}"


def _named_own_class(params: Params, before: Mapping[str, Any]) -> bool:
    """True where the parameters before named a user's own class."""
    old = type(params).model_construct(**{**params.model_dump(), **before.get("params", {})})
    return any(":" in name for _, name in old.plugin_names())


def _difference(old: Any, new: Any) -> str:
    """How a value differs, to stand behind its name; of a list of names the ones that came and went."""
    if not (_is_list_of_names(old) and _is_list_of_names(new)):
        return f" changed from {_short(old)} to {_short(new)}"
    parts = [
        f"{verb} {', '.join(names)}"
        for verb, names in (
            ("added", [name for name in new if name not in old]),
            ("removed", [name for name in old if name not in new]),
        )
        if names
    ]
    return ": " + ("; ".join(parts) or f"now in the order {', '.join(new)}")


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _short(value: object) -> str:
    """The value as text, cut to 60 characters: a prompt may be long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Texts about parameters: their bounds, and validation errors."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stages.errors import did_you_mean


def describe_bounds(field: dict[str, Any]) -> str:
    """The bounds of a field of a JSON schema as text: "0 <= number < 1", "one of stride, truncate"."""
    options = [field, *field.get("anyOf", [])]
    for option in options:
        if "enum" in option:
            return "one of " + ", ".join(str(value) for value in option["enum"])
        if "const" in option:
            return f"only {option['const']}"
    low = next((f"{o['minimum']} <= " for o in options if "minimum" in o), "") or next(
        (f"{o['exclusiveMinimum']} < " for o in options if "exclusiveMinimum" in o), ""
    )
    high = next((f" <= {o['maximum']}" for o in options if "maximum" in o), "") or next(
        (f" < {o['exclusiveMaximum']}" for o in options if "exclusiveMaximum" in o), ""
    )
    kinds = [o["type"] for o in options if "type" in o and o["type"] != "null"]
    kind = kinds[0] if kinds else "value"
    return f"{low}{kind}{high}" if low or high else kind


def describe_errors(error: ValidationError, group: str, known: Collection[str]) -> str:
    """The validation errors of a group of parameters, one per line: field, rule, value.

    Args:
        error: of the group.
        group: its name.
        known: names of all parameters, with their groups: ``split.threshold``.
    """
    return "\n".join(describe_error(problem, group, known) for problem in error.errors())


def describe_error(problem: ErrorDetails, group: str, known: Collection[str]) -> str:
    """One validation error of a group of parameters; see `describe_errors`."""
    name = ".".join([group, *(str(part) for part in problem["loc"])])
    if problem["type"] == "extra_forbidden":
        own = ", ".join(each.rpartition(".")[2] for each in known if each.rpartition(".")[0] == group)
        return f"{name} is no parameter.{did_you_mean(name, known) or f' {group} has: {own}.'}"
    message = problem["msg"].removeprefix("Value error, ")
    # A rule between fields names their values itself.
    if not problem["loc"]:
        return f"{name}: {message}{'' if message.endswith(('.', '?')) else '.'}"
    return f"{name}: {message}, got {_short(problem['input'])}."


def _short(value: object) -> str:
    if isinstance(value, BaseModel):
        return type(value).__name__
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""Answers by JSON schema: parsed, and checked against the part of JSON schema that prompts use."""

import json
from collections.abc import Mapping
from typing import Any

from stages.caption.answer_text import without_fence

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_KEYWORDS = {
    *("type", "properties", "required", "additionalProperties", "enum", "items", "minLength", "maxLength"),
    *("description", "title", "$schema"),
}


def check_schema(schema: object, where: str = "the schema") -> None:
    """Check that a schema is of an object, and uses only what `parse_answer` checks.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(schema, dict):
        raise ValueError(f"{where} must be an object, got {type(schema).__name__}")
    if where == "the schema" and schema.get("type") != "object":
        raise ValueError(f"{where} must have the type object, got {schema.get('type')!r}")
    if unknown := sorted(set(schema) - _KEYWORDS):
        raise ValueError(f"{where} may use {sorted(_KEYWORDS)}, got {unknown}")
    if schema.get("type") is not None and schema["type"] not in _TYPES:
        raise ValueError(f"{where} must have one of the types {sorted(_TYPES)}, got {schema['type']!r}")
    for name, each in schema.get("properties", {}).items():
        check_schema(each, f"{where}.{name}")
    if "items" in schema:
        check_schema(schema["items"], f"{where}.items")


def parse_answer(answer: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The object in an answer, which may stand in a fence of Markdown.

    Raises:
        ValueError: it is no JSON, or does not fit the schema; the message says where.
    """
    try:
        value = json.loads(without_fence(answer))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check(value, schema, "answer")
    return value


def _check(value: object, schema: Mapping[str, Any], where: str) -> None:
    kind = schema.get("type")
    if kind is not None and (
        not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind in ("number", "integer"))
    ):
        raise ValueError(f"{where} must be of type {kind}, got {_short(value)}")
    if "enum" in schema and value not in schema["enum"]:
        raise ValueError(f"{where} must be one of {schema['enum']}, got {_short(value)}")
    if isinstance(value, str):
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if len(value.strip()) < least or (most is not None and len(value) > most):
            raise ValueError(f"{where} must have {least} to {most or 'any number of'} characters, got {_short(value)}")
    if isinstance(value, dict):
        _check_object(value, schema, where)
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            _check(each, schema["items"], f"{where}[{number}]")


def _check_object(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> None:
    properties = schema.get("properties", {})
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        raise ValueError(f"{where} must have {missing}, and has {sorted(value)}")
    unknown = sorted(set(value) - set(properties))
    if unknown and schema.get("additionalProperties", True) is False:
        raise ValueError(f"{where} must have no other keys than {sorted(properties)}, got {unknown}")
    for name, each in properties.items():
        if name in value:
            _check(value[name], each, f"{where}.{name}")


def _short(value: object) -> str:
    return repr(value)[:80]

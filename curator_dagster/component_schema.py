"""The JSON schema of a component's YAML, by which `dg check` and editors judge the file before it is loaded.

`dg` prints what a schema says about the line that breaks it, so that the schema itself has to hold the hints: the value
of a name that resembles a parameter's must be "did you mean split.threshold?", which no value is.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

_LONG_NAME = 7
"""From so many letters on, a name resembles another where one half is the same and the length nearly is."""


class AttributesSchema(BaseModel):
    """Base of a model of attributes: a field that is a group of parameters has the schema of these."""

    param_groups: ClassVar[Mapping[str, type[BaseModel]]] = {}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema that pydantic derives, with those of the parameters."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        for group, model in cls.param_groups.items():
            schema["properties"][group] = group_schema(group, model)
        return {**schema, **_answers_to_wrong_names("", list(schema["properties"]))}


def group_schema(group: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of one group, in which a wrong name is answered with the ones that it may stand for.

    Not ``anyOf`` with the template that may stand for the whole group: its error would name the group, not the line.
    """
    schema = model.model_json_schema()
    answers = _answers_to_wrong_names(f"{group}.", list(schema["properties"]))
    return {**schema, "type": ["object", "string"], **answers}


def _answers_to_wrong_names(prefix: str, names: list[str]) -> dict[str, Any]:
    """The keywords of a schema that answer wrong names: with one that they resemble, else with all."""
    return {
        "patternProperties": {
            _pattern_of_similar_names(name, names): {"const": f"did you mean {prefix}{name}?"} for name in names
        },
        "additionalProperties": {"const": f"a name among {', '.join(names)}"},
    }


def _pattern_of_similar_names(name: str, known: Iterable[str]) -> str:
    """A regular expression for names that resemble this one and are not known themselves."""
    if len(name) < _LONG_NAME:
        similar = "|".join(_names_with_one_edit(name))
    else:
        middle, shortest, longest = len(name) // 2, (len(name) + 1) // 2 - 2, (len(name) + 1) // 2 + 2
        similar = f"{name[:middle]}.{{{shortest},{longest}}}|.{{{shortest},{longest}}}{name[middle + len(name) % 2 :]}"
    excluded = "|".join(each for each in known if re.fullmatch(similar, each))
    return f"^(?!(?:{excluded})$)(?:{similar})$"


def _names_with_one_edit(name: str) -> Iterable[str]:
    """Regular expressions for the name with one letter more, fewer or other, or with two that changed places."""
    for place in range(len(name) + 1):
        yield f"{name[:place]}.{name[place:]}"
    for place in range(len(name)):
        yield f"{name[:place]}.?{name[place + 1 :]}"
    for place in range(len(name) - 1):
        yield f"{name[:place]}{name[place + 1]}{name[place]}{name[place + 2 :]}"

"""Constructs the class that a parameter names, after its arguments have been checked."""

from typing import Any

from pydantic import BaseModel, ValidationError

from stages import registry
from stages.errors import ParamsError
from stages.params import ModelParams, describe_error


def construct(kind: str, name: str, params: ModelParams) -> Any:
    """The splitter, detector, embedder or captioner of this name, made of the parameters.

    Raises:
        ParamsError: there is no such class, or `args` do not fit it.
    """
    loaded = registry.load(kind, name)
    check_args(loaded, name, params)
    return loaded(params)


def check_args(loaded: type, name: str, params: ModelParams) -> None:
    """Check `params.args` by the pydantic model that a class declares as its ``Args``; without one, nothing is known.

    Raises:
        ParamsError: names each wrong argument with its value and the rule it broke; or no class of a user's own is
            named, and there are arguments.
    """
    model: type[BaseModel] | None = getattr(loaded, "Args", None)
    group = f"{params.phase}.args"
    if model is None:
        if params.args and not any(":" in each for _, each in params.plugin_names()):
            text = f"{group} must be empty with {name!r}, which reads none, got {', '.join(params.args)}."
            raise ParamsError(text, group)
        return
    try:
        model.model_validate(params.args)
    except ValidationError as error:
        known = [f"{group}.{field}" for field in model.model_fields]
        problems = [describe_error(each, group, known) for each in error.errors()]
        raise ParamsError("\n".join(problems), group) from error

"""How a parameter is declared, checked and put in words; the parameters themselves stand in `stages.params`."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.errors import FAILED_REASONS

Effect = Literal["work", "decision", "none"]


def parameter(default: Any, effect: Effect, description: str, **bounds: Any) -> Any:
    """A field with its default, bounds, meaning and effect."""
    return Field(default, description=description, json_schema_extra={"effect": effect}, **bounds)


class Params(BaseModel):
    """Base of the parameters of a phase: frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    phase: ClassVar[str]
    asset: ClassVar[str]
    code_version: ClassVar[str]
    """Raised when the same parameters and inputs would give other rows; it enters every `row_key`."""

    max_failed_fraction: float = parameter(
        0.5,
        "none",
        "The phase raises, after it has committed, where a larger share of its rows failed. Lower is stricter.",
        ge=0,
        le=1,
    )
    retry_reasons: list[str] = parameter(
        [],
        "none",
        "Work again on items whose rows failed for one of these reasons in an earlier run, also such as do not pass by "
        "themselves.",
    )

    @model_validator(mode="after")
    def _retry_reasons_are_known(self) -> Self:
        check_reasons("retry_reasons", self.retry_reasons)
        return self

    def unread(self) -> set[str]:
        """Fields that the present choice of a method does not read, so that a change of them undoes nothing.

        None where the method is a user's own: it is handed everything.
        """
        return set()

    def affecting(self, effect: Effect) -> dict[str, Any]:
        """The values of the fields with this effect that are read, by name."""
        names = [name for name in type(self).model_fields if self.effect_of(name) == effect]
        unread = self.unread()
        return {name: getattr(self, name) for name in names if name not in unread}

    @classmethod
    def effect_of(cls, name: str) -> Effect:
        """What a change of the field undoes."""
        extra = cast(dict[str, Effect], cls.model_fields[name].json_schema_extra)
        return extra["effect"]


def check_reasons(name: str, reasons: Iterable[str]) -> None:
    """Every reason is one that a failed row may have.

    Raises:
        ValueError: names those that are not.
    """
    known = [str(reason) for reason in FAILED_REASONS]
    unknown = sorted(set(reasons) - set(known))
    if unknown:
        raise ValueError(f"{name} must be among {', '.join(known)}, got {', '.join(unknown)}")

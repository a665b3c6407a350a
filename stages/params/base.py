"""The base class of a phase's parameters, and the declaration of a parameter."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.errors import FAILED_REASONS
from stages.table_names import name_of

Effect = Literal["work", "decision", "none"]


def parameter(default: Any, effect: Effect, description: str, *, keyed_at_default: bool = True, **bounds: Any) -> Any:
    """Declare a field with its default, bounds, description and effect.

    With `keyed_at_default` false it enters keys only where its value is not the default: so a parameter that is added
    later, and changes nothing at its default, lets the rows stand that were made before.
    """
    extra: dict[str, Any] = {"effect": effect}
    if not keyed_at_default:
        extra["keyed_at_default"] = False
    return Field(default, description=description, json_schema_extra=extra, **bounds)


class Params(BaseModel):
    """Base of the parameters of a phase: frozen, rejects unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    phase: ClassVar[str]
    asset: ClassVar[str]
    code_version: ClassVar[str]
    """Increased when the same parameters and inputs would give other rows; it enters every `row_key`."""

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

    @property
    def table(self) -> str:
        """The table that the phase makes by them: the asset's own, or a further one of it."""
        return self.asset

    @property
    def title(self) -> str:
        """The phase, and the name of a further table: "embed", "embed siglip"."""
        return f"{self.phase} {name_of(self.table)}".rstrip()

    def further(self) -> Sequence["Params"]:
        """The parameters of each further table of the asset that the phase makes after its own; none by default."""
        return ()

    def table_read(self, asset: str) -> str:
        """The table that the phase reads of an input asset: the asset's own by default."""
        return asset

    def unused_fields(self) -> set[str]:
        """The fields that the chosen method does not use, so that a change of them invalidates no rows.

        Empty where the method is a user's own class, which gets all fields.
        """
        return set()

    def plugin_names(self) -> list[tuple[str, str]]:
        """The plug-ins that they name, as pairs of kind and name; bundled ones and users' own classes alike."""
        return []

    def used(self, effect: Effect) -> dict[str, Any]:
        """The values of the used fields with this effect, by name."""
        names = [name for name in type(self).model_fields if self.effect_of(name) == effect]
        unused = self.unused_fields()
        return {name: getattr(self, name) for name in names if name not in unused}

    def affecting(self, effect: Effect) -> dict[str, Any]:
        """The values that enter the key of this effect, by name: those of the used fields, see `parameter`."""
        return {name: value for name, value in self.used(effect).items() if self._is_keyed(name, value)}

    @classmethod
    def _is_keyed(cls, name: str, value: Any) -> bool:
        field = cls.model_fields[name]
        extra = cast(dict[str, Any], field.json_schema_extra)
        return extra.get("keyed_at_default", True) or value != field.default

    @classmethod
    def effect_of(cls, name: str) -> Effect:
        """The effect of a change of the field."""
        extra = cast(dict[str, Effect], cls.model_fields[name].json_schema_extra)
        return extra["effect"]


def check_reasons(name: str, reasons: Iterable[str]) -> None:
    """Check that each reason is one that a failed row can have.

    Raises:
        ValueError: names the others.
    """
    known = [str(reason) for reason in FAILED_REASONS]
    unknown = sorted(set(reasons) - set(known))
    if unknown:
        raise ValueError(f"{name} must be among {', '.join(known)}, got {', '.join(unknown)}")

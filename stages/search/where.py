"""The conditions of ``--where``: a small part of SQL, parsed by sqlglot, computed by pyarrow.

Nothing of the text is executed: it is parsed to a tree, and a tree with anything but the nodes below is refused.
"""

import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from stages.errors import ParamsError, did_you_mean
from stages.search.arrow import pc

MAX_CHARS = 10_000
SCORES = "scores"
"""``scores.motion`` is the score of a filter, where a column has the same name."""
UNDERSTOOD = (
    "Understood are columns, numbers, texts in single quotes, true, false, null, AND, OR, NOT, = != < <= > >=, "
    "IN, BETWEEN, LIKE, ILIKE, IS NULL, and + - * /."
)

Kind = Literal["number", "text", "truth"]
_COMPARISONS: dict[type[exp.Expr], Callable[[Any, Any], Any]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_ARITHMETIC: dict[type[exp.Expr], Callable[[Any, Any], Any]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
}


@dataclass(frozen=True)
class _Value:
    """A part of a condition, and what kind of values it has."""

    expression: Any
    kind: Kind


@dataclass(frozen=True)
class Condition:
    """A parsed condition, whose columns are not known yet.

    Attributes:
        tree: as sqlglot gives it.
    """

    tree: exp.Expr

    @property
    def names(self) -> list[str]:
        """The columns that it names, in order; a score of a filter that it names so as ``scores.NAME``."""
        return list(dict.fromkeys(_name_of(column) for column in self.tree.find_all(exp.Column)))

    def expression(self, kinds: Mapping[str, pa.DataType]) -> Any:
        """What pyarrow filters a table by that has these columns.

        Args:
            kinds: type by column; each of `names` must be among them.

        Raises:
            ParamsError: the condition has a part that is not understood, or compares what cannot be compared.
        """
        return _truth(self.tree, {name: (pc.field(name), kind) for name, kind in kinds.items()})


def parse_where(text: str) -> Condition:
    """Parse a condition such as ``camera_motion = 'pan' AND height >= 720``.

    Raises:
        ParamsError: it is no condition.
    """
    if len(text) > MAX_CHARS:
        raise ParamsError(f"where must have at most {MAX_CHARS} characters, got {len(text)}.", "where")
    try:
        tree: Any = sqlglot.parse_one(text, into=exp.Condition)
    except (SqlglotError, RecursionError) as error:
        example = "\"camera_motion = 'pan' AND height >= 720\""
        raise ParamsError(f"where must be one condition, as in {example}, got {text!r}. {UNDERSTOOD}") from error
    return Condition(tree)


def unknown_column(name: str, known: Collection[str]) -> ParamsError:
    """The error about a column that there is not."""
    meant = did_you_mean(name, known)
    quoted = f" A text stands in single quotes: '{name}'." if not meant else ""
    return ParamsError(
        f"where must name columns of the clips, or scores of filters, got {name!r}.{meant}{quoted} "
        "docs/search.md says which there are."
    )


def _name_of(column: exp.Column) -> str:
    parts = [part.name for part in column.parts]
    if len(parts) == 1 or (len(parts) == 2 and parts[0] == SCORES):
        return ".".join(parts)
    raise ParamsError(f"where must name a column by one word, or a score as scores.NAME, got {'.'.join(parts)!r}.")


Fields = Mapping[str, tuple[Any, pa.DataType]]


def _truth(node: exp.Expr, fields: Fields) -> Any:
    """The expression of a part that is true or false."""
    match node:
        case exp.Paren():
            return _truth(node.this, fields)
        case exp.And():
            return _truth(node.left, fields) & _truth(node.right, fields)
        case exp.Or():
            return _truth(node.left, fields) | _truth(node.right, fields)
        case exp.Not():
            return ~_truth(node.this, fields)
        case exp.Column() | exp.Boolean():
            found = _value(node, fields)
            return found.expression if found.kind == "truth" else _refuse(node, "a column of numbers or texts alone")
        case exp.Is():
            return _is(node, fields)
        case exp.In() | exp.Between() | exp.Like() | exp.ILike():
            return _membership(node, fields)
        case _ if type(node) in _COMPARISONS:
            return _COMPARISONS[type(node)](*_comparable(node, node.this, node.expression, fields))
        case _:
            return _refuse(node)


def _is(node: exp.Is, fields: Fields) -> Any:
    asked = node.expression
    if isinstance(asked, exp.Null):
        return _value(node.this, fields).expression.is_null()
    if isinstance(asked, exp.Boolean):
        value = _truth(node.this, fields)
        # IS TRUE is false of null, which = true would leave null.
        return pc.coalesce(value if asked.this else ~value, pc.scalar(False))
    return _refuse(node)


def _membership(node: exp.Expr, fields: Fields) -> Any:
    """IN, BETWEEN, LIKE and ILIKE."""
    args = {name for name, value in node.args.items() if value not in (None, [], False)}
    if isinstance(node, exp.In) and args == {"this", "expressions"}:
        pairs = [_comparable(node, node.this, each, fields) for each in node.expressions]
        found = pc.scalar(False)
        for value, one in pairs:
            found |= value == one
        return found
    if isinstance(node, exp.Between) and args == {"this", "low", "high"}:
        value, low = _comparable(node, node.this, node.args["low"], fields)
        _, high = _comparable(node, node.this, node.args["high"], fields)
        return (value >= low) & (value <= high)
    pattern = node.args.get("expression")
    if isinstance(node, exp.Like | exp.ILike) and isinstance(pattern, exp.Literal) and pattern.is_string:
        value = _value(node.this, fields)
        if value.kind == "text":
            return pc.match_like(value.expression, pattern.this, ignore_case=isinstance(node, exp.ILike))
    return _refuse(node)


def _comparable(node: exp.Expr, left: exp.Expr, right: exp.Expr, fields: Fields) -> tuple[Any, Any]:
    """Both sides of a comparison.

    Raises:
        ParamsError: they are of different kinds, or one is null.
    """
    if isinstance(left, exp.Null) or isinstance(right, exp.Null):
        raise ParamsError(f"where must ask for missing values by IS NULL or IS NOT NULL, got {node.sql()!r}.")
    sides = _value(left, fields), _value(right, fields)
    if sides[0].kind != sides[1].kind:
        kinds = " with ".join(side.kind for side in sides)
        quotes = " A text stands in single quotes." if "text" in kinds else ""
        raise ParamsError(f"where must compare values of one kind, got {node.sql()!r}, which compares {kinds}.{quotes}")
    return sides[0].expression, sides[1].expression


def _value(node: exp.Expr, fields: Fields) -> _Value:
    match node:
        case exp.Paren():
            return _value(node.this, fields)
        case exp.Column():
            expression, kind = fields[_name_of(node)]
            return _Value(expression, _kind_of(kind))
        case exp.Literal():
            return _Value(pc.scalar(node.this), "text") if node.is_string else _number(node.this)
        case exp.Boolean():
            return _Value(pc.scalar(bool(node.this)), "truth")
        case exp.Neg():
            return _Value(pc.negate(_operand(node, node.this, fields)), "number")
        case exp.Div():
            left, right = (_operand(node, side, fields) for side in (node.this, node.expression))
            # By null in place of 0, which pyarrow refuses to divide by.
            divisor = pc.if_else(right == pc.scalar(0), pa.scalar(None, pa.float64()), right.cast(pa.float64()))
            return _Value(left.cast(pa.float64()) / divisor, "number")
        case _ if type(node) in _ARITHMETIC:
            left, right = (_operand(node, side, fields) for side in (node.this, node.expression))
            return _Value(_ARITHMETIC[type(node)](left.cast(pa.float64()), right.cast(pa.float64())), "number")
        case _:
            return _refuse(node)


def _operand(node: exp.Expr, side: exp.Expr, fields: Fields) -> Any:
    value = _value(side, fields)
    return value.expression if value.kind == "number" else _refuse(node, f"a calculation with a {value.kind}")


def _number(text: str) -> _Value:
    value = float(text)
    return _Value(pc.scalar(int(text) if text.isdigit() and value < 2**63 else value), "number")


def _kind_of(kind: pa.DataType) -> Kind:
    if pa.types.is_boolean(kind):
        return "truth"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "number"


def _refuse(node: exp.Expr, what: str = "") -> Any:
    raise ParamsError(f"where must be made of what is understood, got {what or node.sql()!r}. {UNDERSTOOD}")

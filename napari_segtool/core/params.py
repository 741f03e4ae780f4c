"""Parameters are declared once; forms, command line, docs and recipes are made from the declaration."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from napari_segtool.core.errors import ParameterError

Kind = Literal["int", "float", "bool", "choice", "text", "points"]


class Params(BaseModel):
    """Base of every parameter set: closed, frozen, with bounds. It has no optional fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @classmethod
    def build(cls, **values: Any) -> Self:
        """Make a parameter set, or raise `ParameterError` that says which value is wrong and what is allowed."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise _explain(cls, error) from None


def param(
    default: Any,
    help: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    advanced: bool = False,
    kind: Literal["", "points"] = "",
) -> Any:
    """Declare one field of a `Params`.

    Parameters
    ----------
    default
        Value when the user says nothing; it also fixes the type.
    help
        One sentence for the tooltip, ``--help`` and the reference.
    unit
        Unit shown after the number ("µm", "px"); empty for a plain number.
    ge, le
        Smallest and largest value allowed.
    advanced
        Folded away in forms.
    kind
        ``"points"`` for places clicked in the picture, written ``z,y,x:label; …``.
    """
    return Field(default, description=help, ge=ge, le=le, json_schema_extra={"unit": unit, "advanced": advanced, "kind": kind})


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One parameter, as forms, command line and docs need it."""

    name: str
    kind: Kind
    default: Any
    help: str
    unit: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    advanced: bool

    @property
    def label(self) -> str:
        """Name in the user's words: ``smoothing_um`` → ``Smoothing``."""
        words = self.name.replace("_", " ")
        for suffix in (" um", " px", " deg"):
            words = words.removesuffix(suffix)
        return words[:1].upper() + words[1:]

    @property
    def option(self) -> str:
        """Name on the command line: ``smoothing_um`` → ``--smoothing-um``."""
        return "--" + self.name.replace("_", "-")


def describe(params: type[Params]) -> tuple[FieldInfo, ...]:
    """List the fields of a `Params` in order of declaration.

    Examples
    --------
    >>> class Clusters(Params):
    ...     clusters: int = param(4, "Number of clusters.", ge=2, le=16)
    >>> describe(Clusters)[0].maximum
    16
    """
    return tuple(_describe(name, info) for name, info in params.model_fields.items())


def _describe(name: str, info: Any) -> FieldInfo:
    extra = info.json_schema_extra or {}
    annotation: Any = info.annotation
    choices: tuple[str, ...] = ()
    if extra.get("kind") == "points":
        kind: Kind = "points"
    elif get_origin(annotation) is Literal:
        kind, choices = "choice", tuple(str(choice) for choice in get_args(annotation))
    else:
        kind = {bool: "bool", int: "int", float: "float", str: "text"}[annotation]  # type: ignore[assignment]
    bounds: dict[str, float] = {}
    for rule in info.metadata:
        for key in ("ge", "le"):
            if getattr(rule, key, None) is not None:
                bounds[key] = getattr(rule, key)
    if info.default is PydanticUndefined:
        raise TypeError(f"parameter {name!r} has no default")
    return FieldInfo(
        name=name,
        kind=kind,
        default=info.default,
        help=info.description or "",
        unit=extra.get("unit", ""),
        minimum=bounds.get("ge"),
        maximum=bounds.get("le"),
        choices=choices,
        advanced=bool(extra.get("advanced", False)),
    )


def _explain(params: type[Params], error: ValidationError) -> ParameterError:
    """Turn the first complaint of pydantic into one sentence and a hint."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    fields = {field.name: field for field in describe(params)}
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, fields, n=1)
        known = ", ".join(fields) or "none"
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return ParameterError(f"There is no parameter {name!r}.", hint=f"{hint}Parameters here: {known}.")
    field = fields.get(name)
    if field is None:
        return ParameterError(f"{name}: {first['msg']}.")
    return ParameterError(f"{name} = {first['input']!r} is not allowed: {first['msg']}.", hint=_allowed(field))


def _allowed(field: FieldInfo) -> str:
    unit = f" {field.unit}" if field.unit else ""
    if field.choices:
        return f"Choose one of: {', '.join(field.choices)}."
    if field.minimum is not None and field.maximum is not None:
        return f"Give a value from {field.minimum:g} to {field.maximum:g}{unit}. {field.help}"
    return f"Give a value like {field.default!r}{unit}. {field.help}"

"""Options that several commands share, and options made from a `Params` declaration."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_segtool.core.errors import ParameterError, SpacingError, StorageError
from napari_segtool.core.params import FieldInfo, Params, describe
from napari_segtool.core.registry import plain
from napari_segtool.core.stack import Stack, cut, parse_slices

Output = Annotated[Path, typer.Option("-o", "--output", help="File to write.", show_default=False)]
Slices = Annotated[str, typer.Option("--slices", help="Only slices A:B along the first spatial axis.", show_default=False)]
Axes = Annotated[str, typer.Option("--axes", help="One letter for each dimension, in place of the file's (for example ZYX).", show_default=False)]
Spacing = Annotated[
    str, typer.Option("--spacing", help="Spacing in µm of each spatial axis, in place of the file's (for example 0.05,0.004,0.004).", show_default=False)
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]
JsonProgress = Annotated[bool, typer.Option("--json-progress", help="Write progress as one JSON object per line.")]
Settings = Annotated[list[str], typer.Option("--set", help="A parameter as key=value; may be repeated.", show_default=False)]


class EntryGroup(TyperGroup):
    """Sub-commands named after registry entries: ``region_growing`` finds ``region-growing``."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the sub-command of that name, however its words are joined."""
        alike = [name for name in self.commands if plain(name) == plain(cmd_name)]
        return super().get_command(ctx, alike[0] if len(alike) == 1 else cmd_name)


def load(path: Path, *, slices: str = "", axes: str = "", spacing: str = "") -> Stack:
    """Read an image with the corrections of the command line."""
    from napari_segtool import api

    stack = api.read(path, axes=axes, spacing_um=parse_spacing(spacing))
    return cut(stack, *parse_slices(slices)) if slices else stack


def parse_spacing(text: str) -> tuple[float, ...]:
    """Read ``0.05,0.004,0.004``; empty for none."""
    try:
        return tuple(float(word) for word in text.replace("x", ",").split(",")) if text else ()
    except ValueError:
        raise SpacingError(f"{text!r} is not a spacing.", hint="Give numbers in µm between commas, for example --spacing 0.05,0.004,0.004.") from None


def parse_index(text: str) -> tuple[int, ...]:
    """Read ``Z,Y,X``; empty for none."""
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise ParameterError(f"{text!r} is not a position.", hint="Give whole numbers between commas, for example --at 3,120,88.") from None


def parse_settings(words: list[str], params: type[Params], command: Callable[..., None]) -> dict[str, str]:
    """Read ``key=value`` words that set fields of ``params``; what ``command`` has an option for is refused with its name."""
    values = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ParameterError(f"--set {word!r} has no value.", hint="Write --set key=value, for example --set batch=4.")
        values[key.strip().replace("-", "_")] = value.strip()
    for name in values.keys() - params.model_fields.keys():
        option = _option_of(command, name)
        if option:
            raise ParameterError(f"--set {name}={values[name]} is not a setting here, but an option of its own.", hint=f"Use {option}.")
    params.build(**values)
    return values


def _option_of(command: Callable[..., None], name: str) -> str:
    """The option of a command that is called so, as it is written; empty if it has none."""
    notes = [note for each in inspect.signature(command, eval_str=True).parameters.values() for note in getattr(each.annotation, "__metadata__", ())]
    # typer takes the first name that stands in an annotation for a default
    written = [str(option) for note in notes for option in (getattr(note, "default", ""), *(getattr(note, "param_decls", None) or ()))]
    return next((option for option in written if option.startswith("--") and option[2:].replace("-", "_") == name), "")


def check_output(path: Path, suffixes: tuple[str, ...] = (".tif", ".tiff", ".png")) -> Path:
    """Refuse a target that cannot be written before any work is done for it."""
    if suffixes and path.suffix.lower() not in suffixes:
        raise StorageError(f"{path} ends in {path.suffix or 'nothing'!r}, which cannot be written.", hint=f"End it in {' or '.join(suffixes)}.")
    folder = path.parent
    if not folder.is_dir():
        raise StorageError(f"The folder {folder} does not exist.", hint="Make it first, or choose another.")
    if path.is_dir():
        raise StorageError(f"{path} is a folder.", hint="Give the name of a file in it.")
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".segtool-")
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise StorageError(f"Nothing can be written into {folder}: {error.strerror}.", hint="Choose another folder, or change its permissions.") from None
    return path


def check_outputs(*paths: Path | None) -> None:
    """Refuse targets that cannot be written, or that are one and the same file; None is one that is not asked for."""
    asked = [check_output(path).resolve() for path in paths if path is not None]
    twice = next((path for path in asked if asked.count(path) > 1), None)
    if twice is not None:
        raise StorageError(f"Two results are to be written to {twice}.", hint="Give each a file of its own.")


def check_labels_fit(path: Path, stack: Stack) -> None:
    """Refuse a file that cannot hold labels of the stack, before they are worked out."""
    _check_fit(path, stack.label_axes, stack.label_shape, "uint8")


def check_map_fits(path: Path, stack: Stack, classes: bool = False) -> None:
    """Refuse a file that cannot hold fractions for each pixel of the stack, or for each of its classes, before they are worked out."""
    _check_fit(path, "C" * classes + stack.label_axes, (2,) * classes + stack.label_shape, "float32")


def check_image_fits(path: Path, stack: Stack) -> None:
    """Refuse a file that cannot hold an image like the stack, whatever its dtype will be."""
    _check_fit(path, stack.axes, stack.shape, "uint8")


def _check_fit(path: Path, axes: str, shape: tuple[int, ...], dtype: str) -> None:
    import numpy as np

    from napari_segtool.io._write import check_format

    check_format(path, axes, shape, np.dtype(dtype))


def command_of(params: type[Params], work: Callable[..., None], name: str, help: str, leave_out: Collection[str] = ()) -> Callable[..., None]:
    """Make a command function whose signature is that of ``work`` plus one option for each field of ``params``.

    ``work`` receives the fields in its keyword ``values``. Its own parameters named in ``leave_out`` keep their defaults.
    """
    fields = describe(params)
    own = [parameter for parameter in inspect.signature(work, eval_str=True).parameters.values() if parameter.name not in ("values", *leave_out)]

    def command(**arguments: Any) -> None:
        values = {field.name: arguments.pop(f"param_{field.name}") for field in fields}
        work(values=values, **arguments)

    made = [inspect.Parameter(f"param_{field.name}", inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=_annotation(field)) for field in fields]
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = inspect.Signature(keyword_only + made)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only + made}
    command.__name__, command.__doc__ = name.replace("-", "_"), help
    return command


def _annotation(field: FieldInfo) -> Any:
    kinds: dict[str, Any] = {"int": int, "float": float, "bool": bool, "choice": str, "text": str, "points": str}
    notes = [field.help]
    if field.unit:
        notes.append(f"[{field.unit}]")
    if field.choices:
        notes.append(f"({' | '.join(field.choices)})")
    elif field.minimum is not None and field.maximum is not None:
        notes.append(f"({field.minimum:g} to {field.maximum:g})")
    names = (f"{field.option}/--no-{field.option[2:]}",) if field.kind == "bool" else (field.option,)
    return Annotated[kinds[field.kind], typer.Option(*names, help=" ".join(notes))]

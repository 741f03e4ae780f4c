"""A command with one sub-command for each entry of a registry."""

from __future__ import annotations

from collections.abc import Callable, Collection

import typer

from napari_segtool.cli._options import EntryGroup, command_of
from napari_segtool.core.registry import Entry, Registry


def add_group(
    app: typer.Typer,
    name: str,
    help: str,
    registry: Registry,
    work_of: Callable[[Entry], Callable[..., None]],
    leave_out: Callable[[Entry], Collection[str]] = lambda _: (),
) -> None:
    """Add ``segtool NAME ENTRY IMAGE -o OUT [--PARAM VALUE…]``.

    Parameters
    ----------
    work_of
        Returns what an entry's sub-command does: a function whose parameters are its options, and ``values``, the entry's own parameters.
    leave_out
        Options that make no sense for an entry.
    """
    group = typer.Typer(cls=EntryGroup, help=help, no_args_is_help=True, rich_markup_mode=None)
    for entry in registry:
        command = command_of(entry.params, work_of(entry), entry.name, entry.summary, leave_out(entry))
        group.command(entry.name, help=f"{entry.summary} {entry.reference}".strip())(command)
    app.add_typer(group, name=name)

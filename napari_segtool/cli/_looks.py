"""Ways of looking at what would be trained, of which a command can do one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_segtool.cli._options import check_output
from napari_segtool.core.errors import ParameterError, StorageError


def look_wanted(looks: Mapping[str, object], *, resume: bool) -> str:
    """Return the option by which something is looked at and nothing is trained; empty for none.

    Raises
    ------
    ParameterError
        If there are two, or one that looks at what a resumed run has chosen long ago.
    """
    wanted = [option for option, value in looks.items() if value]
    if len(wanted) > 1:
        raise ParameterError(f"{' and '.join(wanted)} cannot go together.", hint="Ask for one of them at a time.")
    if resume and wanted and wanted != ["--find-rate"]:
        raise ParameterError("A run that is resumed goes on as it began: there is nothing to choose.", hint=f"Leave out {wanted[0]}, or --resume.")
    return wanted[0] if wanted else ""


def check_new(paths: Sequence[Path], suffixes: tuple[str, ...]) -> None:
    """Refuse files that cannot be written, or are there already, before any work is done for them."""
    for path in paths:
        check_output(path, suffixes)
        if path.exists():
            raise StorageError(f"{path} exists already.", hint="Choose another name, or delete it first.")

"""The command line ``segtool``: the same verbs as Python, options made from the registries."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``segtool``; exit code 0 on success, 2 on bad input with one clear message, 130 on Ctrl-C."""
    from napari_segtool.cli._app import run

    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))

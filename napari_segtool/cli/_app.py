"""Join the sub-commands and turn every expected error into one message and an exit code."""

from __future__ import annotations

import importlib
import os
import sys

import typer

from napari_segtool import __version__
from napari_segtool.core.errors import SegtoolError

COMMANDS = ("demo", "gui", "list", "network", "segment", "filter", "train", "runs", "predict", "explain", "inside", "evaluate", "doctor")
OK, BAD_INPUT, INTERRUPTED = 0, 2, 130


def build(wanted: str = "") -> typer.Typer:
    """Make the application; only the files of the ``wanted`` command are imported, all of them if it is none of ours."""
    app = typer.Typer(
        name="segtool",
        help="Segment electron-microscopy and ultrasound stacks: classical methods, networks, saliency, scores. Window: segtool gui.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
        if version:
            typer.echo(f"napari-segtool {__version__}")
            raise typer.Exit

    for name in (wanted,) if wanted in COMMANDS else COMMANDS:
        importlib.import_module(f"napari_segtool.cli.{name}_").add_to(app)
    return app


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: spinning threads lose to any other program
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    try:
        outcome = typer.main.get_command(build(wanted)).main(args=arguments, prog_name="segtool", standalone_mode=False)
    except SegtoolError as error:
        _tell(error.message, error.hint)
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        _tell("Stopped.", "")
        return INTERRUPTED
    except MemoryError:
        _tell("The computer's memory is not enough for this.", "Work on fewer slices (--slices A:B), or close other programs.")
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except typer.Exit as stop:
        return int(stop.exit_code)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # a mistake in the command line itself
            error.show()
            return BAD_INPUT
        raise
    return int(outcome) if isinstance(outcome, int) else OK


def _tell(message: str, hint: str) -> None:
    text = f"segtool: {message}"
    sys.stderr.write(f"{text}\n  {hint}\n" if hint else f"{text}\n")

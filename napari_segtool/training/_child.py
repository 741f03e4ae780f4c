"""Train a prepared run folder in a process of its own: ``python -m napari_segtool.training._child RUN``.

What happens is said in the run's ``events.jsonl``. Exit code 0 when a model was kept, 2 for an expected error, 130 when cancelled or interrupted, 1 for a bug.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: threads that spin cost a busy machine more than half its speed


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the run named on the command line and return the exit code."""
    from napari_segtool.core.errors import SegtoolError
    from napari_segtool.core.progress import drain
    from napari_segtool.core.registry import LEARNERS
    from napari_segtool.training.runs._run import open_run, with_threads

    parser = argparse.ArgumentParser(prog="napari_segtool.training._child", description="Train, or go on training, a prepared run folder.")
    parser.add_argument("run", help="Folder of the run.")
    parser.add_argument("--threads", type=int, default=-1, help="Processor cores; as the run says where not given, 0 for all.")
    parser.add_argument("--nice", type=int, default=0, help="Lower the priority by this much.")
    options = parser.parse_args(arguments)
    if options.nice and hasattr(os, "nice"):
        os.nice(options.nice)
    try:
        run = with_threads(open_run(options.run), options.threads)

        def end(_signal: int, _frame: FrameType | None) -> None:
            run.request("cancel")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        drain(LEARNERS.get(run.learner).function(run))
    except SegtoolError as error:
        sys.stderr.write(f"{error}\n")
        return 130 if type(error).__name__ == "TrainingCancelledError" else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

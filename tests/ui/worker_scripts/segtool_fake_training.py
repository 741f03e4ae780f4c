"""Stands in for the training process in tests of the window: it writes events as the engine does, and ends as it is told to.

The script is chosen by the variable FAKE_TRAINING: ``learn`` goes on until it is asked to end, ``deaf`` does not listen,
``die`` kills itself after three steps, ``full`` says that the disk is full, ``odd`` ends without a word.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

run = Path(sys.argv[1])
script = os.environ.get("FAKE_TRAINING", "learn")
log = (run / "events.jsonl").open("a", buffering=1)


def say(kind, **facts):
    log.write(json.dumps({"time": time.time(), "kind": kind, **facts}) + "\n")


if script == "odd":
    sys.stderr.write("Segmentation was never my strength\n")
    sys.exit(3)
say("start", step=0, device="cpu", threads=1, batch=4, patch_px=[1, 64, 64])
for step in range(1, 3000):
    time.sleep(0.03)
    say("step", step=step, loss=1 / step, seconds=step * 0.03, fraction=step / 3000, seconds_left=90.0)
    if step % 3 == 0:
        say("validation", step=step, loss=0.5, dice=0.8, classes={"cell": 0.9, "rest": 0.7}, kept=True)
    if step == 2:
        say("message", text="Memory ran out: going on with 2 patches at a time.")
    if script == "full" and step == 3:
        say("failed", text=f"The disk of {run} is full.", hint="Free some space there and resume the run.")
        sys.exit(2)
    if script == "die" and step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    control = run / "control"
    if script == "learn" and control.exists():
        word = control.read_text()
        control.unlink()
        say("cancelled") if word == "cancel" else say("stopped", step=step, seconds=step * 0.03)
        break

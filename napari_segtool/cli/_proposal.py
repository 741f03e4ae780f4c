"""How a training was configured, as lines or as JSON."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_segtool.training.configure._proposal import Proposal

_WIDTH = 118


def tell_proposal(proposal: Proposal, *, as_json: bool) -> None:
    """Write a proposal to standard output."""
    sys.stdout.write(json.dumps(proposal.record(), ensure_ascii=False) + "\n" if as_json else "\n".join(proposal_lines(proposal)) + "\n")
    sys.stdout.flush()


def proposal_lines(proposal: Proposal) -> Iterator[str]:
    """Yield a proposal as lines: memory and time first, then each choice with its reason, then how to ask for the same."""
    facts = [
        f"{proposal.parameters / 1e6:.1f} million weights" if proposal.parameters >= 1e5 else f"{proposal.parameters} weights",
        f"about {_amount(proposal.memory_mb)} of the {_amount(proposal.free_mb)} that are free",
    ]
    if proposal.seconds_per_step:
        facts.append(f"{proposal.seconds_per_step:.2g} s a step, {proposal.steps} steps in {_duration(proposal.seconds_per_step * proposal.steps)}")
    yield f"{proposal.learner} on {proposal.device.upper()}: {', '.join(facts)}."
    named = [(reason.setting, str(reason.value), reason.why) for reason in proposal.reasons]
    if not named:
        yield "Every setting is given: nothing was left to choose."
        return
    first, second = (max(len(row[column]) for row in named) for column in (0, 1))
    for setting, value, why in named:
        head = f"  {setting.ljust(first)}  {value.ljust(second)}  "
        room = max(40, _WIDTH - len(head))
        lines = textwrap.wrap(why, room)
        yield head + lines[0]
        yield from (" " * len(head) + line for line in lines[1:])
    yield "Change any of them with --set NAME=VALUE."


def _amount(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

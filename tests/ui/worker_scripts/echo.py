"""A child process for the tests: it reports its surroundings, floods its pipes, or dies."""

import os
import signal
import sys
import time


def say(*words):
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")


mode = sys.argv[1]
if mode == "report":
    say("threads", os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"])
    line = sys.stdin.readline().strip()
    say("nice", os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 10)
    say("echo", line)
elif mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in range(20000):
        say("line", number, "x" * 100)
        sys.stderr.write("complaint " + "y" * 100 + "\n")
    while True:
        time.sleep(1)
elif mode == "die":
    sys.stderr.write("ran out of memory\n")
    os.abort()

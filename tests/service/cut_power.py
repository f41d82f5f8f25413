"""Run an operation and kill this process, as a cut of power would, before its N-th change of the disk.

    cut_power.py N EVENTS ROOT OPERATION [ARGUMENT ...]

EVENTS names the audit events that count, comma-separated. Exit 0: the operation came to its end before the N-th.
"""

import os
import signal
import sys


def cut_before(number: int, counted: frozenset[str], below: str) -> None:
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event not in counted:
            return
        if event == "open":
            # Only what is opened for writing changes anything.
            path, _, flags = arguments
            if (
                not isinstance(path, str)
                or not path.startswith(below)
                or not flags & (os.O_WRONLY | os.O_RDWR)
            ):
                return
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> int:
    number, events, root, *operation = sys.argv[1:]
    from agent.update.launcher import main as launcher

    cut_before(int(number), frozenset(events.split(",")), root)
    return launcher(["--no-systemd", "--root", root, *operation])


if __name__ == "__main__":
    sys.exit(main())

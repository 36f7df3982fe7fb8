"""`python -m evosearch` is the command `evosearch`."""

import signal
import sys


def run() -> int:
    """The command line.

    Until that is imported Ctrl-C ends the process without a word: nothing has begun. Then `main` handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from evosearch.cli.main import main

    return main()


if __name__ == "__main__":
    sys.exit(run())

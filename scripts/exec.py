#!/usr/bin/env python3
"""exec.py COMMAND...: runs it with what .testbed/env holds (ENVOY_BIN, ...) in its environment.

What the caller's environment already holds wins.
"""

import os
import signal
import sys

from lib import paths, signals


def main():
    """Does not return."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    signals.heed()
    # Python ignores them, and what is ignored stays ignored in COMMAND and in all its children.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    os.execvpe(sys.argv[1], sys.argv[1:], {**paths.read_env(), **os.environ})


if __name__ == "__main__":
    main()

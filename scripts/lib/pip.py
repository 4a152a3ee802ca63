"""Finding a pip, as the machine has it configured (index, proxy, certificates)."""

import subprocess
import sys

from . import paths
from .part import Unavailable, run


def find():
    """The command line of a pip: this Python's, or one in a venv of our own."""
    if works([sys.executable, "-m", "pip"]):
        return [sys.executable, "-m", "pip"]
    own = paths.TESTBED / "pip"
    command = [str(own / "bin" / "python"), "-m", "pip"]
    if works(command):
        return command
    try:
        run([sys.executable, "-m", "venv", str(own)])
    except Unavailable as err:
        raise Unavailable("this Python has neither pip nor venv (Debian: python3-pip)") from err
    return command


def works(command):
    """True where it answers `--version`."""
    try:
        done = subprocess.run(command + ["--version"], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0

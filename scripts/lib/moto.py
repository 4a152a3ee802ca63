"""moto: AWS's APIs on loopback (ECS, Secrets Manager, STS, IAM), in a venv with pinned hashes.

The full `moto[server]` extra is 60 packages and 316 MB; what serves the APIs we use is moto itself and Flask.
"""

import shutil
import sys

from . import part, paths, pip

VERSION = "5.2.5"
REQUIREMENTS = paths.ROOT / "scripts" / "requirements-moto.txt"


def setup():
    """Makes the venv; gives the path of `moto_server`."""
    venv = paths.TESTBED / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    part.say("moto", f"{VERSION}: installing it into .testbed/venv (26 packages, about 20 s)")
    part.run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
    command = pip.find() + ["--python", str(venv / "bin" / "python"), "install", "--quiet",
                            "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)]
    part.run(command)
    part.version_of(venv / "bin" / "moto_server", "--help")
    part.say("moto", f"{VERSION}: installed, every hash is right")
    return venv / "bin" / "moto_server"

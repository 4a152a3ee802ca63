#!/usr/bin/env python3
"""Sets up the real parts that the tests and the demo run: everything goes into .testbed/, which git ignores.

    setup.py            all parts (what `make test` needs)
    setup.py envoy      only the named ones (what `make demo` needs)
    setup.py --release-target    prints the target of the release build, and does nothing else

Versions are pinned in scripts/lib, checksums are checked, and a second call does nothing. A part that cannot be had on
this machine is skipped with the reason, and what needs it then says so. Nothing is installed system-wide but, as root
on Debian, the compiler's packages that are missing (gcc, musl-tools) and iproute2.
"""

import argparse
import fcntl
import json
import platform
import shutil
import sys

from lib import consul, deny, envoy, hadolint, moto, part, paths, rust

#: name: (variable in .testbed/env, the pin, what fetches it, what finds the user's own instead)
PARTS = {
    "envoy": ("ENVOY_BIN", lambda: envoy.VERSION, envoy.setup, envoy.theirs),
    "consul": ("CONSUL187_BIN", lambda: consul.PACKAGE, consul.setup, None),
    "deny": ("CARGO_DENY", lambda: deny.VERSION, deny.setup, None),
    "hadolint": ("HADOLINT", lambda: hadolint.VERSION, hadolint.setup, None),
    "moto": ("MOTO_SERVER", lambda: f"{part.sha256(moto.REQUIREMENTS)} {platform.python_version()}",
             moto.setup, None),
}


class Setup:
    """One call: what was there, what is there now, what could not be had."""

    def __init__(self):
        self.state = json.loads(paths.STATE_FILE.read_text()) if paths.STATE_FILE.is_file() else {}
        self.env = paths.read_env()
        self.skipped = {}

    def rust(self):
        """The toolchain, its system packages, and the target of the release build."""
        rust.toolchain()
        for name, what in (("apt", rust.system_packages), ("musl", rust.musl)):
            try:
                target = what()
            except part.Unavailable as err:
                self.skipped[name] = str(err)
                target = None
        self.env["RELEASE_TARGET"] = target or ""

    def user_consul(self):
        """The user's current Consul, if there is one."""
        self.env.pop("CONSUL_BIN", None)
        found = consul.theirs()
        if found:
            self.env["CONSUL_BIN"] = found[0]

    def fetch(self, name):
        """One binary part: the user's own, the one that is here, or a fresh one."""
        key, pin, setup, theirs = PARTS[name]
        self.env.pop(key, None)
        self.env.pop(f"{key}_MISSING", None)
        found = theirs() if theirs else None
        if found:
            self.env[key] = found[0]
            theirs_now = {"pin": found[1], "path": found[0]}
            if self.state.get(f"own {name}") != theirs_now:
                part.say(name, f"using {found[0]} ({found[1]})")
                self.state[f"own {name}"] = theirs_now
            return
        target = paths.TESTBED / self.state.get(name, {}).get("file", "nothing")
        if target.is_file() and self.state[name] == record(pin(), target):
            self.env[key] = str(target)
            return
        self.state.pop(name, None)
        try:
            target = setup()
        except part.Unavailable as err:
            self.skipped[name] = str(err)
            self.env[f"{key}_MISSING"] = str(err)
            return
        self.env[key] = str(target)
        self.state[name] = record(pin(), target)

    def save(self):
        """Writes both files in one step each."""
        lines = "".join(f"{key}={value}\n" for key, value in sorted(self.env.items()))
        for file, text in ((paths.ENV_FILE, lines), (paths.STATE_FILE, json.dumps(self.state, indent=1))):
            fresh = file.with_suffix(".new")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(file)


def record(pin, target):
    """What tells that a file is still the one that was checked, without reading it again."""
    stat = target.stat()
    name = str(target.relative_to(paths.TESTBED))
    return {"pin": pin, "file": name, "stamp": [stat.st_size, stat.st_mtime_ns]}


def main():
    """Exit code 0 also where parts were skipped; 1 where something is broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {' '.join(PARTS)}")
    parser.add_argument("--release-target", action="store_true", help="print the release build's target")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if args.release_target:
        print(release_target())
        return 0
    paths.TESTBED.mkdir(exist_ok=True)
    with open(paths.TESTBED / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return setup(args.parts or list(PARTS))


def setup(names):
    """Does it all, and says so."""
    this = Setup()
    before = part.said
    try:
        this.rust()
        this.user_consul()
        for name in names:
            this.fetch(name)
    except part.Broken as err:
        print(f"setup: failed: {err}", file=sys.stderr)
        return 1
    finally:
        this.save()
        shutil.rmtree(paths.TMP, ignore_errors=True)
    for name, why in this.skipped.items():
        print(f"  {name:<9} skipped: {why}")
    if part.said == before:
        print("setup: nothing to do, all is in .testbed/")
    else:
        print("setup: done" + (f", except {', '.join(this.skipped)}" if this.skipped else ""))
    return 0


def release_target():
    """Static musl where it can be built; else the host's own, with a word about it on stderr."""
    try:
        return rust.musl()
    except part.Unavailable as err:
        host = rust.host()
        print(f"static build not possible here ({err}): building for {host}, linked to its libc",
              file=sys.stderr)
        return host


if __name__ == "__main__":
    sys.exit(main())

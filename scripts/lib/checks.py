"""The checks beside the tests: each one command, whose output is shown where it fails."""

import subprocess
import sys
import threading
import time

#: name, command; `{CARGO_DENY}` is taken from .testbed/env. The two builds come last and together, for the tests.
CHECKS = [
    ("format", ["cargo", "fmt", "--all", "--check"]),
    ("deny", ["{CARGO_DENY}", "--locked", "check", "bans", "licenses", "sources"]),
    ("dockerfile", ["{HADOLINT}", "Dockerfile"]),
    ("clippy", ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("clippy without aws", ["cargo", "clippy", "--locked", "-p", "taskmesh", "--no-default-features", "--",
                            "-D", "warnings"]),
    ("docs", ["cargo", "doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]),
    ("build", ["cargo", "build", "--locked", "--workspace", "--bins"]),
    ("build tests", ["cargo", "test", "--locked", "--workspace", "--no-run"]),
]

#: Docs are for who works on the project, with private items; so links to those are no mistake.
DOC_FLAGS = "-D warnings -A rustdoc::private_intra_doc_links"

#: Without a terminal to draw progress on, a word of life this often, in seconds.
HEARTBEAT = 30


def check(name, argv, env, count):
    """Runs one; true where it passed or, for a tool that is not here, was skipped."""
    if argv[0].startswith("{"):
        key = argv[0][1:-1]
        if key not in env:
            count.skips.append((f"check {name}", env.get(f"{key}_MISSING", "not set up: make setup")))
            return True
        argv = [env[key], *argv[1:]]
    print(f"check {name} ...", flush=True)
    began = time.monotonic()
    env = {**env, "RUSTDOCFLAGS": DOC_FLAGS}
    code = (on_terminal if sys.stdout.isatty() else calmly)(name, argv, env)
    took = time.monotonic() - began
    print(f"check {name}: {'FAILED' if code else 'ok'} ({took:.0f} s)", flush=True)
    return code == 0


def on_terminal(_name, argv, env):
    """cargo draws its own progress bar there."""
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, check=False).returncode


def calmly(name, argv, env):
    """Keeps the output for a failure, and says now and then how far it is."""
    lines = []
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        reader = threading.Thread(target=lambda: lines.extend(iter(child.stdout.readline, "")))
        reader.start()
        while True:
            reader.join(HEARTBEAT)
            if not reader.is_alive():
                break
            print(f"check {name}: at work: {lines[-1].strip()[:60] if lines else '...'}", flush=True)
        code = child.wait()
    if code != 0:
        noise = ("   Compiling ", " Downloading ", "  Downloaded ", "    Checking ")
        print("".join(line for line in lines if not line.startswith(noise)))
    return code

#!/usr/bin/env python3
"""Fuzzes what reads foreign bytes, with coverage: every target of fuzz/, SECONDS each.

    fuzz.py [SECONDS]        default 60

The pinned stable toolchain is enough: coverage is instrumented by flags that are stable, and no sanitizer is used, for
the code that is fuzzed has no `unsafe`. A C++ compiler is needed (libFuzzer). The corpus stays in fuzz/corpus for the
next time, a failing input in fuzz/artifacts. Exit code 1 where one was found.
"""

import os
import shutil
import subprocess
import sys

from lib import paths, rust

FUZZ = paths.ROOT / "fuzz"

#: target: where its seeds are
TARGETS = {"config": paths.ROOT / "config", **{seeds.name: seeds for seeds in sorted((FUZZ / "seeds").iterdir())}}

#: What cargo-fuzz sets, less the sanitizer, which needs a nightly toolchain.
FLAGS = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg fuzzing",
    "-Ccodegen-units=1",
]


def main():
    """Builds all, then runs one after the other."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    # The dependencies that the project has, in the versions that it has.
    shutil.copy(paths.ROOT / "Cargo.lock", FUZZ / "Cargo.lock")
    host = rust.host()
    # With a target given, the flags are not for build scripts.
    subprocess.run(["cargo", "build", "--release", "--target", host], cwd=FUZZ, check=True,
                   env={**os.environ, "RUSTFLAGS": " ".join(FLAGS)})
    found = [name for name in TARGETS if not run(name, FUZZ / "target" / host / "release" / name, seconds)]
    print(f"fuzz: {len(TARGETS)} targets, {seconds} s each: " + (f"FAILED: {', '.join(found)}" if found else "ok"))
    return 1 if found else 0


def run(name, program, seconds):
    """One target; true where nothing was found."""
    corpus, artifacts = FUZZ / "corpus" / name, FUZZ / "artifacts" / name
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].iterdir():
        if seed.is_file() and seed.name != "schema.json":
            shutil.copy(seed, corpus)
    print(f"fuzz {name} ...", flush=True)
    argv = [program, f"-max_total_time={seconds}", "-timeout=10", "-max_len=16384", "-print_final_stats=1",
            "-verbosity=0", f"-artifact_prefix={artifacts}/", corpus]
    return subprocess.run(argv, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

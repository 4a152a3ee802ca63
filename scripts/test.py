#!/usr/bin/env python3
"""Every check and every test, and one closing line: `N passed, M failed, K skipped`.

    test.py                  formatting, clippy, cargo-deny, hadolint, docs, all tests
    test.py ARG...           only `cargo test --workspace ARG...`, counted the same way

With V=1 every test's own line is shown, else one line a test binary. A test that could not run here has said so with
`testbed::skip::skip`: it is listed with its reason and counts as skipped, never as passed. A check that fails counts
as one failure; a check that passes is not a test and is not counted. Exit code 0 only where something ran and nothing
failed.
"""

import os
import sys
import tempfile

from lib import paths, signals
from lib.checks import CHECKS, check
from lib.tests import Count, run_tests


def main():
    """Runs it all, also where one step fails, so that everything is seen at once."""
    env = {**paths.read_env(), **os.environ}
    os.chdir(paths.ROOT)
    signals.heed()
    count = Count()
    try:
        if len(sys.argv) == 1:
            for name, argv in CHECKS:
                if not check(name, argv, env, count):
                    count.failures.append(f"check {name}")
        if "check build tests" not in count.failures:
            with tempfile.NamedTemporaryFile(prefix="taskmesh-skips-", mode="r", encoding="utf-8") as skips:
                env["TASKMESH_SKIP_LOG"] = skips.name
                run_tests(sys.argv[1:], env, count)
                count.add_skips(skips.read().splitlines())
    except KeyboardInterrupt:
        print("\ntest: interrupted", file=sys.stderr)
        return 130
    return count.close()


if __name__ == "__main__":
    sys.exit(main())

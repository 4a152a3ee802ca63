"""Running `cargo test` and counting what it says."""

import os
import queue
import re
import signal
import subprocess
import threading
import time

#: One `cargo test` that takes longer hangs; it is killed, and that is a failure.
LIMIT = 60 * float(os.environ.get("TEST_LIMIT_MINUTES", "45"))

HEADER = re.compile(r"^\s+(?:Running (?:unittests )?(\S+) \((.*)\)|Doc-tests (\S+))$")
RESULT = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored.*finished in ([\d.]+)s")
FAILED = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. FAILED")
IGNORED = re.compile(r"^test (\S+) \.\.\. ignored(?:, (.*))?$")
ONE_TEST = re.compile(r"^test \S+.* \.\.\. (ok|ignored.*)$|^running \d+ tests?$|^$")


class Count:
    """The closing line."""

    def __init__(self):
        self.passed = 0
        #: Binaries that came to their result line.
        self.finished = set()
        self.failures = []
        self.skips = []

    def add_skips(self, lines):
        """`binary TAB test TAB reason` lines, as `testbed::skip::skip` writes them. libtest counted each as passed."""
        failed = set(self.failures)
        for line in dict.fromkeys(lines):
            binary, test, reason = (line.split("\t", 2) + ["", ""])[:3]
            if f"{binary}: {test}" in failed:
                continue
            self.skips.append((f"{binary}: {test}", reason))
            if binary in self.finished:
                self.passed -= 1

    def close(self):
        """Prints it; gives the exit code."""
        for name, reason in self.skips:
            print(f"skipped: {name}: {reason}")
        for name in self.failures:
            print(f"failed: {name}")
        if self.passed + len(self.failures) == 0:
            print("failed: no test ran")
            self.failures.append("no test ran")
        print(f"{self.passed} passed, {len(self.failures)} failed, {len(self.skips)} skipped", flush=True)
        return 1 if self.failures else 0


class Binary:
    """One test binary, from its `Running` line to its `test result` line."""

    def __init__(self, name, label):
        self.name = name
        self.label = label
        self.failed = []
        self.in_failures = False
        self.done = False


def run_tests(args, env, count):
    """Streams `cargo test --workspace` and adds to `count`."""
    argv = ["cargo", "test", "--locked", "--workspace", "--no-fail-fast", *args]
    print(f"tests: {' '.join(argv)}", flush=True)
    verbose = env.get("V", "0") not in ("", "0")
    binary = None
    with Process(argv, env) as process:
        for line in process.lines():
            header = HEADER.match(line)
            if header:
                finish(binary, count)
                binary = Binary(*names_of(header))
                continue
            binary = read(line, binary, count, verbose)
        code = process.wait()
    finish(binary, count)
    if code != 0 and not count.failures:
        count.failures.append(f"cargo test: exit code {code}" if binary else "cargo test: did not compile")
    if process.killed:
        count.failures.append(f"cargo test: no end after {LIMIT / 60:.0f} minutes; killed")


def read(line, binary, count, verbose):
    """One line of output that is no header."""
    if binary is None:
        print(line, flush=True)
        return None
    result, failed, ignored = RESULT.search(line), FAILED.match(line), IGNORED.match(line)
    if failed:
        binary.failed.append(failed[1])
    # A "helper: ..." is the other half of a test, which runs it in a process of its own: no test that was skipped.
    if ignored and not (ignored[2] or "").startswith("helper:"):
        count.skips.append((f"{binary.name}: {ignored[1]}", ignored[2] or "ignored"))
    if result:
        passed, failures, _, seconds = result.groups()
        binary.done = True
        count.finished.add(binary.name)
        count.passed += int(passed)
        # A test whose own line was torn by another process's output still counts.
        names = binary.failed + ["?"] * (int(failures) - len(binary.failed))
        count.failures += [f"{binary.name}: {name}" for name in names]
        if int(passed) + int(failures):
            print(f"  {binary.label}: {passed} passed, {failures} failed ({float(seconds):.1f} s)", flush=True)
    elif verbose or binary.in_failures or not ONE_TEST.match(line):
        binary.in_failures |= line == "failures:"
        print(line, flush=True)
    return binary


def finish(binary, count):
    """A binary that ended without its result line has crashed."""
    if binary and not binary.done:
        count.failures.append(f"{binary.name}: ended without a result (crashed, or killed)")


def names_of(header):
    """What `testbed::skip` calls the binary (`stop` of `target/debug/deps/stop-0f1e2d3c`), and what we show."""
    source, path, doc = header.groups()
    if doc:
        return f"{doc} docs", f"{doc} docs"
    name = path.rsplit("/", 1)[-1].rsplit("-", 1)[0]
    return name, f"{name} ({source})"


class Process:
    """A command in a process group of its own, so that nothing of it outlives us."""

    def __init__(self, argv, env):
        self.killed = False
        # pylint: disable-next=consider-using-with
        self.child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, errors="replace",
                                      start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.kill()
        self.child.stdout.close()

    def lines(self):
        """Its output, until its end or the time limit."""
        lines = queue.Queue()

        def pump():
            for line in self.child.stdout:
                lines.put(line.rstrip("\n"))
            lines.put(None)

        threading.Thread(target=pump, daemon=True).start()
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.killed = True
                self.kill()
                return
            if line is None:
                return
            yield line

    def wait(self):
        """Its exit code."""
        return self.child.wait()

    def kill(self):
        """TERM to the whole group, KILL after 10 s."""
        for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, None)):
            try:
                os.killpg(self.child.pid, number)
                self.child.wait(patience)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

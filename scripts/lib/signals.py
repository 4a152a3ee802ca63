"""Signals that whoever started us ignores: what is ignored stays ignored in every child, and a test of signals then
waits for ever. A shell ignores INT and QUIT in its background jobs, `nohup` HUP."""

import signal


def heed():
    """Heeds HUP, INT and QUIT again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ignored in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_DFL)

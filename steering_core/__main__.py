"""``steer``, and ``python -m steering_core``: the command line, away from the network and the user's to stop."""

import io
import os
import signal
import sys


def main() -> int:
    """Run the command of the process's arguments.

    Returns:
        Exit status: see ``cli.main.main``, and 130 where the user stopped it.
    """
    # Before anything is imported that reads them. Nothing leaves the machine unless the user says so.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # What these libraries tell while they load is of no use to who draws; their errors still come.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding lacks is told by its number: no command fails, its work done, at a printed sign.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Libraries that are interrupted while they are imported tell it in ways of their own: then the process just ends.
    interrupted = signal.getsignal(signal.SIGINT)
    is_told = interrupted is signal.default_int_handler  # and not ignored, as in a script's background
    if is_told:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli.main import main as run

    if is_told:
        signal.signal(signal.SIGINT, interrupted)
    try:
        return run()
    except KeyboardInterrupt:
        print("steer: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

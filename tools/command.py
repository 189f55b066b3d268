"""What the command lines of tools and benchmarks have in common."""

from __future__ import annotations

import argparse


def command_line(doc: str | None) -> argparse.ArgumentParser:
    """One whose help begins with what the module says of itself, as it stands there."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)

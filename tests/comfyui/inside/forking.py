"""Imports ComfyUI and the pack once, and runs scripts that have them; run with COMFYUI PACK.

An order is a line of JSON on standard input: a script of this folder, its arguments, and files for what it prints. Each
runs in a fork of its own, which ends as a process would that had imported everything by itself. Its exit status is
the answer, a line on standard output.
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

# What is printed while modules are imported is no answer.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import setting


def obey(script, arguments, out, err):
    """Run a script in this process, a fork; returns its exit status."""
    for number, file in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    setting.arguments = arguments
    try:
        runpy.run_path(str(Path(__file__).with_name(script)), run_name="__main__")
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    order = json.loads(line)
    if child := os.fork():
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()
    else:
        status = obey(**order)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

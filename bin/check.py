"""`./run check`: looks for faults in the code: form, lint, types, imports, house rules."""

import os
import subprocess
import sys
from pathlib import Path

from bin.command import ended, main_of, parser, say

TOP = Path(__file__).parent.parent
PYTHON = (sys.executable, "-m")
IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"

STEPS = {
    "form": (*PYTHON, "ruff", "format", "--check", "--quiet"),
    "lint": (*PYTHON, "ruff", "check"),
    "types": (*PYTHON, "ty", "check"),
    "imports": (sys.executable, "-c", IMPORTS),
    "house rules": (*PYTHON, "pytest", "-q", "tests/test_house.py"),
}


def main(arguments: list[str]) -> int:
    parser("check", f"Look for faults in the code: {', '.join(STEPS)}.").parse_args(arguments)
    return ended(run)


def run() -> int:
    """Take all steps. Returns 1 if one of them finds something."""
    os.chdir(TOP)
    faulty = [name for name, command in STEPS.items() if not _is_clean(name, command)]
    say(f"Not well: {', '.join(faulty)}." if faulty else "All is well.")
    return 1 if faulty else 0


def _is_clean(name: str, command: tuple[str, ...]) -> bool:
    """Take one step. What it says is shown if it finds something."""
    done = subprocess.run(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    clean = done.returncode == 0
    say(f"{'ok      ' if clean else 'not ok  '}{name}")
    if not clean:
        say(done.stdout)
    return clean


if __name__ == "__main__":
    main_of(main)

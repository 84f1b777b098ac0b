"""`./run check`: check the code: format, lint, types, import contracts and structure."""

import os
import subprocess
import sys
from pathlib import Path

from cli import commit_message
from cli.command import create_parser, print_line, run_as_script, run_command

PROJECT_ROOT = Path(__file__).parent.parent
PYTHON = (sys.executable, "-m")
IMPORT_LINTER = "from importlinter.cli import lint_imports_command; lint_imports_command()"

STEPS = {
    "format": (*PYTHON, "ruff", "format", "--check", "--quiet"),
    "lint": (*PYTHON, "ruff", "check"),
    "types": (*PYTHON, "ty", "check"),
    "imports": (sys.executable, "-c", IMPORT_LINTER),
    "structure": (*PYTHON, "pytest", "-q", "tests/test_structure.py"),
    "translations": (*PYTHON, "pytest", "-q", "tests/test_translations.py"),
}


def main(arguments: list[str]) -> int:
    create_parser("check", f"Check the code: {', '.join(STEPS)}.").parse_args(arguments)
    return run_command(run_checks)


def run_checks() -> int:
    """Install the commit-msg hook and run all steps; return 1 if one of them fails."""
    if note := commit_message.install_hook(PROJECT_ROOT):
        print_line(note)
    os.chdir(PROJECT_ROOT)
    failed = [name for name, command in STEPS.items() if not _run_step(name, command)]
    print_line(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0


def _run_step(name: str, command: tuple[str, ...]) -> bool:
    """Run one step; print its output if it fails."""
    result = subprocess.run(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    is_ok = result.returncode == 0
    print_line(f"{'ok      ' if is_ok else 'not ok  '}{name}")
    if not is_ok:
        print_line(result.stdout)
    return is_ok


if __name__ == "__main__":
    run_as_script(main)

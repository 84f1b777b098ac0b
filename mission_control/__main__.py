"""The command `mission-control` of a wheel, which does what `run` does in a checkout."""

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the command that is named on the command line."""
    packages = str(Path(__file__).parent)
    sys.path.insert(0, packages)
    os.environ["PYTHONPATH"] = packages  # for processes that it starts
    runpy.run_module("cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

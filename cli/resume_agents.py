"""`./run resume-agents`: see stop_agents.py."""

from cli.command import run_as_script
from cli.stop_agents import resume as main

__all__ = ["main"]

if __name__ == "__main__":
    run_as_script(main)

"""The rule for commit messages, and the Git hook that enforces it.

`./run check` installs the hook, which runs this module as a script. It uses only the standard
library, because a Git hook runs without the packages of .venv.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

MAX_SUBJECT_LENGTH = 72
GENERATED_SUBJECT = re.compile(
    r"(fixup|squash|amend)! |(Revert|Reapply) \"|Merge (branch|commit|pull|remote|tag)"
)
SCISSORS = "# ------------------------ >8 ------------------------"
IMPERATIVES = frozenset(
    (
        *("bleed", "breed", "embed", "exceed", "feed", "heed", "need", "proceed", "seed", "shed"),
        *("shred", "speed", "succeed", "weed", "bring", "cling", "fling", "ping", "ring", "sing"),
        *("sling", "spring", "sting", "string", "swing", "wring"),
    )
)
"""Verbs that end in "ed" or "ing" in the imperative."""

HOOK_MARKER = "# Installed by ./run check of Mission Control."
HOOK = f"""\
#!/bin/sh
{HOOK_MARKER}
[ -f cli/commit_message.py ] || exit 0 # an older commit is checked out
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -I cli/commit_message.py "$1"
"""


def main(file: str) -> int:
    """Check the message that Git has written to a file; return 1 to abort the commit."""
    problem = find_problem(Path(file).read_text(encoding="utf-8", errors="replace"))
    if problem:
        print(f"Commit message: {problem} See CONTRIBUTING.md.", file=sys.stderr)
    return 1 if problem else 0


def find_problem(message: str) -> str:
    """Return what is wrong with a commit message, or an empty string.

    Subjects that Git generates for merges, reverts and fixups are always accepted.
    """
    lines = message.split(SCISSORS)[0].splitlines()
    text = "\n".join(line.rstrip() for line in lines if not line.startswith("#")).strip()
    subject, *body = text.split("\n")
    if not subject or GENERATED_SUBJECT.match(subject):  # Git itself rejects an empty message
        return ""
    if len(subject) > MAX_SUBJECT_LENGTH:
        return (
            f"the subject has {len(subject)} characters; "
            f"use at most {MAX_SUBJECT_LENGTH} and write the reason into the body."
        )
    if subject.endswith("."):
        return "the subject must not end with a period."
    if body and body[0].strip():
        return "the second line must be blank."
    return _find_verb_problem(subject.split()[0].rstrip(":,"))


def install_hook(root: Path) -> str:
    """Install or update the commit-msg hook of a checkout; return a note if that is impossible.

    Nothing happens in CI, outside a Git repository, and where core.hooksPath is set. A hook that
    was not installed by this function stays as it is.
    """
    if os.environ.get("CI") or _run_git(root, "config", "core.hooksPath"):
        return ""
    if _run_git(root, "rev-parse", "--show-toplevel") != str(root.resolve()):
        return ""  # no repository, or an archive that was unpacked inside another one
    hook = root / _run_git(root, "rev-parse", "--git-path", "hooks/commit-msg")
    try:
        if hook.exists() and HOOK_MARKER not in hook.read_text(errors="replace"):
            return f"{hook} is another hook: call cli/commit_message.py from it."
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)
    except OSError as error:
        return f"The commit-msg hook could not be installed: {error}."
    return ""


def _find_verb_problem(word: str) -> str:
    if not word[:1].isupper():
        return "the subject must begin with a capitalized verb."
    if word.lower() not in IMPERATIVES and word.endswith(("ed", "ing")):
        return f'write the subject in the imperative ("Add", not "Added"), without "{word}".'
    return ""


def _run_git(root: Path, *arguments: str) -> str:
    """Return the output of a Git command, or an empty string if it fails."""
    try:
        result = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=root,
            capture_output=True,
            text=True,
        )
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""The rule for commit messages and the hook that `./run check` installs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.commit_message import HOOK_MARKER, MAX_SUBJECT_LENGTH, find_problem, install_hook
from tests.cli.conftest import ROOT

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Bob"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "bob@example.com"),
}
BAD_MESSAGE = "Added a feature"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new Git repository with the module that the hook runs, outside CI."""
    monkeypatch.delenv("CI", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    root = tmp_path / "repository"
    (root / "cli").mkdir(parents=True)
    shutil.copy(ROOT / "cli/commit_message.py", root / "cli")
    run_git(root, "init", "--quiet")
    run_git(root, "add", ".")
    return root


def run_git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, env=ENVIRONMENT
    )


def can_commit(folder: Path, message: str) -> bool:
    return run_git(folder, "commit", "--allow-empty", "-m", message).returncode == 0


def hook_of(repository: Path) -> Path:
    return repository / ".git/hooks/commit-msg"


@pytest.mark.parametrize(
    "message",
    [
        "Add a hook",
        "x".upper() * MAX_SUBJECT_LENGTH,
        "Embed PostgreSQL\n\nThe reason.",
        "String together two tests",
        "Show the reason\n# a comment of Git\n",
        "\n# a comment before the subject\nShow the reason\n",
        'Revert "Added a feature"',
        "Merge branch 'a-branch-with-a-name-that-is-much-longer-than-seventy-two-characters'",
        "fixup! added a feature.",
        "squash! added a feature.",
        "",
    ],
)
def test_a_valid_commit_message_is_accepted(message: str) -> None:
    assert find_problem(message) == ""


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("X" * (MAX_SUBJECT_LENGTH + 1), "at most 72"),
        ("Add a hook.", "period"),
        ("Add a hook\nThe reason", "second line"),
        ("add a hook", "capitalized"),
        ("Added a hook", "imperative"),
        ("Adding a hook", "imperative"),
    ],
)
def test_an_invalid_commit_message_is_rejected(message: str, problem: str) -> None:
    assert problem in find_problem(message)


def test_the_hook_rejects_invalid_messages_in_all_worktrees(repository: Path) -> None:
    assert can_commit(repository, BAD_MESSAGE)  # existing commits are not checked
    worktree = repository.with_name("worktree")
    run_git(repository, "worktree", "add", "--quiet", str(worktree))
    for folder in (worktree, repository):
        assert install_hook(folder) == ""
        assert not can_commit(folder, BAD_MESSAGE)
        assert can_commit(folder, "Add a feature")


def test_the_hook_ignores_commits_without_the_check(repository: Path) -> None:
    install_hook(repository)
    (repository / "cli/commit_message.py").unlink()
    assert can_commit(repository, BAD_MESSAGE)


def test_an_outdated_hook_is_updated(repository: Path) -> None:
    hook_of(repository).write_text(f"#!/bin/sh\n{HOOK_MARKER}\nexit 0\n")
    assert install_hook(repository) == ""
    assert not can_commit(repository, BAD_MESSAGE)


def test_a_foreign_hook_is_not_overwritten(repository: Path) -> None:
    hook_of(repository).write_text("#!/bin/sh\n")
    assert "another hook" in install_hook(repository)
    assert hook_of(repository).read_text() == "#!/bin/sh\n"


def test_no_hook_is_installed_in_ci(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    assert install_hook(repository) == ""
    assert not hook_of(repository).exists()


def test_no_hook_is_installed_with_a_configured_hooks_path(repository: Path) -> None:
    run_git(repository, "config", "core.hooksPath", "hooks")
    assert install_hook(repository) == ""
    assert not hook_of(repository).exists()
    assert not (repository / "hooks").exists()


def test_no_hook_is_installed_outside_a_repository_root(repository: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "plain", repository / "nested"):
        folder.mkdir()
        assert install_hook(folder) == ""
    assert not hook_of(repository).exists()

"""A git repository with signed releases that are made of this checkout."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core.version import VERSION

ROOT = Path(__file__).parent.parent.parent
UNUSED = ("tests/", "bench/", "docs/screenshots/", ".ci/")
IDENTITY = {
    "GIT_AUTHOR_NAME": "Olga",
    "GIT_AUTHOR_EMAIL": "olga@example.com",
    "GIT_COMMITTER_NAME": "Olga",
    "GIT_COMMITTER_EMAIL": "olga@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}
MAJOR, MINOR, _ = VERSION.split(".")


def build_version(number: int) -> str:
    """Return the version of a release that follows this one."""
    return f"{MAJOR}.{int(MINOR) + number}.0"


@dataclass
class ReleaseRepository:
    """A repository whose first release is this checkout, without what operators do not need."""

    folder: Path
    keys: Path

    @classmethod
    def create(cls, folder: Path) -> "ReleaseRepository":
        repository = cls(folder / "origin", folder / "keys")
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if not name.startswith(UNUSED) and (ROOT / name).is_file():
                target = repository.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        repository.keys.mkdir()
        for name in ("maintainer", "stranger"):
            words = ("-q", "-t", "ed25519", "-N", "", "-f", str(repository.keys / name))
            subprocess.run(["ssh-keygen", *words], check=True)
        public = (repository.keys / "maintainer.pub").read_text()
        with (repository.folder / "release_signers").open("a") as file:
            file.write(f'olga@example.com namespaces="git" {public}')
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.add_release(VERSION, {})
        return repository

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", self.folder, *arguments],
            env=os.environ | IDENTITY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def add_release(
        self, version: str, files: dict[str, str], *, key: str | None = "maintainer"
    ) -> str:
        """Commit files after the first release, and tag that; return the tag."""
        if files:
            self.git("checkout", "--quiet", "--detach", f"v{VERSION}")
        version_file = self.folder / "core/version.py"
        text = version_file.read_text().replace(f'"{VERSION}"', f'"{version}"')
        for name, content in {**files, "core/version.py": text}.items():
            (self.folder / name).write_text(content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message", f"Release {version}")
        if key is None:
            self.git("tag", f"v{version}")
        else:
            options = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.keys / key}")
            self.git(*options, "tag", "--sign", "--message", version, f"v{version}")
        return f"v{version}"

    def clone(self, folder: Path, version: str = VERSION) -> None:
        """Clone a release, with the packages of the tests as its own."""
        quiet = ("-c", "advice.detachedHead=false", "clone", "--quiet")
        words = (*quiet, "--branch", f"v{version}", self.folder, folder)
        subprocess.run(["git", *words], env=os.environ | IDENTITY, check=True)
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())

"""Where a path leads, and what is usually stored there. The file system is not read."""

import posixpath
import re
import unicodedata
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from core.text import remove_invisible

HOME = "~"
MAX_PATTERN_PARTS = 10  # with wildcards; more are not compared

SYSTEM_FOLDERS = frozenset(
    (
        *("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media"),
        *("/mnt", "/opt", "/private", "/proc", "/root", "/run", "/sbin", "/srv", "/sys"),
        *("/tmp", "/usr", "/var", "/Applications", "/Library", "/System", "/Users", "/Volumes"),  # noqa: S108
    )
)
"""No project, although a client can be started there."""
SYSTEM_TREES = ("/bin/", "/boot/", "/dev/", "/etc/", "/lib/", "/proc/", "/sbin/", "/sys/", "/usr/")
HARMLESS_DEVICES = frozenset(
    ("/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/zero", "/dev/fd/63")
)

_SECRET_NAMES = re.compile(
    r"\.env(rc)?([.~_-].*)?|.*\.env|env\.local|\.netrc|_netrc|\.pgpass|\.my\.cnf|\.npmrc|\.yarnrc\.yml|\.pypirc"
    r"|\.git-credentials|\.htpasswd|\.vault[-_].*|\.vault|\.dockercfg|\.dockerconfigjson"
    r"|id_(rsa|dsa|ecdsa|ed25519)[^/]*|id_.*_sk.*|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg"
    r"|keychain|keychain-db|ovpn|tfvars|tfstate)(\..*)?"
    r"|(.*[-_.])?(credentials?|secrets?|passwords?|tokens?)([-_.].*)?"
    r"|shadow-?|gshadow-?|sudoers|master\.passwd|\.?(bash|zsh|sh|python|psql|mysql|node_repl)_?history"
    r"|auth\.json|kubeconfig|service-?account.*\.json|cookies(\.sqlite.*|-journal)?|login data"
    r"|secring.*|wallet\.dat|\.terraformrc|terraform\.rc|\.s3cfg|\.boto"
    r"|application_default_credentials\.json|\.claude\.json|oauth_creds\.json|agent-token.*"
)
_SECRET_FOLDERS = frozenset(
    (
        *(".ssh", ".aws", ".azure", ".gnupg", ".gpg", ".kube", ".docker", ".password-store"),
        *("keychains", ".mozilla", ".gcloud", ".config/gcloud", ".config/gh", ".config/op"),
        *(".secrets", ".vault", ".chef", ".oci", ".terraform.d", ".local/share/keyrings"),
        ".config/mission-control",
    )
)
_PUBLIC_NAMES = re.compile(
    r".*\.(example|sample|template|dist|pub|md|rst|html?|css|scss|py|pyi|[cm]?jsx?|[cm]?tsx?|go|rs|rb|java|kt"
    r"|swift|c|h|cc|cpp|hpp|cs|php|vue|svelte|ex|exs|erl|scala|clj|lua|sh|snap|po|svg)"
)

_GIT_FILES = (".gitconfig", ".gitmodules", ".gitattributes", "head")
"""A folder with a file HEAD can be a repository, whose configuration git obeys."""

_GIT_SECRETS = ("config", "config.worktree", ".git", "modules", "worktrees")
"""In a repository: its configuration, where an address can contain a token, and folders with it."""

_CLIENT_FOLDERS = (
    *(".claude", ".codex", ".gemini", ".copilot", ".opencode", ".agents"),
    *(".github/copilot", ".github/hooks", ".github/agents", ".github/mcp"),
    *(".config/opencode", ".config/claude", ".config/codex", ".config/gemini", ".config/copilot"),
    *(".config/github-copilot", ".config/mission-control", "application support/claudecode"),
    *("etc/claude-code", "etc/codex", "etc/gemini-cli", "etc/opencode", "etc/copilot"),
)
_CLIENT_FILES = re.compile(
    r"\.claude(\.local)?\.jsonc?|managed-(settings|mcp)\.json|\.?mcp\.jsonc?|opencode\.jsonc?"
)


class PathFacts(NamedTuple):
    """A path after normalization, and what is usually stored there."""

    text: str  # relative to the project if inside, else from the home folder `~` or absolute
    is_inside: bool
    is_secret: bool
    is_client_config: bool
    is_git: bool


def find_project(cwd: str | None) -> str | None:
    """Return the folder of the project, or None if the client works in a folder of the system."""
    if not cwd or not cwd.startswith("/") or "\0" in cwd:
        return None
    folder = posixpath.normpath("/" + cwd.lstrip("/"))
    is_home = re.fullmatch(r"/(home|Users)/[^/]+|/root", folder) is not None
    is_system = folder in SYSTEM_FOLDERS or folder.startswith(SYSTEM_TREES)
    return None if is_home or is_system else folder


@lru_cache(2_000)
def read_path(path: str, base: str | None, project: str | None) -> PathFacts:
    """Return the facts about a path that is relative to a folder; None: an unknown folder.

    A name that contains characters which are not drawn, or letters with another form, counts as
    what it looks like too.
    """
    text = path.removeprefix("file://")
    if text == HOME or text.startswith(HOME + "/"):
        home = _find_home(project)
        text = (home or HOME) + text[1:]
    if text.startswith("/"):
        text = posixpath.normpath("/" + text.lstrip("/"))
    elif not text.startswith(HOME):
        text = "?/" + text if base is None else posixpath.normpath(posixpath.join(base, text))
    is_inside = project is not None and (text == project or text.startswith(project + "/"))
    shown = text
    if project is not None and is_inside:
        shown = text[len(project) :].lstrip("/") or "."
    elif (home := _find_home(project)) and (text == home or text.startswith(home + "/")):
        shown = HOME + text[len(home) :]
    # Windows ignores spaces and dots at the end of a name
    folded = (part.rstrip(" .") for part in re.split(r"[/\\]", _fold(text)))
    parts = [part for part in folded if part]
    return PathFacts(
        shown,
        is_inside,
        _is_secret(parts) or text.startswith("/proc/"),
        _is_client_config(parts),
        ".git" in parts or (bool(parts) and parts[-1] in _GIT_FILES),
    )


def _find_home(project: str | None) -> str | None:
    """Return the home folder that contains the project, as far as its path tells."""
    found = re.match(r"/(home|Users)/[^/]+(?=/)|/root(?=/)", project or "")
    return found[0] if found else None


def _fold(path: str) -> str:
    return remove_invisible(unicodedata.normalize("NFKC", path)).casefold()


def _is_secret(parts: list[str]) -> bool:
    joined = "/" + "/".join(parts) + "/"
    if any(f"/{folder}/" in joined for folder in _SECRET_FOLDERS):
        return True
    name = parts[-1] if parts else ""
    if ".git" in parts and any(fnmatchcase(one, name) for one in _GIT_SECRETS):
        return True
    return _SECRET_NAMES.fullmatch(name) is not None and _PUBLIC_NAMES.fullmatch(name) is None


_SECRET_EXAMPLES = (
    *(".env", ".env.local", ".netrc", ".npmrc", "id_rsa", "id_ed25519", "server.pem", "server.key"),
    *("credentials", ".git-credentials", ".ssh", ".aws"),
)


def may_match_secret(pattern: str, *, finds_hidden: bool = False) -> bool:
    """Return whether a pattern of files matches names of files with secrets.

    In a shell `*` does not match a dot at the beginning; with `finds_hidden` it does.
    """
    return "{" in pattern or any(
        fnmatchcase(name, pattern)
        for name in _SECRET_EXAMPLES
        if finds_hidden or name.startswith(".") is pattern.startswith(".")
    )


def contains_client_config(facts: PathFacts, project: str | None) -> bool:
    """Return whether a folder is one in which settings of clients usually are."""
    is_root = facts.text in (".", HOME, "/") or f"{project}/".startswith(facts.text + "/")
    return is_root or _fold(facts.text).rpartition("/")[2] in (".github", ".config")


def may_match_client_config(pattern: str) -> bool:
    """Return whether a pattern of files matches names that begin with a dot, of settings."""
    parts = [part for part in _fold(pattern).split("/") if re.match(r"\..*[*?\[]", part)]
    return len(parts) > MAX_PATTERN_PARTS or any(
        fnmatchcase(name, part) for part in parts for name in _HIDDEN_CLIENT_NAMES
    )


_HIDDEN_CLIENT_NAMES = (
    *(".claude", ".codex", ".gemini", ".copilot", ".opencode", ".agents", ".github", ".config"),
    *(".mcp.json", ".claude.json"),
)


def _is_client_config(parts: list[str]) -> bool:
    joined = "/" + "/".join(parts) + "/"
    if any(f"/{folder}/" in joined for folder in _CLIENT_FOLDERS):
        return True
    return bool(parts) and _CLIENT_FILES.fullmatch(parts[-1]) is not None

"""What a command of git does."""

import posixpath
import re
from collections.abc import Sequence
from itertools import pairwise

from models import ToolAction
from services.tool_facts.effects import Effects
from services.tool_facts.paths import may_match_secret
from services.tool_facts.words import is_long_option, list_operands, list_option_values

_READS = frozenset(
    (
        *("status", "log", "diff", "show", "rev-parse", "ls-files", "ls-tree", "blame", "annotate"),
        *("shortlog", "describe", "cat-file", "rev-list", "merge-base", "name-rev", "reflog"),
        *("for-each-ref", "grep", "whatchanged", "diff-tree", "diff-index", "diff-files", "cherry"),
        *("count-objects", "check-ignore", "check-attr", "version", "show-ref", "show-branch"),
        *("range-diff", "verify-commit", "verify-tag", "var", "fsck"),
    )
)
_WRITES = frozenset(
    (
        *("add", "commit", "mv", "merge", "cherry-pick", "revert", "apply", "am", "switch"),
        *("stash", "init", "tag", "branch", "notes", "worktree", "rerere", "sparse-checkout"),
    )
)
_DELETES = frozenset(("rm", "clean", "restore", "reset", "checkout", "prune", "gc"))
_CONNECTS = frozenset(
    (
        *("fetch", "pull", "clone", "ls-remote", "submodule", "lfs", "remote", "send-email"),
        *("request-pull", "svn", "p4", "archive", "bundle", "fetch-pack", "send-pack", "annex"),
        *("http-fetch", "http-push", "imap-send", "maintenance"),
    )
)
_CONFIGURES = frozenset(("remote", "submodule", "lfs", "annex", "svn", "p4", "maintenance"))
_PUSHES = frozenset(("push", "send-pack", "http-push", "dcommit"))
_NO_PATHS = frozenset(("commit", "tag", "push", "clone", "stash", "config"))
_NAMES_ONLY = frozenset(("status", "ls-files", "add"))
_SAFE_OPTIONS = frozenset(
    ("--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs", "--version", "--help")
)
_DANGEROUS_OPTIONS = (
    *("--output", "--ext-diff", "--textconv", "--open-files-in-pager", "--exec", "--upload-pack"),
    *("--receive-pack", "--template", "--no-index", "--config", "--interactive", "--edit"),
    *("--paginate", "--filters", "--git-dir", "--work-tree", "--gpg-sign", "--separate-git-dir"),
)
"""They execute programs, or read and write files elsewhere. All can be abbreviated."""
_MESSAGE_FILE = re.compile(r"-[a-z]*[Ft](.*)|--(?:file|template)(?:=(.*))?")
_READS_MORE = ("--stdin", "--untracked", "--no-exclude-standard", "--lost-found")
"""Objects that are named elsewhere, and files that git does not know. All can be abbreviated."""
_DELETING_OPTION = re.compile(
    r"-[a-zA-Z]*[dD]|--delete|--force|-f|drop|clear|remove|prune|--discard-changes|-C"
)
_LISTING_OPTION = re.compile(
    r"-a|-r|-v|-vv|-l|-n\d*|--(list|all|remotes|verbose|show-current|sort=\S+|format=\S+)"
)


def read_git(_name: str, texts: Sequence[str], effects: Effects) -> None:
    """Add what a command of git does."""
    at = _read_global_options(texts, effects)
    folders = _list_folders(texts[:at])
    _check_folder(folders, effects)
    verb, rest = (texts[at], texts[at + 1 :]) if at < len(texts) else ("version", ())
    _read_options(verb, rest, effects)
    operands = list_operands(rest, with_values=False)
    for one in () if verb in _NO_PATHS else (*operands, *list_option_values(rest)):
        for path in (one, one.partition(":")[2]):  # `HEAD:name` is a file too
            if path:
                effects.read(path, is_listed=verb in _NAMES_ONLY)
            if verb in _WRITES | _DELETES | _CONFIGURES and path:
                effects.write(path)
            if re.search(r"[*?\[]", path) and may_match_secret(
                path.rpartition("/")[2], finds_hidden=True
            ):
                effects.act(ToolAction.READ_SECRET)
    if verb not in _READS and at > 0:
        for folder in folders:
            effects.write(folder)
    is_push = _PUSHES.intersection((verb, *rest)) or (verb == "annex" and "sync" in rest)
    if is_push and verb not in ("stash", *_READS):
        effects.act(ToolAction.GIT_PUSH)
        effects.connect()
    if verb != "push":
        _read_verb(verb, rest, operands, effects)


def _read_global_options(texts: Sequence[str], effects: Effects) -> int:
    """Return the position after the options of git. `-c` and `--exec-path` can name a program."""
    at = 0
    while at < len(texts) and texts[at].startswith("-"):
        if texts[at] == "-C":
            at += 1
            effects.read(texts[at] if at < len(texts) else "?")
        elif texts[at] not in _SAFE_OPTIONS:
            effects.act(ToolAction.RUN_CODE)
            effects.doubt("option")
            at += texts[at] == "-c"
        at += 1
    return at


def _check_folder(folders: Sequence[str], effects: Effects) -> None:
    """Add that git can execute code if it is used in another folder than that of the project.

    Files of a project can be a bare repository, whose configuration names programs.
    """
    if effects.is_moved or (folders and not effects.is_project(posixpath.join(*folders))):
        effects.act(ToolAction.RUN_CODE)


def _list_folders(options: Sequence[str]) -> list[str]:
    return [value for one, value in pairwise(options) if one == "-C"]


def _read_options(verb: str, rest: Sequence[str], effects: Effects) -> None:
    for at, one in enumerate(rest):
        if verb in ("commit", "tag", "notes") and (found := _MESSAGE_FILE.fullmatch(one)):
            effects.read(found[1] or found[2] or "".join(rest[at + 1 : at + 2]))
        # what --batch prints is named elsewhere
        if one.startswith("--batch") or any(is_long_option(one, name) for name in _READS_MORE):
            effects.act(ToolAction.READ_SECRET)
        if verb in ("clone", "fetch", "ls-remote") and one.startswith("-u"):
            effects.act(ToolAction.RUN_CODE)
        is_dangerous = any(is_long_option(one, name) for name in _DANGEROUS_OPTIONS)
        if is_dangerous or re.match(r"-[OS]\S|-o|-x\S|-O$", one):
            effects.act(ToolAction.RUN_CODE)
            for path in (one.partition("=")[2], *rest[at + 1 : at + 2]):
                effects.write(path or ".")
        if "ext::" in one or "fd::" in one:  # addresses that name a program
            effects.act(ToolAction.RUN_CODE)


def _read_verb(verb: str, rest: Sequence[str], operands: Sequence[str], effects: Effects) -> None:
    if verb in ("config", "var"):
        is_read = rest[:1] and rest[0] in ("--get", "--get-all", "--list", "-l", "get", "list")
        effects.act(ToolAction.READ_SECRET)
        if not is_read and verb == "config":  # a value can be a command
            effects.act(ToolAction.WRITE_GIT, ToolAction.RUN_CODE)
    elif verb == "reflog" and operands and operands[0] != "show":
        effects.act(ToolAction.DELETE)
    elif verb in _READS or _only_lists(verb, rest):
        effects.act(ToolAction.READ)
        if verb == "remote" and rest:  # an address can contain a token
            effects.act(ToolAction.READ_SECRET)
    elif verb in _CONNECTS:
        _connect(verb, rest, operands, effects)
    elif verb in _DELETES:
        effects.act(ToolAction.DELETE, ToolAction.WRITE_INSIDE)
    elif verb in _WRITES:
        _write(verb, rest, effects)
    else:  # also an alias, which can be any command
        effects.act(ToolAction.RUN)


def _write(verb: str, rest: Sequence[str], effects: Effects) -> None:
    effects.act(ToolAction.WRITE_INSIDE)
    if verb in ("apply", "am"):  # a patch writes any file
        effects.act(ToolAction.WRITE_CLIENT_CONFIG)
    if verb == "init" and any(is_long_option(one, "--bare") for one in rest):
        effects.act(ToolAction.WRITE_GIT)
    if verb != "commit" and any(_DELETING_OPTION.fullmatch(one) for one in rest):
        effects.act(ToolAction.DELETE)


def _connect(verb: str, rest: Sequence[str], operands: Sequence[str], effects: Effects) -> None:
    effects.connect()
    effects.act(ToolAction.WRITE_INSIDE)
    if verb in _CONFIGURES:
        effects.act(ToolAction.WRITE_GIT)
    if verb == "remote" and operands[:1] in (["get-url"], ["show"]):
        effects.act(ToolAction.READ_SECRET)
    if "foreach" in rest:
        effects.act(ToolAction.RUN)
    if verb == "send-email":
        effects.act(ToolAction.RUN_CODE)
    if verb == "clone" and len(operands) > 1:
        effects.write(operands[-1])


def _only_lists(verb: str, rest: Sequence[str]) -> bool:
    """Return whether a command only lists branches, tags and so on."""
    if verb == "remote":
        return tuple(rest) in ((), ("-v",), ("--verbose",))
    if verb in ("stash", "worktree", "notes"):
        return rest[:1] != () and (rest[0] == "list" or (rest[0] == "show" and verb != "worktree"))
    return verb in ("branch", "tag") and all(_LISTING_OPTION.fullmatch(one) for one in rest)

"""Find the skills in the archive of a pack.

A skill is a folder with a SKILL.md. The pack can have an index of its skills, `skills_index.json`;
otherwise every SKILL.md outside of hidden folders is one. What cannot be used
is left out with a warning: see WARNINGS.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.fields import MAX_NAME_LENGTH
from core.text import N_
from services.skills.archives import Archive, InvalidArchive, open_archive
from services.skills.files import (
    MAX_SKILL_LINES,
    clean_value,
    count_line_breaks,
    digest_files,
    encode_file,
    parse_skill_text,
)
from services.skills.sources import build_skill_url, infer_name

INDEX_FILE, SKILL_FILE = "skills_index.json", "SKILL.md"
MAX_INDEX_SIZE = 4 * 1024 * 1024  # bytes
MAX_SKILLS = 2_000  # of a pack
MAX_SKILL_FILES = 100
MAX_FILE_SIZE = 512 * 1024  # bytes
MAX_SKILL_SIZE = 1024 * 1024  # bytes of all files of a skill
MAX_PACK_SIZE = 32 * 1024 * 1024  # bytes of the files of all skills
MAX_WARNINGS = 100
MAX_LABEL_LENGTH = 100  # characters of a category or a risk

WARNINGS: Mapping[str, str] = {
    "index_unreadable": N_(
        "The index is not JSON with a list of skills, so the SKILL.md files are read instead."
    ),
    "entry_invalid": N_("An entry of the index does not name a folder of the pack."),
    "entry_foreign": N_("An entry of the index has an address outside of the pack."),
    "no_skill_file": N_("There is no SKILL.md."),
    "not_text": N_("SKILL.md is not UTF-8 text."),
    "link": N_("The skill contains a link, which is not followed."),
    "too_many_files": N_("The skill has too many files."),
    "too_large": N_("The skill, or one of its files, is too large."),
    "too_many_skills": N_("The pack has too many skills; the rest is left out."),
}
"""Texts by the code of a warning. Each skill that it is about is left out."""

Warnings = list[list[str]]


@dataclass(frozen=True)
class FoundSkill:
    """A skill in an archive. `digest` identifies its files: see `digest_files`."""

    path: str
    name: str
    description: str | None
    category: str | None
    risk: str | None
    source_url: str
    extra: Mapping[str, Any]
    files: Sequence[Mapping[str, Any]] = field(repr=False)
    digest: str


@dataclass(frozen=True)
class PackContents:
    """The skills of an archive, what was left out, and the revision that it is of."""

    skills: Sequence[FoundSkill]
    warnings: Sequence[Sequence[str]]  # code and path
    revision: str


def read_pack(data: bytes, source_url: str, branch: str) -> PackContents:
    """Return the contents of an archive. It needs up to seconds. Raises InvalidArchive."""
    archive = open_archive(data)
    reader = _PackReader(archive, source_url, branch)
    skills = reader.read_skills()
    if not skills and not reader.warnings:
        raise InvalidArchive("no_skills")
    revision = archive.commit or hashlib.sha256(data).hexdigest()
    return PackContents(skills, reader.warnings, revision)


class _PackReader:
    """Reads the skills of one archive, and collects the warnings."""

    def __init__(self, archive: Archive, source_url: str, branch: str) -> None:
        self.warnings: Warnings = []
        self._archive = archive
        self._source_url, self._branch = source_url, branch
        paths = sorted([*archive.sizes, *archive.links])
        self._links = frozenset(archive.links)
        self._folders = {
            path.removesuffix(SKILL_FILE).rstrip("/")
            for path in paths
            if path.rpartition("/")[2] == SKILL_FILE
        }
        self._paths_by_folder = self._group_paths(paths)
        self._size = 0  # bytes of the skills that were read

    def read_skills(self) -> list[FoundSkill]:
        """Return the skills of the index, or of all SKILL.md files."""
        entries = self._read_index()
        if entries is None:
            visible = sorted(path for path in self._folders if not _is_hidden(path))
            entries = {path: {} for path in visible}
            mode = "skills_md"
        else:
            mode = "skills_index"
        found: list[FoundSkill] = []
        for path, entry in entries.items():
            if len(found) >= MAX_SKILLS or self._size > MAX_PACK_SIZE:
                self._warn("too_many_skills", path)
                break
            skill = self._read_skill(path, entry, mode)
            if skill:
                found.append(skill)
        return found

    def _warn(self, code: str, path: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append([code, path])

    def _read_index(self) -> dict[str, Mapping[str, Any]] | None:
        """Return the entries of the index by their folder, or None without a usable index."""
        if INDEX_FILE not in self._archive.sizes:
            return None
        listed = self._load_index()
        if listed is None:
            self._warn("index_unreadable", INDEX_FILE)
            return None
        entries: dict[str, Mapping[str, Any]] = {}
        for one in listed:
            entry = one if isinstance(one, dict) else {}
            path = self._find_entry_path(entry)
            if path is None:
                self._warn("entry_invalid", clean_value(entry.get("name")))
            elif path != _FOREIGN:
                entries.setdefault(path, entry)
        return entries

    def _load_index(self) -> list[Any] | None:
        """Return the list in the index: the whole, or the value of `skills`."""
        is_small = self._archive.sizes[INDEX_FILE] <= MAX_INDEX_SIZE
        try:
            index = json.loads(self._archive.read(INDEX_FILE)) if is_small else None
        except (ValueError, RecursionError, InvalidArchive):
            return None
        listed = index.get("skills") if isinstance(index, dict) else index
        return listed if isinstance(listed, list) else None

    def _find_entry_path(self, entry: Mapping[str, Any]) -> str | None:
        """Return the folder of an entry of the index; its address must be in the pack."""
        given, url = entry.get("path"), entry.get("source_url")
        tree = build_skill_url(self._source_url, self._branch, "")
        if isinstance(url, str) and url.strip() and "://" in url:
            if url.strip().rstrip("/") != tree and not url.strip().startswith(f"{tree}/"):
                self._warn("entry_foreign", clean_value(url)[:300])
                return _FOREIGN
            if not isinstance(given, str):
                given = url.strip().removeprefix(tree)
        if not isinstance(given, str):
            return None
        path = given.strip().strip("/").removeprefix("./").removesuffix(SKILL_FILE).rstrip("/")
        return path if path in self._folders else None

    def _read_skill(self, path: str, entry: Mapping[str, Any], mode: str) -> FoundSkill | None:
        files = self._read_files(path)
        if files is None:
            return None
        try:
            text = files[SKILL_FILE].decode()
        except UnicodeDecodeError:
            self._warn("not_text", path)
            return None
        values, heading, first_line = parse_skill_text(text)
        name = clean_value(entry.get("name")) or values.get("name") or heading
        given = {**values, **{key: clean_value(one) for key, one in entry.items() if one}}
        url = build_skill_url(self._source_url, self._branch, path)
        extra = {"discovery_mode": mode, "pack_branch": self._branch}
        if mode == "skills_index":
            extra |= {"resolved_path": path}
            if given.get("source_url"):
                extra |= {"source_url": given["source_url"]}
        else:
            extra |= {"skill_dir": path}
        return FoundSkill(
            path,
            (name or infer_name(path or self._source_url))[:MAX_NAME_LENGTH],
            given.get("description") or first_line or None,
            (given.get("category") or "")[:MAX_LABEL_LENGTH] or None,
            (given.get("risk") or "")[:MAX_LABEL_LENGTH] or None,
            url,
            extra,
            [encode_file(name, content) for name, content in sorted(files.items())],
            digest_files(files),
        )

    def _read_files(self, folder: str) -> dict[str, bytes] | None:
        """Return the files of a skill by their path in its folder, or None with a warning."""
        paths = self._paths_by_folder.get(folder, [])
        sizes = [self._archive.sizes.get(path, 0) for path in paths]
        total = sum(sizes)
        prefix = f"{folder}/" if folder else ""
        problems = {
            "link": any(path in self._links for path in paths),
            "no_skill_file": f"{prefix}{SKILL_FILE}" not in self._archive.sizes,
            "too_many_files": len(paths) > MAX_SKILL_FILES,
            "too_large": total > MAX_SKILL_SIZE or max(sizes, default=0) > MAX_FILE_SIZE,
        }
        for code, is_wrong in problems.items():
            if is_wrong:
                self._warn(code, folder)
                return None
        self._size += total
        files = {path.removeprefix(prefix): self._archive.read(path) for path in paths}
        if sum(map(count_line_breaks, files.values())) > MAX_SKILL_LINES:
            self._warn("too_large", folder)  # nobody could review it
            return None
        return files

    def _group_paths(self, paths: Sequence[str]) -> dict[str, list[str]]:
        """Return the paths by the innermost folder with a SKILL.md, without hidden ones in it."""
        groups: dict[str, list[str]] = {}
        for path in paths:
            folder = path.rpartition("/")[0]
            while folder and folder not in self._folders:
                folder = folder.rpartition("/")[0]
            if not _is_hidden(path.removeprefix(folder).lstrip("/")):
                groups.setdefault(folder, []).append(path)
        return groups


_FOREIGN = "//"  # no path: the entry was left out with a warning


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))

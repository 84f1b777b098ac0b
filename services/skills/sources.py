"""Addresses of packs and skills: repositories of GitHub, and archives at other addresses."""

import re
import unicodedata
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from core.errors import BadRequest, Invalid
from core.fields import MAX_NAME_LENGTH
from core.http.outbound import InvalidUrl, parse_url
from core.text import N_, slugify
from services.skills.files import clean_value

DEFAULT_BRANCH = "main"
MAX_BRANCH_LENGTH = 200  # characters
GITHUB = "https://github.com/"
UPLOAD = "upload:"  # begins the address of a pack that was uploaded
ARCHIVE_SUFFIXES = (".zip", ".tar.gz", ".tgz")
REPOSITORY = re.compile(r"https://github\.com/[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
MAX_FOLDER_LENGTH = 64  # characters
HASH_LENGTH = 8  # characters, in a slug that is not the whole name
MAX_ADDRESS_SIZE = 600  # bytes of the address of a pack; those of its skills are longer
MAX_SKILL_ADDRESS_SIZE = 2_000  # bytes; with its organization it must fit into an index (2,704)


def normalize_pack_url(value: object) -> str:
    """Return the address of a pack. Raises BadRequest unless it can be the address of an archive.

    It is a repository of GitHub, or an archive at an https address.
    """
    url = str(value).strip().rstrip("/")
    try:
        parsed = parse_url(url[: MAX_ADDRESS_SIZE + 1])
    except InvalidUrl:
        raise _invalid_pack_url() from None
    if len(url.encode()) > MAX_ADDRESS_SIZE:
        raise _invalid_pack_url()
    is_github = parsed.host in ("github.com", "www.github.com")
    if is_github and "/archive/" not in parsed.path:
        url = re.sub(r"(?i)\Ahttps://(www\.)?github\.com/", GITHUB, url).removesuffix(".git")
        name = url.rpartition("/")[2]
        if not REPOSITORY.fullmatch(url) or name in ("", ".", ".."):
            raise _invalid_pack_url()
        return url
    if parsed.scheme != "https" or not parsed.path.lower().endswith(ARCHIVE_SUFFIXES):
        raise _invalid_pack_url()
    return url


def _invalid_pack_url() -> BadRequest:
    reason = N_(
        "Enter a repository, such as https://github.com/owner/name, or an https address of an"
        " archive that ends with .zip or .tar.gz."
    )
    return BadRequest("pack_url_invalid", reason, field="source_url", sent_as="text")


def normalize_branch(value: object) -> str:
    """Return the name of a branch, a tag or a commit; "main" if it is not valid."""
    branch = str(value or "").strip()
    is_valid = BRANCH.fullmatch(branch) and ".." not in branch and "//" not in branch
    return branch if is_valid and len(branch) <= MAX_BRANCH_LENGTH else DEFAULT_BRANCH


def is_repository(source_url: str) -> bool:
    """Return whether a pack is a repository of GitHub."""
    return REPOSITORY.fullmatch(source_url) is not None


def is_upload(source_url: str) -> bool:
    """Return whether a pack was uploaded, so that it cannot be fetched again."""
    return source_url.startswith(UPLOAD)


def build_archive_url(source_url: str, branch: str) -> str:
    """Return the address of the archive of a pack."""
    return f"{source_url}/archive/{branch}.tar.gz" if is_repository(source_url) else source_url


def build_skill_url(source_url: str, revision: str, path: str) -> str:
    """Return the address of a skill in a pack, at a branch or a commit."""
    if is_repository(source_url):
        return f"{source_url}/tree/{revision}/{path}".rstrip("/")
    return f"{source_url}#{path}"


def build_upload_url(name: str) -> str:
    """Return the address of an uploaded pack: packs of the same name replace each other."""
    return f"{UPLOAD}{_build_slug(name, 'pack')}"


def check_skill_url(value: object) -> str:
    """Validate the address of a single skill: http or https. Raises Invalid."""
    url = str(value).strip()
    try:
        parse_url(url)
    except InvalidUrl:
        reason = N_(
            "Enter an address that begins with https:// or http://, without a name or a password."
        )
        raise Invalid("skill_url_invalid", reason, field="source_url") from None
    length = len(url.encode())
    if length > MAX_SKILL_ADDRESS_SIZE:
        reason = N_("The address is too long: %(length)s bytes, %(max_length)s at most.")
        raise Invalid(
            "skill_url_invalid",
            reason,
            field="source_url",
            length=length,
            max_length=MAX_SKILL_ADDRESS_SIZE,
        )
    return url


def infer_name(url: str) -> str:
    """Return a name for what is at an address: the last part of its path, in words."""
    path = urlsplit(url).path.strip("/")
    last = clean_value(unquote(path.rpartition("/")[2])) or urlsplit(url).hostname or url
    for suffix in (*ARCHIVE_SUFFIXES, ".git", ".md"):
        last = last.removesuffix(suffix)
    words = last.replace("-", " ").replace("_", " ").split()
    return " ".join(words)[:MAX_NAME_LENGTH] or url[:MAX_NAME_LENGTH]


def build_folder_name(name: str) -> str:
    """Return the name of the folder of a skill on a gateway."""
    return _build_slug(name, "skill")


def _build_slug(name: str, default: str) -> str:
    """Return a slug that other names do not have; only case and separators do not count.

    A slug without some characters of the name ends with a hash.
    """
    words = re.sub(r"[\s_-]+", "-", unicodedata.normalize("NFC", name).lower()).strip("-")
    slug = slugify(words, max_length=MAX_FOLDER_LENGTH)
    if slug and slug == words:
        return slug
    digest = sha256(words.encode()).hexdigest()[:HASH_LENGTH]
    beginning = (slug or default)[: MAX_FOLDER_LENGTH - HASH_LENGTH - 1].rstrip("-")
    return f"{beginning}-{digest}"

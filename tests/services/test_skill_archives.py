"""Archives of skill packs from hostile sources, and the skills that are found in them."""

import io
import json
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import BadRequest
from services.messages.templates import SkillText, render_skill_install
from services.skills import archives
from services.skills.archives import BLOCK, MAX_HEADER_SIZE, InvalidArchive, open_archive
from services.skills.discovery import MAX_FILE_SIZE, MAX_SKILL_FILES, FoundSkill, read_pack
from services.skills.files import MAX_HEAD_LENGTH, MAX_VALUE_LENGTH, digest_files, parse_skill_text
from services.skills.sources import normalize_branch, normalize_pack_url
from tests.support.skill_archives import COMMIT, FILES, REPOSITORY, make_tar, make_zip

SECRET = "root:x:0:0"


def read(data: bytes) -> tuple[dict[str, FoundSkill], list[str]]:
    """Return the skills by their path, and the codes of the warnings."""
    found = read_pack(data, REPOSITORY, "main")
    return {one.path: one for one in found.skills}, [code for code, _path in found.warnings]


def make_special_tar(path: str, type: bytes, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in FILES.items():
            plain = tarfile.TarInfo(name)
            plain.size = len(content)
            archive.addfile(plain, io.BytesIO(content.encode()))
        member = tarfile.TarInfo(path)
        member.type, member.linkname = type, target
        archive.addfile(member)
    return buffer.getvalue()


def make_special_zip(path: str, mode: int, content: str) -> bytes:
    buffer = io.BytesIO(make_zip(FILES))
    with zipfile.ZipFile(buffer, "a") as archive:
        member = zipfile.ZipInfo(path)
        member.external_attr = mode << 16
        archive.writestr(member, content)
    return buffer.getvalue()


def get_cause(data: bytes) -> str:
    with pytest.raises(InvalidArchive) as error:
        read_pack(data, REPOSITORY, "main")
    return error.value.cause


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_skills_are_found_in_an_archive(make: Callable[..., bytes]) -> None:
    skills, warnings = read(make(FILES))
    assert (set(skills), warnings) == ({"writer", "planner"}, [])
    writer, planner = skills["writer"], skills["planner"]
    assert (writer.name, writer.description, writer.risk) == (
        "Report writer",
        "Writes reports.",
        "low",
    )
    assert (planner.name, planner.description) == ("Planner", "Plans the week.")
    assert [one["path"] for one in writer.files] == ["SKILL.md", "style.md"]
    assert writer.source_url == f"{REPOSITORY}/tree/main/writer"
    assert writer.extra == {
        "discovery_mode": "skills_md",
        "pack_branch": "main",
        "skill_dir": "writer",
    }


def test_the_revision_is_the_commit_or_the_digest_of_the_archive() -> None:
    assert read_pack(make_tar(FILES), REPOSITORY, "main").revision == COMMIT
    assert read_pack(make_zip(FILES, comment=COMMIT), REPOSITORY, "main").revision == COMMIT
    other = read_pack(make_zip(FILES, comment="a comment"), REPOSITORY, "main").revision
    assert len(other) == 64


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_not_followed(type: bytes) -> None:
    """W-19."""
    skills, warnings = read(make_special_tar("writer/notes.md", type, "/etc/passwd"))
    assert (set(skills), warnings) == ({"planner"}, ["link"])
    skills, warnings = read(make_special_tar("other/SKILL.md", type, "/etc/passwd"))
    assert (set(skills), warnings) == ({"writer", "planner"}, ["link"])
    data = make_special_zip("writer/notes.md", stat.S_IFLNK | 0o777, "/etc/passwd")
    skills, warnings = read(data)
    assert (set(skills), warnings) == ({"planner"}, ["link"])
    assert SECRET not in str(skills)


@pytest.mark.parametrize("type", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_make_an_archive_invalid(type: bytes) -> None:
    assert get_cause(make_special_tar("writer/device", type)) == "device"
    assert get_cause(make_special_zip("writer/device", stat.S_IFCHR | 0o600, "")) == "device"


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../SKILL.md", "writer/../../x", "writer//x", "writer/./x", "C:/x", "C:x"),
        *("writer\\x", "writer/\u202egnp.exe", "writer/\x1b[2J", "writer/ x", "x" * 301),
        "writer/\udcff.md",
    ],
)
def test_paths_that_lead_elsewhere_make_an_archive_invalid(path: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", errors="surrogateescape") as archive:
        for name in ("writer/SKILL.md", path):
            archive.addfile(tarfile.TarInfo(name))
    assert get_cause(buffer.getvalue()) == "path"
    if path.isprintable() or "\u202e" in path:
        assert get_cause(make_zip({"writer/SKILL.md": "x", path: "y"})) == "path"


def test_a_path_with_a_nul_character_makes_an_archive_invalid() -> None:
    data = make_zip({**FILES, "writer/a?b.md": "x"}).replace(b"a?b", b"a\0b")
    assert get_cause(data) in ("path", "unreadable")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["writer/SKILL.md", "WRITER/skill.md", "writer/SKILL.md/x"])
def test_a_path_that_appears_twice_makes_an_archive_invalid(other: str) -> None:
    buffer = io.BytesIO(make_zip(FILES))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(other, "another")
    assert get_cause(buffer.getvalue()) == "duplicate"
    assert get_cause(make_tar({**FILES, "e\u0301/SKILL.md": "x", "\xe9/SKILL.md": "x"})) == (
        "duplicate"
    )


def test_an_archive_that_expands_too_much_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_SIZE", 4_000_000)
    zeros = b"\0" * (archives.MAX_UNPACKED_SIZE + BLOCK)
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = compressor.compress(zeros) + compressor.flush()
    assert len(bomb) < 10_000
    assert get_cause(bomb) == "too_large_unpacked"
    assert get_cause(make_zip({"writer/SKILL.md": zeros})) == "too_large_unpacked"


def test_an_archive_that_is_too_large_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ARCHIVE_SIZE", 100)
    assert get_cause(make_zip(FILES)) == "too_large"


def test_an_archive_with_too_many_entries_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"{number}.md": "" for number in range(101)}
    monkeypatch.setattr(archives, "MAX_ENTRIES", 100)
    assert get_cause(make_tar(many)) == "too_many_entries"
    assert get_cause(make_zip(many)) == "too_many_entries"
    monkeypatch.setattr(archives, "MAX_DIRECTORY_SIZE", 4_000)
    assert get_cause(make_zip(many)) == "too_many_entries"


def test_a_huge_extended_header_is_not_loaded() -> None:
    long_name = {f"writer/{'x' * (MAX_HEADER_SIZE + 1)}": "x"}
    assert get_cause(make_tar(long_name)) == "header_too_large"


def test_encrypted_and_unusual_archives_are_rejected() -> None:
    data = bytearray(make_zip(FILES))
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    assert get_cause(bytes(data)) == "encrypted"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("SKILL.md", "x")
    assert get_cause(buffer.getvalue()) == "unknown_format"
    assert get_cause(b"not an archive") == "unknown_format"
    assert get_cause(make_zip({"README.md": "nothing"})) == "no_skills"


@given(
    some.sampled_from([make_tar(FILES), make_zip(FILES)]),
    some.lists(some.tuples(some.integers(0, 2_000), some.binary(max_size=4)), max_size=8),
    some.integers(0, 2_000),
)
def test_a_damaged_archive_is_read_or_rejected(
    data: bytes, patches: list[tuple[int, bytes]], cut: int
) -> None:
    damaged = bytearray(data)
    for at, patch in patches:
        damaged[at : at + len(patch)] = patch
    with suppress(InvalidArchive):
        read_pack(bytes(damaged[: len(damaged) - cut]), REPOSITORY, "main")


def test_a_skill_that_is_too_large_is_left_out() -> None:
    large = {"big/SKILL.md": "# Big\n" + "x" * MAX_FILE_SIZE}
    many = {f"many/{number}.md": "x" for number in range(MAX_SKILL_FILES)}
    binary = {"binary/SKILL.md": b"\xff\xfe"}
    hidden = {".github/SKILL.md": "# Hidden\n"}
    skills, warnings = read(make_tar({**FILES, **large, **many, "many/SKILL.md": "x", **binary}))
    assert set(skills) == {"writer", "planner"}
    assert sorted(warnings) == ["not_text", "too_large", "too_many_files"]
    assert ".github" not in read(make_tar({**FILES, **hidden}))[0]


def test_files_belong_to_the_innermost_skill() -> None:
    files = {**FILES, "SKILL.md": "# All\n", "a.md": "a", "writer/deep/b.bin": b"\0\xff"}
    skills, _warnings = read(make_tar(files))
    assert [one["path"] for one in skills[""].files] == ["SKILL.md", "a.md"]
    assert skills["writer"].files[1] == {"path": "deep/b.bin", "size": 2, "base64": "AP8="}


def test_an_index_names_the_skills_of_a_pack() -> None:
    """W-19."""
    index = {
        "skills": [
            {"name": "Writer", "path": "writer/", "category": "text", "risk": "safe"},
            {"name": "Planner", "source_url": f"{REPOSITORY}/tree/main/planner"},
            {"name": "Elsewhere", "path": "writer", "source_url": "https://evil.example/x"},
            {"name": "Sibling", "source_url": f"{REPOSITORY}-evil/tree/main/planner"},
            {"name": "Missing", "path": "../writer"},
            "no object",
        ]
    }
    skills, warnings = read(make_tar({**FILES, "skills_index.json": json.dumps(index)}))
    assert [one.name for one in skills.values()] == ["Writer", "Planner"]
    assert (skills["writer"].category, skills["writer"].risk) == ("text", "safe")
    assert skills["writer"].extra["discovery_mode"] == "skills_index"
    assert warnings == ["entry_foreign", "entry_foreign", "entry_invalid", "entry_invalid"]


@pytest.mark.parametrize("index", ["{", "null", "[" * 100_000, '{"skills": 1}', "9" * 5_000])
def test_an_invalid_index_is_ignored_with_a_warning(index: str) -> None:
    skills, warnings = read(make_tar({**FILES, "skills_index.json": index}))
    assert (set(skills), warnings) == ({"writer", "planner"}, ["index_unreadable"])


@pytest.mark.parametrize(
    ("text", "name", "description"),
    [
        ("---\nname: \"A: \\\"b\\\"\"\ndescription: 'it''s'\n---\n", 'A: "b"', "it's"),
        ("---\nname: x # comment\ndescription: |\n  one\n  two\n---\n", "x", "one two"),
        ("---\r\nname: x\r\ndescription: long\r\n  text\r\n---\r\n", "x", "long text"),
        ("\ufeff---\nname: x\nname: y\n---\n", "x", None),
        ("---\nname: never closed\n", None, None),
        ("---\nname: \u202ex\0y\n---\n", "x\ufffdy", None),
    ],
)
def test_the_front_matter_is_read(text: str, name: str | None, description: str | None) -> None:
    values, _heading, _text = parse_skill_text(text)
    assert (values.get("name"), values.get("description")) == (name, description)


@given(some.text())
def test_any_text_can_be_the_text_of_a_skill(text: str) -> None:
    values, heading, first_line = parse_skill_text(f"---\n{text}\n---\n{text}")
    assert all(len(one) <= MAX_VALUE_LENGTH for one in (*values.values(), heading, first_line))


@pytest.mark.parametrize("unit", ["---\n", "a: \\", "a:  ", " #", '"\\', "#", "'", "\u0301", "\r"])
def test_a_huge_front_matter_is_read_up_to_a_limit(unit: str) -> None:
    text = f"---\nname: x\n{unit * (2 * MAX_HEAD_LENGTH // len(unit))}"
    values, _heading, _text = parse_skill_text(text)
    assert len(str(values)) < MAX_HEAD_LENGTH


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (" https://github.com/Tern/Skills.git/ ", "https://github.com/Tern/Skills.git"),
        ("https://github.com/tern/skills.git", REPOSITORY),
        ("https://www.github.com/tern/skills/", REPOSITORY),
        ("https://packs.example/a/skills.tar.gz", "https://packs.example/a/skills.tar.gz"),
    ],
)
def test_addresses_of_packs_are_normalized(given: str, url: str) -> None:
    assert normalize_pack_url(given).removesuffix(".git") == url.removesuffix(".git")


@pytest.mark.parametrize(
    "url",
    [
        *("", "github.com/a/b", "http://github.com/a/b", "https://github.com/a"),
        *("https://github.com/a/b/tree/main", "https://github.com/a/..", "https://gitlab.com/a/b"),
        *("http://packs.example/a.zip", "https://user:secret@packs.example/a.zip", "upload:mine"),
        *("file:///etc/passwd", "https://packs.example/a.zip\nHost: x", f"https://a/{'x' * 3_000}"),
    ],
)
def test_other_addresses_of_packs_are_rejected(url: str) -> None:
    with pytest.raises(BadRequest):
        normalize_pack_url(url)


@pytest.mark.parametrize(
    ("given", "branch"),
    [("v1.2", "v1.2"), ("a/b", "a/b"), ("", "main"), ("../x", "main"), ("a b", "main")],
)
def test_invalid_branches_become_main(given: str, branch: str) -> None:
    assert normalize_branch(given) == branch


def test_agents_verify_the_digest_with_the_command_of_the_message(tmp_path: Path) -> None:
    files = {"SKILL.md": b"# x\n", "a/b c.md": b"b", "a.md": b"\0", "Z.md": b"z", "\xe9.md": b""}
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    text = SkillText(name="x", source_url="x", workspace_root="/x", folder="x", digest="x")
    parts = render_skill_install(text, is_reviewed=True).split("`")
    [command] = [part for part in parts if part.startswith("find ")]
    output = subprocess.run(
        ["bash", "-c", f"{command} | sha256sum"], cwd=tmp_path, capture_output=True, check=True
    )
    assert output.stdout.decode().split()[0] == digest_files(files)


def test_the_sizes_of_a_zip_are_not_trusted() -> None:
    data = make_zip({"writer/SKILL.md": "# " + "x" * 1_000})
    declared = (1_002).to_bytes(4, "little")
    assert data.count(declared) >= 1
    archive = open_archive(data.replace(declared, (10).to_bytes(4, "little")))
    with pytest.raises(InvalidArchive):
        archive.read("SKILL.md")

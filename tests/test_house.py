"""The rules of the house that no other tool checks. Who imports whom, lint-imports checks."""

import ast
import re
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from models import EventType
from web.live import STALE_PARTS

ROOT = Path(__file__).parent.parent
FOLDERS = ("api", "bin", "kit", "models", "openclaw", "services", "web")
FILES = [ROOT / f"{name}.py" for name in ("app", "chores", "holder", "worker")] + [
    file for folder in FOLDERS for file in sorted(ROOT.glob(f"{folder}/**/*.py"))
]
PARTS = sorted(ROOT.glob("templates/**/_*.html"))
TEMPLATES = sorted(ROOT.glob("templates/**/*.html"))

LONGEST_FILE = 300  # lines
LONGEST_FUNCTION = 40  # lines


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=named)
def test_files_and_functions_are_short(file: Path) -> None:
    source = file.read_text()
    assert source.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


def test_a_domain_enters_another_by_its_door() -> None:
    """The faces do too; that is a contract of lint-imports, which cannot say it of siblings."""
    inside = re.compile(r"^(?:from|import) services\.(\w+)\.", re.MULTILINE)
    for file in ROOT.glob("services/**/*.py"):
        domain = file.relative_to(ROOT / "services").parts[0].removesuffix(".py")
        assert set(inside.findall(file.read_text())) <= {domain}, named(file)


@pytest.mark.parametrize("part", PARTS, ids=named)
def test_a_part_of_a_page_says_what_it_is_and_what_it_needs(part: Path) -> None:
    assert part.read_text().startswith("{#")


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_no_template_holds_a_script_or_a_style_of_its_own(template: Path) -> None:
    """The Content-Security-Policy would refuse them, and the page would be broken in silence."""
    markup = re.sub(r"\{#.*?#\}", "", template.read_text(), flags=re.DOTALL)
    assert not re.search(r"\sstyle=|<style\b|\son[a-z]+=|javascript:|\|\s*safe\b", markup)
    assert not re.search(r"<script(?![^>]*\ssrc=)", markup)


async def test_the_migrations_make_what_the_models_say(settings) -> None:
    """C37, W-55."""
    engine = create_async_engine(settings.sqlalchemy_url)
    config = Config(toml_file=ROOT / "pyproject.toml")

    def compare(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.check(config)

    async with engine.begin() as connection:
        await connection.run_sync(compare)
    await engine.dispose()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("activity_events", ["board_id", "created_at"]),
        ("activity_events", ["organization_id", "seq"]),
        ("approvals", ["board_id", "status"]),
        ("tasks", ["board_id", "updated_at"]),
        ("tasks", ["board_id", "status", "created_at"]),
        ("task_comments", ["task_id", "created_at"]),
        ("board_memory", ["board_id", "is_chat", "created_at"]),
    ],
)
async def test_what_is_asked_of_one_board_is_found_by_an_index(settings, table, columns) -> None:
    """P11."""
    engine = create_async_engine(settings.sqlalchemy_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda it: inspect(it).get_indexes(table))
    await engine.dispose()
    assert columns in [index["column_names"] for index in found]


def test_every_kind_of_event_puts_some_part_of_a_page_out_of_date() -> None:
    assert set(STALE_PARTS) == set(EventType)

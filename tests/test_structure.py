"""Structure rules that no other tool checks. Import contracts are checked by import-linter."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "api",
    "cli",
    "core",
    "embedded_postgres",
    "models",
    "openclaw",
    "services",
    "web",
    "worker",
)
FILES = [ROOT / "app.py"] + [
    file for name in PACKAGES for file in sorted(ROOT.glob(f"{name}/**/*.py"))
]
PARTIALS = sorted(ROOT.glob("templates/**/_*.html"))
MAILS = set(ROOT.glob("templates/mail/*.html"))  # mail programs need styles in the elements
TEMPLATES = sorted(set(ROOT.glob("templates/**/*.html")) - MAILS)

ING_MODULES = {"onboarding", "provisioning", "routing", "logging", "paging", "pricing"}

REQUEST_ALLOWED = re.compile(
    r"web/(.*views|[a-z_]+)\.py|web/(auth|ui)/.*|api/(framework|mcp|streams)/.*"
    r"|api/(hooks|metrics|telemetry)\.py|core/http/.*|app\.py"
)

INTERFACES = {"services.gateways.agent_files"}
"""Modules of a domain that others enter, as they enter the packages of `services.gateways`."""

RETIRED_WORDS = {
    *("carrier", "chore", "chores", "crew", "deed", "desk", "doorbell", "ears", "fate", "fates"),
    *("household", "knock", "ladder", "letter", "letters", "mishap", "mishaps", "newcomer"),
    *("newcomers", "papers", "refusal", "refusals", "rung", "rungs", "seal", "sealed", "setback"),
    *("setbacks", "somebody", "standing", "station", "stations", "tell", "telling", "told"),
    *("traveller", "travellers", "whoever", "wish", "wishes"),
}
STORED_NAMES: set[str] = set()
"""Identifiers with a retired word that are stored data or words of the contract or protocol."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def identifiers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every name that the module defines or uses, with its line."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 0)


def words_in(identifier: str) -> set[str]:
    """Split snake_case, CamelCase and UPPER_CASE into lower-case words."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def test_module_names_are_nouns() -> None:
    names = {file.stem for file in FILES} | {file.parent.name for file in FILES}
    assert {name for name in names if name.endswith("ing")} <= ING_MODULES


def test_public_class_names_are_unique() -> None:
    places = defaultdict(list)
    for file in FILES:
        if relative(file).startswith("api/endpoints/"):
            continue
        for node in tree_of(file).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(relative(file))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_identifier_contains_a_retired_word() -> None:
    """They are names of an earlier version. The terms in docs/glossary.md have replaced them."""
    found = [
        f"{relative(file)}:{line} {name}"
        for file in FILES
        for name, line in [*identifiers(tree_of(file)), (file.stem, 1)]
        if name not in STORED_NAMES and words_in(name) & RETIRED_WORDS
    ]
    assert found == []


def test_only_views_use_the_request() -> None:
    found = [
        f"{relative(file)}:{line}"
        for file in FILES
        if not REQUEST_ALLOWED.fullmatch(relative(file))
        for name, line in identifiers(tree_of(file))
        if name == "Request"
    ]
    assert found == []


def test_a_domain_uses_only_the_interface_of_another() -> None:
    """Modules outside a domain import its package, never a module in the package."""
    packages = {relative(file.parent).replace("/", ".") for file in ROOT.glob("services/**/*.py")}
    modules = {relative(file)[:-3].replace("/", ".") for file in ROOT.glob("services/**/*.py")}
    inner = {name for name in modules - packages - INTERFACES if name.count(".") > 1}
    found = []
    for file in FILES:
        own = relative(file.parent).replace("/", ".")
        for node in ast.walk(tree_of(file)):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            found += [
                f"{relative(file)}:{node.lineno} {name}"
                for name in names & inner
                if not name.startswith(f"{own}.")
            ]
    assert found == []


def test_fields_are_parsed() -> None:
    """Pages and operations know Invalid, which `parse` raises, not the error of the constructor.

    It may be called with constants, and for `BoardGrant`, whose values cannot be invalid.
    """
    kinds, calls = {"Fields"}, []
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.ClassDef) and kinds.intersection(map(name_of, node.bases)):
                kinds.add(node.name)
            elif isinstance(node, ast.Call) and not relative(file).startswith("cli/"):
                calls.append((file, node))
    found = [
        f"{relative(file)}:{call.lineno}"
        for file, call in calls
        if name_of(call.func) in kinds - {"BoardGrant"}
        and not all(isinstance(one.value, ast.Constant) for one in call.keywords)
    ]
    assert found == []


def name_of(node: ast.expr) -> str:
    """Return the last name of an expression: `Fields` of `fields.Fields`."""
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def test_a_partial_states_its_content_and_its_variables() -> None:
    silent = [relative(one) for one in PARTIALS if not one.read_text().startswith("{#")]
    assert silent == []


def test_no_template_contains_an_inline_script_or_style() -> None:
    """The Content-Security-Policy would block them without a visible error."""
    found = []
    for template in TEMPLATES:
        markup = re.sub(r"\{#.*?#\}", "", template.read_text(), flags=re.DOTALL)
        inline = re.findall(r"\sstyle=|<style\b|\son[a-z]+=|javascript:|\|\s*safe\b", markup)
        inline += re.findall(r"<script(?![^>]*\ssrc=)", markup)
        found += [f"{relative(template)}: {one.strip()}" for one in inline]
    assert found == []


async def test_the_migrations_create_the_schema_of_the_models(settings) -> None:
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
async def test_queries_for_one_board_have_an_index(settings, table, columns) -> None:
    """P11."""
    engine = create_async_engine(settings.sqlalchemy_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda it: inspect(it).get_indexes(table))
    await engine.dispose()
    assert columns in [index["column_names"] for index in found]


UNINDEXED_FOREIGN_KEYS = text("""
    select conrelid::regclass || '.' || attname from pg_constraint
    join pg_attribute on attrelid = conrelid and attnum = conkey[1]
    where contype = 'f' and connamespace = current_schema::regnamespace and not exists (
        select from pg_index where indrelid = conrelid and indkey[0] = conkey[1]
        and (indpred is null or pg_get_expr(indpred, indrelid) = '(' || attname || ' IS NOT NULL)')
    ) order by 1
""")


async def test_every_foreign_key_has_an_index_that_begins_with_it(settings) -> None:
    """Without it, the deletion of what is referenced reads the whole table."""
    engine = create_async_engine(settings.sqlalchemy_url)
    async with engine.connect() as connection:
        found = [*await connection.scalars(UNINDEXED_FOREIGN_KEYS)]
    await engine.dispose()
    assert found == []

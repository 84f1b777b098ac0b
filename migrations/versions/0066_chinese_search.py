"""Find Chinese and Japanese words inside of phrases: index pairs of characters."""

import re

from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None

PUNCTUATION = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»\u2039\u203a“”„\u2018\u2019\u201a\u2013—…·•→←\u00a0"
    "、。\uff0c\uff01\uff1f\uff1a\uff1b\uff08\uff09「」『』"
)
UNSPACED = "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
MAX_LENGTH = 100_000  # searchable characters per text; a tsvector cannot store more
MAX_UNSPACED_LENGTH = 40_000  # the same for a text with such characters: each is in two words

NONE = "null::varchar"

SEARCHED = {
    "tasks": f"title, description, {NONE}",
    "task_comments": f"{NONE}, message, {NONE}",
    "board_memory": f"{NONE}, content, {NONE}",
    "board_group_memory": f"{NONE}, content, {NONE}",
    "boards": "name, description, objective",
    "souls": f"title, content, {NONE}",
}


def searchable_sql(text: str) -> str:
    """Return SQL that truncates a text and replaces punctuation with blanks."""
    signs = re.sub(r"([\[\]\\^-])", r"\\\1", PUNCTUATION).replace("'", "''")
    return f"regexp_replace(left({text}, {MAX_LENGTH}), '[{signs}]', ' ', 'g')"


def pairs_sql(text: str) -> str:
    """Return SQL that replaces a run of unspaced characters, `abc`, with `a ab bc c`."""
    runs = f"regexp_replace(left({text}, {MAX_UNSPACED_LENGTH}), '([{UNSPACED}]+)', ' \\1 ', 'g')"
    doubled = f"regexp_replace({runs}, '([{UNSPACED}])', '\\1 \\1', 'g')"
    return f"case when {text} ~ '[{UNSPACED}]' then {doubled} else {text} end"


def define_words(words_of_text: str) -> None:
    """Define the words of a row: of its title, and of its texts."""
    title = searchable_sql("coalesce(title, '')")
    text = searchable_sql("coalesce(body, '') || ' ' || coalesce(more, '')")
    signature = "words_of(title varchar, body varchar, more varchar) returns tsvector"
    parts = [words_of_text.format(text=part) for part in (title, text)]
    op.get_bind().exec_driver_sql(
        f"create or replace function {signature} language sql immutable parallel safe return "
        f"setweight(to_tsvector('pg_catalog.simple'::regconfig, {parts[0]}), 'A') "
        f"|| to_tsvector('pg_catalog.simple'::regconfig, {parts[1]})"
    )


def store_words() -> None:
    """Compute the words of all rows again."""
    run = op.get_bind().exec_driver_sql
    for table, columns in SEARCHED.items():
        run(f"alter table {table} drop column words")
        run(
            f"alter table {table} add column words tsvector "
            f"generated always as (words_of({columns})) stored"
        )
        run(f"create index ix_{table}_words on {table} using gin (words)")


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        "create function pairs_of_unspaced(content varchar) returns varchar"
        f" language sql immutable parallel safe return {pairs_sql('content')}"
    )
    define_words("pairs_of_unspaced({text})")
    store_words()


def downgrade() -> None:
    define_words("{text}")
    op.get_bind().exec_driver_sql("drop function pairs_of_unspaced(varchar)")
    store_words()

"""Add the words without accents to the words of rows, and an index of the words of agents.

The words of the rows that exist are computed anew where they have accents, in batches: the previous
release reads and writes them meanwhile, and finds what it has found before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0115"
down_revision = "0114"
branch_labels = None
depends_on = None

# Copies of core/accents.py and core/db/full_text.py.
MARKS = "\u0300-\u036f"
LATIN_OR_GREEK = "A-Za-z\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u1f00-\u1fff"
ACCENTED = f"[{MARKS}\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u1f00-\u1fff\u0451\u0401]"
SINGLE, PLAIN_SINGLE = "øØłŁđĐħĦŧŦðÐ\u0131\u0451\u0401", "oOlLdDhHtTdDi\u0435\u0415"
DOUBLE = {
    **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "TH"},
}
SEPARATORS = (
    "!\"#$%&''()*+,\\-./:;<=>?@\\[\\\\\\]\\^_`{|}~¡¿«»\u2039\u203a“”„\u2018\u2019\u201a\u2013—…·•→←\u00a0"
    "、。\uff0c\uff01\uff1f\uff1a\uff1b\uff08\uff09「」『』"
)


def remove_accents(said: str) -> str:
    stripped = (
        f"regexp_replace(normalize({said}, nfd), '([{LATIN_OR_GREEK}])[{MARKS}]+', '\\1', 'g')"
    )
    plain = f"translate(normalize({stripped}, nfc), '{SINGLE}', '{PLAIN_SINGLE}')"
    for letter, two in DOUBLE.items():
        plain = f"replace({plain}, '{letter}', '{two}')"
    return plain


# The second function does not call the first: a restore runs it without a search path.
WITHOUT_ACCENTS = f"""
create or replace function without_accents(said varchar) returns varchar
    language plpgsql immutable parallel safe
    as $$
    begin
        if said ~ '{ACCENTED}' then
            return {remove_accents("said")};
        end if;
        return said;
    end $$
"""
WITH_PLAIN_WORDS = f"""
create or replace function with_plain_words(said varchar) returns varchar
    language plpgsql immutable parallel safe
    as $$
    declare
        plain_words varchar;
    begin
        if said ~ '{ACCENTED}' then
            select string_agg(plain, ' ') into plain_words
            from (
                select word, {remove_accents("word")} as plain
                from regexp_split_to_table(said, '\\s+') word
                where word ~ '{ACCENTED}'
            ) words
            where plain <> word;
        end if;
        return concat_ws(' ', said, plain_words);
    end $$
"""  # noqa: S608


def split_text(said: str) -> str:
    apart = f"regexp_replace(left({said}, 100000), '[{SEPARATORS}]', ' ', 'g')"
    return f"to_tsvector('simple', with_plain_words(pairs_of_unspaced({apart})))"


WORDS_OF = f"""
create or replace function words_of(title varchar, body varchar, more varchar) returns tsvector
    language sql immutable parallel safe
    return setweight({split_text("coalesce(title, '')")}, 'A')
        || {split_text("coalesce(body, '') || ' ' || coalesce(more, '')")}
"""
WORDS_OF_AGENT = """
create or replace function words_of_agent(name varchar, profile jsonb) returns tsvector
    language sql immutable parallel safe
    return words_of(name, (profile ->> 'role')::varchar, null)
"""
SEARCHED = {
    "boards": ("name", "name, description, objective"),
    "tasks": ("title", "title, description, null"),
    "task_comments": ("message", "null, message, null"),
    "board_memory": ("content", "null, content, null"),
    "board_group_memory": ("content", "null, content, null"),
    "souls": ("title", "title, content, null"),
}
"""The searched tables: a column, and the texts of their words."""
# Of one batch: others wait for its rows at most ten seconds (`lock_timeout`), and the words of
# 100,000 letters with accents take half a second. Rows without accents are not written.
MAX_ROWS, MAX_BYTES = 1_000, 200_000
FIND_BATCH = """
    select max(id::text)::uuid from (
        select id, sum(size) over (order by id) - size as before
        from (select id, {size} as size from {table} where id > :after order by id limit {rows})
            as following
    ) as sized where before < {bytes}
"""
COMPUTE_BATCH = """
    update {table} set {column} = {column}
    where id > :after and id <= :last and concat_ws(' ', {texts}) ~ '{accented}'
"""


def upgrade() -> None:
    for function in (WITHOUT_ACCENTS, WITH_PLAIN_WORDS, WORDS_OF, WORDS_OF_AGENT):
        op.get_bind().exec_driver_sql(function)
    with op.get_context().autocommit_block():
        for table, (column, texts) in SEARCHED.items():
            _compute_words(table, column, texts)
        op.execute("drop index concurrently if exists ix_agents_words")
        op.execute(
            "create index concurrently ix_agents_words on agents using gin"
            " (words_of_agent(name, identity_profile))"
        )


def _compute_words(table: str, column: str, texts: str) -> None:
    connection = op.get_bind()
    size = " + ".join(f"coalesce(octet_length({one}::text), 0)" for one in texts.split(", "))
    find = sa.text(FIND_BATCH.format(table=table, size=size, rows=MAX_ROWS, bytes=MAX_BYTES))
    update = COMPUTE_BATCH.format(table=table, column=column, texts=texts, accented=ACCENTED)
    after = "00000000-0000-0000-0000-000000000000"
    while (last := connection.scalar(find, {"after": after})) is not None:
        connection.execute(sa.text(update), {"after": after, "last": last})
        after = last

"""Every text of the pages is in the catalogues of all languages, and no other text is."""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from babel.messages import Catalog, Message
from babel.messages.pofile import read_po

from cli import translations
from web.ui.translation import LANGUAGES, SOURCE

CATALOGUES = translations.list_catalogues()
PLACEHOLDERS = re.compile(r"%\(\w+\)[-+ 0-9.,]*[a-z]|%%")
TAGS = re.compile(r"</?\w+[^>]*>")
MAY_MISS = {"%(num)d"}  # "one task" needs no number


@pytest.fixture(scope="module")
def template() -> Catalog:
    return translations.extract_messages()


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def list_texts(catalogue: Catalog) -> set[tuple[str | None, str]]:
    return {(one.context, first_of(one.id)) for one in catalogue if one.id}


def first_of(id: str | Iterable[str]) -> str:
    return id if isinstance(id, str) else next(iter(id))


def list_forms(message: Message) -> list[str]:
    string = message.string
    return [string] if isinstance(string, str) else list(string or ())


def test_each_language_but_english_has_a_catalogue() -> None:
    assert {path.stem for path in CATALOGUES} == {*LANGUAGES} - {SOURCE}


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_no_text_is_missing_or_unused(path: Path, template: Catalog) -> None:
    """Run `./run translations`, and translate what is new."""
    stored = read(path)
    assert list_texts(template) - list_texts(stored) == set()
    assert list_texts(stored) - list_texts(template) == set()
    missing = [one.id for one in stored if one.id and not translations.is_translated(one.string)]
    assert missing == []
    assert not any(one.fuzzy for one in stored if one.id)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_a_translation_has_the_values_and_tags_of_its_text(path: Path) -> None:
    wrong = []
    for message in read(path):
        if message.id:
            texts = [message.id] if isinstance(message.id, str) else list(message.id)
            for form in list_forms(message):
                values = {*PLACEHOLDERS.findall(texts[-1])} ^ {*PLACEHOLDERS.findall(form)}
                tags = sorted(TAGS.findall(texts[-1])) != sorted(TAGS.findall(form))
                if values - MAY_MISS or tags:
                    wrong.append((texts[0], form))
    assert wrong == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_a_catalogue_is_written_as_the_command_writes_it(path: Path, template: Catalog) -> None:
    updated = translations.update_catalogue(path, template)
    assert translations.serialize(updated) == path.read_bytes()


def test_no_language_has_the_texts_of_another_one() -> None:
    found = [
        {one.id: list_forms(one) for one in read(path) if one.id and isinstance(one.id, str)}
        for path in CATALOGUES
    ]
    for first, second in itertools.combinations(found, 2):
        same = [id for id in first if first[id] == second.get(id) and first[id] != [id]]
        assert [id for id in same if re.search(r"\w", PLACEHOLDERS.sub("", first[id][0]))] == []


def test_german_has_one_word_for_an_approval() -> None:
    [german] = [path for path in CATALOGUES if "de" in path.stem]
    texts = [form for message in read(german) for form in list_forms(message)]
    assert [text for text in texts if re.search("genehmig", text, re.IGNORECASE)] == []

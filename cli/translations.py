"""`./run translations`: update the catalogues of the pages' texts from the code."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from cli.command import create_parser, print_line, run_as_script, run_command

PROJECT_ROOT = Path(__file__).parent.parent
FOLDER = PROJECT_ROOT / "translations"
SOURCES = {
    "templates": [("**.html", "jinja2")],
    **{folder: [("**.py", "python")] for folder in ("web", "services", "openclaw", "core")},
}
OPTIONS = {"**.html": {"silent": "false", "trimmed": "true", "newstyle_gettext": "true"}}
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "N_")),
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}


def main(arguments: list[str]) -> int:
    parser = create_parser("translations", "Update the catalogues in translations/ from the code.")
    parser.parse_args(arguments)
    return run_command(update_catalogues)


def update_catalogues() -> int:
    """Add new texts to each catalogue, remove those that are gone, and say what is missing."""
    template = extract_messages()
    for path in list_catalogues():
        updated = update_catalogue(path, template)
        path.write_bytes(serialize(updated))
        missing = sum(1 for one in updated if one.id and not is_translated(one.string))
        print_line(f"{path.name}: {len(updated)} texts, {missing} without a translation")
    return 0


def list_catalogues() -> list[Path]:
    """Return the files of all languages but English, which is in the code."""
    return sorted(FOLDER.glob("*.po"))


def extract_messages() -> Catalog:
    """Return all marked texts of templates and pages, without a translation."""
    catalogue = Catalog(project="Mission Control")
    for folder, methods in SOURCES.items():
        found = extract_from_dir(
            PROJECT_ROOT / folder,
            methods,
            OPTIONS,
            keywords=KEYWORDS,
            comment_tags=("Translators:",),
        )
        for _file, _line, message, comments, context in found:
            catalogue.add(message, auto_comments=comments, context=context)
    return catalogue


def update_catalogue(path: Path, template: Catalog) -> Catalog:
    """Return the catalogue of a file with the texts of the template."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem.replace("-", "_"))
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    return catalogue


def serialize(catalogue: Catalog) -> bytes:
    """Return the content of the file of a catalogue, sorted, so that changes are small."""
    written = BytesIO()
    write_po(written, catalogue, width=100, sort_output=True, no_location=True)
    lines = written.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(VOLATILE))


VOLATILE = (b'"POT-Creation-Date', b'"PO-Revision-Date', b'"Generated-By', b'"Last-Translator')


def is_translated(string: str | Iterable[str] | None) -> bool:
    """Return whether a translation has all its forms."""
    forms = [string] if isinstance(string, str) else list(string or ())
    return bool(forms) and all(forms)


if __name__ == "__main__":
    run_as_script(main)

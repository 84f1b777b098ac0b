"""Secrets in the database: read by nobody who has only the database."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.errors import Unavailable
from kit.sealing import FILE, Seal, SealBroken
from kit.settings import Settings

KEY = "a key that is long enough to be one, surely"


def seal(**given: object) -> Seal:
    return Seal(Settings.model_validate(given))


def test_what_was_sealed_is_opened_in_its_place_and_nowhere_else() -> None:
    one = seal(secret_key=KEY)
    sealed = one.close("the token", "here")
    assert "token" not in sealed
    assert one.open(sealed, "here") == b"the token"
    assert seal(secret_key=KEY).open(sealed, "here") == b"the token"
    for opener, place in ((one, "there"), (seal(secret_key=KEY + "!"), "here")):
        with pytest.raises(SealBroken):
            opener.open(sealed, place)


def test_the_same_secret_is_never_sealed_the_same() -> None:
    one = seal(secret_key=KEY)
    assert len({one.close("token", "here") for _ in range(10)}) == 10


@pytest.mark.parametrize(
    "change", ["", "v1", "v1.", "v2.AAAA", "v1.AAAA", "v1.ÄÄ", "v1.!", "x" * 99]
)
def test_what_is_no_seal_is_not_opened(change: str) -> None:
    with pytest.raises(SealBroken):
        seal(secret_key=KEY).open(change, "here")


def test_a_seal_that_was_tampered_with_is_not_opened() -> None:
    one = seal(secret_key=KEY)
    sealed = one.close("token", "here")
    for at in range(3, len(sealed) - 1):
        other = "A" if sealed[at] != "A" else "B"
        with pytest.raises(SealBroken):
            one.open(sealed[:at] + other + sealed[at + 1 :], "here")


def test_without_a_setting_a_key_is_written_once_for_nobody_else_to_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    sealed = seal(data_dir=folder).close("token", "here")
    file = folder / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) > 40
    assert seal(data_dir=folder).open(sealed, "here") == b"token"
    assert list(folder.iterdir()) == [file]
    assert not (tmp_path / "other").exists()
    seal(data_dir=tmp_path / "other", secret_key=KEY).close("token", "here")
    assert not (tmp_path / "other").exists()


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    def one(_number: int) -> str:
        return seal(data_dir=tmp_path).close("token", "here")

    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(one, range(32)))
    for each in sealed:
        assert seal(data_dir=tmp_path).open(each, "here") == b"token"


def test_without_any_key_it_is_said_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="SECRET_KEY"):
        seal(data_dir=tmp_path / "file").close("token", "here")

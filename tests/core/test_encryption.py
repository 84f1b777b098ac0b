"""Encryption of secrets in the database."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.config.settings import Settings
from core.errors import Unavailable
from core.security.encryption import KEY_FILE, PREVIOUS_KEY_FILE, DecryptionError, SecretCipher

KEY = "a key that is long enough to be one, surely"


def make_cipher(**settings: object) -> SecretCipher:
    return SecretCipher(Settings.model_validate(settings))


def test_a_secret_is_decrypted_only_with_its_associated_data() -> None:
    cipher = make_cipher(secret_key=KEY)
    encrypted = cipher.encrypt("the token", "here")
    assert "token" not in encrypted
    assert cipher.decrypt(encrypted, "here") == b"the token"
    assert make_cipher(secret_key=KEY).decrypt(encrypted, "here") == b"the token"
    for other_cipher, associated_data in (
        (cipher, "there"),
        (make_cipher(secret_key=KEY + "!"), "here"),
    ):
        with pytest.raises(DecryptionError):
            other_cipher.decrypt(encrypted, associated_data)


def test_the_same_secret_has_different_ciphertexts() -> None:
    cipher = make_cipher(secret_key=KEY)
    assert len({cipher.encrypt("token", "here") for _ in range(10)}) == 10


@pytest.mark.parametrize(
    "ciphertext", ["", "v1", "v1.", "v2.AAAA", "v1.AAAA", "v1.ÄÄ", "v1.!", "x" * 99]
)
def test_an_invalid_ciphertext_is_rejected(ciphertext: str) -> None:
    with pytest.raises(DecryptionError):
        make_cipher(secret_key=KEY).decrypt(ciphertext, "here")


def test_a_modified_ciphertext_is_rejected() -> None:
    cipher = make_cipher(secret_key=KEY)
    encrypted = cipher.encrypt("token", "here")
    for at in range(3, len(encrypted) - 1):
        other = "A" if encrypted[at] != "A" else "B"
        with pytest.raises(DecryptionError):
            cipher.decrypt(encrypted[:at] + other + encrypted[at + 1 :], "here")


def test_without_a_setting_a_private_key_file_is_created_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    encrypted = make_cipher(data_dir=folder).encrypt("token", "here")
    file = folder / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) > 40
    assert make_cipher(data_dir=folder).decrypt(encrypted, "here") == b"token"
    assert list(folder.iterdir()) == [file]
    assert not (tmp_path / "other").exists()
    make_cipher(data_dir=tmp_path / "other", secret_key=KEY).encrypt("token", "here")
    assert not (tmp_path / "other").exists()


def test_concurrent_processes_use_the_same_key(tmp_path: Path) -> None:
    def encrypt(_number: int) -> str:
        return make_cipher(data_dir=tmp_path).encrypt("token", "here")

    with ThreadPoolExecutor(8) as pool:
        ciphertexts = list(pool.map(encrypt, range(32)))
    for ciphertext in ciphertexts:
        assert make_cipher(data_dir=tmp_path).decrypt(ciphertext, "here") == b"token"


@pytest.mark.parametrize("content", ["", "\n", "\xff" * 40])
@pytest.mark.parametrize("name", [KEY_FILE, PREVIOUS_KEY_FILE])
def test_a_key_file_without_a_text_is_refused(tmp_path: Path, name: str, content: str) -> None:
    make_cipher(data_dir=tmp_path).encrypt("token", "here")
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(Unavailable, match=f"The file {name} is empty or not a text"):
        make_cipher(data_dir=tmp_path).encrypt("token", "here")
    assert (tmp_path / name).read_bytes() == content.encode("latin-1")


@pytest.mark.parametrize("name", [KEY_FILE, PREVIOUS_KEY_FILE])
def test_a_short_key_file_of_an_earlier_version_is_accepted(tmp_path: Path, name: str) -> None:
    """A file that was cut looks the same; the fingerprint in the database tells them apart."""
    (tmp_path / KEY_FILE).write_text("by hand\n")
    encrypted = make_cipher(data_dir=tmp_path).encrypt("token", "here")
    (tmp_path / KEY_FILE).rename(tmp_path / name)
    assert make_cipher(data_dir=tmp_path).decrypt(encrypted, "here") == b"token"


def test_a_new_key_file_has_reached_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First its content, and then its name in the folder."""
    synced = []
    sync = os.fsync

    def record(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        synced.append((is_folder, (tmp_path / KEY_FILE).exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", record)
    make_cipher(data_dir=tmp_path).encrypt("token", "here")
    assert synced == [(False, False), (True, True)]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.ENOTSUP])
def test_a_key_is_created_where_only_files_can_be_written_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    sync = os.fsync

    def refuse_folder(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folder)
    encrypted = make_cipher(data_dir=tmp_path).encrypt("token", "here")
    assert make_cipher(data_dir=tmp_path).decrypt(encrypted, "here") == b"token"


def test_a_folder_of_the_key_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable, match=os.strerror(errno.EIO)):
        make_cipher(data_dir=tmp_path).encrypt("token", "here")


def test_without_any_key_the_error_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="SECRET_KEY"):
        make_cipher(data_dir=tmp_path / "file").encrypt("token", "here")

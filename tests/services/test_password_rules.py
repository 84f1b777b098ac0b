"""New passwords must not be easy to guess."""

import pytest

from core.errors import Invalid
from services.identity.passwords import check_new_password

EMAIL = "olga.ruiz@example.com"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("too short", "password_too_short"),
        ("x1" * 101, "password_too_long"),
        ("Olga.Ruiz 2026", "password_too_common"),
        ("my-olgaruiz-secret", "password_too_common"),
        ("Mission Control 1!", "password_too_common"),
        ("openclaw-2026", "password_too_common"),
        ("aaaaaaaaaaaa", "password_too_common"),
        ("1212121213", "password_too_common"),
        ("passwordPASSWORD", "password_too_common"),
        ("abcdefghijkl", "password_too_common"),
        ("zyxwvutsrqponm", "password_too_common"),
        ("123456789012", "password_too_common"),
        ("0987654321", "password_too_common"),
        ("qwertyuiop", "password_too_common"),
        ("Qwertz-Uiop-Asdf", "password_too_common"),
    ],
)
def test_a_password_that_is_guessed_easily_is_rejected(password: str, code: str) -> None:
    with pytest.raises(Invalid) as raised:
        check_new_password(password, "new", EMAIL)
    assert (raised.value.code, raised.value.field) == (code, "new")
    assert password not in raised.value.message


@pytest.mark.parametrize("email", [EMAIL, "al@example.com", "", None])
@pytest.mark.parametrize(
    "password", ["correct horse battery", "salt and vinegar", "k3-vB9!tqZ", "Überall grüne Boote"]
)
def test_other_passwords_are_accepted(password: str, email: str | None) -> None:
    check_new_password(password, "new", email)

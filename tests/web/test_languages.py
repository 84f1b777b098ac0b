"""The language of a page: by its address, the user's settings, a cookie, or the browser."""

import httpx2
import pytest

from core.db.engine import TransactionFactory
from models import User
from tests.support.cpu_time import limit_cpu
from tests.support.world import World
from web.ui import translation
from web.ui.locale_middleware import negotiate_language
from web.ui.translation import N_, PSEUDO, _, disguise, ngettext, reader_language


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("fr,de;q=0.8,en;q=0.9", "en"),
        ("zh-CN", "zh-Hans"),
        ("zh-TW,de;q=0.5", "de"),
        ("zh-Hant", "en"),
        ("de;q=0", "en"),
        ("de;q=x,zh;q=0.1", "zh-Hans"),
        ("*", "en"),
        (";;;,,,q=1", "en"),
    ],
)
def test_the_language_is_the_first_that_the_browser_accepts(accepted, language) -> None:
    assert negotiate_language(accepted) == language


async def test_the_address_comes_before_the_settings_and_those_before_the_browser(
    alice: httpx2.AsyncClient, transaction: TransactionFactory, world: World
) -> None:
    async def language(address: str = "/settings", **headers: str) -> str:
        page = (await alice.get(address, headers=headers)).text
        return page.partition('<html lang="')[2].partition('"')[0]

    german = {"Accept-Language": "de"}
    assert await language() == "en"
    assert await language(**german) == "de"
    async with transaction() as session:
        (await session.get_one(User, world.alice.id)).language = "zh-Hans"
    assert await language(**german) == "zh-Hans"
    assert await language("/settings?lang=de") == "de"
    assert await language(**german) == "zh-Hans"
    assert await language("/settings?lang=xx", **german) == "zh-Hans"


async def test_an_address_stores_the_language_for_the_next_pages(
    anonymous: httpx2.AsyncClient,
) -> None:
    assert '<html lang="de">' in (await anonymous.get("/sign-in?lang=de")).text
    assert '<html lang="de">' in (await anonymous.get("/sign-in")).text


async def test_a_user_chooses_a_language(alice: httpx2.AsyncClient) -> None:
    saved = await alice.post("/settings/profile", data={"section": "you", "language": "de"})
    assert saved.status_code == 303
    assert '<html lang="de">' in (await alice.get("/settings")).text
    refused = await alice.post("/settings/profile", data={"section": "you", "language": "xx"})
    assert refused.status_code == 422


def test_values_are_put_into_texts_and_escaped_in_templates() -> None:
    assert _("%(count)d tasks, 5%%", count=3) == "3 tasks, 5%"
    assert ngettext("%(num)d task", "%(num)d tasks", 1) == "1 task"
    from web.ui.render import environment

    template = environment.from_string("{{ _('<b>%(name)s</b>', name=name) }}")
    assert template.render(name="<i>") == "<b>&lt;i&gt;</b>"


def test_the_pseudo_language_keeps_tags_and_placeholders() -> None:
    text = 'Save <a href="%(path)s">%(count)d tasks</a> &amp; more, 5%%'
    assert disguise(text).startswith('Šàvé <a href="%(path)s">%(count)d ťàškš</a> &amp; möřé, 5%%~')
    token = reader_language.set(PSEUDO)
    try:
        assert _("Saved %(count)d", count=2).startswith("Šàvéđ 2~")
    finally:
        reader_language.reset(token)


def test_a_text_is_only_marked() -> None:
    assert N_("Saved") == "Saved"
    assert translation.translate("") == ""


def test_long_headers_are_read_in_bounded_time() -> None:
    for header in ("de;q=0.1," * 8_000, ";" * 65_000, "a-" * 30_000, "," * 65_000):
        with limit_cpu():
            negotiate_language(header)

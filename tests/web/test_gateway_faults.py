"""Pages of gateways: certificates, and faults with the setting that helps."""

import html
from pathlib import Path

import httpx2

from tests.support.fake_gateway import FakeGateway, run_fake_gateway
from tests.support.gateway_pages import entered, fake, new, steps
from tests.support.tls_certificates import PrivateCa

__all__ = ["fake", "new"]  # fixtures


async def test_a_ca_certificate_is_entered_shown_and_removed(
    alice: httpx2.AsyncClient, new: dict[str, str], tmp_path: Path
) -> None:
    ca = PrivateCa.create("<script>Office</script>")
    tls = ca.create_tls_context(tmp_path)
    async with run_fake_gateway(FakeGateway(), tls=tls) as secure:
        new |= {"url": secure.url}
        refused = await alice.post("/gateways", data=new | {"ca_certificates": "nonsense"})
        assert refused.status_code == 422
        assert "not a certificate in PEM format" in refused.text
        assert 'id="field-ca_certificates-error"' in refused.text
        address = await entered(alice, new, ca_certificates=ca.pem)
        page = (await alice.get(address)).text
        assert steps(page) == ["done"] * 9
        assert "issued by the CA that is entered here" in page
        assert "&lt;script\\&gt;Office" in page
        assert "<script>Office" not in page
        assert "Expires: " in page
        form = (await alice.get(f"{address}/edit")).text
        assert ca.pem.strip() in html.unescape(form)
        new |= {"ca_certificates": ""}
        refused = await alice.post(f"{address}/edit", data=new | {"token": ""})
        assert refused.status_code == 422
        assert 'id="field-token-error"' in refused.text
        removed = await alice.post(f"{address}/edit", data=new)
    assert removed.status_code == 303
    page = (await alice.get(address)).text
    assert "Office" not in page
    assert "Setting or command" not in page


async def test_a_private_address_shows_the_setting_that_allows_it(
    alice: httpx2.AsyncClient, new: dict[str, str]
) -> None:
    page = (await alice.get(await entered(alice, new, url="ws://10.255.255.1:18789"))).text
    assert 'data-copy="GATEWAY_ALLOW_PRIVATE=127.0.0.0/8,::1/128,10.255.255.1"' in page
    assert "Whoever runs this server can allow it with this setting:" in page
    assert "Run this on the gateway" not in page
    assert "allow it with this setting:" in (await alice.get("/gateways")).text


async def test_a_second_gateway_with_the_same_address_is_rejected(
    alice: httpx2.AsyncClient, new: dict[str, str]
) -> None:
    await entered(alice, new)
    refused = await alice.post("/gateways", data=new | {"name": "Shed"})
    assert refused.status_code == 409
    assert "The gateway Workshop already has this address." in refused.text
    assert 'id="field-url-error"' in refused.text

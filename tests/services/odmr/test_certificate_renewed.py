"""A new certificate put in place of the old: sessions go on, later handshakes show it, and half a pair changes nothing."""

import ssl
from pathlib import Path

from localserve import certificates
from localserve.layout import Layout
from shared import metrics
from shared.certificate import Certificate
from shared.clock import Clock
from shared.tls import client_context
from tests.services.odmr.conftest import Factory, Odmr
from tests.waiting import until


def _another(tmp_path: Path) -> tuple[Path, Path, Path]:
    """CA, chain and key that are none of odmr's."""
    layout = Layout(tmp_path / "another")
    layout.root.mkdir()
    layout.prepare()
    return certificates.prepare(layout, Clock())


async def _shows(odmr: Odmr, port: int, ca_file: Path) -> bool:
    try:
        customer = await odmr.call(port, client_context(ca_file))
    except ssl.SSLError:
        return False
    customer.close()
    return True


async def test_later_handshakes_show_the_new_one_and_sessions_go_on(odmr: Factory, tmp_path: Path) -> None:
    async with odmr() as running:
        old = await running.call(running.tls_port, client_context(running.ca_file))
        new_ca, new_chain, new_key = _another(tmp_path)
        chain = running.ca_file.with_name("server.pem")
        new_chain.replace(chain)
        new_key.replace(running.ca_file.with_name("server.key"))

        async def is_new() -> bool:
            return await _shows(running, running.tls_port, new_ca)

        await until(is_new, 15)
        assert await _shows(running, running.certificate_port, new_ca)
        assert not await _shows(running, running.tls_port, running.ca_file)
        assert (await old.say("NOOP")).startswith("250 ")


async def test_half_a_pair_leaves_the_old_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    _, chain, key = certificates.prepare(layout, Clock())
    certificate = Certificate(chain, key)
    before = metrics.CERTIFICATE_ENDS._value.get()
    assert before > 0 and not certificate.renew()
    _, new_chain, new_key = _another(tmp_path)
    new_chain.replace(chain)
    assert not certificate.renew()
    new_key.replace(key)
    assert certificate.renew()
    assert not certificate.renew()
    chain.unlink()
    assert not certificate.renew()

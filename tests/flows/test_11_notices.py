"""What a sender hears, through real processes: refused content, mail that nobody may have, and an operator's bounce."""

import email
import email.policy
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage

import pytest
from flufl.bounce import all_failures

from localserve.provider import Provider
from localserve.provision import client
from localserve.sink import Received, Sink
from shared.protocol import reply as r
from shared.protocol.reply import Reply
from tests.flows.customer import call
from tests.flows.live import running
from tests.flows.sender import DOMAIN, content

pytestmark = pytest.mark.xdist_group("notices")


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with running(ODMR_OUTBOUND_SECONDS="0.1") as provider:
        yield provider


def send(
    provider: Provider,
    name: str,
    to: str = "user",
    rcpt_options: tuple[str, ...] = (),
    sender: str = "a@remote.example",
) -> None:
    with smtplib.SMTP("127.0.0.1", provider.ports.smtp, timeout=20) as smtp:
        smtp.sendmail(sender, [f"{to}@{DOMAIN}"], content(name), rcpt_options=rcpt_options)


def last_notice(provider: Provider) -> tuple[Received, EmailMessage, dict[str, str]]:
    """The last one in the outbox, parsed, and its fields of the one recipient."""
    sent = provider.outbox.messages[-1]
    parsed = email.message_from_bytes(sent.content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    status = list(parsed.iter_parts())[1].get_payload()[1]  # type: ignore[index]
    return sent, parsed, dict(status.items())  # type: ignore[union-attr]


def refuse(message: Received) -> Reply:
    """The answer of a server that does not like what it reads."""
    return Reply(554, "5.6.0", ("we do not like it",)) if b"bad" in message.content else r.S250_OK


async def test_refused_content_comes_back_to_its_sender_once(provider: Provider) -> None:
    before = len(provider.outbox.messages)
    send(provider, "bad-1")
    send(provider, "good-1")
    async with Sink(refuse) as sink:
        assert (await call(provider, sink)).exit == 0
        assert len(sink.messages) == 1
    await provider.outbox.wait_for(before + 1, 30)
    sent, parsed, status = last_notice(provider)
    assert (sent.reverse_path, sent.forward_paths) == ("", ("a@remote.example",))
    assert (status["Action"], status["Status"], status["Final-Recipient"]) == (
        "failed",
        "5.6.0",
        f"rfc822;user@{DOMAIN}",
    )
    assert all_failures(parsed)[1] == {f"user@{DOMAIN}".encode()}
    assert b"Message-ID: <bad-1@remote.example>" in sent.content
    send(provider, "bad-never", rcpt_options=("NOTIFY=NEVER",))
    send(provider, "bad-null", sender="")
    send(provider, "bad-2")
    async with Sink(refuse) as sink:
        assert (await call(provider, sink)).exit == 0
    await provider.outbox.wait_for(before + 2, 30)
    assert b"Message-ID: <bad-2@remote.example>" in provider.outbox.messages[-1].content
    assert len(provider.outbox.messages) == before + 2
    assert len(list((provider.layout.root / "outbox").glob("*.eml"))) == len(provider.outbox.messages)


async def test_success_is_told_as_relayed(provider: Provider) -> None:
    """R56: the sink does not offer DSN."""
    before = len(provider.outbox.messages)
    send(provider, "good-2", rcpt_options=("NOTIFY=SUCCESS", "ORCPT=rfc822;Boss@x.example"))
    async with Sink() as sink:
        assert (await call(provider, sink)).exit == 0
    await provider.outbox.wait_for(before + 1, 30)
    _, _, status = last_notice(provider)
    assert (status["Action"], status["Status"], status["Original-Recipient"]) == (
        "relayed",
        "2.0.0",
        "rfc822;Boss@x.example",
    )


async def test_an_operators_bounce_says_why(provider: Provider) -> None:
    before = len(provider.outbox.messages)
    send(provider, "unwanted")
    async with client(provider) as api:
        [waiting] = (await api.get("/v1/messages", params={"state": "queued", "domain": DOMAIN})).json()["data"]
        done = await api.post(f"/v1/messages/{waiting['id']}/bounce", json={"reason": "the customer has moved"})
        assert done.json() == {"recipients": 1}
    await provider.outbox.wait_for(before + 1, 30)
    sent, _, status = last_notice(provider)
    assert status["Diagnostic-Code"] == "smtp; 550 5.7.1 the customer has moved" and status["Status"] == "5.7.1"
    assert b"Subject: Undelivered mail returned to sender" in sent.content

"""What inbound takes, refuses and stores. RFC 5321; R70 to R76."""

import asyncio
import re
from dataclasses import replace

import pytest

from services.inbound.policy import HARD_ERRORS, MAX_RECIPIENTS
from services.inbound.server import InboundConnection, factory
from tests.counting import Growth, grows
from tests.services.inbound.conftest import MAX_MESSAGE, Inbound, Peer
from tests.waiting import lasts, until


async def test_a_message_is_stored_as_it_came(inbound: Inbound) -> None:
    """R70: at 250 it lies in the database, with our Received in front (R71)."""
    peer = await Peer.connect(inbound)
    reply = await peer.send(
        b"Subject: x\r\n\r\n..dot\r\n\xff\0\r\n", "u@demo.example", "V@DEMO.example", "u@demo.example"
    )
    assert re.fullmatch(rb"250 2\.0\.0 OK queued as [0-9a-f]{32}\r\n", reply)
    [(reverse_path, forward_paths, content)] = await inbound.stored()
    assert reverse_path == "a@remote.example"
    assert forward_paths == ["u@demo.example", "V@demo.example"]  # the same one twice is taken once
    received, _, rest = content.partition(b"Subject: x")
    assert rest == b"\r\n\r\n.dot\r\n\xff\0\r\n"
    assert re.fullmatch(
        rb"Received: from remote\.example \(\[127\.0\.0\.1\]\)\r\n\tby mx\.provider\.example with ESMTP id [0-9a-f]{32};\r\n\t[A-Z][a-z]{2}, .* \+0000\r\n",
        received,
    )
    assert len(inbound.bus.published) == 1 and inbound.bus.published[0].startswith("mail.queued.")
    row = await inbound.pool.fetchrow("SELECT size, sha256, has_eight_bit FROM messages")
    assert row is not None and row["size"] == len(content) and row["has_eight_bit"]


async def test_one_message_for_two_customers_wakes_both(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.send(b"x\r\n", "u@demo.example", "v@other.example")
    assert len(set(inbound.bus.published)) == 2
    assert await inbound.pool.fetchval("SELECT count(DISTINCT customer_id) FROM recipients") == 2


async def test_the_null_reverse_path(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.envelope(reverse_path="")
    peer.writer.write(b"x\r\n.\r\n")
    assert (await peer.reply()).startswith(b"250 ")
    assert [stored[0] for stored in await inbound.stored()] == [""]


@pytest.mark.parametrize(
    "path",
    [
        "u@elsewhere.example", "u@sub.demo.example", "u@example", "u@[127.0.0.1]", "u%demo.example@elsewhere.example",
        '"u@demo.example"@elsewhere.example', "@demo.example:u@elsewhere.example", "u@demo.example.elsewhere.example",
    ],
)  # fmt: skip
async def test_r74_no_relay(inbound: Inbound, path: str) -> None:
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example>")
    assert (await peer.say(f"RCPT TO:<{path}>".encode())).startswith(b"550 5.7.1 ")
    assert (await peer.say(b"DATA")).startswith(b"503 ")


async def test_r74_an_unknown_recipient_is_refused_where_the_domain_has_a_list(inbound: Inbound) -> None:
    """R75: postmaster is known whatever the list says. Another domain without a list takes everybody."""
    await inbound.pool.execute("UPDATE domains SET unknown_recipients = 'reject' WHERE name = 'demo.example'")
    await inbound.pool.execute(
        "INSERT INTO domain_recipients SELECT id, 'known' FROM domains WHERE name = 'demo.example'"
    )
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example>")
    assert (await peer.say(b"RCPT TO:<stranger@demo.example>")).startswith(b"550 5.1.1 ")
    for path in (b"known@demo.example", b"KNOWN@Demo.Example", b"PostMaster@demo.example", b"stranger@other.example"):
        assert (await peer.say(b"RCPT TO:<" + path + b">")).startswith(b"250 "), path


async def test_r75_the_bare_postmaster_is_who_the_operator_says(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.send(b"x\r\n", "Postmaster")).startswith(b"250 ")
    assert (await inbound.stored())[0][1] == ["boss@demo.example"]


async def test_the_bare_postmaster_is_refused_where_the_operator_says_nobody(inbound: Inbound) -> None:
    parts = replace(inbound.parts, postmaster=None)
    server = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    peer = await Peer.connect(replace(inbound, port=server.sockets[0].getsockname()[1]))
    await peer.say(b"MAIL FROM:<a@remote.example>")
    assert (await peer.say(b"RCPT TO:<Postmaster>")).startswith(b"550 5.1.1 ")
    server.close()


async def test_r75_postmaster_of_a_hosted_domain(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.send(b"x\r\n", "postmaster@demo.example")).startswith(b"250 ")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"MAIL FROM:<a\0@remote.example>", b"500"), (b"MAIL FROM:<a@remote.example\r>", b"500"), (b"MAIL FROM:a@remote.example", b"501"),
        (b"MAIL FROM:<a@remote.example> SIZE=99999999999", b"552"), (b"MAIL FROM:<a@remote.example> SIZE=x", b"501"),
        (b"MAIL FROM:<a@remote.example> BODY=BINARYMIME", b"501"), (b"MAIL FROM:<a@remote.example> SMTPUTF8=1", b"501"),
        (b"MAIL FROM:<a@remote.example> AUTH=x", b"555"), (b"MAIL FROM:<a@remote.example> RET=ALL", b"501"), (b"MAIL FROM:<a@remote.example> ENVID=a=b", b"501"),
        (b"MAIL FROM:<a@remote.example> BODY=8BITMIME SIZE=100", b"250"), ("MAIL FROM:<ä@remote.example>".encode(), b"553"),
        (b"MAIL FROM:<\xff@remote.example> SMTPUTF8", b"500"), ("MAIL FROM:<a\u2028b@remote.example> SMTPUTF8".encode(), b"500"),
        ("MAIL FROM:<a\u202eb@remote.example> SMTPUTF8".encode(), b"500"), ("VRFY ä".encode(), b"500"),
        (b"MAIL FROM:<" + b"x" * 400 + b"@remote.example>", b"501"), (b"RCPT TO:<u@demo.example>", b"503"), (b"DATA", b"503"),
        (b"BDAT 10 LAST", b"502"), (b"AUTH PLAIN", b"502"), (b"STARTTLS", b"502"), (b"EXPN all", b"502"), (b"HELP", b"502"),
        (b"VRFY u", b"252"), (b"NOOP x", b"250"), (b"FOO", b"500"), (b"", b"500"), (b"x" * 3_000, b"500"), (b"EHLO", b"501"),
    ],
)  # fmt: skip
async def test_commands(inbound: Inbound, command: bytes, code: bytes) -> None:
    """RELIABILITY T8, A5, A10: no odd address reaches the database, and no line too long ends the session."""
    peer = await Peer.connect(inbound)
    assert (await peer.say(command)).startswith(code + b" ")
    assert (await peer.say(b"RSET")).startswith(b"250 ")
    assert (await peer.send(b"x\r\n")).startswith(b"250 ")
    assert len(await inbound.stored()) == 1


async def test_order_of_commands(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound, hello=b"")
    assert (await peer.say(b"MAIL FROM:<a@remote.example>")).startswith(b"503 5.5.1 Send EHLO first")
    assert (await peer.say(b"HELO remote.example")) == b"250 mx.provider.example\r\n"
    assert (await peer.say(b"MAIL FROM:<a@remote.example>")).startswith(b"250 ")
    assert (await peer.say(b"MAIL FROM:<b@remote.example>")).startswith(b"503 ")
    assert (await peer.say(b"DATA")).startswith(b"503 ")
    assert (await peer.say(b"RCPT TO:<u@demo.example> FOO=NEVER")).startswith(b"555 ")
    assert (await peer.say(b"QUIT")) == b"221 2.0.0 Bye\r\n"
    assert await peer.reply() == b""


async def test_r76_recipients_beyond_the_limit_are_for_later(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.say(b"MAIL FROM:<a@remote.example>")
    peer.writer.write(b"".join(b"RCPT TO:<u%d@demo.example>\r\n" % i for i in range(MAX_RECIPIENTS + 50)))
    replies = [await peer.reply() for _ in range(MAX_RECIPIENTS + 50)]
    assert all(reply.startswith(b"250 ") for reply in replies[:MAX_RECIPIENTS])
    assert all(reply.startswith(b"452 4.5.3 ") for reply in replies[MAX_RECIPIENTS:])
    assert (await peer.say(b"DATA")).startswith(b"354 ")
    assert (await peer.say(b"x\r\n.")).startswith(b"250 ")
    assert await inbound.pool.fetchval("SELECT count(*) FROM recipients") == MAX_RECIPIENTS


async def test_large_content_never_lies_in_memory_whole_and_comes_out_the_same(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    content = b"".join(b"%07d" % i * 10 + b"\r\n" for i in range(40_000))
    assert (await peer.send(content)).startswith(b"250 ")
    [(_, _, stored)] = await inbound.stored()
    assert stored.endswith(content) and stored.startswith(b"Received: ")
    assert await inbound.pool.fetchval("SELECT count(*) > 5 FROM content")
    assert await inbound.pool.fetchval(
        "SELECT bool_and(bytes LIKE '%\\015\\012'::bytea) FROM content"
    )  # chunks end at a line end


async def test_too_big_is_refused_at_the_end_and_leaves_nothing(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.send(b"x" * 1_000 + b"\r\n" + b"y" * MAX_MESSAGE + b"\r\n")).startswith(b"552 5.3.4 ")
    assert (await peer.send(b"small\r\n")).startswith(b"250 ")
    assert len(await inbound.stored()) == 1
    assert await inbound.pool.fetchval("SELECT count(*) FROM uploads") == 0
    assert await inbound.pool.fetchval("SELECT count(*) FROM content") == 1


async def test_r72_a_loop_is_stopped(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.send(b"Received: from x\r\n" * 101 + b"\r\nbody\r\n")).startswith(b"554 5.4.6 ")
    assert (await peer.send(b"Received: from x\r\n" * 99 + b"\r\nReceived: in the body\r\n" * 50)).startswith(b"250 ")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"one\r\ntwo\r\n", b"250 2.0.0 "), (b"one\ntwo\r\n", b"550 5.5.2 "), (b"one\rtwo\r\n", b"550 5.5.2 "),
     (b"x" * 100_000 + b"\r\n" + b"y\n\r\n", b"550 5.5.2 ")],
)  # fmt: skip
async def test_r73_an_operator_may_refuse_bare_line_ends(inbound: Inbound, content: bytes, code: bytes) -> None:
    parts = replace(inbound.parts, takes_bare_line_ends=False)
    server = await asyncio.get_running_loop().create_server(factory(parts), "127.0.0.1", 0)
    peer = await Peer.connect(replace(inbound, port=server.sockets[0].getsockname()[1]))
    assert (await peer.send(content)).startswith(code)
    assert (await peer.send(b"The next one.\r\n")).startswith(b"250 ")
    assert len(await inbound.stored()) == 1 + (code[:1] == b"2")
    server.close()


async def test_a_header_section_without_end_is_refused(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    assert (await peer.send(b"X-Long: " + b"x" * 200_000 + b"\r\n\r\nbody\r\n")).startswith(b"554 5.6.0 ")
    assert (await peer.send(b"Subject: x\r\n\r\n" + b"no line end " * 20_000 + b"\r\n")).startswith(b"250 ")


async def test_a_cut_in_content_leaves_nothing(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    await peer.envelope()
    peer.writer.write(b"Subject: x\r\n\r\n" + b"x" * 70 * 1_024 * 10 + b"\r\n")
    await peer.writer.drain()
    peer.close()
    await inbound.parts.connections.ended(10)
    assert await inbound.stored() == []
    assert await inbound.pool.fetchval("SELECT count(*) FROM content") == 0


async def test_errors_end_in_421(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    for _ in range(10):
        assert (await peer.say(b"FOO")).startswith(b"500 ")
    peer.writer.write(b"FOO\r\n" * (HARD_ERRORS - 9))
    replies = []
    while reply := await peer.reply():
        replies.append(reply)
        if len(replies) == 2:  # beyond the tenth each is held back a second: what we need is seen
            break
    assert all(reply.startswith(b"500 ") for reply in replies)


async def test_who_says_nothing_hears_421_and_who_speaks_in_time_does_not(inbound: Inbound) -> None:
    class Hasty(InboundConnection):
        idle_time = 3.0

    server = await asyncio.get_running_loop().create_server(lambda: Hasty(inbound.parts), "127.0.0.1", 0)
    peer = await Peer.connect(replace(inbound, port=server.sockets[0].getsockname()[1]))
    for _ in range(2):
        await lasts(1.6)
        assert (await peer.say(b"NOOP")).startswith(b"250 ")
    assert (await peer.send(b"x\r\n")).startswith(b"250 ")
    began = asyncio.get_running_loop().time()
    assert (await peer.reply()).startswith(b"421 4.4.2 ") and await peer.reply() == b""
    assert asyncio.get_running_loop().time() - began > 1.5
    server.close()


async def test_noop_flood_ends_in_421(inbound: Inbound) -> None:
    peer = await Peer.connect(inbound)
    peer.writer.write(b"NOOP\r\n" * 150)
    replies = []
    while reply := await peer.reply():
        replies.append(reply)
    assert replies[-1].startswith(b"421 4.7.0 ") and len(replies) == 100


async def test_shutting_down(inbound: Inbound) -> None:
    """K10: 421 to who is idle; a transaction comes to its reply."""
    idle, busy = await Peer.connect(inbound), await Peer.connect(inbound)
    await busy.envelope()
    busy.writer.write(b"Subject: x\r\n")
    await busy.writer.drain()
    inbound.parts.connections.shut_down()
    assert (await idle.reply()).startswith(b"421 4.3.2 ")
    assert await idle.reply() == b""
    busy.writer.write(b"\r\nbody\r\n.\r\n")
    assert (await busy.reply()).startswith(b"250 ")
    assert (await busy.reply()).startswith(b"421 4.3.2 ")
    assert len(await inbound.stored()) == 1


async def test_what_is_counted(inbound: Inbound) -> None:
    with (
        grows(1, "odmr_inbound_connections_total"),
        grows(1, "odmr_inbound_messages_total", result="accepted"),
        grows(1, "odmr_inbound_messages_total", result="rejected"),
        grows(1, "odmr_inbound_message_bytes_count"),
        grows(2, "odmr_inbound_store_duration_seconds_count"),
    ):
        peer = await Peer.connect(inbound)
        active, refusals = (
            Growth("odmr_inbound_connections_active"),
            Growth("odmr_inbound_replies_total", code_class="5xx"),
        )
        assert (await peer.send(b"x\r\n")).startswith(b"250 ")
        assert (await peer.send(b"Received: x\r\n" * 101 + b"\r\n")).startswith(b"554 ")
        assert refusals.value == 1
        peer.writer.close()

        async def is_gone() -> bool:
            return active.value == -1

        await until(is_gone, 10)

"""Accept: durable, together, and each on its own when one is bad. R70."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain.names import MessageId
from shared.storage.accept import Acceptor, NotAccepted
from shared.storage.engine import Pool, UnsafeDatabase, create_pool
from shared.storage.spool import Spool
from shared.storage.uploads import UploadExpired, Uploads
from tests.storage.seeding import CLOCK, seed


async def test_many_at_once_are_all_there(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    messages = [customer.message(f"{i}\r\n".encode(), recipients=1 + i % 3) for i in range(300)]
    await asyncio.gather(*(acceptor.accept(message) for message in messages))
    await acceptor.close()
    assert await pool.fetchval("SELECT count(*) FROM messages") == 300
    assert await pool.fetchval("SELECT count(*) FROM recipients WHERE state = 'queued'") == sum(
        len(m.recipients) for m in messages
    )
    assert await pool.fetchval("SELECT sum(amount) FROM usage WHERE meter = 'messages_received'") == sum(
        len(m.recipients) for m in messages
    )
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'message.received'") == sum(
        len(m.recipients) for m in messages
    )
    contents = {row["message_id"]: row["bytes"] for row in await pool.fetch("SELECT message_id, bytes FROM content")}
    assert contents == {message.id: message.content for message in messages}


async def test_one_bad_message_does_not_take_others_with_it(database_url: str, pool: Pool) -> None:
    """A data error in a group commit retries each alone."""
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    good = [customer.message() for _ in range(5)]
    bad = replace(customer.message(), reverse_path="a\0b@remote.example")  # PostgreSQL's text has no NUL
    waiting = [asyncio.create_task(acceptor.accept(message)) for message in [*good[:2], bad, *good[2:]]]
    await asyncio.sleep(0)  # all of them wait before the first writer looks: one batch
    acceptor.start()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await acceptor.close()
    assert [type(result) for result in results] == [type(None)] * 2 + [NotAccepted] + [type(None)] * 3
    assert await pool.fetchval("SELECT count(*) FROM messages") == 5


async def test_a_row_that_is_there_already_was_accepted(database_url: str, pool: Pool) -> None:
    """After a lost COMMIT the same rows are written again, and the id tells."""
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    message = customer.message()
    await acceptor.accept(message)
    await acceptor.accept(message)
    await acceptor.close()
    assert await pool.fetchval("SELECT count(*) FROM recipients") == 1


async def test_who_hangs_up_does_not_take_the_commit_with_it(database_url: str, pool: Pool) -> None:
    """RELIABILITY A8: 173 of 295 cancelled commits had in fact happened; here they all do, and the writer goes on."""
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    tasks = [asyncio.create_task(acceptor.accept(customer.message())) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await acceptor.accept(customer.message())
    await acceptor.close()
    assert await pool.fetchval("SELECT count(*) FROM messages") == 21


async def test_what_is_under_way_at_the_end_is_stored(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    accepting = [asyncio.create_task(acceptor.accept(customer.message())) for _ in range(20)]
    await asyncio.sleep(0)
    await acceptor.close()
    await asyncio.gather(*accepting)
    assert await pool.fetchval("SELECT count(*) FROM messages") == 20


async def test_large_content_comes_in_chunks_and_goes_out_in_order(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    uploads, acceptor = Uploads(pool), Acceptor(pool)
    acceptor.start()
    message = replace(customer.message(None), size=9)
    for seq, chunk in enumerate((b"a\r\n", b"b\r\n", b"c\r\n")):
        await uploads.add(message.id, seq, chunk)
    await acceptor.accept(message)
    await acceptor.close()
    assert [chunk async for chunk in Spool(pool).content(message.id, 9)] == [b"a\r\n", b"b\r\n", b"c\r\n"]
    assert await pool.fetchval("SELECT count(*) FROM uploads") == 0


async def test_an_upload_that_has_expired_is_not_accepted(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    uploads, acceptor = Uploads(pool), Acceptor(pool)
    acceptor.start()
    message = customer.message(None)
    await uploads.add(message.id, 0, b"a\r\n")
    await pool.execute("UPDATE uploads SET expires_at = now() - interval '1 second'")
    with pytest.raises(NotAccepted):
        await acceptor.accept(message)
    with pytest.raises(UploadExpired):
        await uploads.add(message.id, 1, b"b\r\n")
    with pytest.raises(NotAccepted):
        await acceptor.accept(replace(message, id=MessageId(CLOCK.new_id())))  # one that never began
    await acceptor.close()
    assert await pool.fetchval("SELECT count(*) FROM messages") == 0


@pytest.mark.fresh_database
async def test_a_database_that_may_lose_a_commit_is_refused(database_url: str, pool: Pool) -> None:
    name = database_url.rpartition("/")[2]
    await pool.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(UnsafeDatabase, match="synchronous_commit = off"):
        await create_pool(database_url)


async def test_content_that_is_gone_is_an_error_and_not_an_end(database_url: str, pool: Pool) -> None:
    customer = await seed(database_url)
    acceptor = Acceptor(pool)
    acceptor.start()
    message = customer.message()
    await acceptor.accept(message)
    await acceptor.close()
    await pool.execute("DELETE FROM content")
    with pytest.raises(Exception, match="lacks chunk 0"):
        async for _ in Spool(pool).content(message.id, message.size):
            pass

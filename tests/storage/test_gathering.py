"""Questions that are asked together."""

import asyncio
from collections.abc import Sequence
from functools import partial

import asyncpg

from shared.storage.gathering import AT_ONCE, Gathered
from tests.waiting import until


class Database:
    """Answers with the double, once it is let; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []
        self.may_answer = asyncio.Event()

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(numbers)
        await self.may_answer.wait()
        if 13 in numbers:
            raise asyncpg.DataError("thirteen")
        if 14 in numbers:
            raise OSError("gone")
        return [2 * number for number in numbers]


async def _busy(gathered: Gathered[int, int], database: Database) -> list["asyncio.Task[int]"]:
    """As many statements as may be are on their way, one question each: 0, 1, and so on."""
    running = []
    for number in range(AT_ONCE):
        running.append(asyncio.create_task(gathered.answer(number)))
        await until(partial(_has_asked, database, number + 1), 5)
    return running


async def _has_asked(database: Database, times: int) -> bool:
    return len(database.asked) == times


async def test_what_comes_while_statements_are_on_their_way_is_asked_together_and_in_order() -> None:
    database = Database()
    gathered = Gathered(database.double, most=5)
    running = await _busy(gathered, database)
    later = [asyncio.create_task(gathered.answer(number)) for number in range(20, 27)]
    await asyncio.sleep(0)
    database.may_answer.set()
    assert await asyncio.gather(*running, *later) == [2 * number for number in (*range(AT_ONCE), *range(20, 27))]
    assert sorted(map(len, database.asked[AT_ONCE:])) == [2, 5]


async def test_one_that_the_database_cannot_read_fails_alone() -> None:
    database = Database()
    database.may_answer.set()
    gathered = Gathered(database.double, most=10)
    answers = await asyncio.gather(*(gathered.answer(number) for number in (1, 13, 2)), return_exceptions=True)
    assert answers[0] == 2 and isinstance(answers[1], asyncpg.DataError) and answers[2] == 4


async def test_a_database_that_is_gone_fails_all_and_the_next_are_asked() -> None:
    database = Database()
    database.may_answer.set()
    gathered = Gathered(database.double, most=10)
    answers = await asyncio.gather(*(gathered.answer(number) for number in (1, 14)), return_exceptions=True)
    assert all(isinstance(answer, OSError) for answer in answers)
    assert await gathered.answer(4) == 8


async def test_who_does_not_wait_for_it_is_not_asked_for() -> None:
    database = Database()
    gathered = Gathered(database.double, most=10)
    running = await _busy(gathered, database)
    gone, stays = (asyncio.create_task(gathered.answer(number)) for number in (7, 8))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    database.may_answer.set()
    assert await stays == 16 and await asyncio.gather(*running) == [2 * number for number in range(AT_ONCE)]
    assert 7 not in [number for numbers in database.asked for number in numbers]

"""Questions that come while one is on its way are asked together: one statement answers all, however many ask."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import asyncpg

from shared.storage.engine import STATEMENT_TIMEOUT

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

#: Statements on their way at a time: one that hangs does not keep the next questions waiting.
AT_ONCE: Final = 2


class Gathered(Generic[Asked, Answer]):
    """`ask` gives an answer for each question, in their order."""

    def __init__(
        self, ask: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]], *, most: int, wait: float = 0.0
    ) -> None:
        """`most` questions in a statement; `wait` seconds in which they gather, where a little delay is nobody's loss."""
        self._ask = ask
        self._most = most
        self._wait = wait
        self._asked: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, question: Asked) -> Answer:
        """Raises what the database says, and TimeoutError when it says nothing in STATEMENT_TIMEOUT."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((question, answer))
        if len(self._running) < AT_ONCE:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        async with asyncio.timeout(STATEMENT_TIMEOUT):
            return await answer

    async def _run(self) -> None:
        while self._asked:
            if self._wait:
                await asyncio.sleep(self._wait)
            batch, self._asked = self._asked[: self._most], self._asked[self._most :]
            await self._together(batch)

    async def _together(self, batch: list[tuple[Asked, "asyncio.Future[Answer]"]]) -> None:
        batch = [(question, answer) for question, answer in batch if not answer.done()]
        if not batch:
            return
        try:
            answers = await self._ask([question for question, _ in batch])
        except Exception as error:
            if isinstance(error, asyncpg.DataError) and len(batch) > 1:  # one of them; the others have their answer
                for one in batch:
                    await self._together([one])
                return
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), said in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(said)

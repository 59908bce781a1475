"""Every dialogue against the machines in memory."""

import pytest

from tests.protocol.dialogue import Dialogue, parameters, run_dialogue
from tests.protocol.memory_provider import MemoryLine, MemoryProvider


@pytest.mark.parametrize("dialogue", parameters())
async def test_dialogue_in_memory(dialogue: Dialogue) -> None:
    await run_dialogue(dialogue, MemoryLine(MemoryProvider(dialogue.mail)))

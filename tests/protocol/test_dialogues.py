"""Every dialogue against the machines in memory."""

import pytest

from tests.protocol.dialogue import Dialogue, all_dialogues, run_dialogue
from tests.protocol.memory_provider import MemoryLine, MemoryProvider


@pytest.mark.parametrize("dialogue", all_dialogues(), ids=lambda dialogue: dialogue.name)
async def test_dialogue_in_memory(dialogue: Dialogue) -> None:
    await run_dialogue(dialogue, MemoryLine(MemoryProvider(dialogue.mail)))

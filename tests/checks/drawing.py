"""Draws docs/states.md's picture of a session from the tables. `python -m tests.checks.drawing` writes it."""

from localserve.provider import HERE
from shared.protocol.states import ANSWERS, COMMANDS


def session_diagram() -> str:
    """A mermaid state diagram; an edge is a verb of the customer's or an answer of ours."""
    edges: dict[tuple[str, str], list[str]] = {}
    for state, moves in COMMANDS.items():
        for verb, leads_to in moves.items():
            edges.setdefault((state.value, leads_to.value), []).append(verb)
    for state, answers in ANSWERS.items():
        for kind, leads_to in answers.items():
            edges.setdefault((state.value, leads_to.value), []).append(kind.__name__)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> connected", "    challenged --> verifying: response"]
    lines.append("    securing --> connected: handshake done")
    lines += [f"    {a} --> {b}: {', '.join(words)}" for (a, b), words in edges.items()]
    return "\n".join([*lines, "    turned --> [*]", "    closed --> [*]", "```"])


if __name__ == "__main__":
    path = HERE / "docs" / "states.md"
    text = path.read_text()
    start, end = text.index("```mermaid"), text.index("```\n", text.index("```mermaid") + 3) + 3
    path.write_text(text[:start] + session_diagram() + text[end:])

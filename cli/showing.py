"""What an answer of the API looks like: for a program as JSON, for a person as a table."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def show(answer: Mapping[str, Any], as_json: bool) -> None:
    """Prints it. A list is a table with a row each; where it goes on is said below."""
    if as_json:
        print(json.dumps(answer, indent=1))
        return
    from rich.console import Console

    console = Console()
    rows = answer.get("data")
    if not isinstance(rows, list):
        _details(console, answer)
        return
    from rich.table import Table

    table = Table()
    for name in rows[0] if rows else ("(none)",):
        table.add_column(name)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)
    if answer.get("has_more"):
        console.print(f"There are more: --cursor {answer['next_cursor']}", markup=False)


def _details(console: Any, answer: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False)
    nested = {name: value for name, value in answer.items() if _is_rows(value)}
    for name, value in answer.items():
        if name not in nested:
            table.add_row(name, _cell(value))
    console.print(table)
    for name, rows in nested.items():
        below = Table(title=name, title_justify="left")
        for column in rows[0]:
            below.add_column(column)
        for row in rows:
            below.add_row(*(_cell(value) for value in row.values()))
        console.print(below)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    if _is_rows(value):
        return "\n".join(" ".join(_cell(one) for one in row.values() if one not in (None, "", False)) for row in value)
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)

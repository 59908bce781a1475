"""The HTTP API as the commands need it. Where it is and the key come from ODMR_API_URL and ODMR_API_KEY."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from client import Client, Page, Problem, Request, Unreachable
from client.request import UNSET, Unset
from shared.config import environment

T = TypeVar("T")

#: Exit codes: the API said no; the words are wrong (cyclopts' own). Those of sysexits.h: a file cannot be read; the API
#: cannot be reached or is not told.
EX_REFUSED = 1
EX_USAGE = 2
EX_NOINPUT = 66
EX_UNAVAILABLE = 69


def ask(request: Request[T]) -> T:
    """The answer, as the client reads it, or one sentence and exit."""
    known = environment()
    url, key = known.get("ODMR_API_URL", "http://127.0.0.1:8025"), known.get("ODMR_API_KEY", "")
    if known.get("ODMR_API_KEY_FILE"):
        key = read_file(Path(known["ODMR_API_KEY_FILE"])).strip()
    if not key:
        _exit(
            "ODMR_API_KEY is not set; `set -a; . .local/demo.env` sets it for the provider of `make run`",
            EX_UNAVAILABLE,
        )
    try:
        with Client(url, key) as client:
            return client(request)
    except (Unreachable, ValueError) as error:
        _exit(f"The API at {url} does not answer: {error}", EX_UNAVAILABLE)
    except Problem as problem:
        _exit(str(problem), EX_REFUSED)


def rows(request: Request[Page[T]]) -> Iterator[T]:
    """Every row of a list, page after page."""
    while True:
        page = ask(request)
        yield from page["data"]
        if not page["has_more"]:
            return
        request = request.after(page["next_cursor"])


def said(value: T | None) -> T | Unset:
    """What an option was given, or nothing of it in the request."""
    return UNSET if value is None else value


def or_none(value: int | None) -> int | None | Unset:
    """The same for a limit, of which 0 takes it away."""
    return UNSET if value is None else value or None


def read_file(path: Path) -> str:
    """The text of a file, or one sentence and exit."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        _exit(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}", EX_NOINPUT)


def _exit(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(code)

"""The HTTP API as the commands need it. Where it is and the key come from ODMR_API_URL and ODMR_API_KEY."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode

from client import Client, Page, Problem, Request, Unreachable
from shared.config import environment

T = TypeVar("T")

#: Exit codes: the API said no; the words are wrong (cyclopts' own). Those of sysexits.h: a file cannot be read; the API
#: cannot be reached or is not told.
EX_REFUSED = 1
EX_USAGE = 2
EX_NOINPUT = 66
EX_UNAVAILABLE = 69


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request; gives the answer, or says in one sentence why there is none and exits."""
    request: Request[bytes] = Request(method, path, body, answer="bytes")
    return dict(json.loads(ask(request) or b"{}"))


def write_out(path: str) -> None:
    """Puts what is at the path on standard output, octet by octet."""
    request: Request[bytes] = Request("GET", path, answer="bytes")
    sys.stdout.buffer.write(ask(request))
    sys.stdout.buffer.flush()


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


def path_of(*parts: str, **query: Any) -> str:
    """A path whose parts may hold anything, and a query of what is set."""
    known = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    asked = urlencode({name: value for name, value in known.items() if value is not None})
    return "/v1/" + "/".join(quote(part, safe=":@") for part in parts) + (f"?{asked}" if asked else "")


def given(**values: Any) -> dict[str, Any]:
    """Those that were said."""
    return {name: value for name, value in values.items() if value is not None}


def read_file(path: Path) -> str:
    """The text of a file, or one sentence and exit."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        _exit(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}", EX_NOINPUT)


def _exit(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(code)

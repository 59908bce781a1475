"""What to ask, and what an answer means: nothing here opens a connection."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar, cast
from urllib.parse import parse_qsl, quote, urlencode

import httpx2

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: Seconds for an answer, unless the caller says otherwise: the API's own statements take five at most.
TIMEOUT: Final = 30.0
#: How often a request is sent in all, and the longest wait between two, in seconds.
ATTEMPTS: Final = 4
LONGEST_WAIT: Final = 30.0
#: What may do better the next time: a limit, a fault of ours, the same request still being done.
_AGAIN: Final = frozenset({"rate_limited", "unavailable", "idempotency_in_progress"})
#: GET and PUT by what they are, POST by its Idempotency-Key.
_REPEATABLE: Final = frozenset({"GET", "PUT", "POST"})


class Unset(Enum):
    """What was not said; None is a value of its own."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Page(TypedDict, Generic[T]):
    """One page of a list; `next_cursor` asks for the next one."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class Unreachable(Exception):
    """No answer came: nobody knows whether it was done. A POST may be repeated by whoever keeps its Idempotency-Key."""


class Problem(Exception):
    """The API says no. `code` is stable (docs/api.md); `errors` says which field, `request_id` what to tell the operator."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", f"http_{status}"))
        self.detail = str(body.get("detail", ""))
        self.request_id = str(body.get("request_id", ""))
        self.errors: list[dict[str, str]] = list(body.get("errors", []))
        wrong = "".join(f"; {one['pointer']}: {one['detail']}" for one in self.errors)
        super().__init__(f"{self.detail or 'the server says no'}{wrong} ({self.code})")


@dataclass(frozen=True, slots=True)
class Request(Generic[T_co]):
    """One operation with its arguments. A POST has an Idempotency-Key of its own, so that it may be sent again."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Literal["json", "bytes", "nothing"] = "json"

    def after(self, cursor: str | None) -> "Request[T_co]":
        """The same for the next page."""
        path, _, query = self.path.partition("?")
        kept = [(name, value) for name, value in parse_qsl(query) if name != "cursor"]
        return replace(self, path=f"{path}?{urlencode([*kept, ('cursor', cursor or '')])}")

    def to_headers(self) -> dict[str, str]:
        """Its own, and for a POST a key, new each time."""
        if self.method == "POST" and "Idempotency-Key" not in self.headers:
            return {**self.headers, "Idempotency-Key": secrets.token_hex(16)}
        return dict(self.headers)

    def read(self, response: httpx2.Response) -> T_co:
        """What the answer says. Raises Problem."""
        if not response.is_success:
            try:
                body = response.json()
            except ValueError:
                body = {}
            raise Problem(response.status_code, body if isinstance(body, dict) else {})
        if self.answer == "nothing":
            return cast(T_co, None)
        return cast(T_co, response.content if self.answer == "bytes" else response.json())


def request(
    method: str,
    path: str,
    *parts: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str | None] | None = None,
    answer: Literal["json", "bytes", "nothing"] = "json",
) -> Request[Any]:
    """A request. `{}` in the path stand for `parts`, which may hold anything; of the rest what is UNSET or None is left out
    (of a body only what is UNSET)."""
    for part in parts:
        path = path.replace("{}", quote(part, safe=":@"), 1)
    asked = [(name, _text(one)) for name, value in (query or {}).items() for one in _many(value)]
    said = {name: value for name, value in body.items() if value is not UNSET} if body is not None else None
    told = {name: value for name, value in (headers or {}).items() if value is not None}
    return Request(method, path + (f"?{urlencode(asked)}" if asked else ""), said, told, answer)


def wait_before_next(method: str, attempt: int, response: httpx2.Response | None) -> float | None:
    """Seconds until a request is sent again, after `attempt` times; None when what there is must do.

    PATCH and DELETE are sent again only when it is known that nothing was done: a second one would be told of the first.
    """
    if attempt >= ATTEMPTS:
        return None
    if response is None:
        return float(min(2**attempt / 4, LONGEST_WAIT)) if method in _REPEATABLE else None
    if response.is_success:
        return None
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):
        code = None
    if code not in _AGAIN or (code != "rate_limited" and method not in _REPEATABLE):
        return None
    told = response.headers.get("Retry-After", "")
    return min(float(told) if told.isdigit() else 1.0, LONGEST_WAIT)


def _many(value: Any) -> list[Any]:
    if value is None or value is UNSET:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)

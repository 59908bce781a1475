"""The HTTP API as the commands need it. Where it is and the key come from ODMR_API_URL and ODMR_API_KEY."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx2

from shared.config import environment

#: Exit codes: the API said no; the API cannot be reached or is not told.
EX_REFUSED = 1
EX_UNAVAILABLE = 69


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request; gives the answer, or says in one sentence why there is none and exits."""
    known = environment()
    url, key = known.get("ODMR_API_URL", "http://127.0.0.1:8025"), known.get("ODMR_API_KEY", "")
    if known.get("ODMR_API_KEY_FILE"):
        key = Path(known["ODMR_API_KEY_FILE"]).read_text().strip()
    if not key:
        _exit(
            "ODMR_API_KEY is not set; `set -a; . .local/demo.env` sets it for the provider of `make run`",
            EX_UNAVAILABLE,
        )
    try:
        answer = httpx2.request(
            method, f"{url}{path}", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )
        content: dict[str, Any] = answer.json()
    except (httpx2.HTTPError, json.JSONDecodeError) as error:
        _exit(f"The API at {url} does not answer: {error}", EX_UNAVAILABLE)
    if answer.is_error:
        _exit(f"{content.get('detail', answer.reason_phrase)} ({content.get('code', answer.status_code)})", EX_REFUSED)
    return content


def _exit(sentence: str, code: int) -> Any:
    print(sentence, file=sys.stderr)
    raise SystemExit(code)

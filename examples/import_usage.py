"""Carries usage to a meter that takes CloudEvents, as OpenMeter does at /api/v1/events; Lago's path and shape differ by a line.

Run it as often as you like: each hour that is final is an event whose id is always the same, so that a second import of it is
none. ODMR_API_URL, ODMR_API_KEY, METER_URL, METER_KEY; SINCE such as 2026-11-01T00:00:00Z.
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode


def fetch(path: str, **query: str) -> Any:
    """One answer of the API."""
    url = f"{os.environ.get('ODMR_API_URL', 'http://127.0.0.1:8025')}/v1/{path}?{urlencode(query)}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['ODMR_API_KEY']}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def batches(since: str) -> Iterator[list[dict[str, Any]]]:
    """Final hours, a page at a time."""
    query = {"since": since, "limit": "100"}
    while True:
        page = fetch("usage/events", **query)
        if page["data"]:
            yield page["data"]
        if not page["has_more"]:
            return
        query["cursor"] = page["next_cursor"]


def push(batch: list[dict[str, Any]]) -> None:
    """One batch to the meter. Raises urllib.error.URLError when it does not take it; run again then."""
    headers = {
        "Content-Type": "application/cloudevents-batch+json",
        "Authorization": f"Bearer {os.environ.get('METER_KEY', '')}",
    }
    request = urllib.request.Request(os.environ["METER_URL"], json.dumps(batch).encode(), headers, method="POST")
    urllib.request.urlopen(request, timeout=30).close()


def main() -> None:
    """All since SINCE."""
    count = 0
    for batch in batches(os.environ.get("SINCE", "2026-01-01T00:00:00Z")):
        push(batch)
        count += len(batch)
    print(f"{count} events")


if __name__ == "__main__":
    main()

"""/v1 only grows: what a client of the committed description relies on is there still. `make openapi` writes the description
down, and does not when something would break.

Request: a client sends what it knew; so no field or parameter may go, become needed, or take less. Answer: a client reads
what it knew; so no field may go, become another type, or be missing at times.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from services.api.app import create_app
from services.api.parts import Parts

DESCRIPTION = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
Spec = dict[str, Any]


def current() -> Spec:
    """The description of the code as it is."""
    app: FastAPI = create_app(object.__new__(Parts))
    return dict(app.openapi())


def breaks(old: Spec, new: Spec) -> Iterator[str]:
    """Each thing that a client of the old one would miss."""
    for path, verbs in old["paths"].items():
        for verb, operation in verbs.items():
            where = f"{verb.upper()} {path}"
            now = new["paths"].get(path, {}).get(verb)
            if now is None:
                yield f"{where} is gone"
                continue
            yield from _parameters(where, operation.get("parameters", []), now.get("parameters", []))
            sent = [_content(one.get("requestBody", {})) for one in (operation, now)]
            if sent[1] and not sent[0] and now["requestBody"].get("required"):
                yield f"{where} needs a body"
            elif sent[0]:
                yield from _schema(f"{where} body", sent[0], sent[1], old, new, is_request=True)
            for status, response in operation["responses"].items():
                if status not in now["responses"]:
                    yield f"{where} does not answer {status} any more"
                    continue
                was, is_now = (_content(one) for one in (response, now["responses"][status]))
                if was:
                    yield from _schema(f"{where} {status}", was, is_now, old, new, is_request=False)


def _parameters(where: str, old: list[Spec], new: list[Spec]) -> Iterator[str]:
    known = {(one["in"], one["name"]) for one in old}
    there = {(one["in"], one["name"]): one for one in new}
    for one in old:
        if (one["in"], one["name"]) not in there:
            yield f"{where}: the parameter {one['name']} is gone"
    for key, one in there.items():
        if one.get("required") and key not in known:
            yield f"{where}: the parameter {one['name']} is needed"


def _content(holder: Spec) -> Spec:
    return next((dict(one.get("schema", {})) for one in holder.get("content", {}).values()), {})


def _schema(where: str, old: Spec, new: Spec, old_spec: Spec, new_spec: Spec, *, is_request: bool) -> Iterator[str]:
    old, new = _resolved(old, old_spec), _resolved(new, new_spec)
    if not old:
        return
    if old.get("type") != new.get("type"):
        yield f"{where} was {old.get('type')} and is {new.get('type')}"
        return
    taken: list[str] = old.get("enum", [])
    fewer = set(taken) - set(new.get("enum", taken))
    if is_request and fewer:
        yield f"{where} does not take {', '.join(sorted(fewer))} any more"
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before.keys() - after.keys():
        yield f"{where}/{name} is gone"
    needed, was_needed = set(new.get("required", [])), set(old.get("required", []))
    if is_request and needed - was_needed:
        yield f"{where} needs {', '.join(sorted(needed - was_needed))}"
    if not is_request and was_needed - needed:
        yield f"{where} may lack {', '.join(sorted(was_needed - needed))}"
    for name in before.keys() & after.keys():
        yield from _schema(f"{where}/{name}", before[name], after[name], old_spec, new_spec, is_request=is_request)
    if "items" in old:
        yield from _schema(f"{where}[]", old["items"], new.get("items", {}), old_spec, new_spec, is_request=is_request)


def _resolved(schema: Spec, spec: Spec) -> Spec:
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def main() -> int:
    """Writes the description, unless it breaks a client of the committed one."""
    new = current()
    if DESCRIPTION.is_file():
        found = list(breaks(json.loads(DESCRIPTION.read_text()), new))
        if found:
            print("/v1 only grows; this would break its clients:\n  " + "\n  ".join(found), file=sys.stderr)
            return 1
    DESCRIPTION.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

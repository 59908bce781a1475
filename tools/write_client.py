"""Writes the operations of client/ from docs/openapi.json: a module a tag, with the types of its answers. `make openapi`."""

import json
import keyword
import re
import sys
from pathlib import Path
from textwrap import fill

ROOT = Path(__file__).parent.parent
SPEC = json.loads((ROOT / "docs" / "openapi.json").read_text())
SCHEMAS = SPEC["components"]["schemas"]
#: A stream is no request with an answer.
LEFT_OUT = frozenset({"stream_events"})
SIMPLE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def name_of(schema: str) -> str:
    """Page_PlanOutput_ is Page[Plan]."""
    page = re.fullmatch(r"Page_(\w+)_", schema)
    return f"Page[{name_of(page[1])}]" if page else schema.removesuffix("Output")


def type_of(schema: dict) -> str:
    """As Python writes it."""
    if "$ref" in schema:
        return name_of(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return f"Literal[{', '.join(json.dumps(one) for one in schema.get('enum', [schema.get('const')]))}]"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list[{type_of(schema['items'])}]"
    if schema.get("type") == "object":
        rest = schema.get("additionalProperties", {})
        return f"dict[str, {type_of(rest) if isinstance(rest, dict) and rest else 'Any'}]"
    return SIMPLE[schema["type"]]


def refs_of(part: object) -> list[str]:
    """Schemas that are named in it, and in those."""
    found = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(part))
    return [*found, *(deep for one in found for deep in refs_of(SCHEMAS[one]))]


def said(name: str) -> str:
    """A name for an argument."""
    name = name.lower().replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) or name in ("type", "from", "id") else name


def answer_of(operation: dict) -> tuple[dict, str, str]:
    """The schema of what comes, its type, and how it is read."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            [(kind, content)] = list(response.get("content", {}).items()) or [("", {})]
            if not kind:
                return {}, "None", "nothing"
            if "json" in kind:
                return content["schema"], type_of(content["schema"]), "json"
            return {}, "bytes", "bytes"
    raise AssertionError(operation["operationId"])


def doc(text: str, indent: str) -> str:
    """A docstring."""
    one = f'{indent}"""{" ".join(text.split())}"""'
    if len(one) <= 120:
        return one
    return (
        fill(
            f'"""{" ".join(text.split())}',
            120,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        + f'\n{indent}"""'
    )


def model(schema: str) -> str:
    """The type of an answer."""
    known = SCHEMAS[schema]
    fields = [f"    {name}: {type_of(one)}" for name, one in known["properties"].items()]
    return "\n".join(
        [f"class {name_of(schema)}(TypedDict):", doc(known.get("description", "One of them."), "    "), "", *fields]
    )


def function(path: str, verb: str, operation: dict) -> str:
    """One operation."""
    parameters = operation.get("parameters", [])
    in_path = [said(one["name"]) for one in parameters if one["in"] == "path"]
    order = [said(one) for one in re.findall(r"\{(\w+)\}", path)]
    assert sorted(order) == sorted(in_path), path
    asked = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
    heads = [one["name"] for one in parameters if one["in"] == "header"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    fields, needed = {}, set()
    if body is not None:
        found = next(one for one in (body, *body.get("anyOf", [])) if "$ref" in one)
        known = SCHEMAS[found["$ref"].rpartition("/")[2]]
        fields, needed = known["properties"], set(known.get("required", []))
    words = [f"{name}: str" for name in order]
    named = [f"{said(name)}: {type_of(one)}" for name, one in fields.items() if name in needed]
    named += [f"{said(name)}: {type_of(one)} | Unset = UNSET" for name, one in fields.items() if name not in needed]
    named += [
        f"{said(name)}: {type_of(one)}{'' if 'None' in type_of(one) else ' | None'} = None"
        for name, one in asked.items()
    ]
    named += [f"{said(name)}: str | None = None" for name in heads]
    assert len({word.partition(":")[0] for word in words + named}) == len(words) + len(named), path
    _, result, how = answer_of(operation)
    arguments = [f'"{verb.upper()}"', f'"{re.sub("{[^}]*}", "{}", path)}"', *order]
    if asked:
        arguments.append(f"query={{{', '.join(f'{json.dumps(name)}: {said(name)}' for name in asked)}}}")
    if body is not None:
        arguments.append(f"body={{{', '.join(f'{json.dumps(name)}: {said(name)}' for name in fields)}}}")
    if heads:
        arguments.append(f"headers={{{', '.join(f'{json.dumps(name)}: {said(name)}' for name in heads)}}}")
    if how != "json":
        arguments.append(f'answer="{how}"')
    signature = ", ".join([*words, *(["*", *named] if named else [])])
    return "\n".join([
        f"def {operation['operationId']}({signature}) -> Request[{result}]:",
        doc(operation["description"], "    "), f"    return request({', '.join(arguments)})",
    ])  # fmt: skip


def write(folder: Path) -> None:
    """All modules, in the order of the description: a type is in the first that needs it."""
    tags: dict[str, list[tuple[str, str, dict]]] = {}
    for path, verbs in SPEC["paths"].items():
        for verb, operation in verbs.items():
            if operation["operationId"] not in LEFT_OUT:
                tags.setdefault(operation["tags"][0].replace(" ", "_"), []).append((path, verb, operation))
    home: dict[str, str] = {}
    for tag, operations in tags.items():
        mine, functions = [], [function(*one) for one in operations]
        for _, _, operation in operations:
            for ref in reversed(refs_of(answer_of(operation)[0])):
                if not ref.startswith("Page_") and ref not in home:
                    home[ref] = tag
                    mine.append(ref)
        text = "\n\n\n".join([*(model(ref) for ref in mine), *functions])
        used = set(re.findall(r"\b[A-Z]\w+\b", text))
        request = sorted({"Page", "Request", "UNSET", "Unset"} & used)
        typing = sorted({"Any", "Literal", "TypedDict"} & used)
        foreign: dict[str, list[str]] = {}
        for ref, where in home.items():
            if where != tag and name_of(ref) in used:
                foreign.setdefault(where, []).append(name_of(ref))
        lines = [
            f'"""{tag.replace("_", " ").capitalize()} of the HTTP API: written by `make openapi`, not by hand."""',
            "",
        ]
        lines += [f"from typing import {', '.join(typing)}", ""] if typing else []
        lines += [f"from client.{where} import {', '.join(sorted(names))}" for where, names in sorted(foreign.items())]
        lines += [f"from client.request import {', '.join([*request, 'request'])}", "", "", text, ""]
        (folder / f"{tag}.py").write_text("\n".join(lines))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "client")

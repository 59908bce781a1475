"""Names in one form, ids both ways."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.names import BadName, domain_name, from_public_id, public_id, uuid7


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.ORG", "example.org"),
        (" example.org. ", "example.org"),
        ("müller.example", "xn--mller-kva.example"),
        ("XN--MLLER-KVA.example", "xn--mller-kva.example"),
    ],
)
def test_domain_names(text: str, name: str) -> None:
    assert domain_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "org",
        "a..example",
        "-a.example",
        "a_b.example",
        "*.example",
        "a b.example",
        "[127.0.0.1]",
        "\udc80.example",
        "a" * 64 + ".example",
        "\u2028.example",
    ],
)
def test_what_is_no_domain_name(text: str) -> None:
    with pytest.raises(BadName):
        domain_name(text)


@given(st.uuids())
def test_public_ids_come_back(value: UUID) -> None:
    text = public_id("cus", value)
    assert len(text) == 30 and from_public_id("cus", text) == value


@pytest.mark.parametrize(
    "text", ["", "cus_", "dom_" + "0" * 26, "cus_" + "z" * 26, "cus_" + "u" * 26, "cus_" + "0" * 25]
)
def test_what_is_no_public_id(text: str) -> None:
    with pytest.raises(BadName):
        from_public_id("cus", text)


@given(st.integers(0, 2**48 - 1), st.integers(0, 0xFFF), st.binary(min_size=8, max_size=8))
def test_uuid7_is_one_and_sorts_by_time(milliseconds: int, counter: int, randomness: bytes) -> None:
    value = uuid7(milliseconds, counter, randomness)
    assert value.version == 7 and value.variant == "specified in RFC 4122"
    assert value.int >> 80 == milliseconds
    if milliseconds:
        assert uuid7(milliseconds - 1, 0xFFF, b"\xff" * 8) < value
    if counter:
        assert uuid7(milliseconds, counter - 1, b"\xff" * 8) < value

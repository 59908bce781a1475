"""SASLprep: names and secrets in one form before they are compared. RFC 4013, which RFC 4954 4 and RFC 5802 2.2 ask for."""

import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

#: RFC 4013 2.3: what may not stand in a prepared string.
_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class BadString(ValueError):
    """It has a character that SASLprep forbids, or mixes directions as RFC 3454 6 forbids."""


def saslprep(text: str) -> str:
    """The text in the form in which it is compared. Raises BadString."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(is_bad(character) for character in prepared for is_bad in _PROHIBITED):
        raise BadString("a character that SASLprep forbids")
    if any(stringprep.in_table_d1(character) for character in prepared):  # RFC 3454 6
        ends_right = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends_right or any(stringprep.in_table_d2(character) for character in prepared):
            raise BadString("directions are mixed")
    return prepared

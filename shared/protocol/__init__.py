"""RFC 2645 and RFC 5321 as pure code: bytes in, events out; no I/O, no clock, no randomness. Standard library only."""

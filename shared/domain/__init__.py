"""Decisions about mail, customers and time. Pure: no I/O, no clock, no randomness."""

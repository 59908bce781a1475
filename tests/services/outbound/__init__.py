"""Tests of outbound, on a real PostgreSQL and real servers on loopback."""

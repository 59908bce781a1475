"""localserve: the whole provider on a bare machine, with a real PostgreSQL and a real NATS from wheels."""

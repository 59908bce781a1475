"""api: the HTTP API. Shows, counts and manages; never holds a key that opens a secret."""

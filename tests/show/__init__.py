"""What each issue must show, line by line: `make show-N` runs the list and writes docs/shown.md. Not part of `make test`."""

"""Our side and its peers at the same work, side by side: `make bench`. Not part of `make test`."""

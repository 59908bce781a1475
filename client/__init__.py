"""A client of the provider's HTTP API, typed, for synchronous and for asynchronous programs.

    from client import Client, customers

    with Client("https://odmr.provider.example", key) as odmr:
        farm = odmr(customers.upsert_customer("ext:42", name="Farm", domains=["farm.example"], credential=True))

An operation is a function that says what to ask and asks nothing; a client asks it. `AsyncClient` is the same with `await`.
A module a noun, written from docs/openapi.json by `make openapi`; answers are dicts whose type says what is in them.
"""

from client.asynchronous import AsyncClient
from client.request import Page, Problem, Request, Unreachable
from client.synchronous import Client

__all__ = ["AsyncClient", "Client", "Page", "Problem", "Request", "Unreachable"]

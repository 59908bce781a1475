"""One shape for every error: RFC 9457 problem+json with a stable `code`. A fault of ours is 503 and says nothing of why."""

import re
import time
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics

log = structlog.get_logger()

#: code -> status and what it means, in one sentence.
CODES: Final[dict[str, tuple[HTTPStatus, str]]] = {
    "unauthorized": (HTTPStatus.UNAUTHORIZED, "Send a key as Authorization: Bearer odmr_..."),
    "scope_missing": (HTTPStatus.FORBIDDEN, "The key does not have the scope that this needs"),
    "not_found": (HTTPStatus.NOT_FOUND, "There is nothing by that id that this key may see"),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "This path does not take that method"),
    "conflict": (HTTPStatus.CONFLICT, "Something by that name is there already"),
    "validation_failed": (HTTPStatus.UNPROCESSABLE_ENTITY, "The request does not have the shape that this needs"),
    "precondition_failed": (HTTPStatus.PRECONDITION_FAILED, "It was changed since; read it again"),
    "limit_reached": (HTTPStatus.CONFLICT, "The plan does not have room for another one"),
    "idempotency_key_reused": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "That Idempotency-Key came with another request",
    ),
    "idempotency_in_progress": (HTTPStatus.CONFLICT, "The request with that Idempotency-Key is being done; ask again"),
    "rate_limited": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; ask more slowly"),
    "invalid_value": (HTTPStatus.BAD_REQUEST, "A value has the right shape and makes no sense here"),
    "bad_request": (HTTPStatus.BAD_REQUEST, "The request cannot be read"),
    "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "Not possible now; try again"),
}


class FieldError(BaseModel):
    """One field that is wrong: where, and why."""

    pointer: str
    code: str
    detail: str


class ProblemBody(BaseModel):
    """RFC 9457, with a stable code and the request's id."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] = []


class Problem(Exception):
    """An answer that is an error, by its code."""

    def __init__(self, code: str, detail: str = "", errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors or []


def answer(problem: Problem, request: Request) -> Response:
    """The problem as a response."""
    status, meaning = CODES[problem.code]
    request_id = getattr(request.state, "request_id", "")
    body: dict[str, Any] = {
        "type": f"/problems/{problem.code}",
        "title": status.phrase,
        "status": status.value,
        "detail": problem.detail or meaning,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.errors:
        body["errors"] = problem.errors
    waits = {HTTPStatus.SERVICE_UNAVAILABLE: "5", HTTPStatus.TOO_MANY_REQUESTS: "1"}
    headers = {"Retry-After": waits[status]} if status in waits else {}
    if problem.code == "idempotency_in_progress":
        headers["Retry-After"] = "1"
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status.value, headers=headers, media_type="application/problem+json")


class Guard:
    """Middleware: an id for each request, and a fault of ours becomes 503, whatever it is.

    Middlewares here are plain ASGI: Starlette's BaseHTTPMiddleware makes a task group and streams for each request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, has_started, status = Request(scope), False, 503
        request.state.request_id = f"req_{uuid4().hex}"

        async def send_on(message: Message) -> None:
            nonlocal has_started, status
            if message["type"] == "http.response.start":
                has_started, status = True, message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request.state.request_id
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, send_on)
        except Exception:
            log.exception("api.failed", path=request.url.path, request_id=request.state.request_id)
            if has_started:
                raise
            await answer(Problem("unavailable"), request)(scope, receive, send_on)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.API_REQUESTS.labels(_method(scope["method"]), route, str(status)).inc()
            metrics.API_DURATION.observe(time.perf_counter() - began)


def _method(name: str) -> str:
    """A stranger may name anything."""
    return name if name in ("GET", "POST", "PUT", "PATCH", "DELETE") else "other"


def _methods(app: FastAPI, request: Request) -> set[str]:
    """What the path takes (RFC 9110 15.5.6); Starlette knows of its first route alone."""
    known = app.openapi()["paths"]
    fits = [path for path in known if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path)]
    return {method.upper() for path in fits for method in known[path]}


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return answer(error, request)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"pointer": "/" + "/".join(str(part) for part in one["loc"][1:]), "code": one["type"], "detail": one["msg"]}
            for one in error.errors()
        ]
        return answer(Problem("validation_failed", errors=errors), request)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        response = answer(Problem(code), request)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return response

    described = app.openapi

    def openapi() -> dict[str, Any]:
        """As FastAPI has it, but with the problems under the type that they travel as."""
        spec = described()
        for operation in (one for verbs in spec["paths"].values() for one in verbs.values()):
            operation["responses"].pop("422", None)  # FastAPI's own shape, which is never sent
            content = operation["responses"]["default"]["content"]
            if "application/json" in content:
                content["application/problem+json"] = content.pop("application/json")
        return spec

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_middleware(Guard)

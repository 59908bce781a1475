"""What a bill is about, as commands: customers, plans, usage, keys, events and webhooks. Each is one call of the HTTP API."""

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from cli.api import ask, call, given, path_of
from cli.showing import AsJson, show
from client import api_keys, customers, events

plan = App(name="plan", help="Limits that many customers share.")
customer = App(name="customer", help="Whose mail it is.")
usage = App(name="usage", help="What was counted.")
key = App(name="key", help="Keys of the HTTP API.")
event = App(name="event", help="What happened.")
webhook = App(name="webhook", help="URLs that hear of events.")
audit = App(name="audit", help="Which key changed what.")
NOUNS = (customer, plan, usage, event, webhook, key, audit)

Repeated = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]


@plan.command(name="create")
def plan_create(
    name: str,
    *,
    retention_days: int | None = None,
    max_domains: int | None = None,
    max_messages: int | None = None,
    max_bytes: int | None = None,
    max_sessions: int | None = None,
    max_message_bytes: int | None = None,
    max_messages_per_hour: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Makes a plan; what is left out has no limit but ours."""
    limits = given(
        retention_days=retention_days,
        max_domains=max_domains,
        max_messages=max_messages,
        max_bytes=max_bytes,
        max_sessions=max_sessions,
        max_message_bytes=max_message_bytes,
        max_messages_per_hour=max_messages_per_hour,
    )
    show(call("POST", path_of("plans"), {"name": name, **limits}), as_json)


@plan.command(name="ls")
def plan_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Plans, newest first."""
    show(call("GET", path_of("plans", limit=limit, cursor=cursor)), as_json)


@plan.command(name="show")
def plan_show(plan_id: str, *, as_json: AsJson = False) -> None:
    """One plan, by id or by name."""
    show(call("GET", path_of("plans", plan_id)), as_json)


@plan.command(name="change")
def plan_change(
    plan_id: str,
    *,
    name: str | None = None,
    retention_days: int | None = None,
    max_domains: int | None = None,
    max_messages: int | None = None,
    max_bytes: int | None = None,
    max_sessions: int | None = None,
    max_message_bytes: int | None = None,
    max_messages_per_hour: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Limits of all customers that have it. 0 takes a limit away."""
    limits = given(
        max_domains=max_domains,
        max_messages=max_messages,
        max_bytes=max_bytes,
        max_sessions=max_sessions,
        max_message_bytes=max_message_bytes,
        max_messages_per_hour=max_messages_per_hour,
    )
    changes = given(name=name, retention_days=retention_days) | {what: value or None for what, value in limits.items()}
    show(call("PATCH", path_of("plans", plan_id), changes), as_json)


@plan.command(name="rm")
def plan_rm(plan_id: str) -> None:
    """Not while customers have it."""
    call("DELETE", path_of("plans", plan_id))


@customer.command(name="create")
def customer_create(
    name: str, *, external_id: str | None = None, plan_id: str | None = None, as_json: AsJson = False
) -> None:
    """Makes a customer."""
    show(call("POST", path_of("customers"), given(name=name, external_id=external_id, plan_id=plan_id)), as_json)


@customer.command(name="ls")
def customer_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Customers, newest first."""
    show(call("GET", path_of("customers", limit=limit, cursor=cursor)), as_json)


@customer.command(name="show")
def customer_show(customer_id: str, *, as_json: AsJson = False) -> None:
    """One customer (cus_... or ext:...)."""
    show(call("GET", path_of("customers", customer_id)), as_json)


@customer.command(name="change")
def customer_change(
    customer_id: str,
    *,
    name: str | None = None,
    external_id: str | None = None,
    plan_id: str | None = None,
    expected_every_seconds: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Another name, another id of the biller's, another plan, or how often it is expected; 0 for not at all."""
    changes = given(name=name, external_id=external_id, plan_id=plan_id)
    if expected_every_seconds is not None:
        changes["expected_every_seconds"] = expected_every_seconds or None
    show(call("PATCH", path_of("customers", customer_id), changes), as_json)


@customer.command(name="suspend")
def customer_suspend(
    customer_id: str,
    *,
    reason: str,
    receiving: Literal["hold", "tempfail", "reject"] = "hold",
    until: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Gives no mail out; keeps it, or has senders hear 450 or 550; --until 2026-12-31T00:00:00Z, or until it is resumed."""
    show(ask(customers.suspend_customer(customer_id, reason=reason, receiving=receiving, until=until)), as_json)


@customer.command(name="resume")
def customer_resume(customer_id: str, *, as_json: AsJson = False) -> None:
    """Gives its mail out again."""
    show(call("POST", path_of("customers", customer_id, "resume")), as_json)


@customer.command(name="put")
def customer_put(
    external_id: str,
    name: str,
    *,
    plan_id: str | None = None,
    expected_every_seconds: int | None = None,
    domain: Repeated = None,
    credential: bool = False,
    as_json: AsJson = False,
) -> None:
    """Makes the customer with the biller's own id, or makes it so, with its domains and a credential. Twice is as once."""
    body = given(name=name, plan_id=plan_id, expected_every_seconds=expected_every_seconds)
    body |= {"domains": domain or [], "credential": credential}
    show(call("PUT", path_of("customers", f"ext:{external_id}"), body), as_json)


@customer.command(name="terminate")
def customer_terminate(
    customer_id: str, *, purge_after_days: int = 14, dry_run: bool = False, as_json: AsJson = False
) -> None:
    """Ends it, and deletes what is kept after a time; --dry-run tells how much that is, and does nothing."""
    body = {"purge_after_days": purge_after_days, "dry_run": dry_run}
    show(call("POST", path_of("customers", customer_id, "terminate"), body), as_json)


@customer.command(name="status")
def customer_status(customer_id: str, *, as_json: AsJson = False) -> None:
    """Whether it is connected, and what waits for it."""
    show(call("GET", path_of("customers", customer_id, "status")), as_json)


@usage.command(name="ls")
def usage_ls(
    *,
    customer_id: str | None = None,
    meter: str | None = None,
    granularity: Literal["hour", "day", "month"] = "day",
    since: str | None = None,
    until: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    as_json: AsJson = False,
) -> None:
    """By customer, domain and meter; --since and --until are times such as 2026-11-01T00:00:00Z."""
    query = given(
        customer_id=customer_id,
        meter=meter,
        granularity=granularity,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    show(call("GET", path_of("usage", **query)), as_json)


@usage.command(name="summary")
def usage_summary(period: str, *, as_json: AsJson = False) -> None:
    """Every customer's month, such as 2026-11."""
    show(call("GET", path_of("usage", "summary", period=period)), as_json)


@usage.command(name="adjust")
def usage_adjust(customer_id: str, meter: str, amount: int, *, at: str, reason: str, as_json: AsJson = False) -> None:
    """Corrects what was counted in the hour of --at; the correction is shown apart."""
    body = {"customer_id": customer_id, "meter": meter, "amount": amount, "at": at, "reason": reason}
    show(call("POST", path_of("usage", "adjustments"), body), as_json)


@usage.command(name="adjustments")
def usage_adjustments(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Corrections, newest first."""
    show(call("GET", path_of("usage", "adjustments", customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@usage.command(name="meters")
def usage_meters(*, as_json: AsJson = False) -> None:
    """What is counted, and how."""
    show(call("GET", path_of("meters")), as_json)


@event.command(name="ls")
def event_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Events, the oldest first, as one reads on."""
    show(call("GET", path_of("events", customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@event.command(name="show")
def event_show(event_id: str, *, as_json: AsJson = False) -> None:
    """One event."""
    show(ask(events.read_event(event_id)), as_json)


@webhook.command(name="create")
def webhook_create(url: str, *, type: Repeated = None, as_json: AsJson = False) -> None:  # noqa: A002 - it is --type
    """Calls the URL from now on; the secret is shown this once."""
    show(call("POST", path_of("webhook_endpoints"), {"url": url, "types": type or []}), as_json)


@webhook.command(name="ls")
def webhook_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Endpoints, newest first."""
    show(call("GET", path_of("webhook_endpoints", limit=limit, cursor=cursor)), as_json)


@webhook.command(name="show")
def webhook_show(endpoint_id: str, *, as_json: AsJson = False) -> None:
    """One endpoint."""
    show(call("GET", path_of("webhook_endpoints", endpoint_id)), as_json)


@webhook.command(name="change")
def webhook_change(
    endpoint_id: str,
    *,
    url: str | None = None,
    state: Literal["enabled", "disabled"] | None = None,
    as_json: AsJson = False,
) -> None:
    """Another URL; or on or off."""
    show(call("PATCH", path_of("webhook_endpoints", endpoint_id), given(url=url, state=state)), as_json)


@webhook.command(name="rotate")
def webhook_rotate(endpoint_id: str, *, as_json: AsJson = False) -> None:
    """A new secret; the old one signs, too, for 24 hours."""
    show(call("POST", path_of("webhook_endpoints", endpoint_id, "rotate_secret")), as_json)


@webhook.command(name="deliveries")
def webhook_deliveries(
    endpoint_id: str, *, state: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """What it was told, and what it is to be told."""
    query: dict[str, Any] = given(state=state, limit=limit, cursor=cursor)
    show(call("GET", path_of("webhook_endpoints", endpoint_id, "deliveries", **query)), as_json)


@webhook.command(name="redeliver")
def webhook_redeliver(
    endpoint_id: str, *, event_id: str | None = None, since: str | None = None, as_json: AsJson = False
) -> None:
    """Tells one event again, or all since a time."""
    body = given(event_id=event_id, since=since)
    show(call("POST", path_of("webhook_endpoints", endpoint_id, "redeliver"), body), as_json)


@webhook.command(name="rm")
def webhook_rm(endpoint_id: str) -> None:
    """It hears of nothing more."""
    call("DELETE", path_of("webhook_endpoints", endpoint_id))


@audit.command(name="ls")
def audit_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Requests that changed something, newest first."""
    show(call("GET", path_of("audit_log", limit=limit, cursor=cursor)), as_json)


@key.command(name="create")
def key_create(
    name: str,
    *,
    role: Literal["operator", "reseller", "customer"],
    customer_id: str | None = None,
    scope: Repeated = None,
    as_json: AsJson = False,
) -> None:
    """Makes a key; it is shown this once."""
    body = given(name=name, role=role, customer_id=customer_id, scopes=scope or ["*"])
    show(call("POST", path_of("api_keys"), body), as_json)


@key.command(name="ls")
def key_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Keys, newest first."""
    show(call("GET", path_of("api_keys", limit=limit, cursor=cursor)), as_json)


@key.command(name="rotate")
def key_rotate(key_id: str, *, overlap_seconds: int = 0, as_json: AsJson = False) -> None:
    """A new key that may do the same, shown this once; the old one ends, or after so many seconds."""
    show(ask(api_keys.rotate_api_key(key_id, overlap_seconds=overlap_seconds)), as_json)


@key.command(name="rm")
def key_rm(key_id: str) -> None:
    """Ends it."""
    call("DELETE", path_of("api_keys", key_id))

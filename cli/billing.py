"""What a bill is about, as commands: customers, plans, usage, keys, events and webhooks. Each is one call of the HTTP API."""

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from cli.api import ask, or_none, said
from cli.showing import AsJson, show
from client import api_keys, audit_log, customers, events, plans
from client import usage as counted
from client import webhook_endpoints as endpoints

plan = App(name="plan", help="Limits that many customers share.")
customer = App(name="customer", help="Whose mail it is.")
usage = App(name="usage", help="What was counted.")
key = App(name="key", help="Keys of the HTTP API.")
event = App(name="event", help="What happened.")
webhook = App(name="webhook", help="URLs that hear of events.")
audit = App(name="audit", help="Which key changed what.")
NOUNS = (customer, plan, usage, event, webhook, key, audit)

Meter = Literal[
    "messages_received",
    "bytes_received",
    "messages_delivered",
    "bytes_delivered",
    "messages_expired",
    "session_seconds",
]
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
    made = plans.create_plan(
        name=name,
        retention_days=said(retention_days),
        max_domains=said(max_domains),
        max_messages=said(max_messages),
        max_bytes=said(max_bytes),
        max_sessions=said(max_sessions),
        max_message_bytes=said(max_message_bytes),
        max_messages_per_hour=said(max_messages_per_hour),
    )
    show(ask(made), as_json)


@plan.command(name="ls")
def plan_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Plans, newest first."""
    show(ask(plans.list_plans(limit=limit, cursor=cursor)), as_json)


@plan.command(name="show")
def plan_show(plan_id: str, *, as_json: AsJson = False) -> None:
    """One plan, by id or by name."""
    show(ask(plans.read_plan(plan_id)), as_json)


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
    changed = plans.change_plan(
        plan_id,
        name=said(name),
        retention_days=said(retention_days),
        max_domains=or_none(max_domains),
        max_messages=or_none(max_messages),
        max_bytes=or_none(max_bytes),
        max_sessions=or_none(max_sessions),
        max_message_bytes=or_none(max_message_bytes),
        max_messages_per_hour=or_none(max_messages_per_hour),
    )
    show(ask(changed), as_json)


@plan.command(name="rm")
def plan_rm(plan_id: str) -> None:
    """Not while customers have it."""
    ask(plans.remove_plan(plan_id))


@customer.command(name="create")
def customer_create(
    name: str, *, external_id: str | None = None, plan_id: str | None = None, as_json: AsJson = False
) -> None:
    """Makes a customer."""
    made = customers.create_customer(name=name, external_id=said(external_id), plan_id=said(plan_id))
    show(ask(made), as_json)


@customer.command(name="ls")
def customer_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Customers, newest first."""
    show(ask(customers.list_customers(limit=limit, cursor=cursor)), as_json)


@customer.command(name="show")
def customer_show(customer_id: str, *, as_json: AsJson = False) -> None:
    """One customer (cus_... or ext:...)."""
    show(ask(customers.read_customer(customer_id)), as_json)


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
    changed = customers.change_customer(
        customer_id,
        name=said(name),
        external_id=said(external_id),
        plan_id=said(plan_id),
        expected_every_seconds=or_none(expected_every_seconds),
    )
    show(ask(changed), as_json)


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
    show(ask(customers.resume_customer(customer_id)), as_json)


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
    made = customers.upsert_customer(
        f"ext:{external_id}",
        name=name,
        plan_id=said(plan_id),
        expected_every_seconds=said(expected_every_seconds),
        domains=domain or [],
        credential=credential,
    )
    show(ask(made), as_json)


@customer.command(name="terminate")
def customer_terminate(
    customer_id: str, *, purge_after_days: int = 14, dry_run: bool = False, as_json: AsJson = False
) -> None:
    """Ends it, and deletes what is kept after a time; --dry-run tells how much that is, and does nothing."""
    ended = customers.terminate_customer(customer_id, purge_after_days=purge_after_days, dry_run=dry_run)
    show(ask(ended), as_json)


@customer.command(name="status")
def customer_status(customer_id: str, *, as_json: AsJson = False) -> None:
    """Whether it is connected, and what waits for it."""
    show(ask(customers.read_status(customer_id)), as_json)


@usage.command(name="ls")
def usage_ls(
    *,
    customer_id: str | None = None,
    meter: Meter | None = None,
    granularity: Literal["hour", "day", "month"] = "day",
    since: str | None = None,
    until: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    as_json: AsJson = False,
) -> None:
    """By customer, domain and meter; --since and --until are times such as 2026-11-01T00:00:00Z."""
    asked = counted.list_usage(
        customer_id=customer_id,
        meter=meter,
        granularity=granularity,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    show(ask(asked), as_json)


@usage.command(name="summary")
def usage_summary(period: str, *, as_json: AsJson = False) -> None:
    """Every customer's month, such as 2026-11."""
    show(ask(counted.read_summary(period=period)), as_json)


@usage.command(name="adjust")
def usage_adjust(customer_id: str, meter: Meter, amount: int, *, at: str, reason: str, as_json: AsJson = False) -> None:
    """Corrects what was counted in the hour of --at; the correction is shown apart."""
    made = counted.create_adjustment(customer_id=customer_id, meter=meter, amount=amount, at=at, reason=reason)
    show(ask(made), as_json)


@usage.command(name="adjustments")
def usage_adjustments(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Corrections, newest first."""
    show(ask(counted.list_adjustments(customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@usage.command(name="meters")
def usage_meters(*, as_json: AsJson = False) -> None:
    """What is counted, and how."""
    show(ask(counted.list_meters()), as_json)


@event.command(name="ls")
def event_ls(
    *, customer_id: str | None = None, limit: int = 20, cursor: str | None = None, as_json: AsJson = False
) -> None:
    """Events, the oldest first, as one reads on."""
    show(ask(events.list_events(customer_id=customer_id, limit=limit, cursor=cursor)), as_json)


@event.command(name="show")
def event_show(event_id: str, *, as_json: AsJson = False) -> None:
    """One event."""
    show(ask(events.read_event(event_id)), as_json)


@webhook.command(name="create")
def webhook_create(url: str, *, type: Repeated = None, as_json: AsJson = False) -> None:  # noqa: A002 - it is --type
    """Calls the URL from now on; the secret is shown this once."""
    types: list[Any] = list(type or [])  # the API says which there are
    show(ask(endpoints.create_endpoint(url=url, types=types)), as_json)


@webhook.command(name="ls")
def webhook_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Endpoints, newest first."""
    show(ask(endpoints.list_endpoints(limit=limit, cursor=cursor)), as_json)


@webhook.command(name="show")
def webhook_show(endpoint_id: str, *, as_json: AsJson = False) -> None:
    """One endpoint."""
    show(ask(endpoints.read_endpoint(endpoint_id)), as_json)


@webhook.command(name="change")
def webhook_change(
    endpoint_id: str,
    *,
    url: str | None = None,
    state: Literal["enabled", "disabled"] | None = None,
    as_json: AsJson = False,
) -> None:
    """Another URL; or on or off."""
    show(ask(endpoints.change_endpoint(endpoint_id, url=said(url), state=said(state))), as_json)


@webhook.command(name="rotate")
def webhook_rotate(endpoint_id: str, *, as_json: AsJson = False) -> None:
    """A new secret; the old one signs, too, for 24 hours."""
    show(ask(endpoints.rotate_secret(endpoint_id)), as_json)


@webhook.command(name="deliveries")
def webhook_deliveries(
    endpoint_id: str,
    *,
    state: Literal["due", "delivered", "failed"] | None = None,
    limit: int = 20,
    cursor: str | None = None,
    as_json: AsJson = False,
) -> None:
    """What it was told, and what it is to be told."""
    asked = endpoints.list_deliveries(endpoint_id, state=state, limit=limit, cursor=cursor)
    show(ask(asked), as_json)


@webhook.command(name="redeliver")
def webhook_redeliver(
    endpoint_id: str, *, event_id: str | None = None, since: str | None = None, as_json: AsJson = False
) -> None:
    """Tells one event again, or all since a time."""
    again = endpoints.redeliver(endpoint_id, event_id=said(event_id), since=said(since))
    show(ask(again), as_json)


@webhook.command(name="rm")
def webhook_rm(endpoint_id: str) -> None:
    """It hears of nothing more."""
    ask(endpoints.remove_endpoint(endpoint_id))


@audit.command(name="ls")
def audit_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Requests that changed something, newest first."""
    show(ask(audit_log.list_audit_log(limit=limit, cursor=cursor)), as_json)


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
    scopes: list[Any] = list(scope or ["*"])  # the API says which there are
    made = api_keys.create_api_key(name=name, role=role, customer_id=said(customer_id), scopes=scopes)
    show(ask(made), as_json)


@key.command(name="ls")
def key_ls(*, limit: int = 20, cursor: str | None = None, as_json: AsJson = False) -> None:
    """Keys, newest first."""
    show(ask(api_keys.list_api_keys(limit=limit, cursor=cursor)), as_json)


@key.command(name="rotate")
def key_rotate(key_id: str, *, overlap_seconds: int = 0, as_json: AsJson = False) -> None:
    """A new key that may do the same, shown this once; the old one ends, or after so many seconds."""
    show(ask(api_keys.rotate_api_key(key_id, overlap_seconds=overlap_seconds)), as_json)


@key.command(name="rm")
def key_rm(key_id: str) -> None:
    """Ends it."""
    ask(api_keys.revoke_api_key(key_id))

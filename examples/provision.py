"""What a billing module does, as WHMCS calls it. Each action may be repeated: cron jobs and impatient people do.

    provision.py create SERVICE_ID NAME DOMAIN [PLAN]    provision.py change-package SERVICE_ID PLAN
    provision.py suspend SERVICE_ID REASON               provision.py unsuspend SERVICE_ID
    provision.py change-password SERVICE_ID              provision.py terminate SERVICE_ID

ODMR_API_URL and ODMR_API_KEY say where the API is, and who asks. Prints JSON; exits 0, or 1 with the API's sentence.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

URL, KEY = os.environ.get("ODMR_API_URL", "http://127.0.0.1:8025"), os.environ["ODMR_API_KEY"]


def call(verb: str, path: str, body: dict[str, Any] | None = None, once: str = "") -> Any:
    """One request; `once` makes a POST that is repeated give the same answer."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    if once:
        headers["Idempotency-Key"] = once
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{URL}/v1/{path}", data, headers, method=verb)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        problem = json.loads(error.read())
        sys.exit(f"{problem['detail']} ({problem['code']}, {problem['request_id']})")


def customer(service_id: str) -> str:
    """The path of the customer by the biller's own id."""
    return f"customers/ext:{quote(service_id)}"


def create(service_id: str, name: str, domain: str, plan: str = "") -> Any:
    """CreateAccount: the customer, its domain, and a credential, whose secret the answer has."""
    made = call("PUT", customer(service_id), {"name": name, **({"plan_id": plan} if plan else {})})
    call("POST", "domains", {"customer_id": made["id"], "name": domain}, f"{service_id}-domain-{domain}")
    login = call("POST", "credentials", {"customer_id": made["id"]}, f"{service_id}-credential")
    return {"customer": made["id"], "user": login["authcid"], "secret": login["secret"]}


def change_password(service_id: str) -> Any:
    """ChangePassword: a new secret; the old one ends."""
    owner = call("GET", customer(service_id))["id"]
    [login, *_] = call("GET", f"credentials?customer_id={owner}")["data"]
    changed = call("POST", f"credentials/{login['id']}/rotate")
    return {"user": changed["authcid"], "secret": changed["secret"]}


ACTIONS: dict[str, Callable[..., Any]] = {
    "create": create,
    "change-package": lambda service_id, plan: call("PATCH", customer(service_id), {"plan_id": plan}),
    "suspend": lambda service_id, reason: call("POST", f"{customer(service_id)}/suspend", {"reason": reason}),
    "unsuspend": lambda service_id: call("POST", f"{customer(service_id)}/resume"),
    "change-password": change_password,
    "terminate": lambda service_id: call("POST", f"{customer(service_id)}/terminate", {}),
}


def main() -> None:
    """The command line."""
    action = ACTIONS.get(sys.argv[1]) if len(sys.argv) > 2 else None
    if action is None:
        sys.exit(__doc__)
    print(json.dumps(action(*sys.argv[2:]), indent=1))


if __name__ == "__main__":
    main()

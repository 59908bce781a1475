"""Takes webhooks: verifies the signature, does each event once, answers 204 when it is safe.

    pip install standardwebhooks;  WEBHOOK_SECRET=whsec_... python receive_webhooks.py [PORT] [FILE]

Each event is a line of FILE. An id that is there already is not done again: what was told may be told once more.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 64 * 1024


class Receiver(BaseHTTPRequestHandler):
    """One request each."""

    webhook = Webhook(os.environ["WEBHOOK_SECRET"])
    file = Path("events.jsonl")
    seen: set[str] = set()

    def do_POST(self) -> None:  # noqa: N802 - http.server's own name
        """400 to what nobody signed, 413 to what is too long, 204 when it is on disk."""
        length = int(self.headers.get("Content-Length", 0))
        if length > MAX_BODY:
            self.send_error(413)
            return
        body = self.rfile.read(length)
        try:
            event = self.webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self.send_error(400)
            return
        event_id = self.headers["webhook-id"]
        if event_id not in self.seen:
            with self.file.open("a") as file:
                file.write(json.dumps({"id": event_id, **event}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.seen.add(event_id)
        self.send_response(204)
        self.end_headers()


def main() -> None:
    """Serves until it is ended."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    Receiver.file = Path(sys.argv[2]) if len(sys.argv) > 2 else Receiver.file
    if Receiver.file.is_file():
        Receiver.seen = {json.loads(line)["id"] for line in Receiver.file.read_text().splitlines()}
    HTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    main()

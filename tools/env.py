"""`make env`: .env from .env.example, with random secrets where it has none. Never writes over one that is there."""

import base64
import os
import re
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
MADE = {
    "ODMR_SEAL_KEY": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "ODMR_API_SEAL_KEY": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "ODMR_OPERATOR_KEY": lambda: f"odmr_operator_{secrets.token_urlsafe(32)}",
    "GRAFANA_PASSWORD": lambda: secrets.token_urlsafe(18),
}


def main(target: Path) -> int:
    """Gives the exit code."""
    text = (HERE / ".env.example").read_text()
    for name, make in MADE.items():
        text = re.sub(rf"^{name}=$", f"{name}={make()}", text, flags=re.MULTILINE)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(
            f"{target} is there already: its secrets stay. Move it away for new ones, which open nothing that is sealed."
        )
        return 1
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    print(f"Wrote {target}: set ODMR_HOSTNAME and the ports in it, keep it safe, and then: docker compose up -d --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / ".env"))

"""A sender for the webhook receiver: what a source system does, for the demo, benchmarks and tests."""

import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from connectors.webhook.signatures import load_secrets, signed_headers
from runtime.settings import Settings
from schemas.errors import PermanentError, TransientError

SECONDS = 30.0


def post_signed(
    settings: Settings,
    source: str,
    body: bytes,
    *,
    message_id: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Send one message for a source and return its freshness tokens, one an event. Blocks.

    `message_id` repeats an earlier message; without it this is a new one. `environment` may hold secrets that win over
    the secrets file, as for the receiver.

    Raises ConfigError without a secret for the source, PermanentError when the receiver refuses the message,
    TransientError when it is not there or says to come again.
    """
    secret = load_secrets(settings.webhook_secrets_file, environment or {}, [source]).of(source)[0]
    headers = signed_headers(secret, body, datetime.now(UTC), message_id or f"msg_{uuid.uuid4().hex}")
    where = f"{settings.ingest_host}:{settings.ingest_port}"
    call = urllib.request.Request(
        f"http://{where}/v1/sources/{source}/events",
        data=body,
        headers={**headers, "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(call, timeout=SECONDS) as response:  # noqa: S310 - http, to the address in the settings
            return tuple(orjson.loads(response.read())["tokens"])
    except urllib.error.HTTPError as error:
        detail = f"HTTP {error.code}: {_detail(error.read())}"
        if error.code in (408, 429) or error.code >= 500:
            raise TransientError(detail) from None
        raise PermanentError(detail) from None
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        raise TransientError(f"no webhook receiver answers at {where}: is `millstream up` done?") from None


def _detail(payload: bytes) -> str:
    try:
        problem = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return "no details"
    return str(problem.get("detail", "")) if isinstance(problem, dict) else "no details"

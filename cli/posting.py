"""Posts a signed event to the webhook receiver, as a source system would."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cli.http import send
from connectors.webhook.signatures import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, load_secrets
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Posted:
    """What the receiver answered: one freshness token an event."""

    tokens: Sequence[str]


def post_signed(settings: Settings, source: str, body: bytes) -> Posted:
    """Sign `body` (UTF-8 JSON) with the source's secret and post it. Raises RefusedError, TransientError,
    ConfigError.
    """
    secret = load_secrets(settings.webhook_secrets_file, os.environ, [source]).of(source)[0]
    message_id, sent = f"msg_{secrets.token_hex(12)}", datetime.now(UTC)
    answer = send(
        "POST",
        f"http://{settings.ingest_host}:{settings.ingest_port}/v1/sources/{source}/events",
        body,
        {
            "Content-Type": "application/json",
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(int(sent.timestamp())),
            SIGNATURE_HEADER: secret.sign(message_id, sent, body.decode()),
        },
    )
    tokens = answer["tokens"]
    return Posted([str(token) for token in tokens] if isinstance(tokens, list) else [])

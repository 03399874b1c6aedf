"""Standard Webhooks signatures, against the vectors its reference libraries and its specification publish."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhook.signatures import Secret, Secrets, is_signed, load_secrets, signed_headers
from schemas.errors import ConfigError

# standard-webhooks/standard-webhooks, libraries/javascript/src/webhook.test.ts: "sign function works"
TEXT_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT = datetime.fromtimestamp(1614265330, UTC)
BODY = '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
WRONG = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

SECRET = Secret(TEXT_SECRET)
OTHER = Secret("whsec_" + base64.b64encode(bytes(24)).decode())
HEADERS = {"webhook-id": MESSAGE_ID, "webhook-timestamp": "1614265330", "webhook-signature": SIGNATURE}


def test_the_published_vector_is_accepted() -> None:
    assert is_signed([SECRET], HEADERS, BODY, SENT)


def test_signing_gives_the_published_vector() -> None:
    assert signed_headers(SECRET, BODY.encode(), SENT, MESSAGE_ID) == HEADERS


def test_a_secret_works_with_and_without_its_prefix() -> None:
    assert is_signed([Secret(TEXT_SECRET.removeprefix("whsec_"))], HEADERS, BODY, SENT)


def test_one_right_signature_among_several_is_enough() -> None:
    several = " ".join([WRONG, WRONG.replace("v1", "v2"), SIGNATURE, WRONG])
    assert is_signed([SECRET], {**HEADERS, "webhook-signature": several}, BODY, SENT)


def test_while_a_secret_is_rotated_either_signs() -> None:
    assert is_signed([OTHER, SECRET], HEADERS, BODY, SENT)
    assert not is_signed([OTHER], HEADERS, BODY, SENT)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("webhook-id", None),
        ("webhook-timestamp", None),
        ("webhook-signature", None),
        ("webhook-id", ""),
        ("webhook-id", "msg_other"),
        ("webhook-id", "msg.with.stops"),
        ("webhook-id", "msg\ud800"),
        ("webhook-id", "m" * 257),
        ("webhook-timestamp", "hello"),
        ("webhook-timestamp", "1614265331"),
        ("webhook-timestamp", "1614265330.0"),
        ("webhook-timestamp", "-1614265330"),
        ("webhook-timestamp", "٣"),
        ("webhook-timestamp", "9" * 40),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,"),
        ("webhook-signature", SIGNATURE[:8]),
        ("webhook-signature", "v1,dawfeoifkpqwoekfpqoekf"),
        ("webhook-signature", SIGNATURE.replace("v1", "v2")),
        ("webhook-signature", SIGNATURE.replace("v1,", "")),
        ("webhook-signature", "v1,\ud800"),
        ("webhook-signature", " ".join([WRONG] * 8 + [SIGNATURE])),
    ],
)
def test_a_missing_or_changed_header_is_refused(name: str, text: str | None) -> None:
    headers = {key: value for key, value in HEADERS.items() if key != name}
    if text is not None:
        headers[name] = text
    assert not is_signed([SECRET], headers, BODY, SENT)


@pytest.mark.parametrize(("seconds", "accepted"), [(-300, True), (300, True), (-301, False), (301, False)])
def test_the_tolerance_is_five_minutes_either_way(seconds: int, accepted: bool) -> None:
    assert is_signed([SECRET], HEADERS, BODY, SENT + timedelta(seconds=seconds)) is accepted


@given(st.text(max_size=30))
def test_another_body_is_refused(body: str) -> None:
    assert is_signed([SECRET], HEADERS, body, SENT) is (body == BODY)


def test_an_unknown_source_is_checked_against_a_secret_that_nobody_has() -> None:
    secrets = Secrets({"wiki": (SECRET,)})
    assert secrets.of("wiki") == (SECRET,)
    assert len(secrets.of(None)) == len(secrets.of("nobody")) == 1
    assert not is_signed(secrets.of("nobody"), HEADERS, BODY, SENT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.json"
    path.touch(mode=0o600)
    return path


def test_secrets_are_read_from_the_file_and_the_environment_wins(file: Path) -> None:
    file.write_text(json.dumps({"wiki": TEXT_SECRET, "erp-1": [TEXT_SECRET, "whsec_" + "A" * 32]}))
    secrets = load_secrets(file, {}, ["wiki", "erp-1"])
    assert is_signed(secrets.of("wiki"), HEADERS, BODY, SENT)
    assert len(secrets.of("erp-1")) == 2
    overridden = load_secrets(file, {"MILLSTREAM_WEBHOOK_SECRET_ERP_1": "whsec_" + "B" * 32}, ["wiki", "erp-1"])
    assert not is_signed(overridden.of("erp-1"), HEADERS, BODY, SENT)


def test_secrets_may_come_from_the_environment_alone() -> None:
    assert load_secrets(None, {"MILLSTREAM_WEBHOOK_SECRET_WIKI": TEXT_SECRET}, ["wiki"]).has("wiki")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "source wiki has no signing secret"),
        ("[]", "one JSON object"),
        ("{", "not JSON"),
        ('{"wiki": 7}', "a secret or a list of secrets"),
        ('{"wiki": []}', "source wiki has no signing secret"),
        ('{"wiki": "whsec_AAAA"}', "at least 24 random bytes"),
        ('{"wiki": "whsec_!!!!"}', "at least 24 random bytes"),
        ('{"wiki": ""}', "at least 24 random bytes"),
    ],
)
def test_a_broken_secrets_file_is_one_line_without_the_secret(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        load_secrets(file, {}, ["wiki"])
    assert "\n" not in str(caught.value)
    assert "AAAA" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    file.write_text("{}")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_secrets(file, {}, [])
    with pytest.raises(ConfigError, match="No such file"):
        load_secrets(file.with_name("absent"), {}, [])


def test_secrets_do_not_show_in_a_repr() -> None:
    assert "Webhook" not in repr(Secrets({"wiki": (SECRET,)}))

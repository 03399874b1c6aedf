"""Keys that an identity provider publishes: they rotate, their address may be away, nobody makes us ask too often."""

import asyncio
import json
import time

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from runtime.clock import ManualClock
from runtime.metrics import ALERTS, Metrics
from schemas.errors import ConfigError, TransientError
from serving.api_keys import ApiKeys
from serving.auth import Authenticator, KeysNow, build_authenticator
from serving.jwks import PublishedKeys, fetcher
from serving.problems import ProblemError
from tests.unit.serving.world import settings

OLD, NEW = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


class Provider:
    """Publishes keys, and may be away."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {"old": OLD}
        self.is_away = False
        self.asked = 0

    async def fetch(self) -> str:
        self.asked += 1
        if self.is_away:
            raise TransientError("away")
        published = [json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid} for kid, key in self.keys.items()]
        return json.dumps({"keys": [*published, {"kty": "oct", "k": "AAAA", "kid": "another use"}]})


def token(kid: str, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    claims = {
        "iss": "millstream-dev",
        "aud": "millstream",
        "exp": int(time.time()) + 60,
        "tenant": "acme",
        "sub": "ada",
    }
    return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm='ES256', headers={'kid': kid})}"}


def reads(keys: PublishedKeys) -> Authenticator:
    none = ApiKeys(())
    held = KeysNow(lambda: keys.current, lambda: none, keys.look_again)
    return build_authenticator(settings(jwt_jwks_url="https://id.example/jwks"), ManualClock(), held)


async def test_a_key_that_appears_is_known_soon_after_its_first_token_and_one_that_goes_holds_no_more() -> None:
    provider = Provider()
    keys = PublishedKeys(provider.fetch, Metrics(), every_seconds=60, apart_seconds=0.001)
    await keys.refresh()
    authenticator, watching = reads(keys), asyncio.create_task(keys.watch())
    assert authenticator.caller(token("old", OLD)).subject == "ada"
    provider.keys = {"new": NEW}
    with pytest.raises(ProblemError):
        authenticator.caller(token("new", NEW))
    while [key.id for key in keys.current] != ["new"]:
        await asyncio.sleep(0.001)
    assert authenticator.caller(token("new", NEW)).subject == "ada"
    with pytest.raises(ProblemError):
        authenticator.caller(token("old", OLD))
    watching.cancel()


async def test_while_the_address_is_away_the_last_keys_hold_and_before_it_answered_none() -> None:
    provider, metrics = Provider(), Metrics()
    provider.is_away = True
    keys = PublishedKeys(provider.fetch, metrics)
    await keys.refresh()
    authenticator = reads(keys)
    with pytest.raises(ProblemError):
        authenticator.caller(token("old", OLD))
    provider.is_away = False
    await keys.refresh()
    provider.is_away = True
    await keys.refresh()
    assert authenticator.caller(token("old", OLD)).subject == "ada"
    assert metrics.value(ALERTS, alert="jwks_broken") == 2
    provider.is_away, provider.keys = False, {}
    await keys.refresh()
    assert authenticator.caller(token("old", OLD)).subject == "ada", "what is published without a key changes nothing"


async def test_tokens_of_unknown_keys_do_not_make_us_ask_again_and_again() -> None:
    provider = Provider()
    keys = PublishedKeys(provider.fetch, Metrics(), apart_seconds=30)
    await keys.refresh()
    authenticator, watching = reads(keys), asyncio.create_task(keys.watch())
    for number in range(50):
        with pytest.raises(ProblemError):
            authenticator.caller(token(f"k{number}", NEW))
        await asyncio.sleep(0)
    assert provider.asked == 1
    watching.cancel()


@pytest.mark.parametrize("url", ["http://id.example/jwks", "file:///etc/passwd", "id.example", ""])
def test_an_address_that_is_not_private_on_its_way_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="https"):
        fetcher(url)


async def test_only_a_plain_answer_counts_no_redirect_no_error_nothing_endless() -> None:
    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/good":
                return web.Response(text='{"keys": []}')
            case "/moved":
                raise web.HTTPFound("/good")
            case "/endless":
                return web.Response(body=b"x" * 1_100_000)
        raise web.HTTPInternalServerError

    app = web.Application()
    app.router.add_get("/{any}", answer)
    async with TestServer(app) as server:
        good = fetcher(str(server.make_url("/good")))
        assert await good() == '{"keys": []}'
        for path in ("/moved", "/endless", "/broken"):
            with pytest.raises(TransientError):
                await fetcher(str(server.make_url(path)))()
    with pytest.raises(TransientError):
        await good()

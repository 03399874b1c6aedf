"""A stage process's health port, on loopback."""

import aiohttp
import pytest

from infra.local.ports import lease_ports
from runtime.health import serving_health
from runtime.metrics import TAKE_OVERS, Metrics
from schemas.errors import ConfigError


async def test_health_readiness_and_metrics_are_served_until_stopped() -> None:
    metrics = Metrics()
    metrics.count(TAKE_OVERS)
    reasons: list[str] = ["Kafka does not answer"]

    async def not_ready() -> list[str]:
        return reasons

    with lease_ports(1) as lease:
        port = lease.ports[0]
        async with (
            serving_health(metrics, not_ready, port),
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
        ):
            async with client.get("/healthz") as response:
                assert response.status == 200
            async with client.get("/readyz") as response:
                assert response.status == 503
                assert (await response.json())["reasons"] == ["Kafka does not answer"]
            reasons.clear()
            async with client.get("/readyz") as response:
                assert response.status == 200
            async with client.get("/metrics") as response:
                assert "millstream_take_overs_total 1.0" in await response.text()
            with pytest.raises(ConfigError, match=f"port {port} cannot be listened on"):
                async with serving_health(metrics, not_ready, port):
                    pytest.fail("two processes have one port")
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get(f"http://127.0.0.1:{port}/healthz")

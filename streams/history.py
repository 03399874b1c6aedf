"""How long each tenant's history is kept, as sources.yaml states it now: an applied edit holds from the next run on."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from runtime.metrics import Metrics
from runtime.watched_files import WatchedFiles
from schemas.identity import Tenant
from schemas.sources import Sources


class TenantHistory:
    """Construction reads the file and raises ConfigError when it is broken."""

    def __init__(self, file: Path, load: Callable[[], Sources], default_hours: float, metrics: Metrics) -> None:
        self._default = timedelta(hours=default_hours)
        self._kept = WatchedFiles((file,), lambda: _kept(load()), metrics)

    def kept_for(self, tenant: Tenant) -> timedelta:
        """How long superseded rows of `tenant` can be asked for; 0: not at all."""
        self._kept.reload()
        return self._kept.current.get(tenant, self._default)


def _kept(sources: Sources) -> Mapping[Tenant, timedelta]:
    return {
        Tenant(tenant.name): timedelta(hours=tenant.history_hours)
        for tenant in sources.tenant_settings
        if tenant.history_hours is not None
    }

"""`python -m infra.local.compose`: writes the .env that docker-compose.kafka.yml and `millstream up` beside it need.

Secrets are the project's profile's; Debezium's jars are fetched into the cache and checked, as for the native Connect.
The ports are not the native stack's, so that `millstream up` takes the containers for parts that somebody else runs.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local import profile as profiles
from infra.local.cache import Cache, cache_dir_of
from infra.local.fetch import fetch
from infra.local.jars import load_jar_sets
from infra.local.profile import Profile, write_private
from infra.local.progress import silent
from schemas.errors import MillstreamError

KAFKA_PORT, CONNECT_PORT, POSTGRES_PORT, WEAVIATE_PORT, WEAVIATE_GRPC_PORT = 29092, 28083, 25432, 28080, 25051
_NOTE = "# Written by `python -m infra.local.compose`. Secrets: keep it out of version control.\n"


def variables(profile: Profile, jars: Path, user: str) -> Mapping[str, str]:
    """What docker-compose.kafka.yml is filled with, and the settings that reach its parts."""
    password = profile.secrets.postgres_password
    return {
        "MILLSTREAM_KAFKA_BOOTSTRAP": f"127.0.0.1:{KAFKA_PORT}",
        "MILLSTREAM_CONNECT_URL": f"http://127.0.0.1:{CONNECT_PORT}",
        "MILLSTREAM_CONNECT_SECRETS_DIR": str(profile.connect_secrets_dir),
        "MILLSTREAM_POSTGRES_DSN": f"postgresql://postgres:{password}@127.0.0.1:{POSTGRES_PORT}/postgres",
        "MILLSTREAM_POSTGRES_PASSWORD": password,
        "MILLSTREAM_WEAVIATE_HTTP": f"127.0.0.1:{WEAVIATE_PORT}",
        "MILLSTREAM_WEAVIATE_GRPC": f"127.0.0.1:{WEAVIATE_GRPC_PORT}",
        "MILLSTREAM_WEAVIATE_API_KEY": profile.secrets.weaviate_api_key,
        "MILLSTREAM_DEBEZIUM_JARS": str(jars),
        "MILLSTREAM_USER": user,
    }


def main() -> int:
    """Write .env into the current folder. Exit status: 1 with one line for what cannot be had."""
    state_dir = Path(os.environ.get("MILLSTREAM_STATE_DIR", ".millstream"))
    try:
        profile = profiles.load_or_create(state_dir, os.environ)
        jars = fetch(load_jar_sets()["debezium"], Cache(cache_dir_of(os.environ)), silent)
    except MillstreamError as error:
        print(f"infra.local.compose: {error}", file=sys.stderr)
        return 1
    profile.connect_secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = f"{os.getuid()}:{os.getgid()}"
    lines = [f"{name}='{value}'\n" for name, value in variables(profile, jars, user).items()]
    write_private(Path(".env"), _NOTE + "".join(lines))
    print("wrote .env: docker compose --file docker-compose.kafka.yml up --detach --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The one place that reads the environment.

Every process builds `Settings` once, in its `__main__`, and hands parts of it on. Names are `MILLSTREAM_*`;
`millstream up` writes them into the project's `.millstream/` and the processes it starts inherit them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import ConfigError
from schemas.said import said

_PREFIX = "MILLSTREAM_"
PACKAGED_TOPICS = Path(__file__).parent.parent / "topics.yaml"


class Settings(BaseSettings):
    """All settings, with the defaults of a development machine. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    # Where the project's own state lies; `up` sets it, `down --purge` removes it.
    state_dir: Path = Field(Path(".millstream"), description="development profile, data directories and logs")
    cache_dir: Path | None = Field(None, description="fetched parts and models; default: the user's cache folder")
    topics_file: Path = Field(PACKAGED_TOPICS, description="topics.yaml")
    sources_file: Path = Field(Path("sources.yaml"), description="sources.yaml, as applied")
    webhook_secrets_file: Path | None = Field(None, description="JSON object: source name -> whsec_… (mode 0600)")

    faults_dir: Path | None = Field(
        None, description="for tests of crashes: folder that says at which points a process dies; development only"
    )
    log_dir: Path | None = Field(None, description="folder for JSON log files; default: standard error only")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    kafka_bootstrap: str = Field("127.0.0.1:19092", description="bootstrap servers, host:port,host:port")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients connect to Kafka"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol has SASL"
    )
    kafka_sasl_username: str = Field("", description="SASL user name")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="SASL password")
    kafka_ca_file: Path | None = Field(None, description="PEM file with the brokers' certificate authority")
    kafka_topic_prefix: str = Field(
        "", pattern=r"^[a-zA-Z0-9._-]*$", description="put before every topic and group name"
    )
    kafka_replication_factor: int = Field(1, ge=1, le=9, description="replicas of each topic")

    connect_url: str = Field("http://127.0.0.1:18083", description="Kafka Connect REST address")
    connect_secrets_dir: Path | None = Field(
        None, description="folder that Connect's config provider `dir` reads; `source apply` writes passwords there"
    )
    connect_password: str = Field(
        "",
        description="reference by which another Connect finds a source's password: ${env:NAME}; {source} is filled in",
    )

    weaviate_http: str = Field("127.0.0.1:18080", description="Weaviate REST, host:port")
    weaviate_grpc: str = Field("127.0.0.1:15051", description="Weaviate gRPC, host:port")
    weaviate_secure: bool = Field(False, description="TLS to Weaviate")
    weaviate_api_key: SecretStr = Field(SecretStr(""), description="Weaviate API key; never anonymous")

    generation: str = Field("g1", pattern=r"^[a-z0-9]{1,24}$", description="live generation: one recipe")
    incarnation: str = Field("i1", pattern=r"^[a-z0-9]{1,24}$", description="live incarnation: one physical build")

    embedding_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="fastembed model; the default (@int8: faster, less exact) is built from its wheel",
    )
    embedding_url: str = Field(
        "", description="base address of an OpenAI-compatible endpoint that embeds in place of a local model"
    )
    embedding_key: SecretStr = Field(SecretStr(""), description="bearer key of that endpoint")
    embedding_dimension: int = Field(384, ge=8, le=8192, description="values of a vector of that endpoint")
    embedding_max_tokens: int = Field(256, ge=32, le=8192, description="longest input of that endpoint's model")
    vector_cache_mb: int = Field(
        512, ge=0, le=1_048_576, description="vectors that `prepare` keeps on disk in state_dir; 0 = none"
    )
    valkey_url: SecretStr = Field(
        SecretStr(""), description="Valkey (or Redis) that shares vectors between machines, valkey://host:port/0; none"
    )
    valkey_hours: int = Field(720, ge=1, le=87_600, description="hours a shared vector is kept after its last use")
    chunk_tokens: int | None = Field(
        None, ge=32, le=8192, description="most tokens of a chunk, part of the recipe; default: what the model reads"
    )
    embedding_threads: int = Field(2, ge=1, le=64, description="ONNX Runtime threads of one process")

    ingest_host: str = Field("127.0.0.1", description="webhook receiver listens here")
    ingest_port: int = Field(18801, ge=0, le=65535, description="webhook receiver's port")
    api_host: str = Field("127.0.0.1", description="query API listens here")
    api_port: int = Field(18800, ge=0, le=65535, description="query API's port")
    answer_cache_mb: int = Field(64, ge=0, le=65_536, description="answers the query API keeps in memory; 0 = none")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="a stage's /metrics and /healthz port on loopback; 0 = none"
    )

    token_key: SecretStr = Field(SecretStr(""), description="key that seals freshness tokens, base64url of 32 bytes")
    redaction_key: SecretStr = Field(
        SecretStr(""), description="key of the pseudonyms that stand for personal data; another key, other pseudonyms"
    )
    jwt_secret: SecretStr = Field(SecretStr(""), description="shared secret of bearer tokens (HS256)")
    jwt_jwks_file: Path | None = Field(None, description="JWKS file with public keys, instead of a shared secret")
    jwt_jwks_url: str = Field("", description="https address of an identity provider's JWKS, instead of that file")
    jwt_issuer: str = Field("millstream-dev", description="required `iss` of bearer tokens")
    jwt_audience: str = Field("millstream", description="required `aud` of bearer tokens")
    api_keys_file: Path | None = Field(None, description="JSON list of hashed API keys (mode 0600)")

    max_document_bytes: int = Field(8_388_608, ge=1024, le=15_728_640, description="largest body of one document")
    parse_seconds: float = Field(30.0, gt=0, description="hard limit for parsing one document")
    parse_memory_mb: int = Field(1024, ge=256, description="address-space limit of a parser process above its baseline")
    parse_pages: int = Field(3000, ge=1, description="most pages, slides, sheets or chapters of one document")
    parse_elements: int = Field(200_000, ge=1, description="most paragraphs, list items and table rows of one document")
    parse_unpacked_mb: int = Field(256, ge=1, description="most an archive (docx, xlsx, epub, ...) may unpack to")
    parse_nesting: int = Field(5, ge=1, le=20, description="how deep messages and attachments may lie in each other")

    history_hours: float = Field(
        24, ge=0, le=87_600, description="hours of history that can be asked as of, where a tenant states none; 0 = not"
    )
    backup_minutes: int = Field(
        60,
        ge=1,
        le=10_080,
        description="how long a backup of the store takes at most, from its first shard to its last",
    )
    audit_share: float = Field(
        0.04, ge=0, le=1, description="share of its time that `apply` compares index and log with each other; 0 = not"
    )
    audit_seconds: float = Field(600.0, gt=0, description="seconds from one audit of everything to the next, at least")
    window: int = Field(64, ge=1, le=4096, description="records of one partition under way at the same time")
    dead_letter_share: float = Field(
        0.5, gt=0, le=1, description="a stage stops when a larger share of its last records became dead letters"
    )
    dead_letter_burst: int = Field(50, ge=1, description="dead letters in a row that are no reason to stop yet")
    group_commit: int = Field(64, ge=1, le=512, description="most mutations in one commit")


def load_settings() -> Settings:
    """Read the environment.

    Raises ConfigError with one line that names the variable and what is wrong, never its value.
    """
    return _checked(Settings)


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The same from a mapping instead of the process's environment."""
    given = {
        name.removeprefix(_PREFIX).lower(): value for name, value in environment.items() if name.startswith(_PREFIX)
    }
    return _checked(lambda: Settings.model_validate(given))


def _checked(build: Callable[[], Settings]) -> Settings:
    try:
        return build()
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"{name}: {said(first)}") from None

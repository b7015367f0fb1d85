"""The settings of the service, read from environment variables.

A variable has the name of the field in upper case. ``APP_ENV`` selects the profile. The profile
``dev`` also reads ``.env``. Settings can be files in the folder ``SECRETS_DIR``, as Kubernetes
mounts secrets.
"""

import os
import re
from collections.abc import Mapping
# {% if "jwt" in components %}
from datetime import timedelta
# {% endif %}
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
# {% if redis %}
from urllib.parse import urlsplit
# {% endif %}

import click
from click import ClickException
from dotenv import dotenv_values, find_dotenv
# {% if "jwt" in components %}
from limits import parse_many
# {% endif %}
# {% if "celery" in components or "openai" in components %}
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
# {% else %}
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
# {% endif %}
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError
# {% if database %}
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
# {% endif %}

ROOT = Path(__file__).parent.parent
SERVICE_NAME = {{ project_name_python }}
# {% if database %}
EMBEDDED_DATABASE = "sqlite:///app.db"
# {% endif %}
DEV_SECRET = "only-for-development-never-in-production"  # noqa: S105
GENERATE = "python -c 'import secrets; print(secrets.token_hex(32))'"


def split_list(value: str | list[str]) -> list[str]:
    """``a, b`` → ``["a", "b"]``."""
    return value if isinstance(value, list) else [item.strip() for item in value.split(",") if item]


def check_origin(origin: str) -> str:
    """Accept whole origins as browsers send them, also those of apps and browser extensions."""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?", origin):
        raise ValueError("write whole origins in lower case, such as https://app.example.com")
    return origin


def refuse_dev_secret(secret: str) -> str:
    if secret == DEV_SECRET:
        raise ValueError(f"generate one with {GENERATE}")
    return secret


# {% if database %}
def check_database_url(url: str) -> str:
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("write it as postgresql://user:password@host:5432/name") from None
    return url


# {% endif %}
# {% if redis %}
def check_redis_url(url: str) -> str:
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("write it as redis://:password@host:6379/0") from None
    return url


# {% endif %}
# {% if "jwt" in components %}
def read_seconds(value: object) -> object:
    """A whole number is seconds; anything else is left to be read as a duration."""
    is_whole = isinstance(value, str) and value.isdigit()
    return timedelta(seconds=int(str(value))) if is_whole else value


def check_rate(rate: str) -> str:
    try:
        parse_many(rate)
    except ValueError:
        raise ValueError("write it as 20 per minute") from None
    return rate


# {% endif %}
# {% if "celery" in components %}
def celery_url(url: str | None) -> str | None:
    """Write the URL of a Redis server as Celery expects it. Others are returned unchanged."""
    if url and url.startswith("unix://"):
        return url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
    if url and url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        # Celery requires it, and would not verify the certificate of a broker without it.
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
    return url


# {% endif %}
Origin = Annotated[str, AfterValidator(check_origin)]
Origins = Annotated[list[Origin], NoDecode, BeforeValidator(split_list)]
Secret = Annotated[str, Field(min_length=32), AfterValidator(refuse_dev_secret)]
# {% if database %}
DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]
# {% endif %}
# {% if redis %}
RedisUrl = Annotated[str, Field(pattern=r"^(rediss?|unix)://"), AfterValidator(check_redis_url)]
# {% endif %}
# {% if "jwt" in components %}
Lifetime = Annotated[timedelta, BeforeValidator(read_seconds), Field(gt=timedelta(0))]
Rate = Annotated[str, AfterValidator(check_rate)]
# {% endif %}
# {% if llm or "s3" in components %}
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/]")]
# {% endif %}
# {% if "s3" in components %}
MediaTypes = Annotated[list[str], NoDecode, BeforeValidator(split_list)]
# {% endif %}
# {% if "celery" in components %}
ServerUrl = Annotated[str, Field(pattern=r"^\w+(\+\w+)?://")]
# {% endif %}


class Settings(BaseSettings):
    """The settings of all profiles. The defaults require no other server."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", secrets_dir=os.environ.get("SECRETS_DIR") or None
    )

    service_name: str = SERVICE_NAME
    secret_key: str = DEV_SECRET
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    max_content_length: int = Field(16 * 1024 * 1024, gt=0)  # bytes of a request's body
    cors_origins: Origins = []
    # The number of proxies whose X-Forwarded-* headers are trusted, and exceptions by header.
    proxy_hops: int = Field(0, ge=0)
    proxy_hops_for: int | None = Field(None, ge=0)
    proxy_hops_proto: int | None = Field(None, ge=0)
    proxy_hops_host: int | None = Field(None, ge=0)
    proxy_hops_prefix: int | None = Field(None, ge=0)
    # {% if database %}
    database_url: DatabaseUrl = EMBEDDED_DATABASE
    database_timeout: float = Field(15, gt=0)  # seconds for a statement on PostgreSQL
    # {% endif %}
    # {% if redis %}
    redis_url: RedisUrl | None = None
    # Starts every key, queue and channel, so that services can share one Redis or RabbitMQ.
    key_prefix: str = Field("{{ project_slug }}", pattern=r"^[A-Za-z0-9._-]+$")
    # {% endif %}
    # {% if "celery" in components %}
    embedded_broker: ClassVar[str | None] = "filesystem://localhost"
    job_dir: Path = ROOT / "instance" / "jobs"  # the queue and the results of filesystem://
    celery_broker_url: ServerUrl | None = Field(None, validate_default=True)
    celery_result_backend: ServerUrl | None = Field(None, validate_default=True)
    job_time_limit: float = Field(300, gt=0)  # seconds that a job may take
    job_result_expires: int = Field(24 * 3600, gt=0)  # seconds
    job_max_deliveries: int = Field(5, ge=1)  # of a job that is interrupted each time
    worker_concurrency: int | None = Field(None, ge=1)  # processes; by default one for each core
    worker_metrics_port: int | None = Field(None, ge=1, le=65535)  # by default none are served
    # {% endif %}
    # {% if "deepface" in components %}
    deepface_home: Path = ROOT / "instance" / "deepface"  # the weights of the face models
    faces_model: Literal["ArcFace", "Facenet", "Facenet512", "SFace", "VGG-Face"] = "Facenet512"
    faces_timeout: float = Field(30, gt=0)  # seconds for one image
    faces_concurrency: int = Field(2, ge=1)  # requests of a process that run or wait
    faces_max_pixels: int = Field(40_000_000, ge=1)
    # {% endif %}
    # {% if "jwt" in components %}
    jwt_secret_key: str = DEV_SECRET
    jwt_access_token_expires: Lifetime = timedelta(minutes=15)
    jwt_refresh_token_expires: Lifetime = timedelta(days=30)
    jwt_decode_leeway: int = Field(10, ge=0)  # seconds that clocks may differ
    registration_open: bool = True
    login_rate_limit: Rate = "20 per minute"  # failed attempts, for each address and account
    login_address_rate_limit: Rate = "300 per minute"  # failed attempts, for each address
    register_rate_limit: Rate = "100 per minute"  # for each address
    password_memory_cost: int = Field(65536, ge=32)  # KiB that argon2 uses for one hash
    password_time_cost: int = Field(3, ge=1)  # passes over that memory
    # {% endif %}
    # {% if serving %}
    models_at_start: bool = True  # otherwise on first use
    # {% endif %}
    # {% if "uploads" in components %}
    upload_dir: Path = ROOT / "instance" / "uploads"
    # {% endif %}
    # {% if "sklearn" in components %}
    sklearn_model_dir: Path = ROOT / "instance" / "models" / "sklearn"
    sklearn_engine: Literal["onnx", "sklearn"] = "onnx"
    sklearn_threads: int = Field(1, ge=1, le=256)  # per call of ONNX Runtime
    sklearn_batch_rows: int | None = Field(None, ge=1)  # per shared call; 1 disables batching
    # {% endif %}
    # {% if "socketio" in components %}
    socketio_url: Origin | None = None  # of the websocket process, if browsers don't find it here
    socketio_connections: int = Field(500, ge=1)  # a process; each takes four threads
    socketio_event_rate: float = Field(20, gt=0)  # events a second that a connection may send
    # {% endif %}
    # {% if "torch" in components %}
    torch_model_dir: Path = ROOT / "instance" / "models" / "torch"
    # {% if accelerator == "cuda" %}
    torch_engine: Literal["onnx", "torch"] = "torch"
    # {% else %}
    torch_engine: Literal["onnx", "torch"] = "onnx"
    # {% endif %}
    torch_device: Literal["auto", "cpu", "cuda"] = "auto"  # for PyTorch; auto prefers CUDA
    torch_precision: Literal["mixed", "single"] = "single"  # on CUDA
    torch_threads: int = Field(1, ge=1, le=256)  # per call on the CPU
    torch_batch_rows: int | None = Field(None, ge=1)  # per shared call; 1 disables batching
    # {% endif %}
    # {% if llm %}
    # {% set providers = components | select("in", ["bedrock", "openai"]) | sort %}
    llm_provider: Literal["{{ providers | join('", "') }}"] = "{{ providers[0] }}"  # unless code names one
    llm_concurrency: int = Field(3, ge=1)  # calls of a process; keep it below WEB_THREADS
    llm_max_tokens: int = Field(4096, ge=1)  # of an answer, the default and the limit
    llm_timeout: float = Field(120, gt=0)  # seconds for a whole answer
    llm_connect_timeout: float = Field(5, gt=0)  # seconds
    llm_read_timeout: float = Field(60, gt=0)  # seconds without a byte from the provider
    llm_max_attempts: int = Field(2, ge=1)  # of each request to a provider
    llm_log_prompts: bool = False
    # {% endif %}
    # {% if "bedrock" in components %}
    aws_region: str | None = None  # without it, boto3 looks for one
    bedrock_model_id: str = "amazon.nova-lite-v1:0"
    bedrock_endpoint_url: HttpUrl | None = None
    bedrock_guardrail_id: str | None = None
    bedrock_guardrail_version: str = "DRAFT"
    # {% endif %}
    # {% if "openai" in components %}
    openai_base_url: HttpUrl | None = None  # of a server other than OpenAI's
    openai_api_key: str | None = Field(None, validate_default=True)
    openai_api: Literal["responses", "chat"] = "responses"  # most other servers need chat
    openai_model: str = "gpt-5-mini"
    # {% endif %}
    # {% if "s3" in components %}
    s3_bucket_name: str | None = None  # without it, files are in FILE_DIR
    s3_prefix: str = Field("{{ project_slug }}", pattern=r"^[A-Za-z0-9._-]+$")  # of every key
    s3_public_url: HttpUrl | None = None  # where clients reach S3, if not where the service does
    s3_connect_timeout: float = Field(3, gt=0)  # seconds
    s3_read_timeout: float = Field(10, gt=0)  # seconds without a byte from S3
    s3_max_attempts: int = Field(2, ge=1)  # of each request to S3
    aws_endpoint_url: HttpUrl | None = None  # of a server other than AWS
    aws_endpoint_url_s3: HttpUrl | None = None  # takes precedence
    file_dir: Path = ROOT / "instance" / "files"
    file_max_size: int = Field(100 * 1024 * 1024, gt=0, le=5 * 1024**3)  # bytes
    file_types: MediaTypes = [
        "application/gzip",
        "application/json",
        "application/octet-stream",
        "application/pdf",
        "application/zip",
        "audio/mpeg",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
        "video/mp4",
    ]
    # {% endif %}
    # {% if "probes" in components %}
    probe_timeout: float = Field(2.0, gt=0)  # seconds that a readiness check may take
    # {% endif %}
    # {% if "celery" in components %}

    @field_validator("celery_broker_url")
    @classmethod
    def choose_broker(cls, url: str | None, info: ValidationInfo) -> str:
        found = celery_url(url or info.data.get("redis_url")) or cls.embedded_broker
        if found is None:
            raise ValueError(
                "set it or REDIS_URL to a broker, such as redis://host:6379/0; filesystem:// is "
                "for development only"
            )
        return found

    @field_validator("celery_result_backend")
    @classmethod
    def choose_result_backend(cls, url: str | None, info: ValidationInfo) -> str | None:
        broker: str = info.data.get("celery_broker_url", "")  # missing where it is wrong itself
        beside = {
            "filesystem": f"file://{info.data.get('job_dir')}/results",
            "memory": "cache+memory://",
            **dict.fromkeys(("redis", "rediss", "redis+socket"), broker),
        }
        found = celery_url(url or info.data.get("redis_url")) or beside.get(broker.split(":")[0])
        if broker and (found is None or found.startswith(("amqp:", "rpc:"))):
            raise ValueError(
                "set it or REDIS_URL to a result store, such as redis://host:6379/1; RabbitMQ "
                "keeps no results"
            )
        return found
    # {% endif %}


class DevSettings(Settings):
    """A developer's machine."""

    model_config = SettingsConfigDict(env_file=ROOT / ".env")


class TestSettings(Settings):
    """The service's own tests, which leave nothing behind."""

    __test__: ClassVar[bool] = False

    testing: bool = True
    # {% if database %}
    database_url: DatabaseUrl = "sqlite://"
    # {% endif %}
    # {% if "celery" in components %}
    embedded_broker: ClassVar[str | None] = "memory://"
    # {% endif %}


class ProdSettings(Settings):
    """Production. Secrets have no default."""

    secret_key: Secret
    log_format: Literal["console", "json"] = "json"
    # {% if database %}
    database_url: DatabaseUrl
    # {% endif %}
    # {% if "celery" in components %}
    embedded_broker: ClassVar[str | None] = None
    # {% endif %}
    # {% if "jwt" in components %}
    jwt_secret_key: Secret
    # {% endif %}
    # {% if "s3" in components %}
    s3_bucket_name: str
    # {% endif %}
    # {% if "openai" in components %}

    @field_validator("openai_api_key")
    @classmethod
    def require_openai_key(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key is None and info.data.get("openai_base_url") is None:
            raise ValueError("set it, or OPENAI_BASE_URL for a server without keys")
        return key
    # {% endif %}


PROFILES: dict[str, type[Settings]] = {
    "dev": DevSettings,
    "test": TestSettings,
    "prod": ProdSettings,
}


class ConfigError(ClickException):
    """The service cannot start as it is configured. The ``flask`` command prints it as one line."""


def load_settings(config: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return Flask configuration for the settings of a profile; see ``app.create_app``.

    Raises:
        ConfigError: a variable is missing or wrong. The message names it, never its value.
    """
    forget_dotenv()
    overrides: Mapping[str, Any] = {"APP_ENV": config} if isinstance(config, str) else config or {}
    profile = overrides.get("APP_ENV") or os.environ.get("APP_ENV") or "dev"
    if profile not in PROFILES:
        raise ConfigError(f"APP_ENV is {profile!r}; set it to one of {', '.join(PROFILES)}.")
    lower = {name.lower(): value for name, value in overrides.items()}
    try:
        settings = PROFILES[profile](**lower)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in faults]
        text = "; ".join(lines).replace("Value error, ", "")
        raise ConfigError(f"APP_ENV={profile} cannot start: {text}.") from None
    except SettingsError as error:
        raise ConfigError(f"APP_ENV={profile} cannot start: {error}.") from None
    except UnicodeDecodeError:
        raise ConfigError(".env is not UTF-8 text.") from None
    values = {name.upper(): value for name, value in settings}
    return {**overrides, **values, "APP_ENV": profile}


def forget_dotenv() -> None:
    """Undo what the ``flask`` command has read from ``.env``, in this folder or one above.

    Servers don't read those files, and both must use the same settings. The profile ``dev`` reads
    the service's own ``.env``.
    """
    if click.get_current_context(silent=True) is None or os.environ.get("FLASK_SKIP_DOTENV"):
        return
    for file in (".flaskenv", ".env"):
        for name, value in dotenv_values(find_dotenv(file, usecwd=True)).items():
            if os.environ.get(name) == value and not name.startswith("FLASK_"):
                os.environ.pop(name, None)

"""Every setting of the service, read from the environment in one place.

A variable has the name of the field in upper case. ``APP_ENV`` picks the profile; ``dev`` reads
``.env`` too; files named like the variables in ``SECRETS_DIR`` count as variables (Kubernetes).
"""

import os
from collections.abc import Mapping
# {% if "jwt" in components %}
from datetime import timedelta
# {% endif %}
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from click import ClickException
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).parent.parent
SERVICE_NAME = {{ project_name_python }}
# {% if database %}
EMBEDDED_DATABASE = "sqlite:///app.db"
# {% endif %}
DEV_SECRET = "only-for-development-never-in-production"  # noqa: S105
HOW_TO_MAKE_ONE = "python -c 'import secrets; print(secrets.token_hex(32))'"


def split_list(value: str | list[str]) -> list[str]:
    """``a, b`` → ``["a", "b"]``."""
    return value if isinstance(value, list) else [item.strip() for item in value.split(",") if item]


def refuse_wildcard(origins: list[str]) -> list[str]:
    if "*" in origins:
        raise ValueError("list the origins, such as https://app.example.com; * is not taken")
    return origins


def refuse_dev_secret(secret: str) -> str:
    if secret == DEV_SECRET:
        raise ValueError(f"make one of your own: {HOW_TO_MAKE_ONE}")
    return secret


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(split_list)]
Origins = Annotated[CommaSeparated, AfterValidator(refuse_wildcard)]
Secret = Annotated[SecretStr, Field(min_length=32), BeforeValidator(refuse_dev_secret)]


class Settings(BaseSettings):
    """What all profiles share. The defaults serve on one machine with no other server."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", secrets_dir=os.environ.get("SECRETS_DIR") or None
    )

    service_name: str = SERVICE_NAME
    secret_key: SecretStr = SecretStr(DEV_SECRET)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    max_content_length: int = Field(16 * 1024 * 1024, gt=0)  # bytes of a request's body
    cors_origins: Origins = []
    proxy_hops: int = Field(0, ge=0)  # reverse proxies in front, whose X-Forwarded-* count
    # {% if database %}
    database_url: str = EMBEDDED_DATABASE
    # {% endif %}
    # {% if "jwt" in components %}
    redis_url: str | None = None
    jwt_secret_key: SecretStr = SecretStr(DEV_SECRET)
    jwt_access_token_expires: timedelta = timedelta(minutes=15)
    jwt_refresh_token_expires: timedelta = timedelta(days=30)
    login_rate_limit: str = "20 per minute"  # failed attempts, for each address and account
    register_rate_limit: str = "100 per minute"  # for each address
    password_memory_cost: int = Field(65536, ge=32)  # KiB that argon2 uses for one hash
    password_time_cost: int = Field(3, ge=1)  # passes over that memory
    # {% endif %}
    # {% if "uploads" in components %}
    upload_dir: Path = ROOT / "instance" / "uploads"
    # {% endif %}
    # {% if "probes" in components %}
    probe_timeout: float = Field(2.0, gt=0)  # seconds that a readiness check may take
    # {% endif %}


class DevSettings(Settings):
    """A developer's machine."""

    model_config = SettingsConfigDict(env_file=ROOT / ".env")


class TestSettings(Settings):
    """The service's own tests: nothing outlives the process, nothing is slow."""

    __test__: ClassVar[bool] = False

    testing: bool = True
    # {% if database %}
    database_url: str = "sqlite://"
    # {% endif %}


class ProdSettings(Settings):
    """Production: no secret has a default."""

    secret_key: Secret
    log_format: Literal["console", "json"] = "json"
    # {% if database %}
    database_url: str
    # {% endif %}
    # {% if "jwt" in components %}
    jwt_secret_key: Secret
    # {% endif %}


PROFILES: dict[str, type[Settings]] = {
    "dev": DevSettings,
    "test": TestSettings,
    "prod": ProdSettings,
}


class ConfigError(ClickException):
    """The service cannot start as it is configured. The ``flask`` command prints it as one line."""


def load_settings(config: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Flask configuration out of a profile's settings; see ``app.create_app``.

    Raises:
        ConfigError: names each variable that is missing or wrong, never its value.
    """
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
        raise ConfigError(f"APP_ENV={profile} cannot start: {'; '.join(lines)}.") from None
    values = {name.upper(): reveal(value) for name, value in settings}
    return {**overrides, **values, "APP_ENV": profile}


def reveal(value: object) -> object:
    """Flask and its extensions want plain strings."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value

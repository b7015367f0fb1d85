"""Registration, login, tokens and their commands."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from statistics import median
from threading import Barrier
from time import perf_counter
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_access_token, decode_token
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import select

from app import create_app
from app.api import PREFIX
from app.config import ConfigError, load_settings
from app.database import db, now
from app.errors import PROBLEM_JSON
from app.jwt import denylist, tokens
from app.jwt.models import Credentials, Revocation
from app.jwt.passwords import needs_rehash
from app.jwt.schemas import TokenPair
from app.users.models import User

ANN = {"email": "ann@example.com", "password": "correct horse"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def add_user(app: Flask) -> User:
    """A user without a password, as hashing one takes time."""
    with app.app_context():
        user = User(email=ANN["email"], name="Ann")
        db.session.add(user)
        db.session.commit()
        return user


def log_in(app: Flask, user: User) -> TokenPair:
    """The response to a login."""
    with app.app_context():
        return tokens.issue(user)


def refresh(client: FlaskClient, token: str) -> Any:
    return client.post("/api/v1/auth/refresh", headers=bearer(token))


def me(client: FlaskClient, token: str) -> int:
    return client.get("/api/v1/auth/me", headers=bearer(token)).status_code


def test_register_login_and_me(anonymous: FlaskClient) -> None:
    created = anonymous.post("/api/v1/auth/register", json=ANN)
    assert created.status_code == 201
    assert created.get_json()["email"] == ANN["email"]
    assert "password" not in created.text
    pair = anonymous.post("/api/v1/auth/login", json=ANN).get_json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 15 * 60)
    response = anonymous.get(created.headers["Location"], headers=bearer(pair["access_token"]))
    assert response.json == created.json


def test_email_in_use_is_409(anonymous: FlaskClient) -> None:
    anonymous.post("/api/v1/auth/register", json=ANN)
    again = anonymous.post("/api/v1/auth/register", json=ANN | {"email": "ANN@example.com"})
    assert again.status_code == 409


def test_invalid_fields_are_reported(anonymous: FlaskClient) -> None:
    for field, value in {"email": "x", "password": "short", "role": "x"}.items():
        response = anonymous.post("/api/v1/auth/register", json=ANN | {field: value})
        assert response.status_code == 422, field
        assert [error["field"] for error in response.get_json()["errors"]] == [field]


def test_unknown_account_and_wrong_password_get_the_same_answer(anonymous: FlaskClient) -> None:
    anonymous.post("/api/v1/auth/register", json=ANN)
    wrong = anonymous.post("/api/v1/auth/login", json=ANN | {"password": "wrong horse"})
    unknown = anonymous.post("/api/v1/auth/login", json=ANN | {"email": "bob@example.com"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json == unknown.json
    assert wrong.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.integration
def test_unknown_account_and_wrong_password_take_the_same_time(
    app: Flask, anonymous: FlaskClient
) -> None:
    app.config |= {"LOGIN_RATE_LIMIT": "1000 per hour", "PASSWORD_MEMORY_COST": 16384}
    anonymous.post("/api/v1/auth/register", json=ANN)
    times: dict[str, list[float]] = {"ann@example.com": [], "bob@example.com": []}
    for _ in range(15):
        for email, taken in times.items():
            started = perf_counter()
            anonymous.post("/api/v1/auth/login", json={"email": email, "password": "wrong"})
            taken.append(perf_counter() - started)
    known, unknown = map(median, times.values())
    assert known == pytest.approx(unknown, rel=0.25)


def test_login_renews_a_hash_with_outdated_costs(app: Flask, anonymous: FlaskClient) -> None:
    anonymous.post("/api/v1/auth/register", json=ANN)
    app.config["PASSWORD_MEMORY_COST"] *= 2
    assert is_hash_outdated(app)
    assert anonymous.post("/api/v1/auth/login", json=ANN).status_code == 200
    assert not is_hash_outdated(app)


def is_hash_outdated(app: Flask) -> bool:
    with app.app_context():
        return needs_rehash(db.session.scalars(select(Credentials.password_hash)).one())


def test_failed_logins_are_limited_and_others_are_not(app: Flask, anonymous: FlaskClient) -> None:
    app.config["LOGIN_RATE_LIMIT"] = "2 per hour"
    anonymous.post("/api/v1/auth/register", json=ANN)
    for _ in range(3):
        assert anonymous.post("/api/v1/auth/login", json=ANN).status_code == 200
    wrong = ANN | {"password": "wrong horse"}
    tries = [wrong, wrong | {"email": "ANN@Example.com"}, wrong]  # of one account
    statuses = [anonymous.post("/api/v1/auth/login", json=body).status_code for body in tries]
    assert statuses == [401, 401, 429]
    limited = anonymous.post("/api/v1/auth/login", json=ANN)
    assert limited.mimetype == PROBLEM_JSON
    assert int(limited.headers["Retry-After"]) > 0
    other = anonymous.post("/api/v1/auth/login", json=ANN | {"email": "bob@example.com"})
    assert other.status_code == 401


def test_failed_logins_are_limited_for_each_address_too(app: Flask, anonymous: FlaskClient) -> None:
    app.config["LOGIN_ADDRESS_RATE_LIMIT"] = "2 per hour"
    tries = [{"email": f"{name}@example.com", "password": "x"} for name in "abc"]
    statuses = [anonymous.post("/api/v1/auth/login", json=body).status_code for body in tries]
    assert statuses == [401, 401, 429]


def test_malformed_bodies_do_not_break_the_limit(anonymous: FlaskClient) -> None:
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"[]", b""):
        response = anonymous.post("/api/v1/auth/login", data=body, content_type="application/json")
        assert response.status_code in {400, 422}, body[:20]


def test_large_bodies_are_not_parsed_for_the_limit(
    anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jwt.limits.from_json", None)
    padded = ANN | {"role": "x" * 4096}
    assert anonymous.post("/api/v1/auth/login", json=padded).status_code == 422


def test_only_limited_responses_have_retry_after(anonymous: FlaskClient) -> None:
    wrong = ANN | {"password": "wrong horse"}
    for path, body, status in (
        ("register", ANN, 201),
        ("register", ANN, 409),
        ("login", ANN, 200),
        ("login", wrong, 401),
        ("login", {}, 422),
    ):
        response = anonymous.post(f"/api/v1/auth/{path}", json=body)
        assert response.status_code == status, path
        assert "Retry-After" not in response.headers, (path, status)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOGIN_RATE_LIMIT", "often"),
        ("JWT_ACCESS_TOKEN_EXPIRES", "-1"),
        ("REDIS_URL", "nonsense"),
        ("REDIS_URL", "redis://host:port/0"),
    ],
)
def test_error_names_the_setting(settings: dict[str, object], name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        create_app(settings | {name: value})


def test_defaults(settings: dict[str, object]) -> None:
    loaded = load_settings(settings)
    assert loaded["JWT_ACCESS_TOKEN_EXPIRES"] == timedelta(minutes=15)
    assert loaded["JWT_REFRESH_TOKEN_EXPIRES"] == timedelta(days=30)
    assert loaded["LOGIN_RATE_LIMIT"] == "20 per minute"


def test_lifetimes_are_seconds(settings: dict[str, object]) -> None:
    loaded = load_settings(settings | {"JWT_ACCESS_TOKEN_EXPIRES": "900"})
    assert loaded["JWT_ACCESS_TOKEN_EXPIRES"] == timedelta(minutes=15)


def test_registrations_are_limited(app: Flask, anonymous: FlaskClient) -> None:
    app.config["REGISTER_RATE_LIMIT"] = "1 per hour"
    statuses = [anonymous.post("/api/v1/auth/register", json=[]).status_code for _ in range(2)]
    assert statuses == [422, 429]


def test_business_routes_require_a_token(app: Flask, anonymous: FlaskClient) -> None:
    public = {"auth.register", "auth.login", "auth.refresh"}
    business = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(PREFIX)]
    assert len(business) > len(public)
    for rule in business:
        path = re.sub("<uuid:.*?>", "6f7f3a2e-0000-4000-8000-000000000000", rule.rule)
        path = re.sub("<.*?>", "1", path)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            status = anonymous.open(path, method=method, data=b"{", headers={}).status_code
            assert (status == 401) == (rule.endpoint not in public or "refresh" in path), path


def test_missing_token_is_401_whatever_the_body(anonymous: FlaskClient) -> None:
    response = anonymous.post("/api/v1/auth/logout", data=b"{", content_type="application/json")
    assert response.status_code == 401
    assert response.mimetype == PROBLEM_JSON
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_body_without_a_token_is_read(anonymous: FlaskClient) -> None:
    body = BytesIO(b"{" * 1000)
    length = {"CONTENT_LENGTH": "1000"}
    response = anonymous.post("/api/v1/auth/logout", input_stream=body, environ_overrides=length)
    assert (response.status_code, body.tell()) == (401, 1000)


def test_preflight_requires_no_token(anonymous: FlaskClient) -> None:
    assert anonymous.options("/api/v1/auth/me").status_code == 200


def test_invalid_token_is_401(app: Flask, anonymous: FlaskClient) -> None:
    user = add_user(app)
    pair = log_in(app, user)
    claims = {"family": "f"}
    with app.app_context():
        bad = {
            "nonsense": "nonsense",
            "forged": pair.access_token[:-4] + "AAAA",
            "refresh token": pair.refresh_token,
            "expired": create_access_token(str(user.id), False, timedelta(minutes=-1), claims),
            "account gone": create_access_token("999999", additional_claims=claims),
            "of another service": create_access_token("1", additional_claims={"iss": "x"}),
        }
    for what, token in bad.items():
        response = anonymous.get("/api/v1/auth/me", headers=bearer(token))
        assert (response.status_code, response.mimetype) == (401, PROBLEM_JSON), what
        assert "invalid_token" in response.headers["WWW-Authenticate"], what


def test_scheme_is_case_insensitive(app: Flask, anonymous: FlaskClient) -> None:
    token = log_in(app, add_user(app)).access_token
    for scheme, status in (("bearer", 200), ("BEARER", 200), ("Basic", 401), ("Bearer x", 401)):
        headers = {"Authorization": f"{scheme} {token}"}
        response = anonymous.get("/api/v1/auth/me", headers=headers)
        assert response.status_code == status, scheme


def test_access_token_cannot_refresh(app: Flask, anonymous: FlaskClient) -> None:
    pair = log_in(app, add_user(app))
    assert refresh(anonymous, pair.access_token).status_code == 401


@pytest.fixture(params=["database", pytest.param("redis", marks=pytest.mark.integration)])
def kept_in(request: pytest.FixtureRequest, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with both denylists."""
    if request.param == "redis":
        redis = denylist.connect(request.getfixturevalue("redis_url"))
        monkeypatch.setitem(app.extensions, "denylist", redis)


@pytest.mark.usefixtures("kept_in")
def test_refresh_rotates(app: Flask, anonymous: FlaskClient) -> None:
    first = log_in(app, add_user(app))
    second = refresh(anonymous, first.refresh_token)
    assert second.status_code == 200
    assert second.get_json()["refresh_token"] != first.refresh_token
    assert me(anonymous, second.get_json()["access_token"]) == 200
    assert refresh(anonymous, second.get_json()["refresh_token"]).status_code == 200


@pytest.mark.usefixtures("kept_in")
def test_replayed_refresh_token_revokes_its_family(app: Flask, anonymous: FlaskClient) -> None:
    user = add_user(app)
    first = log_in(app, user)
    other = log_in(app, user)
    second = refresh(anonymous, first.refresh_token).get_json()
    assert refresh(anonymous, first.refresh_token).status_code == 401
    assert refresh(anonymous, second["refresh_token"]).status_code == 401
    assert me(anonymous, second["access_token"]) == 401
    assert me(anonymous, first.access_token) == 401
    assert me(anonymous, other.access_token) == 200


@pytest.mark.usefixtures("kept_in")
def test_logout_revokes_the_family(app: Flask, anonymous: FlaskClient) -> None:
    pair = log_in(app, add_user(app))
    response = anonymous.post("/api/v1/auth/logout", headers=bearer(pair.access_token))
    assert response.status_code == 204
    assert me(anonymous, pair.access_token) == 401
    assert refresh(anonymous, pair.refresh_token).status_code == 401


def test_revocations_outlive_the_tokens(app: Flask, anonymous: FlaskClient) -> None:
    first = log_in(app, add_user(app))
    second = refresh(anonymous, first.refresh_token).get_json()
    assert refresh(anonymous, first.refresh_token).status_code == 401
    with app.app_context():
        ends = [decode_token(second[kind])["exp"] for kind in ("access_token", "refresh_token")]
        revocations = db.session.scalars(select(Revocation)).all()
    assert len(revocations) == 2  # the token that was used twice, and its family
    for revocation in revocations:
        assert revocation.expires_at.timestamp() >= max(ends)


def racing_refreshes(app: Flask, threads: int) -> list[int]:
    """The statuses for threads that use the same refresh token at once."""
    token = log_in(app, add_user(app)).refresh_token
    start = Barrier(threads)

    def race(_: int) -> int:
        start.wait()
        return int(refresh(app.test_client(), token).status_code)

    with ThreadPoolExecutor(threads) as pool:
        return sorted(pool.map(race, range(threads)))


def test_one_of_several_concurrent_refreshes_succeeds(file_app: Flask) -> None:
    assert racing_refreshes(file_app, 4) == [200, 401, 401, 401]


@pytest.mark.integration
@pytest.mark.parametrize("use_redis", [False, True])
def test_one_of_several_concurrent_refreshes_succeeds_on_real_servers(
    postgres_app: Flask, redis_url: str, use_redis: bool
) -> None:
    if use_redis:
        postgres_app.extensions["denylist"] = denylist.connect(redis_url)
    assert racing_refreshes(postgres_app, 8) == [200] + [401] * 7


def test_tokens_are_rejected_while_redis_is_down(
    app: Flask, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = log_in(app, add_user(app)).access_token
    unreachable = denylist.connect("redis://127.0.0.1:1/0")
    monkeypatch.setitem(app.extensions, "denylist", unreachable)
    response = anonymous.get("/api/v1/auth/me", headers=bearer(token))
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert RedisConnectionError.__name__ not in response.text


def test_redis_is_used_if_configured(
    settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limiter belongs to one application; keep it with the shared one.
    monkeypatch.setattr("app.jwt.limits.limiter", Limiter(get_remote_address))
    app = create_app(settings | {"REDIS_URL": "redis://127.0.0.1:1/0"})
    assert app.extensions["denylist"] is not None
    assert app.config["RATELIMIT_STORAGE_URI"] == "redis://127.0.0.1:1/0"
    # {% if "probes" in components %}
    assert app.test_client().get("/ready").get_json()["checks"]["redis"] is False
    with app.app_context():
        db.engine.dispose()
    # {% endif %}


@pytest.fixture
def redis(app: Flask, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """Redis, which keeps the denylist."""
    redis = denylist.connect(redis_url)
    monkeypatch.setitem(app.extensions, "denylist", redis)
    return redis


@pytest.mark.integration
@pytest.mark.usefixtures("redis")
def test_services_do_not_share_revocations(app: Flask) -> None:
    with app.app_context():
        assert denylist.add("family:shared")
        app.config["KEY_PREFIX"] = "other"
        assert not denylist.find(["family:shared"])


@pytest.mark.integration
def test_revocations_expire_in_redis(app: Flask, redis: Redis) -> None:
    with app.app_context():
        assert denylist.add("family:a")
        assert not denylist.add("family:a")
        assert denylist.find(["family:a", "family:b"]) == {"family:a"}
    lifetime = 30 * 24 * 3600 + app.config["JWT_DECODE_LEEWAY"]
    key = f"{app.config['KEY_PREFIX']}:revoked:family:a"
    assert lifetime - 60 < redis.ttl(key) <= lifetime + 1


def test_expired_revocations_are_purged(app: Flask) -> None:
    with app.app_context():
        expired = now() - timedelta(seconds=1)
        db.session.add(Revocation(key="family:old", expires_at=expired))
        assert denylist.add("family:new")
    result = app.test_cli_runner().invoke(args=["purge-tokens"])
    assert result.output == "Deleted 1 expired revocations.\n"
    with app.app_context():
        assert denylist.find(["family:old", "family:new"]) == {"family:new"}


def test_purge_without_tables_is_one_line(app: Flask) -> None:
    with app.app_context():
        db.drop_all()
    try:
        result = app.test_cli_runner().invoke(args=["purge-tokens"])
    finally:
        with app.app_context():
            db.create_all()
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "db upgrade" in result.output


@pytest.mark.usefixtures("kept_in")
def test_secrets_are_not_logged(
    app: Flask, anonymous: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        anonymous.post("/api/v1/auth/register", json=ANN)
        anonymous.post("/api/v1/auth/login", json=ANN | {"password": "wrong horse"})
        first = anonymous.post("/api/v1/auth/login", json=ANN).get_json()
        second = refresh(anonymous, first["refresh_token"]).get_json()
        me(anonymous, second["access_token"])
        refresh(anonymous, first["refresh_token"])
    text = "".join(str(vars(record)) for record in caplog.records) + caplog.text
    assert "/api/v1/auth/refresh" in text
    pairs = (pair[kind] for pair in (first, second) for kind in ("access_token", "refresh_token"))
    with app.app_context():
        password_hash = db.session.scalars(select(Credentials.password_hash)).one()
    for secret in (ANN["password"], "wrong horse", password_hash, *pairs):
        assert secret not in text


def run(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=args)


def test_create_account_command(app: Flask, anonymous: FlaskClient) -> None:
    args = ("create-account", "ann@example.com", "--password", ANN["password"])
    assert run(app, *args).exit_code == 0
    assert anonymous.post("/api/v1/auth/login", json=ANN).status_code == 200
    assert run(app, *args).output == "Error: This e-mail address is already in use.\n"
    assert run(app, "create-account", "x", "--password", "short").exit_code == 1


def test_the_first_admin_is_created_by_a_command(app: Flask, anonymous: FlaskClient) -> None:
    args = ("create-account", "ann@example.com", "--admin", "--password", ANN["password"])
    assert run(app, *args).exit_code == 0
    token = anonymous.post("/api/v1/auth/login", json=ANN).get_json()["access_token"]
    assert anonymous.get("/api/v1/auth/me", headers=bearer(token)).get_json()["role"] == "admin"


def test_commands_change_the_role_but_keep_an_admin(app: Flask) -> None:
    add_user(app)
    assert run(app, "set-role", "Ann@example.com", "admin").exit_code == 0
    last = run(app, "set-role", "ann@example.com", "user")
    assert (last.exit_code, last.output.count("\n")) == (1, 1)
    assert "last admin" in last.output
    assert run(app, "set-role", "bob@example.com", "admin").output == "Error: User not found.\n"


def test_set_password_command_lets_a_user_log_in(app: Flask, anonymous: FlaskClient) -> None:
    add_user(app)
    for password in ("first password", "second password"):
        assert run(app, "set-password", ANN["email"], "--password", password).exit_code == 0
        login = ANN | {"password": password}
        assert anonymous.post("/api/v1/auth/login", json=login).status_code == 200
    short = run(app, "set-password", ANN["email"], "--password", "short")
    assert (short.exit_code, short.output.count("\n")) == (1, 1)


def test_registration_can_be_closed(app: Flask, anonymous: FlaskClient) -> None:
    app.config["REGISTRATION_OPEN"] = False
    response = anonymous.post("/api/v1/auth/register", json=ANN)
    assert (response.status_code, response.mimetype) == (403, PROBLEM_JSON)
    assert run(app, "create-account", ANN["email"], "--password", ANN["password"]).exit_code == 0
    assert anonymous.post("/api/v1/auth/login", json=ANN).status_code == 200


def test_the_name_defaults_to_a_part_of_the_email(anonymous: FlaskClient) -> None:
    users = [
        anonymous.post("/api/v1/auth/register", json=body).get_json()
        for body in (ANN, ANN | {"email": "bob@example.com", "name": "Bob B."})
    ]
    assert [(user["name"], user["role"]) for user in users] == [("ann", "user"), ("Bob B.", "user")]


def test_clocks_may_differ_by_the_leeway(app: Flask, anonymous: FlaskClient) -> None:
    user = add_user(app)
    for seconds, status in ((-1, 200), (-60, 401)):
        claims = {"family": "f"}
        with app.app_context():
            lifetime = timedelta(seconds=seconds)
            token = create_access_token(str(user.id), False, lifetime, claims)
        assert me(anonymous, token) == status


def test_openapi_documents_tokens(anonymous: FlaskClient) -> None:
    document = anonymous.get("/openapi.json").get_json()
    auth = document["paths"]["/api/v1/auth/me"]["get"]
    assert auth["security"] == [{"bearer": []}]
    assert list(auth["responses"]["401"]["content"]) == [PROBLEM_JSON]
    assert "security" not in document["paths"]["/api/v1/auth/login"]["post"]

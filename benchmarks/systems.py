"""The systems that are compared, and how each is set up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scenarios import NPY, RequestFormat, Scenario, features, many, npy, v2

PEERS = Path(__file__).parent / "peers"
OURS, OURS_NPY = "ours", "ours-npy"
SAMPLE, FASTAPI, MOSEC_TUNED = "sample", "fastapi", "mosec-tuned"
TUNED = {"fastapi-tuned", MOSEC_TUNED}  # not in their documented setup


@dataclass(frozen=True)
class System:
    """A way to serve both models.

    Attributes:
        peer: its folder in ``peers/``; empty for the rendered service.
        commands: model → shell command.
        forms: model → request formats for one row and for many.
        setup: a description for the results.
        variant_of: the system whose server it uses, with another request format.
    """

    name: str
    title: str
    peer: str
    commands: Mapping[str, str]
    forms: Mapping[str, tuple[RequestFormat, RequestFormat]]
    setup: str
    environment: Mapping[str, str] = field(default_factory=dict)
    variant_of: str | None = None
    bulk_only: bool = False  # only in scenarios with many rows

    @property
    def server(self) -> str:
        """The name of the system whose server is used."""
        return self.variant_of or self.name

    def form(self, scenario: Scenario) -> RequestFormat:
        single, bulk = self.forms[scenario.model]
        return single if scenario.rows == 1 else bulk

    def supports(self, scenario: Scenario) -> bool:
        return scenario.model in self.forms and (scenario.rows > 1 or not self.bulk_only)


def both(command: str) -> dict[str, str]:
    """The command for each model, with ``{model}`` replaced."""
    return {model: command.replace("{model}", model) for model in ("iris", "mlp")}


TWO_ROUTES = {
    "iris": (RequestFormat("/predict", features), RequestFormat("/predict-many", many("rows"))),
    "mlp": (RequestFormat("/predict", many("inputs")),) * 2,
}
ONE_ROUTE = {
    "iris": (RequestFormat("/predict", features), RequestFormat("/predict", many("rows"))),
    "mlp": (RequestFormat("/predict", many("inputs")),) * 2,
}
ALWAYS_ROWS = {
    "iris": (RequestFormat("/predict", many("rows")),) * 2,
    "mlp": (RequestFormat("/predict", many("inputs")),) * 2,
}
INFERENCE = {
    "iris": (RequestFormat("/inference", features), RequestFormat("/inference", many("rows"))),
    "mlp": (RequestFormat("/inference", many("inputs")),) * 2,
}
V2 = {
    "iris": (RequestFormat("/v2/models/iris/infer", v2("predict", "FP64", "predict_proba")),) * 2,
    "mlp": (RequestFormat("/v2/models/mlp/infer", v2("inputs", "FP64")),) * 2,
}
API = "/api/v1/{}/predict"
OUR_JSON = {
    "iris": (
        RequestFormat(API.format("sklearn"), features),
        RequestFormat(API.format("sklearn"), many("rows")),
    ),
    "mlp": (RequestFormat(API.format("torch"), many("inputs")),) * 2,
}


def our_bulk(content_type: str | None) -> dict[str, tuple[RequestFormat, RequestFormat]]:
    """Responses with columns, for JSON or, with a content type, array requests."""
    forms = {}
    for model, part, name in (("iris", "sklearn", "rows"), ("mlp", "torch", "inputs")):
        path = API.format(part) + "?layout=columns"
        form = (
            RequestFormat(path, npy, content_type)
            if content_type
            else RequestFormat(path, many(name))
        )
        forms[model] = (form, form)
    return forms


#: By default PyTorch uses all cores for each call, so two workers slow each other down.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
BENTO = {"BENTOML_DO_NOT_TRACK": "True", "BATCH_SIZE": "1024", "BATCH_LATENCY_MS": "60000"}
MLSERVER = {
    "MLSERVER_HOST": "127.0.0.1",
    "MLSERVER_MODEL_URI": "$MODELS/model.joblib",
}

SYSTEMS = [
    System(
        OURS,
        "this template",
        "",
        commands={},  # the web process of the service's Procfile
        forms=OUR_JSON,
        setup="as rendered, by its Procfile, WEB_CONCURRENCY=2, request log on",
    ),
    System(
        "ours-columns",
        "this template, columns",
        "",
        commands={},
        forms=our_bulk(None),
        setup="?layout=columns",
        variant_of=OURS,
        bulk_only=True,
    ),
    System(
        OURS_NPY,
        "this template, arrays in",
        "",
        commands={},
        forms=our_bulk(NPY),
        setup="application/x-npy, ?layout=columns",
        variant_of=OURS,
        bulk_only=True,
    ),
    System(
        SAMPLE,
        "Flask sample code, gunicorn",
        "sample",
        commands=both("gunicorn -w 2 --threads 8 -b 127.0.0.1:$PORT {model}:app"),
        forms=TWO_ROUTES,
        setup="gunicorn -w 2 --threads 8",
    ),
    System(
        FASTAPI,
        "FastAPI, uvicorn",
        "fastapi",
        commands=both(
            "uvicorn {model}:app --host 127.0.0.1 --port $PORT --workers 2 --no-access-log"
        ),
        forms=TWO_ROUTES,
        setup="async routes, uvicorn[standard] --workers 2, access log off",
    ),
    System(
        "fastapi-tuned",
        "FastAPI, tuned",
        "fastapi",
        commands={
            "mlp": "uvicorn mlp:app --host 127.0.0.1 --port $PORT --workers 2 --no-access-log"
        },
        forms={"mlp": TWO_ROUTES["mlp"]},
        setup="the same, OMP_NUM_THREADS=1",
        environment=ONE_THREAD,
    ),
    System(
        "litserve",
        "LitServe",
        "litserve",
        commands=both("python {model}.py $PORT 16 0.01"),
        forms=ONE_ROUTE,
        setup="2 workers, 2 API servers, max_batch_size=16, batch_timeout=0.01, access log off",
    ),
    System(
        "bentoml",
        "BentoML",
        "bentoml",
        commands={
            "iris": "bentoml serve iris:Iris --host 127.0.0.1 --port $PORT",
            "mlp": "bentoml serve mlp:Mlp --host 127.0.0.1 --port $PORT",
        },
        forms=ALWAYS_ROWS,
        setup="workers=2, batchable=True, 1024 rows a batch, access log off",
        environment=BENTO,
    ),
    System(
        "mlserver",
        "MLServer",
        "mlserver",
        commands=both("env MLSERVER_HTTP_PORT=$PORT mlserver start {model}-model"),
        forms=V2,
        setup="parallel_workers=2, max_batch_size=32, max_batch_time=0.01, V2 protocol",
        environment=MLSERVER,
    ),
    System(
        "mosec",
        "mosec",
        "mosec",
        commands=both("python {model}.py --address 127.0.0.1 --port $PORT"),
        forms=INFERENCE,
        setup="num=2, max_batch_size=4, max_wait_time=10 (those of its README), msgspec",
        environment={"BATCH_SIZE": "4", "BATCH_WAIT_MS": "10"},
    ),
    System(
        MOSEC_TUNED,
        "mosec, tuned",
        "mosec",
        commands=both("python {model}.py --address 127.0.0.1 --port $PORT"),
        forms=INFERENCE,
        setup="num=2, max_batch_size=16, max_wait_time=1, msgspec, OMP_NUM_THREADS=1",
        environment={"BATCH_SIZE": "16", "BATCH_WAIT_MS": "1"} | ONE_THREAD,
    ),
]

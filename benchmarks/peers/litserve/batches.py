"""Batching in LitServe for requests with different numbers of rows."""

import sys
from typing import Any

import litserve


class Batched:
    """Joins the rows of the requests in a batch, and splits the predictions again."""

    def batch(self, inputs: list[Any]) -> Any:
        return self.join(inputs), [len(rows) for rows in inputs]

    def predict(self, batch: Any) -> list[list[Any]]:
        rows, sizes = batch
        answers = iter(self.compute(rows))
        return [[next(answers) for _ in range(size)] for size in sizes]

    def unbatch(self, output: list[list[Any]]) -> list[list[Any]]:
        return output


def run(api: Any) -> None:
    port, batch_size, batch_timeout = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    server = litserve.LitServer(
        api(max_batch_size=batch_size, batch_timeout=batch_timeout),
        accelerator="cpu",
        workers_per_device=2,
    )
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=2,
        generate_client_file=False,
        access_log=False,
    )

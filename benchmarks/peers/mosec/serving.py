"""mosec with msgspec, which its documentation recommends for speed and validation."""

import os
from typing import Annotated, Any

import msgspec
from mosec import Server, Worker
from mosec.errors import ValidationError

LARGEST = 3.4e38
Number = Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]


class JsonWorker(Worker):
    """Decodes and validates bodies with ``schema``."""

    schema: Any

    def __init__(self) -> None:
        super().__init__()
        self.decoder = msgspec.json.Decoder(self.schema)
        self.encoder = msgspec.json.Encoder()

    def deserialize(self, data: bytes) -> Any:
        try:
            return self.decoder.decode(data)
        except msgspec.ValidationError as error:
            raise ValidationError(str(error)) from None

    def serialize(self, data: Any) -> bytes:
        return self.encoder.encode(data)


def split(answers: list[Any], sizes: list[int]) -> list[list[Any]]:
    """Split the predictions of a batch by request."""
    rest = iter(answers)
    return [[next(rest) for _ in range(size)] for size in sizes]


def serve(worker: type[Worker]) -> None:
    server = Server()
    server.append_worker(
        worker,
        num=2,
        max_batch_size=int(os.environ["BATCH_SIZE"]),
        max_wait_time=int(os.environ["BATCH_WAIT_MS"]),
    )
    server.run()

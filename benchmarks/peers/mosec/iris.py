from typing import Annotated, Any

import msgspec
from classifier import Classifier
from serving import JsonWorker, Number, serve, split

Features = Annotated[list[Number], msgspec.Meta(min_length=4, max_length=4)]


class PredictIn(msgspec.Struct):
    features: Features | None = None
    rows: Annotated[list[Features], msgspec.Meta(min_length=1, max_length=512)] | None = None


class Iris(JsonWorker):
    schema = PredictIn

    def __init__(self) -> None:
        super().__init__()
        self.classifier = Classifier()

    def forward(self, data: list[PredictIn]) -> list[Any]:
        parts = [body.rows or [body.features] for body in data]
        answers = self.classifier.predict([row for part in parts for row in part])
        split_up = split(answers, [len(part) for part in parts])
        return [part if body.rows else part[0] for body, part in zip(data, split_up, strict=True)]


if __name__ == "__main__":
    serve(Iris)

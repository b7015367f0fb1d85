"""The load: one process with an epoll loop that keeps each connection busy with the same request.

It is Python, and costs what wrk costs: about 12 µs a request. All it does for an answer is to look
for its end and at its status; the last answer of each connection is given back to be checked.
"""

import select
import socket
import struct
from dataclasses import dataclass, field
from time import perf_counter, process_time

READ = memoryview(bytearray(256 * 1024))  # made once: a new one for each read costs thrice the rest
PATIENCE = 30.0  # seconds that an answer may take
HEAD_END = b"\r\n\r\n"
CHUNKS_END = b"0\r\n\r\n"


@dataclass
class Sample:
    """What came of some load."""

    answers: int = 0  # within the time
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds, one for each answer
    errors: int = 0  # other than 2xx, or no answer
    last: list[bytes] = field(default_factory=list)  # bodies, one for each connection
    load_cpu: float = 0.0  # seconds that the load itself took

    def add(self, other: "Sample") -> None:
        self.answers += other.answers
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.errors += other.errors
        self.last = other.last
        self.load_cpu += other.load_cpu


def build_request(path: str, body: bytes, content_type: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(port: int, request: bytes, connections: int, seconds: float, bursts: int) -> Sample:
    """Load a server for ``seconds``, in ``bursts`` that open their connections anew.

    Which worker process gets a connection is a matter of luck with many servers; with several
    bursts a measurement has some of each.
    """
    total = Sample()
    for _ in range(bursts):
        total.add(burst(port, request, connections, seconds / bursts))
    return total


def burst(port: int, request: bytes, connections: int, seconds: float) -> Sample:
    """Load a server through connections that are opened first and closed at the end."""
    opened = [Connection(port, request) for _ in range(connections)]
    try:
        return drive({one.socket.fileno(): one for one in opened}, seconds)
    finally:
        for one in opened:
            one.socket.close()


class Connection:
    """A connection that waits for one answer at a time."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)  # Python's own timeouts cost a system call for each read
        patience = struct.pack("ll", int(PATIENCE), 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        self.request = request
        self.started = 0.0
        self.received = b""
        self.size = 0  # bytes of the last whole answer
        self.answer = b""

    def send(self) -> None:
        self.started = perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bool:
        """Take what came; whether the answer is whole. ``ConnectionError`` where it broke off."""
        size = self.socket.recv_into(READ)
        if not size:
            raise ConnectionError("the server closed the connection")
        data = bytes(READ[:size])
        self.received = self.received + data if self.received else data
        # Answers to one request are mostly of one size: then nothing is parsed.
        if len(self.received) != self.size and not is_whole(self.received):
            return False
        self.size = len(self.received)
        self.answer, self.received = self.received, b""
        return True


def is_whole(received: bytes) -> bool:
    """Whether an answer is complete, by its Content-Length or its last chunk."""
    end = received.find(HEAD_END)
    if end < 0:
        return False
    head = received[:end].lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return received.endswith(CHUNKS_END)
    length = int(head[start + 17 :].split(b"\r\n", 1)[0])
    return len(received) >= end + len(HEAD_END) + length


def drive(connections: dict[int, Connection], seconds: float) -> Sample:
    sample = Sample()
    poll = select.epoll()
    for number in connections:
        poll.register(number, select.EPOLLIN)
    begun, cpu = perf_counter(), process_time()
    end = begun + seconds
    for connection in connections.values():
        connection.send()
    waiting = set(connections)
    while waiting:
        events = poll.poll(PATIENCE)
        if not events:
            break
        for number, _ in events:
            connection = connections[number]
            try:
                if not connection.receive():
                    continue
            except OSError:
                sample.errors += 1
                waiting.discard(number)
                poll.unregister(number)
                continue
            now = perf_counter()
            sample.latencies.append(now - connection.started)
            if connection.answer[9:10] != b"2":
                sample.errors += 1
            if now < end:
                sample.answers += 1
                connection.send()
            else:
                waiting.discard(number)
    poll.close()
    sample.errors += len(waiting)
    sample.seconds = seconds
    sample.load_cpu = process_time() - cpu
    sample.last = [body_of(one.answer) for one in connections.values()]
    return sample


def body_of(answer: bytes) -> bytes:
    """The body of a whole answer, chunks put together."""
    head, _, body = answer.partition(HEAD_END)
    if b"\r\ncontent-length:" in head.lower():
        return body
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :] if int(size, 16) else b""
    return b"".join(parts)

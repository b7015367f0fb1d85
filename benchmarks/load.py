"""The load generator: one process with an epoll loop that repeats a request on each connection.

It is written in Python, but takes about 12 µs per request, like wrk. It only looks at the status
and the end of each response, and returns the last response of each connection for verification.
"""

import select
import socket
import struct
from dataclasses import dataclass, field
from time import perf_counter, process_time

BUFFER = memoryview(bytearray(256 * 1024))  # one per read would cost three times the rest
TIMEOUT = 30.0  # seconds for a response
HEAD_END = b"\r\n\r\n"
CHUNKS_END = b"0\r\n\r\n"


@dataclass
class Sample:
    """The result of a load."""

    answers: int = 0  # within the duration
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds, for each response
    errors: int = 0  # statuses other than 2xx, and missing responses
    last: list[bytes] = field(default_factory=list)  # last body of each connection
    load_cpu: float = 0.0  # CPU seconds of the load generator

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
    """Load a server for ``seconds``, divided into ``bursts`` with new connections.

    Many servers distribute connections unevenly among their workers; several bursts even this out.
    """
    total = Sample()
    for _ in range(bursts):
        total.add(burst(port, request, connections, seconds / bursts))
    return total


def burst(port: int, request: bytes, connections: int, seconds: float) -> Sample:
    """Load a server through connections that stay open for ``seconds``."""
    opened = [Connection(port, request) for _ in range(connections)]
    try:
        return drive({connection.socket.fileno(): connection for connection in opened}, seconds)
    finally:
        for connection in opened:
            connection.socket.close()


class Connection:
    """A connection with one request at a time."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)  # Python's timeouts would cost a system call per read
        timeout = struct.pack("ll", int(TIMEOUT), 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self.request = request
        self.started = 0.0
        self.received = b""
        self.size = 0  # bytes of the last complete response
        self.answer = b""

    def send(self) -> None:
        self.started = perf_counter()
        self.socket.sendall(self.request)

    def receive(self) -> bool:
        """Receive data; returns whether the response is complete. Raises ``ConnectionError``."""
        size = self.socket.recv_into(BUFFER)
        if not size:
            raise ConnectionError("the server closed the connection")
        data = bytes(BUFFER[:size])
        self.received = self.received + data if self.received else data
        # Responses mostly have the same size; then there is no need to parse them.
        if len(self.received) != self.size and not is_complete(self.received):
            return False
        self.size = len(self.received)
        self.answer, self.received = self.received, b""
        return True


def is_complete(received: bytes) -> bool:
    """Whether a response is complete, judged by Content-Length or the last chunk."""
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
    started, cpu = perf_counter(), process_time()
    end = started + seconds
    for connection in connections.values():
        connection.send()
    waiting = set(connections)
    while waiting:
        events = poll.poll(TIMEOUT)
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
    sample.last = [body_of(connection.answer) for connection in connections.values()]
    return sample


def body_of(answer: bytes) -> bytes:
    """The body of a complete response, with chunks joined."""
    head, _, body = answer.partition(HEAD_END)
    if b"\r\ncontent-length:" in head.lower():
        return body
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :] if int(size, 16) else b""
    return b"".join(parts)

"""Progress of a long run: one updating line on a terminal, else a line every ten seconds."""

import sys
import time


class Progress:
    def __init__(self, total: int, resumed: int = 0) -> None:
        self.total = total
        self.resumed = resumed
        self.started = self.shown = time.monotonic()
        self.line = ""

    def show(self, done: int, failed: int) -> None:
        """Print how many are done, the rate, and the estimated time left."""
        now = time.monotonic()
        terminal = sys.stdout.isatty()
        if not terminal and now - self.shown < 10 and done < self.total:
            return
        rate = (done - self.resumed) / max(now - self.started, 0.001)
        left = f"{duration((self.total - done) / rate)} left" if rate else "no rate yet"
        bad = f", {failed} FAILED" if failed else ""
        line = f"{done}/{self.total}{bad} · {rate * 60:.0f} a minute · {left}"
        if line != self.line:
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", flush=True)
            self.shown, self.line = now, line

    def end(self) -> None:
        if sys.stdout.isatty():
            print()


def duration(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

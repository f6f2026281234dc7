"""What is compared at saturation: the ambassador, and what one would use in its place, each as a process."""

import sys
from dataclasses import dataclass
from pathlib import Path

from stage import FAST, NAMES, REPLY, SERVICE, SHIPPED, SLOW, Stage, configuration

from choregos_cli.processes import Process

_HERE = Path(__file__).parent
_DURABLE = NAMES.durable(SERVICE, "Placed")
_REPLY_SUBJECT = f"{NAMES.root}.ev.{SHIPPED}.0.0"


@dataclass(frozen=True)
class Candidate:
    """One way to do the job, with one path of the service."""

    name: str
    kind: str
    """`ambassador`, `ambassador-logging`, `faststream`, `faststream-batches`, or one of the loops of `loops.py`."""
    path: str = FAST

    @property
    def replies(self) -> bool:
        """Whether each event leads to another one."""
        return self.path == REPLY

    @property
    def asks_service(self) -> bool:
        """Whether it calls the service at all."""
        return self.kind != "bare"

    async def start(self, the: Stage) -> Process:
        """Start it; it takes events from the durable as soon as it can."""
        if self.kind.startswith("ambassador"):
            emits = (SHIPPED,) if self.replies else ()
            told = configuration(the.port, "Placed", path=self.path, emits=emits)
            process, _ = await the.ambassador(told, log_events=self.kind.endswith("logging"))
            return process
        return await the.start([sys.executable, *self._loop(the.url, f"http://127.0.0.1:{the.port}{self.path}")])

    def _loop(self, url: str, target: str) -> list[str]:
        where = [url, NAMES.event_stream, _DURABLE]
        match self.kind:
            case "faststream" | "faststream-batches":
                subject = NAMES.durable_filters(SERVICE, "Placed")[0]
                way = "batches" if self.kind.endswith("batches") else "each"
                return [str(_HERE / "faststream_loop.py"), way, *where, subject, target]
            case "bare":
                return [str(_HERE / "loops.py"), "bare", *where]
            case "naive":
                return [str(_HERE / "loops.py"), "naive", *where, target]
            case "replies":
                return [str(_HERE / "loops.py"), "replies", *where, target, _REPLY_SUBJECT]
        raise ValueError(f"there is no candidate of the kind {self.kind!r}")


BARE = Candidate("bare", "bare")
NAIVE = Candidate("naive", "naive")
FASTSTREAM = Candidate("FastStream", "faststream")
FASTSTREAM_BATCHES = Candidate("FastStream, by batches", "faststream-batches")
AMBASSADOR = Candidate("ambassador", "ambassador")
LOGGING = Candidate("ambassador, a log line per event", "ambassador-logging")
NAIVE_REPLIES = Candidate("naive, one reply", "replies", REPLY)
AMBASSADOR_REPLIES = Candidate("ambassador, one reply", "ambassador", REPLY)
NAIVE_SLOW = Candidate("naive, 1 ms", "naive", SLOW)
FASTSTREAM_SLOW = Candidate("FastStream, 1 ms", "faststream", SLOW)
AMBASSADOR_SLOW = Candidate("ambassador, 1 ms", "ambassador", SLOW)

ALL = (
    AMBASSADOR,
    NAIVE,
    FASTSTREAM,
    FASTSTREAM_BATCHES,
    BARE,
    LOGGING,
    AMBASSADOR_REPLIES,
    NAIVE_REPLIES,
    AMBASSADOR_SLOW,
    NAIVE_SLOW,
    FASTSTREAM_SLOW,
)

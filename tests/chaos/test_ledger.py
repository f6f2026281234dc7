"""The ledger outlives whoever writes it; effects are done once per key, whoever is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chaos.ledger import Begun, Died, Effect, Ended, Ledger, Record, read
from chaos.records import Records, read_effects

TESTS = Path(__file__).parents[1]
WRITER = """
import sys, itertools
from pathlib import Path
from chaos.ledger import Died, Ledger
ledger = Ledger(Path(sys.argv[1]))
for number in itertools.count():
    ledger.write([Died(str(number), float(number))])
    print(number, flush=True)
"""


def test_what_was_written_is_read(tmp_path: Path) -> None:
    records: list[Record] = [
        Begun("c", "p", "e", "r", "k", 1, 1.0),
        Ended("c", 2.0, 200, replies=("A", "B")),
        Died("p", 3.0),
    ]
    ledger = Ledger(tmp_path / "a.ledger")
    ledger.write(records)
    ledger.close()
    assert list(read([tmp_path / "a.ledger"])) == records


def test_half_a_line_of_a_killed_writer_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.ledger"
    path.write_bytes(b'{"type":"died","process":"half')
    ledger = Ledger(path)
    ledger.write([Died("whole", 1.0)])
    ledger.close()
    assert list(read([path])) == [Died("whole", 1.0)]


def test_a_whole_line_that_is_no_record_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.ledger"
    path.write_bytes(b'{"type":"died","process":"one"}\n')
    with pytest.raises(msgspec.ValidationError, match="at"):
        list(read([path]))


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    ledger = Ledger(tmp_path / "full")
    with pytest.raises(OSError, match="No space left"):
        ledger.write([Died("p", 1.0)])
    ledger.close()


def test_what_a_killed_writer_told_is_in_its_ledger(tmp_path: Path) -> None:
    path = tmp_path / "a.ledger"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout
        told = [writer.stdout.readline() for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.readlines()
    assert {line.strip() for line in told} <= {each.process for each in read([path]) if isinstance(each, Died)}


async def test_an_effect_is_done_once_per_key_by_all_replicas_together(tmp_path: Path) -> None:
    replicas = [Records(tmp_path / f"{name}.ledger", tmp_path / "shop.sqlite", name) for name in ("shop-1", "shop-2")]
    calls = [Ended(f"{number}", 1.0, 200) for number in range(40)]
    await asyncio.gather(
        *(
            replica.write(call, Effect(f"event-{index % 20}", "shop/Paid", f"key-{index % 20}"))
            for index, call in enumerate(calls)
            for replica in replicas
        )
    )
    for replica in replicas:
        await asyncio.to_thread(replica.close)
    assert sorted(each.key for each in read_effects(tmp_path / "shop.sqlite")) == sorted(f"key-{n}" for n in range(20))


async def test_an_effect_without_a_key_is_done_each_time(tmp_path: Path) -> None:
    records = Records(tmp_path / "a.ledger", tmp_path / "a.sqlite", "shop-1")
    for number in range(2):
        await records.write(Ended(f"{number}", 1.0, 200), Effect("event", "shop/Paid", ""))
    await asyncio.to_thread(records.close)
    assert len(read_effects(tmp_path / "a.sqlite")) == 2

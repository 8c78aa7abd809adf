from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.recording import (
    Applied,
    Fault,
    FaultKind,
    LogWriteError,
    Outcome,
    RunDirectoryError,
    RunLog,
    Trace,
    audit_run,
    canonical,
    merge_run,
    record_hash,
)
from tests.agents.builders import a_header, record_run

APPLIED = Applied(action="A1", fields={"manoeuvre": "stop"}, decision_seq=None)


def test_same_run_recorded_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = record_run(tmp_path / "a")
    second = record_run(tmp_path / "b")

    assert (first / "trace.jsonl").read_bytes() == (second / "trace.jsonl").read_bytes()


def test_run_that_fails_is_closed_as_interrupted(tmp_path: Path) -> None:
    def run() -> None:
        with RunLog.open(tmp_path, a_header()) as log:
            log.chain("car-1").append(0, APPLIED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()

    trace = Trace.read(tmp_path)
    assert trace.end is not None
    assert trace.end.status == "interrupted"
    assert trace.step("car-1", tick=0).applied == APPLIED
    assert audit_run(tmp_path).is_intact


def test_killed_run_keeps_every_flushed_tick(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from tests.agents.builders import a_header\n"
        "from agents.recording import Applied, RunLog\n"
        "log = RunLog.open(Path(sys.argv[1]), a_header())\n"
        "for tick in range(3):\n"
        "    log.chain('car-1').append(tick, Applied(action='A1', fields={}, decision_seq=None))\n"
        "    if tick < 2: log.flush()\n"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)

    before_merge = Trace.read(tmp_path)
    merge_run(tmp_path)

    assert [step.tick for step in before_merge.steps("car-1")] == [0, 1]
    assert Trace.read(tmp_path).records == before_merge.records
    assert before_merge.end is None
    assert [finding.problem for finding in audit_run(tmp_path).findings] == ["no-end"]


def test_torn_last_line_is_left_out_and_found(tmp_path: Path) -> None:
    record_run(tmp_path, ticks=1)
    (tmp_path / "trace.jsonl").unlink()
    path = tmp_path / "agents" / "car-1.jsonl"
    path.write_bytes(path.read_bytes()[:-5])

    assert Trace.read(tmp_path).step("car-1", tick=0).applied is None
    assert "torn" in {finding.problem for finding in audit_run(tmp_path).findings}


def test_run_directory_in_use_is_refused(tmp_path: Path) -> None:
    with (
        RunLog.open(tmp_path, a_header()),
        pytest.raises(RunDirectoryError, match="which another run is writing; choose another with --out"),
    ):
        RunLog.open(tmp_path, a_header())


def test_run_directory_of_an_older_run_is_refused_and_unharmed(tmp_path: Path) -> None:
    record_run(tmp_path)
    before = (tmp_path / "trace.jsonl").read_bytes()

    with pytest.raises(RunDirectoryError, match="holds a recorded run"):
        RunLog.open(tmp_path, a_header())

    assert (tmp_path / "trace.jsonl").read_bytes() == before


def test_run_directory_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(
        RunDirectoryError, match=r"^expected a writable run directory, got `.*`: not a directory; [^\n]*$"
    ):
        RunLog.open(tmp_path / "taken", a_header())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_run_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(RunDirectoryError, match="permission denied"):
        RunLog.open(tmp_path / "run", a_header())


def test_failed_write_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    log = RunLog.open(tmp_path, a_header())
    log.chain("car-1").append(0, APPLIED)
    (tmp_path / "agents" / "car-1.jsonl").mkdir()

    with pytest.raises(LogWriteError, match="the run stops here"):
        log.flush()
    with pytest.raises(LogWriteError):
        log.close("interrupted")

    log.close("interrupted")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_stops_the_run(tmp_path: Path) -> None:
    log = RunLog.open(tmp_path, a_header())
    (tmp_path / "agents" / "run.jsonl").symlink_to("/dev/full")

    with pytest.raises(LogWriteError, match="no space left on device"):
        log.flush()
    with pytest.raises(LogWriteError):
        log.close("interrupted")


def test_record_of_an_earlier_tick_is_refused(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        log.chain("car-1").append(3, APPLIED)

        with pytest.raises(ValueError, match="expected tick 3 or later in the chain of `car-1`, got 2"):
            log.chain("car-1").append(2, APPLIED)


def test_text_is_stored_once_per_chain(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        digests = {log.chain("car-1").text(tick, "the rulebook") for tick in range(5)}

    assert len(digests) == 1
    assert Trace.read(tmp_path).texts == {digests.pop(): "the rulebook"}
    assert len((tmp_path / "agents" / "car-1.jsonl").read_bytes().splitlines()) == 1


def test_run_and_world_come_after_everything_recorded_before_them(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        for _ in range(5):
            log.chain("car-1").append(0, APPLIED)
        log.chain("world").append(0, Outcome(agent="car-1"))
        log.chain("run").append(0, Fault(fault=FaultKind.BUS_TIMEOUT, detail="car-2"))
        log.chain("car-2").append(0, APPLIED)

    kinds = [record.event.kind for record in Trace.read(tmp_path).records]
    assert kinds == [
        "header",
        "applied",
        "applied",
        "applied",
        "applied",
        "applied",
        "applied",
        "outcome",
        "fault",
        "end",
    ]


def test_wall_times_stay_beside_the_trace(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        log.write_side({"started": "2026-01-01T00:00:00Z", "tick_s": [0.25]})

    assert json.loads((tmp_path / "run.json").read_text())["tick_s"] == [0.25]
    assert b"2026-01-01" not in (tmp_path / "trace.jsonl").read_bytes()


def test_lines_are_the_canonical_bytes_of_their_records(tmp_path: Path) -> None:
    for line in (record_run(tmp_path) / "trace.jsonl").read_bytes().splitlines():
        fields = json.loads(line)

        assert canonical(fields) == line
        assert record_hash(fields) == fields["hash"]

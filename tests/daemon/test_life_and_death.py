"""The real agent process beside a real wire: it takes over, hands back, and dies without harm."""

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config.load import load_site
from agent.store.ledger import Ledger
from tests.daemon.conftest import agent_process

START = datetime(2026, 6, 16, 8, 0, tzinfo=UTC)
DEAD_MAN_S = 4.0


class Plant:
    """A twin that is moved along with real time while the agent lives."""

    def __init__(self, twin) -> None:
        self.twin, self.at = twin, START
        self.began = time.monotonic()

    def live_until(self, condition, limit_s: float):
        """Move the plant with real time until `condition(station)`; the states on the way."""
        states = []
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            now = START + timedelta(seconds=time.monotonic() - self.began)
            states.append(self.twin.ask({"advance_to": now.isoformat()})["stations"]["air"])
            if condition(states[-1]):
                return states
            time.sleep(0.1)
        raise AssertionError(f"not within {limit_s} s; last state: {states[-1]}")


def all_local(station: dict) -> bool:
    return all(machine["local"] for machine in station["machines"].values())


def none_local(station: dict) -> bool:
    return not any(machine["local"] for machine in station["machines"].values())


def test_killed_agent_leaves_every_machine_in_local_control_within_its_dead_man_time(
    site_file: Path, tmp_path: Path, start_twin
):
    minimum = load_site(site_file).stations["air"].pressure_min_bar_g
    plant = Plant(start_twin(site_file, START.isoformat()))
    with agent_process(site_file, tmp_path / "state") as agent:
        plant.live_until(none_local, 30)

        agent.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        states = plant.live_until(all_local, DEAD_MAN_S + 3.0)

    # The heartbeat was written at most a tick before the kill; the twin moves in whole seconds.
    assert time.monotonic() - killed_at <= DEAD_MAN_S + 2.0
    after = plant.live_until(lambda _: time.monotonic() - killed_at > 12.0, 15)
    assert min(state["pressure_bar_g"] for state in states + after) > minimum


def test_terminated_agent_hands_back_at_once_and_writes_it_down(site_file: Path, tmp_path: Path, start_twin):
    plant = Plant(start_twin(site_file, START.isoformat()))
    with agent_process(site_file, tmp_path / "state") as agent:
        plant.live_until(none_local, 30)

        agent.send_signal(signal.SIGTERM)
        states = plant.live_until(all_local, DEAD_MAN_S - 1.0)
        assert agent.wait(10) == 0

    assert states
    with closing(Ledger(tmp_path / "state" / "ledger.db")) as ledger:
        kinds = [entry.kind for entry in ledger.since(datetime(2020, 1, 1, tzinfo=UTC), limit=100_000)]
        sound = ledger.verify().ok
    assert kinds[:2] == ["ledger_verified", "agent_started"]
    assert kinds[-1] == "agent_stopped"
    assert "command_written" in kinds
    assert sound


def test_agent_refuses_a_site_that_contradicts_itself(site_file: Path, tmp_path: Path):
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(
        text.replace("pressure_min_bar_g = 6.3", "pressure_min_bar_g = 9.9"), encoding="utf-8"
    )

    with agent_process(site_file, tmp_path / "state") as agent:
        _, said = agent.communicate(timeout=20)

    assert agent.returncode == 2
    assert "fix:" in said
    assert not (tmp_path / "state").exists()


def test_operator_locks_a_machine_out_of_a_running_agent_by_command(
    site_file: Path, tmp_path: Path, start_twin
):
    plant, state = Plant(start_twin(site_file, START.isoformat())), tmp_path / "state"
    words = [sys.executable, "-m", "agent.cli", "override", str(site_file)]
    with agent_process(site_file, state):
        plant.live_until(none_local, 30)
        name = "c1"
        asked = subprocess.Popen(
            [*words, name, "lockout", "--why", "oil change", "--state", str(state)],
            stdout=subprocess.PIPE,
            text=True,
        )
        plant.live_until(lambda _: asked.poll() is not None, 30)

    assert asked.communicate()[0].startswith(f"done\nair {name}")
    shown = subprocess.run(
        [*words, "--state", str(state), "--json"], capture_output=True, text=True, check=True
    )
    assert [each["action"] for each in json.loads(shown.stdout)["overrides"]] == ["lockout"]
    with closing(Ledger(state / "ledger.db")) as ledger:
        kinds = [row.kind for row in ledger.since(datetime(2020, 1, 1, tzinfo=UTC), limit=100_000)]
    assert "override_asked" in kinds

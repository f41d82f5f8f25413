#!/usr/bin/env python3
"""A fleet of simulated sites against one mosquitto: a good release goes through, a bad one stops at the canary.

    .venv/bin/python benchmarks/rollout.py [--sites 500] [--db postgresql+psycopg://...]

Each site runs the agent's own update engine and TUF client over MQTT with a session of its own (tests/fleet/simulated_sites.py);
its gateway is simulated, and a trial lasts 1 s. `rollout run` is a process of its own, the block server another one, and
the service is killed (SIGKILL) in the middle of the good roll-out. Two roll-outs: 1.1.0 in rings of 2, 10 %, 50 %, 100 %
without soak; then 1.2.0, which crashes, in the same rings. Exit code 1 when either does not end as it has to.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.clock import cpu_s, elapsed_s, pause
from fleet.cli import main as fleet_main
from fleet.database import open_database
from fleet.rollout.decide import OVER, Phase, Rollout, counts
from fleet.rollout.record import load
from tests.fleet.conftest import Operator
from tests.fleet.simulated_sites import SimulatedFleet

RINGS = "2,10%,50%,100%"
LIMIT_S = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--db", help="the fleet's database (default: an SQLite file)")
    options = parser.parse_args()
    sites = [f"works{number:03d}" for number in range(options.sites)]
    with TemporaryDirectory() as folder:
        began_s = elapsed_s()
        operator = Operator(Path(folder), sites)
        operator.db = options.db or operator.db
        print(f"{len(sites)} sites enrolled: {elapsed_s() - began_s:.1f} s")
        with operator.online():
            return asyncio.run(prove(operator, sites, Path(folder)))


async def prove(operator: Operator, sites: list[str], folder: Path) -> int:
    """Both roll-outs, and their figures."""
    good, bad = operator.publish("1.1.0"), operator.publish("1.2.0", "crashes")
    before_s = cpu_s()
    with SimulatedFleet(
        sites, operator.mosquitto.port, folder, operator.root_file, step_s=1.0, workers=4
    ) as fleet:
        began_s = elapsed_s()
        while not all(site.updater.status()["trust"]["refreshed_at"] for site in fleet.sites.values()):
            await pause(0.5)
        while any(not site.updater.idle for site in fleet.sites.values()):
            await pause(0.5)
        print(f"every site has looked once: {elapsed_s() - began_s:.1f} s")
        services = [operator.run_rollouts()]
        went_well = await roll_out(operator, "good", good, services)
        stopped = await roll_out(operator, "bad", bad)
        services[-1].terminate()
        services[-1].wait(30)
        wrong = [site for site in fleet.sites.values() if site.gateway.release != good]
        doubled = [
            site for site in fleet.sites.values() if site.gateway.installed_jobs[:1] != [f"good-{site.id}"]
        ]
        bothered = sum(len(site.gateway.installed_jobs) == 2 for site in fleet.sites.values())
    used_s = cpu_s() - before_s
    print(f"sites on the good release at the end: {len(sites) - len(wrong)} of {len(sites)}")
    print(f"sites that were given the bad one: {bothered}; that took a job twice or another: {len(doubled)}")
    print(
        f"CPU of this process (all sites and the block server): {used_s:.0f} s, {1000 * used_s / len(sites):.0f} ms a site"
    )
    fine = (
        went_well.phase is Phase.DONE
        and stopped.phase is Phase.STOPPED
        and stopped.ring == 0
        and not wrong
        and not doubled
        and bothered <= 2
    )
    print("good" if fine else "NOT as it has to be")
    return 0 if fine else 1


async def roll_out(
    operator: Operator, rollout_id: str, release: str, services: list[subprocess.Popen[bytes]] | None = None
) -> Rollout:
    """Begin one, wait for its end; with `services` the last of them is killed half-way, and another one begun."""
    began_s = elapsed_s()
    places = ["--repo", str(operator.repo), "--keys", str(operator.keys), "--db", operator.db]
    about = ["--id", rollout_id, "--kind", "agent", "--release", release, "--all", "--why", "a benchmark"]
    limits = ["--rings", RINGS, "--soak-s", "0", "--per-minute", "100000"]
    with redirect_stdout(io.StringIO()):
        assert fleet_main(["rollout", "start", *places, *about, *limits]) == 0
    print(f"{rollout_id}: begun after {elapsed_s() - began_s:.1f} s")
    database = open_database(operator.db)
    ring = 0
    try:
        while True:
            rollout = load(database, rollout_id)
            assert rollout is not None
            if rollout.ring > ring:
                ring = rollout.ring
                print(
                    f"{rollout_id}: ring {rollout.plan.rings[ring].name} begins after {elapsed_s() - began_s:.1f} s"
                )
            given = sum(row.given_at is not None for row in rollout.rows.values())
            if services and len(services) == 1 and given > len(rollout.rows) / 2:
                services[0].send_signal(signal.SIGKILL)
                services[0].wait()
                services.append(operator.run_rollouts())
                print(f"{rollout_id}: service killed and begun again after {elapsed_s() - began_s:.1f} s")
            if rollout.phase in OVER or elapsed_s() - began_s > LIMIT_S:
                break
            await pause(0.5)
    finally:
        database.close()
    rows = [ring._asdict() for ring in counts(rollout)]
    print(f"{rollout_id}: {rollout.phase.value}, {rollout.reason}, after {elapsed_s() - began_s:.1f} s")
    print("  " + "; ".join(f"{r['name']}: {r['good']} good, {r['bad']} failed of {r['sites']}" for r in rows))
    return rollout


if __name__ == "__main__":
    sys.exit(main())

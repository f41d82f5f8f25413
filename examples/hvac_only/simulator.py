#!/usr/bin/env python3
"""A building simulator of one's own that drives `trimload cosim`: two halls, on/off units, no library of Trimload.

    examples/hvac_only/simulator.py [--days 2] [--past-days 14] [--trimload "trimload"]

It lives some days under its own time switch and writes them to past.csv; takes the figures of the building out of a
copy of site.toml, as if nobody knew them; and lets the agent, which learns them from past.csv, set the halls'
set-points. What it does not do an agent must bear: sensors of 0.1 K, power as a mean of five minutes, units that
run or stand, a mass the agent cannot see. Prints one line of JSON: energy, discomfort and starts of both.
"""

import argparse
import json
import math
import random
import shlex
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEP_MIN, FINE_S = 5, 30
BEGIN = datetime(2026, 1, 19, tzinfo=UTC)
# (device, hours with people in UTC, air, floor and shell in kWh/K, floor and shell in kW/K, leak, people's heat, heater)
HALLS = (
    ("rtu1", 5, 21, 5.0, 45.0, 12.0, 4.0, 1.2, 1.1, 14.0, 75.0),
    ("rtu2", 5, 17, 2.6, 20.0, 6.0, 2.2, 0.7, 0.6, 7.0, 42.0),
)
LOW, HIGH, SET_BACK_LOW, SET_BACK_HIGH = 20.0, 25.0, 15.0, 30.0
COP, FAN_SHARE, DEAD_BAND_K, LEAST_S = 2.9, 0.05, 0.4, 600


class Hall:
    """Air, floor and shell of one hall; a unit that runs at full power or stands."""

    def __init__(self, figures):
        (self.device, self.opens, self.closes, self.air_c, self.floor_c, self.shell_c) = figures[:6]
        (self.floor_k, self.shell_k, self.leak, self.people_kw, self.full_kw) = figures[6:]
        self.air, self.floor, self.shell = 19.0, 19.0, 14.0
        self.heating_set, self.cooling_set, self.enable = SET_BACK_LOW, SET_BACK_HIGH, 1.0
        self.runs, self.since_s = 0, LEAST_S
        self.energy = self.discomfort = self.mean_kw = 0.0
        self.starts = 0

    def occupied(self, at):
        return at.weekday() < 5 and self.opens <= at.hour < self.closes

    def live(self, at, outdoor, sun, draught):
        """Five minutes."""
        used = 0.0
        for _ in range(STEP_MIN * 60 // FINE_S):
            h = FINE_S / 3600
            cold, warm = self.heating_set - self.air, self.air - self.cooling_set
            wish = (cold > -DEAD_BAND_K / 2 if self.runs > 0 else cold > DEAD_BAND_K / 2) - (
                warm > -DEAD_BAND_K / 2 if self.runs < 0 else warm > DEAD_BAND_K / 2
            )
            wish *= int(self.enable)
            self.since_s += FINE_S
            if wish != self.runs and self.since_s >= LEAST_S:
                self.starts += self.runs == 0
                self.runs, self.since_s = (wish if self.runs == 0 else 0), 0
            people = self.occupied(at)
            power = (
                abs(self.runs) * self.full_kw / COP + (people or self.runs != 0) * FAN_SHARE * self.full_kw
            )
            leak = self.leak * (1.0 + people * draught)
            gains = self.people_kw * people + 0.004 * sun
            to_floor, to_shell = (
                self.floor_k * (self.air - self.floor),
                self.shell_k * 3 * (self.air - self.shell),
            )
            heat = self.runs * self.full_kw + gains - to_floor - to_shell + leak * (outdoor - self.air)
            self.air += h * heat / self.air_c
            self.floor += h * (to_floor + 0.006 * sun) / self.floor_c
            self.shell += h * (to_shell - self.shell_k * 1.5 * (self.shell - outdoor)) / self.shell_c
            used += power * h
            if people:
                self.discomfort += h * max(LOW - self.air, self.air - HIGH, 0.0)
        self.energy += used
        self.mean_kw = used * 60 / STEP_MIN


def weather(at):
    """Outdoor temperature and sun: a wave a day, and spells of some days."""
    days = (at - BEGIN) / timedelta(days=1)
    hour = at.hour + at.minute / 60
    sun = max(0.0, 350 * math.sin((hour - 7.0) / 9.0 * math.pi)) if 7 < hour < 16 else 0.0
    return 1.0 + 4.0 * math.sin(days / 2.7) + 3.5 * math.cos((hour - 14) / 12 * math.pi), sun * (
        1 + math.sin(days)
    ) / 2


def readings(halls, at):
    outdoor, sun = weather(at)
    out = {"weather.outdoor_temp": round(outdoor, 1), "weather.solar": round(sun)}
    for hall in halls:
        out |= {
            f"{hall.device}.zone_temp": round(hall.air, 1),
            f"{hall.device}.power_kw": round(hall.mean_kw, 2),
            f"{hall.device}.heating_setpoint": hall.heating_set,
            f"{hall.device}.cooling_setpoint": hall.cooling_set,
            f"{hall.device}.occupied": float(hall.occupied(at)),
            f"{hall.device}.enable": hall.enable,
        }
    return out


def time_switch(halls, at):
    """The site's own control: comfort with people, set-back without."""
    for hall in halls:
        hall.enable = 1.0
        if hall.occupied(at):
            hall.heating_set, hall.cooling_set = LOW, HIGH
        else:
            hall.heating_set, hall.cooling_set = SET_BACK_LOW, SET_BACK_HIGH


def obey(halls, commands, at):
    """Commands to set-points; null gives a hall back to its time switch."""
    for hall in halls:
        mine = {
            tag.partition(".")[2]: value for tag, value in commands.items() if tag.startswith(hall.device)
        }
        if any(value is None for value in mine.values()):
            time_switch([hall], at)
        hall.heating_set = mine.get("heating_setpoint") or hall.heating_set
        hall.cooling_set = mine.get("cooling_setpoint") or hall.cooling_set
        hall.enable = hall.enable if mine.get("enable") is None else mine["enable"]


def without_models(text):
    """site.toml as an engineer would write it: no figures of the building."""
    kept, drop = [], False
    for line in text.splitlines():
        if line.startswith("["):
            drop = line.startswith("[hvac.zones.") and line.endswith(".model]")
        if not drop:
            kept.append(line)
    return "\n".join(kept) + "\n"


def lived(control, begin, days, seed, halls):
    """Live on; `control(at)` is asked every five minutes, before they pass."""
    rng = random.Random(seed)
    for k in range(round(days * 24 * 60 / STEP_MIN)):
        at = begin + timedelta(minutes=STEP_MIN * k)
        control(at)
        for hall in halls:
            hall.live(at, *weather(at), rng.random() * 1.5)


def books(halls):
    out = {
        "energy_kwh": round(sum(hall.energy for hall in halls), 1),
        "discomfort_kh": round(sum(hall.discomfort for hall in halls), 2),
        "starts": sum(hall.starts for hall in halls),
    }
    for hall in halls:
        hall.energy, hall.discomfort, hall.starts = 0.0, 0.0, 0
    return out


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, default=2.0)
    parser.add_argument("--past-days", type=float, default=14.0)
    parser.add_argument("--trimload", default="trimload", help="the command, with its words")
    options = parser.parse_args()
    before = BEGIN - timedelta(days=options.past_days)
    with tempfile.TemporaryDirectory() as folder:
        site, past = Path(folder) / "site.toml", Path(folder) / "past.csv"
        site.write_text(without_models((HERE / "site.toml").read_text(encoding="utf-8")), encoding="utf-8")

        runs = {}
        for name in ("time switch", "trimload"):
            halls = [Hall(figures) for figures in HALLS]
            rows = []

            def switch(at, halls=halls, rows=rows):
                time_switch(halls, at)
                rows.append((at, readings(halls, at)))

            lived(switch, before, options.past_days, 1, halls)
            books(halls)
            if name == "time switch":
                tags = list(rows[0][1])
                lines = [",".join(["at", *tags])]
                lines += [",".join([at.isoformat(), *(str(row[tag]) for tag in tags)]) for at, row in rows]
                past.write_text("\n".join(lines) + "\n", encoding="utf-8")
                lived(lambda at, halls=halls: time_switch(halls, at), BEGIN, options.days, 2, halls)
                runs[name] = books(halls)
                continue
            command = [*shlex.split(options.trimload), "cosim", str(site), "--history", str(past)]
            agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            modes, repeated = [], 0

            def ask(at, halls=halls, agent=agent, modes=modes):
                nonlocal repeated
                now = readings(halls, at)
                agent.stdin.write(json.dumps({"at": at.isoformat(), "readings": now}) + "\n")
                agent.stdin.flush()
                answer = json.loads(agent.stdout.readline())
                modes.append(answer["mode"]["hvac"])
                repeated += sum(now.get(tag) == value for tag, value in answer["commands"].items())
                obey(halls, answer["commands"], at)

            lived(ask, BEGIN, options.days, 2, halls)
            agent.stdin.close()
            agent.wait(timeout=60)
            runs[name] = books(halls) | {
                "first_modes": modes[:3],
                "last_mode": modes[-1],
                "written_though_it_stood_there": repeated,
            }
    print(json.dumps(runs))


if __name__ == "__main__":
    main()

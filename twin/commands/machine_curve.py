"""`trimload machine-curve`: what one compressor takes at part load, by its kind of control."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agent.errors import DataError
from twin.machine_curve import power_kw
from twin.machine_file import parse_machine
from twin.machine_plate import MachinePlate
from twin.machine_plot import curve_page, curve_svg

EXIT_OK = 0
_ACFM_PER_M3_MIN = 35.3146667
_DEFAULT_AT = ",".join(f"{tenth / 10:g}" for tenth in range(11))
_DESCRIPTION = """\
Mean power of one compressor at a mean flow, from its data sheet: the part-load equations of the US
national laboratories' tool suite (AIRMaster+ / MEASUR). MACHINE.json is one object; - reads it from
standard input.
"""
_EPILOG = """\
keys (every quantity also in SI, in brackets; unknown keys are errors, null is a key left out)
  type            load-unload, modulation-unload, variable-displacement-unload, modulation, start-stop, vsd,
                  centrifugal-blow-off, centrifugal-load-unload, centrifugal-modulation-unload
  full_load_kw, capacity_acfm [capacity_m3_min]                   needed by all
  storage_ft3 [storage_m3]      receivers and pipes; needed by load-unload, modulation-unload and
                                variable-displacement-unload: it decides how often they unload
  lubricant                     "injected" (default) or "free": no sump, so no blow-down and no reload time
  load_pressure_psig [load_pressure_bar_g]                        default 100 psi
  unload_pressure_psig [unload_pressure_bar_g]  where full flow ends: load-unload and start-stop machines
                                unload or stop there, modulating ones begin to throttle;
                                default: load pressure, plus 10 psi for those that do not throttle
  max_full_flow_kw              full flow at that pressure; default: full_load_kw by the pressure ratio
  no_load_kw                    running unloaded; default 17 % of full load (VSD 5 %);
                                modulation: at no flow, default fully_modulated_power_share
                                centrifugal-blow-off: blowing everything off, default by the share below
  modulating_range_psi [modulating_range_bar]   open to closed inlet; default 20, variable displacement 17
  unload_point_percent [unload_point_share]     flow at which a throttled machine unloads; default 50,
                                variable displacement 40. Centrifugal: the surge point, no default
  fully_modulated_power_share   with a closed inlet; default 0.65, variable displacement 0.57, centrifugal 0.1
  unloaded_sump_psig [unloaded_sump_bar_g] 15, blowdown_s 40, atmosphere_psia [atmosphere_bar_a] 14.7
  turndown_kw, turndown_acfm [turndown_m3_min]  vsd: least speed, default 20 % flow and 32 % power;
                                centrifugal: the surge point, instead of unload_point_percent
  mid_turndown_kw, mid_turndown_acfm [mid_turndown_m3_min]        vsd: half way, default on a straight line
  max_full_flow_acfm [max_full_flow_m3_min]     centrifugal-modulation-unload: flow where the guide vanes are
                                open, default capacity

At full flow the power is full-load power by definition. Just below it a machine that cycles takes up to
half of (max_full_flow_kw - full_load_kw) more: it works at the upper end of its pressure band.

  trimload machine-curve screw.json --at 0.1,0.25,0.5 --json
  echo '{"type":"vsd","full_load_kw":174.4,"capacity_acfm":1009}' | trimload machine-curve - --plot vsd.html

exit codes: 0 done; 2 bad input, nothing was done
"""


def command(argv: Sequence[str]) -> int:
    """Run `trimload machine-curve`."""
    args = _parser().parse_args(list(argv))
    fractions = _fractions(args.at)
    text, where = _text(args.machine)
    plate = parse_machine(text, where=where)
    points = [(fraction, power_kw(plate, fraction)) for fraction in fractions]
    if args.plot is not None:
        _write_plot(Path(args.plot), plate, points)
    if args.json:
        rows = [{"capacity_fraction": fraction, "power_kw": round(power, 4)} for fraction, power in points]
        print(json.dumps({"points": rows}))
    else:
        Console().print(_table(plate, points))
    return EXIT_OK


def _text(name: str) -> tuple[str, str]:
    """(text, what to call it in an error)."""
    if name == "-":
        return sys.stdin.read(), "standard input"
    try:
        return Path(name).read_text(encoding="utf-8"), name
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(
            f"cannot read {name}: {reason}",
            where=name,
            fix="give the path of a JSON file, or - for standard input",
        ) from None


def _fractions(text: str) -> list[float]:
    out = []
    for word in text.split(","):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not 0.0 <= value <= 1.0:
            raise DataError(
                f"--at {word.strip() or text!r}: no share of capacity",
                where="--at",
                fix="write shares from 0 to 1 with commas between, such as --at 0.1,0.25,0.5",
            )
        out.append(value)
    return out


def _table(plate: MachinePlate, points: Sequence[tuple[float, float]]) -> Table:
    table = Table(title=_title(plate), title_justify="left")
    for name in ("capacity", "m3/min", "acfm", "kW", "of full load", "kW min/m3"):
        table.add_column(name, justify="right")
    for fraction, power in points:
        flow = fraction * plate.capacity_m3_min
        table.add_row(
            f"{fraction:.1%}",
            f"{flow:.2f}",
            f"{flow * _ACFM_PER_M3_MIN:.0f}",
            f"{power:.2f}",
            f"{power / plate.full_load_kw:.1%}",
            f"{power / flow:.2f}" if flow > 0.0 else "-",
        )
    return table


def _title(plate: MachinePlate) -> str:
    return f"{plate.type}, {plate.full_load_kw:g} kW, {plate.capacity_m3_min:.4g} m3/min"


def _write_plot(path: Path, plate: MachinePlate, marks: Sequence[tuple[float, float]]) -> None:
    if path.suffix not in (".html", ".svg"):
        raise DataError(
            f"--plot {path}: what is a {path.suffix or 'file without suffix'}?",
            where="--plot",
            fix="name it .html or .svg",
        )
    line = [(step / 200.0, power_kw(plate, step / 200.0)) for step in range(201)]
    svg = curve_svg(_title(plate), line, full_load_kw=plate.full_load_kw, marks=marks)
    try:
        path.write_text(svg if path.suffix == ".svg" else curve_page(_title(plate), svg), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}", where="--plot", fix="give a path that can be written"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload machine-curve",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("machine", metavar="MACHINE.json", help="the machine, or - for standard input")
    parser.add_argument(
        "--at", default=_DEFAULT_AT, metavar="SHARES", help="shares of capacity, 0 to 1 (default: tenths)"
    )
    parser.add_argument("--json", action="store_true", help="points for machines instead of a table")
    parser.add_argument("--plot", metavar="FILE", help="also draw the whole curve into FILE.html or FILE.svg")
    return parser

"""Training of many sites by the one command, and what it costs: made-up plants, small data, one row a site.

    python benchmarks/forecast_sites.py [--sites 200] [--days 28] [--jobs 2] [--runner pool|ray]

Every site is a folder with site.toml and an hourly CSV of --days; one in fifty has no data and one in fifty a broken
site file, so that failures are seen. `--quick` fits: this measures the running of many jobs, not the models.
Exit 0: every sound site has a model and every bad one its row with an error.
"""

import argparse
import csv
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from agent.clock import elapsed_s
from training.cli import main as train

BEGIN_AT = datetime(2025, 1, 6, tzinfo=UTC)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runner", default="pool")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="trimload-sites-") as temporary:
        folder = Path(temporary)
        bad = {_site(folder, number, options.days) for number in range(options.sites)} - {""}
        files = sorted(str(path) for path in folder.glob("*/site.toml"))
        began_s = elapsed_s()
        code = train(
            ["fit", *files, "--data", str(folder / "{site}" / "air.csv"), "--target", "air", "--step", "1h",
             "--horizon", "24", "--quick", "--out", str(folder / "models" / "{site}"), "--jobs", str(options.jobs),
             "--runner", options.runner, "--table", str(folder / "table.csv")]
        )  # fmt: skip
        took_s = elapsed_s() - began_s
        with (folder / "table.csv").open(encoding="utf-8") as source:
            rows = list(csv.DictReader(source))
        models = len(list((folder / "models").glob("*/air.onnx")))
    failed = {row["site"] for row in rows if row["error"]}
    cpu_s = sum(float(row["cpu_s"]) for row in rows)
    print(
        f"{len(rows)} rows of {options.sites} sites, {models} models, {len(failed)} failed (made so: {len(bad)}); "
        f"{took_s:.0f} s on the clock, {cpu_s:.0f} CPU s in the jobs; exit code {code}"
    )
    return 0 if failed == bad and len(rows) == options.sites and code == (1 if bad else 0) else 1


def _site(folder: Path, number: int, days: int) -> str:
    """Write one site; its name where it is made to fail, else an empty text."""
    name = f"s{number:04d}"
    place = folder / name
    place.mkdir()
    broken, empty = number % 50 == 17, number % 50 == 31
    text = "[site\n" if broken else f'[site]\nid = "{name}"\ntimezone = "Europe/Berlin"\ncountry = "DE"\n'
    (place / "site.toml").write_text(text, encoding="utf-8")
    if not empty:
        rng = np.random.default_rng(number)
        hour = np.arange(24 * days)
        works = (hour % 24 >= 6) & (hour % 24 < rng.integers(14, 23)) & ((hour // 24) % 7 < 5)
        air = rng.uniform(1, 5) + rng.uniform(5, 40) * works + rng.normal(0, 1, len(hour))
        rows = [
            f"{(BEGIN_AT + timedelta(hours=int(h))).isoformat()},{a:.3f}"
            for h, a in zip(hour, air, strict=True)
        ]
        (place / "air.csv").write_text("\n".join(["timestamp,air", *rows, ""]), encoding="utf-8")
    return name if broken or empty else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

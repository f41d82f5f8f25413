"""`trimload-fleet status`: the fleet at one glance."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing

from agent.clock import WallClock
from fleet.commands.options import add_database
from fleet.database import open_database
from fleet.overview import overview, overview_dict, table


def command(argv: Sequence[str]) -> int:
    """Print what was last heard of every site, and where the roll-outs stand."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet status",
        description="Every site: there or since when not, version, modes, savings of 28 days, jobs, alarms; and the "
        "roll-outs. Read from the database that `trimload-fleet rollout run` keeps.",
        epilog="exit codes: 0 all is well; 1 a site is offline, silent or has an alarm, or the latest roll-out stopped; "
        "2 no database",
    )
    add_database(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    options = parser.parse_args(argv)
    with closing(open_database(options.db)) as database:
        view = overview(database, WallClock().now())
    print(json.dumps(overview_dict(view), indent=1) if options.json else "\n".join(table(view)))
    return 1 if view.bad_news else 0

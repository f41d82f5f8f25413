"""trimload-train: fit, back-test, report and publish forecasters."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.errors import TrimloadError
from training.commands import backtest, fit, publish, report
from training.commands.output import WRONG

EXAMPLES = """examples
  Train on a site's history, one model file a target:
    trimload-train fit site.toml --data history.parquet --target air_demand --out models/
  Is it better than the naive rules, on your own data?
    trimload-train backtest --data load.csv --time timestamp --target kw --step 15min --horizon 96 \\
        --train-end 2024-10-01 --models naive,lgbm,ensemble --json scores.json --predictions forecasts.csv
  Look at it, then let the gate decide:
    trimload-train report --scores scores.json --predictions forecasts.csv --data load.csv --target kw --out report.html
    trimload-train publish models/kw.onnx --data load.csv --to published/

exit codes
  0 done   1 a job failed, or the gate refused (the reasons are printed)   2 wrong arguments or data"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the result."""
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code: int = options.run(options)
    except TrimloadError as error:
        if getattr(options, "json", None) == Path("-"):
            print(json.dumps({"error": error.as_dict()}))
        print(
            f"{type(error).__name__}: {error.what}\n  where: {error.where}\n  fix:   {error.fix}",
            file=sys.stderr,
        )
        return WRONG
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload-train",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (fit, backtest, report, publish):
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())

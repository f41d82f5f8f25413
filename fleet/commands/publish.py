"""`trimload-fleet publish`: files into the repository, and jobs for sites."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import DataError
from agent.update.job import Job, Kind, Target, Timeouts, job_dict
from fleet.commands.options import add_places, finish, repository_of
from fleet.publish import (
    assign,
    next_counter,
    publish_agent,
    publish_config,
    publish_model,
    release_targets,
    site_of,
    targets_of,
    withdraw,
)
from fleet.signing import Repository

_EXAMPLES = """\
examples:
  trimload-fleet publish model  --repo REPO --keys K works-north air.demand_m3_min.onnx --assign
  trimload-fleet publish config --repo REPO --keys K works-north site.toml
  trimload-fleet publish agent  --repo REPO --keys K dist/*.whl --version 1.4.0
  trimload-fleet publish job    --repo REPO --keys K works-north --kind agent --release 1.4.0-3fa9c2d1
  trimload-fleet publish withdraw --repo REPO --keys K works-north --kind agent

exit codes: 0 done and published; 1 staged, other keys have to sign; 2 bad input
"""


def command(argv: Sequence[str]) -> int:
    """Run one of `publish`' sub-commands."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet publish",
        description="Publish files, checked as a site would check them, and tell sites to take them. A job names exact "
        "files; until a site has a job for them it takes none. Whole fleets in rings: trimload-fleet rollout.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, help_text in (
        ("model", _model, "an ONNX forecaster for a site"),
        ("config", _config, "a site's site.toml"),
    ):
        sub = commands.add_parser(name, help=help_text)
        add_places(sub)
        sub.add_argument("site", help="id of the site")
        sub.add_argument("file", type=Path)
        sub.add_argument("--assign", action="store_true", help="and give the site the job to take it")
        _job_options(sub)
        sub.set_defaults(run=run)
    agent = commands.add_parser("agent", help="an agent release for every site: all its wheels")
    add_places(agent)
    agent.add_argument("wheels", nargs="+", type=Path, help="every wheel of the release")
    agent.add_argument("--version", required=True, help="version of trimload in it")
    agent.add_argument("--python", default="3.11", help="Python that the wheels are for (3.11)")
    agent.add_argument("--machine", default="x86_64", help="x86_64 or aarch64")
    agent.set_defaults(run=_agent)
    job = commands.add_parser("job", help="tell a site to take published files")
    add_places(job)
    job.add_argument("site", help="id of the site")
    job.add_argument("--kind", required=True, choices=[kind.value for kind in Kind])
    job.add_argument("--release", help="agent: the release's name")
    job.add_argument("--target", help="model: the forecast target, e.g. air.demand_m3_min")
    _job_options(job)
    job.set_defaults(run=_job)
    back = commands.add_parser("withdraw", help="take a site's open job back")
    add_places(back)
    back.add_argument("site", help="id of the site")
    back.add_argument("--kind", required=True, choices=[kind.value for kind in Kind])
    back.set_defaults(run=_withdraw)
    options = parser.parse_args(argv)
    result: int = options.run(options)
    return result


def _job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", help="id of the job (default: site, kind and counter)")
    parser.add_argument("--not-before", help="not downloaded before this instant (ISO 8601 with zone)")
    parser.add_argument("--not-after", help="not installed after this instant (ISO 8601 with zone)")
    parser.add_argument("--trial-s", type=float, help="longest trial, seconds")


def _model(options: argparse.Namespace) -> int:
    repository = repository_of(options)
    with repository.lock():
        outcome, target = publish_model(repository, options.site, _read(options.file))
        outcomes = [outcome]
        if options.assign and outcome.published:
            outcomes.append(
                assign(repository, options.site, _new_job(repository, options, Kind.MODEL, (target,)))
            )
        return finish(repository, outcomes, as_json=options.json)


def _config(options: argparse.Namespace) -> int:
    repository, text = repository_of(options), _read(options.file)
    if site_of(text) != options.site:
        raise DataError(
            f"the file is for site {site_of(text)!r}",
            where=str(options.file),
            fix="name the right file or site",
        )
    with repository.lock():
        outcome, target = publish_config(repository, options.site, text)
        outcomes = [outcome]
        if options.assign and outcome.published:
            outcomes.append(
                assign(repository, options.site, _new_job(repository, options, Kind.CONFIG, (target,)))
            )
        return finish(repository, outcomes, as_json=options.json)


def _agent(options: argparse.Namespace) -> int:
    repository = repository_of(options)
    with repository.lock():
        outcome, release, targets = publish_agent(
            repository,
            options.wheels,
            version=options.version,
            python=options.python,
            machine=options.machine,
        )
        result = finish(repository, [outcome], as_json=options.json)
    if not options.json:
        size_mb = sum(target.length for target in targets) / 1e6
        print(f"release {release}: {len(targets) - 1} wheels, {size_mb:.1f} MB")
    return result


def _job(options: argparse.Namespace) -> int:
    repository, kind = repository_of(options), Kind(options.kind)
    with repository.lock():
        if kind is Kind.AGENT:
            if options.release is None:
                raise DataError("which release?", where="--release", fix="name it: --release 1.4.0-3fa9c2d1")
            targets = release_targets(repository, options.release)
        elif kind is Kind.CONFIG:
            targets = targets_of(repository, f"config-{options.site}", [f"config/{options.site}/site.toml"])
        else:
            if options.target is None:
                raise DataError("which model?", where="--target", fix="name it: --target air.demand_m3_min")
            path = f"models/{options.site}/{options.target}.onnx"
            targets = targets_of(repository, f"models-{options.site}", [path])
        job = _new_job(repository, options, kind, targets)
        result = finish(repository, [assign(repository, options.site, job)], as_json=False)
    print(json.dumps(job_dict(job)) if options.json else f"job {job.id}, counter {job.counter}")
    return result


def _withdraw(options: argparse.Namespace) -> int:
    repository = repository_of(options)
    with repository.lock():
        outcome = withdraw(repository, options.site, Kind(options.kind))
        return finish(repository, [outcome], as_json=options.json)


def _new_job(
    repository: Repository, options: argparse.Namespace, kind: Kind, targets: tuple[Target, ...]
) -> Job:
    counter = next_counter(repository, options.site)
    release = getattr(options, "release", None)
    return Job(
        id=options.id or f"{options.site}-{kind.value}-{counter}",
        kind=kind,
        site=options.site,
        counter=counter,
        release=release or f"{targets[0].path.rsplit('/', 1)[1]} {targets[0].sha256[:8]}",
        targets=targets,
        not_before=_instant(options.not_before),
        not_after=_instant(options.not_after),
        timeouts=Timeouts() if options.trial_s is None else Timeouts(trial_s=options.trial_s),
    )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise DataError(
            f"{text!r} is no instant with a time zone",
            where="--not-before, --not-after",
            fix="write 2026-12-01T02:00:00+01:00",
        )
    return at.astimezone(UTC)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), fix="name a file") from error

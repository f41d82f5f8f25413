"""The updater's place in the agent: built beside the control loop, stepped once a second, never awaited by a tick."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.clock import boot_s, elapsed_s
from agent.config.load import SiteErrors, load_site, read_site
from agent.config.site import Site
from agent.daemon.update_host import UpdateHost
from agent.inference.model import Model
from agent.log import get_logger
from agent.update.active import CONFIG, ROLLED_BACK, Active, ActiveFiles, rolled_back
from agent.update.boot import boot_id
from agent.update.engine import Updater
from agent.update.files import sha256_of, write_durably
from agent.update.job import Kind, State, stamp
from agent.update.local import LocalRequest, answer_request, take_requests
from agent.update.looking import Looker
from agent.update.place import Place, installed_place
from agent.update.store import UpdateStore
from agent.update.take_agent import AgentTaker
from agent.update.take_config import ConfigTaker
from agent.update.take_model import ModelTaker

if TYPE_CHECKING:
    from agent.daemon.loop import Daemon
    from agent.uplink.mqtt import Uplink

log = get_logger(__name__)

STEP_S = 1.0
_FOLDER = "update"


class Loaded(NamedTuple):
    """What the agent is to run, and where each part came from."""

    site: Site
    config_sha256: str
    config_source: str
    models: Mapping[str, Path]


def load_active(site_file: Path, state: Path | None) -> tuple[Loaded, Path]:
    """The site and models to run, updates included, and the state directory. Raises SiteErrors.

    The site's own file has to be sound, and it wins when somebody has edited it since an update was made for it.
    """
    own = load_site(site_file)
    own_sha256 = sha256_of(site_file)
    folder = state or own.storage.directory
    active = ActiveFiles(folder / _FOLDER / "active")
    entries = active.count_start(boot_id=boot_id(), now_boot_s=boot_s()) if own.updates is not None else {}
    site, sha256, source = own, own_sha256, "local"
    entry = entries.pop(CONFIG, None)
    if entry is not None and entry.sha256 and entry.own_sha256 != own_sha256:
        log.warning("own_configuration_wins", file=str(site_file), instead_of=entry.sha256[:12])
    elif entry is not None and entry.sha256:
        read = _read_active(active, entry, site_file)
        if read is not None:
            site, sha256, source = read, entry.sha256, "update"
    models = {
        key.partition(":")[2]: active.path(each.sha256)
        for key, each in entries.items()
        if each.sha256 and active.holds(each.sha256)
    }
    return Loaded(site, sha256, source, models), folder


def _read_active(active: ActiveFiles, entry: Active, site_file: Path) -> Site | None:
    """The configuration of an entry; None, and the entry rolled back, where it cannot be read."""
    try:
        if not active.holds(entry.sha256):
            raise OSError("the file is not what it was")
        text = active.path(entry.sha256).read_text(encoding="utf-8-sig")
        return read_site(text, site_file.parent)
    except (OSError, UnicodeDecodeError, SiteErrors) as error:
        log.warning(
            "active_configuration_refused", sha256=entry.sha256[:12], reason=str(error).split("\n")[0]
        )
        if entry.state != ROLLED_BACK:
            active.put(CONFIG, rolled_back(entry, f"it cannot be loaded: {error}"))
        return None


class UpdateService:
    """Everything of updates in one running agent. `run` until told to stop, then `close`."""

    def __init__(
        self,
        daemon: Daemon,
        loaded: Loaded,
        site_file: Path,
        state: Path,
        restart: Callable[[str], None],
        *,
        uplink: Uplink | None = None,
        password: str | None = None,
        place: Place | None = None,
    ) -> None:
        assert loaded.site.updates is not None
        updates = loaded.site.updates
        self.folder = state / _FOLDER
        self._daemon, self._loaded, self._uplink = daemon, loaded, uplink
        self._place = place or installed_place()
        event = None
        if uplink is not None:

            def event(kind: str, at: datetime, fields: Mapping[str, object]) -> None:
                uplink.event(kind, at, fields, daemon.ledger.head)

        self.host = UpdateHost(daemon, site_file, loaded.config_sha256, restart, event)
        active = ActiveFiles(self.folder / "active")
        self._store = UpdateStore(self.folder / "updates.db")
        clock = daemon.clock
        looker = Looker(
            updates,
            loaded.site.uplink,
            loaded.site.site.id,
            self.folder,
            self._store,
            clock.now,
            password=password,
        )
        self._agent = AgentTaker(self._place, self.folder / "agent", looker.metadata, looker.files)
        self.updater = Updater(
            loaded.site,
            updates,
            self._store,
            looker,
            {
                Kind.MODEL: ModelTaker(self.host, active, shadow_s=updates.shadow_s, elapsed=elapsed_s),
                Kind.CONFIG: ConfigTaker(self.host, active),
                Kind.AGENT: self._agent,
            },
            self.host,
            clock,
        )
        self._said = b""
        self._looks: dict[str, LocalRequest] = {}

    async def run(self, stopped: asyncio.Event) -> None:
        """Step once a second, in real time. Ends with the agent, or by an error of the program in the updater alone."""
        while not stopped.is_set():
            self.step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STEP_S):
                    await stopped.wait()
        await self.updater.stop()

    def step(self) -> None:
        """Take what people on site ask, move the jobs, say what has changed."""
        for request in take_requests(self.folder):
            self._obey(request)
        self.updater.step()
        self._answer_looks()
        self.say()

    def say(self) -> None:
        """Put the present state where the fleet and the command line read it, when it is another one."""
        content = json.dumps(self.status(), separators=(",", ":"), default=str).encode()
        if content == self._said:
            return
        self._said = content
        write_durably(self.folder / "status.json", content)
        if self._uplink is not None:
            body = {"at": stamp(self._daemon.clock.now()), **json.loads(content)}
            self._uplink.stand("update", json.dumps(body, separators=(",", ":")).encode())

    def status(self) -> dict[str, object]:
        """What runs, where the jobs stand, what is believed (docs/updates.md)."""
        return {
            "site": self._loaded.site.site.id,
            "running": self.running(),
            "modes": self.host.modes(),
            "health": "; ".join(self.host.alarms()),
            **self.updater.status(),
        }

    def running(self) -> dict[str, object]:
        """Read from what runs: the interpreter's release, the hash of what was loaded, the models in the forecasters."""
        live = {target: self.host.live(target) for target in self.host.specs()}
        return {
            "agent": {"version": version("trimload"), "release": self._agent.running()},
            "config": {"sha256": self._loaded.config_sha256, "source": self._loaded.config_source},
            "models": {
                target: {"sha256": model.sha256, "source": self._source_of(target, model)}
                for target, model in live.items()
                if model is not None
            },
        }

    def _source_of(self, target: str, model: Model) -> str:
        path = self._loaded.site.models.get(target)
        try:
            own = path is not None and hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
        except OSError:
            own = False
        return "local" if own else "update"

    def _obey(self, request: LocalRequest) -> None:
        self.host.tell("update_asked", request._asdict())
        if request.op == "look":
            if request.argument:
                self.updater.look_into(Path(request.argument))
            else:
                self.updater.hint()
            self._looks[request.id] = request
            return
        if request.op == "consent":
            why_not = self.updater.book.consent(request.argument, request.who)
        else:
            why_not = self._roll_back(request)
        self._answer(request.id, {"ok": not why_not, "reason": why_not})

    def _roll_back(self, request: LocalRequest) -> str:
        if request.argument not in set(Kind):
            return f"no kind {request.argument!r}"
        return self.updater.roll_back(
            Kind(request.argument), request.who, f"by hand: {request.why or 'no reason given'}"
        )

    def _answer_looks(self) -> None:
        """A look is answered once it is over and what it brought stands verified, or does not."""
        if not self._looks or not self.updater.idle:
            return
        fetching = {State.OFFERED, State.ACCEPTED, State.DOWNLOADING}
        trouble = self.updater.refused or self.updater.unreachable
        if not trouble and any(p.state in fetching and not p.reason for p in self.updater.book.open()):
            return
        for request_id in list(self._looks):
            del self._looks[request_id]
            self._answer(
                request_id, {"ok": not trouble, "reason": trouble, "jobs": self.updater.book.newest()}
            )

    def _answer(self, request_id: str, body: Mapping[str, object]) -> None:
        try:
            answer_request(self.folder, request_id, body)
        except OSError as error:
            log.warning("answer_not_written", reason=str(error))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

"""The fleet's ear: one session that hears every site's `up/` topics, keeps what it hears, and asks for reports.

It acknowledges nothing: what a site may forget is for whoever keeps its telemetry to say (docs/uplink.md).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import paho.mqtt.client as paho

from agent.clock import Clock
from agent.errors import StoreError
from agent.log import get_logger
from fleet.broker import Broker, connect, session
from fleet.database import FleetDatabase
from fleet.sites import SiteState, heard, load_sites, save_sites, with_savings
from fleet.standing import Standing

log = get_logger(__name__)

_HEARD = ("status", "update", "telemetry", "answer")
_REPORT = "fleet-report-"
# Reports are work for a gateway, and rows in its ledger: one site after the other, each once a day.
_REPORT_EVERY = timedelta(days=1)
_BETWEEN_REPORTS = timedelta(seconds=5)


class Listener:
    """`start`, then `keep` every few seconds in the caller's thread; messages come in the session's own."""

    def __init__(
        self,
        broker: Broker,
        database: FleetDatabase,
        on_standing: Callable[[str, Standing], None],
        clock: Clock,
        *,
        reports: bool = True,
    ) -> None:
        self._broker, self._database, self._clock = broker, database, clock
        self._on_standing, self._reports = on_standing, reports
        self._lock = threading.Lock()
        self._sites = load_sites(database)
        self._known = set(self._sites)
        self._changed: set[str] = set()
        self._parts: dict[str, dict[int, str]] = {}
        self._asked_at: dict[str, datetime] = {}
        self._ask_again_at: datetime | None = None
        self.ready = threading.Event()
        for site in self._sites.values():
            on_standing(site.id, site.standing)
        self._client = session(broker)
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_disconnect = lambda *_: self.ready.clear()
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect and listen; comes back by itself when the broker does."""
        topics = [(f"{self._broker.root}/+/up/{kind}", 1) for kind in _HEARD]

        def subscribe(client: paho.Client) -> None:
            log.info("listening", broker=self._broker.place)
            client.subscribe(topics)

        connect(self._client, self._broker, subscribe)

    def stop(self) -> None:
        """Leave, and keep what was heard last."""
        self._client.disconnect()
        self._client.loop_stop()
        self.keep()

    def hint(self, site: str) -> None:
        """Tell a site that there may be news."""
        self._client.publish(f"{self._broker.root}/{site}/down/update", b"{}", qos=1)

    def keep(self) -> None:
        """What has changed goes to the database; a site whose report is a day old is asked for another."""
        with self._lock:
            changed = [self._sites[site_id] for site_id in sorted(self._changed)]
            self._changed.clear()
        try:
            save_sites(self._database, changed, self._known)
        except StoreError:
            with self._lock:
                self._changed |= {site.id for site in changed}
            raise
        if self._reports:
            self._ask_for_a_report()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        site_id, _, kind = message.topic.removeprefix(f"{self._broker.root}/").partition("/up/")
        now = self._clock.now()
        with self._lock:
            before = self._sites.get(site_id, SiteState(site_id))
            if kind == "answer":
                after = self._answered(before, bytes(message.payload), now)
            else:
                after = heard(before, kind, bytes(message.payload), now)
            if after is not before:
                self._sites[site_id] = after
                self._changed.add(site_id)
        if after.standing is not before.standing:
            self._on_standing(site_id, after.standing)

    def _ask_for_a_report(self) -> None:
        now = self._clock.now()
        if self._ask_again_at is not None and now < self._ask_again_at:
            return
        with self._lock:
            due = [
                site.id
                for site in self._sites.values()
                if site.online
                and now - (site.savings_at or now - _REPORT_EVERY) >= _REPORT_EVERY
                and now - self._asked_at.get(site.id, now - _REPORT_EVERY) >= _REPORT_EVERY
            ]
        if not due:
            return
        self._ask_again_at = now + _BETWEEN_REPORTS
        self._asked_at[due[0]] = now
        ask_id = f"{_REPORT}{now:%Y%m%d%H%M%S}"
        ask = {"id": ask_id, "op": "report", "who": "trimload-fleet", "why": "the fleet's daily figures"}
        self._client.publish(f"{self._broker.root}/{due[0]}/down/ask", json.dumps(ask), qos=1)

    def _answered(self, site: SiteState, content: bytes, now: datetime) -> SiteState:
        """A part of an answer; the site changes with the last one of a report that we asked for."""
        try:
            part = json.loads(content)
            ask_id, number, wanted, text = part["id"], int(part["part"]), int(part["parts"]), part["body"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return site
        if not isinstance(ask_id, str) or not ask_id.startswith(_REPORT) or not isinstance(text, str):
            return site
        if not 0 < wanted <= 64:
            return site
        parts = self._parts.setdefault(site.id, {})
        if number == 1:
            parts.clear()
        parts[number] = text
        if set(parts) != set(range(1, wanted + 1)):
            return site
        del self._parts[site.id]
        try:
            body = json.loads("".join(parts[n] for n in sorted(parts)))
        except (ValueError, RecursionError):
            return site
        return with_savings(site, body, now) if isinstance(body, dict) else site

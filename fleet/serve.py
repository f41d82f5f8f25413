"""The block server: answers every site's requests for files of the repository, and renews its timestamp.

It holds no state of a transfer: whoever asks says from where. A site gets its own models, configuration and
assignment, and nobody else's.
"""

from __future__ import annotations

import threading
from pathlib import Path

import paho.mqtt.client as paho

from agent.log import get_logger
from agent.update.wire import Block, Request, Status, block_bytes, read_request
from fleet.broker import Broker, connect, session

log = get_logger(__name__)

_OWN_FOLDERS = ("models", "config", "assign")


class BlockServer:
    """Serves `repository` to every site on the broker, in paho's thread, until `stop`."""

    def __init__(self, broker: Broker, repository: Path, *, client_id: str = "trimload-blocks") -> None:
        self._broker, self._root, self._repository = broker, broker.root, repository
        self.ready = threading.Event()
        self.requests = self.bytes_sent = 0
        self._client = session(broker, client_id=client_id)
        self._client.on_subscribe = lambda *_: self.ready.set()
        self._client.on_disconnect = lambda *_: self.ready.clear()
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect and serve; comes back by itself when the broker does."""
        connect(self._client, self._broker, self._on_connect)

    def stop(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client) -> None:
        log.info("serving", repository=str(self._repository), broker=self._broker.place)
        client.subscribe(f"{self._root}/+/up/ota/req", qos=0)

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        site = message.topic.removeprefix(f"{self._root}/").partition("/")[0]
        request = read_request(bytes(message.payload))
        if request is None:
            log.warning("request_not_understood", site=site, content=repr(message.payload[:80]))
            return
        self.requests += 1
        topic = f"{self._root}/{site}/down/ota/{request.session}"
        for block in blocks_of(self._repository, site, request):
            self.bytes_sent += len(block.content)
            client.publish(topic, block_bytes(block), qos=0)


def blocks_of(repository: Path, site: str, request: Request) -> list[Block]:
    """The answer to a request; one block without bytes where there is nothing to give."""

    def nothing(status: int, size: int = 0) -> list[Block]:
        return [Block(request.n, request.offset, size, status, b"")]

    if not may_have(site, request.path):
        return nothing(Status.NOT_YOURS)
    path = repository / request.path
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if request.offset >= size:
                return nothing(Status.OK, size)
            file.seek(request.offset)
            blocks = []
            for number in range(request.count):
                content = file.read(request.block)
                if not content:
                    break
                offset = request.offset + number * request.block
                blocks.append(Block(request.n, offset, size, Status.OK, content))
            return blocks
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return nothing(Status.NOT_FOUND)


def may_have(site: str, path: str) -> bool:
    """Whether a file is a site's business: everything that is not another site's own."""
    kind, _, rest = path.partition("/")
    if kind == "targets":
        folder, _, below = rest.partition("/")
        owner = below.partition("/")[0]
        if folder == "assign":
            return below.partition(".")[2] == f"{site}.json"
        return folder not in _OWN_FOLDERS or owner == site
    name = rest.removesuffix(".json")
    number, dot, role = name.partition(".")
    role = role if dot and number.isdigit() else name
    group, dash, owner = role.partition("-")
    return not dash or group not in _OWN_FOLDERS or owner == site

"""A Modbus TCP device written for these tests from the specification, sharing no code with pymodbus.

Modbus Application Protocol V1.1b3 and Modbus Messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Plc:
    """Four tables of words. `requests` logs (function, address, count or value) as they come."""

    def __init__(self, **tables: dict[int, int]) -> None:
        self.tables: dict[str, dict[int, int]] = {name: {} for name in READS.values()}
        self.tables.update(tables)
        self.requests: list[tuple[int, int, int]] = []
        self.refuse: Callable[[int, int, int], int | None] = lambda function, address, count: None
        self.on_write: Callable[[int, int], int] = lambda address, word: word
        self.silent = False
        self.short = False
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen on the port of the last time, or a free one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Close every connection, as a killed process does."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        await self._server.wait_closed()

    @property
    def connections(self) -> int:
        return len(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                request = await reader.readexactly(length - 1)
                if self.silent:
                    continue
                answer = self._answer(request)
                writer.write(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        function, address, count = struct.unpack(">BHH", request[:5])
        self.requests.append((function, address, count))
        refusal = self.refuse(function, address, count)
        if refusal is not None:
            return bytes([function | 0x80, refusal])
        if function in READS:
            table = self.tables[READS[function]]
            if any(at not in table for at in range(address, address + count)):
                return bytes([function | 0x80, 2])
            words = [table[at] for at in range(address, address + count)]
            if self.short:
                words = words[:-1]
            if function <= 2:
                packed = sum(bit << at for at, bit in enumerate(words)).to_bytes((count + 7) // 8, "little")
            else:
                packed = struct.pack(f">{len(words)}H", *words)
            return bytes([function, len(packed)]) + packed
        if function == 5:
            self.tables["coil"][address] = int(count == 0xFF00)
            return request[:5]
        words = [count] if function == 6 else list(struct.unpack(f">{count}H", request[6:]))
        for at, word in enumerate(words, start=address):
            if at not in self.tables["holding"]:
                return bytes([function | 0x80, 2])
            self.tables["holding"][at] = self.on_write(at, word)
        return request[:5]

"""A hall behind a real OPC UA server, and a relay that can freeze between it and the driver."""

from __future__ import annotations

import asyncio
import socket

from asyncua import Server, ua


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Hall:
    """An asyncua server with the nodes of a hall."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"opc.tcp://127.0.0.1:{port}/"

    async def start(self) -> Hall:
        # The address space takes 0.5 s of CPU to build; nodes are added to it afterwards.
        self.server = Server()
        await self.server.init()
        self.server.set_endpoint(self.url)
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self.server.register_namespace("urn:hall")
        assert index == 2
        objects = self.server.nodes.objects
        self.temperature = await self.add(objects, "Temperature", 68.0, ua.VariantType.Float)
        self.setpoint = await self.add(objects, "Setpoint", 20.5, ua.VariantType.Float)
        self.enable = await self.add(objects, "Enable", False, ua.VariantType.Boolean)
        self.stage = await self.add(objects, "Stage", 2, ua.VariantType.UInt16)
        self.name = await self.add(objects, "Name", "north", ua.VariantType.String)
        self.fixed = await self.add(objects, "Fixed", 1.0, ua.VariantType.Double)
        self.locked = await self.add(objects, "Locked", 1.0, ua.VariantType.Double)
        self.clamped = await self.add(objects, "Clamped", 20.0, ua.VariantType.Float)
        for node in (self.clamped, self.setpoint, self.enable, self.stage, self.name):
            await node.set_writable()
        # Without a stamp, which would be the wall clock's and here lie in the future.
        await self.put(self.stage, ua.DataValue(ua.Variant(2, ua.VariantType.UInt16)))
        await self.server.start()
        return self

    async def add(self, parent, name, value, kind):
        return await parent.add_variable(ua.NodeId(name, 2), f"2:{name}", value, kind)

    async def put(self, node, data: ua.DataValue) -> None:
        await self.server.iserver.isession.write(
            ua.WriteParameters(
                NodesToWrite=[
                    ua.WriteValue(NodeId=node.nodeid, AttributeId=ua.AttributeIds.Value, Value=data)
                ]
            )
        )

    async def stop(self) -> None:
        await self.server.stop()


class Freezer:
    """A TCP relay that can stop passing bytes on, as a stopped process does."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.running = asyncio.Event()
        self.running.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", self._target_port)
        for source, sink in ((reader, onward[1]), (onward[0], writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self.running.wait()
                sink.write(data)
        except ConnectionError:
            pass
        finally:
            sink.close()

"""A thousand who connect to a port and ask badly, each again as soon as it is dropped: `crowd PORT MANNER...`.

Prints a line once each has been connected.
"""

import asyncio
import contextlib
import itertools
import resource
import sys

CLIENTS = 1000

HALF = b"GET /readyz HTTP/1.1\r\nHost: worker\r\nAccept: "

MANNERS = {
    "silent": b"",
    "half_sent": HALF,
    "dripping": HALF,
    "endless": HALF + b"a" * 1_000_000,
    "pipelined": b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n" * 100,
    "never_read": b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n",
}
"""What each sends at first; who drips goes on with a byte at a time."""


async def client(port: int, manner: str, connected: asyncio.Queue[None]) -> None:
    """One of them, for ever."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            connected.put_nowait(None)
            writer.write(MANNERS[manner])
            while manner == "dripping" and not reader.at_eof():
                await asyncio.sleep(0.2)
                writer.write(b"a")
            if manner == "never_read":
                # By what it can still send it learns that it was dropped.
                while not writer.is_closing():
                    await asyncio.sleep(0.5)
                    writer.write(b"a")
                    await writer.drain()
            while await reader.read(1024):
                pass
            writer.close()
        await asyncio.sleep(0.01)


async def main(port: int, manners: list[str]) -> None:
    """Never ends."""
    connected: asyncio.Queue[None] = asyncio.Queue()
    turns = itertools.islice(itertools.cycle(manners), CLIENTS)
    clients = [asyncio.create_task(client(port, manner, connected)) for manner in turns]
    for _ in range(CLIENTS):
        await connected.get()
    print("all are there", flush=True)
    await asyncio.gather(*clients)


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4 * CLIENTS, most), most))
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))

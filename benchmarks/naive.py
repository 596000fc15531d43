"""The baseline: asyncio-dgram as it comes, one `await` a datagram, one pattern, and a file for what matches.

    python -m benchmarks.naive PORT BUFFER FILE

asyncio gives recvfrom() 256 KiB for each datagram, which the C library maps and unmaps each time: a part of what is shown.
"""

import asyncio
import re
import socket
import sys
from typing import BinaryIO

import asyncio_dgram

LOGIN = re.compile(
    rb"<22>\w{3} [ \d]\d [\d:]{8} (?:Forwarded from )?(?:[\w.-]+:? )?dovecot: "
    rb"(?:imap|pop3)-login: (?:Login|Logged in): user=<[^>]*>, method=[A-Z0-9-]+, rip=[0-9a-f.:]+, lip="
)
FORCED = getattr(socket, "SO_RCVBUFFORCE", 33)  # Linux


async def receive(port: int, buffer: int, file: BinaryIO) -> None:
    stream = await asyncio_dgram.bind(("127.0.0.1", port))
    try:
        stream.socket.setsockopt(socket.SOL_SOCKET, FORCED, buffer)
    except PermissionError:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    while True:
        datagram, _ = await stream.recv()
        if LOGIN.match(datagram):
            file.write(datagram + b"\n")


if __name__ == "__main__":
    with open(sys.argv[3], "ab", buffering=0) as out:  # noqa: PTH123 - unbuffered
        asyncio.run(receive(int(sys.argv[1]), int(sys.argv[2]), out))

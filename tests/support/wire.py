"""A wire to a broker that stalls, is slow, and is cut."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time


class Wire:
    """A TCP proxy whose directions can be stalled, and which can be cut; `rate` is the bytes a second to the broker."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.rate = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.port = self._server.getsockname()[1]
        self.up, self.down = threading.Event(), threading.Event()  # set: bytes flow to the broker, to the client
        self.up.set()
        self.down.set()
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                broker = socket.create_connection(self._target)
            except OSError:
                return
            self._pairs += [client, broker]
            threading.Thread(target=self._pump, args=(client, broker, self.up), daemon=True).start()
            threading.Thread(target=self._pump, args=(broker, client, self.down), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, flows: threading.Event) -> None:
        try:
            while True:
                select.select([source], [], [], 1)
                flows.wait()
                slow = self.rate if flows is self.up else 0
                data = source.recv(slow // 50 or 65536)
                if not data:
                    break
                flows.wait()
                time.sleep(0.02 if slow else 0)
                target.sendall(data)
        except (OSError, ValueError):
            pass
        for end in (source, target):
            end.close()

    def cut(self) -> None:
        """Break every connection that is open now."""
        for end in self._pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()
        self.up.set()
        self.down.set()

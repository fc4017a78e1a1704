"""A network that fails: a proxy between LunaRoute and what it speaks to, in threads."""

import random
import socket
import threading
import time
from contextlib import suppress

PASS, REFUSE, STALL = "pass", "refuse", "stall"


class FaultyProxy:
    """Forwards connections to `target`, a (host, port) or the path of a Unix socket; `mode` says what becomes of them.

    ``refuse``: those that are open are reset, new ones too. ``stall``: nothing goes either way, and nobody is told.
    ``delay`` seconds pass before each piece, and pieces have at most ``piece`` bytes.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self.target = target
        self.mode, self.delay, self.piece = PASS, 0.0, 1 << 16
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._go = threading.Event()
        self._go.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """End it, and all connections."""
        with suppress(OSError):
            self._listener.close()
        self.be(REFUSE)

    def be(self, mode: str) -> None:
        """Change the mode."""
        self.mode = mode
        (self._go.clear if mode == STALL else self._go.set)()
        if mode == REFUSE:
            self.cut()

    def cut(self, chance: float = 1.0) -> None:
        """Reset open connections, each by that chance."""
        with self._lock:
            some = [sock for sock in self._open if random.random() < chance]
        for sock in some:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == REFUSE:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                continue
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        try:
            if isinstance(self.target, str):
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
            else:
                server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(self.piece):
                self._go.wait()
                if self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

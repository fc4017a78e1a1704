"""A forward proxy, such as companies have."""

import socket
import threading


class ForwardProxy:
    """A forward proxy: CONNECT for https, absolute targets for http. It gives `answer` to all, where there is one.

    `heads` has the head of the first request of each connection.
    """

    def __init__(self, answer: bytes | None = None) -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self.heads.append(head)
        if self._answer is not None:
            client.sendall(self._answer)
            client.close()
            return
        method, target = head.split(b" ")[:2]
        authority = target if method == b"CONNECT" else target.split(b"/")[2]
        host, _, port = authority.partition(b":")
        server = socket.create_connection((host, int(port)))
        if method == b"CONNECT":
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            server.sendall(head.replace(b"http://" + authority, b"", 1))
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

"""An HTTPS server that admits whatever it is asked about; every connection is one request, and is closed after it.

A thread for each, and no event loop: asyncio leaves TLS connections open whose peers say no farewell.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any, Final

import orjson

PATIENCE: Final = 5.0
"""Seconds that a peer may take over its handshake, and over its request."""


class _Admission(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"uid": review["request"]["uid"], "allowed": True}
        body = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002  its name in the standard library
        pass


class AdmissionServer(ThreadingHTTPServer):
    """Shakes hands with the certificate of `context`."""

    daemon_threads = False  # so that its end waits for them, and leaves no connection open
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(address, _Admission)
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread."""
        plain: socket = request
        plain.settimeout(PATIENCE)
        with self.context.wrap_socket(plain, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a peer that trusts another authority: the test learns of it by what that peer says."""


@contextmanager
def admission_server(address: str, port: int, context: ssl.SSLContext) -> Iterator[AdmissionServer]:
    """Serve meanwhile; from the next connection on with the `context` that the server is given then.

    Each certificate in a context of its own: one that is loaded into a context halfway through a handshake breaks it.
    """
    with AdmissionServer((address, port), context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

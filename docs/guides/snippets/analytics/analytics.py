"""Analytics: writes down how orders end, and answers nothing."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Facts(BaseHTTPRequestHandler):
    """Takes every event that it is told of."""

    def do_POST(self):
        """Write the event's type and data in one line, so that threads do not mix them."""
        data = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sys.stdout.write(f"{self.headers['ce-type']} {data}\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Write no line for each request."""


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Facts).serve_forever()

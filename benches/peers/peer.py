#!/usr/bin/env python3
"""The function on Python's http.server, silent: a thread per connection."""

import json
import os
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class RandomNumber(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet per answer, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path.split("?")[0] != "/api/RandomNumber":
            self.send_error(404)
            return
        body = json.dumps({"value": random.randint(1, 999)}, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 4096


Server(("127.0.0.1", int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])), RandomNumber).serve_forever()

#!/bin/sh
# A custom handler that says what it was asked.
if [ "$1" = --check ]; then printf 'LIST'; exit; fi
exec python3 -c '
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Echo(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((self.command + " " + self.path).encode())
    do_POST = do_DELETE = do_GET

port = int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])
HTTPServer(("127.0.0.1", port), Echo).serve_forever()
'

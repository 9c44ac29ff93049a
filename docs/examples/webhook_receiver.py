"""A receiver of webhooks with nothing but Python: verifies each one, and says what it was.

python docs/examples/webhook_receiver.py whsec_... --port 9000
"""

import argparse
import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
seen: set[str] = set()


def is_genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether a request comes from who knows the secret, and is not an old one sent again."""
    id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(f"v1,{expected}", one) for one in given)


class Receiver(BaseHTTPRequestHandler):
    secret = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_known = headers.get("webhook-id") in seen
        if not is_genuine(self.secret, headers, body):
            self.send_error(401)
            return
        event = json.loads(body)
        if not is_known:  # what could not be answered in time comes again
            seen.add(headers["webhook-id"])
            print(event["type"], event["subject"], json.dumps(event["data"]), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("secret", help="what the bus answered when the webhook was made")
    parser.add_argument("--port", type=int, default=9000)
    arguments = parser.parse_args()
    Receiver.secret = arguments.secret
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

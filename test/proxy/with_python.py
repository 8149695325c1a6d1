"""What users do with Python, through the proxy that the environment names: see run."""
import base64
import http.client
import json
import os
import signal
import ssl
import threading
import time
import urllib.request

PORT = int(os.environ["PROXY_PORT"])
CONTEXT = ssl.create_default_context(cafile=os.environ["PROXY_CA"])
FIELDS = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}


def call(connection, method, path, body=None, **fields):
    connection.request(method, path, body, {**FIELDS, **fields})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


kept = http.client.HTTPSConnection("localhost", PORT, context=CONTEXT, timeout=30)
JSON = {"Content-Type": "application/json"}
for number in range(20):
    text = json.dumps({"message": f"Python {number} \0 \"ü\"", "w": "majority"})
    status, headers, body = call(kept, "POST", "/messages", text, **JSON)
    answer = json.loads(body)
    assert status == 201 and answer["w"] == 2 and headers["Location"] == f"/messages/{answer['id']}", (status, body)
    status, _, body = call(kept, "GET", headers["Location"] + "?unknown=1")
    assert status == 404 or json.loads(body)["message"] == f"Python {number} \0 \"ü\"", (status, body)
status, headers, body = call(kept, "HEAD", "/messages")
assert status == 200 and not body and int(headers["Content-Length"]) > 20000000
status, headers, body = call(kept, "POST", "/messages", (part for part in [b"a " * 50000, b"b"]))  # chunked
assert status == 201, (status, body)
status, headers, body = call(kept, "POST", "/messages", b"\xff")
assert status == 400 and "error" in json.loads(body), (status, body)

with urllib.request.urlopen(f"https://localhost:{PORT}/messages", context=CONTEXT) as response:
    assert len(json.load(response)["messages"]) > 100

# An event stream, with nginx's buffers as they are: each message comes when it is appended.
follow = urllib.request.Request(f"https://localhost:{PORT}/messages?from=end", headers={"Accept": "text/event-stream"})
with urllib.request.urlopen(follow, context=CONTEXT, timeout=30) as stream:
    while not stream.readline().startswith(b"event: at"):
        pass
    took = []
    for number in range(9):
        began = time.monotonic()
        assert call(kept, "POST", "/messages", f"event {number}".encode())[0] == 201
        while stream.readline() != f'data: "event {number}"\n'.encode():
            pass
        took.append(time.monotonic() - began)
    assert sorted(took)[4] < 1, took

FROZEN = int(os.environ["FROZEN"])
os.kill(FROZEN, signal.SIGSTOP)
threading.Timer(1, os.kill, (FROZEN, signal.SIGCONT)).start()
began = time.monotonic()
status, headers, body = call(kept, "POST", "/messages", b"waits")
assert status == 201 and json.loads(body)["acks"] == 3, (status, body)
assert time.monotonic() - began > 0.9

# A POST longer than the proxy's usual minute would be, in little: see run.
began = time.monotonic()
status, headers, body = call(kept, "POST", "/messages?w=9&timeout=3", b"waits longer")
assert status == 202 and time.monotonic() - began > 2.9, (status, body)

"""A master and a secondary with clients of several kinds that follow the secondary while messages are appended and the
secondary is restarted: each client must see each message once and in order. Then an event through nginx, which buffers
as it does by default. Run by `run`, which tells where everything is."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

OUT, MODULES, HOST, HERE = os.environ["OUT"], os.environ["MODULES"], "127.0.0.1", os.path.dirname(__file__)
LIMIT_S = 60
running = []
directory = tempfile.mkdtemp()


def await_true(what, condition):
    until = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"clients: {what} did not happen within {LIMIT_S} s")
        time.sleep(0.02)


def start(*command, out=None):
    process = subprocess.Popen(command, stdout=out, start_new_session=True)
    running.append(process)
    return process


def end(process, number=signal.SIGTERM):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait()
    running.remove(process)


def call(port, method, path, body=None):
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.request(method, path, body, {"Content-Type": "text/plain"} if body else {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response, text


def answers(port):
    with contextlib.suppress(OSError):
        return call(port, "GET", "/livez")[0].status == 200
    return False


def free_ports(count):
    import socket
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def node(program, port, *words):
    process = start(f"{OUT}/{program}", "--host", HOST, "--port", str(port), "--log-level", "warn", *words)
    await_true(f"{program} to answer", lambda: answers(port))
    return process


class Follower:
    def __init__(self, name, *command):
        self.name, self.path = name, f"{directory}/{name}"
        with open(self.path, "wb") as out:
            self.process = start(*command, out=out)

    def seen(self):
        with open(self.path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.endswith("\n")]

    def expect(self, texts):
        want = [[number + 1, text] for number, text in enumerate(texts)]
        await_true(f"{self.name}: {len(want)} messages (there are {len(self.seen())})",
                   lambda: self.process.poll() is not None or len(self.seen()) >= len(want))
        seen = self.seen()
        if self.process.poll() is not None or seen != want:
            wrong = next((pair for pair in zip(seen, want) if pair[0] != pair[1]), (len(seen), len(want)))
            sys.exit(f"clients: {self.name} saw {wrong[0]} instead of {wrong[1]}; code {self.process.poll()}")


def follow_over_restarts(master, secondary, words):
    texts = []

    def post(count):
        for _ in range(count):
            texts.append(f"m{len(texts) + 1} \"ä€😀\"\nline\0")
            assert call(master, "POST", "/messages?w=1", texts[-1].encode())[0].status == 201

    process = node("secondary", secondary, *words)
    await_true("the secondary to be ready", lambda: call(secondary, "GET", "/readyz")[0].status == 200)
    log = call(master, "GET", "/messages")[0].headers["Log-Id"]
    url = f"http://{HOST}:{secondary}/messages?log={log}"
    followers = [
        Follower("EventSource", "node", f"{MODULES}/follow.mjs", url),
        Follower("curl", f"{HERE}/follow.sh", url),
        Follower("http.client", sys.executable, f"{HERE}/follow.py", "http.client", url),
        Follower("urllib", sys.executable, f"{HERE}/follow.py", "urllib", url),
    ]
    post(100)
    for follower in followers:
        follower.expect(texts)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        poster = threading.Thread(target=post, args=(100,))
        poster.start()
        end(process, number)
        poster.join()
        process = node("secondary", secondary, *words)
        post(20)
        for follower in followers:
            follower.expect(texts)
    for follower in followers:
        end(follower.process)
        print(f"clients: {follower.name}: {len(texts)} messages over three restarts, each once")


CONFIGURATION = """
pid nginx.pid; error_log error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{secondary}; }}
        location /11/ {{ proxy_pass http://127.0.0.1:{secondary}/; proxy_http_version 1.1; }}
    }}
}}
"""


def through_nginx(master, secondary, proxy):
    with open(f"{directory}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(port=proxy, secondary=secondary))
    os.chmod(directory, 0o755)  # nginx's worker is another user where this one is root
    start("nginx", "-p", directory, "-c", "nginx.conf", "-e", f"{directory}/error.log", "-g", "daemon off;")
    await_true("nginx to listen", lambda: answers(proxy))
    for path, what in (("/messages", "data: \"through"), ("/11/messages", "data: \"through"),
                       ("/events", "event: shown"), ("/11/events", "event: shown")):
        connection = http.client.HTTPConnection(HOST, proxy, timeout=LIMIT_S)
        connection.request("GET", f"{path}?from=end", headers={"Accept": "text/event-stream"})
        stream, took = connection.getresponse(), []
        while not stream.readline().startswith(b"event: at"):
            pass
        for number in range(9):
            began = time.monotonic()
            assert call(master, "POST", "/messages", f"through {number}".encode())[0].status == 201
            while not stream.readline().startswith(what.encode()):
                pass
            took.append(time.monotonic() - began)
            time.sleep(0.03)  # past the window of /events
        connection.close()
        if statistics.median(took) > 1:
            sys.exit(f"clients: {path} through nginx took {took} s")
        print(f"clients: {path} through nginx: an event after {statistics.median(took) * 1000:.1f} ms")


def main():
    master, secondary, proxy = free_ports(3)
    node("master", master, "--heartbeat-interval", "0.2")
    words = ("--secondary-id", "s1", "--master-url", f"http://{HOST}:{master}")
    follow_over_restarts(master, secondary, words)
    through_nginx(master, secondary, proxy)
    print("clients: all well")


try:
    main()
finally:
    for left in reversed(running[:]):
        end(left)
    shutil.rmtree(directory)

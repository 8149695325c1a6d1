"""Nodes with disks, faults of their system calls, clients that post, and what must hold of the lists."""
import collections
import contextlib
import fcntl
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

OUT = os.environ["OUT"]
PID = os.getpid()
HOST = f"127.43.{PID >> 8 & 255}.{PID & 255}"  # nobody's connections begin there, so a node's port stays free
LIMIT_S = 30
ROOT = tempfile.mkdtemp(prefix="disk.")
nodes = []


class Failed(Exception):
    pass


def expect(holds, what):
    if not holds:
        raise Failed(what)


def await_true(what, condition, limit_s=LIMIT_S):
    until = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until:
            raise Failed(f"{what} did not happen within {limit_s} s")
        time.sleep(0.004)


Reply = collections.namedtuple("Reply", "status body fields")


def call(port, method, path, body=None, limit_s=LIMIT_S):
    """Reply of status 0 where no answer came."""
    connection = http.client.HTTPConnection(HOST, port, timeout=limit_s)
    try:
        connection.request(method, path, body, {"Content-Type": "text/plain"} if body else {})
        response = connection.getresponse()
        return Reply(response.status, response.read(), response.headers)
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, str(error).encode(), {})
    finally:
        connection.close()


class Node:
    def __init__(self, program, name, port, directory, *words):
        self.program, self.name, self.port, self.directory = program, name, port, directory
        self.words, self.process, self.pid = list(words), None, 0
        self.log = f"{os.path.dirname(directory)}/{name}.log.txt"
        nodes.append(self)

    def begin(self, wrap=()):
        """Starts it, by `wrap` where that is given, and does not wait."""
        with open(self.log, "ab") as log:
            self.from_here = log.tell()
            self.process = subprocess.Popen(
                [*wrap, f"{OUT}/{self.program}", "--host", HOST, "--port", str(self.port), "--data-dir",
                 self.directory, *self.words], stdout=log, stderr=log, start_new_session=True)
        self.pid = self.process.pid
        return self

    def start(self, wrap=()):
        self.begin(wrap)
        await_true(f"{self.name} to serve", lambda: self.serves() or self.ended() is not None)
        expect(self.ended() is None, f"{self.name} ended with {self.ended()}: {self.tail()}")
        return self

    def serves(self):
        return self.get("/health").status == 200

    def ended(self):
        """The exit code, or None while it runs."""
        return self.process.poll() if self.process else 0

    def end(self, number=signal.SIGKILL):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait()
            self.process = None
            await_true(f"{self.name} to let its directory go", self.is_let_go)  # below strace it was no child

    def is_let_go(self):
        try:
            with open(f"{self.directory}/lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except BlockingIOError:
            return False
        return True

    def check_data(self):
        """The exit code of --check-data for its directory, and what that prints."""
        checked = subprocess.run([f"{OUT}/{self.program}", "--check-data", self.directory], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
        return checked.returncode, checked.stdout

    def get(self, path, limit_s=LIMIT_S):
        return call(self.port, "GET", path, limit_s=limit_s)

    def post(self, text, query="", limit_s=LIMIT_S):
        return call(self.port, "POST", "/messages" + query, text, limit_s)

    def health(self):
        reply = self.get("/health")
        return json.loads(reply.body) if reply.status == 200 else {}

    def disk(self):
        return self.health().get("data", {}).get("disk")

    def list(self):
        reply = self.get("/messages")
        return json.loads(reply.body)["messages"] if reply.status == 200 else None

    def lines(self, *parts):
        """Of this process: the lines that hold all of the parts."""
        with open(self.log, errors="replace") as log:
            log.seek(self.from_here)
            return [line for line in log if all(part in line for part in parts)]

    def tail(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-12:])


class Cluster:
    """A master and two secondaries below a directory of their own."""

    def __init__(self, name, *words, directory=None, nodes=3):
        self.root = directory or f"{ROOT}/{name}"
        os.makedirs(self.root, exist_ok=True)
        url = f"http://{HOST}:5000"
        common = ["--log-level", "info"]
        self.master = Node("master", "m", 5000, f"{self.root}/m", *common, "--nodes", str(nodes), *words)
        self.secondaries = [
            Node("secondary", f"s{i}", 5000 + i, f"{self.root}/s{i}", *common, "--secondary-id", f"s{i}",
                 "--master-url", url) for i in range(1, nodes)]
        self.nodes = [self.master, *self.secondaries]

    def begin(self, order=None):
        for node in order or self.nodes:
            node.begin()

    def start(self):
        for node in self.nodes:
            node.start()
        self.await_members()
        return self

    def await_members(self):
        def all_healthy():
            members = self.master.health().get("secondaries", [])
            return sum(m["state"] == "healthy" and m["lag"] == 0 for m in members) == len(self.secondaries)
        await_true("all secondaries to follow", all_healthy)

    def end(self, number=signal.SIGKILL):
        for node in self.nodes:
            if node.process:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.process.pid, number)
        for node in self.nodes:
            node.end(number)

    def forget(self):
        self.end()
        for node in self.nodes:
            nodes.remove(node)

    def settle(self, text):
        """One more message, on all nodes: behind it all lists must be equal. Returns the list."""
        reply = Reply(0, b"", {})
        until = time.monotonic() + LIMIT_S
        while reply.status != 201:
            expect(time.monotonic() < until, f"{text}: no POST is answered 201, but {reply[:2]}")
            for node in self.nodes:
                expect(node.ended() is None, f"{node.name} ended: {node.tail()}")
            reply = self.master.post(text, f"?w={len(self.nodes)}&timeout=20")
            if reply.status == 202:
                raise Failed(f"{text}: {reply.body}")
            if reply.status != 201:
                time.sleep(0.01)
        whole = self.master.list()
        for node in self.secondaries:
            expect(node.list() == whole, f"{text}: the lists of m and {node.name} differ")
        return whole


class Posted:
    """What was posted, and what came of it."""

    def __init__(self):
        self.ids = {}  # of each text that was answered 201
        self.statuses = collections.Counter()
        self.lock = threading.Lock()

    def post(self, node, text, query="", limit_s=LIMIT_S):
        reply = node.post(text, query, limit_s)
        self.note(text, reply)
        return reply

    def note(self, text, reply):
        with self.lock:
            self.statuses[reply.status] += 1
            if reply.status == 201:
                self.ids[text] = json.loads(reply.body)["id"]

    def check(self, messages, ids=None):
        """All that was acknowledged, or these texts with their ids, is there, and nothing is there twice."""
        for text, place in (self.ids if ids is None else ids).items():
            expect(place <= len(messages), f"{text} was acknowledged as {place} and is lost: "
                                           f"the list ends at {len(messages)}")
            expect(messages[place - 1] == text, f"{text} was acknowledged as {place}, "
                                                f"where {messages[place - 1]} is")
        twice = [text for text, count in collections.Counter(messages).items() if count > 1]
        expect(not twice, f"twice in the list: {twice[:5]}")


class Load:
    """Threads that post texts of their own, one after the other, until the end of a `with`."""

    def __init__(self, node, posted, queries, prefix="", size=0):
        self.node, self.posted, self.size = node, posted, size
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(f"{prefix}p{i}", query), daemon=True)
                        for i, query in enumerate(queries)]

    def run(self, name, query):
        count = 0
        connection = http.client.HTTPConnection(HOST, self.node.port, timeout=LIMIT_S)
        while not self.stop.is_set():
            count += 1
            text = f"{name}-{count}-" + "x" * self.size
            try:
                connection.request("POST", "/messages" + query, text, {"Content-Type": "text/plain"})
                response = connection.getresponse()
                reply = Reply(response.status, response.read(), response.headers)
            except (OSError, http.client.HTTPException):
                connection.close()
                reply = Reply(0, b"", {})
            self.posted.note(text, reply)
            if reply.status != 201:
                time.sleep(0.005)
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Strace:
    """strace at running processes, until the end of a `with`: a fault that comes and goes."""

    def __init__(self, running, *words):
        self.path = f"{ROOT}/strace.txt"
        self.said = f"{ROOT}/strace.said.txt"
        pids = [word for node in running for word in ("-p", str(node.pid))]
        self.command = ["strace", "-f", "-o", self.path, *words, *pids]
        self.count = len(running)

    def __enter__(self):
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(self.command, stderr=said)
        await_true("strace to be there", lambda: self.process.poll() is not None or self.attached())
        expect(self.process.poll() is None, f"strace: {open(self.said).read()}")
        return self

    def attached(self):
        with open(self.said) as said:
            return said.read().count(" attached") >= self.count

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:  # it waits for a call that it delays, of a process that has ended
            self.process.kill()
            self.process.wait()


def inject(call_name, error, when="1+"):
    return ["-e", f"trace={call_name}", "-e", f"inject={call_name}:error={error}:when={when}"]


def end_all():
    for node in nodes:
        node.end()


def frames_end(path):
    """The offset behind the last byte that is not zero."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0"))


def last_file(directory):
    return f"{directory}/{max(name for name in os.listdir(directory) if re.fullmatch('[0-9]{20}.log', name))}"

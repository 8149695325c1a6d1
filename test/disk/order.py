"""The order of calls: no answer 201 leaves before fdatasync has returned for the message on as many nodes as it tells,
and no node shows a message before its own has.
One strace follows all nodes, so what it writes first happened first."""
import collections
import os
import re
import threading
import time

from cluster import Cluster, Load, Posted, Strace, expect

POSTS = 600
CALLS = "pwritev,pwrite64,fdatasync,sendmsg,sendto,writev,write"
LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
LIST = re.compile(r'"HTTP/1\.1 200 OK')
TEXT = re.compile(r"p\d-\d+-")
ANSWER = re.compile(r'HTTP/1\.1 201 .*?\{\\"id\\":(\d+),\\"w\\":(\d+),\\"acks\\":(\d+)')


class Nodes:
    """What the trace tells of the disks."""

    def __init__(self, running):
        self.of = {int(task): node.name for node in running for task in os.listdir(f"/proc/{node.pid}/task")}
        self.written = collections.defaultdict(set)
        self.covered = {}
        self.durable = collections.defaultdict(set)
        self.begun = {}  # the arguments of calls that have not returned

    def take(self, line):
        """Returns which node sends, and what it does; or twice nothing."""
        match = LINE.match(line)
        if not match or int(match[1]) not in self.of:
            return None, ""
        thread, rest = int(match[1]), match[4]
        node, name = self.of[thread], match[2] or match[3]
        ends = not rest.endswith("<unfinished ...>")
        if match[3]:
            self.begun[thread] = rest
            if name == "fdatasync":
                self.covered[thread] = set(self.written[node])
        if ends and name in ("pwritev", "pwrite64") and " = -1 " not in rest:
            self.written[node].update(TEXT.findall(self.begun[thread]))
        if ends and name == "fdatasync" and rest.endswith("= 0"):
            self.durable[node] |= self.covered[thread]
        return (node, rest) if match[3] and name not in ("pwritev", "pwrite64", "fdatasync") else (None, "")


def read(node, posted, stop):
    """Reads what is newest, again and again."""
    while not stop.is_set():
        node.get(f"/messages?from={len(posted.ids) + 1}&limit=20")


def run():
    cluster = Cluster("order", "--write-concern", "1").start()
    posted = Posted()
    with Strace(cluster.nodes, "-s", "200000", "-e", f"trace={CALLS}") as strace:
        stop = threading.Event()
        for node in cluster.nodes:
            threading.Thread(target=read, args=(node, posted, stop), daemon=True).start()
        with Load(cluster.master, posted, ["", "?w=all", "?w=2", "", "?w=all", "?w=2"]):
            until = time.monotonic() + 20
            while len(posted.ids) < POSTS and time.monotonic() < until:
                time.sleep(0.01)
        stop.set()
        nodes = Nodes(cluster.nodes)
    texts = {place: text for text, place in posted.ids.items()}
    answers = most = shown = 0
    with open(strace.path, errors="replace") as trace:
        for line in trace:
            name, sent = nodes.take(line.rstrip("\n"))
            for text in TEXT.findall(sent) if LIST.search(sent) else ():
                shown += 1
                expect(text in nodes.durable[name], f"{name} shows {text}, which its disk has not")
            for place, w, acks in ANSWER.findall(sent):
                text = texts.get(int(place))
                if text:
                    count = sum(text in nodes.durable[node.name] for node in cluster.nodes)
                    answers += 1
                    most += int(w) == 3
                    expect(count >= max(int(w), int(acks)),
                           f"{text} ({place}) was answered with w={w}, acks={acks} when {count} disks had it")
    expect(answers > POSTS / 2 and most > POSTS / 10 and shown > POSTS / 10,
           f"only {answers} answers were seen, {most} with all, {shown} messages read")
    posted.check(cluster.settle("end"))
    cluster.forget()
    return (f"{answers} answers 201, {most} of them for all nodes, each behind the fdatasyncs that it tells of; "
            f"{shown} messages read, each behind its node's")

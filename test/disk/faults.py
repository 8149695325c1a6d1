"""System calls of a node that fail, as strace lets them: while it runs, and each of those of a start in its turn."""
import itertools
import json
import os
import re
import shutil
import signal
import time

from cluster import (ROOT, Cluster, Posted, Reply, Strace, await_true, call, expect, frames_end, inject,
                     last_file)

HANG_S = 8
HEAL_S = 2 + 2  # of the contract, and for a busy machine
BIG = 600 * 1000  # two of them are more than the room that is kept ahead


def expect_failed(node, why):
    """What the contract says of a node whose write or flush has failed."""
    await_true(f"{node.name} to say that its disk has failed {why}", lambda: node.disk() == "failed")
    expect(node.get("/readyz").status == 503, f"{node.name} is ready {why}")
    expect(node.get("/livez").status == 200, f"{node.name} is not alive {why}")
    expect(node.list() is not None, f"{node.name} does not show its list {why}")
    await_true(f"{node.name} to log that {why}", lambda: node.lines("ERROR"))
    errors = node.lines("ERROR")
    expect(len(errors) == 1 and node.directory in errors[0], f"{node.name} says {errors} {why}")


def expect_refused(node, why):
    reply = node.post("refused")
    expect(reply.status == 503 and reply.fields.get("Retry-After"), f"a POST is answered {reply} {why}")


# ---- running

def master_fails(cluster, posted, name, call_name, error):
    """A write or flush of the running master fails while POSTs wait for it."""
    why = f"after {error} of {call_name}"
    master = cluster.master
    with Strace([master], *inject(call_name, error, "1")):
        reply = posted.post(master, f"{name}-2", "?w=2&timeout=10")
        expect(reply.status in (201, 202), f"the POST for 2 nodes is answered {reply} {why}")
    expect_failed(master, why)
    expect_refused(master, why)
    time.sleep(0.3)
    expect_failed(master, why)
    # what it had not on disk is on the others
    place = json.loads(reply.body)["id"]
    for node in cluster.secondaries:
        await_true("the secondaries to hold what failed", lambda: len(node.list()) >= place)
    master.end()
    master.start()


def master_fails_for_all(cluster, posted, name, call_name, error):
    """The POST waits for the master itself: it is answered 202 at the failure."""
    why = f"after {error} of {call_name}"
    master = cluster.master
    with Strace([master], *inject(call_name, error, "1")):
        began = time.monotonic()
        reply = posted.post(master, f"{name}-3", "?w=3&timeout=20")
        took = time.monotonic() - began
        acks = json.loads(reply.body).get("acks")
        expect(reply.status == 202 and took < 15 and acks in (0, 1, 2),
               f"the POST for all nodes is answered {reply} in {took:.1f} s {why}")
    expect_failed(master, why)
    master.end(signal.SIGTERM)
    master.start()


def secondary_fails(cluster, posted, name, call_name, error):
    why = f"after {error} of {call_name}"
    master, s1 = cluster.master, cluster.secondaries[0]
    with Strace([s1], *inject(call_name, error, "1")):
        reply = posted.post(master, f"{name}-2", "?w=2&timeout=20")
        expect(reply.status == 201, f"the POST for 2 nodes is answered {reply} {why}")
        reply = posted.post(master, f"{name}-3", "?w=3&timeout=0.5")
        expect(reply.status == 202, f"the POST for all nodes is answered {reply} {why}")
    expect_failed(s1, why)
    expect(cluster.master.disk() == "ok", f"the master's disk is not ok {why}")
    s1.end()
    s1.start()


def has_no_room(node, writes):
    """ENOSPC where room ahead is made: it is full, and heals when it is asked again."""
    with Strace([node], *inject("pwritev", "ENOSPC", "1")):
        writes()
        await_true(f"{node.name} to be full", lambda: node.disk() == "full")
    await_true(f"{node.name} to have room", lambda: node.disk() == "ok", HEAL_S)
    expect(not node.lines("ERROR"), f"{node.name} says {node.lines('ERROR')} where it was full")


def full_runs(cluster, posted):
    for node in (cluster.master, cluster.secondaries[0]):
        for i in range(2):
            reply = posted.post(cluster.master, f"big-{node.name}-{i}" + "x" * BIG, "?w=3&timeout=20")
            expect(reply.status == 201, f"a long POST is answered {reply[:2]}")

        def writes():
            reply = posted.post(cluster.master, f"small-{node.name}", "?w=3&timeout=10")
            expect(reply.status == 201, f"a POST with room for it is answered {reply}")
        has_no_room(node, writes)


def meta_fails(cluster, posted, call_name, error):
    """The secondary writes its meta file when its master has another epoch."""
    s1 = cluster.secondaries[0]
    words = ["-P", s1.directory] if call_name == "openat" else []
    with Strace([s1], *words, *inject(call_name, error, "1")):
        cluster.master.end()
        cluster.master.start()
        await_true(f"{s1.name} to notice {error} of {call_name}", lambda: s1.disk() != "ok")
    if error == "ENOSPC":
        await_true(f"{s1.name} to have room", lambda: s1.disk() == "ok", HEAL_S)
    else:
        expect_failed(s1, f"after {error} of {call_name} for the meta file")
        s1.end()
        s1.start()
    posted.check(cluster.settle(f"meta-{call_name}-{error}"))


def hangs(cluster, posted, node):
    """A flush that does not return: those who wait for it do, all else goes on, and SIGTERM ends the node."""
    with Strace([node], "-e", "trace=fdatasync", "-e", f"inject=fdatasync:delay_enter={HANG_S}000000"):
        reply = posted.post(cluster.master, f"hangs-{node.name}-3", "?w=3&timeout=0.5")
        expect(reply.status == 202, f"a POST that waits for a flush is answered {reply}")
        reply = posted.post(cluster.master, f"hangs-{node.name}-2", "?w=2&timeout=3")
        expect(reply.status == 201, f"a POST that need not wait for a flush is answered {reply}")
        expect(node.list() is not None and node.disk() == "ok", f"{node.name} does not go on while a flush hangs")
        os.kill(node.pid, signal.SIGTERM)
        # the process itself waits for strace
        await_true(f"{node.name} to stop while a flush hangs", lambda: node.lines(" stopped"), 4)
    node.end()
    node.start()
    posted.check(cluster.settle(f"hangs-{node.name}-end"))


def loads(cluster, posted):
    """What is answered while a list of some MB is read slowly."""
    for i in range(8):
        posted.post(cluster.master, f"long-{i}" + "x" * BIG, "?w=3&timeout=20")
    cluster.settle("short")  # the last frame is read twice, by the page
    for node in (cluster.master, cluster.secondaries[0]):
        node.end()
        node.begin(["strace", "-f", "-o", f"{ROOT}/loads.txt", "-e", "trace=pread64", "-e",
                    "inject=pread64:delay_enter=50000"])
        await_true(f"{node.name} to listen", lambda: node.get("/livez").status == 200)
        said = set()
        while (reply := node.get("/health")).status == 503:
            expect(reply.fields.get("Retry-After"), f"while it loads, {node.name} answers {reply}")
            said.add(json.loads(reply.body)["error"])
            for path in ("/readyz", "/messages"):
                expect(node.get(path).status in (200, 503), f"while it loads, {path} is not 503")
            time.sleep(0.01)
        expect(len(said) > 2 and all(re.fullmatch("it is loading its list from disk(: [0-9]+ of [0-9]+ MB)?", text)
                                     for text in said), f"while it loads, {node.name} says {said}")
        node.end()
        node.start()
    posted.check(cluster.settle("loads"))


def running():
    cluster = Cluster("faults").start()
    posted = Posted()
    cases = list(itertools.product(("fdatasync", "pwritev"), ("EIO", "ENOSPC")))
    # Between two cases all are started again: secondaries are slow with a master that is young again and again.
    for act in (master_fails, master_fails_for_all, secondary_fails):
        for call_name, error in cases:
            name = f"{act.__name__}-{call_name}-{error}"
            cluster.settle(f"{name}-begin")  # behind it nothing waits to be written
            act(cluster, posted, name, call_name, error)
            posted.check(cluster.settle(name))
            cluster.end()
            cluster.start()
    full_runs(cluster, posted)
    posted.check(cluster.settle("full"))
    for node in (cluster.master, cluster.secondaries[0]):
        hangs(cluster, posted, node)
    loads(cluster, posted)
    others = list(itertools.product(("openat", "fsync", "renameat"), ("EIO", "ENOSPC")))
    for call_name, error in others:
        meta_fails(cluster, posted, call_name, error)
        cluster.end()
        cluster.start()
    cluster.forget()
    return 3 * len(cases) + 4 + len(others)


# ---- starting

# With the files, as they are named there, whose openat fails. strace counts the calls of each thread.
FILES = ("", "meta.new", "00000000000000000001.log")
CALLS = (*(("openat", name) for name in FILES),
         *((name, None) for name in ("fdatasync", "fsync", "pwritev", "pwrite64", "ftruncate", "renameat")))
READS = [("pread64", name) for name in ("meta", "00000000000000000001.log")]


def started_with(node, call_name, file, error, number):
    """Starts a node whose so manyth call fails. Returns whether there was such a call, and what became of it."""
    trace = f"{ROOT}/start.txt"
    path = f"{node.directory}/{file}" if call_name == "pread64" else file or node.directory
    words = [] if file is None else ["-P", path]
    node.begin(["strace", "-f", "-o", trace, *words, *inject(call_name, error, str(number))])
    what = f"{node.name} to serve or to end where call {number} of {call_name} fails with {error}"
    await_true(what, lambda: node.ended() is not None or node.serves(), 6)
    code = node.ended()
    if code is not None:
        expect(code == 1 and node.lines("ERROR"), f"{what}: it ended with {code}: {node.tail()}")
    with open(trace, errors="replace") as text:
        return "(INJECTED)" in text.read(), code


def start_sweep(cluster, node, template, posted, calls):
    """Each call of its start fails once; then it starts as ever, and has everything."""
    starts = ends = 0
    for (call_name, file), error in itertools.product(calls, ("EIO", "ENOSPC")):
        if call_name == "pread64" and error != "EIO":
            continue
        for number in itertools.count(1):
            node.end()
            shutil.rmtree(node.directory)
            shutil.copytree(template, node.directory)
            met, code = started_with(node, call_name, file, error, number)
            if not met:
                break
            starts += 1
            ends += code is not None
            name = f"{node.name}-{call_name}-{file or str()}-{error}-{number}"
            if code is None:
                posted.post(cluster.master, name, "?w=1&timeout=0.2")
            node.end()
            node.start()
            settle = cluster.settle(f"{name}-end")
            posted.check(settle)
            expect(len(settle) >= 10 and settle[0] == "first", f"{name}: the list is {settle[:12]}")
            if node is cluster.master:
                posted.ids.clear()  # the next start is one from the template again
    node.end()
    return starts, ends


def template_of(node):
    """Its directory as after a kill, with a torn tail."""
    node.end()
    path = last_file(node.directory)
    os.truncate(path, frames_end(path) - 3)
    template = f"{node.directory}.template"
    shutil.copytree(node.directory, template)
    return template


def fill(cluster):
    texts = ["first", *(f"text{i}" for i in range(2, 13))]
    for text in texts:
        cluster.master.post(text, f"?w={len(cluster.nodes)}")


def starting():
    alone = Cluster("alone", nodes=1)
    alone.master.start()
    fill(alone)
    said = [start_sweep(alone, alone.master, template_of(alone.master), Posted(), CALLS)]
    alone.forget()
    pair = Cluster("pair", nodes=2).start()
    fill(pair)
    secondary = pair.secondaries[0]
    # what it cannot read, its master sends again
    said.append(start_sweep(pair, secondary, template_of(secondary), Posted(), [*CALLS, *READS]))
    pair.forget()
    return said


def run():
    count = running()
    (m_starts, m_ends), (s_starts, s_ends) = starting()
    return (f"{count} faults of running nodes; of {m_starts} starts of a master {m_ends} ended, "
            f"of {s_starts} of a secondary {s_ends}; nothing was lost")

"""A tmpfs with a few MB of room as the directory of the master, then of a secondary: filled, and given room again."""
import os
import subprocess
import time

from cluster import Cluster, Load, Posted, await_true, expect

SIZE_MB, FILLERS_MB = 24, {"some": 2, "more": 16}
HEAL_S = 2 + 2  # of the contract, and for a busy machine
TEXT = 20000


def mount(directory):
    os.mkdir(directory, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", directory], check=True)
    for name, size in FILLERS_MB.items():
        with open(f"{directory}/{name}", "wb") as filler:
            filler.write(bytes(size << 20))


def make_room(node, name):
    os.remove(f"{node.directory}/{name}")


def expect_heals(node):
    await_true(f"{node.name} to have room", lambda: node.disk() == "ok", HEAL_S)
    expect(not node.lines("ERROR"), f"{node.name} says {node.lines('ERROR')}")


def unmounted(cluster, node):
    """Its list can be looked at where nothing can be written."""
    cluster.end()
    subprocess.run(["mount", "-o", "remount,bind,ro", node.directory], check=True)
    code, printed = node.check_data()
    expect(code == 0, f"--check-data ends with {code}: {printed}")
    subprocess.run(["umount", node.directory], check=True)
    cluster.forget()


def master():
    cluster = Cluster("full-master", "--write-concern", "majority")
    node, posted, refused = cluster.master, Posted(), []
    mount(node.directory)
    cluster.start()

    def fill(prefix):
        """Posts until the disk is full, and sees that a POST is refused then."""
        with Load(node, posted, ["", "?w=3", ""], prefix, TEXT):
            await_true(f"POSTs to be refused ({prefix})", lambda: node.disk() == "full")
            refused.append(f"{prefix}-refused")
            reply = node.post(refused[-1])
            if node.disk() == "full":
                expect(reply.status == 503 and reply.fields.get("Retry-After"), f"a POST is answered {reply}")
        expect(node.get("/readyz").status == 503 and node.list() is not None, "it is ready, or shows nothing")

    fill("a")
    make_room(node, "some")
    expect_heals(node)
    reply = posted.post(node, "healed", "?w=3&timeout=10")
    expect(reply.status == 201, f"with room again, a POST is answered {reply}")
    fill("b")
    posted.check(node.list())
    node.end()
    node.start()  # on a full disk: reads go on
    expect(node.disk() == "full", f"after a restart the disk is {node.disk()}")
    posted.check(node.list())
    make_room(node, "more")
    expect_heals(node)
    messages = cluster.settle("end")
    posted.check(messages)
    expect(not set(refused) & set(messages), "what was refused is in the list")
    unmounted(cluster, node)
    return len(posted.ids), posted.statuses[503]


def secondary():
    cluster = Cluster("full-secondary", "--write-concern", "majority")
    node, posted = cluster.secondaries[0], Posted()
    mount(node.directory)
    cluster.start()
    with Load(cluster.master, posted, ["", "", "?w=2"], "c", TEXT):
        await_true("the secondary to be full", lambda: node.disk() == "full")
        before = len(posted.ids)
        await_true("POSTs to go on without it", lambda: len(posted.ids) > before)
    expect(node.get("/readyz").status == 503 and node.list() is not None, "it is ready, or shows nothing")
    reply = posted.post(cluster.master, "late", "?w=3&timeout=0.5")
    expect(reply.status == 202, f"a POST for all nodes is answered {reply}")
    expect(node.disk() == "full", "it has room again, which nobody made")
    make_room(node, "more")
    expect_heals(node)
    posted.check(cluster.settle("end"))
    unmounted(cluster, node)
    return len(posted.ids), posted.statuses[503]


def run():
    (m_stored, m_refused), (s_stored, s_refused) = master(), secondary()
    expect(s_refused == 0, f"{s_refused} POSTs were refused where a secondary was full")
    return f"{m_stored} and {s_stored} messages acknowledged, {m_refused} refused, none lost or twice"

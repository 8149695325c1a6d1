"""SIGKILL of all nodes at random moments under load: ROUNDS=50 times."""
import os
import random
import time

from cluster import Cluster, Load, Posted, await_true

CHECK_EACH = 10  # rounds between two looks at the whole lists


def check(master, posted, ids):
    """What two others have acknowledged the master may have to take over first."""
    await_true("the master to have what was acknowledged", lambda: len(master.list() or ()) >= max(ids.values()))
    posted.check(master.list(), ids)


def run():
    rounds = int(os.environ.get("ROUNDS") or 50)
    cluster = Cluster("kills", "--write-concern", "majority").start()
    posted = Posted()
    with Load(cluster.master, posted, ["", "?w=3", "", "?w=2"]):
        for number in range(1, rounds + 1):
            before = len(posted.ids)
            await_true(f"round {number}: a POST to be answered", lambda: len(posted.ids) > before)
            time.sleep(random.random() * 0.15)
            cluster.end()
            cluster.begin(random.sample(cluster.nodes, 3))
            if number % CHECK_EACH == 0:
                check(cluster.master, posted, dict(posted.ids))
    posted.check(cluster.settle("end"))
    cluster.forget()
    return f"{rounds} rounds, {len(posted.ids)} messages acknowledged, none lost or twice"

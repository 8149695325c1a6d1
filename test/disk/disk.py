"""Real disks and real faults: what `run` starts. Each step is a file beside this one with a function `run`."""
import importlib
import os
import random
import shutil
import sys
import time

import cluster

STEPS = ["kills", "order", "faults", "full", "flips", "tails"]


def main():
    chosen = os.environ.get("ONLY", "").split() or STEPS
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    failed = []
    print(f"disk: SEED={seed}", flush=True)
    for name in chosen:
        random.seed(f"{seed} {name}")
        began = time.monotonic()
        try:
            said = importlib.import_module(name).run()
            print(f"disk: {name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
        except cluster.Failed as error:
            failed.append(name)
            print(f"disk: {name} FAILED: {error}", flush=True)
            for node in cluster.nodes:
                if os.path.exists(node.log):
                    print(f"--- {node.name}\n{node.tail()}", flush=True)
        finally:
            cluster.end_all()
            cluster.nodes.clear()
    if failed:
        print(f"disk: what the nodes have left is in {cluster.ROOT}", flush=True)
        sys.exit(1)
    shutil.rmtree(cluster.ROOT)
    print("disk: all well")


main()

"""One bit flipped at each of FLIPS=100 random places of one of three stopped nodes: everything that all three had
acknowledged is there in the end, on all of them."""
import collections
import os
import random
import shutil
import signal

from cluster import ROOT, Cluster, Load, Posted, await_true, expect, frames_end

ANYWHERE = 0.1  # the part of the flips that may go into zeros
# What --check-data tells of what a start does then. A message of "torn" may have been damaged as well.
CODES = {"unnoticed": (0,), "torn": (1,), "damage": (2,), "meta": (2,), "ended": (2, 3)}


def template_make(name, number):
    """Directories of a cluster that was ended by a signal, and what it had acknowledged."""
    cluster = Cluster(name).start()
    posted = Posted()
    for i in range(30):
        posted.post(cluster.master, f"{i}-" + "y" * random.choice((0, 1, 50, 700, 3000)))
    with Load(cluster.master, posted, ["", "", "", ""]):
        before = len(posted.ids)
        await_true("some more POSTs", lambda: len(posted.ids) > before + 100)
    cluster.end(number)
    cluster.forget()
    return cluster.root, posted


def place_choose(directory):
    """A file and an offset in it."""
    files = [f"{directory}/{name}" for name in sorted(os.listdir(directory))]
    whole = random.random() < ANYWHERE
    sizes = [os.path.getsize(path) if whole else frames_end(path) for path in files]
    if random.random() < 0.1:  # the small ones would have no turn
        sizes = [min(size, 1) for size in sizes]
    path = random.choices(files, sizes)[0]
    size = os.path.getsize(path) if whole else frames_end(path)
    return path, random.randrange(size)


def flip(path, offset):
    bit = random.randrange(8)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))
    return f"bit {bit} of byte {offset} of {os.path.relpath(path, ROOT)}"


def end_seen(node, what):
    """Waits until it serves. Where it ends instead, plainly, a person moves the directory away."""
    await_true(f"{node.name} to serve or end after {what}", lambda: node.ended() is not None or node.serves())
    if node.ended() is None:
        return False
    expect(node.ended() == 1 and any(node.directory in line for line in node.lines("ERROR")),
           f"{node.name} ended with {node.ended()} after {what}: {node.tail()}")
    node.end()
    os.rename(node.directory, f"{node.directory}.away")
    node.start()
    return True


def round_play(template, posted, number):
    cluster = Cluster("flipped", directory=f"{ROOT}/flipped-{number}")
    for node in cluster.nodes:
        shutil.copytree(f"{template}/{os.path.basename(node.directory)}", node.directory)
    victim = random.choice([cluster.master, *cluster.secondaries])
    what = flip(*place_choose(victim.directory))
    code, printed = victim.check_data()
    cluster.begin(random.sample(cluster.nodes, 3))
    ended = any([end_seen(node, what) for node in cluster.nodes])
    try:
        posted.check(cluster.settle(f"after {what}"))
    except Exception as error:
        raise type(error)(f"{what}: {error}") from error
    await_true(f"{victim.name} to log that its list is loaded", lambda: victim.lines(" loaded "))
    said = {word: bool(victim.lines(text)) for word, text in
            (("damage", " were on this disk and are missing"), ("torn", "dropped"), ("meta", "the meta file"))}
    said = "ended" if ended else next((word for word in said if said[word]), "unnoticed")
    expect(code in CODES[said], f"{what}: {said}, but --check-data ended with {code}: {printed}")
    cluster.end()
    cluster.forget()
    shutil.rmtree(cluster.root)
    return said


def run():
    count = int(os.environ.get("FLIPS") or 100)
    templates = [template_make("killed", signal.SIGKILL), template_make("stopped", signal.SIGTERM)]
    seen = collections.Counter()
    for number in range(count):
        seen[round_play(*random.choice(templates), number)] += 1
    return f"{count} flips, nothing was lost; {', '.join(f'{word} {seen[word]}' for word in sorted(seen))}"

"""The last file of a master that was killed, cut at each byte of its last two frames, and with zeros and noise behind
them: it starts with the whole frames that are left, says what it dropped, and appends behind them."""
import os
import random
import shutil

from cluster import Cluster, await_true, expect, frames_end, last_file

FRAMES, ALIGN, HEAD = 8, 8, 64


def frame_ends(path):
    """Offsets behind each frame."""
    with open(path, "rb") as file:
        data = file.read()
    at, ends = 128, []
    while at + HEAD <= len(data) and any(data[at:at + HEAD]):
        length = int.from_bytes(data[at + 8:at + 16], "little")
        at += HEAD + (length + ALIGN - 1) // ALIGN * ALIGN
        ends.append(at)
    return ends


class Tail:
    def __init__(self):
        self.cluster = Cluster("tails", nodes=1)
        self.master = self.cluster.master.start()
        self.texts = [f"text-{i}" for i in range(1, FRAMES + 1)]
        for text in self.texts:
            self.master.post(text)
        self.master.end()
        self.path = last_file(self.master.directory)
        self.ends = frame_ends(self.path)
        expect(len(self.ends) == FRAMES, f"there are {len(self.ends)} frames")
        self.size = os.path.getsize(self.path)
        self.template = f"{self.cluster.root}/template"
        shutil.copytree(self.master.directory, self.template)
        self.starts = 0

    def start(self, change, whole, torn, what):
        """Starts on a changed copy: `whole` frames are left; `torn`: something is dropped."""
        master = self.master
        master.end()
        shutil.rmtree(master.directory)
        shutil.copytree(self.template, master.directory)
        with open(self.path, "r+b") as file:
            change(file)
        code, printed = master.check_data()
        expect(code == torn and f" to {whole}," in printed, f"{what}: --check-data ends with {code}: {printed}")
        master.start()
        self.starts += 1
        expect(master.list() == self.texts[:whole], f"{what}: the list is {master.list()}")
        await_true(f"{what}: the line of the loading", lambda: master.lines(" loaded "))
        warned = len(master.lines("WARN", "of an append that was not finished"))
        expect(warned == torn, f"{what}: {warned} lines tell of a torn tail: {master.tail()}")
        expect(not master.lines("ERROR"), f"{what}: {master.lines('ERROR')}")
        if self.starts % 8 == 0:
            expect(master.post("more").status == 201, f"{what}: a POST is not answered 201")
            master.end()
            master.start()
            expect(master.list() == [*self.texts[:whole], "more"], f"{what}: behind it the list is {master.list()}")


def run():
    tail = Tail()
    end = tail.ends[-1]
    for at in range(tail.ends[-3], end + 1):
        whole = sum(frame <= at for frame in tail.ends)
        tail.start(lambda file, at=at: file.truncate(at), whole, at not in tail.ends, f"cut at {at}")

    def put(at, data):
        def change(file):
            file.seek(at)
            file.write(data)
        return change

    noise = [random.randbytes(length) for length in (1, 7, 8, 63, 64, 65, 4096, 70000)]
    for data in noise:
        if any(data):
            tail.start(put(end, data), FRAMES, True, f"{len(data)} bytes of noise behind the frames")
            tail.start(put(tail.size, data), FRAMES, True, f"{len(data)} bytes of noise behind the file")
    for length in (1, 8, 4096, 3 << 20):
        tail.start(put(tail.size, bytes(length)), FRAMES, False, f"{length} zeros behind the file")
    for at in range(tail.ends[-2], frames_end(f"{tail.template}/{os.path.basename(tail.path)}"), 5):
        tail.start(put(at, random.randbytes(200)), FRAMES - 1, True, f"noise from {at} on")
    tail.cluster.forget()
    return f"{tail.starts} starts, each with the whole frames that were left"

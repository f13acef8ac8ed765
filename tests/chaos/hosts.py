"""Two hosts, by network namespaces: the collector's and that of all others,
with a cable between them that can be pulled out. Needs root.

The collector still gets its listening socket from weftd, and talks to it and
to metrics by Unix sockets, for which namespaces are no border; its batches and
their acks take the cable.
"""
import ctypes
import os
import shlex
import subprocess

from common import BUILD

CLONE_NEWNET = 0x40000000
CENTRE, EDGE = "198.18.0.1", "198.18.0.2"  # addresses kept for tests
DEVICE = "weft-cable"


def _run(*words):
    subprocess.run(words, check=True, capture_output=True)


class Hosts:
    """make() before there is any thread: it moves this process, and all that it
    starts, into a network of their own."""

    def __init__(self, folder):
        self.name = f"weft-chaos-{os.getpid()}"
        self.libexec = folder / "libexec"

    @classmethod
    def make(cls, folder):
        """None where that is not allowed, and nothing has changed then but that
        there may be a network of our own."""
        if os.geteuid() != 0 or ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
            return None
        _run("ip", "link", "set", "lo", "up")
        hosts = cls(folder)
        try:
            hosts._connect()
        except (OSError, subprocess.CalledProcessError):
            hosts.remove()
            return None
        hosts._wrap()
        return hosts

    def _connect(self):
        inside = ("ip", "-n", self.name)
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name",
             "eth0", "netns", self.name)
        _run("ip", "addr", "add", f"{CENTRE}/30", "dev", DEVICE)
        _run("ip", "link", "set", DEVICE, "up")
        _run(*inside, "addr", "add", f"{EDGE}/30", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "link", "set", "lo", "up")

    def _wrap(self):
        """Programs as they were built, but that the collector moves to its
        host first; it keeps its process id."""
        built = BUILD / "libexec" / "weft"
        self.libexec.mkdir()
        for program in built.iterdir():
            if program.name != "collector":
                (self.libexec / program.name).symlink_to(program)
        wrapper = self.libexec / "collector"
        real = shlex.quote(str(built / "collector"))
        wrapper.write_text(
            "#!/bin/sh\n"
            f'exec nsenter --net=/run/netns/{self.name} {real} "$@"\n')
        wrapper.chmod(0o755)

    def cut(self):
        _run("ip", "link", "set", DEVICE, "down")

    def heal(self):
        _run("ip", "link", "set", DEVICE, "up")

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False,
                       capture_output=True)

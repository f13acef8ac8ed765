#!/usr/bin/env python3
"""A service that misbehaves on demand, for the tests of the supervisor.

Started under the name of a real service, with a service's arguments. What it
does is read at each start from $WEFT_FAKE/<row>, then $WEFT_FAKE/all:

  ok        becomes ready, pings, ends on SIGTERM (the default)
  crash     ends with code 1 at once
  config    says why and ends with code 78
  tempfail  ends with code 75
  silent    never becomes ready
  hang      becomes ready, then never pings
  deaf      becomes ready, ignores SIGTERM
  clinging  becomes ready, never lets go of the instances it feeds
  stopping  becomes ready, says STOPPING=1 on SIGTERM, ends 0.3 s later
  noisy     becomes ready and logs 12 MiB
  forging   never becomes ready, but a child of its own says that it is

It writes its environment and descriptors to $WEFT_FAKE/<row>.<n>.json, and a
line for each event to $WEFT_FAKE/events.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import sys
import time


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


def behaviour(folder, row):
    for name in (row, "all"):
        try:
            with open(os.path.join(folder, name)) as f:
                return f.read().strip()
        except FileNotFoundError:
            pass
    return "ok"


def note(folder, text):
    with open(os.path.join(folder, "events"), "a") as f:
        f.write(f"{time.monotonic():.6f} {text}\n")


def describe(folder, label):
    open_fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            open_fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
             "LISTEN_PID", "LISTEN_FDNAMES", "WEFT_TOPOLOGY")
    about = {
        "pid": os.getpid(), "ppid": os.getppid(), "pgid": os.getpgid(0),
        "argv": sys.argv[1:], "fds": open_fds,
        "environment": {n: os.environ[n] for n in names if n in os.environ},
    }
    path = os.path.join(folder, label + ".json")
    with open(path + ".new", "w") as f:
        json.dump(about, f)
    os.rename(path + ".new", path)


def serve_one(listener):
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        return
    with client:
        client.sendall(b"%d\n" % os.getpid())


def end_early(label, mode):
    codes = {"crash": 1, "config": 78, "tempfail": 75}
    if mode in codes:
        print(f"{label} cannot go on", file=sys.stderr, flush=True)
        sys.exit(codes[mode])


def make_noise(folder, label):
    line = "x" * 1023 + "\n"
    for _ in range(12 * 1024):
        sys.stderr.write(line)
    sys.stderr.flush()
    note(folder, f"noisy {label}")


def forge(folder, label):
    """Only the process that weftd started speaks for itself."""
    if os.fork() == 0:
        for text in ("READY=1\nSTATUS=forged", f"MAINPID={os.getpid()}\n"
                     "READY=1", "STOPPING=1", "X_WEFT_TOPOLOGY=99"):
            notify(text)
        note(folder, f"forged {label}")
        os._exit(0)


def follow():
    """As a producer does: it feeds whom the topology names, and says so."""
    with open(os.environ["WEFT_TOPOLOGY"]) as f:
        notify(f"X_WEFT_TOPOLOGY={json.load(f)['generation']}")


def handle(folder, label, mode, number):
    """True when the service is to end."""
    note(folder, f"{signal.Signals(number).name} {label}")
    if number in (signal.SIGHUP, signal.SIGUSR1) and mode != "clinging":
        follow()
    if number != signal.SIGTERM or mode == "deaf":
        return False
    if mode == "stopping":
        notify("STOPPING=1")
        selectors.DefaultSelector().select(0.3)
    note(folder, f"ended {label}")
    return True


def serve(folder, label, mode, wakeups, signals):
    selector = selectors.DefaultSelector()
    selector.register(wakeups, selectors.EVENT_READ)
    listener = None
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        listener = socket.socket(fileno=3)
        selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select(0.2):
            if key.fileobj is listener:
                serve_one(listener)
            else:
                os.read(wakeups, 100)
        if mode not in ("hang", "silent", "forging"):
            notify("WATCHDOG=1")
        while signals:
            if handle(folder, label, mode, signals.pop(0)):
                return


def main():
    arguments = argparse.ArgumentParser()
    for name in ("--config", "--name", "--instance"):
        arguments.add_argument(name)
    a = arguments.parse_args()
    folder = os.environ["WEFT_FAKE"]
    label = f"{a.name}.{a.instance}"
    mode = behaviour(folder, a.name)
    signals = []
    wakeups, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(s, lambda number, _: signals.append(number))
    describe(folder, label)
    note(folder, f"started {label} {os.getpid()}")
    print(f"{label} starts as {mode}", file=sys.stderr, flush=True)
    end_early(label, mode)
    if mode == "forging":
        forge(folder, label)
    elif mode != "silent":
        follow()
        notify("READY=1\nSTATUS=serving as " + mode)
    if mode == "noisy":
        make_noise(folder, label)
    serve(folder, label, mode, wakeups, signals)


main()

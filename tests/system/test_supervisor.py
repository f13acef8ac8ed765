"""weftd and pipelinectl, over services that misbehave on demand
(fake_service.py under the names of the real ones)."""

import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import (LIBEXEC, PIPELINECTL, Pipeline, alive, free_port,
                      wait_for)

FAKE = pathlib.Path(__file__).with_name("fake_service.py")
KINDS = ("collector", "transformer", "eventhub-publisher", "generator",
         "metrics")


class FakePipeline(Pipeline):
    """A pipeline whose services do what their file in `fake` says."""

    def __init__(self, folder):
        libexec = pathlib.Path(folder) / "libexec"
        libexec.mkdir()
        super().__init__(folder, libexec)
        (libexec / "weftd").symlink_to(LIBEXEC / "weftd")
        for kind in KINDS:
            (libexec / kind).symlink_to(FAKE)
        self.fake = self.folder / "fake"
        self.fake.mkdir()
        self.env["WEFT_FAKE"] = str(self.fake)
        self.sections["pipeline"].update(
            restart_burst=3, watchdog="2s", drain_timeout="1s",
            start_timeout="5s", restart_backoff="50ms")

    def behave(self, row, how):
        (self.fake / row).write_text(how)

    def events(self):
        """What the services noted, in order, without times."""
        try:
            text = (self.fake / "events").read_text()
        except FileNotFoundError:
            return []
        return [line.split(" ", 1)[1] for line in text.splitlines()]

    def about(self, label):
        return json.loads((self.fake / f"{label}.json").read_text())

    def ask(self, line, timeout=10):
        """One raw line to the control socket; the raw answer."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(str(self.run_dir / "control.sock"))
            s.sendall(line)
            return read_line(s)


def read_line(s):
    data = b""
    while not data.endswith(b"\n"):
        part = s.recv(65536)
        if not part:
            break
        data += part
    return data


@pytest.fixture
def fakes(folder):
    one = FakePipeline(folder)
    yield one
    one.clean_up()


# -- starting and stopping --

def test_start_status_stop(fakes):
    started = fakes.start()
    assert "4 processes ready" in started.out
    status = fakes.status()
    assert status["state"] == "running"
    assert [p["service"] for p in status["services"]] == \
        ["collector", "transformer", "eventhub-publisher", "metrics"]
    assert all(p["state"] == "ready" and alive(p["pid"])
               for p in status["services"])
    assert status["services"][0]["status"] == "serving as ok"
    pids = fakes.pids()

    table = fakes.ctl("status")
    assert table.code == 0
    assert table.out.splitlines()[2].split() == \
        ["SERVICE", "PID", "STATE", "UPTIME", "RESTARTS", "IN/S", "OUT/S",
         "LOG", "STATUS"]
    assert "\033" not in table.out, "colour only on a terminal"

    assert fakes.stop().out == "stopped\n"
    assert not any(alive(pid) for pid in pids)
    assert fakes.ctl("status").code == 3


def test_start_twice_is_one_pipeline(fakes):
    fakes.start()
    pid = fakes.pid("weftd")
    again = fakes.ctl("start")
    assert again.code == 0
    assert f"pid {pid}" in again.out
    assert fakes.pid("weftd") == pid


def test_what_others_write_to_stderr_is_no_failure(fakes):
    fakes.env["LD_PRELOAD"] = "/nonexistent.so"
    done = fakes.start()
    assert "/nonexistent.so" in done.err
    assert "4 processes ready" in done.out


def test_second_weftd_is_refused(fakes):
    fakes.start()
    other = subprocess.run([LIBEXEC / "weftd", "--config", fakes.config],
                           env=fakes.env, capture_output=True, text=True,
                           timeout=20, check=False)
    assert other.returncode == 1
    assert "runs already" in other.stderr
    assert str(fakes.pid("weftd")) in other.stderr
    assert fakes.status()["state"] == "running"


def test_stop_goes_from_source_to_sink(fakes):
    fakes.services.insert(0, {"name": "generator"})
    fakes.sections["generator"] = {"listen": f"127.0.0.1:{free_port()}"}
    fakes.behave("collector", "stopping")
    fakes.start()
    fakes.stop()
    ends = [e for e in fakes.events() if e.startswith(("SIGTERM", "ended"))]
    order = ("generator", "collector", "transformer", "eventhub-publisher",
             "metrics")
    assert ends == [f"{what} {row}.0" for row in order
                    for what in ("SIGTERM", "ended")]


def test_deaf_service_is_killed_after_the_drain_timeout(fakes):
    fakes.behave("transformer", "deaf")
    fakes.sections["pipeline"]["drain_timeout"] = "0s"
    fakes.start()
    pid = fakes.pid("transformer")
    fakes.stop()
    assert not alive(pid)
    assert "killed instance=transformer.0" in fakes.log("weftd")


def test_second_sigterm_is_quick(fakes):
    fakes.behave("collector", "deaf")
    fakes.sections["pipeline"]["drain_timeout"] = "10m"
    fakes.start()
    pids = fakes.pids()
    os.kill(pids[0], signal.SIGTERM)
    wait_for(lambda: "SIGTERM collector.0" in fakes.events())
    os.kill(pids[0], signal.SIGTERM)
    wait_for(lambda: not any(alive(pid) for pid in pids), 10)


def test_foreground_logs_to_stderr_and_ends_on_sigint(fakes):
    fakes.write_config()
    process = subprocess.Popen(
        [PIPELINECTL, "start", "--foreground", "--config", fakes.config],
        env=fakes.env, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (fakes.status() or {}).get("state") == "running")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "collector.0 starts as ok" in err
    assert "event=all_ready" in err


def test_readiness_goes_up_to_the_service_manager(fakes):
    fakes.write_config()
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(fakes.folder / "manager"))
    manager.settimeout(20)
    env = dict(fakes.env, NOTIFY_SOCKET=str(fakes.folder / "manager"),
               WATCHDOG_USEC="200000")
    process = subprocess.Popen([LIBEXEC / "weftd", "--config", fakes.config],
                               env=env, stderr=subprocess.DEVNULL)
    heard = set()

    def hears(*what):
        heard.update(manager.recv(1000).split(b"\n"))
        return set(what) <= heard

    wait_for(lambda: hears(b"READY=1", b"WATCHDOG=1"))
    assert fakes.about("metrics.0")["environment"]["NOTIFY_SOCKET"] == \
        str(fakes.run_dir / "notify.sock"), "services talk to weftd"
    process.terminate()
    wait_for(lambda: hears(b"STOPPING=1"))
    assert process.wait(20) == 0


# -- nothing half-way --

def test_bad_config_starts_nothing(fakes):
    fakes.sections["collector"]["lisen"] = "127.0.0.1:1"
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert "weft.conf:" in done.err and '"listen"' in done.err
    assert fakes.events() == []
    assert fakes.ctl("status").code == 3


def test_bad_contract_starts_nothing(fakes):
    contracts = fakes.folder / "contracts"
    contracts.mkdir()
    (contracts / "broken.conf").write_text('name = "broken"; version = ;')
    fakes.sections["pipeline"]["contracts"] = contracts
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert "broken.conf:1" in done.err
    assert fakes.events() == []


def test_taken_port_starts_nothing(fakes):
    with socket.socket() as s:
        s.bind(("127.0.0.1", fakes.metrics_port))
        s.listen()
        fakes.write_config()
        done = fakes.ctl("start")
    assert done.code == 1
    assert f"127.0.0.1:{fakes.metrics_port}" in done.err
    assert fakes.events() == []


@pytest.mark.parametrize("how", ["others may write", "another owner"])
def test_run_dir_of_others_starts_nothing(fakes, how):
    fakes.run_dir.mkdir()
    if how == "others may write":
        fakes.run_dir.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(fakes.run_dir, 12345, 12345)
    else:
        fakes.run_dir = pathlib.Path("/tmp")
        fakes.sections["pipeline"]["run_dir"] = fakes.run_dir
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert "run_dir" in done.err and str(fakes.run_dir) in done.err
    assert fakes.events() == []


def test_service_that_refuses_its_configuration_starts_nothing(fakes):
    fakes.behave("transformer", "config")
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert "transformer.0" in done.err
    assert "transformer.0 cannot go on" in done.err, "its last log lines"
    assert fakes.ctl("status").code == 3, "and nothing is left running"


def test_crash_loop_at_start_is_reported_and_the_rest_runs(fakes):
    fakes.behave("transformer", "crash")
    fakes.write_config()
    done = fakes.ctl("start", "--json")
    assert done.code == 1
    assert done.json["running"] is True
    assert "transformer.0 is failed" in done.json["error"]
    assert "transformer.0 cannot go on" in done.json["error"]
    assert fakes.state("collector") == "ready"
    assert fakes.status()["state"] == "degraded"


def test_missing_program_is_named(fakes):
    (fakes.folder / "libexec" / "metrics").unlink()
    fakes.write_config()
    done = fakes.ctl("start")
    assert done.code == 1
    assert "cannot execute" in done.err and "libexec/metrics" in done.err


def test_service_that_never_gets_ready_is_reported(fakes):
    fakes.behave("transformer", "silent")
    fakes.write_config()
    done = fakes.ctl("start", "--timeout", "2s")
    assert done.code == 1
    assert "transformer.0 is starting" in done.err


# -- what services get --

def test_services_inherit_nothing_but_what_they_need(fakes):
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    fakes.write_config()
    done = subprocess.run([PIPELINECTL, "start", "--config", fakes.config],
                          env=dict(fakes.env, LISTEN_FDS="7"),
                          close_fds=False, capture_output=True, check=False)
    os.close(leak)
    assert done.returncode == 0, done.stderr
    about = fakes.about("transformer.0")
    own = {fd: what for fd, what in about["fds"].items() if int(fd) > 2}
    assert about["fds"]["0"] == "/dev/null"
    assert about["fds"]["1"].startswith("pipe:")
    assert all(what.startswith("pipe:") for what in own.values()), own
    assert about["pgid"] == about["pid"]
    assert about["ppid"] == fakes.pid("weftd")
    assert "LISTEN_FDS" not in about["environment"]
    assert about["environment"]["WATCHDOG_USEC"] == "2000000"
    about = fakes.about("collector.0")
    assert about["environment"]["LISTEN_FDS"] == "1"
    assert about["environment"]["LISTEN_FDNAMES"] == "listen"
    assert about["environment"]["LISTEN_PID"] == str(about["pid"])
    assert about["fds"]["3"].startswith("socket:")


def test_topology_says_where_consumers_bind(fakes):
    fakes.services[1]["instances"] = 2
    fakes.start()
    services = {s["name"]: s for s in fakes.topology()["services"]}
    assert fakes.topology()["version"] == 1
    assert services["transformer"]["link"] == "raw"
    assert [e["data"] for e in services["transformer"]["endpoints"]] == \
        [f"ipc://{fakes.run_dir}/raw.{n}" for n in (0, 1)]
    assert services["collector"]["listen"] == f"127.0.0.1:{fakes.port}"
    assert "endpoints" not in services["collector"]


# -- watching --

@pytest.mark.parametrize("row", ["collector", "transformer",
                                 "eventhub-publisher", "metrics"])
def test_killed_service_is_back_within_two_seconds(fakes, row):
    fakes.start()
    others = set(fakes.pids())
    old = fakes.kill(row)
    began = time.monotonic()
    now = fakes.wait_restarted(row, old, 10)
    assert time.monotonic() - began < 2
    assert now["restarts"] == 1
    assert "signal 9" in now["last_exit"]
    assert others - set(fakes.pids()) == {old}, "the others went on"


def test_crash_loop_fails_while_others_go_on(fakes):
    fakes.start()
    others = set(fakes.pids())
    fakes.behave("transformer", "crash")
    old = fakes.kill("transformer")
    failed = fakes.wait_state("transformer", "failed")
    assert "exit code 1" in failed["status"]
    assert "over 3 times" in failed["status"]
    assert failed["pid"] is None
    assert others - {old} <= set(fakes.pids())
    assert sum(e.startswith("started transformer") for e in fakes.events()) \
        == 1 + 3
    assert fakes.ctl("status").code == 1
    assert "SIGTERM collector.0" not in fakes.events()

    fakes.behave("transformer", "ok")
    assert fakes.ctl("start", "transformer").code == 0
    assert fakes.state("transformer") == "ready"


def test_temporary_failure_is_tried_for_ever(fakes):
    fakes.sections["pipeline"]["restart_backoff_max"] = "50ms"
    fakes.start()
    fakes.behave("transformer", "tempfail")
    fakes.kill("transformer")
    wait_for(lambda: sum(e.startswith("started transformer")
                         for e in fakes.events()) > 6)
    assert fakes.state("transformer") in ("starting", "backoff")
    fakes.behave("transformer", "ok")
    fakes.wait_state("transformer", "ready")


def test_hung_service_is_killed_and_back(fakes):
    fakes.sections["pipeline"]["watchdog"] = "1s"
    fakes.behave("transformer", "hang")
    fakes.start()
    old = fakes.pid("transformer")
    fakes.behave("transformer", "ok")
    now = fakes.wait_restarted("transformer", old)
    assert not alive(old)
    assert "signal 9" in now["last_exit"]
    assert "reason=watchdog" in fakes.log("weftd")


def test_stopped_process_is_a_hung_one(fakes):
    fakes.sections["pipeline"]["watchdog"] = "1s"
    fakes.start()
    old = fakes.kill("transformer", signal.SIGSTOP)
    fakes.wait_restarted("transformer", old)


def test_listening_socket_outlives_its_service(fakes):
    """While the collector is down, clients wait; none is refused."""
    fakes.start()

    def ask():
        with socket.create_connection(("127.0.0.1", fakes.port), 20) as s:
            return int(read_line(s))

    old = ask()
    assert old == fakes.pid("collector")
    fakes.kill("collector", signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask) for _ in range(8)]
        os.kill(old, signal.SIGKILL)
        fakes.wait_restarted("collector", old)
        new = fakes.pid("collector")
        assert {w.result(20) for w in waiting} == {new}


def test_weftd_killed_takes_its_services_along(fakes):
    fakes.start()
    pids = fakes.pids()
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids), 5)
    assert fakes.ctl("status").code == 3
    fakes.start()
    assert fakes.status()["state"] == "running"
    assert not set(pids) & set(fakes.pids())


def test_forged_notices_are_ignored_and_counted(fakes):
    fakes.behave("transformer", "silent")
    fakes.write_config()
    fakes.ctl("start", "--timeout", "1s")
    address = str(fakes.run_dir / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        for data in (b"READY=1", b"READY=1\nSTATUS=forged", b"", b"x" * 9000,
                     b"\0\0\0", b"READY"):
            s.sendto(data, address)
        # Credentials can be claimed only by those who may: root may, and then
        # it is the claimed process that must be a child.
        try:
            s.sendmsg([b"READY=1"], [(
                socket.SOL_SOCKET, socket.SCM_CREDENTIALS,
                struct.pack("3i", os.getppid(), os.getuid(), os.getgid()))])
        except OSError:
            pass
    wait_for(lambda: fakes.status()["notices_ignored"] >= 6)
    assert fakes.state("transformer") == "starting"
    assert "forged" not in json.dumps(fakes.status())


# -- one service at a time --

def test_stop_start_restart_of_one_instance(fakes):
    fakes.services[1]["instances"] = 2
    fakes.start()
    before = {n: fakes.pid(f"transformer.{n}") for n in (0, 1)}
    assert fakes.ctl("stop", "transformer.1").code == 0
    assert fakes.state("transformer.1") == "stopped"
    assert not alive(before[1])
    assert fakes.pid("transformer.0") == before[0]
    assert fakes.ctl("start", "transformer.1").code == 0
    assert fakes.state("transformer.1") == "ready"
    assert fakes.ctl("restart", "transformer").code == 0
    assert not set(before.values()) & {fakes.pid("transformer.0"),
                                       fakes.pid("transformer.1")}


def test_restart_that_fails_says_why(fakes):
    fakes.start()
    fakes.behave("transformer", "config")
    done = fakes.ctl("restart", "transformer")
    assert done.code == 1
    assert "transformer.0 is failed" in done.err
    assert "transformer.0 cannot go on" in done.err
    assert fakes.state("collector") == "ready"


def test_unknown_service_gets_the_nearest_name(fakes):
    fakes.start()
    done = fakes.ctl("restart", "transfomer")
    assert done.code == 1
    assert 'did you mean "transformer"' in done.err
    done = fakes.ctl("restart", "transformer.7")
    assert done.code == 1 and "no instance 7" in done.err


def test_restart_of_the_pipeline(fakes):
    fakes.start()
    before = fakes.pids()
    done = fakes.ctl("restart", "--json")
    assert done.code == 0 and done.json["state"] == "running"
    assert not set(before) & set(fakes.pids())


# -- reload --

def test_reload_changes_the_number_of_instances(fakes):
    fakes.start()
    pid = fakes.pid("transformer.0")
    generation = fakes.topology()["generation"]
    fakes.services[1]["instances"] = 3
    fakes.write_config()
    done = fakes.ctl("reload")
    assert done.code == 0, done
    assert "started transformer.1" in done.out
    assert "started transformer.2" in done.out
    fakes.wait_state("transformer.2", "ready")
    assert fakes.topology()["generation"] == generation + 1
    assert len(fakes.topology()["services"][1]["endpoints"]) == 3
    wait_for(lambda: "SIGHUP collector.0" in fakes.events())
    assert fakes.pid("transformer.0") == pid
    assert [(p["service"], p["instance"])
            for p in fakes.status()["services"]] == [
        ("collector", 0), ("transformer", 0), ("transformer", 1),
        ("transformer", 2), ("eventhub-publisher", 0), ("metrics", 0)]

    fakes.services[1]["instances"] = 1
    fakes.write_config()
    assert "stopping transformer.2" in fakes.ctl("reload").out
    wait_for(lambda: fakes.process("transformer.2") is None)
    assert fakes.pid("transformer.0") == pid


def test_a_transformer_stops_after_those_that_feed_it_know(fakes):
    fakes.services[1]["instances"] = 2
    fakes.start()
    assert fakes.ctl("scale", "transformer", 1).code == 0
    events = fakes.events()
    assert "SIGHUP collector.0" not in events
    assert events.index("SIGUSR1 collector.0") < \
        events.index("SIGTERM transformer.1")
    assert fakes.process("transformer.1") is None
    assert not any(e.startswith("SIGUSR1 t") for e in events)


def test_a_producer_that_clings_does_not_hold_it_for_ever(fakes):
    fakes.behave("collector", "clinging")
    fakes.services[1]["instances"] = 2
    fakes.start()
    done = fakes.ctl("scale", "transformer", 1, "--timeout", "500ms")
    assert done.code == 1 and "have let go of" in done.err, done
    # drain_timeout and the five seconds to end that follow it.
    wait_for(lambda: fakes.process("transformer.1") is None)
    assert "event=leave_cut_short instance=transformer.1" in fakes.log("weftd")


def test_an_instance_that_fails_fails_the_scale(fakes):
    fakes.start()
    fakes.behave("transformer", "config")
    done = fakes.ctl("scale", "transformer", 2)
    assert done.code == 1 and "transformer.1 is failed" in done.err, done
    fakes.behave("transformer", "ok")
    assert fakes.ctl("scale", "transformer", 1).code == 0
    assert fakes.ctl("scale", "transformer", 2).code == 0
    assert fakes.state("transformer.1") == "ready"


def test_reload_adds_and_removes_services(fakes):
    fakes.start()
    fakes.services.append({"name": "generator"})
    fakes.sections["generator"] = {"listen": f"127.0.0.1:{free_port()}"}
    fakes.write_config()
    assert "started generator.0" in fakes.ctl("reload").out
    fakes.wait_state("generator", "ready")
    fakes.services.pop()
    fakes.write_config()
    assert "stopping generator.0" in fakes.ctl("reload").out
    wait_for(lambda: fakes.process("generator") is None)


def test_reload_of_a_bad_config_is_refused(fakes):
    fakes.start()
    pids = fakes.pids()
    good = fakes.config.read_text()
    last = len(good.splitlines()) + 1
    for bad, said in (("colector = { };\n", '"collector"'),
                      ("x = (\n", "syntax error")):
        fakes.config.write_text(good + bad)
        done = fakes.ctl("reload")
        assert done.code == 1
        assert f"weft.conf:{last}:" in done.err and said in done.err, done
        assert "goes on" in done.err
    fakes.config.write_text(good)
    assert fakes.pids() == pids
    assert "SIGHUP collector.0" not in fakes.events()
    assert fakes.topology()["generation"] == 1


def test_reload_tries_what_refused_its_configuration(fakes):
    fakes.start()
    fakes.behave("transformer", "config")
    assert fakes.ctl("restart", "transformer").code == 1
    assert "mend it and reload" in fakes.process("transformer")["status"]
    fakes.behave("transformer", "ok")
    assert fakes.ctl("reload").code == 0
    fakes.wait_state("transformer", "ready")


def test_reload_names_what_needs_a_restart(fakes):
    fakes.start()
    fakes.port = free_port()
    fakes.sections["collector"].update(listen=f"127.0.0.1:{fakes.port}")
    fakes.write_config()
    done = fakes.ctl("reload")
    assert done.code == 0
    assert "collector.listen" in done.out
    assert "pipelinectl restart collector" in done.out
    old = fakes.pid("collector")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", fakes.port), 5)
    assert fakes.ctl("restart", "collector").code == 0
    with socket.create_connection(("127.0.0.1", fakes.port), 20) as s:
        assert int(read_line(s)) != old


def needs(fakes):
    """What a reload says is to be restarted: (service, keys) each."""
    fakes.write_config()
    done = fakes.ctl("reload", "--json")
    assert done.code == 0, done
    return [(one["service"], one["keys"])
            for one in done.json["needs_restart"]]


def test_reload_compares_with_what_runs(fakes):
    fakes.services[1]["instances"] = 2
    fakes.start()
    collector = fakes.sections["collector"]
    before = dict(collector)
    collector["segment_size"] = "2MiB"
    fakes.sections["transformer"] = {"silence": "3s"}
    changed = [("collector", ["segment_size"]), ("transformer", ["silence"])]
    assert needs(fakes) == changed
    # It is not forgotten at the next one, and not by a crash of another.
    assert needs(fakes) == changed
    assert fakes.ctl("restart", "transformer.0").code == 0
    assert needs(fakes) == changed, "transformer.1 has it still to come"
    old = fakes.kill("transformer.1")
    fakes.wait_restarted("transformer.1", old)
    assert needs(fakes) == changed[:1]
    # What was changed back is what runs.
    fakes.sections["collector"] = before
    assert needs(fakes) == []
    # weftd's own part is applied by nothing but its restart.
    fakes.sections["pipeline"]["watchdog"] = "3s"
    assert needs(fakes) == [("pipeline", ["watchdog"])]
    for row in ("collector", "transformer", "eventhub-publisher", "metrics"):
        assert fakes.ctl("restart", row).code == 0
    assert needs(fakes) == [("pipeline", ["watchdog"])]
    assert fakes.ctl("restart").code == 0
    assert needs(fakes) == []


def test_reload_does_not_move_a_running_pipeline(fakes):
    fakes.start()
    good = fakes.config.read_text()
    fakes.sections["pipeline"]["state_dir"] = fakes.folder / "elsewhere"
    fakes.write_config()
    done = fakes.ctl("reload")
    fakes.config.write_text(good)
    assert done.code == 1
    assert "state_dir cannot change" in done.err


def test_sighup_reloads(fakes):
    fakes.start()
    fakes.kill("weftd", signal.SIGHUP)
    wait_for(lambda: "SIGHUP metrics.0" in fakes.events())
    assert fakes.topology()["generation"] == 2


# -- the control socket --

@pytest.mark.parametrize("line", [
    b"\n", b"{}\n", b"null\n", b"[1]\n", b'{"op":1}\n', b'{"op":"dance"}\n',
    b'{"op":"status"} {"op":"shutdown"}\n', b'{"op":"status"\n',
    b'{"op":"stop","service":5}\n', b'{"op":"stop","service":""}\n',
    b'{"op":"stop","service":"' + b"x" * 100 + b'"}\n',
    b'{"op":"stop","service":"metrics","instance":-1}\n',
    b'{"op":"stop","service":"metrics","instance":1.5}\n',
    b'{"op":"stop","service":"metrics","instance":1e99}\n',
    b'{"op":"stop","instance":0}\n', b'{"op":"stop","timeout_ms":"x"}\n',
    b'{"op":"stop","timeout_ms":-1}\n', b'{"op":"status\0"}\n',
    b"\xff\xfe\x00\n", b"[" * 4000 + b"\n", b"x" * 5000,
    b'{"op":"stop","service":"nobody"}\n',
])
def test_control_garbage_is_refused_exactly(control_target, line):
    answer = json.loads(control_target.ask(line))
    assert answer["ok"] is False
    assert answer["code"] in ("bad_request", "unknown_service")
    assert answer["error"]
    assert control_target.status()["state"] == "running"


@pytest.fixture(scope="module")
def control_target(tmp_path_factory):
    folder = pathlib.Path("/tmp") / f"weft-control-{os.getpid()}"
    folder.mkdir()
    one = FakePipeline(folder)
    one.start()
    yield one
    one.clean_up()
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_several_clients_at_once(control_target):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(control_target.ask, b'{"op":"status"}\n')
                   for _ in range(64)]
        assert all(json.loads(a.result(20))["ok"] for a in answers)


def test_slow_and_idle_clients_are_dropped(control_target):
    path = str(control_target.run_dir / "control.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(15)
        s.connect(path)
        s.sendall(b'{"op":"sta')
        assert s.recv(100) == b"", "dropped without an answer"
    assert control_target.status()


def test_too_many_clients_are_told(control_target):
    path = str(control_target.run_dir / "control.sock")
    idle = []
    try:
        for _ in range(40):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            s.connect(path)
            idle.append(s)
        assert json.loads(read_line(idle[-1]))["code"] == "busy"
    finally:
        for s in idle:
            s.close()
    wait_for(lambda: control_target.ctl("status").code == 0)


def test_socket_and_directory_are_private(control_target):
    assert (control_target.run_dir.stat().st_mode & 0o777) == 0o700
    for name in ("control.sock", "notify.sock", "topology"):
        assert ((control_target.run_dir / name).stat().st_mode & 0o777) == \
            0o600


def test_two_requests_on_one_connection(control_target):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(control_target.run_dir / "control.sock"))
        s.sendall(b'{"op":"wait-ready"}\n{"op":"status"}\n')
        data = b""
        while data.count(b"\n") < 2:
            data += s.recv(65536)
    first, second = map(json.loads, data.splitlines())
    assert first == {"ok": True}
    assert second["pipeline"] == "test"


# -- logs --

def test_logs_of_services_are_kept_capped(fakes):
    fakes.behave("transformer", "noisy")
    fakes.start()
    wait_for(lambda: "noisy transformer.0" in fakes.events())
    files = wait_for(lambda: sorted(
        p.name for p in fakes.log_dir.glob("transformer.0.log*"))
        if (fakes.log_dir / "transformer.0.log.1").exists() else None)
    assert files == ["transformer.0.log", "transformer.0.log.1"]
    cap = 10 << 20
    assert (fakes.log_dir / "transformer.0.log.1").stat().st_size <= cap
    total = wait_for(lambda: sum(
        (fakes.log_dir / f).stat().st_size for f in files) >= (12 << 20))
    assert total


def test_logs_command(fakes):
    fakes.start()
    fakes.ctl("restart", "transformer")
    done = fakes.ctl("logs", "transformer", "-n", "1")
    assert done.out == "transformer.0 starts as ok\n"
    done = fakes.ctl("logs", "weftd", "-n", "100")
    assert "event=weftd_started" in done.out
    assert "event=all_ready" in done.out
    done = fakes.ctl("logs", "--json", "-n", "3")
    assert len([json.loads(line) for line in done.out.splitlines()]) == 3
    done = fakes.ctl("logs", "transfomer")
    assert done.code == 1 and "did you mean 'transformer'" in done.err
    fakes.stop()
    assert "weftd_ended" in fakes.ctl("logs", "weftd", "-n", "1").out


def test_logs_follow(fakes):
    fakes.start()
    follower = subprocess.Popen(
        [PIPELINECTL, "logs", "-f", "-n", "0", "transformer", "--config",
         fakes.config], env=fakes.env, stdout=subprocess.PIPE, text=True)
    try:
        fakes.ctl("restart", "transformer")
        fakes.ctl("restart", "transformer")
        assert follower.stdout.readline() == "transformer.0 starts as ok\n"
    finally:
        follower.kill()
        follower.wait()


# -- what people see --

def test_not_running_is_helpful(fakes):
    fakes.write_config()
    for command in (["status"], ["restart", "collector"], ["reload"],
                    ["stop", "collector"]):
        done = fakes.ctl(*command)
        assert done.code == 3, (command, done)
        assert str(fakes.run_dir / "control.sock") in done.err
        assert "pipelinectl start" in done.err
    assert fakes.ctl("stop").code == 0
    done = fakes.ctl("status", "--json")
    assert done.code == 3 and done.json["code"] == "not_running"


def ctl(*arguments):
    return subprocess.run([PIPELINECTL, *arguments], capture_output=True,
                          text=True, timeout=20, check=False)


def test_help_explains_each_command():
    overview = ctl("help")
    assert overview.returncode == 0
    names = [line.split()[0] for line in overview.stdout.splitlines()
             if line.startswith("  ")]
    assert {"start", "stop", "restart", "reload", "status", "logs"} <= \
        set(names)
    for name in names:
        done = ctl(name, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith(f"Usage: pipelinectl {name}")
        assert "Example" in done.stdout and "pipelinectl " + name in \
            done.stdout


def test_usage_errors_exit_with_2():
    for arguments in ([], ["sttus"], ["status", "--jsno"], ["stop", "a", "b"],
                      ["logs", "-n", "x"], ["start", "--timeout", "5"],
                      ["start", ".3"]):
        done = ctl(*arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stderr
    assert "did you mean 'status'?" in ctl("sttus").stderr


def test_options_may_stand_before_the_command(fakes):
    fakes.write_config()
    done = ctl("--json", "--config", str(fakes.config), "status")
    assert done.returncode == 3
    assert json.loads(done.stdout)["ok"] is False

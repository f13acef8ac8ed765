"""Each gate lets a clean tree pass and names the line that breaks its rule.

What the gates look for is put together here from halves, so that they do not
find it in this file.
"""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

CLEAN = {
    "libcommon/base/err.h": "int err;\n",
    "libcommon/base/durable.c": '#include "base/err.h"\nfsync(fd);\n',
    "libcommon/conf/table.h": '#include "base/err.h"\n',
    "proto/batch.h": '#include "conf/table.h"\n',
    "libcommon/bus/link.h": '#include "proto/batch.h"\n#include <zmq.h>\n',
    "libcommon/spool/spool.h": '#include "proto/batch.h"\n',
    "libcommon/http/server.c": "#include <llhttp.h>\n",
    "libcommon/run/service.h": '#include "bus/link.h"\n'
                               '#include "services/pipeline.def"\n',
    "services/pipeline.def": 'SERVICE(a, "a")\n',
    "services/a/a.c": '#include "services/a/a.h"\n#include "run/service.h"\n'
                      'log_info("x", "never fsync() here");\n'
                      "/* durable_sync, not fsync() */\n",
    "services/a/a.h": '#include "spool/spool.h"\n',
    "services/b/b.h": "int b;\n",
    "tests/unit/test_a.c": '#include "services/a/a.h"\n',
    "tests/system/wait.py": "time.sleep(0.02)  # pause between polls\n",
}

BROKEN = [
    # A lower layer reaches up.
    ("layers", "libcommon/base/err.c", '\n#include "conf/table.h"\n', 2,
     "base may not include libcommon/conf/table.h"),
    ("layers", "proto/ack.c", '#include "bus/link.h"\n', 1,
     "proto may not include libcommon/bus/link.h"),
    # Siblings, and a side arm that skips across.
    ("layers", "libcommon/bus/x.c", '#include "spool/spool.h"\n', 1,
     "bus may not include libcommon/spool/spool.h"),
    ("layers", "libcommon/http/x.c", '#  include "proto/batch.h"\n', 1,
     "http may not include proto/batch.h"),
    ("layers", "libcommon/run/x.c", '#include "services/a/a.h"\n', 1,
     "run may not include services/a/a.h"),
    ("layers", "services/b/b.c", '#include "services/a/a.h"\n', 1,
     "service b includes services/a/a.h"),
    # A path that hides its layer, and a layer nobody knows.
    ("layers", "services/b/c.c", '#include "b.h"\n', 1, "from the root"),
    ("layers", "libcommon/utils/x.c", "int x;\n", 1, "no layer"),
    ("homes", "libcommon/spool/x.c", "\n\tif (fdatasync(fd))\n", 2,
     "base/durable.h"),
    ("homes", "services/a/x.c", "#include <czmq.h>\n", 1, "bus/"),
    ("homes", "services/a/x.c", "#include <yyjson.h>\n", 1, "contract/"),
    ("homes", "libcommon/http/server.c", "#include <curl/curl.h>\n", 1,
     "http/client"),
    ("homes", "libcommon/http/client.c", "#include <openssl/ssl.h>\n", 1,
     "http/server"),
    ("homes", "libcommon/run/x.c", "#include <duckdb.h>\n", 1, "lake/"),
    ("homes", "libcommon/run/x.c", "#include <librdkafka/rdkafka.h>\n", 1,
     "kafka/"),
    ("homes", "proto/x.c", "#include <isa-l/crc.h>\n", 1, "crc32c"),
    ("names", "scripts/x", "cd /wo" "rk/main\n", 1, "one machine"),
    ("names", "etc/x", "\n\npath = /ho" "me/me/x\n", 3, "one machine"),
    ("names", "scripts/y", "curl https://py" "pi.org/simple\n", 1,
     "registry"),
    ("names", "README.md", "as is" "sue 2 says\n", 1, "speaks of the work"),
    ("marks", "libcommon/base/err.c", "/* TO" "DO: more */\n", 1, "finish"),
    ("marks", "docs.md", "FIX" "ME\n", 1, "finish"),
    ("sleeps", "tests/unit/test_x.c", "\tusl" "eep(10);\n", 1, "poll"),
    ("sleeps", "tests/system/test_x.py", "time.sl" "eep(1)\n", 1, "poll"),
    ("sleeps", "tests/chaos/run.sh", "sl" "eep 1\n", 1, "poll"),
]


def plant(top, tree):
    for path, text in tree.items():
        file = top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def run(gate, top):
    return subprocess.run([ROOT / "scripts/gates" / gate, top], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("gate", ["layers", "homes", "names", "marks",
                                  "sleeps"])
def test_a_clean_tree_passes(gate, tmp_path):
    plant(tmp_path, CLEAN)
    done = run(gate, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("gate,path,text,line,says", BROKEN)
def test_a_broken_rule_is_named(gate, path, text, line, says, tmp_path):
    plant(tmp_path, CLEAN | {path: text})
    done = run(gate, tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{path}:{line}: {gate}: ")
    assert says in done.stdout


def test_what_git_ignores_is_not_judged(tmp_path):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null")
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env=env)
    plant(tmp_path, {".gitignore": "/made/\n", "made/x": "TO" "DO\n"})
    assert run("marks", tmp_path).returncode == 0
    plant(tmp_path, {"kept/x": "TO" "DO\n"})
    assert run("marks", tmp_path).stdout.startswith("kept/x:1:")


@pytest.fixture
def compiled(tmp_path):
    """Builds a program with the given linker flags under the given name."""
    def build(name, *flags):
        source = tmp_path / "main.c"
        source.write_text("int zmq_errno(void);\n"
                          "int main(void) { return zmq_errno(); }\n")
        program = tmp_path / name
        subprocess.run(["gcc", "-fPIE", "-o", program, source, "-lzmq",
                        *flags], check=True)
        return program
    return build


def test_the_supervisor_must_not_link_zeromq(compiled):
    sealed = ("-pie", "-Wl,-z,now")
    assert run("linkage", compiled("collector", *sealed)).returncode == 0
    done = run("linkage", compiled("weftd", *sealed))
    assert done.returncode == 1
    assert "links libzmq" in done.stdout


def test_only_those_that_keep_tables_link_duckdb(compiled):
    flags = ("-pie", "-Wl,-z,now", "-Wl,--no-as-needed",
             f"-L{ROOT}/.deps/duckdb/lib", "-lduckdb")
    assert run("linkage", compiled("onelake-writer", *flags)).returncode == 0
    done = run("linkage", compiled("transformer", *flags))
    assert done.returncode == 1
    assert "links DuckDB" in done.stdout


def test_a_program_must_be_hardened(compiled):
    done = run("linkage", compiled("collector", "-no-pie", "-Wl,-z,lazy"))
    assert done.returncode == 1
    assert "not PIE" in done.stdout

"""make demo: the main job from nothing, and its counts that must reconcile."""

import os
import subprocess

import pytest

from conftest import BUILD, LIBEXEC, ROOT

EVENTS = 5000


@pytest.fixture
def demo(folder):
    """Runs the demo on the build as it is, in a folder of its own."""
    def run(generator=LIBEXEC / "generator", wait_s=60):
        env = dict(os.environ, BUILT="1", BUILD=os.path.relpath(BUILD, ROOT),
                   DIR=str(folder / "demo"), GENERATOR=str(generator),
                   EVENTS=str(EVENTS), WAIT_S=str(wait_s))
        return subprocess.run([ROOT / "scripts" / "demo"], env=env, timeout=150,
                              capture_output=True, text=True)
    return run


@pytest.fixture
def client(folder):
    """Makes a client that runs the generator, and then does something more."""
    def make(script):
        path = folder / "client"
        path.write_text(f"""#!/usr/bin/env bash
set -euo pipefail
report=$({LIBEXEC / "generator"} "$@")
out=$DIR/state/out/eventhub-publisher
ledger=$DIR/ledger
delivered() {{
	for n in {{1..300}}; do
		[ "$(cat "$out"/*.ndjson | wc -l)" -lt "$(wc -l <"$ledger")" ] || return 0
		read -rt 0.1 <> <(:) || true
	done
	return 1
}}
{script}
echo "$report"
""")
        path.chmod(0o755)
        return path
    return make


def said(done):
    return f"{done.stdout}\n{done.stderr}"


def test_the_demo_reconciles_again_and_again(demo):
    for _ in range(2):
        done = demo()
        assert done.returncode == 0, said(done)
        assert done.stdout.splitlines()[-1] == "All counts reconcile."


def test_an_unexpected_answer_fails_the_demo(demo, client):
    done = demo(client("""report=$(sed 's/"mismatches":[[:space:]]*0/"mismatches": 1/' <<<"$report")"""))
    assert done.returncode == 1, said(done)
    assert "demo: 1 answers were not as expected" in done.stderr
    assert "reconcile" not in done.stdout


def test_a_failing_generator_fails_the_demo(demo, client):
    done = demo(client('echo "$report"; exit 1'))
    assert done.returncode == 1, said(done)
    assert "demo: the generator got answers" in done.stderr


def test_a_lost_line_fails_the_demo(demo, client):
    done = demo(client("""delivered
set -- "$out"/*.ndjson
sed -i 1d "$1\""""), wait_s=2)
    assert done.returncode == 1, said(done)
    assert " lines in the output, " in done.stderr


def test_a_doubled_line_does_not_hide_a_lost_one(demo, client):
    done = demo(client("""delivered
set -- "$out"/*.ndjson
sed -i -e 1d -e 2p "$1\""""))
    assert done.returncode == 1, said(done)
    assert "does not hold exactly the accepted events" in done.stderr

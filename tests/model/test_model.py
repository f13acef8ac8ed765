"""The model of the bus under spin: what it promises holds, and each of its rules
is needed for that."""
import pathlib
import subprocess
import sys

import pytest

RUN = pathlib.Path(__file__).resolve().parent / "run"


def run(*arguments):
    done = subprocess.run([sys.executable, RUN, *arguments],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_the_protocol_keeps_its_promises():
    run("--quick")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_protocol_keeps_its_promises_under_many_faults():
    run()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_each_rule_is_needed():
    run("--mutants")

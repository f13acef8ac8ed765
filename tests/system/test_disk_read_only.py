"""A disk that the kernel has made read-only, and a person writable again."""
import sys

import pytest

from common import ROOT, wait_for

sys.path.insert(0, str(ROOT / "tests" / "chaos"))

import mishap  # noqa: E402


@pytest.mark.parametrize("label", ["collector.0", "eventhub-publisher.0"])
def test_a_service_waits_for_a_disk_that_is_read_only(pipeline, label):
    machine = mishap.Mishap(pipeline.folder / "mishap", pipeline.state_dir)
    pipeline.env.update(machine.env())
    pipeline.start()
    machine.disk(mishap.READ_ONLY)
    before = pipeline.process(label)["restarts"]
    pipeline.kill(label)
    wait_for(lambda: pipeline.process(label)["restarts"] > before,
             what=lambda: pipeline.process(label))
    pipeline.wait_state(label, "backoff")
    machine.disk(mishap.GOOD)
    pipeline.wait_state(label, "ready")

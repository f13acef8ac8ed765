"""What a run tells: a table for people, JSON for programs."""
import json
import pathlib
import time
import traceback

# After a kill events flow again within this, apart from the time for which
# somebody on the machine waited for a CPU or a disk, and within that in any
# case. In a short run, of which others may be in the way, for most kills.
FLOW_LIMIT_S = 2.0
FLOW_LIMIT_BUSY_S = 15.0
FLOW_EXCEPTIONS = 0.1
# What a run of so many seconds has to have been through.
LONG_S = 900
LEAST_KILLS = 200
LEAST_KILLS_AT_A_POINT = 5


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] \
        if ordered else 0.0


class Report:
    """Collects; `good` says whether everything held."""

    def __init__(self, given, session):
        self.given = given
        self.session = session
        self.wrong = []
        self.places = {}
        self.events = {}
        self.began = time.monotonic()

    def begin(self, phase):
        """Says where the run is."""
        print(f"{time.monotonic() - self.began:7.1f} s  {phase}", flush=True)

    @property
    def good(self):
        return not self.wrong

    def broke(self, error):
        self.wrong.append("the run broke: " + "".join(
            traceback.format_exception(error))[-4000:])

    def take(self, judge, found):
        """The verdict over what arrived."""
        accounts = [sent.account for sent in judge.sent.values()]
        self.events = {
            "sent": sum(a.sent for a in accounts),
            "acknowledged": sum(len(a.acked) for a in accounts),
            "refused": sum(len(a.refused) for a in accounts)}
        for findings in found:
            self.places[findings.name] = findings.numbers
            self.wrong += findings.lines()

    def _judge_kills(self):
        kills = self.session.kills
        self.wrong += kills.failures
        late = [f for f in kills.flows if f[0] - f[1] >= FLOW_LIMIT_S or
                f[0] >= FLOW_LIMIT_BUSY_S]
        if self.given.seconds < LONG_S and \
                len(late) <= max(2, FLOW_EXCEPTIONS * len(kills.flows)):
            late = [f for f in late if f[0] >= FLOW_LIMIT_BUSY_S]
        for seconds, stalled, label, what in late:
            self.wrong.append(
                f"events flowed through {label} only {seconds:.2f} s after "
                f"{what}, {stalled:.2f} s of them under pressure")

    def _judge_length(self):
        kills = self.session.kills
        if self.given.seconds < LONG_S:
            return
        if kills.total < LEAST_KILLS:
            self.wrong.append(f"only {kills.total} kills")
        for name in self.session.world.points.names:
            if kills.by_point[name] < LEAST_KILLS_AT_A_POINT:
                self.wrong.append(f"only {kills.by_point[name]} kills at "
                                  f"{name}")

    def _not_to_be_had(self):
        """Kinds of trouble that this machine does not allow."""
        world = self.session.world
        kinds = (("toxiproxy before Kafka", world.toxiproxy),
                 ("a small disk", world.disk),
                 ("a second host", world.hosts or self.given.hosts == 1))
        return [name for name, there in kinds if not there]

    def as_dict(self):
        kills, points = self.session.kills, self.session.world.points
        flows, landing = {}, {}
        for seconds, label in self.session.flow.landed:
            landing.setdefault(label, []).append(round(seconds, 3))
        for seconds, _, label, _ in kills.flows:
            flows.setdefault(label, []).append(round(seconds, 3))
        return {
            "good": self.good, "seed": self.given.seed,
            "seconds": self.given.seconds, "kills": kills.total,
            "kills_by_process": dict(kills.by_process),
            "points": {name: {"passes": passes, "kills": kills.by_point[name]}
                       for name, (passes, _) in points.counts().items()},
            "stops": kills.stops, "events": self.events,
            "troubles": {**self.session.troubles.count,
                         **self.session.damage.count},
            "bad_records_reported": {
                label: len(self.session.damage.reported(label))
                for label, _ in self.session.damage.lost},
            "not_to_be_had": self._not_to_be_had(),
            "places": self.places, "flow_seconds": flows,
            "landing_seconds": landing,
            "flows_over_limit": sum(f[0] >= FLOW_LIMIT_S for f in kills.flows),
            "most": {label: {"rss_bytes": rss, "descriptors": fds}
                     for label, (rss, fds)
                     in self.session.flow.usage.most.items()},
            "wrong": self.wrong}

    def finish(self):
        self._judge_kills()
        self._judge_length()
        result = self.as_dict()
        if self.given.report:
            pathlib.Path(self.given.report).write_text(
                json.dumps(result, indent=1) + "\n")
        self._print(result)
        if not self.good:
            self._say_how()

    def _print(self, result):
        print(f"\n{result['kills']} kills, {result['stops']} stops; events: "
              + ", ".join(f"{n} {w}" for w, n in result["events"].items()))
        print(f"\n{'process':22}{'kills':>6}{'flow p50':>10}{'max':>8}"
              f"{'MB':>8}{'fds':>6}")
        for label in sorted(result["most"]):
            flow = result["flow_seconds"].get(label, [])
            most = result["most"][label]
            print(f"{label:22}{result['kills_by_process'].get(label, 0):6}"
                  f"{quantile(flow, 0.5):10.2f}{max(flow, default=0):8.2f}"
                  f"{most['rss_bytes'] / 1e6:8.1f}{most['descriptors']:6}")
        for label, times in result["landing_seconds"].items():
            print(f"{label}: rows again {quantile(times, 0.5):.2f} s after a "
                  f"kill (p50), {max(times):.2f} s (max)")
        print(f"events flowed again later than {FLOW_LIMIT_S:.0f} s after "
              f"{result['flows_over_limit']} of {len(self.session.kills.flows)}"
              " kills that were alone")
        if result["not_to_be_had"]:
            print("not to be had here: " + ", ".join(result["not_to_be_had"]))
        print("\ntroubles: " + ", ".join(
            f"{n} {w}" for w, n in sorted(result["troubles"].items())))
        print(f"\n{'failpoint':28}{'passes':>10}{'kills':>7}")
        for name, counts in result["points"].items():
            print(f"{name:28}{counts['passes']:10}{counts['kills']:7}")
        print(f"\n{'place':20}" + "".join(f"{w:>11}" for w in (
            "delivered", "rows", "repeated", "missing", "excused")))
        for name, n in result["places"].items():
            print(f"{name:20}" + "".join(f"{v:11}" for v in n.values()))

    def _say_how(self):
        print("\nFAILED:")
        for text in self.wrong:
            print(f"  {text}")
        print(f"state: {self.session.world.folder}\nagain: make chaos "
              f"SECONDS={self.given.seconds:.0f} SEED={self.given.seed}")

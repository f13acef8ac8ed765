"""check, config, docs and version: what a user is told before anything runs."""
import os
import shutil
import subprocess

import pytest
from conftest import LIBEXEC, PIPELINECTL, ROOT, Result

CONTRACT = """
name = "visits"; version = 1; doc = "Visits."; unknown_fields = "drop";
match = { event_type = "visit"; }; identity = ["id"];
fields = ( { name = "id"; type = "string"; required = true; } );
"""
SECRET = "Tr0ub4dor-and-three-more"


@pytest.fixture
def ctl(folder):
    """Runs pipelinectl in a folder that holds one good contract."""
    (folder / "contracts").mkdir()
    (folder / "contracts" / "visits.conf").write_text(CONTRACT)

    def run(*arguments, config=None, **env):
        if config is not None:
            (folder / "weft.conf").write_text(config)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder),
               "WEFT_CONFIG": str(folder / "weft.conf"), **env}
        return Result(subprocess.run(
            [PIPELINECTL, *arguments], cwd=folder, env=env, timeout=60,
            capture_output=True, text=True, check=False))
    return run


def lines(text, folder):
    return text.replace(f"{folder}/", "").splitlines()


def test_a_good_file_says_what_would_run(ctl, folder):
    config = """
pipeline = { contracts = "contracts"; run_dir = "run"; state_dir = "s"; };
services = ( { name = "collector"; }, { name = "transformer"; instances = 2; },
  { name = "archive"; service = "eventhub-publisher"; in = "archive"; } );
collector = { listen = "127.0.0.1:9"; };
"""
    done = ctl("check", config=config)
    assert done.code == 0 and not done.err
    assert lines(done.out, folder) == [
        "weft.conf is good. It would run:",
        "  collector, listens on 127.0.0.1:9, feeds link raw",
        "  transformer x 2, takes link raw at ipc://run/raw.0 and on, feeds "
        "all sinks",
        "  archive (eventhub-publisher), takes link archive at "
        "ipc://run/archive.0",
        "1 contract from contracts, state in s, sockets in run.",
    ]
    # and it neither starts nor writes anything
    assert sorted(p.name for p in folder.iterdir()) == \
        ["contracts", "weft.conf"]


def test_all_problems_of_config_and_contracts_come_at_once(ctl, folder):
    (folder / "contracts" / "bad.conf").write_text(
        CONTRACT.replace("visits", "bad").replace('"string"', '"strin"'))
    done = ctl("check", config="""collector = {
  lisen = "127.0.0.1:1";
  max_body = "1TiB"; };
pipeline = { contracts = "contracts"; watchdog = 5; };
services = ( { name = "collector"; }, { name = "transformr"; } );
""")
    assert done.code == 1 and not done.out
    told = lines(done.err, folder)
    assert told[:5] == [
        'weft.conf:2: collector.lisen: unknown key; did you mean "listen"?',
        told[1],
        'weft.conf:4: pipeline.watchdog: needs a duration in quotes with a '
        'unit, such as "5s"',
        'weft.conf:5: services: there is no service "transformr"; did you '
        'mean "transformer"?',
        'weft.conf:5: services: "collector" feeds link "raw", which no listed '
        'service consumes; add { name = "transformer"; }',
    ]
    assert told[1].startswith("weft.conf:3: collector.max_body: 1TiB is "
                              "outside of ")
    assert any(line.startswith("contracts/bad.conf:4: ") for line in told)
    assert told[-1].startswith("weft.conf: ")
    assert told[-1].endswith(" errors; it would not start")


def test_json_has_problems_services_and_contracts(ctl, folder):
    good = ctl("check", "--json",
               config='pipeline = { contracts = "contracts"; };').json
    assert good["ok"] and good["errors"] == 0 and good["problems"] == []
    assert [s["name"] for s in good["services"]] == [
        "collector", "transformer", "eventhub-publisher", "onelake-writer",
        "metrics"]
    assert good["services"][1]["endpoints"] == ["ipc:///run/weft/raw.0"]
    assert good["contracts"] == [{"name": "visits", "version": 1, "fields": 1}]

    bad = ctl("check", "--json", config="""
pipeline = { contracts = "none"; };
links = { lake = { endpoint = "ipc"; }; };
services = ( { name = "metrics"; } );
collectr = { };
""")
    assert bad.code == 1
    answer = bad.json
    assert not answer["ok"] and answer["errors"] == 2
    assert answer["warnings"] == 1
    severities = [p["severity"] for p in answer["problems"]]
    assert severities == ["warning", "error", "error"]
    assert answer["problems"][1]["text"].endswith(
        'weft.conf:5: collectr: unknown key; did you mean "collector"?')
    assert answer["services"] == [] and answer["contracts"] == []


def test_a_large_integer_never_wraps(ctl):
    done = ctl("check", config="collector = {\n log_cap = 10737418240; };\n")
    assert done.code == 1
    assert "weft.conf:2: log_cap: the integer 10737418240 is outside of " \
        "-2147483648 to 2147483647; sizes and durations are strings with a " \
        'unit, such as "10GiB" or "5s"\n' in done.err


def test_a_sinks_log_holds_the_largest_batch(ctl):
    done = ctl("check", config='eventhub-publisher = { log_cap = "4MiB"; };\n')
    assert done.code == 1
    assert "log_cap" in done.err and "80MiB" in done.err


def test_a_wrong_command_line_is_code_2(ctl):
    for command in (["check", "--nope"], ["check", "extra"],
                    ["config", "--nope"], ["docs"], ["docs", "novel"],
                    ["version", "x"]):
        done = ctl(*command, config="")
        assert done.code == 2 and not done.out
        assert f"Usage: pipelinectl {command[0]}" in done.err


def test_relative_paths_start_at_the_file_not_at_the_user(ctl, folder):
    # a mounted ConfigMap: the file is a link into a hidden directory
    (folder / "etc" / "..data").mkdir(parents=True)
    (folder / "etc" / "..data" / "weft.conf").write_text(
        'pipeline = { contracts = "../contracts"; state_dir = "s"; };')
    (folder / "etc" / "weft.conf").symlink_to("..data/weft.conf")
    done = ctl("config", "--json", "--config", "etc/weft.conf")
    pipeline = done.json["pipeline"]
    assert pipeline["state_dir"]["value"] == str(folder / "etc" / "s")
    assert pipeline["contracts"]["value"] == str(folder / "contracts")
    assert ctl("check", "--config", "etc/weft.conf").code == 0


def test_config_can_be_read_back_and_names_its_sources(ctl, folder):
    config = 'collector = {\n  max_events = 77; };\n'
    first = ctl("config", config=config)
    assert f"# {folder}/weft.conf:2\n" in first.out
    again = ctl("config", config=first.out)
    assert again.code == 0

    def values(text):
        return [line.split("#")[0].rstrip() for line in text.splitlines()]
    assert values(again.out) == values(first.out)


@pytest.mark.parametrize("written", [
    SECRET, "${env:KEY}", "${file:key}", "x ${env:KEY} y"])
def test_a_secret_is_never_shown(ctl, folder, written):
    (folder / "key").write_text(SECRET + "\n")
    (folder / "key").chmod(0o644)
    config = 'collector = { api_keys = "%s"; };\n' % written
    shown = ""
    for arguments in (["check"], ["check", "--json"], ["config"],
                      ["config", "--json"]):
        done = ctl(*arguments, config=config, KEY=SECRET)
        assert done.code == 0
        shown += done.out + done.err
    assert "***" in shown and SECRET not in shown
    for broken in (config.replace("; }", " }} = }"), config + "nonsense",
                   config.replace('";', ' ${env:NONE}";')):
        for command in ("check", "config"):
            done = ctl(command, config=broken, KEY=SECRET)
            assert done.code == 1 and SECRET not in done.out + done.err


def test_a_wrong_configuration_starts_nothing(ctl, folder):
    config = ('pipeline = { state_dir = "s"; run_dir = "r"; '
              'contracts = "contracts"; };\n')
    done = ctl("start", config=config + "collector = { x = 1; };")
    assert done.code != 0
    assert "weft.conf:2: collector.x: unknown key" in done.out + done.err
    (folder / "contracts" / "visits.conf").write_text("nonsense")
    done = ctl("start", config=config)
    assert done.code != 0 and "visits.conf:1" in done.out + done.err
    assert ctl("status").code == 3


def test_the_sample_is_a_good_configuration(ctl):
    sample = ctl("docs", "sample", config="").out
    done = ctl("check", config=sample)
    assert done.code == 0 and not done.err
    assert max(map(len, sample.splitlines())) <= 80


def test_the_man_page_passes_the_linter(ctl, folder):
    (folder / "weft.conf.5").write_text(ctl("docs", "man", config="").out)
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", folder / "weft.conf.5"],
        capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_version_names_itself_and_its_libraries(ctl):
    version = (ROOT / "VERSION").read_text().strip()
    answer = ctl("version", "--json").json
    assert answer["version"] == version
    assert answer["libraries"]["libzmq"].count(".") == 2
    assert f"Weft {version}" in ctl("version").out


def test_stale_documents_are_named(folder):
    """scripts/docs in a tree of its own, with documents that change."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "docs", folder / "scripts" / "docs")
    tool = folder / "build" / "bin" / "pipelinectl"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\nprintf \'.\\\\" %s\\n\' "$2 $DOCS"\n')
    tool.chmod(0o755)
    (folder / "Makefile").write_text("build/bin/pipelinectl:\n")

    def docs(*arguments, text):
        env = dict(os.environ, DOCS=text, BUILD="build")
        return subprocess.run([folder / "scripts" / "docs", *arguments],
                              env=env, capture_output=True, text=True,
                              check=False)
    docs(text="one")
    manual = folder / "docs" / "manual-config.md"
    assert manual.read_text() == '.\\" manual one\n'
    before = manual.stat().st_mtime_ns
    stale = docs("--check", text="two")
    assert stale.returncode == 1
    assert "docs: docs/manual-config.md is stale; run make docs" in \
        stale.stdout
    assert "docs: etc/weft.conf is stale" in stale.stdout
    assert '-.\\" manual one\n+.\\" manual two' in stale.stdout
    assert manual.stat().st_mtime_ns == before
    assert "is stale" not in docs("--check", text="one").stdout
    assert docs("--nonsense", text="").returncode == 2


def test_the_head_of_a_service_becomes_its_manual_page(folder):
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "docs", folder / "scripts" / "docs")
    tool = folder / "build" / "bin" / "pipelinectl"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho \".Pp\" \"$2\" of \"$3\"\n")
    tool.chmod(0o755)
    (folder / "Makefile").write_text("build/bin/pipelinectl:\n")
    source = folder / "services" / "mill" / "mill.c"
    source.parent.mkdir(parents=True)
    (folder / "services" / "pipeline.def").write_text(
        'SERVICE(mill, "mill", "", "", 0)\n')
    source.write_text("""/*
 * NAME       mill - grinds
 * IN         grain, with --all
 *            of it
 * WORK       turns. Stops at \\n
 * OUT        flour
 * GUARANTEE  no stones
 * ON FAILURE of the wind: waits
 */
""")

    def docs():
        return subprocess.run([folder / "scripts" / "docs"], check=False,
                              env=dict(os.environ, BUILD="build"),
                              capture_output=True, text=True)
    docs()
    page = (folder / "packaging" / "man" / "weft-mill.8").read_text()
    for part in (".Nm weft-mill\n.Nd grinds\n",
                 ".It IN\nGrain, with \\-\\-all of it\n",
                 ".It WORK\nTurns.\nStops at \\en\n",
                 ".It ON FAILURE\nOf the wind: waits\n",
                 ".Pp keys of mill\n"):
        assert part in page, page
    source.write_text(source.read_text().replace("GUARANTEE ", "PROMISE   "))
    broken = docs()
    assert broken.returncode != 0
    assert "services/mill/mill.c: its first comment needs" in broken.stderr


def test_the_committed_documents_are_fresh():
    for document, path in (("sample", "etc/weft.conf"),
                           ("manual", "docs/manual-config.md"),
                           ("man", "packaging/man/weft.conf.5")):
        made = subprocess.run([PIPELINECTL, "docs", document], check=True,
                              capture_output=True, text=True).stdout
        assert (ROOT / path).read_text() == made, \
            f"{path} is stale; run make docs"


# --- before anything was set up ---------------------------------------------

def test_a_missing_directory_of_contracts_is_named_with_its_key(ctl, folder):
    done = ctl("check", config='pipeline = { contracts = "nowhere"; };\n')
    assert done.code == 1
    said = done.out + done.err
    assert f"{folder}/nowhere: cannot read the directory of contracts" in said
    assert "pipeline.contracts" in said


def test_logs_that_are_not_there_are_named(ctl, folder):
    done = ctl("logs", config='pipeline = { state_dir = "state"; };\n')
    assert done.code == 1
    assert "nothing has been logged yet" in done.err
    done = ctl("spool", "ls")
    assert (done.code, done.out) == (1, "")
    assert "there is no log yet" in done.err
    (folder / "state").mkdir()
    done = ctl("spool", "show", "collector")
    assert (done.code, done.out) == (1, "")
    assert 'no log "collector"' in done.err and "spool ls" in done.err


def test_a_start_without_rights_names_the_key_to_change(ctl, folder):
    config = 'pipeline = { run_dir = "closed/run"; state_dir = "s"; };\n'
    assert ctl("check", config=config).code == 0
    (folder / "closed").mkdir()
    (folder / "closed").chmod(0o555)
    done = Result(subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", PIPELINECTL,
         "start", "--config", folder / "weft.conf"] if os.geteuid() == 0 else
        [PIPELINECTL, "start", "--config", folder / "weft.conf"],
        timeout=60, capture_output=True, text=True, check=False))
    assert done.code == 1
    assert "pipeline.run_dir must be a directory that uid" in done.err
    assert "Permission denied" in done.err


@pytest.mark.parametrize("arguments, code", [(["--help"], 0),
                                             (["--count", "5"], 2)])
def test_the_generator_explains_itself_as_a_command(arguments, code):
    done = Result(subprocess.run(
        [LIBEXEC / "generator", *arguments], timeout=60, capture_output=True,
        text=True, check=False))
    assert done.code == code, done
    assert "--bad-share" in (done.err if code else done.out)


@pytest.mark.parametrize("lake, said", [
    ("ftp://x/y", "needs an identity"),
    ("lake", "is no lake; write file:///FOLDER"),
    ("https://shop.blob.core.windows.net/", "container"),
])
def test_a_wrong_lake_is_told(ctl, lake, said):
    identities = ""
    section = f'lake = "{lake}";'
    if lake.startswith("https"):
        identities = ('identities = { store = { type = "account_key"; '
                      'account = "shop"; key = "c2VjcmV0"; }; };\n')
        section += ' identity = "store";'
    config = f"""
pipeline = {{ contracts = "contracts"; }};
services = ( {{ name = "collector"; }}, {{ name = "transformer"; }},
  {{ name = "onelake-writer"; }} );
onelake-writer = {{ {section} }};
{identities}"""
    done = ctl("check", config=config)
    assert done.code == 1, done
    assert "onelake-writer.lake: " in done.err and said in done.err

"""make install: a tree that works from where it lies, and keeps what was edited."""
import os
import subprocess

from conftest import BUILD, ROOT, Result


def install(folder, *variables):
    """make install into the folder; the programs have been built."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = Result(subprocess.run(
        ["make", "-s", "install", f"BUILD={os.path.relpath(BUILD, ROOT)}",
         f"DESTDIR={folder}", "PREFIX=/usr", "PROGRAMS=" + " ".join(
             str(p.relative_to(ROOT)) for p in
             [*BUILD.glob("bin/*"), *BUILD.glob("libexec/weft/*")]
             if p.is_file()),
         *variables],
        cwd=ROOT, env=env, timeout=300, capture_output=True, text=True,
        check=False))
    assert done.code == 0, done
    return done


def test_an_installed_tree_runs_from_where_it_lies(pipeline, folder):
    install(folder)
    etc = folder / "etc" / "weft"
    assert (folder / "usr/share/man/man1/pipelinectl.1").is_file()
    assert (folder / "usr/share/bash-completion/completions/pipelinectl"
            ).is_file()
    duckdb = folder / "usr/libexec/weft/lib/libduckdb.so"
    assert duckdb.is_file() and not duckdb.is_symlink()
    assert sorted(p.name for p in etc.iterdir()) == ["contracts", "weft.conf"]
    config = folder / "my.conf"
    config.write_text(
        f'pipeline = {{ state_dir = "state"; run_dir = "run"; '
        f'contracts = "{etc}/contracts"; }};\n'
        'services = ( { name = "collector"; }, { name = "transformer"; }, '
        '{ name = "eventhub-publisher"; } );\n'
        f'collector = {{ listen = "127.0.0.1:{pipeline.port}"; }};\n')

    def ctl(*arguments):
        env = {"PATH": os.environ["PATH"], "WEFT_CONFIG": str(config)}
        return Result(subprocess.run(
            [folder / "usr/bin/pipelinectl", *arguments], env=env, timeout=120,
            capture_output=True, text=True, check=False))
    started = ctl("start")
    try:
        assert started.code == 0, started
        assert ctl("status", "--json").json["state"] == "running"
    finally:
        assert ctl("stop").code == 0


def test_a_second_install_keeps_an_edited_configuration(folder):
    install(folder)
    config = folder / "etc" / "weft" / "weft.conf"
    edited = config.read_text() + "# mine\n"
    config.write_text(edited)
    done = install(folder)
    assert config.read_text() == edited
    assert f"kept {config} as it is" in done.out
    fresh = config.with_name("weft.conf.new")
    assert fresh.read_text() == (ROOT / "etc" / "weft.conf").read_text()
    assert [p.name for p in config.parent.iterdir() if p.suffix == ".new"] \
        == ["weft.conf.new"]


def test_the_systemd_unit_names_what_was_installed(folder):
    install(folder, "PREFIX=/opt/weft", "SYSCONFDIR=/opt/etc")
    unit = folder / "opt/weft/lib/systemd/system/weft.service"
    words = [line.partition("=")[2].split() for line in
             unit.read_text().splitlines() if line.startswith("Exec")]
    assert [w[0] for w in words] == ["/opt/weft/libexec/weft/weftd",
                                     "/opt/weft/bin/pipelinectl"]
    for program, *arguments in words:
        assert os.access(f"{folder}{program}", os.X_OK)
        assert arguments[-2:] == ["--config", "/opt/etc/weft/weft.conf"]
        assert os.path.isfile(f"{folder}{arguments[-1]}")

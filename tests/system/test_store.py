"""A lake in Azure Blob Storage: what a store promises, on a real server, with
and without trouble on the way."""
import datetime
import os
import subprocess

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from common import BUILD

DRIVER = BUILD / "tests" / "store_driver"
NAMES = ["a b", "a%20b", "a+b", "a#b?c&d=e", "ä/日本/🧵.json", "x=A%2FA/y",
         "'\"`$(x);|<>", "...", "-rf", "~", "a&amp;b", ".hidden", "x]]>y"]


class Done:
    """How a call of the store ended."""

    def __init__(self, done):
        self.code = done.returncode
        self.data = done.stdout
        self.out = done.stdout.decode(errors="replace").strip()
        self.err = done.stderr.decode()
        # The last line tells the error, those before it are the log's.
        self.error = self.err.strip().splitlines()[-1] if self.code else ""

    @property
    def lines(self):
        return self.out.splitlines()


class Store:
    """Calls of store.h on one lake; `env` is changed by who wants more."""

    def __init__(self, url, kind="account_key", secret=None):
        self.env = {"STORE_URL": url, "STORE_TYPE": kind,
                    "STORE_SECRET": secret, "STORE_DEADLINE_MS": "10000"}

    def start(self, *arguments):
        env = {k: v for k, v in os.environ.items()
               if not k.lower().endswith("_proxy")}
        return subprocess.Popen([DRIVER, *arguments], env={**env, **self.env},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, process):
        out, err = process.communicate(timeout=120)
        return Done(subprocess.CompletedProcess([], process.returncode, out,
                                                err))

    def run(self, *arguments):
        return self.end(self.start(*arguments))

    def good(self, *arguments):
        done = self.run(*arguments)
        assert done.code == 0, done.err
        return done


@pytest.fixture
def lake(azurite):
    """A container of its own; lake.store(port) is a store in it."""
    class Lake:
        server = azurite
        container = azurite.make_container(azurite.unique("lake"))

        def url(self, port=None, folder="/some folder"):
            at = self.server.url_at(port or self.server.port)
            return f"{at}/{self.container}{folder}"

        def store(self, port=None, folder="/some%20folder"):
            return Store(self.url(port, folder), secret=self.server.key)

        def blobs(self):
            return self.server.blobs(self.container)
    return Lake()


# --- what it does ------------------------------------------------------------

def test_the_first_put_wins(lake):
    store = lake.store()
    assert store.good("create", "t/_delta_log/0.json", "one").out == "created"
    assert store.good("create", "t/_delta_log/0.json", "two").out == "exists"
    assert store.good("get", "t/_delta_log/0.json").out == "one"
    assert store.good("create", "empty", "").out == "created"
    assert store.good("get", "empty").out == ""
    assert lake.blobs() == ["some folder/empty",
                            "some folder/t/_delta_log/0.json"]
    store.good("put", "empty", "now something")
    assert store.good("get", "empty").out == "now something"
    none = store.run("get", "none")
    assert none.error.startswith("ENOENT final there is no some folder/none")
    store.good("remove", "empty")
    store.good("remove", "empty")
    assert store.run("get", "empty").error.startswith("ENOENT")


def test_of_64_writers_one_creates(lake):
    store = lake.store()
    for i in range(5):
        assert store.good("race", "64", f"log/{i}.json").out == \
            "created=1 exists=63 unknown=0 failed=0"


def test_names_may_have_any_characters(lake):
    for folder in ("", "/f%C3%BC%20%25%2B"):
        store = lake.store(folder=folder)
        for name in NAMES:
            assert store.good("create", name, name).out == "created"
            assert store.good("create", name, name).out == "exists"
            assert store.good("get", name).out == name
        listed = [line.split(" ", 1) for line in store.good("list", "").lines]
        assert sorted(n for _, n in listed
                      if not n.startswith("fü")) == sorted(NAMES)
        assert all(int(size) == len(name.encode()) for size, name in listed
                   if name in NAMES)
        assert set(store.good("dirs", "").lines) >= {"ä", "x=A%2FA"}
        assert store.good("dirs", "ä/").lines == ["ä/日本"]
        for name in NAMES:
            store.good("remove", name)
        assert store.good("list", "").lines == []
    refused = store.run("put", "a\\b", "x")
    assert refused.error.startswith('EINVAL final "a\\b" has a backslash')


def test_a_large_file_goes_in_blocks(lake, tmp_path):
    data = os.urandom(40 << 20) + b"the end"
    (tmp_path / "big").write_bytes(data)
    store = lake.store()
    store.good("upload", "t/big.parquet", tmp_path / "big")
    store.good("fetch", "t/big.parquet", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    with lake.server.service() as service:
        blob = service.get_blob_client(lake.container,
                                       "some folder/t/big.parquet")
        committed, uncommitted = blob.get_block_list("all")
        assert [b.size for b in committed] == 5 * [8 << 20] + [7]
        assert uncommitted == []
        assert len({b.id for b in committed}) == 6
    store.env["STORE_BLOCK"] = "10"
    (tmp_path / "small").write_bytes(b"0123456789")
    store.good("upload", "one", tmp_path / "small")
    assert store.good("get", "one").out == "0123456789"
    (tmp_path / "empty").write_bytes(b"")
    store.good("upload", "none", tmp_path / "empty")
    assert store.good("get", "none").out == ""


def test_a_part_of_a_blob_is_read(lake):
    store = lake.store()
    store.good("create", "x", "0123456789")
    assert store.good("head", "x").out == "10"
    assert store.good("range", "x", "0", "-1").out == "0123456789"
    assert store.good("range", "x", "3", "4").out == "3456"
    assert store.good("range", "x", "7", "-1").out == "789"
    assert store.good("range", "x", "8", "100").out == "89"
    assert store.run("range", "x", "11", "1").error.startswith("ERANGE")
    assert store.run("range", "y", "0", "1").error.startswith("ENOENT")
    assert store.run("head", "y").error.startswith("ENOENT")
    store.good("put", "x", "x" * 1001)
    assert store.run("range", "x", "0", "-1").error.startswith("EFBIG")


def test_listings_go_over_pages(lake):
    with lake.server.service() as service:
        container = service.get_container_client(lake.container)
        for i in range(60):
            container.upload_blob(f"some folder/t/_delta_log/{i:020}.json",
                                  b"x" * i)
        container.upload_blob("some folder/t/part.parquet", b"")
        container.upload_blob("another/t/_delta_log/x", b"")
    store = lake.store()
    names = [f"{i} t/_delta_log/{i:020}.json" for i in range(60)]
    for page in ("0", "7", "60", "61"):
        store.env["STORE_PAGE"] = page
        assert store.good("list", "t/_delta_log/").lines == names
        assert store.good("list", "t/_delta_log/",
                          f"t/_delta_log/{50:020}.json").lines == names[50:]
        assert store.good("list", "t/").lines == names + ["0 t/part.parquet"]
        assert store.good("list", "none/").lines == []
        assert store.good("list", "t/", "t/z").lines == []
        assert store.good("dirs", "").lines == ["t"]
        assert store.good("dirs", "t/").lines == ["t/_delta_log"]


def test_a_listing_skips_what_lies_before(lake, proxy):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    for i in range(6):
        store.good("create", f"log/{i}", "x")
    store.env["STORE_PAGE"] = "2"
    assert len(store.good("list", "log/", "log/4").lines) == 2
    assert front.count("GET", "startFrom=") == 1
    assert front.count("GET", "comp=list") == 1


# --- who may -----------------------------------------------------------------

def token(lake, permission, end):
    return generate_container_sas(
        lake.server.account, lake.container, account_key=lake.server.key,
        permission=ContainerSasPermissions.from_string(permission),
        expiry=datetime.datetime.now(datetime.timezone.utc) + end)


HOUR = datetime.timedelta(hours=1)


def test_a_shared_access_signature_will_do(lake):
    store = lake.store()
    store.env["STORE_TYPE"] = "sas"
    store.env["STORE_SECRET"] = "?" + token(lake, "racwdl", HOUR)
    assert store.good("create", "ä b/x", "one").out == "created"
    assert store.good("create", "ä b/x", "one").out == "exists"
    assert store.good("get", "ä b/x").out == "one"
    assert store.good("list", "").lines == ["3 ä b/x"]
    store.good("remove", "ä b/x")


def test_a_connection_string_will_do(lake):
    store = lake.store()
    store.env["STORE_TYPE"] = "connection_string"
    store.env["STORE_SECRET"] = (
        f"AccountName={lake.server.account};AccountKey={lake.server.key};"
        f"BlobEndpoint={lake.server.url};")
    store.env["STORE_URL"] = f"az://{lake.container}/x"
    assert store.good("create", "y", "one").out == "created"
    assert lake.blobs() == ["x/y"]


def test_a_wrong_key_is_told_exactly(lake):
    store = lake.store()
    store.env["STORE_SECRET"] = wrong = "d3Jvbmcga2V5IQ=="
    for call in (["create", "x", "y"], ["get", "x"], ["list", ""],
                 ["remove", "x"]):
        done = store.run(*call)
        assert done.code == 1
        assert done.error.startswith("EACCES final ")
        assert 'refused by storage account "devstoreaccount1" for identity ' \
            '"lake" (403 AuthorizationFailure: Server failed to authenticate' \
            in done.error
        assert "check that the key is of this account" in done.error
        assert wrong not in done.err and "SharedKey" not in done.err


def test_a_signature_that_ended_is_told_exactly(lake):
    store = lake.store()
    store.env["STORE_TYPE"] = "sas"
    store.env["STORE_SECRET"] = sas = token(lake, "racwdl", -HOUR)
    done = store.run("create", "x", "y")
    assert done.error.startswith("EACCES final PUT refused")
    assert "the shared access signature expired at 20" in done.error
    assert sas.split("sig=")[1][:20] not in done.err


def test_a_signature_that_may_not_is_told_exactly(lake):
    store = lake.store()
    store.env["STORE_TYPE"] = "sas"
    store.env["STORE_SECRET"] = token(lake, "r", HOUR)
    done = store.run("create", "x", "y")
    assert done.error.startswith("EACCES final PUT refused")
    assert "403 AuthorizationPermissionMismatch" in done.error
    assert "lacks a permission" in done.error


def test_a_container_that_is_not_there_is_told(lake):
    store = lake.store()
    store.env["STORE_URL"] = lake.server.url + "/not-there/x"
    store.env["STORE_DEADLINE_MS"] = "1"
    for call in (["create", "x", "y"], ["get", "x"], ["list", ""]):
        assert store.run(*call).error.startswith(
            'ENXIO retriable storage account "devstoreaccount1" has no '
            'container "not-there"')


def test_a_clock_that_is_wrong_is_told(lake, proxy):
    front = proxy(lake.server.port)
    front.answer(403, headers={
        "Date": "Fri, 20 Nov 2020 12:00:00 GMT",
        "x-ms-error-code": "AuthenticationFailed"})
    done = lake.store(front.port).run("get", "x")
    assert "minutes ahead of the service's: set the clock" in done.error


# --- trouble -----------------------------------------------------------------

@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_storms_pass(lake, proxy, tmp_path, status):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    storm = front.answer(status, times=3,
                         body=b"<Error><Message>Busy.</Message></Error>")
    assert store.good("create", "x", "one").out == "created"
    assert storm.used == 3
    for call in (["get", "x"], ["list", ""], ["put", "x", "two"],
                 ["remove", "x"]):
        storm = front.answer(status, times=2)
        store.good(*call)
        assert storm.used == 2
    (tmp_path / "f").write_bytes(b"0123456789" * 3)
    store.env["STORE_BLOCK"] = "10"
    front.answer(status, times=1, method="PUT", path="comp=block&")
    front.answer(status, times=1, method="PUT", path="comp=blocklist")
    store.good("upload", "f", tmp_path / "f")
    assert store.good("get", "f").out == "0123456789" * 3


def test_a_storm_that_lasts_is_told(lake, proxy):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    store.env["STORE_DEADLINE_MS"] = "1500"
    front.answer(503, times=None, headers={"x-ms-error-code": "ServerBusy"},
                 body=b"<Error><Code>ServerBusy</Code><Message>The server is "
                      b"busy.\nRequestId:1</Message></Error>")
    done = store.run("get", "x")
    assert done.error.startswith("EAGAIN retriable GET ")
    assert "said 503 ServerBusy: The server is busy" in done.error
    assert front.count("GET") > 1
    # Nobody can say that a 503 did nothing.
    assert store.good("create", "x", "one").out.startswith("unknown PUT ")


def test_the_service_says_how_long_to_wait(lake, proxy):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    front.answer(429, headers={"Retry-After": "2"})
    began = datetime.datetime.now()
    store.good("create", "x", "one")
    assert datetime.datetime.now() - began > datetime.timedelta(seconds=2)
    store.env["STORE_DEADLINE_MS"] = "2000"
    front.answer(429, headers={"Retry-After": "3600"})
    assert store.run("get", "x").error.startswith("EAGAIN retriable")


def test_a_lost_answer_leaves_open_whether_it_is_ours(lake, proxy):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    # It happened, and only its answer was lost.
    front.lose_answer(method="PUT")
    assert store.good("create", "log/1", "mine").out.startswith("unknown")
    assert store.good("get", "log/1").out == "mine"
    # It did not happen, and is tried again.
    front.reset_before(method="PUT")
    assert store.good("create", "log/2", "mine").out == "created"
    # Others are before us: still nobody can tell without reading.
    lake.store().good("create", "log/3", "theirs")
    front.reset_before(method="PUT")
    assert store.good("create", "log/3", "mine").out.startswith("unknown")
    assert store.good("get", "log/3").out == "theirs"


def test_lost_answers_of_others_do_no_harm(lake, proxy, tmp_path):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    store.env["STORE_BLOCK"] = "10"
    (tmp_path / "f").write_bytes(b"0123456789" * 3)
    front.lose_answer(method="PUT", path="comp=block&")
    front.lose_answer(method="PUT", path="comp=blocklist")
    store.good("upload", "f", tmp_path / "f")
    front.lose_answer(method="GET")
    store.good("fetch", "f", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"0123456789" * 3
    front.lose_answer(method="DELETE")
    store.good("remove", "f")
    front.lose_answer(method="GET")
    assert store.good("list", "").lines == []


def test_nobody_there_means_nothing_was_made(lake):
    store = lake.store()
    store.env["STORE_DEADLINE_MS"] = "500"
    lake.server.stop()
    done = store.run("create", "x", "y")
    assert done.error.startswith("ECONNREFUSED retriable PUT http://127.0.0.1")
    lake.server.start()
    assert store.good("create", "x", "y").out == "created"


def test_calls_outlast_an_outage(lake):
    store = lake.store()
    store.env["STORE_DEADLINE_MS"] = "60000"
    store.good("create", "x", "y")
    lake.server.stop()
    process = store.start("get", "x")
    assert b"blob_retry" in process.stderr.readline()
    lake.server.start()
    done = store.end(process)
    assert (done.code, done.out) == (0, "y")


def test_a_server_that_hangs_is_given_up(lake):
    store = lake.store()
    store.env["STORE_STALL_MS"] = "500"
    store.env["STORE_DEADLINE_MS"] = "1000"
    lake.server.pause()
    try:
        done = store.run("get", "x")
        # It may wake up later, and do it then.
        assert store.good("create", "x", "y").out.startswith("unknown")
    finally:
        lake.server.resume()
    assert done.error.startswith("ETIMEDOUT retriable")


def test_what_is_not_azure_is_told(lake, proxy):
    front = proxy(lake.server.port)
    store = lake.store(front.port)
    front.answer(200, body=b"<html>Please log in</html>", method="GET")
    assert store.run("list", "").error.startswith(
        "EPROTO final the listing that the service sent")
    front.answer(404, body=b"<html>Not found</html>", method="PUT")
    assert "said 404" in store.run("create", "x", "y").error
    front.answer(302, headers={"Location": "http://127.0.0.1:1/"})
    assert "said 302" in store.run("get", "x").error


# --- configuration -----------------------------------------------------------

def test_urls_are_checked(lake):
    store = lake.store()
    store.good("check")
    store.env["STORE_URL"] = "https://acct.blob.core.windows.net/lake?sig=a"
    assert "has no query" in store.run("check").error
    del store.env["STORE_TYPE"], store.env["STORE_SECRET"]
    store.env["STORE_URL"] = lake.url()
    assert "needs an identity" in store.run("check").error

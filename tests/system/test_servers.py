"""The servers that the other tests stand on do what those rely on, and the proxy
makes exactly the trouble that it is told to; each by a client not of ours."""
import decimal

import pyarrow
import pytest
import requests
from azure.core.exceptions import (HttpResponseError, ResourceExistsError,
                                   ResourceModifiedError,
                                   ServiceRequestError, ServiceResponseError)
from confluent_kafka import Producer
from deltalake import DeltaTable, write_deltalake

from common import answers, wait_for


# --- Kafka -------------------------------------------------------------------

def produce(kafka, topic, values, key=None, **settings):
    """Produces and waits; returns the errors of those not delivered."""
    errors = []
    producer = Producer(kafka.client(enable_idempotence=True, **settings))
    for value in values:
        producer.produce(topic, value, key,
                         on_delivery=lambda e, _: e and errors.append(e))
    left = producer.flush(20)
    return errors + ["not delivered"] * left


def test_kafka_gives_back_all_of_a_topic(kafka):
    topic = kafka.create_topic(kafka.unique("events"), partitions=3)
    producer = Producer(kafka.client(enable_idempotence=True))
    for i in range(1000):
        producer.produce(topic, f"value {i}", f"key {i % 10}",
                         headers={"event_id": f"E-{i}"})
    assert producer.flush(20) == 0
    messages = kafka.consume(topic)
    assert sorted(m.value() for m in messages) == \
        sorted(f"value {i}".encode() for i in range(1000))
    for m in messages:
        i = int(m.value().split()[1])
        assert m.key() == f"key {i % 10}".encode()
        assert m.headers() == [("event_id", f"E-{i}".encode())]
    assert {m.partition() for m in messages} == {0, 1, 2}


def test_kafka_makes_topics_on_the_fly(kafka):
    topic = kafka.unique("events")
    assert kafka.consume(topic) == []
    assert produce(kafka, topic, ["a", "b"]) == []
    assert [m.value() for m in kafka.consume(topic)] == [b"a", b"b"]
    assert topic in kafka.topics()


def test_kafka_refuses_what_is_too_large_for_a_topic(kafka):
    topic = kafka.create_topic(kafka.unique("small"), max_message_bytes=1000)
    errors = produce(kafka, topic, ["x" * 2000])
    assert [e.name() for e in errors] == ["MSG_SIZE_TOO_LARGE"]


def test_kafka_takes_the_clients_of_event_hubs(kafka):
    topic = kafka.create_topic(kafka.unique("events"))
    settings = {"bootstrap_servers": kafka.sasl_bootstrap,
                "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN",
                "sasl_username": "$ConnectionString",
                "ssl_ca_location": str(kafka.ca_file)}
    assert produce(kafka, topic, ["a"],
                   sasl_password=kafka.connection_string, **settings) == []
    assert produce(kafka, topic, ["b"], sasl_password="wrong",
                   message_timeout_ms=2000, **settings) != []
    assert [m.value() for m in kafka.consume(topic)] == [b"a"]


@pytest.mark.parametrize("way", ["pause", "kill"])
def test_kafka_comes_back_with_all_that_it_had(kafka, way):
    topic = kafka.create_topic(kafka.unique("events"))
    assert produce(kafka, topic, ["before"]) == []
    producer = Producer(kafka.client(enable_idempotence=True))
    {"pause": kafka.pause, "kill": kafka.kill}[way]()
    producer.produce(topic, "during")
    assert producer.flush(0.5) == 1
    assert answers(kafka.port) == (way == "pause")
    kafka.restore()
    assert producer.flush(20) == 0
    assert produce(kafka, topic, ["after"]) == []
    assert [m.value() for m in kafka.consume(topic)] == \
        [b"before", b"during", b"after"]


# --- Azurite -----------------------------------------------------------------

def test_a_blob_is_created_once(azurite):
    container = azurite.make_container(azurite.unique("lake"))
    blob = azurite.service().get_blob_client(container, "a/b c.json")
    blob.upload_blob(b"first")
    with pytest.raises(ResourceExistsError) as refused:
        blob.upload_blob(b"second", overwrite=False)
    assert refused.value.status_code == 409
    assert blob.download_blob().readall() == b"first"
    with pytest.raises(ResourceModifiedError) as refused:
        blob.upload_blob(b"third", overwrite=True, etag='"0x1"',
                         match_condition=azure_if_not_modified())
    assert refused.value.status_code == 412
    assert azurite.blobs(container, "a/") == ["a/b c.json"]


def azure_if_not_modified():
    from azure.core import MatchConditions
    return MatchConditions.IfNotModified


def test_azurite_refuses_another_key(azurite):
    from azure.storage.blob import BlobServiceClient
    service = BlobServiceClient(azurite.url, credential="d3Jvbmc=",
                                retry_total=0)
    with pytest.raises(HttpResponseError) as refused:
        service.create_container(azurite.unique("lake"))
    assert refused.value.status_code == 403


@pytest.mark.parametrize("way", ["pause", "stop"])
def test_azurite_comes_back_with_all_that_it_had(azurite, way):
    container = azurite.make_container(azurite.unique("lake"))
    for i in range(20):
        azurite.service().get_blob_client(container, f"{i:02}").upload_blob(
            b"x" * i)
    {"pause": azurite.pause, "stop": azurite.stop}[way]()
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        azurite.service().get_blob_client(container, "99").upload_blob(
            b"x", connection_timeout=1, read_timeout=1)
    azurite.restore()
    assert azurite.blobs(container)[:20] == [f"{i:02}" for i in range(20)]


def test_delta_rs_keeps_a_table_in_azurite(azurite):
    container = azurite.make_container(azurite.unique("lake"))
    where, options = f"az://{container}/orders", azurite.storage_options()
    rows = pyarrow.table({
        "order_id": ["O-1", "Ö-2"],
        "total": pyarrow.array([decimal.Decimal("1.000001"), None],
                               pyarrow.decimal128(18, 6))})
    write_deltalake(where, rows, storage_options=options)
    write_deltalake(where, rows, storage_options=options, mode="append")
    table = DeltaTable(where, storage_options=options)
    assert table.version() == 1
    assert table.to_pyarrow_table().sort_by("order_id").column("total") \
        .to_pylist() == [decimal.Decimal("1.000001")] * 2 + [None] * 2
    assert len(azurite.blobs(container, "orders/_delta_log/")) == 2


# --- the proxy ---------------------------------------------------------------

def blob_through(front, azurite, name):
    container = azurite.make_container(azurite.unique("lake"))
    direct = azurite.service().get_blob_client(container, name)
    through = azurite.service(azurite.url_at(front.port)).get_blob_client(
        container, name)
    return through, direct


def test_a_proxy_changes_nothing_by_itself(proxy, azurite):
    front = proxy(azurite.port)
    through, direct = blob_through(front, azurite, "a b+c%20ü.json")
    through.upload_blob(b"0123456789", metadata={"a": "1"})
    assert direct.download_blob().readall() == b"0123456789"
    assert through.download_blob(2, 3).readall() == b"234"
    mine, its = through.get_blob_properties(), direct.get_blob_properties()
    assert mine.size == its.size == 10
    assert (mine.etag, mine.metadata) == (its.etag, its.metadata)
    with pytest.raises(ResourceExistsError):
        through.upload_blob(b"again")
    through.delete_blob()
    assert not direct.exists()
    assert [r.status for r in front.requests] == [201, 206, 200, 409, 202]


def test_a_lost_answer_was_executed(proxy, azurite):
    front = proxy(azurite.port)
    through, direct = blob_through(front, azurite, "00000.json")
    rule = front.lose_answer(method="PUT", path=r"00000\.json")
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        through.upload_blob(b"commit")
    assert rule.used == 1
    assert (front.requests[-1].forwarded, front.requests[-1].status) == \
        (201, None)
    assert direct.download_blob().readall() == b"commit"
    with pytest.raises(ResourceExistsError):
        through.upload_blob(b"commit")


def test_a_request_reset_before_was_not_executed(proxy, azurite):
    front = proxy(azurite.port)
    through, direct = blob_through(front, azurite, "00000.json")
    front.reset_before()
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        through.upload_blob(b"commit")
    assert front.requests[-1].forwarded is None
    assert not direct.exists()
    through.upload_blob(b"commit")
    assert direct.exists()


def test_the_next_requests_that_fit_get_the_answer(proxy, azurite):
    front = proxy(azurite.port)
    url = front.url + "/devstoreaccount1/x/_delta_log/1.json"
    front.answer(503, {"Retry-After": "7"}, b"busy", times=2, method="PUT",
                 path="_delta_log")
    for _ in range(2):
        refused = requests.put(url, b"x" * 100000, timeout=10)
        assert (refused.status_code, refused.text) == (503, "busy")
        assert refused.headers["Retry-After"] == "7"
        assert requests.get(url, timeout=10).status_code == 400
    assert requests.put(url, b"x", timeout=10).status_code == 400
    assert front.count("PUT", status=503) == 2
    assert front.count("PUT") == 3
    assert front.count("GET", "_delta_log") == 2
    assert [r.forwarded for r in front.requests] == [None, 400] * 2 + [400]


def test_a_held_request_waits_until_it_is_released(proxy, azurite):
    front = proxy(azurite.port)
    through, direct = blob_through(front, azurite, "00000.json")
    rule = front.hold(method="PUT")
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        through.upload_blob(b"commit", read_timeout=1)
    assert rule.used == 1 and not direct.exists()
    rule.release()
    wait_for(direct.exists)


def test_a_delayed_request_arrives(proxy, azurite):
    front = proxy(azurite.port)
    through, direct = blob_through(front, azurite, "00000.json")
    front.delay(0.3, method="PUT")
    started = front.requests[:]
    answer = through.upload_blob(b"commit")
    assert started == [] and answer["etag"]
    assert direct.exists()


def test_a_proxy_shows_that_its_server_is_away(proxy, azurite):
    front = proxy(azurite.port)
    through, _ = blob_through(front, azurite, "00000.json")
    azurite.stop()
    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        through.upload_blob(b"commit")
    azurite.restore()
    through.upload_blob(b"commit")

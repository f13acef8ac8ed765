"""A collector as teams write it: FastAPI, a model, a Kafka producer.

Answers when the producer has taken the events into memory; nothing is durable
by then. Settings from the environment: BOOTSTRAP, TOPIC.
"""

import contextlib
import os
import uuid
from datetime import datetime, timezone
from typing import Any

import orjson
from confluent_kafka import Producer
from fastapi import Body, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

TOPIC = os.environ["TOPIC"]
producer = Producer({
    "bootstrap.servers": os.environ["BOOTSTRAP"],
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 50,
    "queue.buffering.max.messages": 100_000,
})


class Event(BaseModel):
    """What each event has; the rest is passed on."""
    model_config = ConfigDict(extra="allow")
    event_type: str
    event_id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    event_time: Any = Field(
        default_factory=lambda: datetime.now(timezone.utc).isoformat())


@contextlib.asynccontextmanager
async def lifespan(_app):
    yield
    producer.flush(30)


app = FastAPI(lifespan=lifespan)


def send(events):
    for event in events:
        body = orjson.dumps(event.model_dump())
        try:
            producer.produce(TOPIC, body, key=event.event_id, headers={
                "event_type": event.event_type, "event_id": event.event_id})
        except BufferError:
            producer.poll(1)
            try:
                producer.produce(TOPIC, body, key=event.event_id)
            except BufferError as error:
                raise HTTPException(503, "the queue is full",
                                    {"Retry-After": "1"}) from error
    producer.poll(0)
    return {"status": "accepted", "events_received": len(events),
            "events_accepted": len(events), "events_failed": 0}


@app.post("/events", status_code=202)
async def one(event: Event):
    return send([event])


@app.post("/events/batch", status_code=202)
async def batch(events: list[Event] = Body()):
    return send(events)

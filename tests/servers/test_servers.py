"""The servers that other tests lean on start, survive a kill and have what is asked of them."""

from __future__ import annotations

import psycopg
import redis as client
from confluent_kafka.admin import AdminClient

from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.s3 import S3


def test_plain_postgres_has_no_timescale(postgres: Postgres) -> None:
    with psycopg.connect(postgres.database()) as connection:
        found = connection.execute("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
        assert found.fetchone() == (0,)


def test_timescale_has_hypertables(timescale: Postgres) -> None:
    with psycopg.connect(timescale.database()) as connection:
        connection.execute("CREATE TABLE t (ts timestamptz NOT NULL)")
        connection.execute("SELECT create_hypertable('t', 'ts')")


def test_redis_answers(redis: Redis) -> None:
    with client.Redis.from_url(redis.url()) as connection:
        assert connection.ping()


def test_kafka_answers(kafka: Kafka) -> None:
    servers = kafka.url.removeprefix("kafka://")
    assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10).brokers


def test_s3_makes_buckets(s3: S3) -> None:
    assert s3.bucket("servers") == "s3://servers"

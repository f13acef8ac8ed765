/* Our options as librdkafka's properties (its CONFIGURATION.md). */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "kafka/inside.h"

#define REASON_BYTES 300

/* What a user may not set: guarantees rest on them, or there is a key. */
static const struct owned {
	const char *name, *why;
} owned[] = {
    {"acks", "delivered means that all replicas have it"},
    {"request.required.acks", "delivered means that all replicas have it"},
    {"enable.idempotence", "order and no loss rest on it"},
    {"transactional.id", "Weft uses no transactions"},
    {"message.timeout.ms", "the log holds events as long as it takes"},
    {"delivery.timeout.ms", "the log holds events as long as it takes"},
    {"bootstrap.servers", "use the key \"bootstrap\""},
    {"metadata.broker.list", "use the key \"bootstrap\""},
    {"sasl.username", "use the key \"username\""},
    {"sasl.password", "use the key \"password\", which keeps it secret"},
    {"ssl.key.password", "use the key \"key_password\""},
    {"ssl.key.pem", "use the key \"client_key\""},
    {"ssl.keystore.password", "use the key \"client_key\""},
    {"sasl.oauthbearer.client.secret",
     "it would print with this key, which is no secret"},
    {"queue.buffering.max.messages", "use the key \"queue_messages\""},
    {"message.max.bytes", "use the key \"max_message\""},
    {"statistics.interval.ms", "gauges and status rest on it"},
    {"builtin.features", "it only tells what there is"},
    {"plugin.library.paths", "it would load code"},
    {"ssl.engine.location", "it would load code"},
    {"delivery.report.only.error", "what is delivered is told by it"},
    {"batch.num.messages", "what is too large is found one by one"},
    {"batch.size", "use the key \"max_message\""},
};

/* A configuration in the making; the first refusal sticks. */
struct settings {
	rd_kafka_conf_t *conf;
	struct err *err;
	int rc;
};

static void set(struct settings *s, const char *name, const char *value)
{
	char reason[REASON_BYTES];

	if (s->rc != 0 || !value || !*value)
		return;
	if (rd_kafka_conf_set(s->conf, name, value, reason, sizeof(reason)) ==
	    RD_KAFKA_CONF_OK)
		return;
	/* The reason may hold the value, and that may be a secret. */
	if (strstr(name, "password") || strstr(name, "username"))
		s->rc = err_set(s->err, EINVAL,
				"librdkafka refuses the value of %s", name);
	else
		s->rc = err_set(s->err, EINVAL, "librdkafka: %s", reason);
}

static void set_number(struct settings *s, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	set(s, name, text);
}

static void set_security(struct settings *s, const struct kafka_options *o)
{
	const char *protocol = o->sasl
				   ? (o->tls ? "sasl_ssl" : "sasl_plaintext")
				   : (o->tls ? "ssl" : "plaintext");

	set(s, "security.protocol", protocol);
	/* librdkafka before 2.0 does not compare the broker's name. */
	if (o->tls)
		set(s, "ssl.endpoint.identification.algorithm", "https");
	set(s, "ssl.ca.location", o->ca_file);
	set(s, "ssl.certificate.location", o->client_cert);
	set(s, "ssl.key.location", o->client_key);
	set(s, "ssl.key.password", o->client_key_password);
	if (!o->sasl)
		return;
	set(s, "sasl.mechanisms", o->sasl);
	set(s, "sasl.username", o->username);
	set(s, "sasl.password", o->password);
}

static void set_delivery(struct settings *s, const struct kafka_options *o)
{
	set(s, "enable.idempotence", "true");
	set(s, "acks", "all");
	set(s, "message.timeout.ms", "0"); /* the log is the patience */
	set(s, "compression.type", o->compression);
	set(s, "partitioner", o->partitioner);
	set_number(s, "linger.ms", o->linger_us / 1000);
	set_number(s, "request.timeout.ms", o->request_timeout_us / 1000);
	set_number(s, "message.max.bytes", o->max_message_bytes);
	set_number(s, "batch.size", o->max_request_bytes);
	set_number(s, "batch.num.messages", o->alone ? 1 : 10000);
	/* The caller counts; these only have to be out of its way. */
	set_number(s, "queue.buffering.max.messages", o->queue_messages * 2);
	set(s, "queue.buffering.max.kbytes", "2000000");
}

static void set_network(struct settings *s, const struct kafka_options *o)
{
	set(s, "bootstrap.servers", o->bootstrap);
	set(s, "client.id", "weft");
	set(s, "socket.keepalive.enable", "true");
	set(s, "reconnect.backoff.max.ms", "5000");
	set(s, "topic.metadata.propagation.max.ms", "10000");
	set(s, "log.connection.close", "false");
	set(s, "statistics.interval.ms", "5000");
	if (!o->eventhubs)
		return;
	/* Azure cuts what is idle for 4 minutes without a word. */
	set(s, "metadata.max.age.ms", "180000");
	set(s, "connections.max.idle.ms", "180000");
}

static const char *why_owned(const char *name)
{
	/* librdkafka takes properties of topics with this in front, too. */
	if (strncmp(name, "topic.", 6) == 0)
		name += 6;
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++)
		if (strcmp(owned[i].name, name) == 0)
			return owned[i].why;
	return NULL;
}

static char *trimmed(char *text)
{
	size_t n = strlen(text);

	while (n && isspace((unsigned char)text[n - 1]))
		text[--n] = '\0';
	return text + strspn(text, " \t\r\n");
}

static void set_property(struct settings *s, char *text)
{
	char *equals = strchr(text, '='), *name;
	const char *why;

	if (!equals || equals == text) {
		s->rc = err_set(s->err, EINVAL,
				"\"%.60s\" is not of the form key=value", text);
		return;
	}
	*equals = '\0';
	name = trimmed(text);
	why = why_owned(name);
	if (why)
		s->rc = err_set(s->err, EINVAL, "%.60s cannot be set: %s", name,
				why);
	else
		set(s, name, trimmed(equals + 1));
}

static void set_properties(struct settings *s, const char *properties)
{
	char *copy, *at, *one;

	if (!properties)
		return;
	at = copy = xstrdup(properties);
	while (s->rc == 0 && (one = strsep(&at, ";"))) {
		one = trimmed(one);
		if (*one)
			set_property(s, one);
	}
	free(copy);
}

rd_kafka_conf_t *settings_new(const struct kafka_options *o, struct err *err)
{
	struct settings s = {.conf = rd_kafka_conf_new(), .err = err};

	set_network(&s, o);
	set_security(&s, o);
	set_delivery(&s, o);
	set_properties(&s, o->properties);
	if (s.rc == 0)
		return s.conf;
	rd_kafka_conf_destroy(s.conf);
	return NULL;
}

int kafka_check_properties(const char *properties, struct err *err)
{
	struct settings s = {.conf = rd_kafka_conf_new(), .err = err};

	set_properties(&s, properties);
	rd_kafka_conf_destroy(s.conf);
	return s.rc;
}

#include "services/eventhub-publisher/kafka_target.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define HUBS_PORT     "9093"
#define HUBS_USERNAME "$ConnectionString"

/* Takes a text (NULL allowed) until the target is freed; returns it. */
static char *keep(struct kafka_target *t, char *text)
{
	if (!text)
		return NULL;
	if (t->text_count == TARGET_TEXTS)
		abort();
	t->texts[t->text_count++] = text;
	return text;
}

/* "" says the same as nothing. */
static char *copy(struct kafka_target *t, const char *text)
{
	return keep(t, text && *text ? xstrdup(text) : NULL);
}

/* The value of a part of "Name=value;Name=value", owned, or NULL. */
static char *part_of(const char *text, const char *name)
{
	size_t bytes = strlen(name);

	while (text && *text) {
		size_t part = strcspn(text, ";");

		if (part > bytes && text[bytes] == '=' &&
		    strncasecmp(text, name, bytes) == 0)
			return xmemdup0(text + bytes + 1, part - bytes - 1);
		text += part + (text[part] == ';');
	}
	return NULL;
}

/* "sb://name.servicebus.windows.net/" becomes "name.servic…:9093". */
static char *bootstrap_of(const char *endpoint)
{
	const char *host = strstr(endpoint, "://");
	size_t bytes;

	host = host ? host + 3 : endpoint;
	bytes = strcspn(host, ":/");
	if (!bytes)
		return NULL;
	return xasprintf("%.*s:" HUBS_PORT, (int)bytes, host);
}

static int read_connection_string(struct kafka_target *t,
				  const struct conf_identity *identity,
				  struct err *err)
{
	const char *text = identity->connection_string;
	const char *endpoint = keep(t, part_of(text, "Endpoint"));
	const char *bootstrap =
	    endpoint ? keep(t, bootstrap_of(endpoint)) : NULL;

	if (!bootstrap)
		return err_set(
		    err, EINVAL,
		    "identities.%s.connection_string has no Endpoint=sb://…; "
		    "take the whole string from the portal, under Shared "
		    "access policies of the Event Hubs namespace",
		    t->identity);
	if (!t->options.bootstrap)
		t->options.bootstrap = bootstrap;
	if (!t->topic)
		t->topic = keep(t, part_of(text, "EntityPath"));
	t->options.tls = true;
	t->options.sasl = "PLAIN";
	t->options.username = HUBS_USERNAME;
	t->options.password = copy(t, text);
	return 0;
}

/* The i-th of "a|b|c"; it was checked when it was read. */
static char *choice(struct kafka_target *t, const char *choices, int i)
{
	while (i-- > 0)
		choices = strchr(choices, '|') + 1;
	return keep(t, xmemdup0(choices, strcspn(choices, "|")));
}

static int read_identity(struct kafka_target *t,
			 const struct backend_options *options, struct err *err)
{
	const struct conf_identity *identity = options->identity;
	char *sasl;

	if (!identity)
		return 0;
	t->identity = copy(t, options->conf->identity);
	if (identity->type == IDENTITY_CONNECTION_STRING)
		return read_connection_string(t, identity, err);
	sasl = choice(t, EVENTHUB_PUBLISHER_SASL, options->conf->sasl);
	for (char *c = sasl; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	t->options.sasl = sasl;
	t->options.username = copy(t, identity->username);
	t->options.password = copy(t, identity->password);
	return 0;
}

int kafka_target_read(struct kafka_target *t,
		      const struct backend_options *options, struct err *err)
{
	const struct eventhub_publisher_conf *conf = options->conf;

	*t = (struct kafka_target){0};
	t->section = copy(t, options->section);
	t->topic = copy(t, conf->topic);
	t->options = (struct kafka_options){
	    .bootstrap = copy(t, conf->bootstrap),
	    .eventhubs = conf->preset == PRESET_EVENTHUBS,
	    .tls = conf->tls || conf->preset == PRESET_EVENTHUBS,
	    .ca_file = copy(t, conf->ca_file),
	    .client_cert = copy(t, conf->client_cert),
	    .client_key = copy(t, conf->client_key),
	    .client_key_password = copy(t, conf->key_password),
	    .compression =
		choice(t, EVENTHUB_PUBLISHER_COMPRESSION, conf->compression),
	    .partitioner =
		choice(t, EVENTHUB_PUBLISHER_PARTITIONER, conf->partitioner),
	    .properties = copy(t, conf->properties),
	    .linger_us = conf->linger,
	    .request_timeout_us = conf->request_timeout,
	    .max_message_bytes = conf->max_message,
	    .max_request_bytes = conf->max_message,
	    .queue_messages = conf->queue_messages,
	};
	if (read_identity(t, options, err) == 0) {
		if (t->options.bootstrap)
			return 0;
		err_set(err, EINVAL,
			"%s.bootstrap: is missing, and the identity is no "
			"connection string, which would name the host",
			options->section);
	}
	kafka_target_free(t);
	return -1;
}

void kafka_target_free(struct kafka_target *t)
{
	while (t->text_count) {
		char *text = t->texts[--t->text_count];

		explicit_bzero(text, strlen(text)); /* some are secret */
		free(text);
	}
}

void kafka_target_topic(const struct kafka_target *t, const char *stream,
			const char *contract_topic, char topic[TOPIC_BYTES + 1])
{
	const char *name = t->topic ? t->topic : contract_topic;
	const char *at;

	if (!name)
		name = TOPIC_STREAM;
	at = strstr(name, TOPIC_STREAM);
	if (!at)
		snprintf(topic, TOPIC_BYTES + 1, "%s", name);
	else
		snprintf(topic, TOPIC_BYTES + 1, "%.*s%s%s", (int)(at - name),
			 name, stream, at + strlen(TOPIC_STREAM));
}

static int explain_login(const struct kafka_target *t, const char *text,
			 struct err *err)
{
	if (!t->identity)
		return err_set(err, EACCES,
			       "Kafka wants a login, name an identity in "
			       "%s.identity: %s",
			       t->section, text);
	return err_set(err, EACCES,
		       "Kafka refuses the login, correct identities.%s, which "
		       "%s.identity names: %s",
		       t->identity, t->section, text);
}

/* Of what passes by itself, or may. */
static void explain_passing(const struct kafka_target *t, int error,
			    const char *text, const char *topic,
			    struct err *err)
{
	switch (kafka_error_cause(error)) {
	case KAFKA_CAUSE_NAME:
	case KAFKA_CAUSE_NETWORK:
		err_set(err, ENOTCONN, "no way to Kafka, see %s.bootstrap: %s",
			t->section, text);
		break;
	case KAFKA_CAUSE_THROTTLE:
		err_set(err, EBUSY,
			"topic %s is throttled, and sent again later; more "
			"throughput units would help: %s",
			topic, text);
		break;
	default:
		err_set(err, EIO, "topic %s: %s (%s)", topic, text,
			kafka_error_name(error));
	}
	err->retriable = true;
}

int kafka_target_explain(const struct kafka_target *t, int error,
			 const char *said, const char *topic, struct err *err)
{
	/* What follows differs each time: " (after 5ms in state …". */
	const char *end = strstr(said, " (after ");
	char *text = xmemdup0(said, end ? (size_t)(end - said) : strlen(said));
	const char *name = topic ? topic : "(any)";

	switch (kafka_error_cause(error)) {
	case KAFKA_CAUSE_LOGIN:
		explain_login(t, text, err);
		break;
	case KAFKA_CAUSE_RIGHTS:
		err_set(err, EACCES,
			"topic %s: let who %s.identity names send to it: %s",
			name, t->section, text);
		break;
	case KAFKA_CAUSE_TOPIC:
		err_set(err, ENOENT,
			"topic %s: create it, or correct %s.topic, or "
			"eventhub.topic of the contract: %s",
			name, t->section, text);
		break;
	case KAFKA_CAUSE_TLS:
		err_set(err, EPROTO,
			"no TLS with Kafka, see %s.tls, ca_file, and the port "
			"in bootstrap: %s",
			t->section, text);
		break;
	default:
		explain_passing(t, error, text, name, err);
	}
	free(text);
	return -1;
}

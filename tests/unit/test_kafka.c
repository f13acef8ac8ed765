/* kafka/: options and statistics of librdkafka; the rest is test_backend_kafka.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kafka/inside.h"

static const struct kafka_options good = {
    .bootstrap = "127.0.0.1:9092",
    .compression = "none",
    .partitioner = "murmur2_random",
    .linger_us = 5000,
    .request_timeout_us = 30000000,
    .max_message_bytes = 1000000,
    .max_request_bytes = 1000000,
    .queue_messages = 10000,
};

static void expect(rd_kafka_conf_t *conf, const char *name,
		   const char *expected)
{
	char value[200];
	size_t bytes = sizeof(value);

	assert_int_equal(rd_kafka_conf_get(conf, name, value, &bytes),
			 RD_KAFKA_CONF_OK);
	assert_string_equal(value, expected);
}

static void test_nothing_is_given_up_or_reordered(void **state)
{
	struct err err;
	rd_kafka_conf_t *conf = settings_new(&good, &err);

	(void)state;
	assert_non_null(conf);
	expect(conf, "enable.idempotence", "true");
	expect(conf, "acks", "-1");
	expect(conf, "message.timeout.ms", "0");
	expect(conf, "linger.ms", "5");
	expect(conf, "security.protocol", "plaintext");
	expect(conf, "socket.keepalive.enable", "true");
	rd_kafka_conf_destroy(conf);
}

static void test_event_hubs_wants_other_times_and_a_login(void **state)
{
	struct kafka_options o = good;
	rd_kafka_conf_t *conf;
	struct err err;

	(void)state;
	o.eventhubs = true;
	o.tls = true;
	o.sasl = "PLAIN";
	o.username = "$ConnectionString";
	o.password = "Endpoint=sb://x/;SharedAccessKey=abc=";
	conf = settings_new(&o, &err);
	assert_non_null(conf);
	expect(conf, "security.protocol", "sasl_ssl");
	expect(conf, "sasl.mechanisms", "PLAIN");
	expect(conf, "sasl.username", o.username);
	expect(conf, "sasl.password", o.password);
	expect(conf, "metadata.max.age.ms", "180000");
	expect(conf, "connections.max.idle.ms", "180000");
	rd_kafka_conf_destroy(conf);
}

static void test_properties_come_last_and_are_checked(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
	    {"linger.ms=x", "librdkafka: "},
	    {"a=1", "\"a\""},
	    {"linger.ms=1; oops", "\"oops\" is not of the form key=value"},
	    {"=1", "not of the form"},
	    {"acks=0", "acks cannot be set: delivered means"},
	    {" enable.idempotence = false", "enable.idempotence cannot"},
	    {"sasl.password=hunter2", "use the key \"password\""},
	    {"plugin.library.paths=/tmp/x.so", "load code"},
	    {"ssl.engine.location=/tmp/x.so", "load code"},
	    {"delivery.report.only.error=true",
	     "delivery.report.only.error cannot"},
	    {"batch.num.messages=500", "batch.num.messages cannot be set"},
	    {"batch.size=500", "use the key \"max_message\""},
	    {"transactional.id=a", "transactional.id cannot be set"},
	    {"request.required.acks=1", "cannot be set"},
	    {"topic.request.required.acks=1", "cannot be set: delivered"},
	    {"topic.message.timeout.ms=1", "cannot be set: the log holds"},
	    {"acks\t=\n1", "acks cannot be set"},
	    {"delivery.timeout.ms=1", "cannot be set"},
	    {"ACKS=1", "librdkafka: "},
	};
	struct kafka_options o = good;
	rd_kafka_conf_t *conf;
	struct err err;

	(void)state;
	o.properties = " linger.ms = 77 ;; client.id=me;";
	assert_int_equal(kafka_check_properties(o.properties, &err), 0);
	conf = settings_new(&o, &err);
	assert_non_null(conf);
	expect(conf, "linger.ms", "77");
	expect(conf, "client.id", "me");
	rd_kafka_conf_destroy(conf);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(kafka_check_properties(bad[i].text, &err), -1);
		if (!strstr(err.text, bad[i].error))
			fail_msg("%s gives %s", bad[i].text, err.text);
		assert_null(strstr(err.text, "hunter2"));
	}
}

static void test_statistics(void **state)
{
	static const char json[] =
	    "{\"msg_cnt\":7,\"brokers\":{"
	    "\"a:9092/bootstrap\":{\"nodeid\":-1,\"state\":\"UP\"},"
	    "\"a:9092/1\":{\"nodeid\":1,\"state\":\"UP\",\"txretries\":2,"
	    "\"rtt\":{\"avg\":1500},\"throttle\":{\"avg\":3}},"
	    "\"b:9092/2\":{\"nodeid\":2,\"state\":\"DOWN\",\"txretries\":1,"
	    "\"rtt\":{\"avg\":900}}}}";
	struct kafka_stats stats;

	(void)state;
	assert_int_equal(stats_read(json, sizeof(json) - 1, &stats), 0);
	assert_int_equal(stats.brokers_up, 1);
	assert_int_equal(stats.queued, 7);
	assert_int_equal(stats.round_trip_us, 1500);
	assert_int_equal(stats.throttled_us, 3000);
	assert_int_equal(stats.retries, 3);
	assert_int_equal(stats_read("{}", 2, &stats), -1);
	assert_int_equal(stats_read("[", 1, &stats), -1);
	assert_int_equal(stats_read("", 0, &stats), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_is_given_up_or_reordered),
	    cmocka_unit_test(test_event_hubs_wants_other_times_and_a_login),
	    cmocka_unit_test(test_properties_come_last_and_are_checked),
	    cmocka_unit_test(test_statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

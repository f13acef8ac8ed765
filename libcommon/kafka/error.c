#include <librdkafka/rdkafka.h>

#include "kafka/kafka.h"

const char *kafka_error_name(int error)
{
	return rd_kafka_err2name((rd_kafka_resp_err_t)error);
}

const char *kafka_error_text(int error)
{
	return rd_kafka_err2str((rd_kafka_resp_err_t)error);
}

bool kafka_error_is_poison(int error)
{
	return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
	       error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
	       error == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}

bool kafka_error_is_full(int error)
{
	return error == RD_KAFKA_RESP_ERR__QUEUE_FULL;
}

enum kafka_cause kafka_error_cause(int error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
	case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
		return KAFKA_CAUSE_LOGIN;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return KAFKA_CAUSE_RIGHTS;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		return KAFKA_CAUSE_TOPIC;
	case RD_KAFKA_RESP_ERR__SSL:
		return KAFKA_CAUSE_TLS;
	case RD_KAFKA_RESP_ERR__RESOLVE:
		return KAFKA_CAUSE_NAME;
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
		return KAFKA_CAUSE_NETWORK;
	case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
	case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
		return KAFKA_CAUSE_THROTTLE;
	default:
		return KAFKA_CAUSE_OTHER;
	}
}

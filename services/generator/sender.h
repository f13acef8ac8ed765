/*
 * Sends generated events to a collector over a few keep-alive connections and
 * checks each answer against what the generator knows of the events. Written
 * for little CPU: one request in flight a connection, bodies built in place.
 */
#ifndef WEFT_SERVICES_GENERATOR_SENDER_H
#define WEFT_SERVICES_GENERATOR_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "services/generator/events.h"

struct sender;

struct sender_plan {
	const char *host; /* IPv4 or IPv6 address, or "localhost" */
	const char *port;
	const char *api_key;  /* NULL = none */
	uint32_t connections; /* 1 to 256 */
	uint32_t batch;	      /* events a request; 1 posts single events */
	uint64_t count;	      /* events in all, 0 = until stopped */
	double rate;	      /* events a second, 0 = as fast as answered */
	uint64_t burst;	      /* events that may go at once under a rate */
	int64_t duration_us;  /* 0 = no limit */
	uint64_t seed;
	int64_t start_us; /* event time of the first event */
	double bad_share;
	const char *ledger; /* file that gets each acknowledged event_id, or
			       NULL */
	int64_t give_up_us; /* without any answer this long, it fails */
};

struct sender_result {
	uint64_t sent;	   /* events whose request was answered for good */
	uint64_t accepted; /* 2xx, event by event */
	uint64_t rejected[FAULT_COUNT]; /* as expected, by fault */
	uint64_t mismatches;		/* answers other than expected */
	uint64_t requests;
	uint64_t retries; /* requests sent again: 429, 503, lost connection */
	int64_t started_mono_us, ended_mono_us;
	uint32_t *latencies_us; /* of each request; owned by the sender */
	uint64_t latency_count;
};

/*
 * Starts to send. done is called once on the loop thread: err is NULL when all
 * was answered (mismatches or not), else why it gave up. -1 with *err when the
 * address or the ledger cannot be used.
 */
int sender_start(struct sender **sender, struct loop *loop,
		 const struct sender_plan *plan,
		 void (*done)(void *arg, const struct err *err), void *arg,
		 struct err *err) MUST_CHECK;

/* Lets requests in flight end and then calls done. */
void sender_stop(struct sender *sender);

const struct sender_result *sender_result(const struct sender *sender);

/* The p-th part (0 to 1) of the request latencies, in microseconds. */
uint32_t sender_latency(struct sender *sender, double p);

/* Drops everything; NULL allowed. */
void sender_free(struct sender **sender);

#endif

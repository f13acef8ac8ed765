/* Configuration and counters of the generator. */
#ifndef WEFT_SERVICES_GENERATOR_TABLES_H
#define WEFT_SERVICES_GENERATOR_TABLES_H

#include "conf/conf.h"

struct generator_conf {
	char *listen;
	char *target;
	char *api_key;
	bool autostart;
	int64_t rate;	    /* events a second, 0 = as fast as it goes */
	int64_t batch;	    /* events in one request */
	int64_t burst;	    /* events that may go at once under a rate */
	int64_t events;	    /* in all, 0 = no end */
	int64_t duration;   /* us, 0 = no end */
	int64_t bad_permil; /* of 1000 events */
	int64_t seed;
	int64_t connections;
};

struct generator_counters {
	uint64_t sent;
	uint64_t accepted;
	uint64_t rejected;
	uint64_t unexpected; /* answered otherwise than foreseen */
};

extern const struct conf_table generator_conf_table;
extern const struct counter_table generator_counter_table;

#endif

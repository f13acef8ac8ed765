/* The writer's counters, from what its worker tells. Loop thread. */
#ifndef WEFT_SERVICES_ONELAKE_WRITER_GAUGES_H
#define WEFT_SERVICES_ONELAKE_WRITER_GAUGES_H

#include "services/onelake-writer/landing.h"
#include "services/onelake-writer/side.h"
#include "services/onelake-writer/tables.h"

/* Counts the events of a job that has landed just now. */
void gauges_landed(struct onelake_writer_counters *counters,
		   const struct job *job);

/* Takes over what is counted of the lake. */
void gauges_count(struct onelake_writer_counters *counters,
		  struct landing *landing);

/* Takes over what waits in side logs. */
void gauges_count_sides(struct onelake_writer_counters *counters,
			const struct sides *sides);

#endif

/* The counters of every process. They stand here, not with the code that fills
 * them, because the manual is made here. */
#include "conf/counter.h"

#define COUNTER(f) offsetof(struct counter_process, f)

static const struct counter_row rows[] = {
    {"weft_process_cpu_seconds_total", COUNTER_TOTAL, COUNTER(cpu_us), "", 1e-6,
     "CPU time, user and system, of the process."},
    {"weft_process_resident_memory_bytes", COUNTER_GAUGE,
     COUNTER(resident_bytes), "", 1, "Resident memory of the process."},
    {"weft_process_open_fds", COUNTER_GAUGE, COUNTER(open_fds), "", 1,
     "Open file descriptors of the process."},
    {"weft_process_start_time_seconds", COUNTER_GAUGE, COUNTER(started_at_us),
     "", 1e-6, "When the process started, seconds since 1970."},
};

const struct counter_table counter_process_table = {
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .struct_bytes = sizeof(struct counter_process),
};

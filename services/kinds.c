#include "services/kinds.h"

/* Each is declared in its tables.h too; here a row of pipeline.def is enough.
 */
#define SERVICE(id, ...)                                \
	extern const struct conf_table id##_conf_table; \
	extern const struct counter_table id##_counter_table;
#include "services/pipeline.def"
#undef SERVICE

#define SERVICE(id, dashed, link_in, link_out, kind_flags) \
	{.name = (dashed),                                 \
	 .in = (link_in),                                  \
	 .out = (link_out),                                \
	 .flags = (kind_flags),                            \
	 .conf = &id##_conf_table,                         \
	 .counters = &id##_counter_table},
static const struct conf_kind kinds[] = {
#include "services/pipeline.def"
};
#undef SERVICE

const struct conf_kinds weft_kinds = {
    .kinds = kinds,
    .count = sizeof(kinds) / sizeof(*kinds),
};

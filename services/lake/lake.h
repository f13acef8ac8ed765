/* What the commands of this program share. */
#ifndef WEFT_LAKE_LAKE_H
#define WEFT_LAKE_LAKE_H

#include "lake/catalog.h"
#include "services/lake/args.h"

/*
 * A command, on the thread that works. Returns an exit code; one that failed
 * has filled *err, or has printed what was wrong and left err->text empty.
 */
int command_query(const struct args *a, struct catalog *c, struct err *err);
int command_ls(const struct args *a, struct catalog *c, struct err *err);
int command_history(const struct args *a, struct catalog *c, struct err *err);
int command_schema(const struct args *a, struct catalog *c, struct err *err);
int command_dlq_ls(const struct args *a, struct catalog *c, struct err *err);
int command_dlq_show(const struct args *a, struct catalog *c, struct err *err);
int command_dlq_replay(const struct args *a, struct catalog *c,
		       struct err *err);
int command_dlq_drop(const struct args *a, struct catalog *c, struct err *err);
int command_replay(const struct args *a, struct catalog *c, struct err *err);

#endif

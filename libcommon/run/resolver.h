/*
 * The bodies of batches that came by reference, read from the logs of their
 * sources on this host. Loop thread.
 */
#ifndef WEFT_RUN_RESOLVER_H
#define WEFT_RUN_RESOLVER_H

#include "base/err.h"
#include "base/loop.h"
#include "proto/batch.h"

struct resolver;

/* `loop` is borrowed: what is not read for a while is closed by its timer. */
struct resolver *resolver_new(struct loop *loop);
void resolver_free(struct resolver **r);

/*
 * Reads the body that b refers to: *whole is one reference to the same batch
 * with its body, in memory of its own, the header as in b. Record by record it
 * is checked as a log's own reading is, and as a whole to be what the sender
 * meant. -1 with *err: the log cannot be read here, or has another batch there.
 * Blocks on the disk, mostly the page cache.
 */
int resolver_read(struct resolver *r, struct batch *b, struct batch **whole,
		  struct err *err) MUST_CHECK;

#endif

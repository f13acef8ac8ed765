#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/io.h"
#include "services/eventhub-publisher/backend.h"

/*
 * Batches are delivered the moment they come; delivered() is called from a hook
 * of the loop, once for all that came in a turn.
 */
struct plain {
	struct loop *loop;
	struct backend_events events;
	struct loop_hook hook;
	bool told_opened;
	uint64_t delivered; /* 0 = nothing new */
	int fd;		    /* -1 = nowhere */
	struct buf lines;
	bool failed;
	struct err err;
};

static bool on_turn(void *arg)
{
	struct plain *p = arg;
	uint64_t delivered = p->delivered;

	p->delivered = 0;
	if (!p->told_opened) {
		p->told_opened = true;
		p->events.opened(p->events.arg);
	}
	if (delivered)
		p->events.delivered(p->events.arg, delivered, NULL, 0);
	if (p->failed) {
		p->failed = false;
		p->events.failed(p->events.arg, &p->err);
		return true;
	}
	return delivered != 0;
}

static int plain_open(void **backend, const struct backend_options *options,
		      const struct backend_events *events, int fd)
{
	struct plain *p = xcalloc(1, sizeof(*p));

	p->loop = options->loop;
	p->events = *events;
	p->fd = fd;
	p->hook = (struct loop_hook){.fn = on_turn, .arg = p};
	loop_hook_add(p->loop, &p->hook);
	*backend = p;
	return 0;
}

static int console_open(void **backend, const struct backend_options *options,
			const struct backend_events *events, struct err *err)
{
	(void)err;
	return plain_open(backend, options, events, STDOUT_FILENO);
}

static int null_open(void **backend, const struct backend_options *options,
		     const struct backend_events *events, struct err *err)
{
	(void)err;
	return plain_open(backend, options, events, -1);
}

static int print(struct plain *p, const struct batch *b)
{
	/* The payload may hold bytes between lines that belong to no event. */
	buf_clear(&p->lines);
	for (uint32_t i = 0; i < b->header.events; i++)
		buf_append(&p->lines, b->payload + b->events[i].offset,
			   b->events[i].bytes + 1);
	if (io_write_all(p->fd, p->lines.data, p->lines.used) != p->lines.used)
		return err_errno(&p->err, errno,
				 "cannot write to standard output");
	return 0;
}

static bool plain_produce(void *backend, struct batch *b, uint64_t next)
{
	struct plain *p = backend;

	if (p->failed)
		return false;
	if (p->fd >= 0 && print(p, b) != 0) {
		p->failed = true;
		return false;
	}
	p->delivered = next;
	return true;
}

static void plain_close(void **backend)
{
	struct plain *p = *backend;

	if (!p)
		return;
	loop_hook_del(p->loop, &p->hook);
	buf_free(&p->lines);
	free(p);
	*backend = NULL;
}

const struct backend backend_console = {
    .name = "console",
    .open = console_open,
    .produce = plain_produce,
    .close = plain_close,
};

const struct backend backend_null = {
    .name = "null",
    .open = null_open,
    .produce = plain_produce,
    .close = plain_close,
};

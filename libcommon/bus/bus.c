#include "bus/bus.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/alloc.h"
#include "bus/context.h"
#include "bus/socket.h"

#define MMAP_FROM_BYTES (1 << 20)
#define KEEP_BYTES	(8 << 20)

/*
 * Runs before each wait. A socket that fired and that no part emptied is looked
 * at here, or its descriptor would fire for ever; the parts then have another
 * turn. One that says no by itself needs no look: it fires when that changes.
 */
static bool turn(void *arg)
{
	struct bus *bus = arg;
	bool busy = false;

	for (struct bus_part *p = bus->parts, *next; p; p = next) {
		next = p->next;
		busy |= p->turn(p->arg);
	}
	for (struct bus_socket *s = bus->sockets; s; s = s->next)
		if (s->fired) {
			bus_socket_look(s);
			busy = true;
		}
	return busy;
}

/*
 * By default each batch of 256 KiB comes in pages fresh from the kernel and
 * gives them back, which cost a seventh of all CPU time on the bus. So freed
 * memory is kept, some of it, for the next batch.
 */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
}

struct bus *bus_new(struct loop *loop)
{
	struct bus *bus = xcalloc(1, sizeof(*bus));

	keep_memory();
	bus->loop = loop;
	bus->zmq = zmq_ctx_new();
	if (!bus->zmq)
		abort();
	bus->hook = (struct loop_hook){.fn = turn, .arg = bus};
	loop_hook_add(loop, &bus->hook);
	return bus;
}

void bus_free(struct bus **bus)
{
	struct bus *gone = *bus;

	if (!gone)
		return;
	assert(!gone->parts && !gone->sockets);
	loop_hook_del(gone->loop, &gone->hook);
	/* Interrupted by a signal it must be called again, or threads leak. */
	while (zmq_ctx_term(gone->zmq) != 0 && zmq_errno() == EINTR)
		;
	free(gone);
	*bus = NULL;
}

struct loop *bus_loop(const struct bus *bus)
{
	return bus->loop;
}

void bus_part_add(struct bus *bus, struct bus_part *part)
{
	part->next = bus->parts;
	bus->parts = part;
}

void bus_part_del(struct bus *bus, struct bus_part *part)
{
	for (struct bus_part **at = &bus->parts; *at; at = &(*at)->next)
		if (*at == part) {
			*at = part->next;
			return;
		}
}

#include "bus/bus.h"

#include <assert.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/alloc.h"
#include "bus/context.h"
#include "bus/socket.h"

/*
 * Runs before each wait. A socket that was used in this turn, or whose news no
 * part wanted, is looked at once more before the loop may sleep, so a turn that
 * did work is followed by another, and the last one finds nothing.
 */
static bool turn(void *arg)
{
	struct bus *bus = arg;
	bool busy = false;

	for (struct bus_part *p = bus->parts, *next; p; p = next) {
		next = p->next;
		p->turn(p->arg);
	}
	for (struct bus_socket *s = bus->sockets; s; s = s->next) {
		busy |= s->check;
		bus_socket_events(s);
	}
	return busy;
}

struct bus *bus_new(struct loop *loop)
{
	struct bus *bus = xcalloc(1, sizeof(*bus));

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

/*
 * The listening sockets of services, held by weftd: while a service restarts,
 * connections wait in the kernel's queue and nobody is refused.
 */
#ifndef WEFT_SUPERVISOR_LISTEN_H
#define WEFT_SUPERVISOR_LISTEN_H

#include "base/err.h"
#include "conf/conf.h"

/*
 * The address that a service row has under the key "listen", or NULL when it
 * has none, or one that is no TCP address (unix:…).
 */
const char *listen_address(const struct conf_service *service);

/*
 * Binds and listens at "address:port" or "[v6]:port" (port 0: a free one).
 * Returns the descriptor, or -1 with an *err that names the address.
 */
int listen_open(const char *address, struct err *err) MUST_CHECK;

/* Where it listens: text[128] gets "address:port". Returns text. */
const char *listen_format(int fd, char text[128]);

#endif

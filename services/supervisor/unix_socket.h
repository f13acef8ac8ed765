/* The supervisor's own sockets in run_dir, for nobody but its user. */
#ifndef WEFT_SUPERVISOR_UNIX_SOCKET_H
#define WEFT_SUPERVISOR_UNIX_SOCKET_H

#include "base/err.h"

/*
 * A socket of `type` (SOCK_STREAM, SOCK_DGRAM), bound to `path` with mode 0600
 * from its first moment; one of an earlier life is removed. Returns it, not
 * blocking, or -1. The umask is changed meanwhile: main thread only.
 */
int unix_socket_bind(const char *path, int type, struct err *err) MUST_CHECK;

#endif

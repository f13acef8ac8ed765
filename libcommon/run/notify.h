/* Readiness and liveness for weftd or systemd: the sd_notify(3) protocol. */
#ifndef WEFT_RUN_NOTIFY_H
#define WEFT_RUN_NOTIFY_H

#include <stdint.h>

/*
 * Sends one notification ("READY=1", "STATUS=…") to $NOTIFY_SOCKET, a datagram
 * socket by path or, with '@', by abstract name. Without the variable, or when
 * the receiver is gone or full, nothing happens: a service also runs alone.
 */
void notify_send(const char *message);

/*
 * How often to send WATCHDOG=1, in microseconds: half of $WATCHDOG_USEC, or 0
 * when no watchdog is wanted or $WATCHDOG_PID names another process.
 */
int64_t notify_watchdog_us(void);

#endif

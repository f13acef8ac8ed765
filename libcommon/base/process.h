/* What a process does for its own safety. */
#ifndef WEFT_BASE_PROCESS_H
#define WEFT_BASE_PROCESS_H

/*
 * Keeps memory and environment of this process, which hold secrets and
 * payloads, from others of the same user and from disks: no core dump, no
 * ptrace, nothing of it in /proc but to root (prctl(2) PR_SET_DUMPABLE,
 * core(5)). Lasts over fork(), not over execve(). First thing in main().
 */
void process_keep_private(void);

#endif

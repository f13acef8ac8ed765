/*
 * What the programs under tests/power share. Each has two lives:
 *
 *   power_x run FOLDER SEED STEPS PROMISES
 *       works in FOLDER, which holds what a loss of power left of the promises
 *       in that file (none: ""), under tests/preload/recorddisk.c
 *   power_x check
 *       for each line "FOLDER PROMISES" of its input, opens what is in FOLDER
 *       and compares it with the promises; answers with a line "ok" or "bad …"
 */
#ifndef WEFT_TESTS_POWER_COMMON_H
#define WEFT_TESTS_POWER_COMMON_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "proto/batch.h"

/* Says something to the world; must hold whenever power goes from now on. */
void promise(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the check of this state, or the run, with what is wrong. */
void bad(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

#define MUST(condition, ...)              \
	do {                              \
		if (!(condition))         \
			bad(__VA_ARGS__); \
	} while (0)

/* The same numbers from the same seed. */
struct draw {
	uint64_t state;
};
void draw_seed(struct draw *d, uint64_t seed);
uint64_t draw(struct draw *d, uint64_t below);

/* All lines of a promises file; one string each, owned by the caller. "" gives
 * none. */
char **read_promises(const char *path, size_t *count);

struct subject {
	void (*run)(const char *folder, uint64_t seed, uint64_t steps,
		    const char *promises);
	void (*check)(const char *folder, const char *promises);
};
int power_main(int argc, char **argv, const struct subject *subject);

/* A batch of `events` events of about `bytes` bytes, told apart by sequence. */
struct batch *make_batch(struct batch_builder *w, uint64_t sequence,
			 uint32_t events, size_t bytes);

/* The sequence that make_batch() was given, from its payload. */
uint64_t sequence_of(const struct batch *b);

#endif

/*
 * Lines that were mapped before, from a dead letter of a table or from the raw
 * archive: they go into a batch as they are, once it is certain that they are
 * events of a contract and rows of its table.
 */
#ifndef WEFT_CONTRACT_MAPPED_H
#define WEFT_CONTRACT_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

#include "contract/intake.h"

/* Parser memory, and the line at hand. One thread. */
struct mapped;
struct mapped *mapped_new(void);
void mapped_free(struct mapped **m);

/*
 * Parses a line, borrowed until the next call, and finds its contract: the one
 * of that name, or, with NULL, the one that takes its event_type and members.
 * -1 with *error.
 */
int mapped_open(struct mapped *m, const struct contract_set *set,
		const char *stream, const char *line, size_t bytes,
		struct intake_error *error) MUST_CHECK;

/* Of the line at hand. */
const struct contract *mapped_contract(const struct mapped *m);
/* Its event_time in *at_us; false when it has none that is a time. */
bool mapped_time(const struct mapped *m, int64_t *at_us);

/*
 * Appends the line at hand. It must have an identity (INTAKE_MISSING_FIELD),
 * one that its members tell (INTAKE_MASKED), and values that its columns take
 * (INTAKE_NOT_A_ROW). w has room for a line of the largest size. -1 with
 * *error; then w is as it was.
 */
int mapped_put(struct mapped *m, struct batch_builder *w,
	       struct intake_error *error) MUST_CHECK;

/*
 * Whether the event appended to w last, of a contract, is a row of its table:
 * -1 with *error, and w is as it was without it. `before` is
 * batch_builder_offset() before it.
 */
int mapped_check_last(struct mapped *m, const struct contract *contract,
		      struct batch_builder *w, uint32_t before,
		      struct intake_error *error) MUST_CHECK;

/* Whether some event of this type may be one of that contract. */
bool mapped_takes(const struct contract_set *set, const char *stream,
		  const char *type, size_t type_bytes);

#endif

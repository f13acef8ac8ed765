/* Finds the contract of an event; private to this folder. */
#ifndef WEFT_CONTRACT_MATCH_H
#define WEFT_CONTRACT_MATCH_H

#include "contract/json.h"
#include "contract/model.h"

/*
 * The best contract for an event of this type (NULL, 0 without one) with these
 * members, or NULL.
 */
const struct model *match_event(const struct contract_set *set,
				const char *type, size_t type_bytes,
				const struct json_member *members,
				uint32_t member_count);

/* The model of a name, or NULL. */
const struct model *match_name(const struct contract_set *set, const char *name,
			       size_t bytes);

#endif

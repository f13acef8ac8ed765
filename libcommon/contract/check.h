/* Checks one value against its rule; private to this folder. */
#ifndef WEFT_CONTRACT_CHECK_H
#define WEFT_CONTRACT_CHECK_H

#include "contract/intake.h"
#include "contract/json.h"
#include "contract/model.h"

/* What was wrong, and where. */
struct finding {
	enum intake_code code;
	bool fits; /* the value has its type, but breaks a limit */
	char field[64];
	char text[200];
};

/*
 * Checks a non-null value. Returns true when it is fine; *f is only written
 * when not. `nul`: a string in the value has U+0000.
 */
bool check_value(const struct rule *rule, yyjson_val *v, bool nul,
		 struct finding *f) MUST_CHECK;

/*
 * True for what most values are, a string that may be any of at most so many
 * bytes: it is fine. Others are check_value()'s.
 */
static inline bool check_is_plain(const struct rule *rule, const yyjson_val *v,
				  bool nul)
{
	return rule->type == CONTRACT_STRING &&
	       json_type(v) == YYJSON_TYPE_STR && !nul &&
	       (rule->checks == 0 || (rule->checks == RULE_LENGTH &&
				      json_len(v) <= rule->max_length));
}

/*
 * The first value that is not null at the paths of a gathered rule, looked for
 * among j's members from `first` on; or NULL.
 */
yyjson_val *rule_gather(const struct rule *rule, const struct json *j,
			uint32_t first);

/* Fills *f and returns false. The text is cut to fit. */
bool finding_set(struct finding *f, enum intake_code code, const char *field,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Characters (code points) of valid UTF-8. */
size_t utf8_length(const char *text, size_t bytes);

#endif

/* Members of an event: `,"name":value`. */
#include "services/generator/events_inside.h"

void member_key(struct events *e, const char *name)
{
	struct buf *out = e->out;

	buf_append(out, ",\"", 2);
	buf_text(out, name);
	buf_append(out, "\":", 2);
}

void member_text(struct events *e, const char *name, const char *value)
{
	member_key(e, name);
	buf_char(e->out, '"');
	buf_text(e->out, value);
	buf_char(e->out, '"');
}

void member_digits(struct buf *out, uint64_t value, int least)
{
	char reversed[20];
	int n = 0;

	do {
		reversed[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value || n < least);
	while (n)
		buf_char(out, reversed[--n]);
}

void member_number(struct events *e, const char *name, uint32_t value)
{
	member_key(e, name);
	member_digits(e->out, value, 1);
}

void member_money(struct events *e, const char *name, uint32_t most)
{
	int decimals = random_below(&e->random, 8)
			   ? 2
			   : (int)random_between(&e->random, 3, 6);
	uint32_t scale = 1;

	for (int i = 0; i < decimals; i++)
		scale *= 10;
	member_key(e, name);
	member_digits(e->out, random_below(&e->random, most), 1);
	buf_char(e->out, '.');
	member_digits(e->out, random_below(&e->random, scale), decimals);
}

void member_flag(struct events *e, const char *name, bool value)
{
	member_key(e, name);
	buf_text(e->out, value ? "true" : "false");
}

void member_prefixed(struct events *e, const char *name, const char *prefix,
		     uint32_t value)
{
	member_key(e, name);
	buf_char(e->out, '"');
	buf_text(e->out, prefix);
	member_digits(e->out, value, 4);
	buf_char(e->out, '"');
}

/* pipelinectl dlq drop: letters that nobody wants any more. */
#include <inttypes.h>
#include <stdio.h>

#include "services/lake/dlq_change.h"

static int tell_drop(struct change *ch, bool done, struct err *err)
{
	struct buf codes = {0};
	int rc = letters_counts(&ch->letters,
				"SELECT code, count(*) FROM chosen GROUP BY "
				"code ORDER BY 2 DESC, 1",
				&codes, NULL, err);

	if (rc == 0 && ch->a->form == FORM_JSON)
		printf("{\"dry_run\":%s,\"dropped\":%" PRId64 "}\n",
		       done ? "false" : "true", ch->chosen);
	else if (rc == 0 && ch->chosen)
		printf("%s %" PRId64 " letter%s: %s\n",
		       done ? "dropped" : "would drop", ch->chosen,
		       ch->chosen == 1 ? "" : "s", buf_str(&codes));
	buf_free(&codes);
	return rc;
}

static int drop(struct change *ch, struct err *err)
{
	if (sending_open(&ch->sending, &ch->letters, ch->a, err) != 0 ||
	    change_note(ch, "SELECT n FROM chosen", "dropped", err) != 0 ||
	    change_check_noted(ch, err) != 0)
		return -1;
	return tell_drop(ch, true, err);
}

int command_dlq_drop(const struct args *a, struct catalog *c, struct err *err)
{
	bool wanted = a->events.yes && !a->events.dry_run;
	struct change ch;
	int rc = change_open(&ch, a, c, err), code;

	if (rc == 0 && ch.chosen && wanted)
		rc = drop(&ch, err);
	else if (rc == 0)
		rc = tell_drop(&ch, false, err);
	code = rc == 0 ? EXIT_DONE : EXIT_FAILED;
	if (rc == 0 && ch.chosen && !wanted && !a->events.dry_run) {
		err->text[0] = '\0';
		fprintf(stderr, "pipelinectl dlq drop: nothing was done; --yes "
				"drops them\n");
		code = EXIT_USAGE;
	}
	change_close(&ch);
	return code;
}

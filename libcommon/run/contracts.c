#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/log.h"
#include "run/private.h"

static char *pin_dir(const struct conf *conf)
{
	return xasprintf("%s/contracts", conf->pipeline->state_dir);
}

int contracts_read(const struct run *run, const struct conf *conf,
		   struct contract_set **set, struct err *err)
{
	const char *dir = conf->pipeline->contracts;
	struct contract_report report = {0};
	char *pins = pin_dir(conf);
	int rc = -1;

	if (contract_set_load(set, dir, run->secret, run->secret_bytes,
			      &report) != 0)
		err_set(err, EINVAL, "%u errors in the contracts of %s: %s",
			report.errors, dir, buf_str(&report.lines));
	else if (durable_mkdir(pins, err) == 0 &&
		 contract_set_check_versions(*set, pins, err) == 0 &&
		 contract_set_pin(*set, pins, err) == 0)
		rc = 0;
	if (rc != 0)
		contract_set_unref(set);
	contract_report_free(&report);
	free(pins);
	return rc;
}

void contracts_take(struct run *run, struct contract_set *set)
{
	contract_set_unref(&run->contracts);
	run->contracts = set;
}

struct contract_set *run_contracts(struct run *run)
{
	return run->contracts;
}

struct contract_set *run_contracts_of(struct run *run, uint64_t hash,
				      struct err *err)
{
	struct contract_set *set = NULL;
	char *pins;

	if (run->contracts && contract_set_hash(run->contracts) == hash)
		return run->contracts;
	if (run->pinned && contract_set_hash(run->pinned) == hash)
		return run->pinned;
	pins = pin_dir(run->conf);
	if (contract_set_load_pinned(&set, pins, hash, run->secret,
				     run->secret_bytes, err) == 0) {
		contract_set_unref(&run->pinned);
		run->pinned = set;
	}
	free(pins);
	return set;
}

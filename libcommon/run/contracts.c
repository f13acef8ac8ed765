#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/durable.h"
#include "base/log.h"
#include "run/private.h"

static char *pin_dir(const struct run *run)
{
	return xasprintf("%s/contracts", run->conf->pipeline->state_dir);
}

int contracts_load(struct run *run, struct err *err)
{
	const char *dir = run->conf->pipeline->contracts;
	struct contract_report report = {0};
	struct contract_set *set = NULL;
	char *pins = NULL;
	int rc = -1;

	if (!run->secret_bytes && secret_load(run, err) != 0)
		return -1;
	if (contract_set_load(&set, dir, run->secret, run->secret_bytes,
			      &report) != 0) {
		err_set(err, EINVAL, "%u errors in the contracts of %s: %s",
			report.errors, dir, buf_str(&report.lines));
		goto out;
	}
	pins = pin_dir(run);
	if (durable_mkdir(pins, err) != 0 ||
	    contract_set_check_versions(set, pins, err) != 0 ||
	    contract_set_pin(set, pins, err) != 0)
		goto out;
	contract_set_unref(&run->contracts);
	run->contracts = set;
	set = NULL;
	rc = 0;
out:
	contract_set_unref(&set);
	contract_report_free(&report);
	free(pins);
	return rc;
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
	pins = pin_dir(run);
	if (contract_set_load_pinned(&set, pins, hash, run->secret,
				     run->secret_bytes, err) == 0) {
		contract_set_unref(&run->pinned);
		run->pinned = set;
	}
	free(pins);
	return set;
}

#include "base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void process_keep_private(void)
{
	struct rlimit no_core = {0, 0};

	/* Either is enough where it works; neither can fail for want of
	 * rights. */
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
}

/* Where the programs are that people do not call themselves. */
#ifndef WEFT_PIPELINECTL_LIBEXEC_H
#define WEFT_PIPELINECTL_LIBEXEC_H

#include <limits.h>

#include "base/err.h"

/*
 * The path of a program: in $WEFT_LIBEXEC, else in ../libexec/weft beside bin/,
 * as built and as installed. -1 with *err when it cannot be executed.
 */
int libexec_find(const char *program, char path[PATH_MAX],
		 struct err *err) MUST_CHECK;

#endif

/* The generator as a command: one bounded run against a collector. */
#ifndef WEFT_SERVICES_GENERATOR_CLI_H
#define WEFT_SERVICES_GENERATOR_CLI_H

#include <stdbool.h>

/* Whether the arguments ask for a run of its own: one is an option of it. */
bool cli_wanted(int argc, char **argv);

/*
 * Runs and prints the report on standard output, progress on a terminal's
 * standard error. Exit code: 0 when each answer was as expected, 1 when not, 2
 * for wrong usage.
 */
int cli_main(int argc, char **argv);

#endif

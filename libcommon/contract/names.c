#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "contract/compile.h"

/*
 * Words that at least one of PostgreSQL (reserved, appendix C of its manual),
 * KQL (keywords and type names) and Spark SQL's ANSI mode will not take as a
 * bare column name.
 */
static const char *const reserved[] = {
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "binary",
    "bool",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "contains",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "datatable",
    "datetime",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "dynamic",
    "else",
    "end",
    "evaluate",
    "except",
    "extend",
    "externaldata",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "guid",
    "has",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "int",
    "intersect",
    "into",
    "invoke",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "let",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "long",
    "lookup",
    "materialize",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "project",
    "range",
    "real",
    "reduce",
    "references",
    "render",
    "returning",
    "right",
    "select",
    "serialize",
    "session_user",
    "set",
    "similar",
    "some",
    "string",
    "summarize",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "timespan",
    "to",
    "toscalar",
    "trailing",
    "true",
    "typeof",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
};

bool check_plain_name(struct compiler *c, const config_setting_t *at,
		      const char *name)
{
	size_t bytes = strlen(name);
	bool plain = isalpha((unsigned char)name[0]) || name[0] == '_';

	for (size_t i = 1; plain && i < bytes; i++)
		plain = isalnum((unsigned char)name[i]) || name[i] == '_';
	if (!plain || bytes > MODEL_MAX_NAME_BYTES) {
		report_error(c, at,
			     "name \"%.80s\" must be a letter or _ followed by "
			     "letters, digits or _, at most %d in all",
			     name, MODEL_MAX_NAME_BYTES);
		return false;
	}
	return true;
}

static bool is_reserved(const char *name)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		if (strcasecmp(reserved[i], name) == 0)
			return true;
	return false;
}

bool check_name(struct compiler *c, const config_setting_t *at,
		const char *name)
{
	if (!check_plain_name(c, at, name))
		return false;
	if (!is_reserved(name))
		return true;
	report_error(c, at,
		     "name \"%s\" is a reserved word in SQL or KQL; choose "
		     "another and say from = \"%s\"",
		     name, name);
	return false;
}

bool check_table(struct compiler *c, const config_setting_t *at,
		 const char *name)
{
	size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	if (name[bytes] || !bytes || bytes > MODEL_MAX_TABLE_BYTES ||
	    isdigit((unsigned char)name[0])) {
		report_error(c, at,
			     "table \"%.150s\" must be a lower-case letter or "
			     "_ followed by such letters, digits or _, at most "
			     "%d in all",
			     name, MODEL_MAX_TABLE_BYTES);
		return false;
	}
	if (is_reserved(name)) {
		report_error(c, at,
			     "table \"%s\" is a reserved word in SQL or KQL; "
			     "choose another",
			     name);
		return false;
	}
	return true;
}

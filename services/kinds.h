/* The catalogue of all services, made of services/pipeline.def. */
#ifndef WEFT_SERVICES_KINDS_H
#define WEFT_SERVICES_KINDS_H

#include "conf/conf.h"

extern const struct conf_kinds weft_kinds;

#endif

# Weft: one non-recursive makefile. `make help` lists what a person calls.
#
# Everything is found by where it lies: a .c file in libcommon/<layer>/ or
# proto/ goes into libweft.a; services/<name>/ becomes one binary; a
# tests/unit/test_<x>.c becomes one unit test. Adding a file needs no edit here.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VERSION := $(shell cat VERSION)
BUILD ?= build
CC ?= gcc
OPT ?= -O2
PREFIX ?= /usr
SANITIZE ?=

PACKAGES := libzmq libczmq libcjson libconfig yyjson libllhttp openssl \
	libxxhash libzstd zlib libisal
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Werror
CPPFLAGS += -D_GNU_SOURCE -DWEFT_VERSION='"$(VERSION)"' -I. -Ilibcommon \
	-I$(BUILD)/gen
CFLAGS += -std=c11 -g $(OPT) $(WARN) -fno-strict-aliasing \
	-fstack-protector-strong $(SANITIZE) $(PKG_CFLAGS)
LDFLAGS += -Wl,--as-needed $(SANITIZE)
LDLIBS := $(PKG_LIBS) -lpthread -lm

# services/pipeline.def names each service once: SERVICE(id, "name", ...).
SERVICES := $(shell sed -n 's/^SERVICE.[a-z_]*, "\([a-z-]*\)".*/\1/p' \
	services/pipeline.def 2>/dev/null)
PROGRAMS := $(if $(wildcard services/pipelinectl/*.c),$(BUILD)/bin/pipelinectl) \
	$(if $(wildcard services/supervisor/*.c),$(BUILD)/libexec/weft/weftd) \
	$(foreach s,$(SERVICES),$(if $(filter-out %/tables.c,$(wildcard \
	services/$(s)/*.c)),$(BUILD)/libexec/weft/$(s)))

LIB_SRC := $(wildcard libcommon/*/*.c proto/*.c)
TABLE_SRC := services/kinds.c $(wildcard services/*/tables.c)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
TABLE_OBJ := $(TABLE_SRC:%.c=$(BUILD)/obj/%.o)
LIB := $(BUILD)/lib/libweft.a
TABLES := $(BUILD)/lib/libtables.a
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))

.PHONY: all help check check-unit clean
all: $(PROGRAMS) ## build everything

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | \
		expand -t 24

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
$(TABLES): $(TABLE_OBJ)
$(LIB) $(TABLES):
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

svc_obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out \
	services/$(1)/tables.c,$(wildcard services/$(1)/*.c)))

define program_rule
$(1): $(call svc_obj,$(2)) $(TABLES) $(LIB)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIB) $$(LDLIBS)
endef
$(foreach s,$(SERVICES),$(eval $(call \
	program_rule,$(BUILD)/libexec/weft/$(s),$(s))))
$(eval $(call program_rule,$(BUILD)/libexec/weft/weftd,supervisor))
$(eval $(call program_rule,$(BUILD)/bin/pipelinectl,pipelinectl))

$(BUILD)/tests/%: tests/unit/%.c $(TABLES) $(LIB)
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(TEST_OBJ) \
		$(LDFLAGS) $(TABLES) $(LIB) $(LDLIBS) -lcmocka

check: check-unit ## all quick tests, with their own set-up

check-unit: $(UNIT) ## unit tests only (T=name runs one)
	@set -e; for t in $(if $(T),$(BUILD)/tests/test_$(T),$(UNIT)); do \
		$$t; done

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(LIB_OBJ:.o=.d) $(TABLE_OBJ:.o=.d) $(UNIT:=.d)
-include $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard services/*/*.c))

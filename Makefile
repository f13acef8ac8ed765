# Weft: one non-recursive makefile. `make help` lists what a person calls.
#
# Everything is found by where it lies, and adding a file needs no edit here:
#   libcommon/<layer>/*.c, proto/*.c   go into libweft.a
#   services/<name>/*.c                one program each (see pipeline.def)
#   services/<name>/tables.c           go into libtables.a, read by all programs
#   tests/unit/test_<x>.c              one unit test each; a test of a service's
#       own files names them in a line such as
#       "LINK: services/collector/accept.c services/collector/reply.c"
#   tests/preload/<x>.c                one LD_PRELOAD shim each
#   tests/tools/<x>.c                  one program each, for system tests
#   tests/fuzz/fuzz_<x>.c              one fuzz target each, with its seeds
#   tests/power/power_<x>.c            one program each, for loss of power
#
# V=1 shows the commands. BUILD= OPT= SANITIZE= DEFINES= choose a build;
# FAILPOINTS=1 BUILD=build/chaos that of `make chaos`, which can be killed at
# each FAILPOINT.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VERSION := $(shell cat VERSION)
BUILD ?= build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
OPT ?= -O2
SANITIZE ?=
DEFINES ?=
FAILPOINTS ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
JOBS ?= $(shell nproc)
V ?=
Q := $(if $(V),,@)
comma := ,

# --- flags -------------------------------------------------------------------

PACKAGES := libzmq libczmq libcjson libconfig yyjson libllhttp openssl \
	libxxhash libzstd zlib libisal rdkafka libcurl expat
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
# DuckDB comes from scripts/deps/fetch. Programs find it beside them, in the
# build folder and where they were installed; --as-needed sees to it that only
# those load its 70 MB that call it.
DUCKDB := $(if $(wildcard .deps/duckdb/stamp),.deps/duckdb)
DUCKDB_CFLAGS := $(if $(DUCKDB),-isystem $(DUCKDB)/include)
DUCKDB_LIBS := $(if $(DUCKDB),-L$(DUCKDB)/lib -lduckdb \
	-Wl$(comma)-rpath$(comma)'$$ORIGIN/lib:$$ORIGIN/../libexec/weft/lib')
DUCKDB_BUILT := $(if $(DUCKDB),$(BUILD)/libexec/weft/lib/libduckdb.so)
# What `pipelinectl version` names: "libzmq 4.3.5 zlib 1.3 …".
LIBRARIES := $(shell paste -d' ' <(printf '%s\n' $(PACKAGES)) \
	<(pkg-config --modversion $(PACKAGES) 2>/dev/null)) \
	$(if $(DUCKDB),duckdb $(shell cat $(DUCKDB)/version))
WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Werror
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection \
	$(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
# Fortified calls hide from the sanitizers what they look for, and need -O.
FORTIFY := $(if $(SANITIZE),,$(if $(filter -O2 -O3,$(OPT)),\
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
CPPFLAGS += -D_GNU_SOURCE -DWEFT_VERSION='"$(VERSION)"' \
	-DWEFT_LIBRARIES='"$(LIBRARIES)"' -I. -Ilibcommon \
	-I$(BUILD)/gen $(FORTIFY) $(DEFINES) \
	$(if $(FAILPOINTS),-DWEFT_FAILPOINTS)
CFLAGS += -std=c11 -g $(OPT) $(WARN) -fno-strict-aliasing $(HARDEN) \
	$(SANITIZE) $(PKG_CFLAGS) $(DUCKDB_CFLAGS)
LDFLAGS += -pie -Wl,--as-needed -Wl,-z,relro -Wl,-z,now $(SANITIZE)
LDLIBS := $(PKG_LIBS) $(DUCKDB_LIBS) -lpthread -lm
# The publisher alone: librdkafka makes six blocks of memory for a message with
# its headers, an eighth of what an event costs there with libc's allocator.
JEMALLOC_LIBS := $(if $(SANITIZE),,$(shell pkg-config --libs jemalloc \
	2>/dev/null))

# What is compiled depends on this file, so that new flags rebuild it.
FLAGS := $(BUILD)/flags
$(FLAGS): export FLAGS_NOW = $(CC) $(shell $(CC) -dumpfullversion 2>/dev/null) \
	$(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS)
$(FLAGS): .FORCE
	@mkdir -p $(@D)
	@[[ -f $@ && $$(<$@) == "$$FLAGS_NOW" ]] || echo "$$FLAGS_NOW" >$@
.PHONY: .FORCE

# --- what there is -----------------------------------------------------------

# services/pipeline.def names each service once: SERVICE(id, "name", ...).
SERVICES := $(shell sed -n 's/^SERVICE.[a-z_]*, "\([a-z-]*\)".*/\1/p' \
	services/pipeline.def 2>/dev/null)
PROGRAMS := $(if $(wildcard services/pipelinectl/*.c),$(BUILD)/bin/pipelinectl) \
	$(if $(wildcard services/supervisor/*.c),$(BUILD)/libexec/weft/weftd) \
	$(if $(wildcard services/lake/*.c),$(BUILD)/libexec/weft/lake) \
	$(foreach s,$(SERVICES),$(if $(filter-out %/tables.c,$(wildcard \
	services/$(s)/*.c)),$(BUILD)/libexec/weft/$(s)))

LIB_SRC := $(wildcard libcommon/*/*.c proto/*.c)
TABLE_SRC := services/kinds.c $(wildcard services/*/tables.c)
SERVICE_SRC := $(filter-out $(TABLE_SRC),$(wildcard services/*/*.c))
UNIT_SRC := $(wildcard tests/unit/test_*.c)
MICRO_SRC := tests/bench/micro_contract.c tests/bench/micro_rows.c
MICRO_MORE := $(addprefix services/generator/,events.c families.c members.c)
MICRO := $(MICRO_SRC:tests/bench/%.c=$(BUILD)/tests/%)
PRELOAD_SRC := $(wildcard tests/preload/*.c)
TOOLS_SRC := $(wildcard tests/tools/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
POWER_SRC := $(wildcard tests/power/*.c)
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIB := $(BUILD)/lib/libweft.a
TABLES := $(BUILD)/lib/libtables.a
UNIT := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
PRELOAD := $(PRELOAD_SRC:tests/preload/%.c=$(BUILD)/tests/preload/%.so)
TOOLS := $(TOOLS_SRC:tests/tools/%.c=$(BUILD)/tests/%)
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(filter tests/fuzz/fuzz_%,\
	$(FUZZ_SRC)))
POWER := $(patsubst tests/power/%.c,$(BUILD)/tests/%, \
	$(wildcard tests/power/power_*.c))

.PHONY: all help
all: $(PROGRAMS) ## build everything

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | \
		expand -t 24

# --- how it is built ---------------------------------------------------------

$(BUILD)/obj/%.o: %.c $(FLAGS)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A source that went away must leave the library too.
$(BUILD)/lib/%.list: .FORCE
	@mkdir -p $(@D)
	@[[ -f $@ && $$(<$@) == "$(MEMBERS)" ]] || echo "$(MEMBERS)" >$@
$(BUILD)/lib/libweft.list: MEMBERS = $(LIB_SRC)
$(BUILD)/lib/libtables.list: MEMBERS = $(TABLE_SRC)

$(LIB): $(call objects,$(LIB_SRC)) $(BUILD)/lib/libweft.list
$(TABLES): $(call objects,$(TABLE_SRC)) $(BUILD)/lib/libtables.list
$(LIB) $(TABLES):
	@rm -f $@
	@ar rcs $@ $(filter %.o,$^)

$(PROGRAMS) $(UNIT) $(TOOLS) $(FUZZ) $(POWER): | $(DUCKDB_BUILT)
$(BUILD)/libexec/weft/lib/libduckdb.so: $(DUCKDB)/lib/libduckdb.so
	@mkdir -p $(@D)
	@ln -sf $(abspath $<) $@

# libtables refers to libweft and back, so libweft is named on both sides.
define program_rule
$(1): $(call objects,$(filter services/$(2)/%,$(SERVICE_SRC))) $(TABLES) $(LIB)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIB) $$(LDLIBS)
endef
$(foreach s,$(SERVICES),$(eval $(call \
	program_rule,$(BUILD)/libexec/weft/$(s),$(s))))
$(eval $(call program_rule,$(BUILD)/libexec/weft/weftd,supervisor))
$(eval $(call program_rule,$(BUILD)/libexec/weft/lake,lake))
$(BUILD)/libexec/weft/eventhub-publisher: private LDLIBS += $(JEMALLOC_LIBS)
$(eval $(call program_rule,$(BUILD)/bin/pipelinectl,pipelinectl))

$(UNIT): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(TABLES) $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_OBJ) $(TABLES) \
		$(LIB) $(LDLIBS) -lcmocka
# "tests/unit/test_x.c:LINK: a.c b.c" becomes "build/tests/test_x: a.o b.o".
$(foreach l,$(shell sed -n 's,.*LINK: *\([a-z].*\.c\).*,\1,;T;s/  */|/g;F;p' \
	$(UNIT_SRC) /dev/null | paste -d '|' - -),\
	$(eval $(BUILD)/tests/$(basename $(notdir $(firstword \
	$(subst |, ,$(l))))): $(call objects,$(wordlist 2,99,$(subst |, ,$(l))))))

$(BUILD)/tests/preload/%.so: tests/preload/%.c $(FLAGS)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) -D_GNU_SOURCE -std=c11 -g -O1 $(WARN) -fPIC -shared -o $@ $< -ldl

$(TOOLS): $(BUILD)/tests/%: $(BUILD)/obj/tests/tools/%.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# With FUZZER= a program that runs over seeds, else with libFuzzer.
FUZZER ?=
$(FUZZ) $(BUILD)/fuzz/seeds: $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o \
		$(TABLES) $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) $(FUZZER) -o $@ $(filter %.o,$^) $(TABLES) $(LIB) \
		$(LDLIBS)
$(if $(FUZZER),,$(FUZZ): $(call objects,tests/fuzz/driver.c))
$(foreach l,$(shell sed -n 's,.*LINK: *\([a-z].*\.c\).*,\1,;T;s/  */|/g;F;p' \
	$(FUZZ_SRC) /dev/null | paste -d '|' - -),\
	$(eval $(BUILD)/fuzz/$(basename $(notdir $(firstword \
	$(subst |, ,$(l))))): $(call objects,$(wordlist 2,99,$(subst |, ,$(l))))))

$(POWER): $(BUILD)/tests/%: $(BUILD)/obj/tests/power/%.o \
		$(BUILD)/obj/tests/power/common.o $(TABLES) $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TABLES) $(LIB) $(LDLIBS)

# --- tests -------------------------------------------------------------------

.PHONY: check check-unit check-system check-slow chaos check-distros asan tsan \
	valgrind power model mutants programs-of-tests check-fuzz fuzz \
	fuzz-programs fuzz-seeds
RUN_TESTS = scripts/run-tests --build $(BUILD)
T_UNIT = $(if $(T),$(BUILD)/tests/test_$(T),$(UNIT))

check: ## all quick tests, with their own set-up
	@scripts/bootstrap --tier test
	@$(MAKE) -j$(JOBS) BUILD=$(BUILD) gates format-check
	@$(MAKE) -j$(JOBS) BUILD=$(BUILD) all programs-of-tests
	@$(MAKE) BUILD=$(BUILD) gates-built
	@$(MAKE) -j$(JOBS) BUILD=$(BUILD) lint
	@$(MAKE) check-fuzz
	@$(MAKE) chaos SECONDS=60 CHAOS_TIER=test
	@$(RUN_TESTS) --unit $(UNIT) --system

programs-of-tests: $(UNIT) $(PRELOAD) $(TOOLS) $(POWER)

check-unit: $(T_UNIT) ## unit tests only (T=name runs one)
	@$(RUN_TESTS) --unit $(T_UNIT)

check-system: all $(PRELOAD) $(TOOLS) $(POWER) ## system tests only (T=word selects)
	@$(RUN_TESTS) --system $(if $(T),-k '$(T)')

CUTS ?= 1000
power: $(POWER) $(PRELOAD) ## what CUTS=1000 losses of power leave of logs and tables
	@$(PYTHON) tests/power/run --build $(BUILD) --cuts $(CUTS) \
		$(if $(SEED),--seed $(SEED))

model: ## the bus's protocol, by spin: what it promises, and each rule's need
	@$(PYTHON) tests/model/run
	@$(PYTHON) tests/model/run --mutants

mutants: programs-of-tests ## break one promise at a time: a test must notice
	@$(PYTHON) tests/mutants/run --build $(BUILD) $(M)

check-slow: valgrind ## valgrind, and the tests marked slow
	@$(MAKE) -j$(JOBS) all programs-of-tests
	@$(RUN_TESTS) --system -m slow
	@$(MAKE) mutants

SECONDS ?= 60
CHAOS = tests/chaos/run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) \
	$(if $(REPORT),--report $(REPORT))
CHAOS_TIER ?= chaos
chaos: ## kill and disturb everything while events flow (SECONDS= SEED= REPORT=)
	@scripts/bootstrap --tier $(CHAOS_TIER)
	@$(MAKE) -j$(JOBS) BUILD=build/chaos FAILPOINTS=1 all \
		build/chaos/tests/preload/mishap.so
	@.venv/bin/python $(CHAOS)

check-distros: ## build and unit tests in fresh Debian roots (needs root)
	@scripts/check-distros

UBSAN := -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN_BUILD := BUILD=build/asan OPT="-O1 -fno-omit-frame-pointer" \
	SANITIZE="$(UBSAN)"
asan: ## all tests under the address and undefined-behaviour sanitizers
	@scripts/bootstrap --tier test
	@$(MAKE) -j$(JOBS) $(ASAN_BUILD) all programs-of-tests
	@scripts/run-tests --build build/asan \
		--unit $(UNIT:$(BUILD)/%=build/asan/%) --system

tsan: ## unit tests under the thread sanitizer
	@scripts/bootstrap --tier test
	@$(MAKE) -j$(JOBS) BUILD=build/tsan OPT=-O1 \
		SANITIZE="-fsanitize=thread" programs-of-tests
	@scripts/run-tests --build build/tsan --wrap "setarch -R" \
		--unit $(UNIT:$(BUILD)/%=build/tsan/%)

check-fuzz: ## the fuzz targets over their seeds, under the sanitizers
	@$(MAKE) -j$(JOBS) $(ASAN_BUILD) fuzz-programs
	@tests/fuzz/run --build build/asan

fuzz-programs: $(FUZZ)

fuzz: ## search for bad inputs, SECONDS for each target (T=name runs one)
	@scripts/bootstrap --tier fuzz
	@$(MAKE) -j$(JOBS) BUILD=build/fuzz CC=clang WARN=-w FUZZER=-fsanitize=fuzzer \
		OPT="-O1 -fno-omit-frame-pointer" \
		SANITIZE="$(UBSAN) -fsanitize=fuzzer-no-link" fuzz-programs
	@tests/fuzz/run --build build/fuzz --seconds $(SECONDS) $(T)

fuzz-seeds: $(BUILD)/fuzz/seeds ## write the binary seeds of the fuzz targets again
	@$< tests/fuzz/corpus

valgrind: ## unit tests under valgrind
	@scripts/bootstrap --tier test
	@$(MAKE) -j$(JOBS) BUILD=$(BUILD) programs-of-tests
	@$(RUN_TESTS) --wrap "valgrind -q --leak-check=full \
		--errors-for-leak-kinds=definite --error-exitcode=99 \
		--suppressions=tests/valgrind.supp" \
		--unit $(UNIT)

# --- to see it work, and what it costs ----------------------------------------

.PHONY: demo bench bench-contract bench-rows
demo: ## set up, build, run the pipeline on events, reconcile every count
	@BUILD=$(BUILD) scripts/demo

bench: ## CPU-seconds per million events of each process, and of peers
	@scripts/bootstrap --tier bench
	@$(MAKE) -j$(JOBS) BUILD=$(BUILD) all
	@.venv/bin/python tests/bench/run --build $(BUILD)
	@.venv/bin/python tests/bench/peers/run --build $(BUILD)

bench-contract: $(BUILD)/tests/micro_contract ## CPU time of intake and mapper alone
	@$<

bench-rows: $(BUILD)/tests/micro_rows ## CPU time of Parquet from mapped events alone
	@$<

$(MICRO): $(BUILD)/tests/%: $(BUILD)/obj/tests/bench/%.o \
		$(call objects,$(MICRO_MORE)) $(LIB) | $(DUCKDB_BUILT)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# --- gates and lint ----------------------------------------------------------

PYTHON := $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
CLANG_FORMAT = $(firstword $(wildcard .venv/bin/clang-format) clang-format)
CLANG_TIDY = $(firstword $(wildcard .venv/bin/clang-tidy) clang-tidy)
C_FILES := $(wildcard libcommon/*/*.[ch] proto/*.[ch] services/*/*.[ch] \
	services/*.[ch] tests/*/*.[ch])
SHELL_FILES = $(shell grep -lIE '^\#!/bin/(ba)?sh' -d skip \
	$$(git ls-files -co --exclude-standard 2>/dev/null))
TIDY := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(LIB_SRC) $(TABLE_SRC) \
	$(SERVICE_SRC))

.PHONY: gates gates-built lint format format-check tidy shellcheck docs
gates:
	@for g in layers homes names marks sleeps; do \
		$(PYTHON) scripts/gates/$$g || exit; done

# Those that need the programs: what they link, and what they document.
gates-built: all
	@$(if $(PROGRAMS),scripts/gates/linkage $(PROGRAMS))
	@$(if $(wildcard scripts/docs),BUILD=$(BUILD) scripts/docs --check)

lint: gates format-check shellcheck tidy ## gates, format, clang-tidy, shellcheck

format: ## lay out all C files
	@$(CLANG_FORMAT) -i $(C_FILES)

format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES) || \
		{ echo "format: run make format"; exit 1; }

shellcheck:
	@shellcheck $(SHELL_FILES)

tidy: $(TIDY)
$(BUILD)/tidy/%.ok: %.c .clang-tidy $(BUILD)/obj/%.o
	@mkdir -p $(@D)
	@echo "  TIDY  $<"
	$(Q)$(CLANG_TIDY) --quiet $< -- $(filter-out -U% -D_FORTIFY%,$(CPPFLAGS)) \
		-std=c11 $(PKG_CFLAGS) $(DUCKDB_CFLAGS) 2> >(grep -v 'warnings generated' >&2)
	@touch $@

docs: all ## write the generated documents again
	@$(if $(wildcard scripts/docs),BUILD=$(BUILD) scripts/docs)

# --- install and clean -------------------------------------------------------

.PHONY: install clean
INSTALL_PROGRAM = install -D -m 755
INSTALL_DATA = install -D -m 644
install: all ## install to DESTDIR and PREFIX
	@d='$(DESTDIR)$(PREFIX)'; e='$(DESTDIR)$(SYSCONFDIR)/weft'; set -e; \
	for f in $(PROGRAMS); do \
		$(INSTALL_PROGRAM) $$f $$d/$${f#$(BUILD)/}; done; \
	$(if $(DUCKDB),$(INSTALL_DATA) $(DUCKDB)/lib/libduckdb.so \
		$$d/libexec/weft/lib/libduckdb.so; \
	$(INSTALL_DATA) $(DUCKDB)/LICENSE \
		$$d/share/doc/weft/LICENSE.duckdb;) \
	for f in $(shell cd etc && find . -type f ! -name demo.conf); do \
		t=$$e/$${f#./}; \
		if [[ -e $$t ]] && ! cmp -s etc/$$f $$t; then \
			echo "kept $$t as it is; the new one is $$t.new"; \
			t=$$t.new; fi; \
		$(INSTALL_DATA) etc/$$f $$t; done; \
	for f in $(wildcard packaging/man/*.[1-8]); do \
		$(INSTALL_DATA) $$f $$d/share/man/man$${f##*.}/$${f##*/}; done; \
	$(INSTALL_DATA) packaging/completions/pipelinectl.bash \
		$$d/share/bash-completion/completions/pipelinectl; \
	u=$$d/lib/systemd/system/weft.service; \
	$(INSTALL_DATA) packaging/systemd/weft.service $$u; \
	sed -i -e '/^Exec/s,/usr/\(libexec\|bin\)/,$(PREFIX)/\1/,' \
		-e '/^Exec/s, /etc/weft/, $(SYSCONFDIR)/weft/,' $$u; \
	$(INSTALL_DATA) LICENSE $$d/share/doc/weft/LICENSE

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(patsubst %.c,$(BUILD)/obj/%.d,$(LIB_SRC) $(TABLE_SRC) \
	$(SERVICE_SRC) $(UNIT_SRC) $(MICRO_SRC) $(TOOLS_SRC) $(FUZZ_SRC) \
	$(POWER_SRC))

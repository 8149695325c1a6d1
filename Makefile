# `make help` tells what there is.
#
# BUILD=asan and BUILD=tsan build with sanitizers, each in a directory of its own; BUILD=fuzz is what `make fuzz`
# uses. STATIC=1 links without shared libraries, WERROR=1 makes warnings errors, OUT=DIR builds elsewhere, V=1 shows
# the commands.

ifeq ($(origin CC),default)
CC := $(notdir $(shell for c in gcc clang cc; do command -v $$c && break; done))
endif
BUILD ?= plain
CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
       -Wundef -Wformat=2 $(if $(WERROR),-Werror)

# ---- the kinds of build -------------------------------------------------------------------------------------
# Tests that drive whole programs are never instrumented themselves: Criterion does not start under
# ThreadSanitizer, and what counts is what the programs do. They are compiled with TEST_CFLAGS.
TEST_CFLAGS := $(CFLAGS)
# Each compiler has a folder: what one builds with a sanitizer does not link with the other's runtime.
WITH_CLANG = $(if $(findstring clang,$(CC)),-clang)
OUT_asan = build/asan$(WITH_CLANG)
OUT_tsan = build/tsan$(WITH_CLANG)
OUT_fuzz = build/fuzz
SANITIZE_asan = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# gcc's UBSan writes to its own file only when it is linked statically beside ASan; clang's is part of ASan.
SANITIZE_LINK_asan = $(if $(WITH_CLANG),,-static-libubsan)
SANITIZE_tsan = -fsanitize=thread -fno-omit-frame-pointer
SANITIZE_fuzz = $(SANITIZE_asan) -fsanitize=fuzzer-no-link
SANITIZE = $(SANITIZE_$(BUILD))
SANITIZE_LINK = $(SANITIZE) $(SANITIZE_LINK_$(BUILD))
ifeq ($(BUILD),plain)
OUT ?= build
else ifneq ($(SANITIZE),)
OUT ?= $(OUT_$(BUILD))
else
$(error BUILD is '$(BUILD)': use asan or tsan, or leave it out)
endif

# ---- flags --------------------------------------------------------------------------------------------------
# FORTIFY_SOURCE needs the optimiser, and gets between the sanitizers and the calls that they watch.
OPTIMISED = $(filter -O -O1 -O2 -O3 -Os,$(CFLAGS))
HARDEN = -fPIE -fstack-protector-strong \
         $(if $(SANITIZE),,-fstack-clash-protection $(if $(OPTIMISED),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
# Link-time optimisation, where the compiler and its linker have it: small functions of one file are then inlined in
# others. Criterion's tests do without: they put functions of their own in the place of others.
LTO := $(if $(SANITIZE),,$(if $(OPTIMISED),$(shell echo 'int main(void) { return 0; }' | \
         $(CC) -Werror -flto=auto -ffat-lto-objects -x c - -o /dev/null 2>/dev/null && echo -flto=auto)))
BASE = -std=c11 -D_GNU_SOURCE -pthread -Isrc $(WARN) -MMD -MP
ALL_CFLAGS = $(BASE) $(HARDEN) $(LTO:%=% -ffat-lto-objects) $(CFLAGS) $(SANITIZE)
ALL_TEST_CFLAGS = $(BASE) -Itest/lib -fPIE $(TEST_CFLAGS)
# A static program that calls getaddrinfo makes the linker warn of libraries it may want at run time; for files
# and DNS, which is all that a container uses, glibc needs none.
PIE = $(if $(STATIC),-static-pie -Wl$(comma)--no-warnings,-pie)
comma = ,
ALL_LDFLAGS = $(LTO) -pthread -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) $(SANITIZE_LINK)

# Compiler and linker calls are long: what they make is enough to read.
Q = $(if $(V),,@printf '  %-4s %s\n' '$(1)' '$@'; )mkdir -p $(@D) && 

# ---- what there is to build ---------------------------------------------------------------------------------
MAINS = src/master.c src/secondary.c
PROGRAM = src/program.c src/health_check.c src/data_check.c
SHARED = $(filter-out $(MAINS) $(PROGRAM),$(wildcard src/*.c))
HTTP = $(wildcard src/http/*.c)
LOG = $(wildcard src/log/*.c)
REPLICATION = $(wildcard src/replication/*.c)
UI = $(wildcard src/ui/*.c) src/ui/files.S
objects = $(patsubst %.S,$(OUT)/obj/%.o,$(patsubst %.c,$(OUT)/obj/%.o,$(1)))

# A layer with all that it may use. Test programs link just that, so the linker proves the layering.
LAYER_shared = $(SHARED)
LAYER_http = $(SHARED) $(HTTP)
LAYER_log = $(SHARED) $(LOG)
LAYER_data = $(LAYER_log) src/data_check.c
LAYER_ui = $(UI)
LAYER_replication = $(SHARED) $(HTTP) $(LOG) $(UI) $(REPLICATION)

# test/unit_NAME.c belongs to the layer that has a file NAME.c or NAME.h; NAME may also be the layer's own, and
# may go on after an underscore: unit_parser.c and unit_parser_limits.c are of src/http/parser.c, unit_log.c of
# src/log/.
unit_name = $(firstword $(subst _, ,$(patsubst unit_%,%,$(1))))
found_in = $(firstword $(patsubst src/%,%,$(patsubst %/,%,$(dir $(wildcard $(foreach n,$(1),src/*/$(n).[ch]))))) \
             $(if $(wildcard $(foreach n,$(1),src/$(n).[ch])),shared))
layer = $(strip $(or $(filter shared http log data ui replication,$(call unit_name,$(1))), \
                     $(call found_in,$(patsubst unit_%,%,$(1)) $(call unit_name,$(1))), \
                     $(error test/$(1).c names neither a file nor a folder of src/)))

UNIT = $(patsubst test/%.c,%,$(wildcard test/unit_*.c))
WHOLE = $(patsubst test/%.c,%,$(wildcard test/socket_*.c test/cluster_*.c))
STRESS = $(patsubst test/%.c,%,$(wildcard test/stress_*.c))
TORTURE = $(wildcard test/torture/*.c)
SIMULATOR = $(wildcard test/simulator/*.c)
FUZZ = $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c))
BENCH = $(wildcard bench/*.c)
TEST_LIB = $(wildcard test/lib/*.c)
# What test/lib takes from src/, compiled with the tests' flags.
TEST_LIB_SRC = src/log/digest.c
PROGRAMS = $(OUT)/master $(OUT)/secondary

.PHONY: all
all: $(PROGRAMS) ## the programs, build/master and build/secondary

$(PROGRAMS): $(OUT)/%: $(OUT)/obj/src/%.o $(call objects,$(PROGRAM) $(LAYER_replication))
	$(call Q,LINK)$(CC) $(ALL_LDFLAGS) $(PIE) -o $@ $(filter %.o,$^)

$(OUT)/obj/%.o: %.c $(OUT)/flags
	$(call Q,CC)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# Files that are a part of the programs as they are.
$(OUT)/obj/%.o: %.S $(OUT)/flags
	$(call Q,AS)$(CC) -c -o $@ $<
$(OUT)/obj/src/ui/files.o: $(wildcard src/ui/*.html src/ui/*.js src/ui/*.css src/ui/*.json)

# Whoever changes the compiler or its flags gets everything built anew.
BUILT_WITH = $(CC) $(ALL_CFLAGS) $(PIE) $(ALL_LDFLAGS) $(TEST_CFLAGS)
$(OUT)/flags: always
	@mkdir -p $(@D)
	@echo '$(BUILT_WITH)' | cmp -s - $@ || echo '$(BUILT_WITH)' >$@
.PHONY: always
always:

# ---- running ------------------------------------------------------------------------------------------------
.PHONY: run
run: all ## a master and two secondaries on 127.0.0.2:5000 to 5002, the second one slow
	@tools/demo $(OUT)

# ---- tests --------------------------------------------------------------------------------------------------
# Linked without PIE: Criterion's test parameters hold pointers, which must mean the same in each test's process.
CRITERION_LINK = -no-pie -pthread -fno-lto
UNIT_PROGRAMS = $(UNIT:%=$(OUT)/test/%)
WHOLE_PROGRAMS = $(WHOLE:%=$(OUT)/test/%)
STRESS_PROGRAMS = $(STRESS:%=$(OUT)/test/%)
test_objects = $(patsubst src/%.c,$(OUT)/test/obj/src/%.o,$(patsubst test/%.c,$(OUT)/test/obj/%.o,$(1)))

# Of its layer a unit program links everything, but for the client, the worker or the disk where it brings its own.
WITH_FAKE_CLIENT := $(patsubst test/%.c,%,$(shell grep -l '"fake_client.h"\|"\(node\|master\|disk\)_by_hand.h"' test/unit_*.c))
WITH_OWN_WORKER := $(patsubst test/%.c,%,$(shell grep -l '"disk_by_hand.h"' test/unit_*.c))
WITH_LYING_DISK := $(patsubst test/%.c,%,$(shell grep -l '"lying_disk.h"' test/unit_*.c))
faked = $(if $(filter $(1),$(WITH_FAKE_CLIENT)),src/http/client.c) $(if $(filter $(1),$(WITH_OWN_WORKER)),src/worker.c) \
        $(if $(filter $(1),$(WITH_LYING_DISK)),src/log/disk.c)
unit_objects = $(call objects,$(filter-out $(call faked,$(1)),$(LAYER_$(call layer,$(1)))))

.SECONDEXPANSION:
$(UNIT_PROGRAMS): $(OUT)/test/%: $(OUT)/obj/test/%.o $$(call unit_objects,$$*)
	$(call Q,LINK)$(CC) $(CRITERION_LINK) $(SANITIZE_LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) -lcriterion -lm

$(WHOLE_PROGRAMS): $(OUT)/test/%: $(OUT)/test/obj/%.o $(call test_objects,$(TEST_LIB) $(TEST_LIB_SRC))
	$(call Q,LINK)$(CC) $(CRITERION_LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) -lcriterion -lm

# Preloaded into the nodes of these.
$(OUT)/test/cluster_lookup $(OUT)/test/cluster_links: $(OUT)/test/net.so
$(OUT)/test/net.so: test/preload/net.c $(OUT)/flags
	$(call Q,LINK)$(CC) $(ALL_TEST_CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $<

$(STRESS_PROGRAMS): $(OUT)/test/%: $(OUT)/obj/test/%.o $(call objects,$(LAYER_replication))
	$(call Q,LINK)$(CC) $(ALL_LDFLAGS) -pie -o $@ $(filter %.o,$^)

$(OUT)/test/torture: $(call test_objects,$(TORTURE))
	$(call Q,LINK)$(CC) -pie -pthread $(LDFLAGS) -o $@ $(filter %.o,$^)

$(OUT)/test/obj/src/%.o: src/%.c $(OUT)/flags
	$(call Q,CC)$(CC) $(ALL_TEST_CFLAGS) -c -o $@ $<

$(OUT)/test/obj/%.o: test/%.c $(OUT)/flags
	$(call Q,CC)$(CC) $(ALL_TEST_CFLAGS) -c -o $@ $<

$(UNIT:%=$(OUT)/obj/test/%.o) $(WHOLE:%=$(OUT)/test/obj/%.o) $(call test_objects,$(TEST_LIB)): | criterion
.PHONY: criterion
criterion:
	@echo '#include <criterion/criterion.h>' | $(CC) -E - >/dev/null 2>&1 || tools/install libcriterion-dev

# ThreadSanitizer watches the programs and the stress programs, not the unit tests: see TEST_CFLAGS above. The limits of
# connections, which take half a minute to pass, are one thread's.
TESTS_plain = $(UNIT_PROGRAMS) $(WHOLE_PROGRAMS)
TESTS_asan = $(UNIT_PROGRAMS) $(WHOLE_PROGRAMS)
TESTS_tsan = $(STRESS_PROGRAMS) $(filter-out %/socket_limits,$(WHOLE_PROGRAMS))
TESTS = $(TESTS_$(BUILD))
# ONLY="unit_json cluster_%" runs only those.
CHOSEN = $(if $(ONLY),$(filter $(ONLY:%=$(OUT)/test/%),$(TESTS)),$(TESTS))

.PHONY: test tests
tests: $(PROGRAMS) $(TESTS) # built, not run
test: $(if $(filter $(WHOLE_PROGRAMS),$(CHOSEN)),$(PROGRAMS)) $(CHOSEN) ## every test; BUILD=asan or BUILD=tsan with sanitizers, ONLY="unit_json socket_%" some of them
	@LEFT_OUT='$(LEFT_OUT)' PER_PROCESSOR=$(PER_PROCESSOR) test/run $(OUT) $(CHOSEN)
# Most programs wait rather than compute; with sanitizers they compute.
PER_PROCESSOR = $(if $(SANITIZE),1,2)
LEFT_OUT = $(if $(ONLY),all that ONLY does not name; )$(if $(filter tsan,$(BUILD)),the unit programs and socket_limits$(comma) \
             which are for the other builds,the stress programs$(comma) which are for BUILD=tsan)
ifneq ($(filter test,$(MAKECMDGOALS)),)
$(info make test: $(words $(CHOSEN)) programs. All of a plain build take about two minutes on two quiet cores, and one to)
$(info build. They need Criterion, which is installed where it is missing, and some of them prlimit and curl.)
endif

.PHONY: stress
ifeq ($(BUILD),tsan)
stress: $(STRESS_PROGRAMS)
	@test/run $(OUT) $(STRESS_PROGRAMS)
else
stress: ## the stress programs under ThreadSanitizer
	@$(MAKE) --no-print-directory BUILD=tsan stress
endif

.PHONY: hardening
hardening: $(PROGRAMS) ## looks at the programs, the static ones too, for the protections they are built with
	@$(MAKE) --no-print-directory STATIC=1 OUT=$(OUT)/static
	@test/hardening $(PROGRAMS) $(OUT)/static/master $(OUT)/static/secondary

TORTURE_SECONDS ?= 30
.PHONY: torture
torture: $(PROGRAMS) $(OUT)/test/torture ## a cluster under random faults, TORTURE_SECONDS=30, SEED=N to repeat a run
	@BUILD_DIR='$(abspath $(OUT))' $(OUT)/test/torture $(TORTURE_SECONDS)

SIMULATE_SECONDS ?= 60
# The real nodes, and of src/http what parses and decides. The simulator brings the rest, and these files' functions.
SIMULATED = $(SHARED) $(LOG) $(UI) $(REPLICATION) $(patsubst %,src/http/%.c,accept condition guard parser router shares target writer)
BROUGHT = src/clock.c src/logline.c src/worker.c src/log/disk.c src/replication/nonce.c src/replication/process.c
.PHONY: simulate
simulate: $(OUT)/test/simulate ## random schedules on a whole cluster in simulated time, SIMULATE_SECONDS=60, SEED=N to repeat one (V=1 tells all), SCHEDULES=N
	@SEED='$(SEED)' SCHEDULES='$(SCHEDULES)' SIMULATE_SECONDS='$(SIMULATE_SECONDS)' V='$(V)' $(OUT)/test/simulate
$(OUT)/test/simulate: $(call objects,$(SIMULATOR) $(filter-out $(BROUGHT),$(SIMULATED)))
	$(call Q,LINK)$(CC) $(ALL_LDFLAGS) -pie -o $@ $(filter %.o,$^)

.PHONY: planted
planted: $(OUT)/test/simulate ## breaks the program one line at a time, and tells when `simulate` finds each
	@test/simulator/planted $(OUT)

SLOW_SECONDS ?= 30
.PHONY: slow
slow: $(PROGRAMS) ## slowhttptest's attacks on a master and a secondary, SLOW_SECONDS=30 each
	@test/slow $(OUT) $(SLOW_SECONDS)

.PHONY: proxy
proxy: $(PROGRAMS) ## docs/nginx.conf in front of a cluster, and curl, node and Python as its clients
	@test/proxy/run $(OUT)

.PHONY: browser picture
browser: $(PROGRAMS) ## the live page in Debian's chromium; a hostile page that tries to append, register, remove and read
	@test/browser/run $(OUT) page.mjs
	@test/browser/run $(OUT) attack.mjs
picture: $(PROGRAMS) ## docs/ui.png, the live page while a POST waits
	@test/browser/run $(OUT) page.mjs --picture docs/ui.png

.PHONY: clients
clients: $(PROGRAMS) ## EventSource, curl and Python follow a node that is restarted, and one behind nginx
	@test/clients/run $(OUT)

.PHONY: disk
disk: $(PROGRAMS) ## real disks and real faults: kills, failing system calls, a full tmpfs, flipped bits; ONLY="kills flips", FLIPS=100, ROUNDS=50, SEED=N
	@ONLY='$(ONLY)' FLIPS='$(FLIPS)' ROUNDS='$(ROUNDS)' SEED='$(SEED)' test/disk/run $(OUT)

.PHONY: systemd
systemd: deb ## the Debian package in a real systemd: its units restarted and killed under load; needs root
	@test/systemd/run $(OUT)

.PHONY: deb-container
deb-container: deb ## the Debian package in a container with a bare Debian: installed, started, asked by curl, purged; as root
	@test/deb $(OUT)

.PHONY: swarm
swarm: ## deploy/stack.yml in a swarm of this machine: scaled, killed and updated while clients post; as root
	@test/swarm/run

.PHONY: promtool
promtool: $(PROGRAMS) ## Prometheus's promtool on a live cluster's /metrics, and on the alerts in docs/alerts.yml
	@test/promtool $(OUT)

.PHONY: openapi
openapi: $(PROGRAMS) ## docs/openapi.yaml: its rules, and its examples on a live cluster; WRITE=1 makes src/ui/openapi.json anew
	@test/openapi/run $(OUT)

.PHONY: kubernetes hosts
kubernetes: $(PROGRAMS) ## deploy/kubernetes.yaml: schemas, settings, and its pods rolled and lost under load; as root
	@test/kubernetes/run $(OUT)
hosts: $(PROGRAMS) ## the README's two hosts, on network namespaces behind firewalls, restarted and killed under load; as root
	@test/hosts/run $(OUT)

.PHONY: arm64
arm64: ## the programs and the unit tests cross-compiled for arm64, and run under qemu-user; as root
	+@test/arm64 $(OUT)/arm64

# ---- fuzzing ------------------------------------------------------------------------------------------------
FUZZ_SECONDS ?= 20
FUZZ_JOBS ?= 2
FUZZ_PROGRAMS = $(FUZZ:%=$(OUT)/fuzz_%)
.PHONY: fuzz fuzz-runtime
ifeq ($(BUILD),fuzz)
fuzz: $(FUZZ_PROGRAMS)
	@fuzz/run $(OUT) $(FUZZ_SECONDS) $(FUZZ_JOBS) $(FUZZ)
# From an archive, so that a target takes in no more than the parser that it calls.
$(FUZZ_PROGRAMS): $(OUT)/fuzz_%: $(OUT)/obj/fuzz/fuzz_%.o $(OUT)/obj/src.a
	$(call Q,LINK)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^
$(OUT)/obj/src.a: $(call objects,$(LAYER_replication))
	$(call Q,AR)rm -f $@ && $(AR) rcs $@ $^
$(FUZZ_PROGRAMS): | fuzz-runtime
fuzz-runtime:
	@test -n "$$(find "$$($(CC) -print-resource-dir)" -name 'libclang_rt.fuzzer*.a' 2>/dev/null)" \
	    || tools/install clang "$$($(CC) -dumpversion | sed 's/\..*//; s/.*/libclang-rt-&-dev/')"
else
fuzz: ## every parser against random input, FUZZ_SECONDS=20 each
	@tools/install clang:clang
	@$(MAKE) --no-print-directory BUILD=fuzz CC=clang fuzz
endif

# ---- measuring ----------------------------------------------------------------------------------------------
.PHONY: bench instructions
bench: all $(OUT)/bench/load $(OUT)/test/instructions ## beside Redis and nginx, into docs/benchmarks.md; ROW="post-64 join" some rows alone, ROW=help lists them
	@BIN_DIR='$(abspath $(OUT))' bench/all $(ROW)
$(OUT)/bench/load: $(call objects,$(BENCH))
	$(call Q,LINK)$(CC) $(ALL_LDFLAGS) -pie -o $@ $(filter %.o,$^) -lm

instructions: $(OUT)/test/instructions ## instructions of one append, against test/instructions.baseline; WRITE=1 renews it
	@CC='$(CC)' test/instructions $<
$(OUT)/test/instructions: $(OUT)/obj/test/instructions.o $(call objects,$(LAYER_replication))
	$(call Q,LINK)$(CC) $(ALL_LDFLAGS) -pie -o $@ $(filter %.o,$^)

# ---- the rest -----------------------------------------------------------------------------------------------
# DESTDIR is put in front, for packages. "master" alone would say little in a folder of programs.
PREFIX ?= /usr/local
INSTALLED = $(DESTDIR)$(PREFIX)/bin/replicated-log-
INSTALLED_UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
.PHONY: install uninstall
install: $(PROGRAMS) ## the programs to PREFIX/bin (/usr/local), as replicated-log-master and replicated-log-secondary; units for systemd
	install -D -m 755 $(OUT)/master $(INSTALLED)master
	install -D -m 755 $(OUT)/secondary $(INSTALLED)secondary
	install -D -m 644 -t $(INSTALLED_UNITS) deploy/systemd/*.service
	sed -i 's|^ExecStart=|&$(PREFIX)/bin/|' $(patsubst deploy/systemd/%,$(INSTALLED_UNITS)/%,$(wildcard deploy/systemd/*.service))
uninstall: ## takes them away again
	rm -f $(INSTALLED)master $(INSTALLED)secondary $(patsubst deploy/systemd/%,$(INSTALLED_UNITS)/%,$(wildcard deploy/systemd/*.service))

.PHONY: deb
deb: $(PROGRAMS) ## a Debian package of both programs, their units and man pages, into build/
	+@tools/deb $(OUT)

.PHONY: lint format clean help
lint: | criterion ## clang-format, clang-tidy, cppcheck, include directions
	@tools/lint
format: ## lets clang-format lay out every C file
	clang-format -i $$(git ls-files '*.c' '*.h')
clean: ## removes build/
	rm -rf build
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' Makefile | sort -u | while IFS='	' read -r target what; do \
	    printf '  make %-12s %s\n' "$$target" "$$what"; done

-include $(shell find $(OUT)/obj $(OUT)/test -name '*.d' 2>/dev/null)

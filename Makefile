# Sluice: all verbs. `make help` prints them. Plain GNU make, packages by pkg-config, objects in build/MODE/.
MODE ?= release
B := build/$(MODE)
CC ?= gcc
CLANG ?= clang-14
# The newest release of CHANGELOG.md.
RELEASE := 0.1.0
VERSION ?= $(shell git -c safe.directory="$(CURDIR)" describe --always --dirty 2>/dev/null || echo unknown)

# Q hides commands; V=1 shows them.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wimplicit-fallthrough -Wcast-align -Wno-unused-parameter -Wno-missing-field-initializers
ifdef CI
WARN += -Werror
endif
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_debug := -O0 -g3 -DDEBUG
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -DDEBUG
# gcc says that ThreadSanitizer does not know fences; ours order atomics alone, which it never reports.
CFLAGS_tsan := -O1 -g -fsanitize=thread -Wno-tsan -fno-omit-frame-pointer -DDEBUG
CFLAGS_cov := -O0 -g --coverage -DDEBUG
LDFLAGS_cov := --coverage
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
CFLAGS := -std=gnu2x $(WARN) $(CFLAGS_$(MODE)) -I. -I$(B) -D_GNU_SOURCE -fvisibility=hidden -fno-common -MMD -MP \
	$(EXTRA_CFLAGS)
LDFLAGS := $(LDFLAGS_$(MODE)) -Wl,--as-needed -Wl,-z,relro,-z,now

pc = $(shell pkg-config $(1) 2>/dev/null)
DPDK_CFLAGS = $(patsubst -I%,-isystem %,$(call pc,--cflags libdpdk)) -DALLOW_EXPERIMENTAL_API -DRTE_USE_C11_MEM_MODEL
DPDK_LIBS = $(call pc,--libs libdpdk)
BASE_LIBS = -lyaml -lm -lpthread
SEAL_LIBS = -lIPSec_MB -lsrtp2
PEER_LIBS = $(call pc,--libs openssl) -lusrsctp
XDP_LIBS = -lbpf -lxdp
CP_LIBS = -luv -lhiredis -llmdb -ljansson -lcrypt -lz -lseccomp $(PEER_LIBS)

# Extra flags of a folder and of all below it.
# Asserts of the packet path are for the test builds (debug, asan, tsan, fuzz): a release does not pay for them.
flags_dataplane = $(DPDK_CFLAGS) $(if $(filter release,$(MODE)),-DNDEBUG) -DBPF_OBJECT='"$(B)/dataplane/port/xdp/media_filter.bpf.o"'
flags_controlplane =
flags_tests/unit/dataplane = $(DPDK_CFLAGS)
flags_tests/support/dataplane = $(DPDK_CFLAGS)
flags_tests/perf = $(DPDK_CFLAGS)
flags_tests/fuzz = $(DPDK_CFLAGS)
FLAGGED := $(patsubst flags_%,%,$(filter flags_%,$(.VARIABLES)))
flags_of = $(foreach d,$(FLAGGED),$(if $(filter $(d)/%,$(1)),$(flags_$(d))))

src = $(sort $(filter-out %.bpf.c,$(shell find $(1) -name '*.c')))
obj = $(patsubst %.c,$(B)/%.o,$(1))
LIB_SRC := $(call src,lib/base lib/rtc lib/ipc lib/conf)
SEAL_SRC := $(call src,lib/seal)
PEER_SRC := $(call src,lib/peer)
DP_SRC := $(call src,dataplane)
CP_SRC := $(call src,controlplane)
GUN_SRC := $(call src,tools/sluicegun)
BPF_OBJ := $(patsubst %.bpf.c,$(B)/%.bpf.o,$(wildcard dataplane/port/xdp/*.bpf.c))
UNIT_PARTS := lib dataplane controlplane calls tools
PERF := $(patsubst tests/perf/%.c,%,$(wildcard tests/perf/*.c))
# tests/mock: NAME_story.c are programs that play the control plane and clients around sluice-dp, the rest is theirs.
MOCK := $(patsubst tests/mock/%_story.c,%,$(wildcard tests/mock/*_story.c))
MOCK_SRC := $(filter-out %_story.c,$(wildcard tests/mock/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*_fuzz.c tests/fuzz/*/*_fuzz.c))
FUZZ := $(patsubst %_fuzz.c,%,$(notdir $(FUZZ_SRC)))
fuzz_src = $(filter %/$(1)_fuzz.c,$(FUZZ_SRC))
T ?=

.PHONY: all
all: $(B)/sluice-dp $(B)/sluice-cp $(B)/sluicegun ## build both daemons and the load generator
	@:

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) $(call flags_of,$<) -c -o $@ $<
$(B)/libsluice.a: $(call obj,$(LIB_SRC))
$(B)/libseal.a: $(call obj,$(SEAL_SRC))
$(B)/libpeer.a: $(call obj,$(PEER_SRC))
$(B)/libdp.a: $(call obj,$(filter-out dataplane/main.c,$(DP_SRC)))
$(B)/libcp.a: $(call obj,$(filter-out controlplane/main.c,$(CP_SRC)))
$(B)/%.a:
	@mkdir -p $(@D) && rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^
$(B)/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF)
	$(Q)$(CLANG) -O2 -g -Wall -target bpf -I/usr/include/$(shell uname -m)-linux-gnu -c -o $@ $<

$(B)/dataplane/port/xdp_filter.o: $(BPF_OBJ)
$(B)/sluice-dp: $(call obj,dataplane/main.c) $(B)/libdp.a $(B)/libseal.a $(B)/libsluice.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) $(SEAL_LIBS) $(XDP_LIBS) $(BASE_LIBS)
$(B)/sluice-cp: $(call obj,controlplane/main.c) $(B)/libcp.a $(B)/libpeer.a $(B)/libsluice.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CP_LIBS) $(BASE_LIBS)
$(B)/libgun.a: $(call obj,$(filter-out tools/sluicegun/main.c,$(GUN_SRC)))
$(B)/sluicegun: $(call obj,tools/sluicegun/main.c) $(B)/libgun.a $(B)/libpeer.a $(B)/libseal.a $(B)/libsluice.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(SEAL_LIBS) $(PEER_LIBS) -ljansson $(BASE_LIBS)

# What lib/base/version.c tells; written when it changes.
build/version.h: FORCE
	@mkdir -p $(@D) && printf '#define SLUICE_RELEASE "%s"\n#define SLUICE_COMMIT "%s"\n' '$(RELEASE)' '$(VERSION)' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/lib/base/version.o build/fuzz/obj/lib/base/version.o: build/version.h
.PHONY: FORCE

# --- tests -------------------------------------------------------------------------------------
# A unit test file tests/unit/PART/NAME_test.c exports `CU_TestInfo NAME_tests[]`; the list is generated.
# What tests of a part share, fixtures above all, is in tests/support/PART/*.c. It is linked as objects, not from
# an archive, so that a fake stands before the function of the daemon that it takes the place of.
unit_src = $(sort $(shell find tests/unit/$(1) -name '*_test.c'))
support_src = $(sort $(wildcard tests/support/$(1)/*.c $(addprefix tests/support/,$(addsuffix /*.c,$(support_$(1))))))
support_controlplane := clock
support_calls := clock
define unit_part
$(B)/tests/unit/$(1)/suites.h: $(call unit_src,$(1)) Makefile
	@mkdir -p $$(@D)
	@for f in $(call unit_src,$(1)); do n=$$$$(basename $$$$f _test.c); echo "SUITE($$$$n)"; done > $$@
$(B)/tests/unit/$(1)/main.o: tests/unit/main.c $(B)/tests/unit/$(1)/suites.h
	$$(call say,CC)
	$$(Q)$(CC) $(CFLAGS) -DSUITES_H='"tests/unit/$(1)/suites.h"' -c -o $$@ $$<
$(B)/unit-$(1): $(B)/tests/unit/$(1)/main.o $(patsubst %.c,$(B)/%.o,$(call unit_src,$(1)) $(call support_src,$(1))) $(2)
	$$(call say,LD)
	$$(Q)$(CC) $(LDFLAGS) -o $$@ $$^ $(3) $(BASE_LIBS) -lcunit
endef
$(eval $(call unit_part,lib,$(B)/libpeer.a $(B)/libseal.a $(B)/libsluice.a,$(SEAL_LIBS) $$(PEER_LIBS) -lmsgpackc -lz))
$(eval $(call unit_part,dataplane,$(B)/libdp.a $(B)/libseal.a $(B)/libsluice.a,$$(DPDK_LIBS) $(SEAL_LIBS) $(XDP_LIBS)))
$(eval $(call unit_part,controlplane,$(B)/libcp.a $(B)/libpeer.a $(B)/libsluice.a,$$(CP_LIBS)))
# calls: the hub with everything behind it, between a plugin, a dataplane and a store that are fakes.
$(eval $(call unit_part,calls,$(B)/libcp.a $(B)/libpeer.a $(B)/libsluice.a,$$(CP_LIBS)))
$(eval $(call unit_part,tools,$(B)/libgun.a $(B)/libpeer.a $(B)/libseal.a $(B)/libsluice.a,$(SEAL_LIBS) $$(PEER_LIBS) -ljansson))

UNIT_BIN := $(foreach p,$(UNIT_PARTS),$(if $(call unit_src,$(p)),$(B)/unit-$(p)))

# gcc 12's ThreadSanitizer gives up where the kernel randomises 32 bits of mmap; not every container allows setarch.
NO_ASLR = $(if $(filter tsan,$(MODE)),$(shell setarch -R true 2>/dev/null && echo setarch -R))
.PHONY: unit check
unit: $(UNIT_BIN) ## unit tests (T=suite or suite/test selects)
	@run() { \
		$(if $(T),$$1 -l | grep -q '^$(firstword $(subst /, ,$(T)))/' || return 0;) \
		tools/devtools/tap $(MODE)-$$(basename $$1) $(NO_ASLR) $$1 $(if $(T),-s '$(T)'); \
	}; \
	run $(B)/unit-controlplane & : waits for sockets and timers half of its time, so beside the others; \
	status=0; for u in $(filter-out %/unit-controlplane,$(UNIT_BIN)); do run $$u || status=1; done; \
	wait $$! || status=1; exit $$status
# Parts of `check` run side by side; -O keeps the output of each together.
CHECKS := unit layers headers poison must fuzz-replay devtools lint-sh lint-docs spell format-check
.PHONY: $(CHECKS)
check: ## what to run before each commit, under 2 minutes; installs what it needs
	@tools/devtools/install-packages run check
	@$(MAKE) --no-print-directory -k -Otarget $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$$(nproc)) $(CHECKS)
layers: $(B)/sluice-dp $(B)/sluice-cp ## who may include and call whom
	@tools/devtools/tap layers tools/devtools/check-layers $(B)
headers: ## each header compiles alone
	@CC="$(CC)" DPDK_CFLAGS="$(DPDK_CFLAGS)" tools/devtools/tap headers tools/devtools/check-headers
poison: ## what dataplane/port/dpdk.h poisons does not compile
	@CC="$(CC)" DPDK_CFLAGS="$(DPDK_CFLAGS)" tools/devtools/tap poison tools/devtools/check-poison
devtools: all ## tests of the tools that check (T=pattern)
	@CC="$(CC)" BUILD=$(B) tools/devtools/stories tests/devtools '$(T)'
must: ## what ends a daemon says why nothing from outside leads there
	@tools/devtools/tap must tools/devtools/check-must
lint-sh: ## shellcheck
	@tools/devtools/tap shellcheck tools/devtools/check-shell
lint-docs: ## do the manuals name what exists
	@tools/devtools/tap docs tools/devtools/check-docs
spell: ## codespell
	@tools/devtools/tap codespell tools/devtools/check-spelling
format-check: ## clang-format 14 over changed lines (FORMAT_BASE=commit; the last tag, or where the branch left origin)
	@tools/devtools/tap format tools/devtools/check-format

# A fuzz target tests/fuzz/[whole/]NAME_fuzz.c has a corpus in tests/fuzz/corpus/NAME/. Lines `// sources: a.c b.c` and
# `// libs: -lx` in it add what is not in lib/{base,rtc,ipc,conf}; a folder among the sources is all below it. `// max_len: N`
# is the longest input the protocol allows (8192 without).
fuzz_sources = $(shell set -- $$(sed -n 's|^// sources: ||p' $(call fuzz_src,$(1))); [ $$# -eq 0 ] || \
	find "$$@" -name '*.c' ! -path '*plane/main.c')
FUZZ_CFLAGS := -std=gnu2x -g -O1 -I. -D_GNU_SOURCE -DFUZZING -DDEBUG -Wno-unknown-warning-option -fno-omit-frame-pointer
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(call flags_of,$<) -UNDEBUG -fsanitize=fuzzer-no-link $(FUZZ_SAN) \
		-MMD -MP -c -o $@ $<
define fuzz_target
build/fuzz/$(1): $(patsubst %.c,build/fuzz/obj/%.o,$(call fuzz_src,$(1))) $(patsubst %.c,build/fuzz/obj/%.o,$(LIB_SRC) $(call fuzz_sources,$(1)))
	$$(call say,LD)
	$$(Q)$(CLANG) -fsanitize=fuzzer $(FUZZ_SAN) -o $$@ $$^ $(BASE_LIBS) $(shell sed -n 's|^// libs: ||p' $(call fuzz_src,$(1)))
endef
$(foreach f,$(FUZZ),$(eval $(call fuzz_target,$(f))))
SECONDS_EACH ?= 20
fuzz-replay: $(addprefix build/fuzz/,$(FUZZ)) ## run each parser over its committed corpus
	@tools/devtools/tap fuzz-replay tools/devtools/fuzz replay $(FUZZ)
.PHONY: fuzz
fuzz: $(addprefix build/fuzz/,$(FUZZ)) ## fuzz each parser for SECONDS_EACH (20) seconds; T=name selects
	@tools/devtools/tap fuzz tools/devtools/fuzz run $(SECONDS_EACH) $(if $(T),$(T),$(FUZZ))

.PHONY: flow interop hostile test asan tsan debug
flow: all $(addprefix $(B)/mock-,$(MOCK)) ## stories in network namespaces and on loopback, real daemons (T=pattern)
	@tools/devtools/stories tests/flow '$(T)'
interop: all ## Chromium with the official client, the plugin's Go client, Pion (T=pattern)
	@tools/devtools/stories tests/interop '$(T)'
hostile: all ## attacks on real daemons: what participants, tenants and strangers must not achieve (T=pattern)
	@tools/devtools/stories tests/hostile '$(T)'
asan: ## unit tests under ASan, LSan and UBSan
	@$(MAKE) --no-print-directory MODE=asan unit
tsan: ## unit tests under ThreadSanitizer
	@$(MAKE) --no-print-directory MODE=tsan unit
.PHONY: build-tests
build-tests: all $(UNIT_BIN) $(addprefix build/fuzz/,$(FUZZ)) $(addprefix $(B)/mock-,$(MOCK))
	@$(MAKE) --no-print-directory MODE=asan all unit-bins
	@$(MAKE) --no-print-directory MODE=tsan unit-bins build/tsan/sluice-dp build/tsan/mock-voice build/tsan/mock-video
.PHONY: unit-bins
unit-bins: $(UNIT_BIN)
debug: ## build both daemons for gdb
	@$(MAKE) --no-print-directory MODE=debug all
test: ## install what is missing, build, run every test that CI runs
	@tools/devtools/install-packages run check test
	@rm -rf build/tap && mkdir -p build
	@$(MAKE) --no-print-directory -k -j$$(nproc) build-tests >build/build.log 2>&1 || \
		grep -E -A6 '(error|warning|undefined reference|No rule)|\*\*\* ' build/build.log | head -80
	@$(MAKE) --no-print-directory -k all check asan tsan fuzz flow interop hostile; \
		status=$$?; tools/devtools/tap-sum || exit 1; exit $$status

$(B)/mock-%: $(B)/tests/mock/%_story.o $(call obj,$(MOCK_SRC)) $(B)/libseal.a $(B)/libsluice.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(SEAL_LIBS) $(XDP_LIBS) $(BASE_LIBS)

# --- use ---------------------------------------------------------------------------------------
API_PORT ?= 8045
MEDIA_PORT ?= 8443
.PHONY: run demo bench bench-baseline bench-network
run: ## install what is missing, build, start both daemons on this machine (API_PORT=, MEDIA_PORT=)
	@tools/devtools/install-packages run
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@API_PORT=$(API_PORT) MEDIA_PORT=$(MEDIA_PORT) exec tools/devtools/run-both $(B)
demo: ## a page to talk through a running `make run`, in two browser tabs
	@tools/devtools/install-packages demo
	@API_PORT=$(API_PORT) exec tools/demo/start
$(B)/libtest-perf.a: $(call obj,$(call src,tests/perf/support))
$(B)/perf-%: $(B)/tests/perf/%.o $(B)/libtest-perf.a $(B)/libdp.a $(B)/libseal.a $(B)/libsluice.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) $(SEAL_LIBS) $(XDP_LIBS) $(BASE_LIBS)
bench: ## cycles per packet and CPU per delivered packet -> build/bench/ (T=part)
	@tools/devtools/install-packages run bench
	@$(MAKE) --no-print-directory all $(addprefix $(B)/perf-,$(PERF))
	@tests/perf/bench $(B)
.PHONY: bench-peers soak
bench-peers: ## CPU per forwarded packet beside Janus, and beside rtcd with RTCD=/path/of/rtcd -> build/bench/peers.md
	@tools/devtools/install-packages run bench peers
	@$(MAKE) --no-print-directory all
	@RTCD='$(RTCD)' tests/perf/peers/run $(B)
soak: ## MINUTES (30) at 80 % of what this machine does, or LOAD='sluicegun arguments': no loss, flat memory -> build/soak/
	@tools/devtools/install-packages run bench
	@$(MAKE) --no-print-directory all
	@MINUTES=$(or $(MINUTES),30) LOAD='$(LOAD)' tools/devtools/tap soak tools/sluicegun/soak $(B)

bench-network: all ## a screen over links that lose, delay and limit; freezes, layers, estimate -> build/network/ (SCENARIOS=regex)
	@tools/devtools/install-packages run check test
	@tests/perf/network/run

bench-baseline: all ## count instructions anew for tests/perf/baseline.json
	@tools/devtools/bench-baseline

.PHONY: install uninstall
install: all ## programs, units, configuration, documents (DESTDIR=, PREFIX=/usr/local, SYSCONFDIR=/etc)
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' tools/devtools/install-tree install $(B)
uninstall: ## take away what `make install` with the same variables put there, but not the configuration
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' tools/devtools/install-tree uninstall $(B)

# --- upkeep ------------------------------------------------------------------------------------
.PHONY: format format-changed analyze cov docs size clean help
format-changed: ## clang-format 14 over the lines that format-check looks at
	@tools/devtools/check-format --fix
analyze: build/version.h ## clang-tidy over what ships, 5 minutes (T=pattern of file names)
	@tools/devtools/install-packages run analyze
	@FLAGS_dataplane='$(subst ','"'"',$(flags_dataplane))' tools/devtools/tap analyze tools/devtools/analyze $(T)
cov: ## coverage of lines and branches by the unit tests -> build/cov/report/
	@tools/devtools/install-packages run check cov
	@find build -path 'build/cov/*' -name '*.gcda' -delete
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=cov unit-bins >/dev/null
	@$(MAKE) --no-print-directory MODE=cov unit
	@tools/devtools/coverage build/cov
format: ## clang-format 14 over all C
	clang-format-14 -i $$(git ls-files '*.c' '*.h')
docs: $(B)/sluice-cp ## regenerate docs/config.md, conf/sluice.yaml and docs/metrics.md
	$(B)/sluice-cp --print-config-docs > docs/config.md
	$(B)/sluice-cp --print-config-sample > conf/sluice.yaml
	tools/devtools/metrics-docs > docs/metrics.md
size: all ## size by module
	size -t $(B)/*.a | sort -n
clean: ## remove build/
	rm -rf build
help: ## this table
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)

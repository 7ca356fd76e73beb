# crisp: the product (static musl, build/ARCH/crisp), the native tests (ASan, glibc), the checks.
#
#   make                the product            make check         all native tests
#   make check-ROOM     one room's tests       make fuzz          every fuzz target, FUZZ_SECONDS each
#   make layers format lint                    make SANITIZE=thread check-ROOM
#   make other          the product again as another version: what an update brings (build/other/crisp)
#
# Another architecture: make ARCH=aarch64 CROSS=aarch64-linux-gnu-

ARCH ?= x86_64
CROSS ?=
VERSION ?= 0.1.0
SANITIZE ?= address,undefined
FUZZ_SECONDS ?= 10

# V=1 shows whole command lines.
V ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$1' '$@')

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:

# Each room may include only rooms before it; `make layers` checks that.
ROOMS := base sys wire store image net spec box pod stream cri cli oci

OUT := build/$(ARCH)
comma := ,
NAT := build/native/$(subst $(comma),-,$(SANITIZE))
FUZ := build/fuzz
VEN := build/vendor/$(ARCH)
VENN := build/vendor/native
GEN := build/gen

LIBS := -lmbedtls -lmbedx509 -lmbedcrypto -lnghttp2 -lprotobuf-c -lyyjson -lyaml -lisal -lzstd -lseccomp -lcap

# Sources: tests, fuzz targets and other architectures' files left out.
others := $(filter-out $(ARCH),x86_64 aarch64)
room_sources = $(filter-out %_test.c %_fuzz.c %_double.c $(others:%=\%_%.c),$(wildcard src/$1/*.c))
SOURCES := src/main.c $(foreach r,$(ROOMS),$(call room_sources,$r))
OBJECTS := $(SOURCES:src/%.c=$(OUT)/obj/%.o) $(OUT)/obj/gen/api.pb-c.o

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
	-Wundef -Wformat=2 -Wimplicit-fallthrough
WERROR ?= -Werror
# The time of the last commit: reproducible, and a floor under a node's wrong clock.
BUILD_TIME := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)
DEFINES := -D_GNU_SOURCE -DCRISP_VERSION='"$(VERSION)"'
# of the one file that asks: another commit leaves the others' objects as they are
DEFINES_tls := -DCRISP_BUILD_TIME=$(BUILD_TIME)
COMMON := -std=gnu17 $(WARN) $(WERROR) $(DEFINES) -Isrc -I$(GEN) -Ibuild/vendor -MMD -MP

CC_OUT := $(VEN)/bin/crisp-cc
CFLAGS_OUT := $(COMMON) -Os -g -fstack-protector-strong -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -ftrivial-auto-var-init=zero
# The wrapper adds static-pie, relro, now, noexecstack and packed relocations.
LDFLAGS_OUT := -Wl,--gc-sections -Wl,-z,separate-code -Wl,--build-id=sha1

CC_NAT := gcc
CFLAGS_NAT := $(COMMON) -isystem $(VENN)/include -O1 -g -fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined
LDFLAGS_NAT := -fsanitize=$(SANITIZE) -L$(VENN)/lib

CC_FUZ := clang
CFLAGS_FUZ := -std=gnu17 $(DEFINES) -Isrc -I$(GEN) -Ibuild/vendor -isystem $(VENN)/include -O1 -g -MMD -MP \
	-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined

.PHONY: all other check fuzz vendor vendor-native layers format lint clean size
all: $(OUT)/crisp

# ---- third-party parts ------------------------------------------------------------------------
vendor:
	CROSS=$(CROSS) vendor/make.sh $(ARCH)
vendor-native:
	vendor/make.sh native

$(CC_OUT):
	CROSS=$(CROSS) vendor/make.sh $(ARCH)
$(VENN)/lib/libyyjson.a:
	vendor/make.sh native
$(GEN)/cri/api.pb-c.c $(GEN)/cri/api.pb-c.h: | $(VENN)/lib/libyyjson.a
	test -f $@

# ---- the product ------------------------------------------------------------------------------
$(OUT)/crisp: $(OUT)/crisp.debug
	$(call say,STRIP)
	$(Q)$(CROSS)objcopy --strip-all $< $@

$(OUT)/crisp.debug: $(OBJECTS)
	$(call say,CC)
	$(Q)$(CC_OUT) $(LDFLAGS_OUT) -o $@ $(OBJECTS) $(LIBS)

$(OUT)/obj/%.o: src/%.c Makefile | $(CC_OUT) $(GEN)/cri/api.pb-c.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_OUT) $(CFLAGS_OUT) $(DEFINES_$(notdir $*)) $(CFLAGS_$(notdir $*)) -c -o $@ $<

# What the stages of a pull spend their time in.
CFLAGS_sha256_x86_64 := -O2
CFLAGS_sha256_soft := -O2
CFLAGS_inflate := -O2

# AppArmor's default profile, in the kernel's form: the same bytes on every build host.
$(GEN)/box/apparmor.inc: src/box/apparmor.profile src/box/apparmor.features
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)PATH=$$PATH:/usr/sbin apparmor_parser --quiet --skip-kernel-load --skip-cache \
		--features-file src/box/apparmor.features --ofile $@.bin src/box/apparmor.profile
	$(Q)od -An -v -tu1 $@.bin | sed 's/[0-9]\{1,\}/&,/g' >$@
$(OUT)/obj/box/apparmor.o $(NAT)/obj/box/apparmor.o $(FUZ)/obj/box/apparmor.o: $(GEN)/box/apparmor.inc

$(OUT)/obj/gen/api.pb-c.o: $(GEN)/cri/api.pb-c.c | $(CC_OUT)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_OUT) -std=gnu17 -Os -ffunction-sections -fdata-sections -I$(GEN) -c -o $@ $<

# Only what says the version is compiled again.
OTHER := build/other
OTHER_OBJECTS = $(patsubst src/%.c,$(OTHER)/obj/%.o,$(shell grep -l CRISP_VERSION $(SOURCES)))
other: $(OTHER)/crisp.of
$(OTHER)/crisp.of: $(OUT)/crisp
	$(Q)rm -rf $(OTHER) && mkdir -p $(OTHER) && cp -a $(OUT)/obj $(OTHER)/ && rm -f $(OTHER_OBJECTS)
	$(Q)$(MAKE) --no-print-directory OUT=$(OTHER) VERSION=$(VERSION)+other $(OTHER)/crisp
	$(Q)sha256sum $< >$@

size: $(OUT)/crisp
	@stat -c '%s bytes %n' $<
	@size $<

# ---- native tests: one archive a room, one program a *_test.c ---------------------------------
# An archive rather than objects, so that a test links what it uses and no more.
$(NAT)/obj/%.o: src/%.c Makefile | $(VENN)/lib/libyyjson.a
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_NAT) $(CFLAGS_NAT) $(DEFINES_$(notdir $*)) -c -o $@ $<
$(NAT)/obj/gen/api.pb-c.o: $(GEN)/cri/api.pb-c.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_NAT) -std=gnu17 -g -O1 -I$(GEN) -isystem $(VENN)/include -c -o $@ $<
$(FUZ)/obj/%.o: src/%.c Makefile | $(VENN)/lib/libyyjson.a
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_FUZ) $(CFLAGS_FUZ) $(DEFINES_$(notdir $*)) -c -o $@ $<
$(FUZ)/obj/gen/api.pb-c.o: $(GEN)/cri/api.pb-c.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC_FUZ) -std=gnu17 -g -O1 -I$(GEN) -isystem $(VENN)/include -c -o $@ $<

# room, rooms up to and including it
upto = $(if $(filter $1,$(firstword $2)),$(firstword $2),$(firstword $2) $(call upto,$1,$(wordlist 2,99,$2)))

define room_rules
$(NAT)/$1.a: $$(patsubst src/%.c,$(NAT)/obj/%.o,$$(call room_sources,$1))
	@rm -f $$@
	$$(call say,AR)
	$$(Q)ar rcs $$@ $$^
$(FUZ)/$1.a: $$(patsubst src/%.c,$(FUZ)/obj/%.o,$$(call room_sources,$1))
	@rm -f $$@
	$$(call say,AR)
	$$(Q)ar rcs $$@ $$^

TESTS_$1 := $$(patsubst src/%.c,$(NAT)/%,$$(wildcard src/$1/*_test.c))
FUZZERS_$1 := $$(patsubst src/%.c,$(FUZ)/%,$$(wildcard src/$1/*_fuzz.c))
DOUBLES_$1 := $$(wildcard src/$1/*_double.c)

$(NAT)/$1/%_test: $(NAT)/obj/$1/%_test.o $$(patsubst src/%.c,$(NAT)/obj/%.o,$$(DOUBLES_$1)) \
		$$(foreach r,$$(call upto,$1,$(ROOMS)),$(NAT)/$$r.a) $(NAT)/obj/gen/api.pb-c.o
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$(CC_NAT) $(LDFLAGS_NAT) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) $(LIBS) -Wl,--end-group
$(FUZ)/$1/%_fuzz: $(FUZ)/obj/$1/%_fuzz.o $$(patsubst src/%.c,$(FUZ)/obj/%.o,$$(DOUBLES_$1)) \
		$$(foreach r,$$(call upto,$1,$(ROOMS)),$(FUZ)/$$r.a) $(FUZ)/obj/gen/api.pb-c.o
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$(CC_FUZ) -fsanitize=address,undefined,fuzzer -L$(VENN)/lib -o $$@ $$(filter %.o,$$^) \
		-Wl,--start-group $$(filter %.a,$$^) $(LIBS) -Wl,--end-group

.PHONY: check-$1 fuzz-$1
check-$1: $$(TESTS_$1)
	@src/check.sh $$(TESTS_$1)
fuzz-$1: $$(FUZZERS_$1)
	@src/fuzz.sh $(FUZZ_SECONDS) $$(FUZZERS_$1)
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$r)))

ALL_TESTS := $(foreach r,$(ROOMS),$(TESTS_$r))
ALL_FUZZERS := $(foreach r,$(ROOMS),$(FUZZERS_$r))

check: $(ALL_TESTS)
	@src/check.sh $(ALL_TESTS)
fuzz: $(ALL_FUZZERS)
	@src/fuzz.sh $(FUZZ_SECONDS) $(ALL_FUZZERS)

# ---- checks of the source ---------------------------------------------------------------------
layers:
	@src/layers.sh $(ROOMS)
format:
	clang-format -i $$(git ls-files 'src/*.[ch]' 'initramfs/*.[ch]')
lint:
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingInclude -Isrc src initramfs
	shellcheck build.sh vendor/make.sh src/*.sh $$(git ls-files '*.sh')

clean:
	rm -rf $(OUT) build/native $(FUZ)

-include $(OBJECTS:.o=.d)
-include $(wildcard $(NAT)/obj/*/*.d $(FUZ)/obj/*/*.d)

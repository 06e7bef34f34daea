# SPDX-License-Identifier: GPL-2.0-only
# What a person runs. Kbuild says what the module is made of.

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 6.12

modules: ## Build mybrd.ko for the running kernel (or KDIR=...)
	@test -e $(KDIR)/Makefile || { \
		echo "No kernel headers in $(KDIR): install linux-headers-$$(uname -r), or give KDIR=..." >&2; \
		exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

demo: ## See it work in a VM: real files, fio, races (KERNEL=6.1, 6.12, 7.3)
	@KERNEL=$(KERNEL) scripts/show/demo

cluster-demo: ## Two VMs on one network: NVMe over TCP, power cuts, RAID and DRBD over it
	@scripts/show/cluster

quick: ## What is broken shows in a minute, natively (CASE=SUITE.CASE: one case in seconds)
	@CASE=$(CASE) scripts/check/quick

soak: ## Races, torture and seams at native speed, for half an hour (SECONDS=...)
	@SOAK_SECONDS=$(SECONDS) scripts/check/soak

crash-test: ## Cut the power of file systems and SQLite; is all there that was promised? (KERNEL=, SECONDS=, SEED=, ONLY=)
	@KERNEL=$(KERNEL) CRASH_SECONDS=$(SECONDS) SEED=$(SEED) ONLY="$(ONLY)" scripts/check/crash

check: ## Run every test: lint, KUnit, and the system tests
	@scripts/check/run

check-all: ## Further: more kernels, KCSAN, coverage, other software on top (PART=...)
	@PART=$(PART) scripts/check/all

check-repeat: ## Run make check ten times: what differs from run to run?
	@scripts/check/repeat

check-user: ## RCU in user space: a model of memory orders, torture, sanitizers, the tutorial
	@scripts/check/user

check-fuzz: ## Fuzz the page store in user space, for ten minutes
	@scripts/check/fuzz

check-mutants: ## Break the driver on purpose; the tests must notice
	@scripts/check/mutants

check-package: ## Install and remove it in clean Debian 12 and 13 chroots
	@scripts/package/test

check-interrupt: ## Press Ctrl-C in the middle of everything; nothing may be left
	@scripts/check/interrupt

compare: ## Do the same to mybrd, brd and null_blk: who survives?
	@scripts/show/compare

bench: ## Measure mybrd beside brd, null_blk, zram and loop (10 minutes)
	@KERNEL=$(KERNEL) scripts/bench/run

bench-locks: ## Measure lookups under RCU beside those under locks
	@KERNEL=$(KERNEL) scripts/bench/run --locks

bench-scale: ## Measure many readers, many disks, a huge one, a discard beside a reader
	@KERNEL=$(KERNEL) scripts/bench/run --scale

bench-user: ## Measure RCU in user space: ours, liburcu, locks (two minutes)
	@scripts/bench/user

timeline: ## Draw readers, grace periods and what waits for them (build/rcu-timeline.svg)
	@KERNEL=$(KERNEL) scripts/show/timeline

story: ## Tell the same in the terminal
	@KERNEL=$(KERNEL) scripts/show/timeline --story

# Kbuild, which that calls, has a Q of its own.
rcu: ## Answer a question about RCU by an experiment (Q=1 to 14, doc/rcu-questions.md)
	@env -u Q -u MAKEFLAGS scripts/show/rcu $(Q)

lint: ## Check the sources: checkpatch, sparse, kernel-doc, shellcheck, manual
	@scripts/check/lint

vm: ## A shell in a VM that has the module and fio (KERNEL=...)
	@scripts/vm/module $(KERNEL) >/dev/null
	@echo "A root shell in a Linux $(KERNEL) VM comes up; 'exit' ends it. Try:"
	@echo "  insmod mybrd.ko size=512M && lsblk"
	@echo "  fio --name=try --filename=/dev/mybrd --rw=randwrite --verify=crc32c --size=64M"
	@echo "  mkfs.ext4 -q /dev/mybrd && mount /dev/mybrd /mnt && df -h /mnt"
	@scripts/vm/run -k $(KERNEL) -i -- bash

install: ## Install module and manual for the running kernel (or KDIR=...)
	@KDIR=$(KDIR) DESTDIR=$(DESTDIR) scripts/package/install install

uninstall: ## Undo make install
	@KDIR=$(KDIR) DESTDIR=$(DESTDIR) scripts/package/install uninstall

dkms-install: ## Have DKMS build it now and for every kernel that comes
	@KDIR=$(KDIR) scripts/package/install dkms-install

dkms-uninstall: ## Undo make dkms-install
	@KDIR=$(KDIR) scripts/package/install dkms-uninstall

deb: ## Build the Debian package mybrd-dkms into build/
	@scripts/package/deb

clean: ## Remove what was built here (the cache of kernels stays)
	rm -rf build
	@find . -path ./.git -prune -o \( -name '*.ko' -o -name '*.o' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name modules.order -o -name Module.symvers \) -exec rm {} +

distclean: clean ## Remove the cache of kernels and file systems, too
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/mybrd"

help: ## This list
	@sed -n 's/^\([a-z-]*\):[a-z ]* ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

.DEFAULT:
	@echo "There is no make $@: see make help" >&2; exit 2

.PHONY: modules demo cluster-demo quick soak crash-test check check-all check-repeat check-user check-fuzz check-mutants check-package check-interrupt compare bench bench-locks bench-scale \
	bench-user \
	timeline story rcu lint vm \
	install uninstall dkms-install dkms-uninstall deb clean distclean help

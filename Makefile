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
	@KERNEL=$(KERNEL) scripts/demo

check: ## Run every test: lint, KUnit, and the system tests
	@scripts/check

check-mutants: ## Break the driver on purpose; the tests must notice
	@scripts/mutants

lint: ## Check the sources: checkpatch, sparse, kernel-doc, shellcheck
	@scripts/lint

vm: ## A shell in a VM that has the module and fio (KERNEL=...)
	@scripts/module $(KERNEL) >/dev/null
	@echo "A root shell in a Linux $(KERNEL) VM comes up; 'exit' ends it. Try:"
	@echo "  insmod mybrd.ko size=512M && lsblk"
	@echo "  fio --name=try --filename=/dev/mybrd --rw=randwrite --verify=crc32c --size=64M"
	@echo "  mkfs.ext4 -q /dev/mybrd && mount /dev/mybrd /mnt && df -h /mnt"
	@scripts/vm -k $(KERNEL) -i -- bash

clean: ## Remove what was built here (the cache of kernels stays)
	rm -rf build
	@find . -path ./.git -prune -o \( -name '*.ko' -o -name '*.o' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name modules.order -o -name Module.symvers \) -exec rm {} +

help: ## This list
	@sed -n 's/^\([a-z-]*\): ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

.PHONY: modules demo check check-mutants lint vm clean help

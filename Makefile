# Debian 12 or Ubuntu 24.04, with root or sudo. Each target does the set-up that it needs.

# The lab makes a mount namespace and volumes for QEMU's user, so what uses it runs as root. Through sudo it
# must not leave files of root's in the clone.
ifeq ($(shell id -u),0)
ROOT :=
else
ROOT := sudo env PYTHONDONTWRITEBYTECODE=1 $(if $(SVMOVE_TEST_SSH),SVMOVE_TEST_SSH=1)
endif
PYTEST := .venv/bin/pytest -p no:cacheprovider

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests setup-vagrant demo test test-fast remote faults pools ansible lint bench bench-converge \
	bench-policy bench-scale lab-up lab-down vagrant-box vagrant-up vagrant-smoke vagrant-pools vagrant-down clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## system packages and .venv
	@scripts/bootstrap

setup-tests: ## likewise, with what the tests serve: Ceph, iSCSI, PostgreSQL, SSH
	@scripts/bootstrap --tests

demo: setup ## move the disks of a running guest, and prove it
	@$(ROOT) scripts/demo

# Two labs, each with a libvirt and a guest of its own: one alone leaves a core idle (13 minutes for half of it).
test: setup-tests ## all tests, on a real libvirt with a real guest (about 17 minutes on two cores)
	$(ROOT) $(PYTEST) -n auto -m "not real"
	scripts/ansible units
	$(ROOT) $(PYTEST) -n 2 --dist loadfile -m "real and not fault and not pool and not kernel"

test-fast: setup-tests ## the tests that need no lab (seconds)
	$(PYTEST) -n auto -m "not real"
	scripts/ansible units

remote: setup-tests ## the lab's tests with the lab as another host, which svmove reaches by SSH alone (about 25 minutes)
	$(ROOT) env SVMOVE_TEST_SSH=1 $(PYTEST) -n 2 --dist loadfile -m "real and not fault and not pool and not kernel"

# These two over SSH as well, into docs/faults-ssh.md: make faults SVMOVE_TEST_SSH=1
OVER := $(if $(SVMOVE_TEST_SSH),-ssh)

faults: setup-tests ## the whole fault matrix on the lab, which writes docs/faults.md (about 50 minutes)
	rm -f .faults.jsonl
	$(ROOT) env SVMOVE_FAULTS=$(CURDIR)/.faults.jsonl $(PYTEST) -n 2 --dist loadfile tests/real -m "(fault or chosen) and not kernel"
	.venv/bin/python -m tests.real.faults.record .faults.jsonl docs/faults$(OVER).md

pools: setup-tests ## between any two kinds of pool, which writes docs/pools.md (about two hours)
	rm -f .pools.jsonl
	$(ROOT) env SVMOVE_POOLS=$(CURDIR)/.pools.jsonl $(PYTEST) -n 2 --dist loadgroup tests/real/pools -m "(pool or chosen) and not kernel"
	.venv/bin/python -m tests.real.pools.record .pools.jsonl docs/pools$(OVER).md

ansible: setup-tests ## the Ansible collection: sanity, units, lint, documentation, and moves of a guest (5 minutes)
	scripts/ansible all

# Vagrant without its plugin for libvirt, which has its say in `make vagrant-up`.
lint: ## ruff, mypy, shellcheck, ruby -c, vagrant validate
	@scripts/bootstrap --lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict svmove tests vagrant/outer.py vagrant/remote.py
	shellcheck vagrant/build-box vagrant/lab vagrant/pools vagrant/smoke
	ruby -c vagrant/Vagrantfile
	cd vagrant && VAGRANT_HOME=$(CURDIR)/build/vagrant VAGRANT_DOTFILE_PATH=$(CURDIR)/build/vagrant/state \
		VAGRANT_CHECKPOINT_DISABLE=1 vagrant validate --ignore-provider

bench: setup ## moves against virsh blockcopy, and the methods against each other (15 minutes)
	$(ROOT) .venv/bin/python -m bench
	$(ROOT) .venv/bin/python -m bench.generations

bench-converge: setup ## guests and disks with which virsh is never ready, and svmove ends (12 minutes)
	$(ROOT) .venv/bin/python -m bench.converge

bench-policy: setup-tests ## what moves that wait for a slot cost (3 minutes)
	.venv/bin/python -m bench.queue

bench-scale: setup ## from nothing to the plan that empties a pool, of up to 1,000 guests with 10,000 volumes (a minute)
	.venv/bin/python -m bench.scale

lab-up: setup ## start the lab, or what is missing of it
	$(ROOT) .venv/bin/svmove lab up

lab-down: setup ## end the lab and leave nothing behind
	$(ROOT) .venv/bin/svmove lab down

setup-vagrant:
	@scripts/bootstrap --vagrant

vagrant-box: setup-vagrant ## build the Vagrant lab's box from the distribution's packages (2 to 3 minutes)
	$(ROOT) vagrant/lab box

vagrant-up: setup-vagrant ## a machine with LVM, NFS, iSCSI, and svmove in it (docs/vagrant.md)
	$(ROOT) vagrant/lab up

vagrant-smoke: setup-vagrant ## bring it up, move guests through its pools, run the tests that want its kernel, and destroy it
	$(ROOT) vagrant/lab check

vagrant-pools: setup-vagrant ## between any two of its pools, in the machine that is up (under TCG about three hours); its table goes into docs/pools.md
	$(ROOT) vagrant/lab matrix

vagrant-down: setup-vagrant ## destroy it (the box stays)
	$(ROOT) vagrant/lab down

clean: ## remove .venv and caches (the lab stays: see lab-down)
	rm -rf .venv .venv-ansible build *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

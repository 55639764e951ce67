# The lab: a real L0, its L1s and an L2 under emulation. LAB_SUITE=trixie puts Debian 13 in place of Debian 12, sid unstable.
LAB_SUITE ?= bookworm
export LAB_SUITE
LABS ?= 2
LAB := @python3 -m lab

.PHONY: lab-deps lab-up lab-down lab-status lab-scenario lab-audit test-lab
.PHONY: lab-up-intel lab-down-intel lab-audit-intel test-lab-intel

lab-deps: ## Install the packages that the lab needs (root), or list them
	$(LAB) deps

lab-up: lab-deps ## Start a host with KVM and its guests under emulation; the first time, build the image (root)
	$(LAB) up

lab-down: ## Stop the lab; its image and snapshot are kept
	$(LAB) down

lab-status: ## Show what is running in the lab
	$(LAB) status

lab-scenario: ## Enter a scenario: NAME=l2-running; UNDO=1 undoes it
	$(LAB) scenario $(NAME) $(if $(UNDO),--undo)

lab-audit: .venv/ready ## Audit the lab
	.venv/bin/pytest --inventory=lab/inventory.yaml --ssh-config=.lab/$(LAB_SUITE)/ssh_config $(ARGS)

test-lab: .venv/ready-for-tests lab-deps ## Run the end-to-end tests: the audit's results against the facts in two labs (LABS=1: in one)
	tools/tests-again.sh tests/e2e/lab -n $(LABS) --durations=15 $(ARGS)

%-intel: export LAB_SUITE = intel

lab-up-intel: ## Start the Intel lab, under Bochs: everything takes up to eight times as long
	$(LAB) deps
	$(LAB) up

lab-down-intel: ## Stop the Intel lab
	$(LAB) down

lab-audit-intel: .venv/ready ## Audit the Intel lab
	.venv/bin/pytest --inventory=lab/inventory-intel.yaml --ssh-config=.lab/intel/ssh_config \
		--connect-timeout=120 --probe-timeout=600 $(ARGS)

test-lab-intel: .venv/ready-for-tests ## Run the end-to-end tests of CPU definitions on the Intel lab
	$(LAB) deps
	.venv/bin/pytest tests/e2e/lab/test_truth_table.py $(ARGS)

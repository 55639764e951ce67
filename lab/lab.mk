# The lab: a real L0, its L1s and an L2 under emulation. LAB_SUITE=trixie puts Debian 13 in place of Debian 12.
LAB_SUITE ?= bookworm
export LAB_SUITE
LAB := @python3 -m lab

.PHONY: lab-deps lab-up lab-down lab-status lab-scenario lab-audit test-lab
.PHONY: lab-up-intel lab-down-intel lab-audit-intel test-lab-intel

lab-deps: ## Install the packages that the lab needs (root), or name them
	$(LAB) deps

lab-up: lab-deps ## Start a host with KVM and its guests under emulation; the first time, build them (root)
	$(LAB) up

lab-down: ## End the lab; its image is kept
	$(LAB) down

lab-status: ## Say what runs in the lab
	$(LAB) status

lab-scenario: ## Put the lab into a state: NAME=l2-running; UNDO=1 takes it back
	$(LAB) scenario $(NAME) $(if $(UNDO),--undo)

lab-audit: .venv/ready ## Audit the lab
	.venv/bin/pytest --inventory=lab/inventory.yaml --ssh-config=.lab/$(LAB_SUITE)/ssh_config $(ARGS)

test-lab: .venv/ready-for-tests lab-deps ## Run the end-to-end tests: verdicts against the truth in the lab
	.venv/bin/pytest tests/e2e/lab $(ARGS)

%-intel: export LAB_SUITE = intel

lab-up-intel: ## Start the Intel lab, under Bochs: everything takes eight times as long
	$(LAB) deps
	$(LAB) up

lab-down-intel: ## End the Intel lab
	$(LAB) down

lab-audit-intel: .venv/ready ## Audit the Intel lab
	.venv/bin/pytest --inventory=lab/inventory-intel.yaml --ssh-config=.lab/intel/ssh_config \
		--connect-timeout=120 --probe-timeout=600 $(ARGS)

test-lab-intel: .venv/ready-for-tests ## Run the end-to-end tests of CPU definitions on the Intel lab
	$(LAB) deps
	.venv/bin/pytest tests/e2e/lab/test_truth_table.py $(ARGS)

# The lab: a real L0, L1 and L2 under emulation. LAB_SUITE=trixie puts Debian 13 in place of Debian 12.
LAB_SUITE ?= bookworm
LAB_PYTHON ?= python3
export LAB_SUITE

lab-deps lab-up lab-down lab-status:
	@$(LAB_PYTHON) -m lab $(@:lab-%=%)

# make lab-scenario NAME=l2-running [UNDO=1]
lab-scenario:
	@$(LAB_PYTHON) -m lab scenario $(NAME) $(if $(UNDO),--undo)

lab-audit:
	.venv/bin/pytest --inventory=lab/inventory.yaml --ssh-config=.lab/$(LAB_SUITE)/ssh_config

test-lab:
	.venv/bin/pytest tests/lab

.PHONY: lab-deps lab-up lab-down lab-status lab-scenario lab-audit test-lab

# Two commands matter: `make audit` and `make test`. Each sets up what it needs first.
# Scripts should call .venv/bin/pytest: make has an exit status of its own.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help audit demo test test-engines fuzz bench lint lock set-up test-parts bench-parts clean

help: ## List the targets
	@echo 'Usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

audit: .venv/ready ## Audit this machine; or HOSTS=ssh://a,ssh://b, INVENTORY=file, ARGS='--gate …'
	@[ -n "$$HOSTS$$INVENTORY" ] || INVENTORY=inventories/local.yaml; \
	.venv/bin/pytest $${HOSTS:+"--hosts=$$HOSTS"} $${INVENTORY:+"--inventory=$$INVENTORY"} $(ARGS)

demo: .venv/ready ## Audit a recorded fleet: no hypervisor needed, and its report shows every kind of finding
	@.venv/bin/pytest --inventory=examples/fleet/inventory.yaml --evidence=examples/fleet/evidence \
		--waivers=examples/fleet/waivers.yaml --baseline=examples/fleet/baseline.json $(ARGS) || [ $$? -eq 1 ]

test: .venv/ready-for-tests .venv/engines/ready test-parts ## Run the suite's own tests; ARGS='-k word' narrows them
	.venv/bin/pytest tests --ignore=tests/e2e/lab $(ARGS)

test-engines: .venv/ready-for-tests .venv/engines/ready test-parts ## Run only the tests with a real Salt and a real Ansible
	.venv/bin/pytest tests/integration/engines $(ARGS)

fuzz: .venv/ready-for-tests .venv/fuzz/ready ## Fuzz every reader of what comes from outside, SECONDS=60 each; HARNESS=name for one
	.venv/fuzz/bin/python -m fuzz --seconds=$(or $(SECONDS),60) $(HARNESS)

bench: .venv/ready-for-tests bench-parts ## Measure the suite beside Testinfra and Ansible over SSH on loopback (root); ARGS='--hosts 1000'
	.venv/bin/python -m bench $(ARGS)

lint: .venv/ready-for-tests ## Check style and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

lock: ## Move the lock files to the current releases
	@tools/lock.sh

set-up: ## Make .venv anew, for example after installing libvirt's headers
	@rm -f .venv/ready
	@$(MAKE) --no-print-directory .venv/ready

test-parts:
	@tools/test-parts.sh

bench-parts:
	@tools/bench-parts.sh

clean: ## Remove .venv and what tools left; reports stay
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment knows its own path: in a checkout that was moved or copied it is made anew.
ifneq ($(shell cat .venv/ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/ready
endif

.venv/ready: pyproject.toml requirements.lock requirements-libvirt.lock tools/set-up.sh tools/parts.sh
	@tools/set-up.sh

.venv/ready-for-tests: .venv/ready requirements-test.lock
	@tools/set-up.sh tests

# Real programs with a great many dependencies: in environments of their own, so that the audit's stays as it is locked.
.venv/engines/ready .venv/fuzz/ready: .venv/%/ready: requirements-%.lock | .venv/ready
	@tools/set-up.sh $*

-include lab/lab.mk

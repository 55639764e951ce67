# Two commands matter: `make audit` and `make test`. Each sets up what it needs first.
# Scripts should call .venv/bin/pytest: make has its own exit status.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The environments that only heavy tests need.
HEAVY := .venv/docs/ready .venv/engines/ready .venv/release/ready
.PHONY: help audit demo docs test test-heavy test-all test-fast test-engines fuzz bench lint words lock pyz release setup set-up test-deps test-heavy-deps test-parts bench-deps bench-parts clean

help: ## List the targets
	@echo 'Usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

audit: .venv/ready ## Audit this machine; or HOSTS=ssh://a,ssh://b, INVENTORY=file, ARGS='--gate …'
	@[ -n "$$HOSTS$$INVENTORY" ] || INVENTORY=inventories/local.yaml; \
	.venv/bin/pytest $${HOSTS:+"--hosts=$$HOSTS"} $${INVENTORY:+"--inventory=$$INVENTORY"} $(ARGS)

demo: .venv/ready ## Audit a recorded fleet: needs no hypervisor; its report shows every kind of finding
	@.venv/bin/pytest --inventory=examples/fleet/inventory.yaml --evidence=examples/fleet/evidence \
		--waivers=examples/fleet/waivers.yaml --baseline=examples/fleet/baseline.json $(ARGS) || [ $$? -eq 1 ]

docs: .venv/docs/ready ## Build the pages of docs/ as a site in build/docs/; a warning or a dead link is an error
	@tools/docs.sh

test: .venv/ready-for-tests test-deps ## Run the everyday tests of the project; ARGS='-k word' narrows them
	@tools/test.sh everyday $(ARGS)

test-heavy: .venv/ready-for-tests $(HEAVY) test-heavy-deps ## Run those left out there: distributions, images, wheels, engines, browsers
	@tools/test.sh heavy $(ARGS)

test-all: .venv/ready-for-tests $(HEAVY) test-heavy-deps ## Run all tests but the lab's, as CI does
	@tools/test.sh all $(ARGS)

test-fast: .venv/ready-for-tests ## Run the quick unit tests: no service, no network, under a minute
	.venv/bin/pytest tests/unit -n auto -q -m 'not slow and not alone' $(ARGS)

test-engines: .venv/ready-for-tests .venv/engines/ready test-deps ## Run only the tests with a real Salt and a real Ansible
	.venv/bin/pytest tests/integration/engines $(ARGS)

fuzz: .venv/ready-for-tests .venv/fuzz/ready ## Fuzz every parser of outside input, SECONDS=60 each; HARNESS=name for one
	.venv/fuzz/bin/python -m fuzz --seconds=$(or $(SECONDS),60) $(HARNESS)

bench: .venv/ready-for-tests bench-deps ## Measure the audit beside Testinfra and Ansible over SSH on loopback (root); ARGS='--hosts 1000'
	.venv/bin/python -m bench $(ARGS)

lint: .venv/ready-for-tests ## Check style, types and words
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/python tools/words.py

	@.venv/bin/python tools/sizes.py

words: .venv/ready ## Find words that the glossary of CONTRIBUTING.md replaces
	@.venv/bin/python tools/words.py

lock: ## Move the lock files to the current releases
	@tools/lock.sh

setup: ## Make .venv again, for example after installing libvirt's headers
	@rm -f .venv/ready
	@$(MAKE) --no-print-directory .venv/ready

test-deps:
	@tools/test-deps.sh everyday

test-heavy-deps:
	@tools/test-deps.sh heavy

bench-deps:
	@tools/bench-deps.sh

# The names that these had.
set-up: setup
test-parts: test-deps
bench-parts: bench-deps

pyz: .venv/release/ready ## Make dist/nested-kvm.pyz: one file, for machines without network
	@tools/release.sh pyz

release: .venv/release/ready ## Make wheel, sdist, pyz, SBOM and checksums in dist/; KEY=file signs them; publishes nothing
	@tools/release.sh all

clean: ## Remove .venv and what tools left; reports stay
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment knows its own path: in a checkout that was moved or copied it is made again.
ifneq ($(shell cat .venv/ready 2>/dev/null),$(CURDIR))
.PHONY: .venv/ready
endif

.venv/ready: pyproject.toml requirements.lock requirements-libvirt.lock tools/setup.sh tools/packages.sh
	@tools/setup.sh

.venv/ready-for-tests: .venv/ready requirements-test.lock
	@tools/setup.sh tests

# Real programs with many dependencies get separate environments, so that the audit's own matches its lock file.
.venv/docs/ready .venv/engines/ready .venv/fuzz/ready .venv/release/ready: .venv/%/ready: requirements-%.lock | .venv/ready
	@tools/setup.sh $*

-include lab/lab.mk

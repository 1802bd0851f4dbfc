# Kauri: 'make run' starts a demo, 'make test' tests everything. Both set up what they need, on a fresh machine too.
.DEFAULT_GOAL := help
.PHONY: help run test lint bench openapi screenshots stop demo-reset clean backup restore send-tokens send-coins totp lock ledger-check
export ARGS FILE TO AMOUNT AS_OF

# any Python from 3.9 on starts the set-up, which then finds or brings the one that Kauri runs on
FIND_PYTHON = for p in python3 /usr/bin/python3 python3.13 python3.12; do \
	if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then break; fi; p=; done; \
	if [ -z "$$p" ]; then echo "kauri: no python3 (3.9 or later) here. Run 'sudo apt-get install -y python3 python3-venv'."; exit 1; fi

help:  ## this list
	@echo "Kauri. Commands:"; grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1|/' | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

run:  ## set up and start the demo: back office, API, callbacks, workers, test chain (Ctrl-C stops it)
test:  ## set up, then run linters and all tests (ARGS="-k name -x" go to pytest)
lint:  ## ruff, mypy, import-linter
bench:  ## measure speed; writes bench/results.json
openapi:  ## write the OpenAPI document and the Postman collection anew
screenshots:  ## a picture of every page in each language, theme and width (ARGS="-k uk" for one language)
stop:  ## stop a demo started elsewhere
demo-reset:  ## forget the demo's data and start a new one
backup:  ## save the database: make backup FILE=kauri.dump
ledger-check:  ## prove the books now and print their totals (AS_OF=2026-01-31T00:00:00Z for another moment)
restore:  ## put a saved database back: make restore FILE=kauri.dump
send-tokens:  ## send test USDT on the demo's chain: make send-tokens TO=0x... AMOUNT=25
send-coins:  ## send test BTC on the demo's Bitcoin chain: make send-coins TO=rltc1... AMOUNT=0.5
totp:  ## one-time codes of the demo's operators, now
lock:  ## resolve dependencies anew and pin them by hash
clean:  ## remove everything that running made (.kauri, .venv, caches)

run test lint bench openapi screenshots stop demo-reset backup restore send-tokens send-coins totp lock ledger-check clean:
	@$(FIND_PYTHON); exec "$$p" -m compose.local $@

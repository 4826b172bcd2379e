# Two commands: `make run` serves, `make test` proves. Both set up all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-live bench lint call kokoro piper services sdks weights clean

# torch first and pinned: whatever else asks for torch is then content with this build.
$(VENV)/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[test]'
	@touch $@

run: $(VENV)/installed
	$(BIN)/voice-server serve

call: $(VENV)/installed
	$(BIN)/voice-server call $(FILE)

# Neural voices; their weights come with `voice-server models pull`.
kokoro piper: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[$@]'

# PostgreSQL, Redis and Chromium for the tests; the tests start and stop their own.
services:
	@sh tests/services.sh

# The published clients that the tests run against the server. They ask for clashing versions of
# the same packages, so each lives in an environment of its own; Node.js comes as a wheel.
SDKS := .venv-sdk
NODE_MODULES := tests/sdk/node/node_modules

sdks: $(SDKS)/agents/installed $(SDKS)/livekit/installed $(SDKS)/pipecat/installed \
		$(NODE_MODULES)/installed

$(SDKS)/%/installed: tests/sdk/requirements-%.txt
	@rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --no-compile --disable-pip-version-check -r $<
	@touch $@

$(NODE_MODULES)/installed: $(SDKS)/node/installed tests/sdk/node/package-lock.json
	cd tests/sdk/node && $(CURDIR)/$(SDKS)/node/bin/npm ci --ignore-scripts --loglevel=error
	@touch $@

# What hears the end of a turn, for the tests; a server has it in VOICE_SERVER_MODELS_DIR.
weights: $(VENV)/installed-test
	$(BIN)/voice-server models pull smart-turn --set models_dir=build/models

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy

test: $(VENV)/installed-test services weights sdks lint
	$(BIN)/pytest

# The same contract against the vendors themselves, with keys of one's own; costs some cents.
test-live: $(VENV)/installed-test
	$(BIN)/pytest -rA tests/live/live.py

bench: $(VENV)/installed-test
	$(BIN)/voice-server bench $(if $(SPEECH_DATA),--speech "$(SPEECH_DATA)")

clean:
	rm -rf $(VENV) $(SDKS) $(NODE_MODULES) build *.egg-info
